//! Many caches in one process: they share a thread, and nothing else that could be felt.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use sundown::{Cache, Lifetime, Reaper};

use super::witness::{Lateness, Raise, alone, control, eventually, is_on_time};

const MS: Duration = Duration::from_millis(1);

/// A stuck cache's neighbours are late by no more than this: 50 ms, and a resolution.
const SOON: Duration = Duration::from_millis(60);

/// Runs what it is given when it is dropped.
struct Trap(Option<Box<dyn Fn() + Send + Sync>>);

impl Drop for Trap {
    fn drop(&mut self) {
        if let Some(spring) = &self.0 {
            spring();
        }
    }
}

/// Caches whose listeners or destructors are stuck until the flag is raised.
fn stuck_caches(count: u64, is_open: &Arc<AtomicBool>) -> Vec<Cache<u64, Trap>> {
    let stuck: Vec<_> = (0..count)
        .map(|number| {
            let is_open = Arc::clone(is_open);
            let wait = move || eventually("it opens", || is_open.load(Ordering::SeqCst));
            let builder = Cache::builder().max_entries(10);
            let (builder, trap) = if number % 2 == 0 {
                (builder.on_removal(move |_, _: Trap, _| wait()), Trap(None))
            } else {
                (builder, Trap(Some(Box::new(wait))))
            };
            let cache = builder.build().expect("it builds");
            assert!(cache.insert(1, trap).is_ok() && cache.discard(&1));
            cache
        })
        .collect();
    for cache in &stuck {
        eventually("it is stuck", || cache.stats().retired.oldest > 100 * MS);
    }
    stuck
}

/// How late the sessions of twenty other caches are freed, which are due one after the other.
fn lateness_of_others() -> Lateness {
    let caches: Vec<_> =
        (0..20).map(|_| Cache::builder().max_entries(100).build().expect("it builds")).collect();
    let begun = Instant::now();
    for turn in 0..5 {
        for (number, cache) in (0_u32..).zip(&caches) {
            let live = Duration::from_millis(100 + 83 * turn + 7 * u64::from(number));
            cache.insert_for(turn, (), Lifetime::default().live(live)).expect("it fits");
        }
    }
    let controls: Vec<_> = (1..12).map(|step| control(begun + step * 50 * MS)).collect();
    for cache in &caches {
        eventually("all are freed", || cache.stats().dropped == 5);
    }
    let observed = caches.iter().map(|cache| cache.stats().expiry_lag.max).max();
    let control = controls.into_iter().map(|control| control.join().expect("it only sleeps")).max();
    Lateness { observed: observed.expect("there are some"), control: control.expect("as above") }
}

#[test]
fn a_stuck_listener_or_destructor_delays_no_other_cache() {
    let _alone = alone();
    for count in [1, 2, 7] {
        let is_open = Arc::<AtomicBool>::default();
        let stuck = {
            let _end = Raise(&is_open);
            let stuck = stuck_caches(count, &is_open);
            is_on_time("the neighbours of stuck caches", SOON, lateness_of_others);
            assert!(stuck.iter().all(|cache| cache.stats().retired.count == 1), "they are stuck");
            stuck
        };
        for cache in &stuck {
            eventually("it goes on", || cache.stats().retired.count == 0);
        }
    }
}

/// A stand-by that has had nothing to watch for a while is there when it is needed again.
#[test]
fn a_listener_that_is_stuck_again_delays_no_other_cache() {
    let _alone = alone();
    let is_open = Arc::<AtomicBool>::default();
    let flag = Arc::clone(&is_open);
    let listener = move |_, (), _| eventually("it opens", || flag.load(Ordering::SeqCst));
    let cache = Cache::builder().max_entries(10).on_removal(listener).build().expect("it builds");
    for key in 0..2 {
        is_open.store(false, Ordering::SeqCst);
        let _end = Raise(&is_open);
        cache.insert(key, ()).expect("it fits");
        assert!(cache.discard(&key));
        eventually("it is stuck", || cache.stats().retired.oldest > 100 * MS);
        is_on_time("the neighbours of a stuck cache", SOON, lateness_of_others);
        is_open.store(true, Ordering::SeqCst);
        eventually("it goes on", || cache.stats().retired.count == 0);
        thread::sleep(100 * MS);
    }
}

/// Each has something for its listener at any time, and they are more than the threads that run listeners:
/// those give way to each other, and to the cache that is not slow.
#[test]
fn more_slow_listeners_than_threads_keep_no_other_cache_from_its_turn() {
    let _alone = alone();
    let is_over = Arc::<AtomicBool>::default();
    let slow: Vec<_> = (0..30)
        .map(|_| {
            let is_quick = Arc::clone(&is_over);
            let listener = move |_, (), _| {
                if !is_quick.load(Ordering::SeqCst) {
                    thread::sleep(10 * MS);
                }
            };
            let builder = Cache::builder().max_entries(100_000).shards(1).on_removal(listener);
            builder.build().expect("it builds")
        })
        .collect();
    let other = Cache::builder().max_entries(10).build().expect("it builds");
    thread::scope(|scope| {
        let _end = Raise(&is_over);
        scope.spawn(|| {
            for key in (0_u64..).take_while(|_| !is_over.load(Ordering::SeqCst)) {
                for cache in &slow {
                    cache.insert(key, ()).expect("it fits");
                    cache.discard(&key);
                }
                thread::sleep(MS);
            }
        });
        for cache in &slow {
            eventually("it falls behind", || cache.stats().retired.oldest > 200 * MS);
        }
        for key in 0..5 {
            other.insert_for(key, (), Lifetime::default().live(20 * MS)).expect("it fits");
            eventually("it has its turn", || other.stats().dropped == key + 1);
        }
    });
}

/// The neighbours of one whose listener is slow and never comes to its end.
#[test]
fn a_saturated_listener_delays_no_other_cache() {
    let _alone = alone();
    let is_over = Arc::<AtomicBool>::default();
    let is_quick = Arc::clone(&is_over);
    let busy = Cache::builder()
        .max_entries(100_000)
        .on_removal(move |_, (), _| {
            if !is_quick.load(Ordering::SeqCst) {
                thread::sleep(10 * MS);
            }
        })
        .build()
        .expect("it builds");
    thread::scope(|scope| {
        let _end = Raise(&is_over);
        scope.spawn(|| {
            for key in (0_u64..).take_while(|_| !is_over.load(Ordering::SeqCst)) {
                busy.insert(key, ()).expect("it fits");
                busy.discard(&key);
                thread::sleep(MS);
            }
        });
        is_on_time("the neighbours of a slow cache", SOON, lateness_of_others);
    });
}

/// Sessions of one cache hold the last handles of others, whose sessions hold those of the next.
#[test]
fn caches_that_end_inside_others_are_freed() {
    let _alone = alone();
    let is_freed = Arc::<AtomicBool>::default();
    let flag = Arc::clone(&is_freed);
    let mut last = Trap(Some(Box::new(move || flag.store(true, Ordering::SeqCst))));
    for _ in 0..5 {
        let cache: Cache<u64, Trap> = Cache::builder().max_entries(10).build().expect("it builds");
        assert!(cache.insert(1, last).is_ok());
        let handle = Mutex::new(Some(cache));
        last = Trap(Some(Box::new(move || drop(handle.lock().expect("nobody panics").take()))));
    }
    let cache = Cache::builder().max_entries(10).build().expect("it builds");
    assert!(cache.insert_for(1, last, Lifetime::default().live(20 * MS)).is_ok());
    eventually("the innermost is freed", || is_freed.load(Ordering::SeqCst));
    eventually("the outermost is whole", || cache.audit().is_ok_and(|audit| audit.retired == 0));
}

/// Two caches are attended to at the same time, and a session of each holds the last handle of the other.
#[test]
fn caches_that_hold_the_last_handles_of_each_other_end() {
    let _alone = alone();
    for reaper in [Reaper::Shared, Reaper::Thread] {
        for _ in 0..20 {
            let ended = Arc::<AtomicU64>::default();
            let meeting = Arc::new(Barrier::new(2));
            let build = || {
                let builder = Cache::builder().max_entries(10).reaper(reaper);
                builder.build().expect("it builds")
            };
            let caches: [Cache<u64, Trap>; 2] = [build(), build()];
            let [one, other] = caches.clone();
            for (cache, last) in [(&caches[0], other), (&caches[1], one)] {
                let (ended, meeting) = (Arc::clone(&ended), Arc::clone(&meeting));
                let last = Mutex::new(Some(last));
                let spring = move || {
                    meeting.wait();
                    drop(last.lock().expect("nobody panics").take());
                    ended.fetch_add(1, Ordering::SeqCst);
                };
                let live = Lifetime::default().live(20 * MS);
                assert!(cache.insert_for(1, Trap(Some(Box::new(spring))), live).is_ok());
            }
            drop(caches);
            eventually("both have ended", || ended.load(Ordering::SeqCst) == 2);
        }
    }
}

/// How long it takes until two thousand sessions that are due at once have been told of, and how many
/// threads have told of them.
fn burst() -> (Duration, usize) {
    let threads = Arc::<Mutex<HashSet<thread::ThreadId>>>::default();
    let seen = Arc::clone(&threads);
    let listener = move |_, (), _| {
        thread::sleep(MS / 10);
        seen.lock().expect("nobody panics").insert(thread::current().id());
    };
    let builder = Cache::<u64, ()>::builder().max_entries(10_000).on_removal(listener);
    let cache = builder.time_to_live(100 * MS).build().expect("it builds");
    (0..2_000).for_each(|key| cache.insert(key, ()).expect("it fits"));
    let begun = Instant::now();
    eventually("all have been told of", || cache.stats().dropped == 2_000);
    let threads = threads.lock().expect("nobody panics").len();
    (begun.elapsed(), threads)
}

/// While a stuck listener keeps the leader, a stand-by does not stop after each bit of work.
#[test]
fn a_busy_cache_keeps_up_beside_a_stuck_one() {
    let _alone = alone();
    let (alone, _) = burst();
    let is_open = Arc::<AtomicBool>::default();
    let stuck = stuck_caches(1, &is_open);
    let end = Raise(&is_open);
    is_on_time("a burst", 2 * alone + 200 * MS, || {
        let (observed, threads) = burst();
        assert!(threads <= 8, "{threads} threads have come and gone");
        Lateness { observed, control: control(Instant::now() + MS).join().expect("it only sleeps") }
    });
    drop(end);
    drop(stuck);
}
