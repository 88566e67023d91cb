//! G3: four writers on a full cache, and no sample above the cap.

use crate::witness::{Register, Watched, alone, eventually};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use sundown::{Cache, ManualClock, OnFull};

const WRITERS: u64 = 4;
const RUN: Duration = Duration::from_secs(3);
const MANY_SAMPLES: u64 = 100;

/// How many unlinked values may await their destruction at once, whatever the writers do.
const GARBAGE_BOUND_ENTRIES: i64 = 40_000;

/// What a trial samples while the writers write.
#[derive(Debug, Default)]
struct Highest {
    entries: usize,
    weight: u64,
    /// What `stats` shows, which adds the shards up one by one.
    shown: usize,
    alive: i64,
    samples: u64,
}

/// Runs four writers of `write(cache, random)` and samples all the while.
fn sample(cache: &Cache<u64, Watched>, register: &Register, write: impl Fn(u64) + Sync) -> Highest {
    let (stop, mut highest) = (AtomicBool::new(false), Highest::default());
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (stop, write) = (&stop, &write);
            scope.spawn(move || {
                let mut random = writer + 1;
                while !stop.load(Ordering::Relaxed) {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    write(random);
                }
            });
        }
        let start = Instant::now();
        // On a machine that is busy with other things, longer: until enough has been seen.
        while start.elapsed() < RUN || highest.samples < MANY_SAMPLES {
            highest.entries = highest.entries.max(cache.len());
            highest.shown = highest.shown.max(cache.stats().entries);
            highest.weight = highest.weight.max(cache.weight());
            highest.alive = highest.alive.max(register.alive());
            highest.samples += 1;
            thread::sleep(Duration::from_micros(50));
        }
        stop.store(true, Ordering::Relaxed);
    });
    highest
}

fn settle(cache: &Cache<u64, Watched>, register: &Register) {
    eventually("garbage is freed", || register.alive() == cache.len() as i64);
    cache.audit().expect("the cache is whole");
}

#[test]
fn four_writers_never_exceed_the_entries() {
    let _alone = alone();
    const MOST: usize = 10_000;
    let register = Register::default();
    let cache = Cache::builder().max_entries(MOST).build().expect("it builds");
    for key in 0..MOST as u64 {
        cache.insert(key, register.value()).expect("it fits");
    }
    assert_eq!(cache.stats().evicted, 0);
    let highest = sample(&cache, &register, |random| {
        let key = random % 40_000;
        match random >> 60 {
            0 => drop(cache.discard(&key)),
            1 => drop(cache.update(&key, |_| register.value())),
            _ => cache.insert(key, register.value()).expect("somebody is evicted"),
        }
    });
    assert!(highest.entries <= MOST, "{highest:?}");
    let most_alive = MOST as i64 + GARBAGE_BOUND_ENTRIES + WRITERS as i64;
    assert!(highest.alive <= most_alive, "{highest:?}");
    settle(&cache, &register);
}

/// A gauge of a full cache must not read 100.4 %: somebody is woken by that.
#[test]
fn the_figures_of_a_cache_never_exceed_its_cap() {
    let _alone = alone();
    const MOST: usize = 1_000;
    let register = Register::default();
    let cache = Cache::builder().max_entries(MOST).shards(64).build().expect("it builds");
    let highest = sample(&cache, &register, |random| {
        cache.insert(random % 40_000, register.value()).expect("somebody is evicted");
    });
    assert!(highest.shown <= MOST, "{highest:?}");
    settle(&cache, &register);
}

/// moka 408: a cap on weight that writers overran.
#[test]
fn four_writers_never_exceed_the_weight() {
    let _alone = alone();
    const MOST: u64 = 100_000;
    let register = Register::default();
    let cache = Cache::builder()
        .max_weight(MOST)
        .weigher(|key: &u64, _: &Watched| key % 97)
        .build()
        .expect("it builds");
    let highest = sample(&cache, &register, |random| {
        cache.insert(random % 20_000, register.value()).expect("somebody is evicted");
    });
    assert!(highest.weight <= MOST && highest.weight > MOST / 2, "{highest:?}");
    // No session weighs less than 1, most far more: so the bound by entries holds as well.
    assert!(highest.alive <= MOST as i64 + GARBAGE_BOUND_ENTRIES, "{highest:?}");
    settle(&cache, &register);
}

#[test]
fn four_writers_fill_a_cache_that_rejects_to_the_last_place() {
    let _alone = alone();
    const MOST: usize = 5_000;
    let (register, refused) = (Register::default(), AtomicU64::new(0));
    let cache =
        Cache::builder().max_entries(MOST).on_full(OnFull::Reject).build().expect("it builds");
    let highest = sample(&cache, &register, |random| {
        if cache.insert(random % 100_000, register.value()).is_err() {
            refused.fetch_add(1, Ordering::Relaxed);
        }
    });
    assert_eq!((highest.entries, cache.len()), (MOST, MOST), "{highest:?}");
    assert!(refused.load(Ordering::Relaxed) > 0);
    assert_eq!(cache.stats().evicted, 0);
    settle(&cache, &register);
}

/// moka 590: eviction stalled for good when keys were reused under write pressure.
#[test]
fn reusing_a_few_keys_under_pressure_does_not_stall_eviction() {
    let _alone = alone();
    const MOST: usize = 100;
    let register = Register::default();
    let cache = Cache::builder()
        .max_entries(MOST)
        .time_to_idle(Duration::from_secs(3_600))
        .build()
        .expect("it builds");
    let highest = sample(&cache, &register, |random| {
        let key = if random >> 63 == 0 { random % 4 } else { random % 100_000 };
        cache.insert(key, register.value()).expect("somebody is evicted");
        if random % 5 == 0 {
            cache.discard(&(random % 4));
        }
    });
    assert!(highest.entries <= MOST, "{highest:?}");
    for key in 1_000_000..1_000_300 {
        cache.insert(key, register.value()).expect("somebody is evicted");
    }
    assert_eq!(cache.len(), MOST);
    assert!(cache.contains_key(&1_000_299) && cache.stats().evicted > 0);
    settle(&cache, &register);
}

/// A heavy session takes the places of several, of which its own shard gives up the first at once.
#[test]
fn whoever_makes_room_in_several_steps_is_freed() {
    let _alone = alone();
    let (register, clock) = (Register::default(), ManualClock::new());
    let cache: Cache<u64, Watched> = Cache::builder()
        .max_weight(10)
        .weigher(|&weight, _| weight)
        .shards(1)
        .clock(clock.clone())
        .build()
        .expect("it builds");
    let insert = |weight| {
        clock.advance(Duration::from_millis(1));
        cache.insert(weight, register.value()).expect("others are evicted");
    };
    [3, 4, 5].into_iter().for_each(insert);
    clock.advance(Duration::from_millis(10));
    eventually("the first is freed", || register.alive() == 2);
    // Whoever was evicted first has shown who is the coldest of those left, and no more than that.
    insert(10);
    assert_eq!((cache.len(), cache.stats().evicted), (1, 3));
    clock.advance(Duration::from_millis(10));
    eventually("the others are freed", || register.alive() == 1);
}
