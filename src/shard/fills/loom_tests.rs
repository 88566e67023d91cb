//! Models of fills: what comes too late is not put in.

use crate::budget::Room;
use crate::index::Fresh;
use crate::platform::loom_tests::Depth::Preemptions;
use crate::platform::loom_tests::{Canary, Seen, check, race};
use crate::shard::loom_tests::{FOREVER, HASH, Scene};
use crate::shard::{Mode, NotPut, Snag};

/// Puts a fill in; tells whether it came in time.
fn complete(scene: &Scene, number: u64, name: u32) -> bool {
    let mut fresh = Fresh::new(1, Canary::new(name), HASH, 1);
    loop {
        let mut room = Room::none(&scene.shared.budget);
        let mode = (Mode::Fill(number), true);
        match scene.shards[0].put(&scene.shared, fresh, FOREVER, mode, &mut room) {
            Ok(_) => return true,
            Err(NotPut { snag: Snag::Superseded, .. }) => return false,
            Err(NotPut { snag: Snag::Overtaken, fresh: back, .. }) => fresh = back,
            Err(_) => panic!("there is room"),
        }
    }
}

/// J3: a log-out while the session is fetched. Whichever comes first, nobody is in afterwards.
#[test]
fn loom_fill_against_removal() {
    let seen = Seen::new(["it came too late", "it came first and was removed"]);
    let notes = seen.clone();
    check(Preemptions(3), Preemptions(4), move || {
        let scene = Scene::new(1, 2);
        let number = scene.shards[0].begin_fill(HASH);
        let other = scene.clone();
        let remove = move || other.remove(0, 1);
        let (is_in, [was_in]) = race(|| complete(&scene, number, 10), [Box::new(remove)]);
        scene.shards[0].end_fill(number);
        assert_eq!(is_in, was_in, "J3");
        assert_eq!(scene.shared.budget.entries(), 0, "J3: it is back");
        notes.note(usize::from(is_in));
        scene.clear(usize::from(is_in));
    });
    seen.assert_all();
}

/// J3: a newer session while an older one is fetched. The newer one stays.
#[test]
fn loom_fill_against_insertion() {
    let seen = Seen::new(["it came too late", "it came first and was replaced"]);
    let notes = seen.clone();
    check(Preemptions(3), Preemptions(4), move || {
        let scene = Scene::new(1, 2);
        let number = scene.shards[0].begin_fill(HASH);
        let other = scene.clone();
        let insert = move || other.put(0, 1, 20);
        let (is_in, [put]) = race(|| complete(&scene, number, 10), [Box::new(insert)]);
        scene.shards[0].end_fill(number);
        assert!(put, "there is room");
        assert_eq!(scene.hold_and_release(1), 20, "J3: the older one is back");
        notes.note(usize::from(is_in));
        scene.clear(1 + usize::from(is_in));
    });
    seen.assert_all();
}
