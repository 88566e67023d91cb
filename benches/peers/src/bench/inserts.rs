//! Insertions into a full store: each takes somebody's place.
//!
//! Every id is new: a batch's ids follow from its number, and no number comes twice, in whichever
//! round and on however many threads. So a store that is full must evict for each insertion, or
//! refuse it as moka does; those that count their evictions say so in the table.

use std::io;
use std::sync::Arc;

use super::{Common, Contestant, peers_of, rate_rows};
use crate::measure::{Spread, interleave, throughput};
use crate::peers::{AnyStore, Peer, Settings};
use crate::report::Journal;
use crate::workload::{BATCH, Key};

type Session = Arc<[u8; 64]>;

pub(super) fn run(common: &Common, journal: &mut Journal) -> io::Result<()> {
    let able: Vec<Peer> = Peer::CACHES_AND_MAPS.into_iter().filter(|peer| peer.evicts()).collect();
    for sessions in common.sessions(&[2_000], &[10_000, 1_000_000]) {
        let contestants: Vec<_> =
            common.peers(&able).into_iter().map(|peer| full(peer, sessions)).collect();
        if contestants.is_empty() {
            continue;
        }
        for threads in common.threads(&[1, 2, 4, 8]) {
            let before: Vec<Count> = contestants.iter().map(Count::of).collect();
            let rates = interleave(&contestants, common.rounds(7), |contestant| {
                throughput(threads, common.time(), &contestant.progress, |_, batch| {
                    insert(&contestant.store, batch);
                    (BATCH, 0)
                })
            });
            let case = [("sessions", sessions.to_string()), ("threads", threads.to_string())];
            let mut rows = rate_rows("inserts", &case, peers_of(&contestants), &rates, true);
            for ((row, contestant), before) in rows.iter_mut().zip(&contestants).zip(&before) {
                row.figures.truncate(1);
                let share = Count::of(contestant).evicted_since(before);
                *row =
                    row.clone().figure("evicted %", share.map(|share| Spread::from(100.0 * share)));
            }
            journal.record(rows)?;
        }
    }
    Ok(())
}

/// A store in its steady state: twice as many ids went in as there is room for.
fn full(peer: Peer, sessions: usize) -> Contestant<u128, Session> {
    let contestant = Contestant::new(peer, &Settings::service(sessions));
    while contestant.progress.begun() * BATCH < 2 * sessions {
        insert(&contestant.store, contestant.progress.next());
    }
    contestant.store.settle();
    contestant
}

/// Inserts ids of which no other batch has any.
fn insert(store: &AnyStore<u128, Session>, batch: usize) {
    for n in batch * BATCH..(batch + 1) * BATCH {
        store.insert(Key::nth(n), Arc::new([0; 64]));
    }
}

/// How many sessions went in so far, and how many of those inside had to leave for them.
struct Count {
    inserted: usize,
    evicted: Option<u64>,
}

impl Count {
    fn of(contestant: &Contestant<u128, Session>) -> Self {
        let evicted = contestant.store.evicted();
        Self { inserted: contestant.progress.begun() * BATCH, evicted }
    }

    /// How many sessions left for each that went in.
    fn evicted_since(&self, before: &Self) -> Option<f64> {
        let evicted = self.evicted? - before.evicted?;
        Some(evicted as f64 / (self.inserted - before.inserted) as f64)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_insertion_evicts_in_every_round_on_however_many_threads() {
        let contestant = full(Peer::Sundown, 5_000);
        for threads in [1, 2, 2, 1] {
            let before = Count::of(&contestant);
            throughput(threads, Duration::from_millis(2), &contestant.progress, |_, batch| {
                insert(&contestant.store, batch);
                (BATCH, 0)
            });
            assert_eq!(Count::of(&contestant).evicted_since(&before), Some(1.0));
        }
    }
}
