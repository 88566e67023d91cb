//! What a session is while its id, its data and its last use change.
//!
//! A *life* is a session as one principal's, from its creation or its log-in until its end. Each version of
//! a session's entry in the cache names its life. Whether it is served is decided in its state, in one step:
//!
//! ```text
//!  PENDING ──► LIVE ──► ENDED, by a cause ──► GONE
//!     └──────────┴──────────────────────────────┘
//! ```
//!
//! L1. A life is `PENDING` until its entry is in the cache. While a session logs in, its version names the
//!     old life as well, and is served for as long as neither has ended. Exactly one of the log-in and the old
//!     life's end comes first, for both change the old life from `LIVE`.
//! L2. Who ends a life ends it first, and then removes the entry that names it, in one step of the cache each.
//!     A rotation or an update that was under way finds the entry gone, for it changes the very version that it
//!     has seen. A log-in may put a life in that has ended since it looked; then it removes it, and until
//!     then L1 keeps it from being served. So once `revoke` has returned no version of the session is served.
//! L3. A life is `GONE` once the cache has told of the end of its entry.

use super::id::PublicId;
use super::session::EndCause;
use crate::platform::clock::Clock;
use crate::platform::sync::{Arc, AtomicU32, Ordering};

/// What stays of a session through all its lives. Whoever holds a handle to it holds this.
pub(crate) struct Root {
    pub(crate) public: PublicId,
    pub(crate) clock: Clock,
    /// When the session was created.
    pub(crate) created_ns: u64,
}

/// A session as one principal's, or as no principal's; `K` is the cache's key where that is not the public id.
pub(crate) struct Life<P, K = ()> {
    pub(crate) root: Arc<Root>,
    pub(crate) principal: Option<P>,
    /// Of the principal, so that none is asked for it under a lock.
    pub(crate) hash: u64,
    /// When it began: of two lives of a principal that one is older.
    pub(crate) begun_ns: u64,
    #[allow(dead_code, reason = "only the stores of frameworks have keys of their own")]
    pub(crate) key: K,
    state: AtomicU32,
    /// Its place among the principal's; changed under the lock of these.
    pub(super) place: AtomicU32,
}

/// Where a life stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Pending,
    Live,
    /// It has gone on as another principal's.
    Superseded,
    Ended(EndCause),
    /// Its time was up, and its place was needed before the cache told of it.
    Over,
    Gone,
}

const PENDING: u32 = 0;
const LIVE: u32 = 1;
const SUPERSEDED: u32 = 2;
const REVOKED: u32 = 3;
const LIMIT_REACHED: u32 = 4;
const OVER: u32 = 5;
const GONE: u32 = 6;

impl State {
    fn of(word: u32) -> Self {
        match word {
            PENDING => Self::Pending,
            LIVE => Self::Live,
            SUPERSEDED => Self::Superseded,
            REVOKED => Self::Ended(EndCause::Revoked),
            LIMIT_REACHED => Self::Ended(EndCause::LimitReached),
            OVER => Self::Over,
            _ => Self::Gone,
        }
    }

    /// Why it has been ended, if it has.
    pub(super) fn ending(self) -> Option<EndCause> {
        match self {
            Self::Ended(cause) => Some(cause),
            _ => None,
        }
    }

    /// Whether it counts among its principal's.
    pub(super) fn counts(self) -> bool {
        matches!(self, Self::Pending | Self::Live)
    }
}

/// Why a session's life ends before its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    Revoked,
    LimitReached,
    /// It has come anyway.
    Over,
}

impl<P> Life<P> {
    /// One that begins now.
    pub(super) fn new(root: Arc<Root>, principal: (Option<P>, u64)) -> Self {
        let begun_ns = root.clock.exact_ns();
        Self::of_key((), root, principal, begun_ns)
    }

    /// The cache's key.
    pub(super) fn public(&self) -> &PublicId {
        &self.root.public
    }
}

impl<P, K> Life<P, K> {
    pub(crate) fn of_key(
        key: K,
        root: Arc<Root>,
        (principal, hash): (Option<P>, u64),
        begun_ns: u64,
    ) -> Self {
        let (state, place) = (AtomicU32::new(PENDING), AtomicU32::new(NOWHERE));
        Self { root, principal, hash, begun_ns, key, state, place }
    }

    pub(super) fn state(&self) -> State {
        // Acquire: pairs with `step`: who sees an end sees what came before it (L2).
        State::of(self.state.load(Ordering::Acquire))
    }

    /// Whether a version of a log-in, which names this life and the one before, may be served.
    #[cold]
    pub(super) fn is_served(&self, before: Option<&Self>) -> bool {
        match self.state() {
            State::Live => true,
            // What ended the life before has ended this one, too; else this one is about to be live (L1).
            State::Pending => before
                .is_none_or(|before| matches!(before.state(), State::Live | State::Superseded)),
            _ => false,
        }
    }

    fn step(&self, from: u32, to: u32) -> bool {
        // AcqRel: one thread takes each step, sees all that came before, and is seen by `state` (L1, L2).
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Its entry is in the cache. False if it has ended meanwhile, or the life before it has.
    pub(crate) fn begin(&self, before: Option<&Self>) -> bool {
        before.is_none_or(|before| before.step(LIVE, SUPERSEDED)) && self.step(PENDING, LIVE)
    }

    /// Ends it; true if this call has.
    pub(crate) fn end(&self, ending: Ending) -> bool {
        let ended = match ending {
            Ending::Revoked => REVOKED,
            Ending::LimitReached => LIMIT_REACHED,
            Ending::Over => OVER,
        };
        // In the order in which it passes through them: one that is begun in between is found by the second.
        self.step(PENDING, ended) || self.step(LIVE, ended)
    }

    /// The cache has told of its end. Gives the state that it had.
    pub(super) fn leave(&self) -> State {
        // AcqRel: as in `step` (L3).
        State::of(self.state.swap(GONE, Ordering::AcqRel))
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        core::ptr::eq(self, other)
    }
}

/// A place of no life.
pub(super) const NOWHERE: u32 = u32::MAX;
