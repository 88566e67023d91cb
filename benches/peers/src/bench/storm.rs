//! Reads while a million sessions expire at once.
//!
//! One reader looks up sessions that live on, first while nothing happens and then from the deadline
//! until the last of the doomed has been destroyed. Requests come on schedule, whether or not the
//! one before has been answered, and each one's latency counts from when it was due. (A reader that
//! asks only after each answer would meet a stop of 60 ms as one slow read among millions.)

use std::hint::{black_box, spin_loop};
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::Common;
use crate::measure::Spread;
use crate::measure::processor::{queued_time, thread_time};
use crate::measure::tally::{Mortal, Tally};
use crate::peers::{AnyStore, Peer, Settings};
use crate::report::{Journal, Row};
use crate::workload::{Key, Popularity, draws};

const ABLE: [Peer; 4] =
    [Peer::Sundown, Peer::SweptDashmap, Peer::FibreCache, Peer::FibreCachePrecise];

pub(super) fn run(common: &Common, journal: &mut Journal) -> io::Result<()> {
    for doomed in common.sessions(&[10_000], &[1_000_000]) {
        let peers = common.peers(&ABLE);
        let mut storms: Vec<Vec<Storm>> = peers.iter().map(|_| Vec::new()).collect();
        for _ in 0..common.rounds(5) {
            for (storms, &peer) in storms.iter_mut().zip(&peers) {
                storms.push(storm(common, peer, doomed)?);
            }
        }
        let case = [("expire at once", doomed.to_string())];
        let rows = peers.iter().zip(&storms);
        journal.record(rows.map(|(&peer, storms)| row(&case, peer, storms)).collect())?;
    }
    Ok(())
}

/// Latencies in nanoseconds.
struct Storm {
    quiet: Histogram<u32>,
    stormy: Histogram<u32>,
    lasted: Duration,
    /// What of it the reader spent without a processor, though it never sleeps of its own accord.
    away: Duration,
    /// And of that, the time in which others had the processors; the rest it waited for a lock.
    queued: Duration,
    is_over: bool,
}

fn storm(common: &Common, peer: Peer, doomed: usize) -> io::Result<Storm> {
    let store: AnyStore<u128, Mortal> =
        peer.build(&Settings::lifetime(2 * (doomed + LIVE), Duration::from_secs(3_600)));
    let (living, dying) = (Tally::new(), Tally::new());
    for n in 0..LIVE {
        store.insert(u128::nth(n), living.session());
    }
    let quiet_time = Duration::from_millis(common.pick(100, 1_500));
    // Filling takes up to 3 µs a session on a slow machine.
    let deadline = Instant::now() + quiet_time + Duration::from_micros(3 * doomed as u64 + 50_000);
    for n in LIVE..LIVE + doomed {
        let lifetime = deadline.saturating_duration_since(Instant::now());
        store.insert_for(u128::nth(n), dying.session(), lifetime);
    }
    thread::sleep((deadline - quiet_time).saturating_duration_since(Instant::now()));
    let row: Vec<u128> = draws(Popularity::Zipf(0.99), LIVE, 1 << 18, 1);
    let mut draws = row.iter().cycle();
    let mut quiet = histogram();
    // The last ticks before the deadline belong to nobody.
    read(&store, &mut draws, &mut quiet, || Instant::now() + CALM < deadline);
    let mut rest = histogram();
    read(&store, &mut draws, &mut rest, || Instant::now() < deadline);
    let mut stormy = histogram();
    let (begun, busy, queued) = (Instant::now(), thread_time(), queued_time()?);
    read(&store, &mut draws, &mut stormy, || {
        dying.dead() < doomed && deadline.elapsed() < PATIENCE
    });
    let away = begun.elapsed().saturating_sub(thread_time() - busy);
    let queued = queued_time()? - queued;
    let (lasted, is_over) = (deadline.elapsed(), dying.dead() >= doomed);
    Ok(Storm { quiet, stormy, lasted, away, queued, is_over })
}

/// Reads on schedule, as long as `goes_on`, and times each read from when it was due.
fn read<'k>(
    store: &AnyStore<u128, Mortal>,
    draws: &mut impl Iterator<Item = &'k u128>,
    latencies: &mut Histogram<u32>,
    goes_on: impl Fn() -> bool,
) {
    let mut due = Instant::now();
    while goes_on() {
        for key in draws.take(16) {
            due += EVERY;
            while Instant::now() < due {
                spin_loop();
            }
            let session = black_box(store.get(key));
            let nanos = due.elapsed().as_nanos() as u64;
            assert!(session.is_some(), "the living live on");
            latencies.saturating_record(nanos);
        }
    }
}

fn histogram() -> Histogram<u32> {
    Histogram::new_with_bounds(1, 10_000_000_000, 3).expect("the bounds are valid")
}

fn row(case: &[(&str, String)], peer: Peer, storms: &[Storm]) -> Row {
    let quantile = |histogram: fn(&Storm) -> &Histogram<u32>, share: f64| {
        let values = storms.iter().map(|storm| histogram(storm).value_at_quantile(share) as f64);
        Spread::of(values)
    };
    let quiet = |storm: &Storm| storm.quiet.value_at_quantile(0.99) as f64;
    let stormy = |storm: &Storm| storm.stormy.value_at_quantile(0.99) as f64;
    let is_over = storms.iter().all(|storm| storm.is_over);
    Row::new("storm", case, peer)
        .figure("quiet p99 ns", quantile(|storm| &storm.quiet, 0.99))
        .figure("storm p99 ns", quantile(|storm| &storm.stormy, 0.99))
        .figure("storm p99 / quiet p99", Spread::of(storms.iter().map(|s| stormy(s) / quiet(s))))
        .figure("quiet p99.99 ns", quantile(|storm| &storm.quiet, 0.9999))
        .figure("storm p99.99 ns", quantile(|storm| &storm.stormy, 0.9999))
        .figure("max ms", Spread::of(storms.iter().map(|s| s.stormy.max() as f64 / 1e6)))
        .figure("lasted ms", Spread::of(storms.iter().map(|s| s.lasted.as_secs_f64() * 1e3)))
        .figure("off cpu ms", Spread::of(storms.iter().map(|s| s.away.as_secs_f64() * 1e3)))
        .figure("queued ms", Spread::of(storms.iter().map(|s| s.queued.as_secs_f64() * 1e3)))
        .note(if is_over { "" } else { "not over in time" })
}

/// 200,000 requests a second, far from what a core can answer.
const EVERY: Duration = Duration::from_micros(5);
/// The sessions that are read.
const LIVE: usize = 100_000;
const CALM: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(5);
