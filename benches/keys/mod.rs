//! The keys that all benches draw: session ids without structure, by popularity.
#![allow(dead_code, reason = "not every bench draws by popularity")]

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Zipf};

/// The id of the session with this rank.
pub(crate) fn key(rank: u64) -> u128 {
    u128::from(rank.wrapping_add(1)).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
}

/// A long row of ids, the more popular the lower their rank.
pub(crate) fn zipf(sessions: usize, exponent: f64) -> Vec<u128> {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let zipf = Zipf::new(sessions as f64, exponent).expect("a valid exponent");
    (0..1 << 20).map(|_| key(zipf.sample(&mut random) as u64 - 1)).collect()
}
