//! `Stats::overhead_bytes` is what an allocator counts, in every state that a cache can be in.
//!
//! What is counted is what is asked for, less keys and values, which have nothing on the heap here.

#![cfg(not(sundown_loom))]

#[path = "common/heap.rs"]
mod heap;

use std::time::Duration;
use sundown::{Builder, Cache, Lifetime, ManualClock, Reaper};

/// What is not the cache's: the collector's registered thread and up to four emptied nodes of its
/// queue, 2 KB each, and what the harness allocates meanwhile. Beside what is asked about here, it is
/// little.
const SLACK_BYTES: i64 = 12 << 10;

/// What the figure leaves out: the lists that tables and held sessions wait in, eight bytes each.
const LIST_BYTES_A_SHARD: i64 = 192;

type Sessions = Cache<u64, u64>;
type Plan = Builder<u64, u64>;

/// One cache, and what was asked for before it was built.
struct Scale {
    cache: Sessions,
    clock: ManualClock,
    before: i64,
    lists: i64,
}

impl Scale {
    fn new(max_entries: usize, shards: usize, has_listener: bool) -> Self {
        Self::with(shards, |builder| {
            let builder = builder.max_entries(max_entries);
            if has_listener { builder.on_removal(|_, _, _| ()) } else { builder }
        })
    }

    fn with(shards: usize, what: impl FnOnce(Plan) -> Plan) -> Self {
        let clock = ManualClock::new();
        let before = heap::requested();
        let builder =
            Sessions::builder().shards(shards).reaper(Reaper::Manual).clock(clock.clone());
        let cache = what(builder).build().expect("it builds");
        Self { cache, clock, before, lists: LIST_BYTES_A_SHARD * shards as i64 }
    }

    /// Compares what the cache says with what was asked for.
    fn weigh(&self, state: &str) -> i64 {
        let stats = self.cache.stats();
        let sessions = self.cache.len() as i64 + stats.retired.count as i64;
        let counted = heap::requested() - self.before - 16 * sessions;
        let told = stats.overhead_bytes as i64;
        let off = told - counted;
        let lists = if stats.inserted > 0 { self.lists } else { 0 };
        assert!(
            off.abs() < SLACK_BYTES + lists,
            "{state}: told {told}, counted {counted}, off {off}"
        );
        told
    }

    /// Lets all garbage go; other tests' readers may put that off.
    fn settle(&self) {
        for _ in 0..10_000 {
            self.clock.advance(Duration::from_secs(1));
            self.cache.reap();
            if self.cache.stats().retired.count == 0 {
                return;
            }
            std::thread::yield_now();
        }
        panic!("garbage stays: {:?}", self.cache.stats());
    }
}

/// Tests of this file run one at a time: what others ask for would be counted.
#[test]
fn overhead_is_what_the_allocator_counts() {
    // The collector and this thread's share in it are there from the first use on.
    Scale::new(10, 1, false).cache.insert(1, 1).expect("there is room");
    an_empty_cache();
    levels_of_pressure();
    sessions_over_all_levels_of_the_wheels();
    tables_that_wait_for_their_readers();
    sessions_that_closures_hold();
    what_weights_count();
}

fn an_empty_cache() {
    for shards in [1, 64, 1_024] {
        let told = Scale::new(1_000_000, shards, false).weigh("empty");
        // The least of it: the tournament's ranks, 48 bytes a shard.
        assert!(told > 48 * shards as i64, "{told} of {shards} shards");
    }
}

/// Of many caches, for what a cache's levels take is less than the slack.
fn levels_of_pressure() {
    const CACHES: i64 = 100;
    let levels = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95];
    let watched = || {
        Scale::with(1, |builder| {
            let builder = builder.max_entries(1_000).max_weight(1_000).weigher(|_, _| 1);
            builder.on_pressure(levels, |_| ())
        })
    };
    let before = heap::requested();
    let scales: Vec<_> = (0..CACHES).map(|_| watched()).collect();
    let list = (scales.capacity() * size_of::<Scale>()) as i64;
    let counted = heap::requested() - before - list;
    let told: i64 = scales.iter().map(|scale| scale.cache.stats().overhead_bytes as i64).sum();
    // The callback, and what holds it and the clock, are left out.
    let off = (told - counted) / CACHES;
    assert!(off.abs() < 512, "told {told}, counted {counted}, off {off} a cache");
}

fn sessions_over_all_levels_of_the_wheels() {
    let scale = Scale::new(100_000, 64, false);
    let empty = scale.weigh("empty");
    for key in 0..20_000 {
        let lives = Duration::from_millis(3_600_000 + (1 << (key % 37)) + key % 61);
        let lifetime = Lifetime::default().live(lives);
        scale.cache.insert_for(key, key, lifetime).expect("there is room");
        if key % 16 == 0 {
            scale.clock.advance(Duration::from_millis(key % 977));
        }
    }
    let most = scale.weigh("20,000 sessions");
    assert!(most > empty + 20_000 * 32, "{most} bytes");
    scale.settle();
    scale.weigh("settled");
    for key in (0..20_000).filter(|key| key % 10 > 0) {
        assert!(scale.cache.discard(&key));
        if key % 5_000 == 1 {
            scale.weigh("among removals");
        }
    }
    scale.weigh("before the garbage goes");
    scale.settle();
    let least = scale.weigh("2,000 sessions");
    // A page of records stays for as long as one of its 32 does.
    assert!(least - empty < (most - empty) / 2, "{least} bytes are left of {most}");
    scale.cache.clear();
    scale.settle();
    assert_eq!(scale.weigh("empty again"), empty);
}

/// Growth leaves tables behind, which nobody frees before somebody comes.
fn tables_that_wait_for_their_readers() {
    let scale = Scale::new(100_000, 1, false);
    let mut most = 0;
    for key in 0..20_000 {
        scale.cache.insert(key, key).expect("there is room");
        if key % 500 == 0 {
            let told = scale.weigh("among insertions");
            most = most.max(told);
        }
    }
    let before = scale.weigh("old tables wait");
    scale.settle();
    let after = scale.weigh("old tables are gone");
    assert!(before - after > 20_000 * 8, "{before} bytes, then {after}");
}

/// The constant that weights count is what an allocator sets aside for a session, at each stage of a
/// table's growth, and never much less.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn what_weights_count() {
    for sessions in [20_000, 25_000, 30_000, 35_000, 40_000, 50_000] {
        let before = heap::allocated();
        let scale = Scale::with(16, |builder| {
            builder.max_weight(1 << 40).weigher(|_, _| 16).count_overhead()
        });
        let empty = heap::allocated() - before;
        for key in 0..sessions {
            scale.cache.insert(key, key).expect("there is room");
        }
        scale.settle();
        let taken = heap::allocated() - before - empty;
        let told = scale.cache.weight() as i64;
        let off_percent = 100 * (told - taken) / taken;
        println!("{sessions} sessions: {taken} bytes, weight {told}, off {off_percent} %");
        let overhead = (told - taken, taken - 16 * sessions as i64);
        assert!(overhead.0.abs() * 100 <= overhead.1 * 15, "weight {told}, {taken} bytes taken");
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn what_weights_count() {}

fn sessions_that_closures_hold() {
    for has_listener in [false, true] {
        let scale = Scale::new(100_000, 1, has_listener);
        for key in 0..600 {
            scale.cache.insert(key, key).expect("there is room");
        }
        scale.settle();
        let before = scale.weigh("nobody is held");
        hold_and_discard(&scale, 600, &|| {
            for _ in 0..20 {
                scale.clock.advance(Duration::from_secs(1));
                scale.cache.reap();
            }
            assert_eq!(scale.cache.stats().retired.count, 600);
            // What each waits in, beside itself.
            let told = scale.weigh("600 are held");
            assert!(told > before - 600 * 64, "{told} bytes");
        });
        scale.settle();
        scale.weigh("nobody is held any more");
    }
}

/// Holds the sessions below `key` all at once, takes them out, and then does something.
fn hold_and_discard(scale: &Scale, key: u64, then: &dyn Fn()) {
    let Some(key) = key.checked_sub(1) else { return then() };
    let read = scale.cache.read(&key, |_| {
        assert!(scale.cache.discard(&key));
        hold_and_discard(scale, key, then);
    });
    assert!(read.is_some(), "{key} was live");
}
