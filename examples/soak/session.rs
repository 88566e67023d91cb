//! A session that knows by when it must be gone, and is counted until it is.
//!
//! The cache is not asked how well it does. Each session carries the latest instants at which its
//! deadlines can lie, and each destructor crosses its session off a count that the cache knows
//! nothing about. Whoever calls the cache can only bound the cache's own look at the clock, so these
//! bounds are too late rather than too early: a session that is shown after them is shown late.
//!
//! All atomics are relaxed: each is read for its own value only. What order there must be between a
//! call of the cache and its bounds is the business of the [`Board`](crate::board::Board).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use sundown::Lifetime;

/// Nanoseconds since the soak began.
pub(crate) fn now() -> u64 {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    BEGAN.elapsed().as_nanos() as u64
}

/// An instant that never comes.
pub(crate) const NEVER: u64 = u64::MAX;

/// Both lifetimes of a session, in nanoseconds; [`NEVER`] for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) live: u64,
    pub(crate) idle: u64,
}

impl Life {
    pub(crate) fn lifetime(self) -> Lifetime {
        let mut lifetime = Lifetime::default().live_forever().idle_forever();
        if self.live != NEVER {
            lifetime = lifetime.live(Duration::from_nanos(self.live));
        }
        if self.idle != NEVER {
            lifetime = lifetime.idle(Duration::from_nanos(self.idle));
        }
        lifetime
    }
}

/// By when a session must be gone. Shared by a session and those that it is updated to.
#[derive(Debug)]
pub(crate) struct Bounds {
    live_until: AtomicU64,
    idle_until: AtomicU64,
    idle: AtomicU64,
}

impl Bounds {
    /// For a session that is not in the cache yet: it need never be gone.
    pub(crate) fn open(life: Life) -> Arc<Self> {
        Arc::new(Self {
            live_until: AtomicU64::new(NEVER),
            idle_until: AtomicU64::new(NEVER),
            idle: AtomicU64::new(life.idle),
        })
    }

    /// The session is in the cache since `now` at the latest.
    pub(crate) fn begin(&self, now: u64, life: Life) {
        self.live_until.store(now.saturating_add(life.live), Relaxed);
        self.used(now);
    }

    /// The session was last used at `now` at the latest.
    pub(crate) fn used(&self, now: u64) {
        let until = now.saturating_add(self.idle.load(Relaxed));
        // Whoever saw the session first may be faster than who put it in.
        let _ = self.idle_until.fetch_update(Relaxed, Relaxed, |old| {
            Some(if old == NEVER { until } else { old.max(until) })
        });
    }

    /// The session was given another life at `now` at the latest.
    ///
    /// Only its owner may do so, and only while nobody else uses it.
    pub(crate) fn restart(&self, now: u64, life: Life) {
        self.live_until.store(now.saturating_add(life.live), Relaxed);
        self.idle.store(life.idle, Relaxed);
        self.idle_until.store(now.saturating_add(life.idle), Relaxed);
    }

    pub(crate) fn until(&self) -> u64 {
        self.live_until.load(Relaxed).min(self.idle_until.load(Relaxed))
    }
}

/// What a service keeps for a logged-in user: here, bytes that can be told from anybody else's.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) key: u64,
    pub(crate) bounds: Arc<Bounds>,
    body: Box<[u8]>,
    witness: Arc<Witness>,
}

impl Session {
    pub(crate) fn new(
        key: u64,
        bounds: Arc<Bounds>,
        body_bytes: usize,
        witness: &Arc<Witness>,
    ) -> Arc<Self> {
        witness.made.fetch_add(1, Relaxed);
        let body = vec![stamp(key); body_bytes].into_boxed_slice();
        Arc::new(Self { key, bounds, body, witness: Arc::clone(witness) })
    }

    /// Another session for the same key, with the same time to live.
    pub(crate) fn renewed(&self) -> Arc<Self> {
        Self::new(self.key, Arc::clone(&self.bounds), self.body.len(), &self.witness)
    }

    pub(crate) fn weight(&self) -> u64 {
        self.body.len() as u64
    }

    /// Whether this is the session of that key, and nobody has written over it.
    pub(crate) fn is_of(&self, key: u64) -> bool {
        let stamp = stamp(key);
        // No early end, so that many bytes are compared at once.
        self.key == key && self.body.iter().fold(0, |wrong, &byte| wrong | (byte ^ stamp)) == 0
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let lag = now().saturating_sub(self.bounds.until());
        self.witness.worst_lag.fetch_max(lag, Relaxed);
        self.witness.gone.fetch_add(1, Relaxed);
    }
}

/// Counts sessions from their birth to their destructor.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    made: AtomicU64,
    gone: AtomicU64,
    worst_lag: AtomicU64,
}

impl Witness {
    pub(crate) fn made(&self) -> u64 {
        self.made.load(Relaxed)
    }

    /// How many have not been destroyed. Exact when nobody is at work.
    pub(crate) fn alive(&self) -> u64 {
        let gone = self.gone.load(Relaxed);
        self.made.load(Relaxed).saturating_sub(gone)
    }

    /// The longest that a session outlived its bounds, since this was asked last.
    pub(crate) fn take_worst_lag(&self) -> Duration {
        Duration::from_nanos(self.worst_lag.swap(0, Relaxed))
    }
}

/// What a session's bytes are filled with. Never zero: fresh pages are.
fn stamp(key: u64) -> u8 {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8 | 1
}
