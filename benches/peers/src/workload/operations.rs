//! Mixed operations, in the shares that a benchmark prescribes.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::{Key, Popularity};

/// What is done with a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    /// Look it up.
    Get,
    /// Insert or replace it.
    Insert,
    /// Take it out.
    Remove,
    /// Replace it if it is there.
    Update,
    /// Look it up, and insert it if it is not there.
    Fill,
}

/// One step of a workload.
pub struct Operation<K> {
    /// What to do.
    pub verb: Verb,
    /// To whom.
    pub key: K,
}

/// How often each verb occurs, in parts of their sum.
pub type Shares = &'static [(Verb, u32)];

/// A row of operations on keys drawn by popularity.
pub fn operations<K: Key>(
    shares: Shares,
    popularity: Popularity,
    sessions: usize,
    count: usize,
    seed: u64,
) -> Vec<Operation<K>> {
    let mut random = SmallRng::seed_from_u64(!seed);
    let total: u32 = shares.iter().map(|&(_, share)| share).sum();
    popularity
        .sample(sessions, count, seed)
        .into_iter()
        .map(|session| {
            let mut at = random.random_range(0..total);
            let verb = shares.iter().find_map(|&(verb, share)| {
                let is_it = at < share;
                at = at.saturating_sub(share);
                is_it.then_some(verb)
            });
            Operation { verb: verb.expect("the shares add up"), key: K::nth(session) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_occur_in_their_shares() {
        let row = operations::<u128>(
            &[(Verb::Get, 9), (Verb::Insert, 1)],
            Popularity::Uniform,
            10,
            10_000,
            3,
        );
        let inserts = row.iter().filter(|operation| operation.verb == Verb::Insert).count();
        assert!((800..1_200).contains(&inserts), "{inserts}");
        assert!(row.iter().all(|operation| operation.verb != Verb::Remove));
    }
}
