//! G5: memory comes back, counted byte by byte by an allocator of our own.
//!
//! What is counted is what is asked for, so that no allocator's habits blur it. The tests run one
//! at a time, and never call a cache while they wait for its memory.

#![cfg(not(sundown_loom))]

#[path = "common/heap.rs"]
mod heap;

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Barrier, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};
use sundown::{Cache, Lifetime, ManualClock, Reaper};

use heap::requested as bytes;

/// The values that were made and not dropped.
static VALUES: AtomicI64 = AtomicI64::new(0);

/// What may stay beside the promised 5 %: sealed bags of the process-wide epoch collector and its
/// registered threads, about 2 KB each, and what the test harness allocates meanwhile.
const SLACK_BYTES: i64 = 64 << 10;

/// Promised is a second; this is for machines that have other things to do.
const PATIENCE: Duration = Duration::from_secs(20);

/// What may await its destruction in a busy cache, as documented.
const GARBAGE_ENTRIES: i64 = 8_192;

/// What a thread that has used a cache may keep while it lives: 3 to 16 KiB were measured, mostly
/// emptied nodes of the collector's queue.
const QUIET_THREAD_BYTES: i64 = 16 << 10;

/// How often a reader finds all the notes there that may be under way, 16: in all fewer than make
/// crossbeam flush by itself.
const NOTED_TIMES: usize = 3;

const HOUR: Duration = Duration::from_secs(3_600);

fn values() -> i64 {
    VALUES.load(Ordering::SeqCst)
}

/// Sixty-four bytes on the heap, and counted.
struct Value(#[expect(dead_code, reason = "it only takes room")] Box<[u8; 64]>);

impl Value {
    fn new() -> Self {
        VALUES.fetch_add(1, Ordering::SeqCst);
        Self(Box::new([7; 64]))
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        VALUES.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Lets one test run at a time, from zero values on.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    VALUES.store(0, Ordering::SeqCst);
    guard
}

/// Calls the closure when it is dropped, also by a panic: so a test that fails lets its threads end.
struct AtLast<F: Fn()>(F);

impl<F: Fn()> Drop for AtLast<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

const fn scaled(sessions: u64) -> u64 {
    if cfg!(debug_assertions) { sessions / 5 } else { sessions }
}

/// Waits, without a call of any cache, until no more than 5 % and the slack is left over `before`.
fn come_back(what: &str, before: i64) {
    let start = Instant::now();
    let bound = before + before / 20 + SLACK_BYTES;
    while bytes() > bound {
        let over = bytes() - before;
        assert!(start.elapsed() < PATIENCE, "{what}: {over} bytes more than the {before} before");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until the threads have ended, their thread-locals too, which a scope does not wait for.
fn end_of<'s>(threads: impl IntoIterator<Item = ScopedJoinHandle<'s, ()>>) {
    threads.into_iter().for_each(|thread| thread.join().expect("no thread panics"));
}

fn roomy(most: usize) -> Cache<u64, Value> {
    Cache::builder().max_entries(most).time_to_live(HOUR).build().expect("it builds")
}

fn fill(cache: &Cache<u64, Value>, keys: std::ops::Range<u64>, lifetime: Lifetime) {
    for key in keys {
        assert!(cache.insert_for(key, Value::new(), lifetime).is_ok(), "there is room");
    }
}

fn wait_until_few(most: i64) {
    let start = Instant::now();
    while values() > most {
        assert!(start.elapsed() < PATIENCE, "{} values are left, not {most}", values());
        thread::sleep(Duration::from_millis(5));
    }
}

/// mermin 317 (dashmap) and ahnlich 418 (papaya): the tables never shrank after a burst.
#[test]
fn a_storm_of_logins_that_expired_gives_its_memory_back() {
    let _alone = alone();
    let start_bytes = bytes();
    let (standing, storm) = (scaled(50_000), scaled(1_000_000));
    let cache = roomy(2_000_000);
    for residents in [0, standing] {
        fill(&cache, 0..residents, Lifetime::default());
        thread::sleep(Duration::from_millis(100));
        let before = bytes();
        let short = Lifetime::default().live(Duration::from_secs(1));
        fill(&cache, standing..standing + storm, short);
        let at_most = bytes();
        wait_until_few(residents as i64);
        come_back("after the storm", before);
        assert_eq!(values(), residents as i64);
        assert!(at_most > before, "the storm took {before} to {at_most} bytes");
    }
    drop(cache);
    assert_eq!(values(), 0, "the drop of the last handle runs every destructor");
    come_back("after the drop", start_bytes);
}

#[test]
fn idle_sessions_give_their_memory_back_as_well() {
    let _alone = alone();
    let cache = roomy(2_000_000);
    let before = bytes();
    let idle = Lifetime::default().idle(Duration::from_millis(500)).live_forever();
    fill(&cache, 0..scaled(300_000), idle);
    for key in 0..scaled(300_000) {
        cache.touch(&key);
    }
    wait_until_few(0);
    come_back("after all idled out", before);
}

/// What it is called, and how it takes out the sessions from 0 to a number.
type WayOut = (&'static str, fn(&Cache<u64, Value>, u64));

/// The same storm in a cache that readers and writers keep busy all the while.
#[test]
fn a_storm_gives_its_memory_back_under_traffic_too() {
    let _alone = alone();
    let (standing, storm) = (scaled(50_000), scaled(500_000));
    let cache = roomy(2_000_000);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for reader in 0..2 {
            let (cache, is_over) = (&cache, &is_over);
            scope.spawn(move || {
                let mut key = reader;
                while !is_over.load(Ordering::Relaxed) {
                    key = (key + 7_919) % standing;
                    if key % 16 == 0 {
                        assert!(cache.insert(key, Value::new()).is_ok(), "it replaces");
                    } else {
                        cache.read(&key, |_| ());
                    }
                    if key % 1_024 == 0 {
                        // Somebody else must run as well, on a machine with few cores.
                        thread::sleep(Duration::from_micros(200));
                    }
                }
            });
        }
        let end = AtLast(|| is_over.store(true, Ordering::Relaxed));
        fill(&cache, 0..standing, Lifetime::default());
        thread::sleep(Duration::from_millis(300));
        let before = bytes();
        let short = Lifetime::default().live(Duration::from_secs(1));
        fill(&cache, standing..standing + storm, short);
        // What was replaced just now is on its way.
        wait_until_few(standing as i64 + GARBAGE_ENTRIES);
        come_back("after a storm among traffic", before);
        drop(end);
    });
    wait_until_few(standing as i64);
    assert_eq!(values(), standing as i64);
}

/// Every other way out, into silence.
#[test]
fn what_was_removed_gives_its_memory_back_without_another_call() {
    let _alone = alone();
    let cache = roomy(2_000_000);
    let before = bytes();
    let sessions = scaled(300_000);
    let ways: [WayOut; 4] = [
        ("clear", |cache, _| cache.clear()),
        ("retain", |cache, _| assert!(cache.retain(|_, _| false) > 0)),
        ("discard", |cache, sessions| {
            for key in 0..sessions {
                assert!(cache.discard(&key));
            }
        }),
        ("set_lifetime", |cache, sessions| {
            let none = Lifetime::default().live(Duration::ZERO);
            for key in 0..sessions {
                assert!(cache.set_lifetime(&key, none));
            }
        }),
    ];
    for (way, leave) in ways {
        fill(&cache, 0..sessions, Lifetime::default());
        leave(&cache, sessions);
        wait_until_few(0);
        come_back(way, before);
    }
}

#[test]
fn reaping_by_hand_gives_memory_back_at_once() {
    let _alone = alone();
    let clock = ManualClock::new();
    let cache: Cache<u64, Value> = Cache::builder()
        .max_entries(2_000_000)
        .time_to_live(HOUR)
        .reaper(Reaper::Manual)
        .clock(clock.clone())
        .build()
        .expect("it builds");
    let before = bytes();
    fill(&cache, 0..scaled(300_000), Lifetime::default());
    clock.advance(HOUR);
    assert_eq!(cache.reap() as u64, scaled(300_000));
    // A second pass frees what the first one only unlinked, and its own garbage.
    let start = Instant::now();
    while values() > 0 || bytes() > before + before / 20 + SLACK_BYTES {
        assert!(start.elapsed() < PATIENCE, "{} values, {} bytes", values(), bytes() - before);
        cache.reap();
    }
}

/// Eviction, replacement, touches and moved deadlines leave nothing behind in the bookkeeping.
#[test]
fn churn_in_a_full_cache_costs_no_memory() {
    let _alone = alone();
    let most = scaled(20_000);
    let cache: Cache<u64, Value> = Cache::builder()
        .max_entries(most as usize)
        .time_to_live(HOUR)
        .time_to_idle(HOUR)
        .build()
        .expect("it builds");
    let churn = |rounds: u64| {
        for step in 0..rounds * most {
            let key = step.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
            assert!(cache.insert(key % (4 * most), Value::new()).is_ok(), "somebody is evicted");
            cache.touch(&(step % most));
            let lifetime = Lifetime::default().live(HOUR + Duration::from_millis(step % 5_000));
            cache.set_lifetime(&(step % (2 * most)), lifetime);
        }
        wait_until_few(most as i64);
    };
    churn(5);
    thread::sleep(Duration::from_millis(200));
    let before = bytes();
    churn(25);
    come_back("after as much churn again and again", before);
    assert_eq!(values(), cache.len() as i64);
}

#[test]
fn a_thousand_caches_come_and_go() {
    let _alone = alone();
    let cycle = |caches: u64| {
        for round in 0..caches {
            let cache = roomy(1_000);
            fill(&cache, 0..100, Lifetime::default());
            cache.discard(&round);
            drop(cache);
            assert_eq!(values(), 0, "cache {round} left values behind");
        }
    };
    cycle(50);
    let before = bytes();
    cycle(1_000);
    come_back("after a thousand caches", before);
}

#[test]
fn threads_that_used_the_cache_and_ended_leave_nothing() {
    let _alone = alone();
    let cache = roomy(10_000);
    let generation = |threads: u64| {
        for number in 0..threads {
            thread::scope(|scope| {
                let work = || {
                    for key in 0..50 {
                        let value = Value::new();
                        assert!(cache.insert(number % 7 * 50 + key, value).is_ok());
                        cache.read(&key, |_| ());
                        cache.discard(&(key * 3));
                    }
                };
                end_of([scope.spawn(work), scope.spawn(work)]);
            });
        }
        cache.clear();
        wait_until_few(0);
    };
    generation(50);
    thread::sleep(Duration::from_millis(200));
    let before = bytes();
    generation(500);
    come_back("after a thousand threads", before);
}

/// scc 198 and crossbeam 566: garbage lay in the bags of threads that did not come back for it. Here
/// the threads that read, wrote and removed live on and never call again.
#[test]
fn threads_that_used_the_cache_and_went_quiet_keep_no_value_and_little_memory() {
    const THREADS: i64 = 16;
    let _alone = alone();
    let cache = roomy(2_000_000);
    let before = bytes();
    let (is_done, may_end) =
        (Barrier::new(THREADS as usize + 1), Barrier::new(THREADS as usize + 1));
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for number in 0..THREADS as u64 {
            let (cache, is_done, may_end) = (&cache, &is_done, &may_end);
            threads.push(scope.spawn(move || {
                let keys = number * 1_000..(number + 1) * 1_000;
                fill(cache, keys.clone(), Lifetime::default().live(Duration::from_millis(300)));
                for key in keys {
                    cache.read(&key, |_| ());
                    cache.touch(&(key % 5_000));
                    if key % 3 == 0 {
                        cache.discard(&key);
                    }
                }
                is_done.wait();
                may_end.wait();
            }));
        }
        is_done.wait();
        let end = AtLast(|| {
            may_end.wait();
        });
        wait_until_few(0);
        // Registered with the collector, and a thread's own block of the standard library.
        come_back("while the threads are quiet", before + THREADS * QUIET_THREAD_BYTES);
        drop(end);
        end_of(threads);
    });
    // What the ended threads had registered, 2 KB each, is collected as the next one reads.
    for key in 0..10_000 {
        cache.touch(&key);
    }
    come_back("after the threads have ended", before);
}

thread_local! {
    /// What cloning a value does on this thread: it happens inside a pin.
    static IN_A_PIN: RefCell<Option<Box<dyn Fn()>>> = const { RefCell::new(None) };
}

/// A value whose clone takes as long as somebody wants.
struct Slow;

impl Clone for Slow {
    fn clone(&self) -> Self {
        IN_A_PIN.with_borrow(|meet| meet.as_ref().map(|meet| meet()));
        Self
    }
}

/// Readers who have, one after the other, taken emptied nodes out of the collector's queue for
/// others, and then have no more to do. They end when `then` drops what it gets.
fn with_readers_that_cleaned_up(readers: usize, then: impl FnOnce(AtLast<&dyn Fn()>)) {
    let cache: Cache<u64, Slow> =
        Cache::builder().max_entries(1_000).reaper(Reaper::Manual).build().expect("it builds");
    assert!(cache.insert(0, Slow).is_ok());
    let may_end = Barrier::new(readers + 1);
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for _ in 0..readers {
            let (inside, is_read) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
            let (meet, done, cache, may_end) = (inside.clone(), is_read.clone(), &cache, &may_end);
            threads.push(scope.spawn(move || {
                let meet = move || {
                    meet.wait();
                    meet.wait();
                };
                IN_A_PIN.set(Some(Box::new(meet)));
                for _ in 0..NOTED_TIMES {
                    assert!(cache.get(&0).is_some());
                    // Every 128th pin collects.
                    (0..2_000).for_each(|_| assert!(cache.contains_key(&0)));
                    done.wait();
                }
                IN_A_PIN.set(None);
                may_end.wait();
            }));
            for _ in 0..NOTED_TIMES {
                inside.wait();
                // As many notes as may be under way, none of which comes due while the reader is
                // in its pin: each is a node of the queue.
                for key in 1..=30 {
                    assert!(cache.insert(key, Slow).is_ok() && cache.discard(&key));
                    cache.reap();
                }
                inside.wait();
                is_read.wait();
            }
        }
        then(AtLast(&|| {
            may_end.wait();
        }));
        end_of(threads);
    });
}

/// Bags that are emptied by a thread that only reads stay with it, 2 KB each, until it flushes.
#[test]
fn readers_that_cleaned_up_for_others_and_went_quiet_keep_little_memory() {
    const READERS: i64 = 16;
    let _alone = alone();
    let before = bytes();
    with_readers_that_cleaned_up(READERS as usize, |_end| {
        come_back("while the readers are quiet", before + READERS * QUIET_THREAD_BYTES);
    });
}

/// The same where the threads end, which hands their bags over; and nobody calls after that.
#[test]
fn readers_that_cleaned_up_for_others_and_ended_leave_little_memory() {
    const READERS: i64 = 16;
    let _alone = alone();
    let before = bytes();
    with_readers_that_cleaned_up(READERS as usize, |end| drop(end));
    come_back("when the readers have ended", before + READERS * QUIET_THREAD_BYTES);
    let cache = roomy(10);
    for key in 0..10_000 {
        cache.touch(&key);
    }
    drop(cache);
    come_back("after others have read", before);
}

/// moka 329: what a cancelled or refused call had in hand was leaked.
#[test]
fn what_is_refused_is_not_kept() {
    let _alone = alone();
    let cache = roomy(1_000);
    fill(&cache, 0..1_000, Lifetime::default());
    let before = bytes();
    for key in 0..scaled(100_000) {
        let refused = cache.insert_if_absent(key % 1_000, Value::new(), Lifetime::default());
        assert!(refused.is_err());
        let refused = cache.replace(key + 1_000, Value::new(), Lifetime::default());
        assert!(refused.is_err());
    }
    assert_eq!(values(), 1_000);
    come_back("after many refusals", before);
}
