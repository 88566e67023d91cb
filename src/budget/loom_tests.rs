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

/// There is room for the lightest, whatever becomes of the heavy one, which has room for its weight
/// until it finds that somebody was faster (U2).
#[test]
fn loom_failing_reservation_makes_no_other_one_fail() {
    let seen = Seen::new(["the heavy one is in", "the heavy one is not"]);
    let notes = seen.clone();
    check(Complete, Complete, move || {
        let budget = Arc::new(Budget::new(Some(2), Some(5), true));
        let others = budget.clone();
        let stay = |budget: &Budget, weight| {
            let load = Load { entries: 1, weight };
            let mut room = Room::none(budget);
            let is_in = room.try_cover(load);
            if is_in {
                room.spend(load);
            }
            is_in
        };
        let insert_two = || (stay(&budget, 2), stay(&budget, 1));
        let ((is_light_in, is_lightest_in), [is_heavy_in]) =
            race(insert_two, [Box::new(move || stay(&others, 4))]);
        assert!(is_lightest_in, "U2: it fits beside either");
        assert!(!(is_light_in && is_heavy_in), "U1");
        notes.note(usize::from(!is_heavy_in));
        let (entries, weight) = (budget.entries(), budget.weight());
        assert_eq!(entries, [is_light_in, true, is_heavy_in].map(u64::from).iter().sum::<u64>());
        assert!(entries <= 2 && weight <= 5, "U1: {entries} of weight {weight}");
    });
    seen.assert_all();
}
