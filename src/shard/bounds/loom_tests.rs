//! Models of what the gatherer publishes: nobody relies on a time that a deadline was moved before.

use super::*;
use crate::platform::loom_tests::Depth::Complete;
use crate::platform::loom_tests::{Seen, check, race};
use crate::platform::sync::Arc;

/// A deadline is moved ahead, and a gatherer sees it: whoever has heard of it finds it due.
#[test]
fn loom_who_has_heard_of_a_deadline_does_not_take_nothing_for_due() {
    let seen = Seen::new(["heard of nothing", "heard of the deadline"]);
    let notes = seen.clone();
    check(Complete, Complete, move || {
        let bounds = Arc::new(Bounds::new(1));
        bounds.see_none_due_before(100, 0);
        // On threads of their own: loom shows nobody an old value that he has seen before a wait.
        let (gathering, inserting) = (bounds.clone(), bounds.clone());
        let gather = move || {
            let due_lowered = gathering.due_lowered();
            gathering.see_none_due_before(gathering.earliest_ns(0), due_lowered);
            false
        };
        let insert = move || {
            let has_heard = inserting.due_lowered() > 0;
            let is_none_due = inserting.is_none_due(60);
            assert!(!(has_heard && is_none_due), "V3: a deadline of 50 was known");
            has_heard
        };
        let lower = || {
            bounds.publish_earliest(0, 50);
            bounds.note_lowered();
        };
        let ((), [_, has_heard]) = race(lower, [Box::new(gather), Box::new(insert)]);
        notes.note(usize::from(has_heard));
    });
    seen.assert_all();
}
