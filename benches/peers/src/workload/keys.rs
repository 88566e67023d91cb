//! Session ids without structure, drawn by popularity.

use std::fmt;
use std::hash::Hash;

use clap::ValueEnum;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, Zipf};

/// The id of a session.
pub trait Key: Hash + Eq + Clone + Send + Sync + 'static {
    /// What it is called in tables.
    const NAME: &'static str;
    /// What it requests from the heap.
    const HEAP_BYTES: usize;

    /// The `n`th id. Ids look random, and no two are equal.
    fn nth(n: usize) -> Self;
}

impl Key for u128 {
    const NAME: &'static str = "u128";
    const HEAP_BYTES: usize = 0;

    fn nth(n: usize) -> Self {
        (n as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
    }
}

impl Key for String {
    const NAME: &'static str = "string";
    const HEAP_BYTES: usize = 32;

    fn nth(n: usize) -> Self {
        format!("{:032x}", u128::nth(n))
    }
}

/// How popular the sessions are.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Popularity {
    /// All alike.
    Uniform,
    /// By Zipf's law with this exponent, the popular ones spread over all ids.
    Zipf(f64),
}

impl Popularity {
    /// A row of draws from `sessions` sessions, as numbers of sessions.
    pub fn sample(self, sessions: usize, count: usize, seed: u64) -> Vec<usize> {
        let mut random = SmallRng::seed_from_u64(seed);
        match self {
            Self::Uniform => (0..count).map(|_| random.random_range(0..sessions)).collect(),
            Self::Zipf(exponent) => {
                let scramble = ahash::RandomState::with_seeds(1, 2, 3, 4);
                let zipf = Zipf::new(sessions as f64, exponent).expect("a valid exponent");
                (0..count)
                    .map(|_| {
                        let rank = zipf.sample(&mut random) as u64;
                        (scramble.hash_one(rank) % sessions as u64) as usize
                    })
                    .collect()
            }
        }
    }
}

impl fmt::Display for Popularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform => f.write_str("uniform"),
            Self::Zipf(exponent) => write!(f, "zipf {exponent}"),
        }
    }
}

/// A row of drawn ids.
pub fn draws<K: Key>(popularity: Popularity, sessions: usize, count: usize, seed: u64) -> Vec<K> {
    popularity.sample(sessions, count, seed).into_iter().map(K::nth).collect()
}

/// The kinds of ids, for the command line.
#[derive(Clone, Copy, PartialEq, Debug, ValueEnum)]
pub enum KeyKind {
    /// 16 bytes inline.
    U128,
    /// 32 bytes on the heap.
    String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zipf_prefers_few_and_uniform_prefers_none() {
        let most = |popularity: Popularity| {
            let mut counts = [0; 100];
            for session in popularity.sample(100, 10_000, 7) {
                counts[session] += 1;
            }
            counts.into_iter().max().unwrap_or_default()
        };
        assert!(most(Popularity::Zipf(1.0)) > 1_500);
        assert!(most(Popularity::Uniform) < 200);
    }

    #[test]
    fn string_ids_have_32_bytes() {
        assert_eq!(String::nth(5).len(), String::HEAP_BYTES);
        assert_ne!(u128::nth(0), u128::nth(1));
    }
}
