//! Deadline to destructor, with nobody calling: the probe of redis PR 15620, and a sweep over every
//! tick.
//!
//! A thousand sessions with one deadline live behind a crowd that has an hour to go. Each notes the
//! instant of its destruction, without allocating, for the allocator's locks are not what is asked
//! for. A control thread does nothing but wake up: where it is late, the machine was, and the trial
//! is repeated.
//!
//! The sweep has a deadline in every tick for longer than a slot of a timer wheel's third level is
//! wide, and the whole crowd falls due right after, so that deadlines around the start of every
//! slot are met while ten million neighbours are being refiled.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use clap::Args;

use super::Common;
use crate::measure::Spread;
use crate::peers::{AnyStore, Expiry, Peer, Settings};
use crate::report::{Journal, Row};
use crate::workload::Key;

/// Which probes.
#[derive(Args, Clone, Default)]
pub struct Options {
    /// How many sessions live beside the probes.
    #[arg(long, value_delimiter = ',')]
    behind: Option<Vec<usize>>,
    /// Only the sweep over every tick, or only the probes that share a deadline.
    #[arg(long, value_enum)]
    only: Option<Kind>,
}

/// The kinds of probes.
#[derive(Clone, Copy, PartialEq, Debug, clap::ValueEnum)]
enum Kind {
    /// A thousand that share a deadline.
    Probe,
    /// One for every tick.
    Sweep,
}

const ABLE: [Peer; 7] = [
    Peer::Sundown,
    Peer::FibreCache,
    Peer::FibreCachePrecise,
    Peer::SweptDashmap,
    Peer::Moka,
    Peer::MokaLru,
    Peer::MiniMoka,
];

pub(super) fn run(common: &Common, options: &Options, journal: &mut Journal) -> io::Result<()> {
    let crowds = options.behind.clone().unwrap_or_else(|| {
        common.pick(&[0, 10_000][..], &[0, 10_000, 100_000, 1_000_000, 10_000_000]).to_vec()
    });
    let peers = common.peers(&ABLE);
    let mut lost = Vec::new();
    for &crowd in crowds.iter().filter(|_| options.only != Some(Kind::Sweep)) {
        let able = peers.iter().filter(|peer| peer.expiry() == Expiry::Idle || crowd == 0);
        let rows: Vec<Row> = able.map(|&peer| probe(common, peer, crowd)).collect();
        lost.extend(rows.iter().filter_map(broken_promise));
        journal.record(rows)?;
    }
    let largest = crowds.iter().max().filter(|_| options.only != Some(Kind::Probe));
    if let Some(&crowd) = largest {
        let able = peers.iter().filter(|peer| peer.expiry() == Expiry::Idle);
        let rows: Vec<Row> = able.map(|&peer| sweep(common, peer, crowd)).collect();
        lost.extend(rows.iter().filter_map(broken_promise));
        journal.record(rows)?;
    }
    if lost.is_empty() { Ok(()) } else { Err(io::Error::other(lost.join("; "))) }
}

/// What no noise can break: that sundown frees each of them, and none before its time.
fn broken_promise(row: &Row) -> Option<String> {
    let is_ours = row.peer == Peer::Sundown.to_string();
    let delivered = row.get("delivered %").map_or(0.0, |figure| figure.spread.min);
    let early = row.get("early").map_or(0.0, |figure| figure.spread.max);
    (is_ours && (delivered < 100.0 || early > 0.0))
        .then(|| format!("sundown delivered {delivered} % of the probes, {early} early"))
}

fn probe(common: &Common, peer: Peer, crowd: usize) -> Row {
    let lifetime = Duration::from_millis(common.pick(200, 1_000));
    let is_idle = peer.expiry() == Expiry::Idle;
    // Who takes no lifetimes of single sessions gets one for all, and has no crowd.
    let settings = Settings::lifetime(
        crowd + 2 * PROBES,
        if is_idle { Duration::from_secs(3_600) } else { lifetime },
    );
    let store: AnyStore<u128, Option<Arc<Probe>>> = peer.build(&settings);
    for n in 0..crowd {
        store.insert(u128::nth(n), None);
    }
    let (wanted, patience) = match (peer.expiry(), peer) {
        (Expiry::Idle, Peer::Sundown | Peer::FibreCachePrecise) => (common.rounds(20), PATIENCE),
        (Expiry::Idle, _) => (common.rounds(20).min(5), PATIENCE),
        // They have never delivered any: one look is enough.
        _ => (1, Duration::from_millis(common.pick(500, 5_000))),
    };
    let mut trials = Trials::default();
    while trials.good < wanted && trials.void < 4 * wanted {
        let watch = Arc::new(Watch::new(PROBES));
        let control = Control::start(Instant::now() + lifetime);
        let mut deadlines = Vec::with_capacity(PROBES);
        for index in 0..PROBES {
            deadlines.push(watch.now() + lifetime);
            let probe = Some(Arc::new(Probe { watch: Arc::clone(&watch), index }));
            let key = u128::nth(crowd + index);
            if is_idle {
                store.insert_for(key, probe, lifetime);
            } else {
                store.insert(key, probe);
            }
        }
        watch.wait(patience + lifetime);
        trials.add(&watch, &deadlines, control.lateness());
    }
    trials.row("lag", &[("behind", crowd.to_string())], peer)
}

fn sweep(common: &Common, peer: Peer, crowd: usize) -> Row {
    let span = Duration::from_millis(common.pick(500, 42_000));
    let step = Duration::from_millis(5);
    let settings = Settings::lifetime(2 * crowd + 20_000, Duration::from_secs(3_600));
    let store: AnyStore<u128, Option<Arc<Probe>>> = peer.build(&settings);
    // Filling takes a while: the sweep starts when the crowd is there, and the crowd's deadlines
    // follow the sweep's end.
    let filling = Duration::from_millis(200) + Duration::from_micros(3) * crowd as u32;
    let start = Instant::now() + filling;
    let end = start + span;
    for n in 0..crowd {
        let until = end + Duration::from_millis(1_000 + n as u64 % 2_000);
        store.insert_for(u128::nth(n), None, until.saturating_duration_since(Instant::now()));
    }
    let late_fill = Instant::now().saturating_duration_since(start);
    let count = (span.as_nanos() / step.as_nanos()) as usize;
    let watch = Arc::new(Watch::new(count));
    let control = Control::start(end);
    let deadlines: Vec<Duration> = (0..count)
        .map(|index| {
            let lifetime = (start + step * index as u32).saturating_duration_since(Instant::now());
            let deadline = watch.now() + lifetime;
            let probe = Some(Arc::new(Probe { watch: Arc::clone(&watch), index }));
            store.insert_for(u128::nth(crowd + index), probe, lifetime);
            deadline
        })
        .collect();
    watch.wait(end.saturating_duration_since(Instant::now()) + Duration::from_millis(900));
    if peer != Peer::FibreCache {
        watch.wait(PATIENCE);
    }
    let mut trials = Trials::default();
    trials.add(&watch, &deadlines, control.lateness());
    let row = trials.row("lag sweep", &[("before", crowd.to_string())], peer);
    let note = format!("{} filling {:.1} s late", row.note, late_fill.as_secs_f64());
    if late_fill.is_zero() { row } else { row.note(note.trim()) }
}

/// Where the probes write down when they died.
struct Watch {
    origin: Instant,
    /// Nanoseconds since the origin; 0 while alive.
    deaths: Box<[AtomicU64]>,
}

impl Watch {
    fn new(probes: usize) -> Self {
        let deaths = (0..probes).map(|_| AtomicU64::new(0)).collect();
        Self { origin: Instant::now(), deaths }
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn death(&self, index: usize) -> Option<Duration> {
        // Acquire: pairs with the store in Probe::drop.
        let nanos = self.deaths[index].load(Ordering::Acquire);
        (nanos > 0).then(|| Duration::from_nanos(nanos))
    }

    /// Sleeps until all have died, or the patience is at its end.
    fn wait(&self, patience: Duration) {
        let start = Instant::now();
        while start.elapsed() < patience
            && !(0..self.deaths.len()).all(|index| self.death(index).is_some())
        {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A session that writes down when it died. It does not allocate for that.
struct Probe {
    watch: Arc<Watch>,
    index: usize,
}

impl Drop for Probe {
    fn drop(&mut self) {
        let nanos = self.watch.now().as_nanos() as u64;
        // Release: pairs with the load in Watch::death.
        self.watch.deaths[self.index].store(nanos.max(1), Ordering::Release);
    }
}

/// A thread that only wakes up, around a deadline, and says how late it was at worst.
struct Control(JoinHandle<Duration>);

impl Control {
    fn start(deadline: Instant) -> Self {
        Self(thread::spawn(move || {
            thread::sleep(deadline.saturating_duration_since(Instant::now()));
            let mut worst = deadline.elapsed();
            for _ in 0..CONTROLS {
                let start = Instant::now();
                thread::sleep(CONTROL_STEP);
                worst = worst.max(start.elapsed() - CONTROL_STEP);
            }
            worst
        }))
    }

    fn lateness(self) -> Duration {
        self.0.join().expect("the control only sleeps")
    }
}

/// What the trials of one case found.
#[derive(Default)]
struct Trials {
    lags_ms: Vec<f64>,
    voided_ms: Vec<f64>,
    probes: usize,
    delivered: usize,
    early: usize,
    good: usize,
    void: usize,
    control_ms: f64,
}

impl Trials {
    fn add(&mut self, watch: &Watch, deadlines: &[Duration], control: Duration) {
        let is_void = control > VOID;
        let lags = if is_void { &mut self.voided_ms } else { &mut self.lags_ms };
        for (index, &deadline) in deadlines.iter().enumerate() {
            let Some(death) = watch.death(index) else { continue };
            self.delivered += 1;
            // The deadline was computed just before the insertion, so it cannot lie after the true
            // one.
            self.early += usize::from(death < deadline);
            lags.push((death.as_secs_f64() - deadline.as_secs_f64()) * 1e3);
        }
        self.probes += deadlines.len();
        if is_void {
            self.void += 1;
        } else {
            self.good += 1;
            self.control_ms = self.control_ms.max(control.as_secs_f64() * 1e3);
        }
    }

    fn row(self, bench: &str, case: &[(&str, String)], peer: Peer) -> Row {
        let row = Row::new(bench, case, peer);
        let mut notes = Vec::new();
        let mut lags = self.lags_ms;
        if self.good == 0 {
            notes.push(String::from("control late in every trial, counted all the same"));
            lags = self.voided_ms;
        } else if self.void > 0 {
            notes.push(format!("{} trials repeated, control late", self.void));
        }
        if self.delivered == 0 {
            notes.push(String::from("never"));
        }
        lags.sort_by(f64::total_cmp);
        let quantile = |share: f64| {
            let index = (lags.len() as f64 * share).ceil() as usize;
            lags.get(index.saturating_sub(1)).copied().map(Spread::from)
        };
        row.figure("trials", Spread::from((self.good + self.void) as f64))
            .figure("delivered %", Spread::from(100.0 * self.delivered as f64 / self.probes as f64))
            .figure("early", Spread::from(self.early as f64))
            .figure("p50 ms", quantile(0.5))
            .figure("p99 ms", quantile(0.99))
            .figure("p99.9 ms", quantile(0.999))
            .figure("max ms", quantile(1.0))
            .figure("control's worst ms", Spread::from(self.control_ms))
            .note(notes.join("; "))
    }
}

const PROBES: usize = 1_000;
/// Redis gave its probes 180 s; ours had better not need them.
const PATIENCE: Duration = Duration::from_secs(10);
/// A control later than this makes a trial void: the target allows 2 ms over the resolution.
const VOID: Duration = Duration::from_millis(2);
const CONTROL_STEP: Duration = Duration::from_millis(1);
const CONTROLS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn void_trials_count_for_delivery_and_not_for_lag() {
        let watch = Arc::new(Watch::new(2));
        drop(Probe { watch: Arc::clone(&watch), index: 0 });
        let deadlines = [Duration::ZERO, Duration::ZERO];
        let mut trials = Trials::default();
        trials.add(&watch, &deadlines, Duration::from_millis(5));
        assert_eq!((trials.lags_ms.len(), trials.void, trials.delivered), (0, 1, 1));
        trials.add(&watch, &deadlines, Duration::ZERO);
        assert_eq!((trials.lags_ms.len(), trials.good, trials.probes), (1, 1, 4));
        let row = trials.row("lag", &[], Peer::Sundown);
        assert_eq!(row.get("delivered %").map(|figure| figure.spread.median), Some(50.0));
        assert!(broken_promise(&row).is_some());
    }

    #[test]
    fn a_death_before_the_deadline_is_early() {
        let watch = Arc::new(Watch::new(1));
        drop(Probe { watch: Arc::clone(&watch), index: 0 });
        let mut trials = Trials::default();
        trials.add(&watch, &[Duration::from_secs(60)], Duration::ZERO);
        assert_eq!(trials.early, 1);
    }
}
