//! The settings of a cache, and what is wrong with them.

mod callbacks;
mod levels;
mod overstays;
mod shards;
mod weight;

use core::fmt;
use core::panic::Location;
use core::time::Duration;

use self::levels::check_levels;
use self::shards::default_shards;
use crate::error::{BuildError, MOST_SHARDS};
use crate::lifetime::{LONGEST, Spans};
use crate::memory::GiveBack;
use crate::overstay::Watch;
use crate::platform::IS_BARE;
use crate::platform::clock::{Clock, NEVER_NS, nanos};
use crate::platform::hasher::RandomState;
use crate::platform::sync::Arc;
use crate::pressure::OnPressure;
use crate::reaper::Reaper;
use crate::removal::OnFull;
use crate::shard::Listener;
pub(crate) use overstays::with_roll;
pub(crate) use weight::{Weigher, with_overhead};

/// Sets up a [`Cache`](crate::Cache); made by [`Cache::builder`](crate::Cache::builder).
///
/// A cache must have a cap: `max_entries`, or `max_weight` with a `weigher`, or both. All else has a
/// default. The stores for web frameworks have a weigher of their own, in bytes.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use sundown::Cache;
///
/// let cache = Cache::builder()
///     .max_entries(1_000_000)
///     .time_to_live(Duration::from_secs(8 * 3600))
///     .time_to_idle(Duration::from_secs(30 * 60))
///     .build()?;
/// cache.insert(7_u128, "session")?;
/// assert_eq!(cache.get(&7), Some("session"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a builder does nothing until `build` is called"]
pub struct Builder<K, V, S = RandomState> {
    pub(crate) max_entries: Option<usize>,
    pub(crate) max_weight: Option<u64>,
    pub(crate) weigher: Option<Box<Weigher<K, V>>>,
    pub(crate) counts_overhead: bool,
    pub(crate) listener: Option<Box<Listener<K, V>>>,
    pub(crate) listener_place: Option<&'static Location<'static>>,
    pub(crate) watch: Option<Arc<dyn Watch<V>>>,
    pub(crate) on_pressure: Option<(Vec<f64>, Box<OnPressure>)>,
    pub(crate) on_full: OnFull,
    pub(crate) reaper: Reaper,
    pub(crate) reaper_stack_bytes: Option<usize>,
    pub(crate) give_back: GiveBack,
    pub(crate) clock: Clock,
    pub(crate) hasher: S,
    has_hasher: bool,
    time_to_live: Option<Duration>,
    time_to_idle: Option<Duration>,
    resolution: Duration,
    shards: Option<usize>,
}

impl<K, V> Builder<K, V> {
    pub(crate) fn new() -> Self {
        Self {
            max_entries: None,
            max_weight: None,
            weigher: None,
            counts_overhead: false,
            listener: None,
            listener_place: None,
            watch: None,
            on_pressure: None,
            on_full: OnFull::default(),
            reaper: Reaper::default(),
            reaper_stack_bytes: None,
            give_back: GiveBack::default(),
            clock: Clock::default(),
            hasher: RandomState::preset(),
            has_hasher: !IS_BARE,
            time_to_live: None,
            time_to_idle: None,
            resolution: DEFAULT_RESOLUTION,
            shards: None,
        }
    }
}

impl<K, V, S> Builder<K, V, S> {
    /// Caps the number of sessions: it is never exceeded, and nobody is evicted below it.
    pub fn max_entries(mut self, entries: usize) -> Self {
        self.max_entries = Some(entries);
        self
    }

    /// Ends sessions this long after their insertion, however much they are used.
    ///
    /// By default they do not end so. From more than zero to ten years of 366 days.
    pub fn time_to_live(mut self, time_to_live: Duration) -> Self {
        self.time_to_live = Some(time_to_live);
        self
    }

    /// Ends sessions that have not been used for this long.
    ///
    /// By default they do not end so. From more than zero to ten years of 366 days.
    ///
    /// A use is recorded to the millisecond before it, as the reader's clock shows it, and that
    /// clock may lag by a tick of the kernel's timer where the deadline is over a quarter of a
    /// second away (1 to 10 ms, 11 ms were seen; see [`Clock`]). So a session may end early, by less
    /// than 1 ms if its idle time is up to 250 ms, else by less than 1 ms and that lag. A session
    /// that nobody has used since its insertion ends exactly on time.
    pub fn time_to_idle(mut self, time_to_idle: Duration) -> Self {
        self.time_to_idle = Some(time_to_idle);
        self
    }

    /// How far apart the moments are at which sessions are freed: 1 ms to 1 h, by default 10 ms.
    ///
    /// An expired session is unlinked at its deadline rounded up to the next multiple of this, and
    /// freed within the same time again. No session is served late, whatever the resolution. A finer
    /// one wakes the reaper more often where deadlines are spread; with none due it costs nothing.
    pub fn resolution(mut self, resolution: Duration) -> Self {
        self.resolution = resolution;
        self
    }

    /// What to do with a session for which there is no room; by default the least recently used
    /// ones are evicted.
    pub fn on_full(mut self, on_full: OnFull) -> Self {
        self.on_full = on_full;
        self
    }

    /// Who frees what has expired; by default a thread that all caches of the process share.
    pub fn reaper(mut self, reaper: Reaper) -> Self {
        self.reaper = reaper;
        self
    }

    /// How large the reaper's stack is: 64 KiB to 1 GiB. By default it is the standard library's: 2 MiB, or
    /// what the environment's `RUST_MIN_STACK` says. A cache that sets this has a reaper of its own, as
    /// with [`Reaper::Thread`].
    ///
    /// Listeners and destructors run on it. A destructor that recurses, as that of a list of boxes,
    /// one inside the other, does so once for each link: tens of thousands fill 2 MiB, and then the
    /// process aborts. The reaper is not alone: a call that evicts, removes or closes runs destructors
    /// too, on its caller's stack. So where links come from outside, write a destructor that loops.
    /// The system provides memory for the part that is used only.
    pub fn reaper_stack_bytes(mut self, bytes: usize) -> Self {
        self.reaper_stack_bytes = Some(bytes);
        self
    }

    /// How free memory goes back to the operating system after many sessions have left; by default
    /// [`GiveBack::Auto`].
    ///
    /// A session that leaves frees its memory to the allocator, which may keep it: the process stays
    /// as large as it was at its height. So the reaper has the allocator give memory back when the
    /// population has fallen, on a short-lived thread of its own:
    ///
    /// - once that of all caches with [`GiveBack::Auto`] has fallen by a sixteenth of its peak, and by
    ///   this proportion 16 MiB of the process's resident memory may have been theirs, at 64 KiB each at
    ///   most; a cache's fall counts from 64 sessions on;
    /// - when the fall is over, that is, when nothing that is due and nothing removed still waits and
    ///   the last second added less than a sixty-fourth to it, or 30 s after it began;
    /// - at least 5 s, and five times as long as the last one took, after the last one. From the second
    ///   time in a row on that it brings back less than a quarter of what was to be expected, these 5 s
    ///   double, up to 85 minutes, except for a fall of four times as much.
    ///
    /// A cache with a [`GiveBack::with`] of its own goes by its own population.
    ///
    /// While `malloc_trim` works on one of its arenas, threads wait that allocate from it or free into
    /// it, 0.15 to 0.25 ms for each MiB that this arena gives back. After a storm of 630 MiB that eight
    /// threads had put in, an insertion waited 23 ms at most; where one thread had, 93 ms. Sessions
    /// that come due meanwhile are not served, and freed that much later. Whoever cannot have
    /// that takes [`GiveBack::Never`], or an allocator that gives back in the background.
    /// [`Stats::given_back`] tells how often it was done and how long it took. It is also done when the
    /// last handle is dropped.
    ///
    /// With [`Reaper::Manual`] nothing is given back.
    ///
    /// [`Stats::given_back`]: crate::Stats::given_back
    pub fn give_back(mut self, give_back: GiveBack) -> Self {
        self.give_back = give_back;
        self
    }

    /// The clock that lifetimes are measured with; by default [`Clock::monotonic`].
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        self
    }

    /// Into how many parts, each with a lock of its own, the cache is split; rounded up to a power
    /// of two.
    ///
    /// The default follows from the capacity, one for every 16,384 sessions so that the growth of a
    /// part's table stays under a millisecond, and from the cores, four for each. The capacity
    /// itself is not split.
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = Some(shards);
        self
    }

    /// Hashes keys with `hasher` instead of the default, which is ahash keyed at random.
    pub fn hasher<S2>(self, hasher: S2) -> Builder<K, V, S2> {
        Builder {
            max_entries: self.max_entries,
            max_weight: self.max_weight,
            weigher: self.weigher,
            counts_overhead: self.counts_overhead,
            listener: self.listener,
            listener_place: self.listener_place,
            watch: self.watch,
            on_pressure: self.on_pressure,
            on_full: self.on_full,
            reaper: self.reaper,
            reaper_stack_bytes: self.reaper_stack_bytes,
            give_back: self.give_back,
            clock: self.clock,
            hasher,
            has_hasher: true,
            time_to_live: self.time_to_live,
            time_to_idle: self.time_to_idle,
            resolution: self.resolution,
            shards: self.shards,
        }
    }

    /// The lifetimes as they were set.
    pub(crate) fn spans(&self) -> Spans {
        Spans {
            live_ns: self.time_to_live.map_or(NEVER_NS, nanos),
            idle_ns: self.time_to_idle.map_or(NEVER_NS, nanos),
        }
    }

    /// Turns what was set into what the engine needs, after which no number is checked again.
    pub(crate) fn check(&self) -> Result<Checked, BuildError> {
        if IS_BARE && self.clock.runs() {
            return Err(BuildError::NoClock);
        }
        if !self.has_hasher {
            return Err(BuildError::NoRandomness);
        }
        if self.max_entries.is_none() && self.max_weight.is_none() {
            return Err(BuildError::Unbounded);
        }
        if self.max_entries == Some(0) || self.max_weight == Some(0) {
            return Err(BuildError::ZeroCapacity);
        }
        if self.max_weight.is_some() && self.weigher.is_none() {
            return Err(BuildError::NoWeigher);
        }
        for lifetime in [self.time_to_live, self.time_to_idle].into_iter().flatten() {
            if lifetime.is_zero() {
                return Err(BuildError::ZeroLifetime);
            }
            if lifetime > LONGEST {
                return Err(BuildError::OverlongLifetime);
            }
        }
        if !(FINEST_RESOLUTION..=COARSEST_RESOLUTION).contains(&self.resolution) {
            return Err(BuildError::Resolution(self.resolution));
        }
        if let Some(bytes) = self.reaper_stack_bytes {
            if !(LEAST_STACK_BYTES..=MOST_STACK_BYTES).contains(&bytes) {
                return Err(BuildError::ReaperStack(bytes));
            }
        }
        if let Some((levels, _)) = &self.on_pressure {
            check_levels(levels)?;
        }
        let shards = self.shards.unwrap_or_else(|| default_shards(self.max_entries));
        if !(1..=MOST_SHARDS).contains(&shards) {
            return Err(BuildError::Shards(shards));
        }
        Ok(Checked {
            spans: self.spans(),
            resolution_ns: nanos(self.resolution),
            shards: shards.next_power_of_two(),
        })
    }
}

/// Settings that have been checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checked {
    pub(crate) spans: Spans,
    pub(crate) resolution_ns: u64,
    pub(crate) shards: usize,
}

impl<K, V, S> fmt::Debug for Builder<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("max_entries", &self.max_entries)
            .field("max_weight", &self.max_weight)
            .field("counts_overhead", &self.counts_overhead)
            .field("time_to_live", &self.time_to_live)
            .field("time_to_idle", &self.time_to_idle)
            .field("resolution", &self.resolution)
            .field("tracks_overstays", &self.watch.is_some())
            .field("on_full", &self.on_full)
            .field("reaper", &self.reaper)
            .field("reaper_stack_bytes", &self.reaper_stack_bytes)
            .field("give_back", &self.give_back)
            .field("clock", &self.clock)
            .field("shards", &self.shards)
            .finish_non_exhaustive()
    }
}

/// What the reaper itself needs, and a listener that does little.
const LEAST_STACK_BYTES: usize = 64 << 10;
/// Ten million links of a list. More is a slip, and a 32-bit machine has no room for it.
const MOST_STACK_BYTES: usize = 1 << 30;
const DEFAULT_RESOLUTION: Duration = Duration::from_millis(10);
/// What a touch is recorded to: finer ticks would promise what touches cannot keep.
const FINEST_RESOLUTION: Duration = Duration::from_millis(1);
const COARSEST_RESOLUTION: Duration = Duration::from_secs(3_600);
