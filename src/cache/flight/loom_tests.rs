//! Models of loads that wait for each other.

use super::*;
use crate::platform::loom_tests::Depth::{Complete, Preemptions};
use crate::platform::loom_tests::{Seen, check, race};
use crate::platform::sync::{AtomicU64, Ordering};

/// J1, J2: one leads at a time, who waits is woken, and leads if the first has failed.
#[test]
fn loom_one_leads_and_the_other_is_woken() {
    let seen = Seen::new(["the other waited", "both led, one after the other"]);
    let notes = seen.clone();
    check(Preemptions(3), Complete, move || {
        let flights = Arc::new(Flights::<u32>::default());
        let leading = Arc::new(AtomicU64::new(0));
        let ask = || {
            let (flights, leading) = (flights.clone(), leading.clone());
            move || {
                let mut has_waited = false;
                loop {
                    match flights.join(7, || 7) {
                        Part::Lead(lead) => {
                            // Relaxed, both: the list's lock orders them.
                            let others = leading.fetch_add(1, Ordering::Relaxed);
                            assert_eq!(others, 0, "J1: two lead");
                            leading.fetch_sub(1, Ordering::Relaxed);
                            drop(lead);
                            return has_waited;
                        }
                        Part::Wait(flight) => {
                            assert_eq!(flight.wait(), End::LookAgain);
                            has_waited = true;
                        }
                        Part::Alone => panic!("nothing keeps it from waiting"),
                    }
                }
            }
        };
        let (one, [other]) = race(ask(), [Box::new(ask())]);
        notes.note(usize::from(!(one || other)));
        assert!(flights.list.lock().is_empty());
    });
    seen.assert_all();
}
