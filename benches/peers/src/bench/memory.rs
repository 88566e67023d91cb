//! Requested heap over key and value, with time to live, time to idle, eviction and weight all on
//! where a store has them; and what is still held when the call that drops the store returns.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::Common;
use crate::measure::{Spread, heap};
use crate::peers::{Peer, Settings};
use crate::report::{Journal, Row};
use crate::workload::Key;

pub(super) fn run(common: &Common, journal: &mut Journal) -> io::Result<()> {
    heap::count();
    let peers = common.peers(&Peer::CACHES_AND_MAPS);
    let empty = common.pick(10_000, 1_000_000);
    journal.record(peers.iter().map(|&peer| empty_store(peer, empty)).collect())?;
    for sessions in common.sessions(&[10_000], &[1_000_000, 10_000_000]) {
        let rows = peers.iter().map(|&peer| full_store::<u128>(peer, sessions)).collect();
        journal.record(rows)?;
        let rows = peers.iter().map(|&peer| full_store::<String>(peer, sessions)).collect();
        journal.record(rows)?;
    }
    Ok(())
}

fn settings(sessions: usize) -> Settings {
    Settings { weight: Some(64), ..Settings::service(sessions) }
}

/// What a store takes that has room for some sessions, and none.
fn empty_store(peer: Peer, sessions: usize) -> Row {
    // Whatever the process needs once has been requested before the count.
    drop(peer.build::<u128, Arc<[u8; 64]>>(&settings(1_000)));
    let before = heap::requested_bytes();
    let store = peer.build::<u128, Arc<[u8; 64]>>(&settings(sessions));
    let bytes = heap::requested_bytes() - before;
    drop(store);
    Row::new("empty", &[("room for", sessions.to_string())], peer)
        .figure("KiB", Spread::from(bytes as f64 / 1_024.0))
}

fn full_store<K: Key>(peer: Peer, sessions: usize) -> Row {
    let before = heap::requested_bytes();
    let store = peer.build(&settings(sessions));
    for n in 0..sessions {
        store.insert(K::nth(n), Arc::new([0_u8; 64]));
    }
    store.settle();
    let bytes = heap::requested_bytes() - before;
    let held = (0..sessions).filter(|&n| store.get(&K::nth(n)).is_some()).count();
    drop(store);
    let left = heap::requested_bytes() - before;
    wait_until_free(before);
    let own = held * (size_of::<K>() + K::HEAP_BYTES + VALUE_BYTES);
    let over = (bytes - own as isize) as f64 / held as f64;
    let case = [("keys", K::NAME.to_owned()), ("sessions", sessions.to_string())];
    Row::new("memory", &case, peer)
        .figure("B/session over key and value", Spread::from(over))
        .figure("held %", Spread::from(100.0 * held as f64 / sessions as f64))
        .figure("KiB left by drop", Spread::from(left as f64 / 1_024.0))
}

/// Some stores free in threads of their own, after they were dropped. The next one must not be
/// credited with that.
fn wait_until_free(before: isize) {
    let start = Instant::now();
    while heap::requested_bytes() > before + 65_536 && start.elapsed() < Duration::from_secs(5) {
        thread::sleep(Duration::from_millis(10));
    }
}

/// The pointer, two counts, and the 64 bytes.
const VALUE_BYTES: usize = 8 + 16 + 64;
