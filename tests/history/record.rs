//! What happened, as far as it can be seen from outside.

use super::model::{Entrance, Ms, Span};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use sundown::{Reason, RemovalCause};

/// What one call meant for one key, and what it said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Offer {
        entrance: Entrance,
        serial: u32,
        weight: u64,
        span: Span,
        refused: Option<Reason>,
    },
    /// `seen` is what the closure was shown last.
    Update {
        serial: u32,
        weight: u64,
        seen: Option<u32>,
        result: Result<bool, Reason>,
    },
    Look {
        is_use: bool,
        shown: Option<u32>,
    },
    Presence {
        is_use: bool,
        is_there: bool,
    },
    /// The time left, `NEVER` where there is no end, `None` if absent.
    Expiry(Option<Ms>),
    Remove(Option<u32>),
    Discard(bool),
    /// Removes `seen`, the last that the closure was shown, if it said yes.
    RemoveIf {
        seen: Option<(u32, bool)>,
        is_removed: bool,
    },
    SetLifetime {
        span: Span,
        is_set: bool,
    },
    /// `shown` tells what the closure was shown, and whether it let it be removed.
    Walk {
        shown: Option<(u32, bool)>,
    },
    Clear,
    /// Insertions are refused from here on.
    Bar,
    /// What is still in goes.
    Close,
}

/// A call, as far as it concerns one key.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) key: u8,
    /// Its place in time: somewhere between these two ticks of the process's own counter.
    pub(crate) invoked: u64,
    pub(crate) returned: u64,
    /// The time that it went by: something between these two.
    pub(crate) from_ms: Ms,
    pub(crate) to_ms: Ms,
    pub(crate) what: What,
}

/// What the listener was told of a session's end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) key: u8,
    pub(crate) serial: u32,
    pub(crate) cause: RemovalCause,
    /// When it was told: the session had left the cache before.
    pub(crate) told: u64,
    pub(crate) told_ms: Ms,
}

/// All of one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) calls: Vec<Call>,
    pub(crate) ends: Vec<End>,
    /// Sessions that `retain` says it removed.
    pub(crate) retained_out: u64,
    /// All times that the clock has shown, ascending.
    pub(crate) times_ms: Vec<Ms>,
}

/// Where the threads write it down.
#[derive(Debug, Default)]
pub(crate) struct Log {
    ticks: AtomicU64,
    serials: AtomicU64,
    history: Mutex<History>,
}

impl Log {
    /// The next tick: all ticks are different, and go up in the order of time.
    pub(crate) fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }

    pub(crate) fn next_serial(&self) -> u32 {
        self.serials.fetch_add(1, Ordering::SeqCst) as u32 + 1
    }

    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut History) -> R) -> R {
        f(&mut self.history.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
