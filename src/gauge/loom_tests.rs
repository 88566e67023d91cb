//! Models of turns: each is noticed once, told once, and none is lost.

use std::sync::Mutex as Plain;

use super::*;
use crate::platform::clock::ManualClock;
use crate::platform::loom_tests::Depth::{Complete, Preemptions};
use crate::platform::loom_tests::{Seen, check, race};

use Direction::{Falling, Rising};

struct Scene {
    gauge: Gauge,
    news: Arc<News>,
    /// The standard library's lock, which is free: nobody is preempted inside.
    told: Plain<Vec<Direction>>,
}

impl Scene {
    /// Of four, the level at two; it is left at zero.
    fn new(sum: u64) -> Arc<Self> {
        let news = Arc::new(News::new(1, ManualClock::new().into()));
        let mut gauge = Gauge::new();
        gauge.watch(Cap::Entries, 4, &[0.5], &news);
        let scene = Self { gauge, news, told: Plain::default() };
        for _ in 0..sum {
            scene.add();
        }
        Arc::new(scene)
    }

    fn add(&self) {
        assert!(self.gauge.try_add(1, Some(4)), "there is room");
        self.come_by();
    }

    fn take(&self) {
        self.gauge.take_off(1);
        self.come_by();
    }

    fn come_by(&self) {
        if self.news.is_waiting() {
            self.news
                .tell_all(|turn| self.told.lock().expect("nobody panics").push(turn.direction));
        }
    }

    fn told(&self) -> Vec<Direction> {
        assert!(!self.news.is_waiting(), "Q3: it is told when all have come by");
        self.told.lock().expect("nobody panics").clone()
    }
}

#[test]
fn loom_two_steps_towards_a_level_are_one_rise() {
    let seen = Seen::new(["told"]);
    let notes = seen.clone();
    check(Complete, Complete, move || {
        let scene = Scene::new(1);
        let other = scene.clone();
        race(|| scene.add(), [Box::new(move || other.add())]);
        assert_eq!(scene.told(), [Rising], "Q2");
        notes.note(0);
    });
    seen.assert_all();
}

#[test]
fn loom_two_steps_away_from_a_level_are_one_fall() {
    let seen = Seen::new(["told"]);
    let notes = seen.clone();
    check(Complete, Complete, move || {
        let scene = Scene::new(2);
        let other = scene.clone();
        race(|| scene.take(), [Box::new(move || other.take())]);
        assert_eq!(scene.told(), [Rising, Falling], "Q2");
        notes.note(0);
    });
    seen.assert_all();
}

/// Both are in at once and the level rises, or one after the other and it does not.
#[test]
fn loom_a_short_rise_is_told_with_its_fall() {
    let seen = Seen::new(["risen and fallen", "never reached"]);
    let notes = seen.clone();
    check(Preemptions(3), Complete, move || {
        let scene = Scene::new(0);
        let other = scene.clone();
        let visit = |scene: &Scene| {
            scene.add();
            let sum = scene.gauge.sum();
            scene.take();
            sum
        };
        let (ours, [theirs]) = race(|| visit(&scene), [Box::new(move || visit(&other))]);
        let told = scene.told();
        if ours == 2 || theirs == 2 {
            assert_eq!(told, [Rising, Falling], "Q2: the sum was seen at the level");
        }
        match &told[..] {
            [] => notes.note(1),
            [Rising, Falling] => notes.note(0),
            _ => panic!("Q2, Q3: {told:?}"),
        }
    });
    seen.assert_all();
}

/// It falls and rises again before it is told, or does not fall at all; risen it is in the end.
#[test]
fn loom_what_is_told_last_is_where_the_sum_is() {
    let seen = Seen::new(["fallen and risen", "never left"]);
    let notes = seen.clone();
    check(Preemptions(2), Preemptions(3), move || {
        let scene = Scene::new(2);
        let other = scene.clone();
        let leave = move || {
            other.take();
            other.take();
        };
        let enter = || {
            scene.add();
            scene.add();
        };
        race(enter, [Box::new(leave)]);
        assert_eq!(scene.gauge.sum(), 2);
        match &scene.told()[..] {
            [Rising, Falling, Rising] => notes.note(0),
            [Rising] => notes.note(1),
            told => panic!("Q1: {told:?}"),
        }
    });
    seen.assert_all();
}
