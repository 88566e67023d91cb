//! A sum under a cap that notices, in time, that the cap is near.
//!
//! Levels are shares of a cap. A level is *risen* from when the cap's sum of reserved room reaches
//! it until the sum falls below a twentieth less (but for caps too small for that, below the sum
//! before). Each turn from one to the other is told once, outside every lock. Nobody polls for it:
//! the sum itself is where it is noticed. [`Scale`] marks on it the *edges* at which a level rises or
//! falls, and between them a *mark*: the flow in and out is measured from when the sum last passed it.
//!
//! ```text
//!    sum   ──┬─────────┬──────────┬──────►      whoever moves the sum over one of
//!          falls     mark       rises           the three does it under the lock
//! ```
//!
//! Q1. A step of the sum that passes an edge is taken under the lock of [`News`], any other without.
//!     Which of both it is follows from the two values of its compare-and-swap alone, so no step
//!     slips over an edge unseen: the steps that pass edges come in one order, that of the lock,
//!     which is also the order in which the sum had these values.
//! Q2. Under the lock, the levels risen are what the sum's history makes them. All other steps leave
//!     the sum between the same two edges, and change nothing about it. So turns of a level
//!     alternate, each is noticed by exactly one step, and none is lost, however short it was.
//! Q3. What was noticed is told in its order, by one thread at a time. Whoever noticed something
//!     comes by when it has let go of all locks. It finds the queue empty, and then somebody else has
//!     told it; or another thread telling, who looks once more under the lock before it stops; or it
//!     tells it. The same goes for a callback that calls the cache: what that makes of the sum is
//!     told after it has returned.
//! Q4. The queue is bounded. While more than [`MOST_UNTOLD`] turns wait for a slow callback, a turn
//!     takes back the one before it of the same level, if that has not been told either: both had
//!     come and gone, and turns of each level still alternate.
//!
//! All atomic accesses are relaxed: the sum guards no memory, and what a turn tells is guarded by the
//! lock. A hint whether anything waits ([`News::is_waiting`]) is written under the lock; who noticed
//! something reads its own `true`, or a later `false` of somebody who has taken it out.

use core::time::Duration;
use std::collections::VecDeque;

use crate::platform::clock::Clock;
use crate::platform::sync::{Arc, AtomicBool, AtomicU64, Mutex, Ordering};
use crate::pressure::{Cap, Direction, Flow, Pressure};

/// A sum under a cap, and what is noticed when it moves.
#[derive(Debug)]
pub(crate) struct Gauge {
    sum: AtomicU64,
    /// All that was ever given back; kept only with a scale.
    out: AtomicU64,
    scale: Option<Box<Scale>>,
}

impl Gauge {
    pub(crate) fn new() -> Self {
        Self { sum: AtomicU64::new(0), out: AtomicU64::new(0), scale: None }
    }

    /// Has it tell `news` when the sum passes one of `levels` of `limit`.
    pub(crate) fn watch(&mut self, cap: Cap, limit: u64, levels: &[f64], news: &Arc<News>) {
        let bands: Box<[Band]> = levels.iter().map(|&level| Band::of(level, limit)).collect();
        let edges = bands.iter().flat_map(|band| [band.falls, band.mark, band.rises]).collect();
        self.scale = Some(Box::new(Scale { cap, limit, bands, edges, news: news.clone() }));
    }

    pub(crate) fn bytes(&self) -> usize {
        self.scale.as_ref().map_or(0, |scale| {
            size_of_val(&**scale) + size_of_val(&*scale.bands) + size_of_val(&*scale.edges)
        })
    }

    #[inline]
    pub(crate) fn sum(&self) -> u64 {
        // Relaxed: a figure; who needs room reserves it.
        self.sum.load(Ordering::Relaxed)
    }

    /// Adds `more` unless that exceeds `cap`.
    #[inline]
    pub(crate) fn try_add(&self, more: u64, cap: Option<u64>) -> bool {
        let cap = cap.unwrap_or(u64::MAX);
        let plan = |sum: u64| sum.checked_add(more).filter(|&sum| sum <= cap);
        match &self.scale {
            // Relaxed, both: it guards no memory.
            None => self.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, plan).is_ok(),
            Some(scale) => self.try_add_watched(scale, more, cap),
        }
    }

    /// Takes off what was added before.
    #[inline]
    pub(crate) fn take_off(&self, less: u64) {
        match &self.scale {
            None => {
                // Relaxed: as above.
                self.sum.fetch_sub(less, Ordering::Relaxed);
            }
            Some(scale) => self.take_off_watched(scale, less),
        }
    }

    // Both away from where nobody watches, so that it costs one branch there.
    #[cold]
    #[inline(never)]
    fn try_add_watched(&self, scale: &Scale, more: u64, cap: u64) -> bool {
        self.step(scale, |sum| sum.checked_add(more).filter(|&sum| sum <= cap))
    }

    #[cold]
    #[inline(never)]
    fn take_off_watched(&self, scale: &Scale, less: u64) {
        // Relaxed: as above.
        self.out.fetch_add(less, Ordering::Relaxed);
        let is_off = self.step(scale, |sum| sum.checked_sub(less));
        debug_assert!(is_off, "no more is taken off than was added");
    }

    /// Moves the sum to what `plan` makes of it, if it makes something.
    fn step(&self, scale: &Scale, plan: impl Fn(u64) -> Option<u64>) -> bool {
        let mut old = self.sum();
        while let Some(new) = plan(old) {
            if scale.has_edge_between(old, new) {
                return self.step_over_edge(scale, plan);
            }
            // Relaxed, both: as above.
            match self.sum.compare_exchange_weak(old, new, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(other) => old = other,
            }
        }
        false
    }

    #[cold]
    fn step_over_edge(&self, scale: &Scale, plan: impl Fn(u64) -> Option<u64>) -> bool {
        let mut record = scale.news.record.lock();
        // Relaxed, both: the lock orders it among the steps that pass edges (Q1).
        let Ok(old) = self.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, &plan) else {
            return false;
        };
        // As it was for that swap. It may have passed no edge by now, and then this does nothing.
        if let Some(new) = plan(old) {
            // Relaxed: a figure.
            let out = self.out.load(Ordering::Relaxed);
            scale.note(&mut record, (old, new), out);
        }
        true
    }
}

/// Where on a sum its levels lie.
#[derive(Debug)]
struct Scale {
    cap: Cap,
    limit: u64,
    bands: Box<[Band]>,
    /// All bands' three points.
    edges: Box<[u64]>,
    news: Arc<News>,
}

/// One level: it rises at `rises` and falls below `falls`.
#[derive(Clone, Copy, Debug)]
struct Band {
    level: f64,
    falls: u64,
    mark: u64,
    rises: u64,
}

impl Band {
    fn of(level: f64, limit: u64) -> Self {
        // The least sum that is such a share of the cap; the product may have been rounded past it.
        let product = (limit as f64 * level) as u64;
        let is_reached = |&sum: &u64| sum as f64 / limit as f64 >= level;
        let near = product.saturating_sub(1).max(1)..=product.saturating_add(1).min(limit);
        let rises = near.into_iter().find(is_reached).unwrap_or(limit);
        let falls = (rises - rises / SLACK).min(rises - 1).max(1);
        Self { level, falls, mark: falls + (rises - falls) / 2, rises }
    }
}

impl Scale {
    /// Whether one of two sums lies below an edge and the other does not.
    #[inline]
    fn has_edge_between(&self, old: u64, new: u64) -> bool {
        self.edges.iter().any(|&edge| (old < edge) != (new < edge))
    }

    /// Notes what a step over an edge means.
    fn note(&self, record: &mut Record, (old, new): (u64, u64), out: u64) {
        let sample = Sample { at_ns: self.news.clock.exact_ns(), sum: new, out };
        let (low, high) = (old.min(new), old.max(new));
        let is_rising = old < new;
        // Levels rise from the lowest and fall from the highest.
        for at in 0..self.bands.len() {
            let at = if is_rising { at } else { self.bands.len() - 1 - at };
            let band = self.bands[at];
            let track = &mut record.tracks[self.cap as usize][at];
            if low < band.mark && band.mark <= high {
                track.mark = Some(sample);
            }
            let direction = match track.is_risen {
                false if new >= band.rises => Direction::Rising,
                true if new < band.falls => Direction::Falling,
                _ => continue,
            };
            track.is_risen = !track.is_risen;
            let flow = track.mark.and_then(|mark| mark.flow_until(sample));
            let pressure = Pressure {
                cap: self.cap,
                level: band.level,
                direction,
                entries: new as usize,
                weight: new,
                limit: self.limit,
                flow,
                time_to_full: flow.and_then(|flow| flow.time_for(self.limit - new)),
            };
            record.file(pressure);
        }
        // Relaxed: a hint; see above.
        self.news.is_waiting.store(!record.untold.is_empty(), Ordering::Relaxed);
    }
}

/// A moment of a sum.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at_ns: u64,
    sum: u64,
    out: u64,
}

impl Sample {
    fn flow_until(self, later: Self) -> Option<Flow> {
        // Saturating: two threads may have read the clock in the other order.
        let over = Duration::from_nanos(later.at_ns.saturating_sub(self.at_ns));
        if over.is_zero() {
            return None;
        }
        let out = later.out.wrapping_sub(self.out);
        // Saturating: what is about to leave may have been counted before.
        let came = later.sum.wrapping_add(out).saturating_sub(self.sum);
        let per_second = |amount: u64| amount as f64 / over.as_secs_f64();
        Some(Flow { in_per_second: per_second(came), out_per_second: per_second(out), over })
    }
}

impl Flow {
    fn time_for(self, room: u64) -> Option<Duration> {
        let growth = self.in_per_second - self.out_per_second;
        (growth > 0.0).then(|| Duration::try_from_secs_f64(room as f64 / growth).ok()).flatten()
    }
}

/// What has been noticed and not yet told.
#[derive(Debug)]
pub(crate) struct News {
    record: Mutex<Record>,
    is_waiting: AtomicBool,
    clock: Clock,
}

#[derive(Debug)]
struct Record {
    /// For each cap its levels.
    tracks: [Box<[Track]>; 2],
    untold: VecDeque<Pressure>,
    is_telling: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Track {
    is_risen: bool,
    /// When the sum last passed the mark.
    mark: Option<Sample>,
}

impl Record {
    fn file(&mut self, pressure: Pressure) {
        if self.untold.len() >= MOST_UNTOLD {
            let is_same =
                |other: &Pressure| other.cap == pressure.cap && other.level == pressure.level;
            if let Some(before) = self.untold.iter().rposition(is_same) {
                self.untold.remove(before);
                return;
            }
        }
        self.untold.push_back(pressure);
    }
}

impl News {
    pub(crate) fn new(levels: usize, clock: Clock) -> Self {
        let tracks = || vec![Track::default(); levels].into_boxed_slice();
        let record = Record {
            tracks: [tracks(), tracks()],
            // Room for all, as it is filled under a shard's lock: see `Record::file`.
            untold: VecDeque::with_capacity(MOST_UNTOLD + 2 * levels),
            is_telling: false,
        };
        Self { record: Mutex::new(record), is_waiting: AtomicBool::new(false), clock }
    }

    /// Whether there is something to tell; who noticed something is not told otherwise.
    #[inline]
    pub(crate) fn is_waiting(&self) -> bool {
        // Relaxed: a hint; see above.
        self.is_waiting.load(Ordering::Relaxed)
    }

    /// Tells what waits, unless somebody is at it (Q3). No lock may be held, and `tell` must not
    /// unwind.
    pub(crate) fn tell_all(&self, tell: impl Fn(Pressure)) {
        let mut record = self.record.lock();
        if record.is_telling {
            return;
        }
        while let Some(pressure) = record.untold.pop_front() {
            // Relaxed: a hint; see above.
            self.is_waiting.store(!record.untold.is_empty(), Ordering::Relaxed);
            record.is_telling = true;
            drop(record);
            tell(pressure);
            record = self.record.lock();
        }
        record.is_telling = false;
    }

    /// Whether nobody has the lock.
    pub(crate) fn is_free(&self) -> bool {
        self.record.try_lock().is_some()
    }

    pub(crate) fn bytes(&self) -> usize {
        let record = self.record.lock();
        let tracks: usize = record.tracks.iter().map(|tracks| size_of_val(&**tracks)).sum();
        size_of::<Self>() + tracks + record.untold.capacity() * size_of::<Pressure>()
    }
}

/// A level is left at a twentieth below it: a load that hovers there is told once.
const SLACK: u64 = 20;
/// Turns that wait for a callback that is slow.
const MOST_UNTOLD: usize = 64;

#[cfg(all(test, sundown_loom))]
mod loom_tests;
#[cfg(all(test, not(sundown_loom)))]
mod tests;
