//! G9: what a returned read has touched is not reaped, and not evicted, as if it had not.
//!
//! Both tests go by the manual clock, which one of their threads drives, so that no thread's delay
//! can make a death rightful that was not: what a read proves is reckoned from a sample of the
//! clock that was taken before it.

use crate::witness::alone;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use sundown::{Cache, Lifetime, ManualClock, Reaper};

const RUN: Duration = Duration::from_secs(2);
const MS: Duration = Duration::from_millis(1);

fn now_ms(clock: &ManualClock) -> u64 {
    clock.elapsed().as_millis() as u64
}

/// Sessions idle out all the time, and the readers race the reaper for each of them.
#[test]
fn no_session_is_reaped_on_the_strength_of_an_older_use() {
    let _alone = alone();
    const IDLE_MS: u64 = 4;
    let clock = ManualClock::new();
    let cache: Cache<u64, u64> = Cache::builder()
        .max_entries(100)
        .shards(1)
        .resolution(MS)
        .time_to_idle(MS * IDLE_MS as u32)
        .clock(clock.clone())
        .build()
        .expect("it builds");
    let (stop, reads, deaths) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for reader in 0..2 {
            let (cache, clock, stop, reads, deaths) = (&cache, &clock, &stop, &reads, &deaths);
            scope.spawn(move || {
                // Each has a session of its own, and comes well before its deadline, just before it
                // or just at it.
                let key = reader;
                let mut last_ms = 0;
                // After a use at `last_ms`; a touch is recorded to a millisecond.
                let may_be_dead = |last_ms: u64| now_ms(clock) + 1 >= last_ms + IDLE_MS;
                let mut is_used = false;
                for turn in 0_u64.. {
                    while now_ms(clock) < last_ms + IDLE_MS - [2, 2, 1, 0][turn as usize % 4] {
                        std::hint::spin_loop();
                    }
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let now_ms = now_ms(clock);
                    let is_found = cache.read(&key, |_| ()).is_some();
                    assert!(is_found || !is_used || may_be_dead(last_ms), "used at {last_ms} ms");
                    (last_ms, is_used) = (now_ms, is_found);
                    if !is_found {
                        deaths.fetch_add(1, Ordering::Relaxed);
                        drop(cache.insert_if_absent(key, 0, Lifetime::default()));
                        continue;
                    }
                    reads.fetch_add(1, Ordering::Relaxed);
                    let is_live = cache.contains_key(&key);
                    assert!(is_live || may_be_dead(last_ms), "dead after a read at {last_ms} ms");
                }
            });
        }
        let start = Instant::now();
        let has_shown =
            || reads.load(Ordering::Relaxed) > 200 && deaths.load(Ordering::Relaxed) > 200;
        while start.elapsed() < RUN || !has_shown() && start.elapsed() < 5 * RUN {
            clock.advance(MS);
            thread::sleep(Duration::from_micros(20));
        }
        stop.store(true, Ordering::Relaxed);
        // Nobody may wait for the clock any more.
        clock.advance(MS * 10);
    });
    let (reads, deaths) = (reads.into_inner(), deaths.into_inner());
    assert!(reads > 0 && deaths > 0, "{reads} reads and {deaths} deaths show nothing");
}

/// Two places: one for a session in use, and one for a newcomer in each millisecond. Whenever the
/// one in use is evicted, its neighbour must not have been colder.
#[test]
fn no_session_is_evicted_on_the_strength_of_an_older_use() {
    let _alone = alone();
    const HOT: u64 = u64::MAX;
    let clock = ManualClock::new();
    let cache: Cache<u64, u64> = Cache::builder()
        .max_entries(2)
        .shards(1)
        .reaper(Reaper::Manual)
        .clock(clock.clone())
        .build()
        .expect("it builds");
    cache.insert(HOT, 0).expect("it fits");
    // The greatest reading of the clock before a read that then found the session.
    let (stop, proven_ms) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut evictions = 0;
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let before_ms = now_ms(&clock);
                    if cache.read(&HOT, |_| ()).is_some() {
                        proven_ms.fetch_max(before_ms, Ordering::SeqCst);
                    }
                }
            });
        }
        let start = Instant::now();
        while start.elapsed() < RUN || evictions < 100 && start.elapsed() < 5 * RUN {
            clock.advance(MS);
            let now_ms = now_ms(&clock);
            cache.insert(now_ms, 0).expect("one of the two is evicted");
            if cache.contains_key(&HOT) {
                continue;
            }
            // Its neighbour came a millisecond ago, and nobody has used it since.
            let is_neighbour_left = cache.contains_key(&(now_ms - 1));
            let proven_ms = proven_ms.load(Ordering::SeqCst);
            let is_lost = is_neighbour_left && proven_ms > now_ms - 1;
            if is_lost {
                stop.store(true, Ordering::Relaxed);
            }
            assert!(!is_lost, "used at {proven_ms} ms, evicted before {}", now_ms - 1);
            evictions += 1;
            cache.insert(HOT, 0).expect("somebody is evicted");
            cache.reap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(evictions > 0, "nothing was shown");
    assert_eq!(cache.stats().evicted_inexact, 0);
}
