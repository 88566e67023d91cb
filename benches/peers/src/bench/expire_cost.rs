//! Processor time of expiring, and of having nothing to do.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::Common;
use crate::measure::Spread;
use crate::measure::processor::{context_switches_of_others, process_time};
use crate::measure::tally::{Mortal, Tally};
use crate::peers::{AnyStore, Expiry, Peer, Settings};
use crate::report::{Journal, Row};
use crate::workload::Key;

const ABLE: [Peer; 7] = [
    Peer::Sundown,
    Peer::FibreCache,
    Peer::FibreCachePrecise,
    Peer::Moka,
    Peer::MokaLru,
    Peer::MiniMoka,
    Peer::SweptDashmap,
];

pub(super) fn run(common: &Common, journal: &mut Journal) -> io::Result<()> {
    for sessions in common.sessions(&[10_000], &[1_000_000]) {
        let mut rows = Vec::new();
        for peer in common.peers(&ABLE) {
            let costs: Vec<Option<Cost>> =
                (0..common.rounds(5)).map(|_| expire(common, peer, sessions)).collect();
            let row = Row::new("expire-cost", &[("sessions", sessions.to_string())], peer);
            let costs: Vec<&Cost> = costs.iter().flatten().collect();
            rows.push(
                row.figure(
                    "ns/session to freed",
                    Spread::of(costs.iter().map(|cost| cost.after_ns)),
                )
                .figure("ns/session before", Spread::of(costs.iter().map(|cost| cost.before_ns)))
                .note(if peer.expiry() == Expiry::Busy {
                    "driven by hand"
                } else {
                    ""
                }),
            );
        }
        journal.record(rows)?;
        let mut rows = Vec::new();
        for peer in common.peers(&ABLE).into_iter().filter(|peer| peer.expiry() == Expiry::Idle) {
            rows.push(idle(common, peer, sessions)?);
        }
        journal.record(rows)?;
    }
    Ok(())
}

/// Processor time of this process, a session.
struct Cost {
    /// From the last insertion to the first deadline.
    before_ns: f64,
    /// From the first deadline to the last destructor.
    after_ns: f64,
}

/// Fills a store, sleeps until the sessions have expired, and reads the meter. `None` if they were
/// still there a while later.
fn expire(common: &Common, peer: Peer, sessions: usize) -> Option<Cost> {
    let tally = Tally::new();
    let lifetime = Duration::from_millis(common.pick(300, 3_000) + sessions as u64 / 500);
    let store: AnyStore<u128, Mortal> = peer.build(&Settings::lifetime(sessions, lifetime));
    let start = Instant::now();
    for n in 0..sessions {
        store.insert(u128::nth(n), tally.session());
    }
    store.settle();
    let (filled, last) = (process_time(), Instant::now());
    // Sessions that were inserted first die first; what their death costs is part of the figure,
    // also where this thread wakes late.
    thread::sleep((start + lifetime - EARLY).saturating_duration_since(Instant::now()));
    let due = process_time();
    thread::sleep((last + lifetime).saturating_duration_since(Instant::now()));
    let patience = Instant::now() + Duration::from_secs(20);
    while !tally.wait_for(sessions, Duration::ZERO) && Instant::now() < patience {
        if peer.expiry() == Expiry::Busy {
            store.settle();
        } else {
            thread::sleep(Duration::from_millis(5));
        }
    }
    let freed = process_time();
    (tally.dead() >= sessions).then(|| Cost {
        before_ns: (due - filled).as_nanos() as f64 / sessions as f64,
        after_ns: (freed - due).as_nanos() as f64 / sessions as f64,
    })
}

/// Fills a store with sessions that have an hour to go, and watches its threads.
fn idle(common: &Common, peer: Peer, sessions: usize) -> io::Result<Row> {
    let store: AnyStore<u128, Mortal> = peer.build(&Settings::service(sessions));
    let tally = Tally::new();
    for n in 0..sessions {
        store.insert(u128::nth(n), tally.session());
    }
    // What the insertions left to do is done.
    thread::sleep(Duration::from_millis(common.pick(200, 2_000)));
    let watch = Duration::from_millis(common.pick(300, 10_000));
    let (switches, time) = (context_switches_of_others()?, process_time());
    thread::sleep(watch);
    let time = process_time() - time;
    let switches = context_switches_of_others()? - switches;
    drop(store);
    Ok(Row::new("idle", &[("sessions", sessions.to_string())], peer)
        .figure("wake-ups/s", Spread::from(switches as f64 / watch.as_secs_f64()))
        .figure("µs of processor/s", Spread::from(time.as_micros() as f64 / watch.as_secs_f64())))
}

/// How long before the first deadline the meter is read.
const EARLY: Duration = Duration::from_millis(50);
