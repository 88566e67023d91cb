//! Models of the global caps: the last room goes to one, and what fails fails for a reason.

use super::*;
use crate::platform::loom_tests::Depth::Complete;
use crate::platform::loom_tests::{Seen, check, race};
use crate::platform::sync::Arc;

#[test]
fn loom_two_insertions_race_for_the_last_room() {
    let seen = Seen::new(["the heavy one is in", "the light one is in"]);
    let notes = seen.clone();
    check(Complete, Complete, move || {
        let budget = Arc::new(Budget::new(Some(1), Some(5), true));
        let insert = |budget: &Budget, weight| {
            let mut room = Room::none(budget);
            let is_in = room.try_cover(Load { entries: 1, weight });
            assert!(budget.entries() <= 1 && budget.weight() <= 5, "U1");
            if is_in {
                room.spend(Load { entries: 1, weight });
            }
            is_in
        };
        let others = budget.clone();
        let (ours, [theirs]) = race(|| insert(&budget, 5), [Box::new(move || insert(&others, 2))]);
        assert!(ours != theirs, "exactly one has the room (U2)");
        assert_eq!(budget.entries(), 1);
        assert_eq!(budget.weight(), if ours { 5 } else { 2 });
        notes.note(usize::from(theirs));
    });
    seen.assert_all();
}

/// There is room for the light one, whatever becomes of the one that is too heavy (U2).
#[test]
fn loom_failing_reservation_makes_no_other_one_fail() {
    let seen = Seen::new(["the light one is in"]);
    let notes = seen.clone();
    check(Complete, Complete, move || {
        let budget = Arc::new(Budget::new(Some(1), Some(5), true));
        let others = budget.clone();
        let fail = move || Room::none(&others).try_cover(Load { entries: 1, weight: 6 });
        let insert = || Room::none(&budget).try_cover(Load { entries: 1, weight: 2 });
        let (is_in, [is_too_heavy_in]) = race(insert, [Box::new(fail)]);
        assert!(is_in && !is_too_heavy_in);
        notes.note(0);
        assert_eq!((budget.entries(), budget.weight()), (0, 0), "given back");
    });
    seen.assert_all();
}
