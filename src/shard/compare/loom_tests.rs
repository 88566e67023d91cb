//! Models of writers that compare the same key outside the lock.

use crate::platform::loom_tests::Depth::Preemptions;
use crate::platform::loom_tests::{Seen, check, race};
use crate::shard::loom_tests::Scene;

/// Both find the key absent, the same entry, or only another key of its hash: one replaces the other, and
/// the key has one entry.
#[test]
fn loom_two_insertions_of_a_key_leave_one_entry() {
    for key_before in [None, Some(1), Some(2)] {
        let seen = Seen::new(["the first is left", "the second is left"]);
        let notes = seen.clone();
        check(Preemptions(2), Preemptions(3), move || {
            let scene = Scene::new(1, 4);
            let before = usize::from(key_before.is_some_and(|key| scene.put(0, key, 9)));
            let others = u64::from(key_before == Some(2));
            let other = scene.clone();
            let (first, [second]) =
                race(|| scene.put(0, 1, 10), [Box::new(move || other.put(0, 1, 20))]);
            assert!(first && second, "there is room");
            assert_eq!(scene.shared.budget.entries(), 1 + others, "I1: a key has one entry");
            notes.note(usize::from(scene.hold_and_release(1) == 20));
            scene.clear(2 + before);
        });
        seen.assert_all();
    }
}

/// An entry is removed and another one of its key comes in while a writer compares: the writer must not
/// take the one for the other, nor for none.
#[test]
fn loom_insertion_against_removal_and_return_of_its_key() {
    let seen = Seen::new(["the writer's is left", "the other is left"]);
    let notes = seen.clone();
    check(Preemptions(2), Preemptions(3), move || {
        let scene = Scene::new(1, 4);
        assert!(scene.put(0, 1, 9));
        let other = scene.clone();
        let come_and_go = move || {
            assert!(other.remove(0, 1), "it is in, under whatever value");
            assert!(other.put(0, 1, 20));
        };
        let (is_in, [()]) = race(|| scene.put(0, 1, 10), [Box::new(come_and_go)]);
        assert!(is_in, "there is room");
        assert_eq!(scene.shared.budget.entries(), 1, "I1: a key has one entry");
        notes.note(usize::from(scene.hold_and_release(1) == 20));
        scene.clear(3);
    });
    seen.assert_all();
}

/// A key of the same hash comes in while another one is looked for.
#[test]
fn loom_removal_against_insertion_of_a_key_of_the_same_hash() {
    let seen = Seen::new(["it was there", "it was not"]);
    let notes = seen.clone();
    check(Preemptions(2), Preemptions(3), move || {
        let scene = Scene::new(1, 4);
        assert!(scene.put(0, 1, 10));
        let other = scene.clone();
        let writes = move || assert!(other.put(0, 2, 20) && other.put(0, 3, 30));
        let (is_removed, [()]) = race(|| scene.remove(0, 3), [Box::new(writes)]);
        assert_eq!(scene.shared.budget.entries(), 3 - u64::from(is_removed));
        assert!(scene.touch(0, 1) && scene.touch(0, 2), "another key's session went");
        notes.note(usize::from(!is_removed));
        scene.clear(3);
    });
    seen.assert_all();
}
