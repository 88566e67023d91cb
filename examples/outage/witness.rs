//! An independent record of every session: when it had to be gone, and when it really was.
//!
//! Neither store is asked how well it does. Each session carries a number, and its destructor
//! crosses that number off a list that the store knows nothing about. So what is *live*, what is
//! *dead but held*, and how late each session was destroyed are counted in the same way for both
//! stores, and without a single call to either of them.
//!
//! A stamp that is taken around a call into a store can only bound the store's own stamp. The
//! deadlines here are the latest that are possible, so a session that is reported as late really
//! is. The list is allocated at full length before the traffic starts, so it never moves the heap.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What a session is filed under in either store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SessionId(u128);

/// What a service keeps for a logged-in user: here, bytes and a number to be crossed off.
pub(crate) struct Session {
    witness: &'static Witness,
    pub(crate) number: u32,
    _body: Box<[u8]>,
}

/// The list of all sessions. Times are nanoseconds since it was opened.
///
/// All its atomics are relaxed: each is read for its own value only, and publishes nothing else.
pub(crate) struct Witness {
    opened: Instant,
    issued: AtomicU32,
    /// The latest possible deadline of each session; [`GONE`] once its destructor has run.
    deadlines: Box<[AtomicU64]>,
    worst_lag: AtomicU64,
}

/// What is held at one instant, and whether it should be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Census {
    pub(crate) live: u64,
    pub(crate) dead: u64,
    /// How long the longest-dead session that is still held has been dead.
    pub(crate) oldest_dead: Duration,
}

impl SessionId {
    /// The id of the session with that number: spread over all bits, as a random token would be.
    pub(crate) fn of(number: u32) -> Self {
        let low = mix(u64::from(number));
        Self(u128::from(mix(low)) << 64 | u128::from(low))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.witness.cross_off(self.number);
    }
}

impl Witness {
    /// A list for the life of the process.
    pub(crate) fn open(most_sessions: usize) -> &'static Self {
        Box::leak(Box::new(Self {
            opened: Instant::now(),
            issued: AtomicU32::new(0),
            deadlines: (0..most_sessions).map(|_| AtomicU64::new(GONE)).collect(),
            worst_lag: AtomicU64::new(0),
        }))
    }

    pub(crate) fn now(&self) -> u64 {
        self.opened.elapsed().as_nanos() as u64
    }

    /// How many sessions have been issued: the number of the next one.
    pub(crate) fn issued(&self) -> u32 {
        self.issued.load(Relaxed)
    }

    /// Opens a session that must be gone by the deadline.
    pub(crate) fn issue(&'static self, deadline: u64, body_bytes: usize) -> Session {
        let number = self.issued.fetch_add(1, Relaxed);
        self.deadlines[number as usize].store(deadline, Relaxed);
        // Not zeros: those may be pages that the system only pretends to hand out.
        Session { witness: self, number, _body: vec![0xA5; body_bytes].into_boxed_slice() }
    }

    /// Moves a deadline, unless the session has been destroyed meanwhile.
    pub(crate) fn move_deadline(&self, number: u32, deadline: u64) {
        let _ = self.deadlines[number as usize]
            .fetch_update(Relaxed, Relaxed, |old| (old != GONE).then_some(deadline));
    }

    /// The longest that a destroyed session outlived its deadline so far.
    pub(crate) fn worst_lag(&self) -> Duration {
        Duration::from_nanos(self.worst_lag.load(Relaxed))
    }

    /// Counts what is held now.
    pub(crate) fn census(&self) -> Census {
        let now = self.now();
        let mut census = Census::default();
        let mut oldest = now;
        for deadline in &self.deadlines[..self.issued() as usize] {
            match deadline.load(Relaxed) {
                GONE => {}
                deadline if deadline > now => census.live += 1,
                deadline => {
                    census.dead += 1;
                    oldest = oldest.min(deadline);
                }
            }
        }
        census.oldest_dead = Duration::from_nanos(now - oldest);
        census
    }

    fn cross_off(&self, number: u32) {
        let deadline = self.deadlines[number as usize].swap(GONE, Relaxed);
        let lag = self.now().saturating_sub(deadline);
        self.worst_lag.fetch_max(lag, Relaxed);
    }
}

/// The finaliser of `SplitMix64`.
fn mix(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Stands for a session that no longer exists; no deadline is zero.
const GONE: u64 = 0;
