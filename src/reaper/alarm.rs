//! When a cache wants attention, on its own clock.

use super::seat::{Left, Seat, Task};
use crate::platform::clock::{Clock, NEVER_NS, Wake};
use crate::platform::sync::{Arc, AtomicBool, AtomicU64, OnceLock, Ordering};

/// When the reaper has to look at a cache, and where that one sits.
pub(crate) struct Alarm {
    clock: Clock,
    /// 0 while no thread goes by it, as under `Reaper::Manual`.
    at_ns: AtomicU64,
    is_stopped: AtomicBool,
    /// Set before anything but the cache's builder can ring. Empty under `Reaper::Manual`.
    seat: OnceLock<Seat>,
}

impl Alarm {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            at_ns: AtomicU64::new(0),
            is_stopped: AtomicBool::new(false),
            seat: OnceLock::new(),
        }
    }

    /// Takes a seat, where a crew does the task whenever it rings.
    pub(super) fn sit(self: &Arc<Self>, seat: Seat, task: Box<dyn Task>) {
        let seat = self.seat.get_or_init(|| seat);
        // Relaxed: no other thread has the cache yet.
        self.at_ns.store(NEVER_NS, Ordering::Relaxed);
        let waker: Arc<dyn Wake> = self.clone();
        self.clock.on_advance(&waker);
        seat.begin(task);
    }

    /// Whether a thread goes by it.
    #[allow(dead_code, reason = "for the checks of users' tests, which are a feature")]
    pub(crate) fn is_attended(&self) -> bool {
        self.seat.get().is_some()
    }

    /// The time for which it is set: nothing wants attention before.
    pub(crate) fn at_ns(&self) -> u64 {
        // Relaxed: a hint for the reaper, which alone sets it to a later time.
        self.at_ns.load(Ordering::Relaxed)
    }

    /// Whether the time for which it is set has come.
    pub(crate) fn is_due(&self) -> bool {
        self.at_ns() <= self.clock.exact_ns()
    }

    /// Forgets the time, before the reaper visits the shards.
    pub(crate) fn disarm(&self) {
        // Acquire: pairs with `ring_by`: what was noted before it rang is seen (P1).
        self.at_ns.swap(NEVER_NS, Ordering::Acquire);
    }

    /// Sets it to `at_ns` if that is earlier; for the reaper itself.
    pub(crate) fn lower(&self, at_ns: u64) {
        // Relaxed: the reaper reads it next, or another thread adds to it.
        self.at_ns.fetch_min(at_ns, Ordering::Relaxed);
    }

    /// Sets it to `at_ns` if that is earlier, and then has the reaper notice. What there is to be found
    /// at that time has been noted before (P1).
    #[inline]
    pub(crate) fn ring_by(&self, at_ns: u64) {
        if at_ns == NEVER_NS {
            return;
        }
        // Release: pairs with the swap in `disarm`, if that comes after. If it came before, this
        // reads what it wrote, or something newer. It is never left out: what a load saw might be older.
        if self.at_ns.fetch_min(at_ns, Ordering::Release) > at_ns {
            self.ring_seat(at_ns);
        }
    }

    #[cold]
    fn ring_seat(&self, at_ns: u64) {
        if let Some(seat) = self.seat.get() {
            seat.ring_by(self.clock.look_ns(at_ns));
        }
    }

    /// The process's time at which to look whether it is due, if it does not ring before. A clock that is
    /// moved by hand rings when it is.
    pub(crate) fn look_ns(&self) -> u64 {
        if self.clock.runs() || self.is_due() { self.clock.look_ns(self.at_ns()) } else { NEVER_NS }
    }

    /// Whether another cache of the same crew waits for attention, perhaps.
    pub(crate) fn is_crew_wanted(&self) -> bool {
        self.seat.get().is_some_and(Seat::is_crew_wanted)
    }

    /// Gives the seat up at the end of the cache; waits for a thread that is at its task.
    pub(crate) fn leave(&self) -> Left {
        let stop = || {
            // Release: pairs with the load in `is_stopped`.
            self.is_stopped.store(true, Ordering::Release);
        };
        match self.seat.get() {
            Some(seat) => seat.leave(stop),
            None => {
                stop();
                Left::Free
            }
        }
    }

    /// Whether the cache is at its end.
    pub(crate) fn is_stopped(&self) -> bool {
        // Acquire: pairs with the store in `leave`.
        self.is_stopped.load(Ordering::Acquire)
    }
}

impl Wake for Alarm {
    fn wake(&self) {
        // The clock was moved before, and is looked at after (P1).
        if let Some(seat) = self.seat.get() {
            seat.ring_by(0);
        }
    }
}
