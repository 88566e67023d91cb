//! Insertions into a full store: each takes somebody's place.

use std::io;
use std::sync::Arc;

use super::{Common, Contestant, peers_of, rate_rows};
use crate::measure::{interleave, throughput};
use crate::peers::{Peer, Settings};
use crate::report::Journal;
use crate::workload::{BATCH, Key, Operation, Verb, piece};

pub(super) fn run(common: &Common, journal: &mut Journal) -> io::Result<()> {
    let able: Vec<Peer> = Peer::CACHES_AND_MAPS.into_iter().filter(|peer| peer.evicts()).collect();
    for sessions in common.sessions(&[2_000], &[10_000, 1_000_000]) {
        let contestants: Vec<_> =
            common.peers(&able).into_iter().map(|peer| full(peer, sessions)).collect();
        if contestants.is_empty() {
            continue;
        }
        // When an id comes round again, all of them have been replaced several times.
        let ids = (sessions * ROUNDS_OF_IDS).max(BATCH * ROUNDS_OF_IDS);
        let row: Vec<Operation<u128>> = (sessions..sessions + ids)
            .map(|n| Operation { verb: Verb::Insert, key: Key::nth(n) })
            .collect();
        for threads in common.threads(&[1, 2, 4, 8]) {
            let rates = interleave(&contestants, common.rounds(7), |contestant| {
                throughput(threads, common.time(), |thread, batch| {
                    let operations = piece(&row, thread, threads, batch);
                    contestant.store.run(operations, || Arc::new([0; 64]));
                    (BATCH, 0)
                })
            });
            let case = [("sessions", sessions.to_string()), ("threads", threads.to_string())];
            let mut rows = rate_rows("inserts", &case, peers_of(&contestants), &rates, true);
            rows.iter_mut().for_each(|row| row.figures.truncate(1));
            journal.record(rows)?;
        }
    }
    Ok(())
}

fn full(peer: Peer, sessions: usize) -> Contestant<u128, Arc<[u8; 64]>> {
    let store = peer.build(&Settings::service(sessions));
    for n in 0..sessions {
        store.insert(u128::nth(n), Arc::new([0; 64]));
    }
    store.settle();
    Contestant { peer, store }
}

const ROUNDS_OF_IDS: usize = 4;
