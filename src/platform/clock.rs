//! Time: one axis of nanoseconds, two prices, and a clock that a test can own.
//!
//! All times inside the crate are nanoseconds on the axis of the cache's clock, in a `u64`. A read
//! takes the *coarse* clock, which the kernel keeps up to date and which costs a seventh of the
//! exact one, but lags behind it; whoever decides that a session is dead takes the *exact* one.
//!
//! C1. Neither reading ever goes back, and a coarse reading is never ahead of an exact one.
//! C2. A coarse reading lags by less than [`COARSE_MARGIN_NS`]: a deadline further away than that
//!     has not passed. The kernel promises one timer tick (1 to 10 ms); up to 11 ms were seen on a
//!     virtual machine, so the margin is far wider than both.
//! C3. Readings stop at [`LAST_NS`], 146 years in; sums with lifetimes cannot overflow a `u64`.
//!
//! Monotonic clocks may stand still while the machine is suspended. Then a session lives longer by
//! the time that the machine slept; whoever cannot have that takes [`Clock::boottime`].

use core::fmt;
use core::time::Duration;

use crate::platform::IS_BARE;
use crate::platform::sync::{Arc, AtomicU64, Mutex, Ordering, REPEATS, Weak};

/// A deadline that never comes.
pub(crate) const NEVER_NS: u64 = u64::MAX;
/// Where clocks stop (C3).
pub(crate) const LAST_NS: u64 = 1 << 62;
/// A coarse reading is trusted only for deadlines further away than this (C2).
pub(crate) const COARSE_MARGIN_NS: u64 = 250_000_000;
/// One millisecond: what a touch is recorded to.
pub(crate) const MILLI_NS: u64 = 1_000_000;

/// The process's own time, whatever clock a cache runs on: for how long something takes. It stands still
/// in models, which have to repeat, and where there is no clock.
#[inline]
pub(crate) fn process_ns() -> u64 {
    if IS_BARE || REPEATS { 0 } else { machine::exact_ns() }
}

/// How long to sleep until the process's time is `at_ns`; for ever if that never comes.
pub(crate) fn sleep_until(at_ns: u64) -> Option<Duration> {
    let ahead_ns = at_ns.saturating_sub(process_ns());
    (at_ns <= LAST_NS).then(|| Duration::from_nanos(ahead_ns.min(LONGEST_SLEEP_NS)))
}

/// The nanoseconds of `duration`, [`NEVER_NS`] where they do not fit.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(NEVER_NS)
}

/// What a cache measures lifetimes with; see [`Builder::clock`](crate::Builder::clock).
///
/// # The coarse clock
///
/// Where the platform has a coarse clock, [`Clock::monotonic`] has reads take it: `get`, `read`, `peek`,
/// `touch` and `contains_key`. They ask the exact clock only where the deadline is less than 250 ms
/// away. That takes for granted that the coarse clock lags by less than those 250 ms; kernels promise
/// one tick of their timer (1 to 10 ms), and 11 ms were seen on a virtual machine. Should it ever lag by
/// more, those five serve a session late by as much as is over, and calls that ask the exact clock do
/// not: `expires_in`, `for_each`, `retain` and all that take a lock. Nor does any call on a clock
/// without a coarse variant.
///
/// # Examples
///
/// ```
/// use sundown::{Cache, Clock};
/// let cache: Cache<u64, u64> =
///     Cache::builder().max_entries(10).clock(Clock::boottime()).build()?;
/// assert!(cache.is_empty());
/// # Ok::<(), sundown::BuildError>(())
/// ```
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    Monotonic,
    Boottime,
    Manual(ManualClock),
    Past(Arc<Past>),
}

/// A clock whose readings are ahead of another one's: room for what was before its beginning.
struct Past {
    clock: Clock,
    ahead_ns: u64,
}

impl Clock {
    /// The machine's monotonic clock; the default.
    ///
    /// A wall clock that is set does not move it. Reads take its coarse variant where the platform
    /// has one (Linux, Android: about 3 ns instead of about 22 ns). It may stand still while the
    /// machine is suspended: a session then outlives its time by as long as the machine slept.
    #[must_use]
    pub fn monotonic() -> Self {
        Self(Source::Monotonic)
    }

    /// The monotonic clock that also counts the time during which the machine is suspended.
    ///
    /// On Linux and Android this is `CLOCK_BOOTTIME`, which has no coarse variant: every read pays
    /// for the exact clock (about 22 ns). After a suspension no session is served late; the freeing
    /// follows within ten seconds, since a sleeping thread's own timer stands still meanwhile and
    /// so the reaper looks at least that often. Elsewhere it is the same as [`Clock::monotonic`].
    #[must_use]
    pub fn boottime() -> Self {
        Self(Source::Boottime)
    }

    /// The same clock with a past: its readings begin at `past_ns`, so that what was before the machine's start,
    /// or a manual clock's, has a time as well. Only clones of what this gives share its axis.
    #[allow(dead_code, reason = "for what is brought along from another process, by a feature")]
    pub(crate) fn with_past(self, past_ns: u64) -> Self {
        match &self.0 {
            Source::Past(past) if past.ahead_ns >= past_ns => self,
            _ => Self(Source::Past(Arc::new(Past { clock: self, ahead_ns: past_ns }))),
        }
    }

    /// A reading that may lag by less than [`COARSE_MARGIN_NS`].
    #[inline]
    pub(crate) fn coarse_ns(&self) -> u64 {
        match &self.0 {
            Source::Monotonic => machine::coarse_ns(),
            Source::Manual(manual) => manual.now_ns(),
            source => source.coarse_ns(),
        }
    }

    /// The time.
    #[inline]
    pub(crate) fn exact_ns(&self) -> u64 {
        match &self.0 {
            Source::Monotonic => machine::exact_ns(),
            Source::Manual(manual) => manual.now_ns(),
            source => source.exact_ns(),
        }
    }

    /// Whether time passes by itself.
    pub(crate) fn runs(&self) -> bool {
        match &self.0 {
            Source::Manual(_) => false,
            Source::Past(past) => past.clock.runs(),
            Source::Monotonic | Source::Boottime => true,
        }
    }

    /// The process's time at which to look whether `at_ns` has come on this clock. A clock that is moved by
    /// hand is looked at right away, and again whenever it is moved.
    pub(crate) fn look_ns(&self, at_ns: u64) -> u64 {
        match &self.0 {
            _ if at_ns == NEVER_NS => NEVER_NS,
            Source::Monotonic => at_ns,
            Source::Past(past) => past.clock.look_ns(at_ns.saturating_sub(past.ahead_ns)),
            Source::Boottime => {
                let ahead_ns = at_ns.saturating_sub(self.exact_ns());
                process_ns().saturating_add(ahead_ns.min(RESUME_CHECK_NS))
            }
            Source::Manual(_) => 0,
        }
    }

    /// Asks to be told when a manual clock moves; other clocks move by themselves.
    pub(crate) fn on_advance(&self, wake: &Arc<dyn Wake>) {
        match &self.0 {
            Source::Manual(manual) => {
                let mut sleepers = manual.0.sleepers.lock();
                sleepers.retain(|sleeper| sleeper.strong_count() > 0);
                sleepers.push(Arc::downgrade(wake));
            }
            Source::Past(past) => past.clock.on_advance(wake),
            Source::Monotonic | Source::Boottime => {}
        }
    }
}

/// Out of the way of the usual clock.
impl Source {
    #[inline(never)]
    fn coarse_ns(&self) -> u64 {
        match self {
            Self::Past(past) => past.clock.coarse_ns() + past.ahead_ns,
            source => source.exact_ns(),
        }
    }

    #[inline(never)]
    fn exact_ns(&self) -> u64 {
        match self {
            Self::Monotonic => machine::exact_ns(),
            Self::Boottime => machine::boottime_ns(),
            Self::Manual(manual) => manual.now_ns(),
            Self::Past(past) => past.clock.exact_ns() + past.ahead_ns,
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::monotonic()
    }
}

impl From<ManualClock> for Clock {
    fn from(clock: ManualClock) -> Self {
        Self(Source::Manual(clock))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Source::Monotonic => "Clock::Monotonic",
            Source::Boottime => "Clock::Boottime",
            Source::Manual(_) => "Clock::Manual",
            Source::Past(past) => return past.clock.fmt(f),
        })
    }
}

/// Somebody who sleeps until a time and wants to know when a manual clock moves.
pub(crate) trait Wake: Send + Sync {
    fn wake(&self);
}

/// A clock that moves only when it is told to: time travel for tests.
///
/// Clones share one time, which starts at zero. It stops after 146 years.
///
/// Uses count by the millisecond, and those within the same one as equal: while the clock stands still,
/// a use makes no session younger than another. A test of who is evicted moves it on by a millisecond
/// between two uses:
///
/// ```
/// # use std::time::Duration;
/// # use sundown::{Cache, ManualClock, Reaper};
/// let clock = ManualClock::new();
/// let cache = Cache::builder().max_entries(2).clock(clock.clone()).reaper(Reaper::Manual).build()?;
/// let tick = || clock.advance(Duration::from_millis(1));
/// cache.insert("a", 1)?;
/// cache.insert("b", 2)?;
/// tick();
/// cache.get("a");
/// tick();
/// cache.insert("c", 3)?;
/// assert!(cache.contains_key("a") && !cache.contains_key("b"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// On a target without a clock, as `wasm32-unknown-unknown`, it is the only one, and is moved on by the
/// host's.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use sundown::{Cache, ManualClock, Reaper};
///
/// let clock = ManualClock::new();
/// let cache = Cache::builder()
///     .max_entries(10)
///     .time_to_live(Duration::from_secs(60))
///     .clock(clock.clone())
///     .reaper(Reaper::Manual)
///     .build()?;
/// cache.insert("id", "session")?;
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(cache.get("id"), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct ManualClock(Arc<Manual>);

#[derive(Default)]
struct Manual {
    now_ns: AtomicU64,
    sleepers: Mutex<Vec<Weak<dyn Wake>>>,
}

impl ManualClock {
    /// A clock that stands at zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves the clock on and wakes the reapers of all caches that run on it.
    ///
    /// The reapers work in their own threads: what has become due is gone soon after, not when this
    /// returns. Call [`Cache::reap`](crate::Cache::reap) to have it gone at once.
    ///
    /// **Locking:** one lock of its own, for the list of sleepers.
    pub fn advance(&self, by: Duration) {
        let by_ns = nanos(by);
        // Release: pairs with the Acquire in now_ns, so that what the test did before it moved the
        // clock is seen by whoever acts on the new time.
        let moved = self.0.now_ns.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |now_ns| {
            Some(now_ns.saturating_add(by_ns).min(LAST_NS))
        });
        debug_assert!(moved.is_ok(), "the update never declines");
        let sleepers: Vec<_> = {
            let mut sleepers = self.0.sleepers.lock();
            sleepers.retain(|sleeper| sleeper.strong_count() > 0);
            sleepers.iter().filter_map(Weak::upgrade).collect()
        };
        for sleeper in sleepers {
            sleeper.wake();
        }
    }

    /// How far the clock has been moved in all.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.now_ns())
    }

    fn now_ns(&self) -> u64 {
        // Acquire: pairs with the update in advance.
        self.0.now_ns.load(Ordering::Acquire)
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ManualClock").field(&self.elapsed()).finish()
    }
}

/// A year: who has longer to wait wakes once in between.
const LONGEST_SLEEP_NS: u64 = 366 * 86_400 * 1_000_000_000;
/// How soon after a resume the reaper notices that a boot-time clock has jumped.
const RESUME_CHECK_NS: u64 = 10_000_000_000;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod machine {
    //! The kernel's clocks. The coarse one is the exact one as of the last timer tick, on one axis.

    use rustix::time::{ClockId, clock_gettime};

    #[inline]
    fn read_ns(id: ClockId) -> u64 {
        let time = clock_gettime(id);
        // Neither part of a monotonic reading is negative, and 2^62 ns are 146 years of uptime.
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }

    #[inline]
    pub(super) fn coarse_ns() -> u64 {
        read_ns(ClockId::MonotonicCoarse)
    }

    #[inline]
    pub(super) fn exact_ns() -> u64 {
        read_ns(ClockId::Monotonic)
    }

    #[inline]
    pub(super) fn boottime_ns() -> u64 {
        read_ns(ClockId::Boottime)
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod machine {
    //! The standard library's clock, measured from its first use; it has no coarse variant.

    use std::sync::LazyLock;
    use std::time::Instant;

    static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

    #[inline]
    pub(super) fn exact_ns() -> u64 {
        u64::try_from(ORIGIN.elapsed().as_nanos()).unwrap_or(super::LAST_NS)
    }

    #[inline]
    pub(super) fn coarse_ns() -> u64 {
        exact_ns()
    }

    #[inline]
    pub(super) fn boottime_ns() -> u64 {
        exact_ns()
    }
}

#[cfg(all(test, not(sundown_loom)))]
mod tests {
    use super::*;

    #[test]
    fn coarse_is_never_ahead_and_lags_within_the_margin() {
        let clock = Clock::monotonic();
        for _ in 0..100_000 {
            let coarse_ns = clock.coarse_ns();
            let exact_ns = clock.exact_ns();
            assert!(coarse_ns <= exact_ns, "C1: coarse {coarse_ns} ahead of {exact_ns}");
        }
    }

    #[test]
    fn sleepers_wake_once_a_year_after_a_resume_and_else_not_in_vain() {
        let [hour, century] = [3_600, 100 * 366 * 86_400].map(|secs| secs * 1_000_000_000);
        let is_about = |at_ns: u64, seconds| {
            let left = Duration::from_secs(seconds).checked_sub(sleep_until(at_ns).unwrap());
            assert!(left < Some(Duration::from_secs(1)) && left.is_some(), "{left:?} too short");
        };
        let now_ns = process_ns();
        is_about(now_ns + hour, 3_600);
        is_about(now_ns + century, 366 * 86_400);
        assert_eq!(sleep_until(NEVER_NS), None);
        assert_eq!(sleep_until(0), Some(Duration::ZERO));
        let monotonic = Clock::monotonic();
        assert_eq!([hour, NEVER_NS].map(|at_ns| monotonic.look_ns(at_ns)), [hour, NEVER_NS]);
        let boottime = Clock::boottime();
        is_about(boottime.look_ns(boottime.exact_ns() + hour), 10);
        assert_eq!(boottime.look_ns(NEVER_NS), NEVER_NS, "nothing is there to be late for");
        assert_eq!(Clock::from(ManualClock::new()).look_ns(hour), 0);
    }

    #[test]
    fn a_clock_with_a_past_keeps_the_process_time_of_its_alarms() {
        let manual = ManualClock::new();
        let clock = Clock::from(manual.clone()).with_past(7);
        manual.advance(Duration::from_nanos(5));
        assert_eq!([clock.exact_ns(), clock.coarse_ns()], [12, 12]);
        let monotonic = Clock::monotonic().with_past(1_000);
        assert_eq!([5_000, NEVER_NS].map(|at_ns| monotonic.look_ns(at_ns)), [4_000, NEVER_NS]);
    }

    #[test]
    fn manual_clock_saturates_at_the_end_of_time() {
        let manual = ManualClock::new();
        manual.advance(Duration::MAX);
        manual.advance(Duration::MAX);
        assert_eq!(Clock::from(manual).exact_ns(), LAST_NS);
    }
}
