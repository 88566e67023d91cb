//! Four threads and a reaper, and user code that panics at every few calls of all of them.

use crate::panics::with_patience;
use crate::rig::{Fault, Place, Value};
use crate::stage::{Setting, Stage};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use sundown::{Lifetime, OnFull, Reaper};

const CALLS: u64 = if cfg!(debug_assertions) { 4_000 } else { 20_000 };

/// One call, drawn at random.
fn call(stage: &Stage, random: u64) {
    let (cache, id) = (&stage.cache, stage.id((random >> 8) as u32 % 16));
    let (number, weight) = (id.number, random >> 16 & 7);
    let lifetime = Lifetime::default().live(Duration::from_millis(random >> 20 & 63));
    match random >> 59 {
        0..=9 => stage.offer(number, 0, weight),
        10..=12 => stage.offer_for(number, 0, lifetime),
        13 => {
            let (key, value) = stage.pair(number, 0, weight);
            drop(cache.insert_if_absent(key, value, lifetime));
        }
        14 => {
            let (key, value) = stage.pair(number, 0, weight);
            drop(cache.replace(key, value, lifetime));
        }
        15..=18 => drop(cache.update(&id, |old| {
            stage.rig.reach(Place::Update);
            Value::new(&stage.rig, 0, old.weight)
        })),
        19 | 20 => drop(cache.get(&id)),
        21 | 22 => drop(cache.read(&id, |_| stage.rig.reach(Place::Read))),
        23 => drop(cache.remove(&id)),
        24 => drop(cache.discard(&id)),
        25 => drop(cache.set_lifetime(&id, lifetime)),
        26 => drop(cache.remove_if(&id, |_, _| {
            stage.rig.reach(Place::RemoveIf);
            true
        })),
        27 => drop(cache.retain(|_, _| {
            stage.rig.reach(Place::Retain);
            random % 3 > 0
        })),
        28 => cache.for_each(|_, _| stage.rig.reach(Place::ForEach)),
        29 => stage.advance(1),
        30 if random % 64 == 0 => cache.clear(),
        _ => drop(cache.reap()),
    }
}

#[test]
fn a_storm_of_panics_from_all_sides_loses_and_repeats_nothing() {
    with_patience(|| {
        for on_full in [OnFull::Evict, OnFull::Reject] {
            for has_listener in [false, true] {
                let setting = Setting {
                    on_full,
                    has_listener,
                    shards: 2,
                    reaper: Reaper::Thread,
                    hashes: 5,
                    is_closed: true,
                };
                weather(setting);
            }
        }
    });
}

fn weather(setting: Setting) {
    let (stage, told) = (Stage::new(setting), AtomicU64::new(0));
    stage.rig.set(Fault::Every(37));
    thread::scope(|scope| {
        for seed in 1..=4_u64 {
            let (stage, told) = (&stage, &told);
            scope.spawn(move || {
                let mut random = seed;
                for _ in 0..CALLS {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let outcome = catch_unwind(AssertUnwindSafe(|| call(stage, random)));
                    told.fetch_add(u64::from(outcome.is_err()), Ordering::Relaxed);
                }
            });
        }
    });
    stage.rig.set(Fault::None);
    stage.settle();
    stage.check();
    let (planted, told) = (stage.rig.planted(), told.load(Ordering::Relaxed));
    assert!(planted > 100, "only {planted} panics");
    assert_eq!(planted, told + stage.contained(), "each panic is told once");
    stage.goes_on_working();
    stage.end();
}
