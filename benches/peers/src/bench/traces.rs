//! Real traffic: each event looks its key up and inserts it if it is missing, as a service does.
//!
//! Every round replays the whole of a trace into stores that are empty at first, so that hit ratios
//! are those of the policies: exact least-recently-used here and in `lru`, frequency and admission in
//! others. Times play no part, for the peers know no clock of ours; the traces that have some are
//! replayed with them by `examples/replay`.
//!
//! That is far faster than it happened. sundown knows the order of uses to a tick of the kernel's
//! clock, and in that time a small store turns over several times: its hit ratio falls below that of
//! an exact list, which it equals where a tick passes at each event (`tests/traces.rs`).

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use std::{env, io, thread};

use clap::Args;

use super::{Common, rate_rows};
use crate::formats::{Format, Trace};
use crate::measure::{Rate, interleave};
use crate::peers::{Peer, Settings};
use crate::report::Journal;
use crate::workload::{BATCH, Key, Operation, Verb};

/// Which traces.
#[derive(Args, Clone, Default)]
pub struct Options {
    /// Only traces whose file's name contains this.
    #[arg(long)]
    only: Option<String>,
}

/// A trace, its format, and how many sessions the stores may hold.
const CASES: [(&str, Format, usize); 6] = [
    ("cache2k_orm_busy.u32be.gz", Format::KeysU32, 5_000),
    ("cache2k_orm_busy.u32be.gz", Format::KeysU32, 20_000),
    ("cache2k_web12.u32be.gz", Format::KeysU32, 1_000),
    ("arc_oltp.lis.gz", Format::Arc, 5_000),
    ("mooncake_conversation.jsonl.gz", Format::MooncakeBlocks, 20_000),
    ("wikipedia_readers_2014-01.tsv.gz", Format::Wikipedia, 10_000),
];

pub(super) fn run(common: &Common, options: &Options, journal: &mut Journal) -> io::Result<()> {
    let folder = folder();
    let only = options.only.as_deref().unwrap_or_default();
    for (name, format, capacity) in CASES.into_iter().filter(|(name, ..)| name.contains(only)) {
        let path = folder.join(name);
        if !path.exists() {
            eprintln!("SKIPPED, no traces: {} does not exist", path.display());
            continue;
        }
        let mut events = read(path, format)?;
        events.truncate(common.pick(20_000, usize::MAX));
        let able: Vec<Peer> = Peer::CACHES_AND_MAPS.into_iter().filter(|p| p.evicts()).collect();
        let peers = common.peers(&able);
        for threads in common.threads(&[1, 2, 4, 8]) {
            let rates = interleave(&peers, common.rounds(5), |&peer| {
                replay(peer, &events, capacity, threads)
            });
            let case = [
                ("trace", name.split('.').next().unwrap_or(name).to_owned()),
                ("capacity", capacity.to_string()),
                ("threads", threads.to_string()),
            ];
            journal.record(rate_rows("traces", &case, peers.iter().copied(), &rates, true))?;
        }
    }
    Ok(())
}

fn folder() -> PathBuf {
    let asked = env::var_os("SUNDOWN_TRACES").filter(|folder| !folder.is_empty());
    asked.map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    )
}

/// A trace's events, its keys numbered as they first occur.
fn read(path: PathBuf, format: Format) -> io::Result<Vec<Operation<u128>>> {
    let mut numbers = HashMap::new();
    let mut events = Vec::new();
    for event in Trace::new(format, vec![path]) {
        let next = numbers.len();
        let number = *numbers.entry(event.map_err(io::Error::other)?.key).or_insert(next);
        events.push(Operation { verb: Verb::Fill, key: Key::nth(number) });
    }
    Ok(events)
}

/// Replays all events once, over all threads, each of which takes the next batch that is left.
fn replay(peer: Peer, events: &[Operation<u128>], capacity: usize, threads: usize) -> Rate {
    let store = peer.build::<u128, Arc<[u8; 64]>>(&Settings::service(capacity));
    let next = AtomicUsize::new(0);
    let work = || {
        let mut hits = 0;
        // Relaxed: only that no two threads take the same batch.
        while let Some(batch) = events.chunks(BATCH).nth(next.fetch_add(1, Ordering::Relaxed)) {
            hits += store.run(batch, || Arc::new([0; 64]));
        }
        hits
    };
    let start = Instant::now();
    let hits: usize = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker does not panic")).sum()
    });
    let count = events.len() as f64;
    Rate { per_second: count / start.elapsed().as_secs_f64(), hits: hits as f64 / count }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_replayed_once_by_however_many_threads() {
        const EVENTS: usize = 10 * BATCH + 100;
        let event = |_| Operation { verb: Verb::Fill, key: Key::nth(7) };
        let events: Vec<_> = (0..EVENTS).map(event).collect();
        for threads in 1..=3 {
            let rate = replay(Peer::Sundown, &events, 10, threads);
            let hits = (rate.hits * EVENTS as f64).round() as usize;
            // Each thread may be among the first who miss it.
            assert!((EVENTS - threads..EVENTS).contains(&hits), "{hits} hits of {EVENTS}");
        }
    }
}
