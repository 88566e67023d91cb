//! Models of the hand-over: what leaves against the last handle that goes, against a return, and
//! against those who look.
//!
//! Reference counts are the standard library's, which loom does not see: each step on one is made to
//! come at a point where loom changes threads, by an access of the scene's own.

use super::*;
use crate::platform::loom_tests::Depth::Complete;
use crate::platform::loom_tests::{Canary, Seen, check, race};
use crate::platform::sync::{Arc, AtomicU64, Ordering};

const GONE: Departure = Departure { weight: 1, cause: RemovalCause::Removed, left_ns: 0 };

struct Scene<V: Handle> {
    roll: Roll<V>,
    steps: AtomicU64,
}

impl<V: Handle> Scene<V> {
    fn new() -> Arc<Self> {
        Arc::new(Self { roll: Roll::new(0), steps: AtomicU64::new(0) })
    }

    /// What loom does not see comes next.
    fn step(&self) {
        // Relaxed: it only has loom change threads.
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    fn let_go(&self, handle: V) {
        self.step();
        drop(handle);
    }

    /// What a drainer does.
    fn leave(&self, mut value: V) {
        let address = self.roll.part(&mut value, None);
        self.let_go(value);
        self.roll.leave(address, GONE);
    }

    fn overstays(&self) -> u64 {
        self.step();
        self.roll.figures(1).count
    }
}

#[test]
fn loom_overstay_against_the_last_drop_ends_with_it() {
    let seen = Seen::new(["told while it was held", "not yet told"]);
    let notes = seen.clone();
    check(Complete, Complete, move || {
        let scene = Scene::new();
        let value = Arc::new(Canary::new(7));
        let handle = value.clone();
        scene.roll.enter(&value);
        let drainer = {
            let scene = scene.clone();
            move || scene.leave(value)
        };
        let (is_told, _) = race(
            || {
                let is_told = scene.overstays();
                scene.let_go(handle);
                assert_eq!(scene.overstays(), 0, "O3: no handle is left");
                is_told
            },
            [Box::new(drainer)],
        );
        notes.note(usize::from(is_told == 0));
        assert_eq!((scene.overstays(), scene.roll.rows()), (0, (0, 0)));
    });
    seen.assert_all();
}

#[test]
fn loom_one_who_holds_on_is_told_of_by_whoever_looks_after_the_drainer() {
    check(Complete, Complete, || {
        let scene = Scene::new();
        let value = Tracked::new(7);
        let (one, other) = (value.clone(), value.clone());
        scene.roll.enter(&value);
        let (dropper, looker) = (scene.clone(), scene.clone());
        race(
            || scene.leave(value),
            [Box::new(move || dropper.let_go(one)), Box::new(move || _ = looker.overstays())],
        );
        assert_eq!(scene.overstays(), 1, "O2: the other handle is left");
        scene.let_go(other);
        assert_eq!((scene.overstays(), scene.roll.rows()), (0, (0, 0)));
    });
}

#[test]
fn loom_return_against_the_end_of_the_entry_before_is_no_overstay() {
    check(Complete, Complete, || {
        let scene = Scene::new();
        let value = Arc::new(7);
        let handle = value.clone();
        scene.roll.enter(&value);
        let drainer = {
            let scene = scene.clone();
            move || scene.leave(value)
        };
        race(|| scene.roll.enter(&handle), [Box::new(drainer)]);
        assert_eq!(scene.overstays(), 0, "O1: it is in");
        let again = handle.clone();
        scene.leave(again);
        assert_eq!(scene.overstays(), 1, "O2: by its last entry it has left");
        scene.let_go(handle);
        assert_eq!((scene.overstays(), scene.roll.rows()), (0, (0, 0)));
    });
}

#[test]
fn loom_handles_taken_and_let_go_at_two_places_leave_their_seats_as_they_were() {
    let elsewhere: fn(&Tracked<u32>) -> _ = |handle| handle.clone();
    for (take, places) in [(elsewhere, 3), (again, 2)] {
        check(Complete, Complete, move || seats(take, places));
    }
}

/// One who takes a handle here, or where `main` does, and lets one go.
fn seats(take: fn(&Tracked<u32>) -> Tracked<u32>, places: usize) {
    let scene = Scene::new();
    let value = Tracked::new(7);
    scene.roll.enter(&value);
    let handle = value.clone();
    let held = value.clone();
    let taker = move || {
        let own = take(&held);
        drop(held);
        own
    };
    let (mine, [own]) = race(|| again(&handle), [Box::new(taker)]);
    scene.leave(value);
    let told = scene.roll.overstays(0);
    let handles: u64 = told.holders.iter().map(|holder| holder.count).sum();
    assert_eq!((handles, told.holders.len()), (3, places), "T1: {told:?}");
    drop((mine, own));
    let told = scene.roll.overstays(0);
    assert_eq!((told.count, told.holders.len()), (1, 1), "T1: {told:?}");
    drop(handle);
    assert_eq!(scene.roll.overstays(0), Overstays::default());
}

/// All its handles are taken at one place.
fn again(handle: &Tracked<u32>) -> Tracked<u32> {
    handle.clone()
}
