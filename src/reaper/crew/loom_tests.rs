//! A model of a stand-by that takes a cache over while the leader looks elsewhere.

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
        let seat = crew.reserve();
        let desk = Arc::new(Desk {
            is_noted: AtomicBool::new(false),
            found: AtomicUsize::new(0),
            by_main: AtomicUsize::new(0),
            main: thread::current(),
        });
        seat.begin(Box::new(Work(desk.clone())));
        // Sets both to work, perhaps.
        seat.ring_by(0);
        thread::yield_now();
        seat.ring_by(0);
        let ring = {
            let (desk, crew) = (desk.clone(), crew.clone());
            move || {
                // Release: as a writer notes.
                desk.is_noted.store(true, Ordering::Release);
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
        let wait = || {
            while desk.found.load(SeqCst) == 0 {
                thread::park();
            }
        };
        race_and(stand_in, [Box::new(ring)], wait);
        notes.note(desk.by_main.load(SeqCst));
        assert_eq!(seat.leave(|| ()), Left::Free);
    });
    seen.assert_all();
}
