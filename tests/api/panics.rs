//! User code that panics where it is called most: what is counted, and what is contained. Every other
//! place, at every call, is in `tests/faults.rs`.
//!
//! All panics here are `resume_unwind`: they unwind like any other and print nothing.

use crate::stage::reap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use sundown::{Cache, Reaper};

#[test]
fn a_listener_that_panics_hears_of_every_session_still() {
    let heard = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&heard);
    let cache: Cache<u32, u32> = Cache::builder()
        .max_entries(1_000)
        .reaper(Reaper::Manual)
        .on_removal(move |_, _, _| {
            if counted.fetch_add(1, Ordering::Relaxed) % 7 == 0 {
                resume_unwind(Box::new("planted"));
            }
        })
        .build()
        .expect("it builds");
    for key in 0..1_000 {
        cache.insert(key, key).expect("it fits");
    }
    cache.retain(|key, _| key % 2 == 0);
    reap(&cache);
    assert_eq!(heard.load(Ordering::Relaxed), 500);
    cache.close();
    assert_eq!(heard.load(Ordering::Relaxed), 1_000);
    let stats = cache.stats();
    assert_eq!((stats.listener_panics, stats.dropped), (1_000_u64.div_ceil(7), 1_000));
}

/// Panics when dropped, unless somebody is panicking already: that would abort the process.
struct Bomb(Arc<AtomicU64>);

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        if !std::thread::panicking() {
            resume_unwind(Box::new("planted"));
        }
    }
}

#[test]
fn a_destructor_that_panics_is_counted_and_spares_its_neighbours() {
    let (went_off, token) = (Arc::new(AtomicU64::new(0)), Arc::new(()));
    let cache: Cache<u32, (Option<Bomb>, Arc<()>)> =
        Cache::builder().max_entries(100).reaper(Reaper::Manual).build().expect("it builds");
    for key in 0..100 {
        let bomb = (key % 10 == 0).then(|| Bomb(Arc::clone(&went_off)));
        cache.insert(key, (bomb, Arc::clone(&token))).expect("it fits");
    }
    cache.retain(|key, _| key % 20 != 0);
    reap(&cache);
    let stats = cache.stats();
    assert_eq!((stats.drop_panics, stats.dropped, stats.entries), (5, 5, 95));
    let result = catch_unwind(AssertUnwindSafe(|| drop(cache)));
    assert!(result.is_ok(), "no panic of a destructor leaves the cache's own drop");
    assert_eq!((went_off.load(Ordering::Relaxed), Arc::strong_count(&token)), (10, 1));
}

#[test]
fn a_payload_that_panics_when_dropped_is_contained() {
    let went_off = Arc::new(AtomicU64::new(0));
    let bombs = Arc::clone(&went_off);
    let cache: Cache<u32, u32> = Cache::builder()
        .max_entries(10)
        .reaper(Reaper::Manual)
        .on_removal(move |_, _, _| resume_unwind(Box::new(Bomb(Arc::clone(&bombs)))))
        .build()
        .expect("it builds");
    for key in 0..10 {
        cache.insert(key, key).expect("it fits");
    }
    cache.clear();
    reap(&cache);
    let stats = cache.stats();
    assert_eq!(stats.dropped, 10);
    assert!(stats.listener_panics >= 10, "and perhaps one more for each payload");
    assert_eq!(went_off.load(Ordering::Relaxed), 10);
}

#[test]
fn a_panic_inside_a_read_gives_the_session_back() {
    let token = Arc::new(());
    let cache: Cache<u32, Arc<()>> =
        Cache::builder().max_entries(10).reaper(Reaper::Manual).build().expect("it builds");
    cache.insert(1, Arc::clone(&token)).expect("it fits");
    for _ in 0..1_000 {
        let result = catch_unwind(AssertUnwindSafe(|| {
            cache.read(&1, |_| resume_unwind(Box::new("planted")))
        }));
        assert!(result.is_err(), "a panic of the closure reaches the caller");
    }
    assert!(cache.discard(&1));
    reap(&cache);
    assert_eq!(Arc::strong_count(&token), 1, "no hold was left behind");
}
