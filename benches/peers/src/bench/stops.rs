//! The longest stop of any one operation, by the processor time of the thread that called it.
//!
//! Processor time leaves out that the machine gave the core to somebody else. Looking at it costs a
//! system call an operation, about a quarter of a microsecond, which the figures include. The clock
//! that lets an hour pass is a manual one; while sessions are evicted it runs in real time.

use std::hint::black_box;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use sundown::ManualClock;

use super::Common;
use crate::measure::Spread;
use crate::measure::processor::thread_time;
use crate::peers::{AnyStore, Peer, Settings};
use crate::report::{Journal, Row};
use crate::workload::Key;

pub(super) fn run(common: &Common, journal: &mut Journal) -> io::Result<()> {
    for sessions in common.sessions(&[10_000], &[10_000_000]) {
        let peers = common.peers(&Peer::CACHES_AND_MAPS);
        let mut rows: Vec<Vec<Row>> = vec![Vec::new(); PHASES.len()];
        for peer in peers {
            let lives: Vec<Life> =
                (0..common.rounds(3)).map(|_| whole_life(peer, sessions)).collect();
            for (phase, name) in PHASES.into_iter().enumerate() {
                let of = |value: fn(&Histogram<u32>) -> f64| {
                    Spread::of(lives.iter().map(|life| value(&life[phase])))
                };
                let case = [("operation", name.to_owned()), ("sessions", sessions.to_string())];
                if lives.iter().all(|life| !life[phase].is_empty()) {
                    rows[phase].push(
                        Row::new("stops", &case, peer)
                            .figure("longest ms", of(|histogram| histogram.max() as f64 / 1e6))
                            .figure(
                                "p99.99 µs",
                                of(|histogram| histogram.value_at_quantile(0.9999) as f64 / 1e3),
                            ),
                    );
                }
            }
        }
        for rows in rows.into_iter().filter(|rows| !rows.is_empty()) {
            journal.record(rows)?;
        }
    }
    Ok(())
}

/// What is done in turn.
const PHASES: [&str; 4] =
    ["insert, growing", "get, for a read-only hour", "insert, evicting after it", "remove"];

/// The processor times of each phase, in nanoseconds.
type Life = [Histogram<u32>; PHASES.len()];

type AnyMap = AnyStore<u128, Arc<[u8; 64]>>;

/// Grows a store, reads everything in it for an hour of a manual clock, makes it evict, and takes
/// sessions out.
fn whole_life(peer: Peer, sessions: usize) -> Life {
    let clock = ManualClock::new();
    let settings = Settings {
        time_to_idle: Some(Duration::from_secs(7_200)),
        clock: Some(clock.clone()),
        ..Settings::service(sessions)
    };
    let store: AnyMap = peer.build(&settings);
    let insert = |n: usize| store.insert(Key::nth(n), Arc::new([0; 64]));
    let growing = timed(0..sessions, insert);
    // Records are as stale as they can be when each session was used long after its insertion.
    let tenth = (sessions / TENTHS).max(1);
    let mut reading = histogram();
    for start in (0..sessions).step_by(tenth) {
        clock.advance(HOUR / TENTHS as u32);
        let get = |n: usize| drop(black_box(store.get(&Key::nth(n))));
        reading.add(timed(start..(start + tenth).min(sessions), get)).expect("the same bounds");
    }
    clock.advance(Duration::from_secs(1));
    let _running = Running::start(clock);
    let evicting = match peer.evicts() {
        true => timed(sessions..sessions + sessions / TENTHS, insert),
        false => histogram(),
    };
    let removing = timed(sessions / 2..sessions / 2 + tenth, |n| store.remove(&Key::nth(n)));
    [growing, reading, evicting, removing]
}

/// Moves a manual clock on in real time for as long as this lives: how long an eviction searches
/// depends on it. A thread that sleeps would be woken milliseconds late at times.
struct Running {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start(clock: ManualClock) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            let mut last = Instant::now();
            // Relaxed: nothing is published by it.
            while !asked.load(Ordering::Relaxed) {
                let now = Instant::now();
                if now - last >= STEP {
                    clock.advance(now - last);
                    last = now;
                }
                thread::yield_now();
            }
        });
        Self { is_over, thread: Some(thread) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Relaxed: see `start`.
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the clock's thread does not panic");
        }
    }
}

fn timed(numbers: impl Iterator<Item = usize>, mut operation: impl FnMut(usize)) -> Histogram<u32> {
    let mut times = histogram();
    for n in numbers {
        let start = thread_time();
        operation(n);
        times.saturating_record((thread_time() - start).as_nanos() as u64);
    }
    times
}

fn histogram() -> Histogram<u32> {
    Histogram::new_with_bounds(1, 10_000_000_000, 3).expect("the bounds are valid")
}

const HOUR: Duration = Duration::from_secs(3_600);
const TENTHS: usize = 10;
const STEP: Duration = Duration::from_micros(50);
