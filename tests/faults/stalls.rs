//! User code that stalls: what waits for it, which is next to nothing.
//!
//! One thread stands still in the user's code, at each place in turn but `Eq` and `Borrow`, which
//! alone run under a lock. Meanwhile every verb is called on the same key and on others, and must
//! come back with the right answer; `stats().retired` tells what is held back.

use crate::panics::with_patience;
use crate::rig::{Fault, PATIENCE, Place, Value};
use crate::stage::{IDLE, MOST_ENTRIES, Setting, Stage};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;
use sundown::{Lifetime, OnFull, Reaper};

const SETTING: Setting = Setting {
    on_full: OnFull::Evict,
    has_listener: false,
    shards: 1,
    reaper: Reaper::Manual,
    hashes: 0,
    is_closed: false,
};

/// What the stalled call keeps from being freed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Keeps {
    Nothing,
    /// The session that it is in, once that is removed.
    Its,
    /// All that is removed while it stalls, in every cache: `V::clone` runs under a pin.
    Everything,
    /// All that is removed from its shard while it stalls, for it is that shard's drainer.
    ItsShards,
}

/// A place, what is called to come there, and what that keeps.
type Stall = (Place, fn(&Stage), Keeps);

fn places() -> Vec<Stall> {
    fn discard_and_reap(stage: &Stage) {
        stage.cache.discard(&stage.id(0));
        reap_all(stage);
    }
    vec![
        (Place::BuildHasher, |stage| drop(stage.cache.get(&stage.id(0))), Keeps::Nothing),
        (Place::Hash, |stage| stage.offer(0, 9, 1), Keeps::Nothing),
        (Place::Eq, |stage| drop(stage.cache.get(&stage.id(0))), Keeps::Everything),
        // Writers compare without a pin, and hold what they compare with.
        (Place::Eq, |stage| _ = stage.cache.discard(&stage.id(0)), Keeps::Its),
        (
            Place::Eq,
            |stage| _ = stage.cache.set_lifetime(&stage.id(0), Lifetime::default()),
            Keeps::Its,
        ),
        (Place::Eq, |stage| stage.offer(0, 9, 1), Keeps::Its),
        (Place::Weigher, |stage| stage.offer(0, 9, 1), Keeps::Nothing),
        (Place::CloneKey, |stage| drop(stage.cache.update(&stage.id(0), Value::clone)), Keeps::Its),
        (Place::CloneValue, |stage| drop(stage.cache.get(&stage.id(0))), Keeps::Everything),
        (Place::DropKey, discard_and_reap, Keeps::ItsShards),
        (Place::DropValue, discard_and_reap, Keeps::ItsShards),
        (Place::Listener, discard_and_reap, Keeps::ItsShards),
        (Place::Pressure, |stage| stage.offer(9, 19, 12), Keeps::Nothing),
        (
            Place::Read,
            |stage| {
                stage.cache.read(&stage.id(0), |_| stage.rig.reach(Place::Read));
            },
            Keeps::Its,
        ),
        (
            Place::Update,
            |stage| {
                drop(stage.cache.update(&stage.id(0), |old| {
                    stage.rig.reach(Place::Update);
                    old.clone()
                }));
            },
            Keeps::Its,
        ),
        (
            Place::RemoveIf,
            |stage| {
                stage.cache.remove_if(&stage.id(0), |_, _| {
                    stage.rig.reach(Place::RemoveIf);
                    false
                });
            },
            Keeps::Its,
        ),
        (
            Place::Retain,
            |stage| {
                stage.cache.retain(|_, _| {
                    stage.rig.reach(Place::Retain);
                    true
                });
            },
            Keeps::Its,
        ),
        (
            Place::ForEach,
            |stage| {
                stage.cache.for_each(|_, _| stage.rig.reach(Place::ForEach));
            },
            Keeps::Its,
        ),
    ]
}

/// Every verb, on the key of the stalled session and on others; each must come back, and be right.
fn use_every_verb(stage: &Stage) {
    let cache = &stage.cache;
    let label = |number: u32| cache.peek(&stage.id(number)).map(|value| value.label);
    cache.discard(&stage.id(0));
    assert_eq!(label(0), None);
    assert!(stage.put(0, 10, 1) && stage.put(1, 11, 1) && stage.put(2, 12, 1));
    assert_eq!((label(0), label(1)), (Some(10), Some(11)));
    assert_eq!(cache.get(&stage.id(0)).map(|value| value.label), Some(10));
    assert_eq!(cache.read(&stage.id(0), |value| value.label), Some(10));
    assert!(cache.touch(&stage.id(1)) && cache.contains_key(&stage.id(2)));
    let newer = |old: &Value| Value::new(&stage.rig, old.label + 10, old.weight);
    assert!(matches!(cache.update(&stage.id(0), newer), Ok(true)));
    assert!(cache.remove_if(&stage.id(1), |_, value| value.label == 11));
    assert_eq!(cache.remove(&stage.id(0)).map(|value| value.label), Some(20));
    assert!(cache.set_lifetime(&stage.id(2), Lifetime::default().live(Duration::from_millis(5))));
    assert!(cache.expires_in(&stage.id(2)).is_some());
    let (key, value) = stage.pair(3, 13, 1);
    assert!(cache.insert_if_absent(key, value, Lifetime::default()).is_ok());
    let (key, value) = stage.pair(3, 14, 1);
    assert!(cache.replace(key, value, Lifetime::default()).is_ok());
    stage.advance(5);
    assert_eq!((label(2), label(3)), (None, Some(14)));
    assert_eq!(cache.retain(|key, _| key.id.number != 3), 1);
    for number in 20..60 {
        stage.advance(1);
        assert!(stage.put(number, number, 1), "somebody is evicted");
    }
    assert_eq!(cache.len(), MOST_ENTRIES, "eviction goes on");
    let mut seen = 0;
    cache.for_each(|_, _| seen += 1);
    assert_eq!(seen, MOST_ENTRIES);
    stage.clock.advance(IDLE);
    assert_eq!(cache.reap(), MOST_ENTRIES, "expiry goes on");
    assert!(stage.put(5, 15, 1));
    cache.clear();
    assert!(cache.is_empty());
    cache.audit().expect("the cache is whole");
}

/// Stalls a call, uses the cache meanwhile, and looks at what was held back.
fn stall(setting: Setting, (place, call, keeps): Stall) {
    let stage = Arc::new(Stage::new(setting));
    assert!(stage.put(0, 0, 3));
    let (inside, is_inside) = mpsc::channel();
    let (release, is_released) = mpsc::channel();
    stage.rig.set(Fault::Stall(place, inside, is_released));
    let stalled = {
        let stage = Arc::clone(&stage);
        thread::spawn(move || call(&stage))
    };
    is_inside.recv_timeout(PATIENCE).expect("the call comes to where it stalls");
    let before_ms = stage.clock.elapsed().as_millis();
    use_every_verb(&stage);
    let passed_ms = (stage.clock.elapsed().as_millis() - before_ms) as u64;
    let passed = Duration::from_millis(passed_ms);
    assert!(passed >= Duration::from_secs(10), "it stalls for long, by the cache's clock");
    assert!(!stalled.is_finished());
    let removed = stage.cache.stats().inserted;
    // With a listener, later sessions of a key wait for an earlier one, as their events must.
    let (count, weight) = match keeps {
        Keeps::Nothing => (0, 0),
        Keeps::Its if setting.has_listener => (3, 5),
        Keeps::Its => (1, 3),
        Keeps::Everything => (removed, removed + 2),
        Keeps::ItsShards => (removed, removed + 2),
    };
    if keeps == Keeps::Nothing || keeps == Keeps::Its {
        wait_for(&stage, count);
    }
    let retired = stage.cache.stats().retired;
    assert_eq!((retired.count, retired.weight), (count, weight), "{place:?}, {setting:?}");
    if keeps == Keeps::Its || keeps == Keeps::Everything {
        assert_eq!(retired.oldest, passed, "since it was removed, for all of that time");
    }
    release.send(()).expect("the stalled call waits");
    stalled.join().expect("the call ends");
    if keeps == Keeps::Its {
        // What it held is free now, for whoever reaps: a reader frees nothing itself.
        wait_for(&stage, 0);
    }
    end(stage);
}

/// Reaps until nothing is retired; other tests' pins may put that off.
fn reap_all(stage: &Stage) {
    while stage.cache.stats().retired.count > 0 {
        stage.cache.reap();
    }
}

/// Reaps until no more garbage is left than this; other tests' pins may put that off.
fn wait_for(stage: &Stage, count: u64) {
    let start = std::time::Instant::now();
    while stage.cache.stats().retired.count > count {
        let retired = stage.cache.stats().retired;
        assert!(start.elapsed() < PATIENCE, "held back: {retired:?}, not {count}");
        stage.cache.reap();
    }
}

fn end(stage: Arc<Stage>) {
    stage.settle();
    stage.check();
    let Ok(stage) = Arc::try_unwrap(stage) else { panic!("the thread has ended") };
    stage.goes_on_working();
    stage.end();
}

#[test]
fn a_call_that_stalls_in_user_code_stalls_no_other() {
    with_patience(|| {
        for has_listener in [false, true] {
            for (place, call, keeps) in places() {
                if place == Place::Listener && !has_listener {
                    continue;
                }
                stall(Setting { has_listener, ..SETTING }, (place, call, keeps));
            }
        }
    });
}

/// A drainer that stalls keeps its own shard's garbage; the other shards' is freed around it.
#[test]
fn a_destructor_that_stalls_holds_back_no_other_shard() {
    with_patience(|| {
        let stage = Arc::new(Stage::new(Setting { shards: 4, ..SETTING }));
        assert!((0..8).all(|number| stage.put(number, number, 1)));
        let (inside, is_inside) = mpsc::channel();
        let (release, is_released) = mpsc::channel();
        stage.rig.set(Fault::Stall(Place::DropValue, inside, is_released));
        let stalled = {
            let stage = Arc::clone(&stage);
            thread::spawn(move || {
                stage.cache.discard(&stage.id(0));
                reap_all(&stage);
            })
        };
        is_inside.recv_timeout(PATIENCE).expect("the destructor is called");
        stage.cache.clear();
        let start = std::time::Instant::now();
        // Of the seven others only those stay that share its shard, by an even spread one or two.
        while stage.rig.values.alive() > 4 {
            assert!(start.elapsed() < PATIENCE, "{:?}", stage.cache.stats());
            stage.cache.reap();
        }
        assert!(stage.cache.stats().retired.count > 0 && !stalled.is_finished());
        release.send(()).expect("the destructor waits");
        stalled.join().expect("the call ends");
        end(stage);
    });
}

/// The reaper looks again for a reader that was in its way, also where the clock does not move.
#[test]
fn what_waited_for_a_reader_is_freed_while_a_manual_clock_stands_still() {
    with_patience(|| {
        let stage = Arc::new(Stage::new(Setting { reaper: Reaper::Thread, ..SETTING }));
        assert!((0..5).all(|number| stage.put(number, number, 1)));
        let (inside, is_inside) = mpsc::channel();
        let (release, is_released) = mpsc::channel();
        stage.rig.set(Fault::Stall(Place::CloneValue, inside, is_released));
        let stalled = {
            let stage = Arc::clone(&stage);
            thread::spawn(move || drop(stage.cache.get(&stage.id(0))))
        };
        is_inside.recv_timeout(PATIENCE).expect("the clone is made");
        stage.clock.advance(IDLE);
        let since = std::time::Instant::now();
        while !stage.cache.is_empty() {
            assert!(since.elapsed() < PATIENCE, "nobody reaps");
            thread::yield_now();
        }
        assert_eq!(stage.rig.values.alive(), 5, "a pin keeps all garbage");
        release.send(()).expect("the clone waits");
        stalled.join().expect("the call ends");
        while stage.rig.values.alive() > 0 {
            assert!(since.elapsed() < PATIENCE, "nobody comes back: {:?}", stage.cache.stats());
            thread::yield_now();
        }
        end(stage);
    });
}
