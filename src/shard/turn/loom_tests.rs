//! Models of turns: who claims a key is not overtaken, and who waits for that is not forgotten.

use crate::budget::Room;
use crate::index::{Fresh, Held};
use crate::platform::loom_tests::Depth::{Complete, Preemptions};
use crate::platform::loom_tests::{Canary, Seen, check, race};
use crate::platform::sync::{AtomicU64, Ordering};
use crate::shard::loom_tests::{FOREVER, HASH, Scene};
use crate::shard::{Mode, NotPut, Snag};

/// Puts a session in as a writer does; tells whether it had to wait for a turn.
fn insert(scene: &Scene, name: u32) -> bool {
    let mut room = Room::none(&scene.shared.budget);
    let mut fresh = Fresh::new(1, Canary::new(name), HASH, 1);
    let mut gives_way = true;
    loop {
        let mode = (Mode::Always, gives_way);
        match scene.shards[0].put(&scene.shared, fresh, FOREVER, mode, &mut room) {
            Ok(_) => return !gives_way,
            Err(NotPut { fresh: back, snag: Snag::Overtaken, .. }) => fresh = back,
            Err(NotPut { fresh: back, snag: Snag::Claimed, .. }) => {
                scene.shards[0].wait_for_turns(HASH);
                (fresh, gives_way) = (back, false);
            }
            Err(_) => panic!("there is room"),
        }
    }
}

/// Replaces the session that was judged; tells whether it was still in.
fn update(scene: &Scene, held: &Held<u32, Canary>, name: u32) -> bool {
    let mut room = Room::none(&scene.shared.budget);
    let fresh = Fresh::new(1, Canary::new(name), HASH, 1);
    let mode = (Mode::Update(held), false);
    scene.shards[0].put(&scene.shared, fresh, FOREVER, mode, &mut room).is_ok()
}

#[test]
fn loom_writer_waits_for_a_turn_and_is_not_forgotten() {
    let seen = Seen::new(["it came before the turn", "it waited", "it came after the turn"]);
    let notes = seen.clone();
    check(Preemptions(3), Complete, move || {
        let scene = Scene::new(1, 2);
        assert!(scene.put(0, 1, 10));
        let judge_and_update = || {
            let turn = scene.shards[0].take_turn(HASH);
            let held = scene.hold(1);
            let judged = held.value().name();
            assert!(update(&scene, &held, 11), "F1: a race was lost in a turn");
            drop(turn);
            scene.release(held);
            judged
        };
        let other = scene.clone();
        let (judged, [waited]) = race(judge_and_update, [Box::new(move || insert(&other, 20))]);
        assert!(judged == 10 || !waited, "F1: who waited came first");
        notes.note(if judged == 20 {
            0
        } else if waited {
            1
        } else {
            2
        });
        scene.clear(3);
    });
    seen.assert_all();
}

#[test]
fn loom_two_turns_exclude_each_other() {
    check(Preemptions(3), Complete, move || {
        let scene = Scene::new(1, 2);
        let inside = std::sync::Arc::new(AtomicU64::new(0));
        let visit = {
            let (scene, inside) = (scene.clone(), inside.clone());
            move || {
                let turn = scene.shards[0].take_turn(HASH);
                // Relaxed, both: turns are under one lock.
                assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0, "F2: two turns at once");
                inside.fetch_sub(1, Ordering::Relaxed);
                drop(turn);
            }
        };
        let ((), [()]) = race(visit.clone(), [Box::new(visit)]);
        assert!(scene.put(0, 1, 10), "no claim is left");
        scene.clear(1);
    });
}
