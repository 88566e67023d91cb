//! Models of evictions amid readers and writers.

use std::time::Duration;

use super::*;
use crate::platform::clock::NEVER_NS;
use crate::platform::loom_tests::Depth::{Complete, Preemptions};
use crate::platform::loom_tests::{Seen, check, race};
use crate::platform::sync::Arc;
use crate::shard::loom_tests::Scene;

/// Two full shards whose sessions were used in the same millisecond, which is over, and a gatherer
/// has seen it.
fn with_coldest_in_each_of_two() -> Arc<Scene> {
    let scene = Scene::new(2, 2);
    assert!(scene.put(0, 1, 10) && scene.put(1, 2, 20));
    scene.shared.bounds.see_none_due_before(NEVER_NS, 0);
    scene.shared.bounds.see_coldest(0);
    scene.manual.advance(Duration::from_millis(1));
    scene
}

#[test]
fn loom_eviction_spares_whom_a_reader_has_touched() {
    let seen = Seen::new(["the coldest went", "it was touched, and another one went"]);
    let notes = seen.clone();
    check(Preemptions(3), Complete, move || {
        let scene = Scene::new(1, 2);
        assert!(scene.put(0, 1, 10));
        scene.manual.advance(Duration::from_millis(1));
        assert!(scene.put(0, 2, 20));
        scene.manual.advance(Duration::from_millis(1));
        let touch = {
            let scene = scene.clone();
            move || scene.touch(0, 1)
        };
        let evict = || {
            let mut room = Room::none(&scene.shared.budget);
            let mut looks = 100;
            let shard = &scene.shards[0];
            let now_ns = scene.shared.clock.exact_ns();
            let (eviction, _) =
                shard.evict((&scene.shared, now_ns), (9, None), &mut looks, &mut room);
            assert!(eviction.is_ok(), "{eviction:?}");
        };
        let ((), [is_touched]) = race(evict, [Box::new(touch)]);
        match ([scene.touch(0, 1), scene.touch(0, 2)], is_touched) {
            ([false, true], false) => notes.note(0),
            ([true, false], true) => notes.note(1),
            (left, _) => panic!("a touch was lost: left are {left:?}"),
        }
        scene.clear(2);
    });
    seen.assert_all();
}

/// Two insertions into two shards, each of which has its share of the coldest.
#[test]
fn loom_insertions_evict_from_their_own_shards_side_by_side() {
    check(Preemptions(3), Complete, move || {
        let scene = with_coldest_in_each_of_two();
        let put = {
            let scene = scene.clone();
            move || assert!(scene.put(1, 4, 40), "its own shard's coldest goes")
        };
        let put_here = || assert!(scene.put(0, 3, 30), "its own shard's coldest goes");
        let ((), [()]) = race(put_here, [Box::new(put)]);
        assert!(!scene.touch(0, 1) && !scene.touch(1, 2), "the coldest stayed");
        scene.clear(4);
    });
}

/// The own shard's coldest is touched meanwhile, and is not the cache's any more.
#[test]
fn loom_insertion_leaves_its_own_shards_coldest_to_a_reader_who_touches_it() {
    let seen = Seen::new(["evicted", "touched"]);
    let notes = seen.clone();
    check(Preemptions(3), Complete, move || {
        let scene = with_coldest_in_each_of_two();
        let touch = {
            let scene = scene.clone();
            move || scene.touch(0, 1)
        };
        let (is_in, [is_touched]) = race(|| scene.put(0, 3, 30), [Box::new(touch)]);
        assert_eq!(is_in, !is_touched, "a touch was lost, or a place");
        assert_eq!(scene.touch(0, 1), is_touched, "a touch was lost");
        assert!(scene.touch(1, 2), "another shard's session");
        notes.note(usize::from(is_touched));
        scene.clear(2 + usize::from(is_in));
    });
    seen.assert_all();
}
