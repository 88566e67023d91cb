//! What was ended here and may still be in the store behind; in the words of whichever version the
//! parent imports as `framework`.
//!
//! R1. What was logged out, or taken out of the cache by hand, has a *grave* until the store behind has
//!     confirmed its deletion. A session with a grave is served and saved by none, and every call that
//!     goes to the store behind digs some of the graves' sessions up there. Graves are of sessions that
//!     were live; so ids that never had a session make none, and none is displaced.
//! R2. A write that was under way, or given up, when a session was deleted may reach the store behind
//!     after the deletion. So for an hour a deleted session is served by none, whatever is found
//!     there, and deleted again when it is asked for.
//! R3. What is taken out by hand is known from the cache's listener, a moment later. The store takes copies out as
//!     well, and expects the events of these. While there are others whose events have not come, it is not known
//!     what has ended, and nothing is found behind that is asked for.

use std::collections::{HashMap, HashSet};

use super::framework::session::{Id, Record};
use crate::adapters::descent::aside;
use crate::builder::Builder;
use crate::cache::Cache;
use crate::error::BuildError;
use crate::platform::sync::{AtomicU64, Mutex, Ordering, thread};
use crate::removal::RemovalCause;

pub(super) struct Graves {
    state: Mutex<State>,
    /// Deleted lately (R2).
    tombstones: Cache<Id, ()>,
    /// How often this store has taken a copy out.
    own: AtomicU64,
    /// How many of all events were of copies taken out by hand.
    by_hand: AtomicU64,
}

#[derive(Default)]
struct State {
    graves: HashSet<Id>,
    /// How often a copy was taken out whose event has not come (R3).
    taken_out: HashMap<Id, usize>,
}

impl Graves {
    pub(super) fn of(builder: &Builder<Id, Record>) -> Result<Self, BuildError> {
        let most = builder.max_entries.unwrap_or(0).max(LEAST_TOMBSTONES);
        let tombstones = aside(builder, most)?;
        Ok(Self {
            state: Mutex::default(),
            tombstones,
            own: AtomicU64::new(0),
            by_hand: AtomicU64::new(0),
        })
    }

    /// A session has left the cache.
    pub(super) fn hear(&self, id: &Id, cause: RemovalCause) {
        if !matches!(cause, RemovalCause::Removed | RemovalCause::Cleared) {
            return;
        }
        let is_expected = {
            let mut state = self.state.lock();
            let is_expected = state.taken_out.contains_key(id);
            state.expect_one_less(id);
            is_expected
        };
        if !is_expected {
            self.dig(*id);
            // Release: pairs with `has_heard_all`.
            self.by_hand.fetch_add(1, Ordering::Release);
        }
    }

    /// Takes a copy out of the cache that is not to be missed in the store behind (R3).
    pub(super) fn take_out(&self, id: &Id, cache: &Cache<Id, Record>) {
        self.expecting(id, || cache.discard(id));
    }

    /// Runs what takes a copy out, and expects its event if it says that it did.
    pub(super) fn expecting(&self, id: &Id, f: impl FnOnce() -> bool) -> bool {
        *self.state.lock().taken_out.entry(*id).or_default() += 1;
        let is_out = f();
        if is_out {
            // Release: pairs with `has_heard_all`.
            self.own.fetch_add(1, Ordering::Release);
        } else {
            self.state.lock().expect_one_less(id);
        }
        is_out
    }

    /// Hears of all that was taken out by hand before the call; false if a listener is in the way.
    pub(super) fn has_heard_all(&self, cache: &Cache<Id, Record>) -> bool {
        for _ in 0..MOST_WAITS {
            // Acquire: of what this store has taken out, all that is counted here is in the figures below.
            let own = self.own.load(Ordering::Acquire);
            let stats = cache.stats();
            // One that this store has just taken out may count as taken out by hand for a moment.
            let by_hand = (stats.removed + stats.cleared).saturating_sub(own);
            // Acquire: the graves of what was heard of are seen.
            if self.by_hand.load(Ordering::Acquire) >= by_hand {
                return true;
            }
            cache.reap();
            thread::yield_now();
        }
        false
    }

    /// A session has ended (R1).
    pub(super) fn dig(&self, id: Id) {
        self.state.lock().graves.insert(id);
        let _refused = self.tombstones.insert(id, ());
    }

    /// Whether a session has ended here, whatever the store behind says.
    pub(super) fn has(&self, id: &Id) -> bool {
        self.state.lock().graves.contains(id) || self.tombstones.contains_key(id)
    }

    /// Some sessions whose deletion the store behind has not confirmed.
    pub(super) fn some(&self) -> Vec<Id> {
        self.state.lock().graves.iter().take(MOST_AT_ONCE).copied().collect()
    }

    /// The store behind has confirmed a deletion.
    pub(super) fn close(&self, id: &Id) {
        self.state.lock().graves.remove(id);
    }

    pub(super) fn reap(&self) {
        self.tombstones.reap();
    }
}

impl State {
    fn expect_one_less(&mut self, id: &Id) {
        let Some(count) = self.taken_out.get_mut(id) else { return };
        *count -= 1;
        if *count == 0 {
            self.taken_out.remove(id);
        }
    }
}

/// Takes a copy out unless the call that writes comes to its end.
pub(super) struct Undo<'g> {
    graves: &'g Graves,
    sessions: &'g Cache<Id, Record>,
    id: Id,
    is_armed: bool,
}

impl<'g> Undo<'g> {
    pub(super) fn of(graves: &'g Graves, sessions: &'g Cache<Id, Record>, id: Id) -> Self {
        Self { graves, sessions, id, is_armed: true }
    }

    pub(super) fn disarm(&mut self) {
        self.is_armed = false;
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if self.is_armed {
            self.graves.take_out(&self.id, self.sessions);
            // Whether the write has reached the store behind is not known.
            if self.graves.has(&self.id) {
                self.graves.dig(self.id);
            }
        }
    }
}

/// How many deletions are remembered at least.
const LEAST_TOMBSTONES: usize = 65_536;

/// How many sessions one call deletes in the store behind beside its own.
const MOST_AT_ONCE: usize = 4;

/// How often a call waits for an event that another thread is about to deliver.
const MOST_WAITS: usize = 64;
