//! Models of the alarm and the thread that sleeps by it: nobody's deadline is slept through, and
//! nobody waits for the thread in vain.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::*;
use crate::platform::clock::{Clock, ManualClock, NEVER_NS};
use crate::platform::loom_tests::Depth::{Complete, Preemptions};
use crate::platform::loom_tests::{Seen, check, explore};
use crate::platform::sync::{Arc, AtomicBool, AtomicU64, Mutex, Ordering, thread};

/// What the reaper's thread works on: what stands for a shard, and for a note without its lock.
struct Desk {
    alarm: Arc<Alarm>,
    is_filed: Mutex<bool>,
    /// When there is something under the lock, as far as it says without it.
    look_ns: AtomicU64,
    is_noted: AtomicBool,
    /// How much it has found, in how many passes; loom sees neither.
    found: AtomicUsize,
    passes: AtomicUsize,
    main: thread::Thread,
}

impl Desk {
    /// One whose reaper sleeps for ever.
    fn with_sleeper() -> Arc<Self> {
        let desk = Arc::new(Self {
            alarm: Arc::new(Alarm::new(Clock::from(ManualClock::new()))),
            is_filed: Mutex::new(false),
            look_ns: AtomicU64::new(NEVER_NS),
            is_noted: AtomicBool::new(false),
            found: AtomicUsize::new(0),
            passes: AtomicUsize::new(0),
            main: thread::current(),
        });
        let place = Place::Own { stack_bytes: None };
        take_seat(&desk.alarm, place, Box::new(Work(desk.clone())))
            .expect("threads can be started");
        thread::yield_now();
        assert_eq!(desk.passes.load(SeqCst), 0);
        desk
    }

    /// A pass as `Core::reaper_pass` makes it.
    fn pass(&self) {
        self.passes.fetch_add(1, SeqCst);
        self.alarm.disarm();
        // Relaxed: as in `Core::visit_all`; nobody takes the lock for nothing.
        let is_filed = self.look_ns.load(Ordering::Relaxed) == 0 && self.visit();
        // Acquire, AcqRel: pair with the store of whoever notes. Looked at first, as in a visit: a
        // swap alone would see the newest note, whatever the alarm brings along.
        let is_noted =
            self.is_noted.load(Ordering::Acquire) && self.is_noted.swap(false, Ordering::AcqRel);
        self.alarm.lower(NEVER_NS);
        if is_filed || is_noted {
            self.found.fetch_add(usize::from(is_filed) + usize::from(is_noted), SeqCst);
            self.main.unpark();
        }
    }

    fn visit(&self) -> bool {
        let mut is_filed = self.is_filed.lock();
        // Relaxed: under the lock.
        self.look_ns.store(NEVER_NS, Ordering::Relaxed);
        core::mem::take(&mut *is_filed)
    }

    /// As a session is filed in a shard, whose lock is let go of before anybody is told.
    fn file(&self) {
        let mut is_filed = self.is_filed.lock();
        *is_filed = true;
        // Relaxed: as in `Bounds::publish_look`.
        self.look_ns.store(0, Ordering::Relaxed);
        drop(is_filed);
        self.alarm.ring_by(0);
    }

    /// Sleeps until the reaper has found so much. A lost wake-up is a deadlock, which loom reports.
    fn wait_for(&self, found: usize) {
        while self.found.load(SeqCst) < found {
            thread::park();
        }
    }

    fn end(&self) {
        assert_eq!(self.alarm.leave(), Left::Free);
    }
}

/// What the reaper does at a desk.
struct Work(Arc<Desk>);

impl Task for Work {
    fn attend(&mut self) -> u64 {
        if self.0.alarm.is_due() {
            self.0.pass();
        }
        self.0.alarm.look_ns()
    }

    fn finish(self: Box<Self>) {
        unreachable!("no desk ends inside its own pass");
    }
}

#[test]
fn loom_what_is_filed_while_the_reaper_sleeps_or_works_is_not_slept_through() {
    let seen = Seen::new(["found in one pass", "found in a second pass"]);
    let notes = seen.clone();
    check(Complete, Complete, move || {
        let desk = Desk::with_sleeper();
        explore(|| {
            // Sets it to work, perhaps.
            desk.alarm.ring_by(0);
            desk.file();
            desk.wait_for(1);
        });
        notes.note(desk.passes.load(SeqCst) - 1);
        desk.end();
    });
    seen.assert_all();
}

/// Who ends a hold has not had the shard's lock: what the alarm seems to be set to may be old.
#[test]
fn loom_what_is_noted_without_the_lock_is_not_slept_through() {
    let seen = Seen::new(["found in one pass", "found in a second pass"]);
    let notes = seen.clone();
    check(Complete, Complete, move || {
        let desk = Desk::with_sleeper();
        explore(|| {
            desk.alarm.ring_by(0);
            // Release: as in `Shard::release`.
            desk.is_noted.store(true, Ordering::Release);
            desk.alarm.ring_by(0);
            desk.wait_for(1);
        });
        notes.note(desk.passes.load(SeqCst) - 1);
        desk.end();
    });
    seen.assert_all();
}

#[test]
fn loom_leaving_ends_a_reaper_that_sleeps_or_works() {
    let seen = Seen::new(["it slept", "it worked"]);
    let notes = seen.clone();
    check(Preemptions(3), Complete, move || {
        let desk = Desk::with_sleeper();
        explore(|| {
            desk.alarm.ring_by(0);
            desk.end();
            assert_eq!(Arc::strong_count(&desk), 1, "its work is taken back and its thread joined");
        });
        notes.note(usize::from(desk.passes.load(SeqCst) > 0));
    });
    seen.assert_all();
}
