//! Readers while a writer is stopped in the middle of an insertion, inside whatever lock it holds.
//!
//! The writer replaces a session, and the comparison of its key waits at a gate. Readers then look
//! up all sessions. In a store whose readers take locks some of them wait until the gate opens.

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::hint::black_box;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::Common;
use crate::measure::Spread;
use crate::peers::{AnyStore, Peer, Settings};
use crate::report::{Journal, Row};

pub(super) fn run(common: &Common, journal: &mut Journal) -> io::Result<()> {
    let peers = common.peers(&Peer::CACHES_AND_MAPS);
    let rows: Vec<Row> = peers.into_iter().map(|peer| blocked(common, peer)).collect();
    let ours = Peer::Sundown.to_string();
    let waited = rows.iter().any(|row| row.peer == ours && !row.note.is_empty());
    journal.record(rows)?;
    if waited { Err(io::Error::other("readers of sundown waited for a writer")) } else { Ok(()) }
}

thread_local! {
    /// Whether comparing keys waits at the gate, on this thread.
    static WAITS: Cell<bool> = const { Cell::new(false) };
}

#[derive(Default)]
struct Gate {
    is_reached: AtomicBool,
    is_open: AtomicBool,
}

#[derive(Clone)]
struct Gated(usize, Arc<Gate>);

impl PartialEq for Gated {
    fn eq(&self, other: &Self) -> bool {
        if WAITS.get() {
            // Release: pairs with the load in blocked.
            self.1.is_reached.store(true, Ordering::Release);
            // Acquire: pairs with the store in blocked.
            while !self.1.is_open.load(Ordering::Acquire) {
                thread::sleep(Duration::from_millis(1));
            }
        }
        self.0 == other.0
    }
}

impl Eq for Gated {}

impl Hash for Gated {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

type Gates = AnyStore<Gated, usize>;

fn blocked(common: &Common, peer: Peer) -> Row {
    let gate = Arc::new(Gate::default());
    let store: Gates = peer.build(&Settings::service(4 * SESSIONS));
    let keys: Vec<Gated> = (0..SESSIONS).map(|n| Gated(n, Arc::clone(&gate))).collect();
    for key in &keys {
        store.insert(key.clone(), key.0);
    }
    store.settle();
    let rounds = common.pick(50, 1_000);
    let free = read(&store, &keys, rounds);
    let writer = {
        let (store, key) = (Arc::clone(&store), keys[7].clone());
        thread::spawn(move || {
            WAITS.set(true);
            store.insert(key, 700);
        })
    };
    // Acquire: pairs with the store in Gated::eq.
    while !gate.is_reached.load(Ordering::Acquire) {
        thread::sleep(Duration::from_millis(1));
    }
    let (done, is_done) = mpsc::channel();
    let reader = {
        let (store, keys) = (Arc::clone(&store), keys.clone());
        thread::spawn(move || {
            let latencies = read(&store, &keys, rounds);
            // Who gave up waiting has closed the channel.
            let _ = done.send(());
            latencies
        })
    };
    let patience = Duration::from_millis(common.pick(500, 3_000));
    let waited = is_done.recv_timeout(patience).is_err();
    // Release: pairs with the load in Gated::eq.
    gate.is_open.store(true, Ordering::Release);
    writer.join().expect("the writer goes on");
    let stopped = reader.join().expect("the reader ends");
    let quantile =
        |latencies: &Histogram<u32>, share| Spread::from(latencies.value_at_quantile(share) as f64);
    let row = Row::new("blocked", &[], peer)
        .figure("p50 ns", quantile(&free, 0.5))
        .figure("p99.9 ns", quantile(&free, 0.999));
    if waited {
        return row.note("readers wait until the writer goes on");
    }
    row.figure("p50 ns, writer stopped", quantile(&stopped, 0.5))
        .figure("p99.9 ns, writer stopped", quantile(&stopped, 0.999))
}

/// Times each look-up of each key, several times.
fn read(store: &Gates, keys: &[Gated], rounds: usize) -> Histogram<u32> {
    let mut latencies =
        Histogram::new_with_bounds(1, 100_000_000_000, 3).expect("the bounds are valid");
    for key in keys.iter().cycle().take(rounds * keys.len()) {
        let start = Instant::now();
        black_box(store.get(key));
        latencies.saturating_record(start.elapsed().as_nanos() as u64);
    }
    latencies
}

const SESSIONS: usize = 1_000;
