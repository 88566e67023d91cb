//! Figures: what a service owner reads off a cache.

use core::time::Duration;

use crate::error::Reason;
use crate::platform::sync::{AtomicU64, OnceLock, Ordering};
use crate::removal::RemovalCause;

/// The state of a cache in figures; see [`Cache::stats`](crate::Cache::stats).
///
/// When no call is in flight, `inserted == entries + retired.count + dropped`, exactly.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Linked sessions.
    pub entries: usize,
    /// Their weight; without a weigher every session weighs 1.
    pub weight: u64,
    /// The cap on entries.
    pub max_entries: Option<usize>,
    /// The cap on weight.
    pub max_weight: Option<u64>,
    /// Sessions taken in so far, replacements and updates included.
    pub inserted: u64,
    /// Sessions handed back so far, for whatever reason.
    pub rejected: u64,
    /// The same by reason; they add up to [`rejected`](Self::rejected).
    pub rejections: Rejections,
    /// Sessions that lived out their time to live.
    pub expired: u64,
    /// Sessions that nobody had used for their time to idle.
    pub idle: u64,
    /// Sessions evicted for lack of room.
    pub evicted: u64,
    /// Sessions removed by the caller.
    pub removed: u64,
    /// Sessions replaced under their key.
    pub replaced: u64,
    /// Sessions taken out by `clear`.
    pub cleared: u64,
    /// Sessions taken out by `close`.
    pub closed: u64,
    /// Evictions that took the coldest session found within the limit on looking, which may not
    /// have been the coldest of all.
    pub evicted_inexact: u64,
    /// Sessions that are unlinked but not yet dropped.
    pub retired: Retired,
    /// Sessions that are dropped, for all that the cache can do, and still held by the application;
    /// none unless the cache [tracks](crate::Builder::track_overstays) them.
    pub overstays: Overstayed,
    /// Sessions still linked more than one resolution after their deadline: should be 0.
    pub overdue: u64,
    /// Sessions whose key and value have been dropped or handed to the listener.
    pub dropped: u64,
    /// Calls of `get`, `read` and `touch` that found a live session.
    pub hits: u64,
    /// Calls of `get`, `read` and `touch` that found none.
    pub misses: u64,
    /// How long after their deadline expired sessions were freed.
    pub expiry_lag: Lag,
    /// Bytes that the cache holds beside keys and values: tables, records, and each session's own
    /// overhead.
    pub overhead_bytes: u64,
    /// Panics of the listener.
    pub listener_panics: u64,
    /// Panics of keys' and values' destructors.
    pub drop_panics: u64,
    /// Panics of who is told of [pressure](crate::Builder::on_pressure).
    pub pressure_panics: u64,
    /// How often the reaper has woken.
    pub reaper_wakeups: u64,
    /// Free memory that was given back to the operating system.
    pub given_back: GivenBack,
}

/// Sessions handed back so far, by [`Reason`]; part of [`Stats`].
///
/// # Examples
///
/// ```
/// use sundown::{Cache, OnFull};
/// let cache = Cache::builder().max_entries(1).on_full(OnFull::Reject).build()?;
/// cache.insert("one", 1)?;
/// cache.insert("two", 2).unwrap_err();
/// let stats = cache.stats();
/// assert_eq!((stats.rejected, stats.rejections.full), (1, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Rejections {
    /// There was no room: [`Reason::Full`].
    pub full: u64,
    /// Heavier than the whole cache may be: [`Reason::TooHeavy`].
    pub too_heavy: u64,
    /// The key had a live session already: [`Reason::Occupied`].
    pub occupied: u64,
    /// The key had no live session to replace, as with a request that saves after the log-out:
    /// [`Reason::Absent`].
    pub absent: u64,
    /// The cache was closed: [`Reason::Closed`].
    pub closed: u64,
}

impl Rejections {
    /// The counts of an array that has one for each reason, at its code.
    pub(crate) fn of(counts: [u64; Reason::COUNT]) -> Self {
        let count = |reason: Reason| counts[reason.code()];
        Self {
            full: count(Reason::Full),
            too_heavy: count(Reason::TooHeavy),
            occupied: count(Reason::Occupied),
            absent: count(Reason::Absent),
            closed: count(Reason::Closed),
        }
    }
}

/// Sessions that are unlinked but not yet dropped: a reader may still be inside, or the listener is
/// slow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Retired {
    /// How many there are.
    pub count: u64,
    /// Their weight.
    pub weight: u64,
    /// How long ago the oldest of them was unlinked.
    pub oldest: Duration,
}

/// Sessions that left the cache a while ago and are still held by the application; part of [`Stats`].
///
/// [`Cache::overstays`](crate::Cache::overstays) also tells where the handles were taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Overstayed {
    /// How many there are.
    pub count: u64,
    /// Their weight when they left.
    pub weight: u64,
    /// How long ago the first of them left.
    pub oldest: Duration,
}

/// How long after their deadline sessions were freed, over the cache's life.
///
/// The percentiles are upper bounds of histogram buckets, at most an eighth too high; `max` is
/// exact.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Lag {
    /// Half of the sessions were freed within this time.
    pub p50: Duration,
    /// 99 % of the sessions were freed within this time.
    pub p99: Duration,
    /// 99.9 % of the sessions were freed within this time.
    pub p999: Duration,
    /// The longest time of all.
    pub max: Duration,
}

/// How often memory was given back, and what the last time came to; part of
/// [`Stats`].
///
/// Under [`GiveBack::Auto`](crate::GiveBack::Auto) the figures are the process's, whichever cache it was done for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct GivenBack {
    /// How often it was done.
    pub count: u64,
    /// How often it failed: the closure panicked, or its thread could not be started.
    pub failures: u64,
    /// How long the last one took.
    pub last_took: Duration,
    /// By how much the process's resident memory fell during the last one; 0 where the platform
    /// does not tell.
    pub last_bytes: u64,
    /// How long ago the last one ended; `None` if there was none.
    pub since_last: Option<Duration>,
}

/// What [`Cache::audit`](crate::Cache::audit) counted while every invariant held.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Audit {
    /// Linked sessions.
    pub entries: usize,
    /// Their weight.
    pub weight: u64,
    /// Sessions taken in so far.
    pub inserted: u64,
    /// Sessions unlinked but not yet dropped.
    pub retired: u64,
    /// Sessions dropped or handed to the listener.
    pub dropped: u64,
    /// Shards walked.
    pub shards: usize,
}

impl Stats {
    /// Books `count` removals under their cause.
    pub(crate) fn add_removals(&mut self, counts: &[u64; RemovalCause::COUNT]) {
        for (code, count) in counts.iter().enumerate() {
            *match RemovalCause::from_code(code) {
                RemovalCause::Expired => &mut self.expired,
                RemovalCause::Idle => &mut self.idle,
                RemovalCause::Evicted => &mut self.evicted,
                RemovalCause::Removed => &mut self.removed,
                RemovalCause::Replaced => &mut self.replaced,
                RemovalCause::Cleared => &mut self.cleared,
                RemovalCause::Closed => &mut self.closed,
            } += count;
        }
    }
}

/// A histogram of lags: eight buckets to the octave, from 1 µs to 3 days.
///
/// H1. Every recorded lag is counted in exactly one bucket, whose upper bound is at least the lag
///     and, from 1 µs up to 3 days, at most an eighth above it.
#[derive(Debug)]
pub(crate) struct Histogram {
    /// Made with the first lag: most of what an idle cache would take.
    buckets: OnceLock<Box<[AtomicU64]>>,
    max_ns: AtomicU64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { buckets: OnceLock::new(), max_ns: AtomicU64::new(0) }
    }

    pub(crate) fn record_ns(&self, lag_ns: u64) {
        let empty = || (0..BUCKETS).map(|_| AtomicU64::new(0)).collect();
        // Relaxed: figures that no other memory depends on.
        self.buckets.get_or_init(empty)[bucket_of(lag_ns)].fetch_add(1, Ordering::Relaxed);
        if lag_ns > self.max_ns.load(Ordering::Relaxed) {
            self.max_ns.fetch_max(lag_ns, Ordering::Relaxed);
        }
    }

    pub(crate) fn lag(&self) -> Lag {
        // Relaxed, both: as in record_ns.
        let counts: Vec<u64> =
            self.buckets().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        let max_ns = self.max_ns.load(Ordering::Relaxed);
        let total: u64 = counts.iter().sum();
        let quantile = |per_mille: u64| {
            // The smallest bucket with at least this share of the total at or below it.
            let rank = (total * per_mille).div_ceil(1_000);
            let mut seen = 0;
            let bucket = counts.iter().position(|count| {
                seen += count;
                seen >= rank
            });
            let bound_ns = bucket.map_or(0, upper_bound_ns);
            Duration::from_nanos(bound_ns.min(max_ns))
        };
        Lag {
            p50: quantile(500),
            p99: quantile(990),
            p999: quantile(999),
            max: Duration::from_nanos(max_ns),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.buckets().count() * size_of::<AtomicU64>()
    }

    fn buckets(&self) -> impl Iterator<Item = &AtomicU64> {
        self.buckets.get().into_iter().flat_map(|buckets| buckets.iter())
    }
}

fn bucket_of(lag_ns: u64) -> usize {
    let clamped_ns = lag_ns.clamp(1 << FIRST_OCTAVE, (1 << LAST_OCTAVE) - 1);
    let octave = clamped_ns.ilog2();
    let within = (clamped_ns >> (octave - OCTAVE_BITS)) as usize & (OCTAVE_BUCKETS - 1);
    (octave - FIRST_OCTAVE) as usize * OCTAVE_BUCKETS + within
}

fn upper_bound_ns(bucket: usize) -> u64 {
    let octave = FIRST_OCTAVE + (bucket / OCTAVE_BUCKETS) as u32;
    let within = (bucket % OCTAVE_BUCKETS) as u64;
    let step_ns = 1 << (octave - OCTAVE_BITS);
    (1 << octave) + (within + 1) * step_ns - 1
}

/// 2^10 ns: what is freed within a microsecond counts as a microsecond.
const FIRST_OCTAVE: u32 = 10;
/// 2^48 ns: what is freed after three days counts as three days.
const LAST_OCTAVE: u32 = 48;
const OCTAVE_BITS: u32 = 3;
const OCTAVE_BUCKETS: usize = 1 << OCTAVE_BITS;
const BUCKETS: usize = (LAST_OCTAVE - FIRST_OCTAVE) as usize * OCTAVE_BUCKETS;

#[cfg(all(test, not(sundown_loom)))]
mod tests {
    use super::*;

    #[test]
    fn buckets_bound_their_lags_from_above_within_an_eighth() {
        for exponent in 10..48 {
            for offset in [0_u64, 1, 17, 1 << (exponent - 1)] {
                let lag_ns = (1_u64 << exponent) + offset;
                let bound_ns = upper_bound_ns(bucket_of(lag_ns));
                assert!(bound_ns >= lag_ns, "H1: {bound_ns} below {lag_ns}");
                assert!(bound_ns - lag_ns <= lag_ns / 8, "H1: {bound_ns} far above {lag_ns}");
            }
        }
        assert_eq!(bucket_of(0), 0);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_never_exceed_the_maximum() {
        let histogram = Histogram::new();
        for lag_us in 1..=1_000 {
            histogram.record_ns(lag_us * 1_000);
        }
        let lag = histogram.lag();
        assert!(lag.p50 >= Duration::from_micros(500) && lag.p50 <= Duration::from_micros(563));
        assert!(lag.p50 <= lag.p99 && lag.p99 <= lag.p999 && lag.p999 <= lag.max);
        assert_eq!(lag.max, Duration::from_millis(1));
    }
}
