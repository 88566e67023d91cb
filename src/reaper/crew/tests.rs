//! Seats that change hands, on real threads.

use std::sync::mpsc;

use super::*;

/// Tells when it is attended to.
struct Bellboy(mpsc::Sender<()>);

impl Task for Bellboy {
    fn attend(&mut self) -> u64 {
        let _ = self.0.send(());
        NEVER_NS
    }

    fn finish(self: Box<Self>) {}
}

const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_seat_that_was_rung_while_it_was_free_serves_the_next_cache() {
    let crew = Crew::start(None, false).unwrap();
    let (tell, told) = mpsc::channel();
    let _other = crew.reserve();
    let first = crew.reserve();
    first.begin(Box::new(Bellboy(tell.clone())));
    assert_eq!(first.leave(|| ()), Left::Free);
    // The end of a cache rings once more. The leader finds the seat free.
    first.ring_by(1);
    while crew.wake_ns.load(Ordering::Relaxed) != NEVER_NS {
        thread::yield_now();
    }
    let second = crew.reserve();
    second.begin(Box::new(Bellboy(tell)));
    second.ring_by(process_ns() + MILLI_NS);
    told.recv_timeout(SOON).expect("the leader was told by the first cache, and not by the second");
    assert_eq!(second.leave(|| ()), Left::Free);
    crew.vacate(0);
}

#[test]
fn only_seats_that_wait_make_the_crew_wanted() {
    let crew = Crew::start(None, false).unwrap();
    let (tell, _told) = mpsc::channel();
    let seats = [crew.reserve(), crew.reserve()];
    for seat in &seats {
        seat.begin(Box::new(Bellboy(tell.clone())));
    }
    // As a leader that is kept by a task leaves it.
    crew.wake_ns.store(0, Ordering::Relaxed);
    assert!(!crew.is_wanted(), "no time has passed");
    crew.times.get(1).store(1, Ordering::Relaxed);
    let claim = {
        let mut staff = crew.staff.lock();
        crew.take(&mut staff, 1)
    };
    crew.times.get(1).store(1, Ordering::Relaxed);
    crew.wake_ns.store(0, Ordering::Relaxed);
    assert!(!crew.is_wanted(), "the one whose time has passed is in hand");
    let (number, look_ns) = crew.attend(claim.expect("it waits"));
    crew.hand_back(number, look_ns);
    // The leader sleeps, and is woken by a lowering.
    crew.wake_ns.store(NEVER_NS, Ordering::Relaxed);
    for seat in seats {
        assert_eq!(seat.leave(|| ()), Left::Free);
    }
}
