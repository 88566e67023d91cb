//! Models of one lock's worth of the cache: who gets the last room, and who frees what a closure held.

use std::sync::Mutex as Plain;

use super::*;
use crate::budget::Room;
use crate::index::{Fresh, Held, Use};
use crate::lifetime::Spans;
use crate::platform::clock::{MILLI_NS, ManualClock};
use crate::platform::loom_tests::Depth::{Complete, Preemptions};
use crate::platform::loom_tests::{Canary, Seen, check, race};
use crate::platform::sync::{Arc, Ordering, Ticket, pin, thread, turn_epoch};
use crate::stats::Stats;

pub(super) const FOREVER: Spans = Spans { live_ns: NEVER_NS, idle_ns: NEVER_NS };
/// All keys collide.
pub(super) const HASH: u32 = 7;

/// What the listener was told, in order, and in which thread.
type Events = Arc<Plain<Vec<(u32, thread::ThreadId)>>>;

/// Shards that share a budget and a clock, and who listens.
pub(super) struct Scene {
    pub(super) shards: Vec<Shard<u32, Canary>>,
    pub(super) shared: Shared<u32, Canary>,
    pub(super) manual: ManualClock,
    events: Events,
    /// How often the listener was called.
    turns: Arc<AtomicU64>,
}

impl Scene {
    pub(super) fn new(shards: usize, max_entries: u64) -> Arc<Self> {
        let manual = ManualClock::new();
        let events = Events::default();
        let told = events.clone();
        let turns = Arc::new(AtomicU64::new(0));
        let turn = turns.clone();
        let listener = move |_: u32, value: Canary, _| {
            // Relaxed: it only has loom explore in which order listeners are called.
            turn.fetch_add(1, Ordering::Relaxed);
            // The standard library's lock, which is free: nobody is preempted inside.
            told.lock().expect("nobody panics inside").push((value.name(), thread::current().id()));
        };
        let listener: Option<Box<super::Listener<_, _>>> = Some(Box::new(listener));
        let detour = super::Detour { listener, listener_place: None, watch: None };
        Arc::new(Self {
            shards: (0..shards).map(|number| Shard::new(number, 8, 10, true, true)).collect(),
            shared: Shared {
                clock: Clock::from(manual.clone()),
                budget: Budget::new(Some(max_entries), None, false),
                disposal: Disposal::new(detour, None),
                resolution_ns: 10 * MILLI_NS,
                batch_entries: BITE,
                heavy_weight: u64::MAX,
                heeded_weight: u64::MAX,
                bounds: Bounds::new(shards),
                alarm: Arc::new(Alarm::new(Clock::from(manual.clone()))),
            },
            manual,
            events,
            turns,
        })
    }

    /// Puts a session in, if there is room.
    pub(super) fn put(&self, shard: usize, key: u32, name: u32) -> bool {
        let mut fresh = Fresh::new(key, Canary::new(name), HASH, 1);
        loop {
            let mut room = Room::none(&self.shared.budget);
            let mode = (Mode::Always, true);
            let put = self.shards[shard].put(&self.shared, fresh, FOREVER, mode, &mut room);
            let entries = self.shared.budget.entries();
            let max_entries = self.shared.budget.max_entries();
            assert!(Some(entries) <= max_entries, "U1: {entries} of {max_entries:?}");
            match put {
                Ok(_) => return true,
                Err(NotPut { snag: Snag::NeedsRoom(..), .. }) => return false,
                Err(NotPut { snag: Snag::Overtaken, fresh: back, .. }) => fresh = back,
                Err(_) => panic!("only room is short"),
            }
        }
    }

    pub(super) fn remove(&self, shard: usize, key: u32) -> bool {
        let shard = &self.shards[shard];
        let held = loop {
            match shard.remove(&self.shared, HASH, |other| *other == key) {
                Ok((held, _)) => break held,
                Err(Overtaken) => {}
            }
        };
        held.is_some()
    }

    pub(super) fn release(&self, held: Held<u32, Canary>) {
        drop(Hold::new(&self.shards[0], &self.shared, held));
    }

    /// The name of a key's session.
    pub(super) fn hold_and_release(&self, key: u32) -> u32 {
        let held = self.hold(key);
        let name = held.value().name();
        self.release(held);
        name
    }

    pub(super) fn hold(&self, key: u32) -> Held<u32, Canary> {
        let look = (&self.shared.clock, Use::Hold);
        let index = self.shards[0].index();
        index.hold(&pin(), HASH, |other| *other == key, look).expect("it is in")
    }

    pub(super) fn touch(&self, shard: usize, key: u32) -> bool {
        let look = (&self.shared.clock, Use::Touch);
        let index = self.shards[shard].index();
        index.look_up(&pin(), HASH, |other| *other == key, look).is_some()
    }

    /// Frees what is ripe after two rounds, as whoever reaps does.
    fn drain(&self) {
        for shard in &self.shards {
            shard.seal();
        }
        Ticket::defer();
        turn_epoch();
        turn_epoch();
        for shard in &self.shards {
            shard.drain(&self.shared);
        }
    }

    fn names(&self) -> Vec<u32> {
        self.events.lock().expect("nobody panics inside").iter().map(|&(name, _)| name).collect()
    }

    /// Ends the scene: everything leaves, and each session was told of once.
    pub(super) fn clear(&self, sessions: usize) {
        for shard in &self.shards {
            let (further, _) = shard.unlink_bite(&self.shared, 0, RemovalCause::Closed);
            assert_eq!(further, None);
            shard.drain_all(&self.shared);
        }
        let mut names = self.names();
        assert_eq!(names.len(), sessions, "every session is told of once: {names:?}");
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), sessions, "none twice: {names:?}");
        assert_eq!(self.shared.budget.entries(), 0);
    }
}

#[test]
fn loom_two_insertions_and_a_removal_keep_the_cap() {
    let seen = Seen::new(["the first is in", "the second is in", "both were too early"]);
    let notes = seen.clone();
    check(Preemptions(2), Preemptions(3), move || {
        let scene = Scene::new(2, 1);
        assert!(scene.put(0, 1, 10));
        let inserts = [0, 1].map(|shard| -> Box<dyn FnOnce() -> bool + Send> {
            let scene = scene.clone();
            Box::new(move || scene.put(shard, 2, 20 + shard as u32))
        });
        let (is_removed, are_in) = race(|| scene.remove(0, 1), inserts);
        assert!(is_removed);
        assert_ne!(are_in, [true, true], "U1: the cap is one");
        notes.note(are_in.iter().position(|&is_in| is_in).unwrap_or(2));
        let in_now = are_in.iter().filter(|&&is_in| is_in).count();
        assert_eq!(scene.shared.budget.entries(), in_now as u64);
        scene.clear(1 + in_now);
    });
    seen.assert_all();
}

/// A closure holds a session that is removed, and so is its successor under the same key. Whoever
/// frees them, it happens once, in order, and nobody is left behind.
#[test]
fn loom_end_of_a_hold_against_the_drainer() {
    let seen = Seen::new(["freed by the drainer", "left to the reaper"]);
    let notes = seen.clone();
    check(Preemptions(3), Complete, move || {
        let scene = Scene::new(1, 2);
        assert!(scene.put(0, 1, 10));
        let held = scene.hold(1);
        assert!(scene.remove(0, 1));
        scene.shared.alarm.disarm();
        let close = || {
            assert_eq!(held.value().name(), 10);
            scene.release(held);
        };
        let write = {
            let scene = scene.clone();
            move || {
                assert!(scene.put(0, 1, 11));
                assert!(scene.remove(0, 1));
                scene.drain();
            }
        };
        let ((), [()]) = race(close, [Box::new(write)]);
        let names = scene.names();
        assert!([10, 11].starts_with(&names), "events of one key out of order: {names:?}");
        if names.len() == 2 {
            notes.note(0);
        } else {
            let is_rung = scene.shared.alarm.at_ns() != NEVER_NS;
            assert!(is_rung, "nobody rings for the reaper, and {names:?} only are freed");
            assert!(
                scene.shards[0].visit(&scene.shared, NEVER_NS).has_garbage,
                "the reaper sees nothing"
            );
            scene.drain();
            assert_eq!(scene.names(), [10, 11]);
            notes.note(1);
        }
        scene.clear(2);
    });
    seen.assert_all();
}

#[test]
fn loom_two_drainers_free_each_session_once_and_in_order() {
    let seen = Seen::new(["freed by the one", "freed by the other", "left over"]);
    let notes = seen.clone();
    check(Preemptions(3), Complete, move || {
        let scene = Scene::new(1, 2);
        // One key's sessions, in two batches, the first of which ripens before the second.
        assert!(scene.put(0, 1, 10) && scene.remove(0, 1));
        scene.shards[0].seal();
        Ticket::defer();
        turn_epoch();
        assert!(scene.put(0, 1, 20) && scene.remove(0, 1));
        let other = scene.clone();
        let drain = move || {
            other.shards[0].drain(&other.shared);
        };
        let ((), [()]) = race(|| scene.drain(), [Box::new(drain)]);
        let own = thread::current().id();
        let events = scene.events.lock().expect("nobody panics inside").clone();
        assert!(events.len() == 2 || scene.shards[0].needs_draining(), "forgotten: {events:?}");
        assert!([10, 20].starts_with(&scene.names()), "R2: out of order: {events:?}");
        for (_, thread) in &events {
            notes.note(usize::from(*thread != own));
        }
        if events.len() < 2 {
            notes.note(2);
        }
        scene.clear(2);
    });
    seen.assert_all();
}

/// Whoever is told that a session was dropped sees what its listener did.
#[test]
fn loom_count_of_the_dropped_brings_the_listeners_work_along() {
    let seen = Seen::new(["not counted", "counted"]);
    let notes = seen.clone();
    check(Complete, Complete, move || {
        let scene = Scene::new(1, 2);
        assert!(scene.put(0, 1, 10) && scene.remove(0, 1));
        let other = scene.clone();
        let look = move || {
            let mut stats = Stats::default();
            other.shards[0].add_figures(&other.shared, 0, &mut stats);
            // Relaxed: the figure alone must have brought it along.
            (stats.dropped, other.turns.load(Ordering::Relaxed))
        };
        let ((), [(dropped, turns)]) = race(|| scene.drain(), [Box::new(look)]);
        assert!(dropped <= turns, "{dropped} dropped, {turns} told of");
        notes.note(dropped as usize);
        scene.clear(1);
    });
    seen.assert_all();
}
