//! A session as a request gets it.

use core::fmt;
use core::ops::Deref;
use core::time::Duration;

use super::backend::{Facts, Revision};
use super::key::Key;
use crate::lifetime::Lifetime;
use crate::platform::clock::{Clock, nanos};
use crate::platform::sync::{Arc, AtomicU64, Ordering};

/// A session as it was at one revision: a cheap handle, which derefs to the value.
///
/// It is what the near cache holds, and what a save is based on. It does not change; load again for a newer
/// one.
pub struct Loaded<V> {
    held: Arc<Held<V>>,
}

struct Held<V> {
    value: V,
    facts: Facts,
    /// When the backend was asked, on the near cache's clock.
    asked_ns: u64,
    /// In which generation of the near cache (F3).
    generation: u64,
    /// When a use is to be told to the backend (F5).
    touch_due_ns: AtomicU64,
}

impl<V> Loaded<V> {
    pub(super) fn new(value: V, facts: Facts, (asked_ns, generation): (u64, u64)) -> Self {
        let touch_due_ns = AtomicU64::new(touch_due_ns(&facts, asked_ns));
        Self { held: Arc::new(Held { value, facts, asked_ns, generation, touch_due_ns }) }
    }

    /// One that the near cache does not hold.
    pub(super) fn beside(value: V, facts: Facts, asked_ns: u64) -> Self {
        Self::new(value, facts, (asked_ns, 0))
    }

    /// Which one it is.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.held.facts.revision
    }

    /// Whose it is.
    #[must_use]
    pub fn principal(&self) -> Option<Key> {
        self.held.facts.principal
    }

    /// What the backend knew of it when it was asked.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.held.facts
    }

    /// How long ago it began.
    #[must_use]
    pub fn age(&self) -> Duration {
        let passed_ns = Clock::monotonic().exact_ns().saturating_sub(self.held.asked_ns);
        self.held.facts.age + Duration::from_nanos(passed_ns)
    }

    pub(super) fn generation(&self) -> u64 {
        self.held.generation
    }

    /// How long a copy may live in the near cache from `now_ns` on (F4); none if its time is up.
    pub(super) fn lifetime(&self, now_ns: u64, most: Option<Duration>) -> Option<Lifetime> {
        let passed = Duration::from_nanos(now_ns.saturating_sub(self.held.asked_ns));
        let left = self.held.facts.left.left.saturating_sub(passed);
        let left = most.map_or(left, |most| left.min(most));
        (!left.is_zero()).then(|| Lifetime::default().live(left).idle_forever())
    }

    /// Whether the caller is to tell the backend of a use: one caller is, in an eighth of the idle time.
    pub(super) fn claims_touch(&self, now_ns: u64) -> bool {
        // Relaxed: nothing is published by it; one caller wins the exchange below.
        let due_ns = self.held.touch_due_ns.load(Ordering::Relaxed);
        if now_ns < due_ns {
            return false;
        }
        let eighth_ns = self.held.facts.idle.map_or(u64::MAX, |idle| nanos(idle / TOUCHES));
        let next_ns = now_ns.saturating_add(eighth_ns.max(1));
        // Relaxed: the claim carries no data.
        let order = Ordering::Relaxed;
        self.held.touch_due_ns.compare_exchange(due_ns, next_ns, order, order).is_ok()
    }
}

/// When a use next moves the deadline, and an eighth of the idle time has gone (F5).
fn touch_due_ns(facts: &Facts, asked_ns: u64) -> u64 {
    let Some(idle) = facts.idle else { return u64::MAX };
    if facts.left.live.is_some_and(|live| live <= facts.left.left) {
        return u64::MAX;
    }
    let eighth = idle / TOUCHES;
    let unused = idle.saturating_sub(facts.left.left);
    asked_ns.saturating_add(nanos(eighth.saturating_sub(unused)))
}

impl<V> Deref for Loaded<V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.held.value
    }
}

impl<V> Clone for Loaded<V> {
    fn clone(&self) -> Self {
        Self { held: self.held.clone() }
    }
}

impl<V> fmt::Debug for Loaded<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded").field("left", &self.held.facts.left).finish_non_exhaustive()
    }
}

/// How many times in an idle time uses are told to the backend.
pub(super) const TOUCHES: u32 = 8;
