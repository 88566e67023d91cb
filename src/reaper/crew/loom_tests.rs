//! Models of a crew's threads: a stand-by takes a cache over while the leader looks elsewhere, and caches
//! ring side by side.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::*;
use crate::platform::loom_tests::Depth::{Complete, Preemptions};
use crate::platform::loom_tests::{Seen, check, race_and};
use crate::platform::sync::AtomicBool;

/// What stands for a cache: one note, and its alarm.
struct Desk {
    is_noted: AtomicBool,
    /// Loom sees neither.
    found: AtomicUsize,
    by_main: AtomicUsize,
    main: thread::Thread,
}

impl Desk {
    fn seated_at(crew: &Arc<Crew>) -> (Seat, Arc<Self>) {
        let seat = crew.reserve();
        let desk = Arc::new(Self {
            is_noted: AtomicBool::new(false),
            found: AtomicUsize::new(0),
            by_main: AtomicUsize::new(0),
            main: thread::current(),
        });
        seat.begin(Box::new(Work(desk.clone())));
        (seat, desk)
    }

    /// As a writer does.
    fn note(&self) {
        // Release: pairs with the loads in `attend`.
        self.is_noted.store(true, Ordering::Release);
    }

    /// What is lost is a deadlock, which loom reports.
    fn wait(&self) {
        while self.found.load(SeqCst) == 0 {
            thread::park();
        }
    }
}

struct Work(Arc<Desk>);

impl Task for Work {
    fn attend(&mut self) -> u64 {
        let desk = &self.0;
        // Acquire, AcqRel: pair with the store of `ring`. Looked at first, as an alarm is.
        if desk.is_noted.load(Ordering::Acquire) && desk.is_noted.swap(false, Ordering::AcqRel) {
            desk.found.fetch_add(1, SeqCst);
            let is_main = thread::current().id() == desk.main.id();
            desk.by_main.fetch_add(usize::from(is_main), SeqCst);
            desk.main.unpark();
        }
        NEVER_NS
    }

    fn finish(self: Box<Self>) {}
}

/// It rings while a stand-by has the task, so that the leader passes it over.
#[test]
fn loom_what_rings_while_a_standby_has_the_task_is_not_slept_through() {
    let seen = Seen::new(["found by the leader", "found by the stand-by"]);
    let notes = seen.clone();
    check(Preemptions(2), Complete, move || {
        let crew = Crew::start(None, false).expect("threads can be started");
        let (seat, desk) = Desk::seated_at(&crew);
        thread::yield_now();
        // Its time has passed, and the leader, which is elsewhere, has not seen it.
        crew.times.get(0).store(0, Ordering::Relaxed);
        let ring = {
            let (desk, crew) = (desk.clone(), crew.clone());
            move || {
                desk.note();
                crew.ring(0, 0);
            }
        };
        let stand_in = || {
            let mut staff = crew.staff.lock();
            let (claim, _) = crew.claim(&mut staff, 0);
            drop(staff);
            if let Some(claim) = claim {
                let (number, look_ns) = crew.attend(claim);
                crew.hand_back(number, look_ns);
            }
        };
        race_and(stand_in, [Box::new(ring)], || desk.wait());
        notes.note(desk.by_main.load(SeqCst));
        assert_eq!(seat.leave(|| ()), Left::Free);
        // Those of this model and of its seat.
        assert_eq!(Arc::strong_count(&crew), 2, "the threads are joined");
    });
    seen.assert_all();
}

/// One of them wakes the leader, and the other one relies on that.
#[test]
fn loom_two_caches_that_ring_at_once_are_both_attended_to() {
    check(Preemptions(2), Complete, move || {
        let crew = Crew::start(None, false).expect("threads can be started");
        let [(seat, desk), (other_seat, other_desk)] = [(), ()].map(|()| Desk::seated_at(&crew));
        thread::yield_now();
        let ring = || {
            desk.note();
            crew.ring(0, 0);
        };
        let ring_other = {
            let (crew, desk) = (crew.clone(), other_desk.clone());
            move || {
                desk.note();
                crew.ring(1, 0);
            }
        };
        let wait = || {
            desk.wait();
            other_desk.wait();
        };
        race_and(ring, [Box::new(ring_other)], wait);
        assert_eq!([seat.leave(|| ()), other_seat.leave(|| ())], [Left::Free; 2]);
    });
}
