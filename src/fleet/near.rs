//! The near cache: copies of sessions, and whether they may be served (F2, F3).
//!
//! A *generation* is a number; its lowest bit says whether the stream is whole. A copy carries the generation in
//! which the backend was asked for it.
//!
//! ```text
//!             prove, a new generation            lose
//!   bypassed ─────────────────────────► whole ─────────► bypassed
//!                                       │   ▲
//!                      prove: the lease └───┘ flush: a new generation
//! ```

use core::time::Duration;

use super::backend::Facts;
use super::key::Key;
use super::loaded::Loaded;
use super::options::TieredOptions;
use super::watcher::Watched;
use crate::builder::Builder;
use crate::cache::{Cache, Fill};
use crate::error::BuildError;
use crate::memory::GiveBack;
use crate::platform::clock::{Clock, nanos};
use crate::platform::sync::{AtomicBool, AtomicU64, Mutex, Ordering};

pub(super) struct Near<V: Send + Sync + 'static> {
    pub(super) cache: Cache<Key, Loaded<V>>,
    tombstones: Cache<Key, ()>,
    clock: Clock,
    lease_ns: u64,
    staleness: Duration,
    /// Whether the backend has no stream.
    is_alone: AtomicBool,
    /// Doubled, and one more while the stream is whole.
    generation: AtomicU64,
    /// When the last proof began.
    proven_ns: AtomicU64,
    /// How often the stream was lost; guards changes of the generation.
    losses: Mutex<u64>,
    pub(super) figures: Figures,
}

/// What the stream has come to.
#[derive(Default)]
pub(super) struct Figures {
    pub(super) invalidations: AtomicU64,
    pub(super) gaps: AtomicU64,
    pub(super) lag_ns: AtomicU64,
}

/// A copy that was asked for and may come too late.
pub(super) struct Filling<V: Send + Sync + 'static> {
    fill: Fill<Key, Loaded<V>>,
    key: Key,
    asked_ns: u64,
    /// None if the near cache is bypassed.
    generation: Option<u64>,
}

/// What became of it.
pub(super) enum Filled<V> {
    /// Nothing has changed since it was asked for, as far as is known here.
    Current(Loaded<V>),
    Superseded(Loaded<V>),
}

impl<V: Send + Sync + 'static> Near<V> {
    pub(super) fn new(
        builder: Builder<Key, Loaded<V>>,
        options: &TieredOptions,
    ) -> Result<Self, BuildError> {
        let tombstones = Cache::builder()
            .max_entries(MOST_TOMBSTONES)
            .time_to_live(TOMBSTONE_AGE.max(options.timeout * 2))
            .reaper(builder.reaper)
            .give_back(GiveBack::Never)
            .build()?;
        Ok(Self {
            cache: builder.build()?,
            tombstones,
            clock: Clock::monotonic(),
            lease_ns: nanos(options.lease),
            staleness: options.max_staleness,
            is_alone: AtomicBool::new(false),
            generation: AtomicU64::new(0),
            proven_ns: AtomicU64::new(0),
            losses: Mutex::new(0),
            figures: Figures::default(),
        })
    }

    /// The backend has no stream: copies are served for as long as they may be stale.
    pub(super) fn be_alone(&self) {
        if !self.staleness.is_zero() {
            // Release: the generation is seen with it by those who Acquire that.
            self.is_alone.store(true, Ordering::Release);
            self.generation.store(1, Ordering::Release);
        }
    }

    pub(super) fn now_ns(&self) -> u64 {
        self.clock.coarse_ns()
    }

    pub(super) fn exact_ns(&self) -> u64 {
        self.clock.exact_ns()
    }

    /// Whether copies are served now.
    pub(super) fn is_whole(&self) -> bool {
        self.current().is_some()
    }

    /// The generation, while its copies may be served (F3).
    #[inline]
    fn current(&self) -> Option<u64> {
        // Acquire: pairs with the Release in `prove`, whose proof is seen with its generation.
        let generation = self.generation.load(Ordering::Acquire);
        let proven_ns = self.proven_ns.load(Ordering::Acquire);
        // Acquire: pairs with the Release in `be_alone`.
        let holds = self.now_ns().saturating_sub(proven_ns) < self.lease_ns
            || self.is_alone.load(Ordering::Acquire);
        (generation & WHOLE != 0 && holds).then_some(generation)
    }

    /// A copy that may be served.
    #[inline]
    pub(super) fn hit(&self, key: &Key) -> Option<Loaded<V>> {
        let current = self.current()?;
        self.cache.get_if(key, |copy| copy.generation() == current)
    }

    /// A copy of the last generation, while it may be stale, for want of an answer.
    pub(super) fn stale(&self, key: &Key) -> Option<Loaded<V>> {
        if self.staleness.is_zero() || self.is_buried(key) {
            return None;
        }
        // Acquire: as in `current`.
        let last = self.generation.load(Ordering::Acquire) | WHOLE;
        let proven_ns = self.proven_ns.load(Ordering::Acquire);
        let age_ns = self.clock.exact_ns().saturating_sub(proven_ns);
        if age_ns > nanos(self.staleness) {
            return None;
        }
        self.cache.get_if(key, |copy| copy.generation() == last)
    }

    /// Whether a session was ended through this instance lately (F7).
    pub(super) fn is_buried(&self, key: &Key) -> bool {
        self.tombstones.contains_key(key)
    }

    /// A session has ended.
    pub(super) fn bury(&self, key: &Key) {
        let _full = self.tombstones.insert(*key, ());
        self.cache.discard(key);
    }

    /// Takes a copy out, and supersedes its fills.
    pub(super) fn forget(&self, key: &Key) {
        self.cache.discard(key);
    }

    /// Begins to ask the backend for a session, or to write it.
    pub(super) fn begin(&self, key: &Key) -> Filling<V> {
        let generation = self.current();
        let fill = self.cache.begin_fill(key);
        Filling { fill, key: *key, asked_ns: self.exact_ns(), generation }
    }

    /// Puts in what the backend has answered, unless it comes too late (F2).
    pub(super) fn complete(&self, filling: Filling<V>, value: V, facts: Facts) -> Filled<V> {
        let Filling { fill, key, asked_ns, generation } = filling;
        let copy = Loaded::new(value, facts, (asked_ns, generation.unwrap_or(0)));
        // Acquire: pairs with the Release in `be_alone`.
        let most = self.is_alone.load(Ordering::Acquire).then_some(self.staleness);
        let lifetime = copy.lifetime(self.clock.exact_ns(), most);
        if fill.is_superseded() {
            return Filled::Superseded(copy);
        }
        match lifetime {
            Some(lifetime) if generation.is_some() && generation == self.current() => {
                match fill.complete(copy.clone(), lifetime) {
                    Err(refused) if refused.reason().is_none() => Filled::Superseded(copy),
                    _ => Filled::Current(copy),
                }
            }
            // What is there is older than what was answered.
            _ => {
                if self.cache.contains_key(&key) {
                    self.cache.discard(&key);
                }
                Filled::Current(copy)
            }
        }
    }

    /// Takes the copy out unless the write comes to its end (F1).
    pub(super) fn undo(&self, key: &Key) -> Undo<'_, V> {
        self.forget(key);
        Undo { near: self, key: *key, is_armed: true }
    }
}

/// A write that is under way.
pub(super) struct Undo<'n, V: Send + Sync + 'static> {
    near: &'n Near<V>,
    key: Key,
    is_armed: bool,
}

impl<V: Send + Sync + 'static> Undo<'_, V> {
    /// The backend has confirmed the write: its copy goes in.
    pub(super) fn settle(mut self, filling: Filling<V>, value: V, facts: Facts) -> Loaded<V> {
        match self.near.complete(filling, value, facts) {
            Filled::Current(copy) => {
                self.is_armed = false;
                copy
            }
            // Another write or a message came between: which is newer is not known.
            Filled::Superseded(copy) => copy,
        }
    }
}

impl<V: Send + Sync + 'static> Drop for Undo<'_, V> {
    fn drop(&mut self) {
        if self.is_armed {
            self.near.forget(&self.key);
        }
    }
}

impl<V: Send + Sync + 'static> Watched for Near<V> {
    fn invalidate(&self, key: &Key) {
        self.cache.discard(key);
        // Relaxed: a figure.
        self.figures.invalidations.fetch_add(1, Ordering::Relaxed);
    }

    fn flush(&self) {
        let losses = self.losses.lock();
        // AcqRel: pairs with the Acquire in `current`; what is filled in from here on was asked for later.
        self.generation.fetch_add(NEXT, Ordering::AcqRel);
        drop(losses);
        self.cache.clear();
        // Relaxed: a figure.
        self.figures.invalidations.fetch_add(1, Ordering::Relaxed);
    }

    fn lose(&self) {
        let mut losses = self.losses.lock();
        *losses += 1;
        // AcqRel: pairs with the Acquire in `current`.
        let before = self.generation.fetch_and(!WHOLE, Ordering::AcqRel);
        drop(losses);
        if before & WHOLE != 0 {
            // Relaxed: a figure.
            self.figures.gaps.fetch_add(1, Ordering::Relaxed);
            if self.staleness.is_zero() {
                self.cache.clear();
            }
        }
    }

    fn mark(&self) -> (u64, u64) {
        (*self.losses.lock(), self.clock.exact_ns())
    }

    fn prove(&self, (losses_then, since_ns): (u64, u64)) -> bool {
        let losses = self.losses.lock();
        if *losses != losses_then {
            return false;
        }
        // Release: pairs with the Acquire in `current`; the proof comes before its generation.
        self.proven_ns.store(since_ns, Ordering::Release);
        let generation = self.generation.load(Ordering::Acquire);
        let is_new = generation & WHOLE == 0;
        if is_new {
            // Release: as above. Only holders of the lock change the generation.
            self.generation.store((generation + NEXT) | WHOLE, Ordering::Release);
        }
        drop(losses);
        if is_new {
            self.cache.clear();
        }
        let lag_ns = self.clock.exact_ns().saturating_sub(since_ns);
        // Relaxed: a figure.
        self.figures.lag_ns.store(lag_ns, Ordering::Relaxed);
        true
    }
}

/// Of a generation: the stream is whole.
const WHOLE: u64 = 1;

/// From a generation to the next.
const NEXT: u64 = 2;

/// How long it is remembered that a session was ended here: longer than a load takes.
const TOMBSTONE_AGE: Duration = Duration::from_secs(60);

/// How many of them: a thousand log-outs a second, in some 6 MB.
const MOST_TOMBSTONES: usize = 65_536;
