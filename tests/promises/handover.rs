//! Hand-overs between readers, drainers and the reaper that were lost once, and must not be again.

use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use sundown::{Cache, Lifetime, ManualClock, OnFull, Reaper};

use super::witness::{Raise, alone, eventually};

/// The hold ends while the reaper, on the same shard, is inside a slow listener, and something else
/// becomes due in the meantime: so the drain is broken off just when the hold should be noticed.
#[test]
fn a_hold_released_during_a_slow_drain_is_not_forgotten() {
    let _alone = alone();
    let (is_held, is_told) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let events = Arc::new(Mutex::new(Vec::new()));
    let (told, log) = (is_told.clone(), events.clone());
    let cache = Cache::<u64, ()>::builder()
        .max_entries(1_000)
        .shards(1)
        .on_removal(move |key, (), _| {
            if key == 2 {
                told.store(true, Ordering::SeqCst);
                thread::sleep(Duration::from_millis(300));
            }
            log.lock().expect("no test panics with it").push(key);
        })
        .build()
        .expect("it builds");
    for key in 10..20 {
        cache.insert(key, ()).expect("there is room");
    }
    cache.insert(1, ()).expect("there is room");
    cache.insert(2, ()).expect("there is room");
    let soon = Lifetime::default().live(Duration::from_millis(150));
    cache.insert_for(3, (), soon).expect("there is room");
    thread::scope(|scope| {
        scope.spawn(|| {
            cache.read(&1, |()| {
                is_held.store(true, Ordering::SeqCst);
                eventually("the slow listener runs", || is_told.load(Ordering::SeqCst));
                thread::sleep(Duration::from_millis(20));
            })
        });
        eventually("the closure runs", || is_held.load(Ordering::SeqCst));
        cache.discard(&1);
        cache.discard(&2);
    });
    eventually("all three events", || events.lock().expect("no test panics with it").len() == 3);
    cache.audit().expect("it is whole");
}

/// The second look at the key, after room was gathered for it, panics in `Eq`.
#[test]
fn a_panic_in_eq_after_an_eviction_leaves_no_garbage_behind() {
    struct Key(u64, Arc<AtomicI64>);
    impl Hash for Key {
        fn hash<H: Hasher>(&self, hasher: &mut H) {
            self.0.hash(hasher);
        }
    }
    impl PartialEq for Key {
        fn eq(&self, other: &Self) -> bool {
            assert!(self.1.fetch_sub(1, Ordering::SeqCst) != 0, "as planned");
            self.0 == other.0
        }
    }
    impl Eq for Key {}

    let _alone = alone();
    let comparisons = Arc::new(AtomicI64::new(i64::MAX));
    let key = |number| Key(number, comparisons.clone());
    let cache = Cache::<Key, u64>::builder()
        .max_weight(100)
        .weigher(|_, &weight| weight)
        .shards(4)
        .build()
        .expect("it builds");
    cache.insert(key(2), 40).expect("there is room");
    thread::sleep(Duration::from_millis(5));
    cache.insert(key(1), 50).expect("there is room");
    comparisons.store(1, Ordering::SeqCst);
    let outcome = catch_unwind(AssertUnwindSafe(|| cache.insert(key(1), 80)));
    comparisons.store(i64::MAX, Ordering::SeqCst);
    assert!(outcome.is_err(), "the second comparison panics");
    assert_eq!(cache.stats().evicted, 1);
    eventually("what was evicted is dropped", || cache.stats().retired.count == 0);
    cache.audit().expect("it is whole");
}

/// Readers move the coldest session's last use while it is being evicted, again and again.
#[test]
fn an_eviction_that_loses_to_a_touch_goes_on_looking() {
    let _alone = alone();
    let clock = ManualClock::new();
    let cache = Cache::<u64, u64>::builder()
        .max_entries(130)
        .shards(1)
        .clock(clock.clone())
        .reaper(Reaper::Manual)
        .build()
        .expect("it builds");
    for key in 0..130 {
        cache.insert(key, key).expect("there is room");
    }
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _end = Raise(&is_over);
        for reader in 0..2_u64 {
            let (cache, clock, is_over) = (&cache, &clock, &is_over);
            scope.spawn(move || {
                let mut key = reader;
                while !is_over.load(Ordering::Relaxed) {
                    clock.advance(Duration::from_millis(1));
                    for _ in 0..50 {
                        cache.touch(&(key % 130));
                        key += 7;
                    }
                }
            });
        }
        for round in 0..50_000 {
            cache.insert(1_000 + round, round).expect("somebody makes room");
            cache.discard(&(1_000 + round));
            cache.insert(round % 130, round).expect("there is room");
        }
    });
    cache.audit().expect("it is whole");
}

/// A reader stuck inside its pin, in `V::clone`, while the cache waits for it.
#[test]
fn closing_waits_for_a_stuck_reader_and_then_drops_everything() {
    struct Slow(Arc<AtomicU64>, Arc<AtomicBool>);
    impl Clone for Slow {
        fn clone(&self) -> Self {
            self.1.store(true, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(500));
            Self(self.0.clone(), self.1.clone())
        }
    }
    impl Drop for Slow {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    let _alone = alone();
    let (dropped, is_inside) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let cache = Cache::<u64, Slow>::builder().max_entries(10).build().expect("it builds");
    cache.insert(1, Slow(dropped.clone(), is_inside.clone())).expect("there is room");
    thread::scope(|scope| {
        let reader = scope.spawn(|| cache.get(&1).is_some());
        eventually("the reader is inside", || is_inside.load(Ordering::SeqCst));
        cache.close();
        assert!(
            dropped.load(Ordering::SeqCst) >= 1,
            "close came back before the session was freed"
        );
        assert!(reader.join().expect("it does not panic"));
    });
    assert_eq!(cache.stats().retired.count, 0);
}

/// One session is due in a full cache that rejects; the reaper and the insertion both go for it.
#[test]
fn nobody_is_refused_because_the_reaper_was_faster() {
    let _alone = alone();
    let clock = ManualClock::new();
    let cache = Cache::<u64, ()>::builder()
        .max_entries(4_000)
        .shards(1_024)
        .on_full(OnFull::Reject)
        .clock(clock.clone())
        .build()
        .expect("it builds");
    for key in 0..3_999 {
        cache.insert(key, ()).expect("there is room");
    }
    let life = |ms| Lifetime::default().live(Duration::from_millis(ms));
    for round in 0..5_000_u64 {
        let key = 10_000 + 2 * round;
        cache.insert_for(key, (), life(5)).expect("there is room for one");
        thread::sleep(Duration::from_micros(100));
        clock.advance(Duration::from_millis(10));
        // Anywhere in the reaper's walk over the shards.
        let start = Instant::now();
        while start.elapsed() < Duration::from_nanos(round * 61 % 200_000) {
            std::hint::spin_loop();
        }
        let refused = cache.insert_for(key + 1, (), life(0)).err();
        assert!(refused.is_none(), "round {round}: {refused:?} with one session due");
        clock.advance(Duration::from_millis(10));
        eventually("the last one is reaped", || cache.len() == 3_999);
    }
}
