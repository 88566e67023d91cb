//! Sessions of visitors who have not logged in: a share of the cache, and no more.
//!
//! Anyone can make sessions. A crawler that keeps no cookies makes one with each request, and in a full
//! cache each of them evicts the least recently used session: soon that of a user who logged in and is
//! reading a long page. So a store may be given a rule that says which sessions are *anonymous*.
//!
//! All sessions are in one cache. A second one, the *register*, has the keys of the anonymous sessions,
//! and a share of the cap. What the register evicts is taken out of the cache as well. A session that
//! is saved as no longer anonymous leaves the register and stays where it is: nothing moves, so every
//! promise of the store holds for it before, during and after its log-in.
//!
//! A1. An anonymous session enters the register before the cache, and the cache not before what the
//!     register evicted for it has left. So the cache has no more anonymous sessions than their share,
//!     and while the others fit into the rest, it evicts none of them.
//! A2. What the register evicts is taken out only if it still is anonymous.
//! A3. A use of a session is a use of its key, so the register evicts the least recently used one. A
//!     session that is anonymous and not in the register enters it when it is loaded or saved.
//! A4. The register may name sessions that have ended. They are not used any more, so they are the
//!     first that it evicts, and it has them no longer than they would have lived.

use core::time::Duration;
use std::collections::HashSet;
use std::sync::Arc;

use super::keeper::Kept;
use super::refusal::Refusal;
use crate::builder::{Builder, Weigher, with_overhead};
use crate::cache::Cache;
use crate::error::{BuildError, Reason};
#[cfg(all(
    feature = "snapshot",
    any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15")
))]
use crate::lifetime::Course;
use crate::lifetime::Lifetime;
use crate::memory::GiveBack;
use crate::platform::clock::Clock;
use crate::platform::sync::{AtomicU64, Mutex, Ordering, thread};
use crate::reaper::Reaper;
use crate::removal::RemovalCause;

/// Says whether a session is anonymous.
pub(super) type Rule<R> = dyn Fn(&R) -> bool + Send + Sync;

/// Takes a session out of the cache if it is anonymous.
pub(super) type Evict<K> = dyn Fn(&K) + Send + Sync;

pub(super) struct Anonymous<R: Kept> {
    rule: Arc<Rule<R>>,
    weigher: Option<Arc<Weigher<R::Key, R>>>,
    /// With the weights of the sessions.
    register: Cache<R::Key, u64>,
    evict: Arc<Evict<R::Key>>,
    held: Arc<Held>,
}

/// What a register needs to know of the cache that it is for.
pub(super) struct Terms<R: Kept> {
    max_entries: Option<usize>,
    max_weight: Option<u64>,
    weigher: Option<Arc<Weigher<R::Key, R>>>,
    idle: Option<Duration>,
    clock: Clock,
    reaper: Reaper,
}

impl<R: Kept> Terms<R> {
    pub(super) fn of(builder: &mut Builder<R::Key, R>, idle: Option<Duration>) -> Self {
        let weigher = builder.weigher.take().map(Arc::<Weigher<R::Key, R>>::from);
        let same = |weigher: &Arc<Weigher<R::Key, R>>| -> Box<Weigher<R::Key, R>> {
            let weigher = weigher.clone();
            Box::new(move |key, session| weigher(key, session))
        };
        builder.weigher = weigher.as_ref().map(same);
        let weigher = if builder.counts_overhead {
            weigher.as_ref().map(|weigher| Arc::from(with_overhead(same(weigher))))
        } else {
            weigher
        };
        let (max_entries, max_weight) = (builder.max_entries, builder.max_weight);
        let (clock, reaper) = (builder.clock.clone(), builder.reaper);
        Self { max_entries, max_weight, weigher, idle, clock, reaper }
    }
}

impl<R: Kept> Anonymous<R> {
    /// `evict` takes a session out of the cache, unless it has been logged in meanwhile (A2).
    pub(super) fn of(
        terms: &Terms<R>,
        share: f64,
        rule: Arc<Rule<R>>,
        evict: Arc<Evict<R::Key>>,
    ) -> Result<Self, BuildError> {
        let max_entries = terms.max_entries.map(|cap| share_of(cap as u64, share));
        let max_weight = terms.max_weight.map(|cap| share_of(cap, share));
        let held = Arc::new(Held {
            entries: AtomicU64::new(0),
            weight: AtomicU64::new(0),
            most_entries: max_entries.unwrap_or(u64::MAX),
            most_weight: max_weight.unwrap_or(u64::MAX),
        });
        let mut builder = Cache::builder()
            .clock(terms.clock.clone())
            .reaper(terms.reaper)
            .give_back(GiveBack::Never);
        if let Some(max_entries) = max_entries {
            builder = builder.max_entries(with_slack(max_entries) as usize);
        }
        if let Some(max_weight) = max_weight {
            builder = builder.max_weight(with_slack(max_weight)).weigher(|_, weight| *weight);
        }
        if let Some(idle) = terms.idle {
            builder = builder.time_to_idle(idle);
        }
        let (holds, evicts) = (held.clone(), evict.clone());
        let builder = builder.on_removal(move |key, weight, cause| {
            // Also if the rule panics.
            let _leaving = Leaving { held: &holds, weight };
            if cause == RemovalCause::Evicted {
                evicts(&key);
            }
        });
        let (register, weigher) = (builder.build()?, terms.weigher.clone());
        Ok(Self { rule, weigher, register, evict, held })
    }

    /// Lets a session in that is about to enter the cache, or to change in it (A1).
    pub(super) fn admit(
        &self,
        key: &R::Key,
        session: &R,
        lifetime: Lifetime,
    ) -> Result<(), Refusal> {
        match self.weight_of(key, session) {
            Some(weight) => self.register(key, weight, lifetime),
            None => {
                self.leave(key);
                Ok(())
            }
        }
    }

    /// What an anonymous session weighs; none of another one.
    pub(super) fn weight_of(&self, key: &R::Key, session: &R) -> Option<u64> {
        let weigh = || self.weigher.as_ref().map_or(1, |weigher| weigher(key, session).max(1));
        (self.rule)(session).then(weigh)
    }

    /// Notes what a session that is live weighs now; whether it counts as anonymous (A3).
    pub(super) fn keep(&self, key: &R::Key, weight: u64, lifetime: Lifetime) -> bool {
        let is_known = self.register.get(key) == Some(weight);
        is_known && self.register.set_lifetime(key, lifetime)
            || self.register(key, weight, lifetime).is_ok()
    }

    fn register(&self, key: &R::Key, weight: u64, lifetime: Lifetime) -> Result<(), Refusal> {
        self.held.add(weight);
        if let Err(rejected) = self.register.insert_for(key.clone(), weight, lifetime) {
            self.held.subtract(weight);
            return Err(Refusal::from(&rejected));
        }
        for _ in 0..MOST_WAITS {
            if self.held.fits() {
                return Ok(());
            }
            self.register.reap();
            thread::yield_now();
        }
        self.leave(key);
        Err(Refusal::NotTaken(Reason::Full))
    }

    /// Lets a session in that was in another process, if there is room; true of one that is not anonymous.
    #[cfg(all(
        feature = "snapshot",
        any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15")
    ))]
    pub(super) fn readmit(
        &self,
        key: &R::Key,
        session: &R,
        course: Course,
        least_ns: u64,
    ) -> bool {
        let Some(weight) = self.weight_of(key, session) else { return true };
        self.held.add(weight);
        let is_in = self.register.readmit((key.clone(), weight), course, least_ns).is_ok();
        if !is_in {
            self.held.subtract(weight);
        }
        is_in
    }

    /// Takes a session out again that entered the cache when the register had evicted it already.
    pub(super) fn settle(&self, key: &R::Key, session: &R) {
        if (self.rule)(session) && !self.register.contains_key(key) {
            (self.evict)(key);
        }
    }

    /// Notes a use of a session; false if it was not known to be anonymous and is (A3).
    pub(super) fn touch(&self, key: &R::Key, session: &R) -> bool {
        self.register.touch(key) || !(self.rule)(session)
    }

    /// A session has ended, or is no longer anonymous.
    pub(super) fn leave(&self, key: &R::Key) {
        self.register.discard(key);
    }

    #[cfg(any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15"))]
    pub(super) fn reap(&self) {
        self.register.reap();
    }
}

/// What may be in the cache of the sessions in the register, and of those that it has evicted.
struct Held {
    entries: AtomicU64,
    weight: AtomicU64,
    most_entries: u64,
    most_weight: u64,
}

impl Held {
    fn add(&self, weight: u64) {
        // Relaxed, both: `fits` on the same thread follows, and reads them in their own order.
        self.entries.fetch_add(1, Ordering::Relaxed);
        self.weight.fetch_add(weight, Ordering::Relaxed);
    }

    fn subtract(&self, weight: u64) {
        // Release, both: pair with `fits`, which then sees that the session has left the cache.
        self.entries.fetch_sub(1, Ordering::Release);
        self.weight.fetch_sub(weight, Ordering::Release);
    }

    fn fits(&self) -> bool {
        // Acquire, both: pair with `subtract`.
        self.entries.load(Ordering::Acquire) <= self.most_entries
            && self.weight.load(Ordering::Acquire) <= self.most_weight
    }
}

/// An entry of the register on its way out, until this is dropped.
struct Leaving<'h> {
    held: &'h Held,
    weight: u64,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.held.subtract(self.weight);
    }
}

/// Sessions that are being taken out of the cache because the register has evicted them: the cache's
/// listener hears of an eviction, not of a removal.
pub(super) struct Victims<K>(Mutex<HashSet<K>>);

impl<K: Clone + Eq + core::hash::Hash + Send + Sync + 'static> Victims<K> {
    /// None where there is no listener.
    pub(super) fn of<V: 'static>(builder: &mut Builder<K, V>) -> Option<Arc<Self>> {
        let listener = builder.listener.take()?;
        let victims = Arc::new(Self(Mutex::default()));
        let known = victims.clone();
        builder.listener = Some(Box::new(move |key, session, cause| {
            let is_evicted = cause == RemovalCause::Removed && known.0.lock().remove(&key);
            listener(key, session, if is_evicted { RemovalCause::Evicted } else { cause });
        }));
        Some(victims)
    }

    /// Runs what takes a session out, if it says that it did.
    pub(super) fn evict(&self, key: &K, take_out: impl FnOnce() -> bool) -> bool {
        self.0.lock().insert(key.clone());
        let is_out = take_out();
        if !is_out {
            self.0.lock().remove(key);
        }
        is_out
    }
}

/// At least one, and not all.
fn share_of(cap: u64, share: f64) -> u64 {
    let share = if share.is_nan() { DEFAULT_SHARE } else { share };
    ((cap as f64 * share) as u64).clamp(1, cap.saturating_sub(1).max(1))
}

/// The register evicts a little earlier, so that few admissions have to wait for an eviction.
fn with_slack(most: u64) -> u64 {
    most - most / SLACK
}

/// The share of the cap that anonymous sessions may take, unless the service says which.
pub(super) const DEFAULT_SHARE: f64 = 0.5;

const SLACK: u64 = 16;

/// How often an admission frees what the register has evicted, or lets another thread do it, before the
/// session is refused: some milliseconds in which other threads have the processor.
const MOST_WAITS: usize = 4_096;
