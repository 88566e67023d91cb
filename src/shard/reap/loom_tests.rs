//! A model of the reaper's visit amid readers.

use std::time::Duration;

use super::*;
use crate::budget::Room;
use crate::index::{Fresh, Use};
use crate::lifetime::Spans;
use crate::platform::clock::{Clock, MILLI_NS, ManualClock};
use crate::platform::loom_tests::Depth::{Complete, Preemptions};
use crate::platform::loom_tests::{Canary, Seen, check, race};
use crate::platform::sync::pin;
use crate::shard::Mode;
use crate::shard::loom_tests::{HASH, Scene};

/// A touch that comes while the reaper is at it: the session goes, or stays and goes later.
#[test]
fn loom_touch_against_the_reapers_visit() {
    let seen = Seen::new(["reaped", "touched"]);
    let notes = seen.clone();
    check(Preemptions(3), Complete, move || {
        let scene = Scene::new(1, 2);
        let fresh = Fresh::new(1, Canary::new(10), HASH, 1);
        let spans = Spans { live_ns: NEVER_NS, idle_ns: 50 * MILLI_NS };
        let mut room = Room::none(&scene.shared.budget);
        let put = scene.shards[0].put(&scene.shared, fresh, spans, (Mode::Always, true), &mut room);
        assert!(put.is_ok());
        drop(room);
        scene.manual.advance(Duration::from_millis(49));
        let touch = {
            // The reader has taken its sample at 49 ms, and the reaper comes at 60 ms.
            let (scene, sample) = (scene.clone(), ManualClock::new());
            sample.advance(scene.manual.elapsed());
            move || {
                let clock = Clock::from(sample);
                let look = (&clock, Use::Touch);
                let index = scene.shards[0].index();
                index.look_up(&pin(), HASH, |key| *key == 1, look).is_some()
            }
        };
        scene.manual.advance(Duration::from_millis(11));
        let visit = || scene.shards[0].visit(&scene.shared, NEVER_NS);
        let (visit, [is_touched]) = race(visit, [Box::new(touch)]);
        assert_eq!(is_touched, visit.reaped == 0, "a touch was lost");
        if is_touched {
            notes.note(1);
            assert!(visit.look_ns <= 110 * MILLI_NS, "due at 99 ms, rounded up to the tick");
            scene.manual.advance(Duration::from_millis(50));
            assert_eq!(scene.shards[0].visit(&scene.shared, NEVER_NS).reaped, 1);
        } else {
            notes.note(0);
        }
        scene.clear(1);
    });
    seen.assert_all();
}
