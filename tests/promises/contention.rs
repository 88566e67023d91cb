//! Calls that judge a session outside the lock and may find it replaced afterwards: a lost race
//! leads to a turn, not to another race.

use crate::witness::{Raise, alone};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use sundown::{Cache, Lifetime};

/// Within this, a closure of 5 ms gets its turn.
const BOUND: Duration = Duration::from_secs(3);
/// How many runs of the closure that takes: two lost ones, and one or two with the turn.
const FEW_RUNS: u32 = 20;
const SLOW: Duration = Duration::from_millis(5);

type Sessions = Cache<u32, u64>;

fn sessions() -> Sessions {
    let cache = Cache::builder().max_entries(1_000).shards(1).build().expect("it builds");
    for key in 0..10 {
        cache.insert(key, 0).expect("it fits");
    }
    cache
}

/// Has `call` run, with a closure's work to be done in it, beside a thread that does `disturb` every
/// millisecond; tells how often the closure ran, and whether the call was back in time.
fn beside(
    disturb: impl Fn(&Sessions) + Send + Sync,
    call: impl FnOnce(&Sessions, &dyn Fn()) + Send + 'static,
) -> (u32, bool) {
    let cache = sessions();
    let is_over = AtomicBool::new(false);
    let runs = Arc::new(AtomicU32::new(0));
    thread::scope(|scope| {
        let _end = Raise(&is_over);
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                disturb(&cache);
                thread::sleep(Duration::from_millis(1));
            }
        });
        let (done, is_done) = mpsc::channel();
        let (cache, runs_inside) = (cache.clone(), Arc::clone(&runs));
        scope.spawn(move || {
            call(&cache, &|| {
                runs_inside.fetch_add(1, Ordering::Relaxed);
                thread::sleep(SLOW);
            });
            let _is_late = done.send(());
        });
        let is_back = is_done.recv_timeout(BOUND).is_ok();
        (runs.load(Ordering::Relaxed), is_back)
    })
}

fn count_up(cache: &Sessions) {
    cache.update(&1, |count| count + 1).expect("it fits");
}

#[test]
fn a_slow_update_gets_its_turn_beside_quick_ones() {
    let _alone = alone();
    let (runs, is_back) = beside(count_up, |cache, work| {
        let updated = cache.update(&1, |count| {
            work();
            count + 1_000_000
        });
        assert!(updated.expect("it fits"));
        assert!(cache.get(&1) >= Some(1_000_000), "no update is lost");
    });
    assert!(is_back && runs < FEW_RUNS, "{runs} runs, and back in time: {is_back}");
}

#[test]
fn a_slow_remove_if_gets_its_turn_beside_quick_updates() {
    let _alone = alone();
    let (runs, is_back) = beside(count_up, |cache, work| {
        assert!(cache.remove_if(&1, |_, _| {
            work();
            true
        }));
    });
    assert!(is_back && runs < FEW_RUNS, "{runs} runs, and back in time: {is_back}");
}

#[test]
fn a_slow_retain_gets_its_turn_beside_quick_updates() {
    let _alone = alone();
    let (runs, is_back) = beside(count_up, |cache, work| {
        let removed = cache.retain(|&key, _| {
            if key == 1 {
                work();
            }
            key != 1
        });
        assert_eq!(removed, 1);
    });
    assert!(is_back && runs < FEW_RUNS, "{runs} runs, and back in time: {is_back}");
}

/// Insertions, which look at nothing, wait for a turn as well.
#[test]
fn a_slow_update_gets_its_turn_beside_insertions() {
    let _alone = alone();
    let disturb = |cache: &Sessions| {
        cache.insert(1, 7).expect("it fits");
        let _is_gone = cache.replace(1, 8, Lifetime::default());
    };
    let (runs, is_back) = beside(disturb, |cache, work| {
        let updated = cache.update(&1, |count| {
            work();
            count + 1
        });
        assert!(updated.expect("it fits"));
    });
    assert!(is_back && runs < FEW_RUNS, "{runs} runs, and back in time: {is_back}");
}

/// Has a call take its turn, by losing races, and do `inside` there.
fn in_its_turn(cache: &Sessions, key: u32, inside: impl Fn()) {
    let mut runs = 0;
    let updated = cache.update(&key, |value| {
        runs += 1;
        if runs > 2 {
            inside();
        } else {
            let writer = cache.clone();
            let write = move || writer.insert(key, 0).expect("it fits");
            thread::spawn(write).join().expect("it returns");
            thread::sleep(SLOW);
        }
        value + 1
    });
    assert!(updated.expect("it fits"));
}

#[test]
fn a_closure_that_is_stuck_in_its_turn_holds_a_writer_up_for_a_second_at_most() {
    let _alone = alone();
    let cache = sessions();
    let (inside, is_inside) = mpsc::channel();
    let (release, is_released) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let stuck = cache.clone();
        scope.spawn(move || {
            let once = std::cell::Cell::new(true);
            in_its_turn(&stuck, 1, || {
                if once.replace(false) {
                    inside.send(()).expect("somebody waits");
                    is_released.recv_timeout(Duration::from_secs(60)).expect("it is released");
                }
            });
        });
        is_inside.recv_timeout(Duration::from_secs(60)).expect("it has its turn");
        let start = Instant::now();
        for key in 2..10 {
            assert!(cache.update(&key, |value| value + 1).expect("it fits"));
        }
        assert_eq!(cache.get(&1), Some(0), "readers never wait");
        let others = start.elapsed();
        cache.insert(1, 5).expect("it fits");
        let writer = start.elapsed();
        assert!(cache.discard(&1), "a removal does not wait");
        let removal = start.elapsed() - writer;
        cache.insert(1, 6).expect("it fits");
        release.send(()).expect("it waits");
        assert!(others < Duration::from_millis(500), "other keys waited {others:?}");
        assert!(removal < Duration::from_millis(500), "a removal waited {removal:?}");
        assert!(writer < Duration::from_secs(10), "a writer waited {writer:?}");
    });
    assert!(cache.get(&1) >= Some(6));
}

#[test]
fn closures_that_update_each_others_keys_in_their_turns_do_not_deadlock() {
    let _alone = alone();
    let cache = sessions();
    let start = Instant::now();
    let meeting = std::sync::Barrier::new(2);
    thread::scope(|scope| {
        for (own, other) in [(1, 2), (2, 1)] {
            let (cache, meeting) = (&cache, &meeting);
            scope.spawn(move || {
                let has_met = std::cell::Cell::new(false);
                in_its_turn(cache, own, || {
                    if !has_met.replace(true) {
                        // Both have their turns now, and both want the other one's key.
                        meeting.wait();
                        assert!(cache.update(&other, |value| value + 1).expect("it fits"));
                        assert!(cache.update(&own, |value| value + 1).expect("it fits"));
                        cache.insert(other, 1).expect("it fits");
                    }
                });
            });
        }
    });
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "they waited for each other: {:?}",
        start.elapsed()
    );
}

#[test]
fn a_panic_ends_the_turn() {
    let _alone = alone();
    let cache = sessions();
    for _ in 0..20 {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            in_its_turn(&cache, 1, || panic!("planted"));
        }));
        assert!(panicked.is_err());
    }
    let start = Instant::now();
    cache.insert(1, 5).expect("it fits");
    assert!(cache.update(&1, |value| value + 1).expect("it fits"));
    assert!(start.elapsed() < Duration::from_millis(500), "waited {:?}", start.elapsed());
    cache.audit().expect("the cache is whole");
}
