//! The alarm, and the thread that sleeps until it rings.
//!
//! The reaper's thread is parked until the next moment at which some shard wants attention, and
//! woken early only by an earlier one. Nothing ticks.
//!
//! P1. Nobody's deadline is slept through. The reaper sets the alarm to `never` and *then* visits
//!     each shard under its lock, lowering the alarm to what it finds. Whoever files something in a
//!     shard checks the alarm under the same lock. Either the visit comes later and sees what was
//!     filed, or it came before, and then the alarm that the other one sees is that `never` or
//!     something newer: it lowers it and wakes the sleeper.
//!     Who has something for the reaper without the lock, as a closure that lets go of a removed
//!     session, cannot rely on the alarm that it sees. It notes it first, and then lowers the alarm
//!     in any case: the reaper's own swap comes after that, and then its visit sees the note, or
//!     before, and then it is woken.
//! P2. A wake-up that comes while the reaper is awake is not lost: the thread's own token keeps it,
//!     and the next sleep returns at once to look at the alarm again.

use std::io;

use crate::platform::clock::{Clock, NEVER_NS, Wake};
use crate::platform::sync::{Arc, AtomicBool, AtomicU64, OnceLock, Ordering, park, thread};

/// When the reaper wants to wake, and how to wake it.
#[derive(Debug)]
pub(crate) struct Alarm {
    /// 0 while nobody sleeps by it, as under `Reaper::Manual`.
    at_ns: AtomicU64,
    is_stopped: AtomicBool,
    sleeper: OnceLock<thread::Thread>,
}

impl Alarm {
    pub(crate) fn new() -> Self {
        Self {
            at_ns: AtomicU64::new(0),
            is_stopped: AtomicBool::new(false),
            sleeper: OnceLock::new(),
        }
    }

    /// The time for which it is set: nothing wants attention before.
    pub(crate) fn at_ns(&self) -> u64 {
        // Relaxed: exact only under a shard's lock that the reaper has visited since (P1).
        self.at_ns.load(Ordering::Relaxed)
    }

    /// Forgets the time, before the reaper visits the shards.
    pub(crate) fn disarm(&self) {
        // Acquire: pairs with `ring_from_outside`: what was noted before it rang is seen. Else
        // the shards' locks order it before whoever checks it after the visit (P1).
        self.at_ns.swap(NEVER_NS, Ordering::Acquire);
    }

    /// Sets it to `at_ns` if that is earlier; true if it was.
    pub(crate) fn lower(&self, at_ns: u64) -> bool {
        // Relaxed: the waking, not this word, tells the sleeper to look. Most calls find it set
        // early enough and leave its cache line shared.
        at_ns < self.at_ns() && self.at_ns.fetch_min(at_ns, Ordering::Relaxed) > at_ns
    }

    /// Sets it to `at_ns` if that is earlier, and then wakes the sleeper so that it notices.
    pub(crate) fn ring_by(&self, at_ns: u64) {
        if self.lower(at_ns) {
            self.wake();
        }
    }

    /// Like [`ring_by`](Self::ring_by), for who has not had the lock of the shard that wants
    /// attention, and so cannot rely on what the alarm seems to be set to (P1).
    pub(crate) fn ring_from_outside(&self, at_ns: u64) {
        // Release: pairs with the swap in `disarm`, if that comes after. If it came before, this
        // reads what it wrote, or something newer.
        if self.at_ns.fetch_min(at_ns, Ordering::Release) > at_ns {
            self.wake();
        }
    }

    /// Has the reaper's thread end.
    pub(crate) fn stop(&self) {
        // Release: pairs with the load in `is_stopped`.
        self.is_stopped.store(true, Ordering::Release);
        self.wake();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        // Acquire: pairs with the store in `stop`.
        self.is_stopped.load(Ordering::Acquire)
    }

    /// Sleeps until the time for which it is set, or until it is stopped.
    fn sleep(&self, clock: &Clock) {
        loop {
            let (at_ns, now_ns) = (self.at_ns(), clock.exact_ns());
            if self.is_stopped() || at_ns <= now_ns {
                return;
            }
            park(clock.longest_sleep(at_ns - now_ns));
        }
    }
}

impl Wake for Alarm {
    fn wake(&self) {
        // None under `Reaper::Manual`. A thread of its own is known before anybody has a handle.
        if let Some(sleeper) = self.sleeper.get() {
            sleeper.unpark();
        }
    }
}

/// Starts the thread: `work` is called at once and then each time the alarm rings, until the alarm
/// is stopped; `farewell` is called last. Nobody else may use the alarm before this returns.
///
/// # Errors
///
/// The thread cannot be started.
pub(crate) fn spawn(
    alarm: &Arc<Alarm>,
    clock: Clock,
    mut work: impl FnMut() + Send + 'static,
    farewell: impl FnOnce() + Send + 'static,
) -> io::Result<thread::JoinHandle<()>> {
    let (sleeper, its_clock) = (alarm.clone(), clock.clone());
    let thread = thread::Builder::new().name(THREAD_NAME.into()).spawn(move || {
        while !sleeper.is_stopped() {
            work();
            sleeper.sleep(&its_clock);
        }
        farewell();
    })?;
    let _first = alarm.sleeper.set(thread.thread().clone());
    let waker: Arc<dyn Wake> = alarm.clone();
    clock.on_advance(&waker);
    Ok(thread)
}

/// Fits into the 15 bytes that Linux shows.
const THREAD_NAME: &str = "sundown-reaper";

#[cfg(all(test, sundown_loom))]
mod loom_tests;
