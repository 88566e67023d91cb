//! The alarm, and the thread that sleeps until it rings.
//!
//! The reaper's thread is parked until the next moment at which some shard wants attention, and
//! woken early only by an earlier one. Nothing ticks.
//!
//! P1. Nobody's deadline is slept through. Whoever has something for the reaper notes it first, where
//!     the reaper looks without taking a lock, and *then* lowers the alarm, never by a mere store. The
//!     reaper sets the alarm to `never` first and *then* looks at the notes, lowering the alarm to
//!     what it finds. Either its swap comes after the lowering, and then it sees the note; or before,
//!     and then the lowering finds that `never` or something newer in the alarm, and wakes the
//!     sleeper if that would be too late.
//! P2. A wake-up that comes while the reaper is awake is not lost: the thread's own token keeps it,
//!     and the next sleep returns at once to look at the alarm again.

use std::io;

use crate::platform::clock::{Clock, NEVER_NS, Wake};
use crate::platform::sync::{Arc, AtomicBool, AtomicU64, OnceLock, Ordering, park, thread};
use crate::platform::thread::spawn as spawn_thread;

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
        // Relaxed: a hint for the reaper, who alone sets it to a later time.
        self.at_ns.load(Ordering::Relaxed)
    }

    /// Forgets the time, before the reaper visits the shards.
    pub(crate) fn disarm(&self) {
        // Acquire: pairs with `ring_by`: what was noted before it rang is seen (P1).
        self.at_ns.swap(NEVER_NS, Ordering::Acquire);
    }

    /// Sets it to `at_ns` if that is earlier; for the reaper itself.
    pub(crate) fn lower(&self, at_ns: u64) {
        // Relaxed: who reads it next is the reaper, or adds to it.
        self.at_ns.fetch_min(at_ns, Ordering::Relaxed);
    }

    /// Sets it to `at_ns` if that is earlier, and then wakes the sleeper so that it notices. What
    /// there is to be found at that time has been noted before (P1).
    #[inline]
    pub(crate) fn ring_by(&self, at_ns: u64) {
        if at_ns == NEVER_NS {
            return;
        }
        // Release: pairs with the swap in `disarm`, if that comes after. If it came before, this
        // reads what it wrote, or something newer. So it is never left out: what a load saw might
        // be older.
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
/// is stopped; `farewell` is called last. Nobody else may use the alarm before this returns. The stack
/// is the standard library's default unless told.
///
/// # Errors
///
/// The thread cannot be started.
pub(crate) fn spawn(
    alarm: &Arc<Alarm>,
    clock: Clock,
    stack_bytes: Option<usize>,
    mut work: impl FnMut() + Send + 'static,
    farewell: impl FnOnce() + Send + 'static,
) -> io::Result<thread::JoinHandle<()>> {
    let (sleeper, its_clock) = (alarm.clone(), clock.clone());
    let thread = spawn_thread(THREAD_NAME, stack_bytes, move || {
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
