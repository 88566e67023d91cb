//! The cap on entries: exactly how many fit, and who goes first.

use crate::stage::{Stage, live, ms, reap};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use sundown::{Builder, Cache, Lifetime, ManualClock, OnFull, Reaper, Reason, RemovalCause};

fn sized(most: usize) -> Builder<u64, u64> {
    Cache::builder().max_entries(most).reaper(Reaper::Manual).clock(ManualClock::new())
}

/// quick_cache 55: sharded caches evict while the total leaves room, because one shard is full.
#[test]
fn nothing_is_evicted_before_the_cap_and_one_for_each_after() {
    for most in [1, 7, 100, 1_000, 50_000] {
        let cache = sized(most).build().expect("it builds");
        for key in 0..most as u64 {
            cache.insert(key, key).expect("it fits");
        }
        assert_eq!((cache.len(), cache.stats().evicted), (most, 0), "cap {most}");
        for key in 0..most as u64 {
            assert_eq!(cache.peek(&key), Some(key), "cap {most}");
        }
        for extra in 1..=3 {
            cache.insert(u64::MAX - extra, 0).expect("somebody is evicted");
            assert_eq!((cache.len(), cache.stats().evicted), (most, extra), "cap {most}");
        }
        reap(&cache);
        assert_eq!(cache.stats().dropped, 3);
    }
}

#[test]
fn nothing_is_evicted_before_the_cap_at_any_number_of_shards() {
    for shards in [1, 2, 4, 64, 256] {
        let cache = sized(100).shards(shards).build().expect("it builds");
        for key in 0..100 {
            cache.insert(key, key).expect("it fits");
        }
        assert_eq!((cache.len(), cache.stats().evicted), (100, 0), "{shards} shards");
    }
}

/// One operation a millisecond: then the order of eviction is the order of use, over all shards.
#[test]
fn the_least_recently_used_goes_first_over_all_shards() {
    const MOST: usize = 500;
    let (clock, evicted) = (ManualClock::new(), Arc::new(Mutex::new(Vec::new())));
    let heard = Arc::clone(&evicted);
    let cache: Cache<u64, u64> = Cache::builder()
        .max_entries(MOST)
        .reaper(Reaper::Manual)
        .clock(clock.clone())
        .on_removal(move |key, _, cause| {
            assert_eq!(cause, RemovalCause::Evicted);
            heard.lock().expect("nobody panics here").push(key);
        })
        .build()
        .expect("it builds");
    let (mut coldest_first, mut expected) = (VecDeque::new(), Vec::new());
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    for step in 0..20_000_u64 {
        clock.advance(ms(1));
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        if step % 3 > 0 && coldest_first.len() == MOST {
            let at = (random >> 33) as usize % coldest_first.len();
            let key = coldest_first.remove(at).expect("it is in range");
            assert_eq!(cache.get(&key), Some(key), "step {step}");
            coldest_first.push_back(key);
        } else {
            cache.insert(step, step).expect("somebody is evicted");
            coldest_first.push_back(step);
            if coldest_first.len() > MOST {
                expected.extend(coldest_first.pop_front());
                reap(&cache);
            }
        }
    }
    assert_eq!(*evicted.lock().expect("nobody panics here"), expected);
    assert_eq!(cache.stats().evicted_inexact, 0);
}

#[test]
fn what_is_due_is_reaped_before_anything_live_is_evicted() {
    let stage = Stage::new(|builder| builder.max_entries(3));
    stage.put("coldest", 1);
    stage.advance(1);
    stage.put_for("due", 2, live(5));
    stage.put_for("due too", 3, live(5));
    stage.advance(5);
    stage.put("new", 4);
    assert!(stage.cache.contains_key("coldest"));
    let mut events = stage.events();
    events.sort_by_key(|event| event.1);
    assert_eq!(events, [("due", 2, RemovalCause::Expired), ("due too", 3, RemovalCause::Expired)]);
    assert_eq!(stage.cache.stats().evicted, 0);
}

/// The same among thousands, where what is due fills several bites of the reaper.
#[test]
fn no_live_session_is_evicted_while_one_of_thousands_is_due() {
    const MOST: usize = 3_000;
    let clock = ManualClock::new();
    let builder = Cache::<u64, ()>::builder().max_entries(MOST).shards(2).clock(clock.clone());
    let cache = builder.reaper(Reaper::Manual).build().expect("it builds");
    let (mut deadlines, mut now, mut expired, mut evicted) = (VecDeque::new(), 0, 0, 0);
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    for key in 0..15_000_u64 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // Most steps take a millisecond; some leap over the deadlines of many.
        let step = if random >> 54 == 0 { 1 + (random >> 40 & 4_095) } else { 1 };
        now += step;
        clock.advance(ms(step));
        let life = 1 + (random >> 33) % [100, 5_000, 20_000, 1 << 40][(random >> 20 & 3) as usize];
        let due = deadlines.iter().filter(|&&deadline| deadline <= now).count() as u64;
        let is_full = deadlines.len() == MOST;
        cache.insert_for(key, (), live(life)).expect("somebody makes room");
        let stats = cache.stats();
        // As many of those that are due may go as there are; one must, if room is needed.
        let reaped = stats.expired - expired;
        let least = u64::from(is_full && due > 0);
        assert!((least..=due).contains(&reaped), "{reaped} of {due} reaped, key {key} at {now} ms");
        for _ in 0..reaped {
            let at = deadlines.iter().position(|&deadline| deadline <= now).expect("it is due");
            deadlines.remove(at);
        }
        if is_full && due == 0 {
            evicted += 1;
            deadlines.pop_front();
        }
        expired = stats.expired;
        assert_eq!(stats.evicted, evicted, "key {key} at {now} ms");
        deadlines.push_back(now + life);
    }
    assert!(expired > 2_500 && evicted > 250, "{expired} expired, {evicted} evicted");
    assert_eq!(cache.len(), deadlines.len());
    reap(&cache);
}

#[test]
fn what_is_due_is_reaped_before_anybody_is_refused() {
    let stage = Stage::new(|builder| builder.max_entries(2).on_full(OnFull::Reject));
    stage.put("a", 1);
    stage.put_for("due", 2, live(5));
    stage.advance(4);
    assert!(stage.cache.insert("b", 3).is_err());
    stage.advance(1);
    stage.put("b", 3);
    assert_eq!(stage.events(), [("due", 2, RemovalCause::Expired)]);
}

#[test]
fn a_full_cache_that_rejects_hands_the_pair_back() {
    let stage = Stage::new(|builder| builder.max_entries(2).on_full(OnFull::Reject));
    stage.put("a", 1);
    stage.put("b", 2);
    for refused in [
        stage.cache.insert("c", 3),
        stage.cache.insert_for("c", 3, live(5)),
        stage.cache.insert_if_absent("c", 3, Lifetime::default()),
    ] {
        let refused = refused.expect_err("it is full");
        assert_eq!((refused.key, refused.value, refused.reason), ("c", 3, Reason::Full));
    }
    assert_eq!((stage.cache.len(), stage.cache.stats().rejected), (2, 3));
    assert_eq!(stage.cache.stats().rejections.full, 3);
    assert!(stage.events().is_empty());
    stage.cache.discard("a");
    stage.put("c", 3);
}

#[test]
fn replacing_a_live_key_of_a_full_cache_never_fails() {
    for on_full in [OnFull::Reject, OnFull::Evict] {
        let cache = sized(64).on_full(on_full).shards(4).build().expect("it builds");
        for round in 0..10 {
            for key in 0..64 {
                cache.insert(key, round).expect("a replacement needs no room");
                assert!(matches!(cache.update(&key, |old| old + 1), Ok(true)));
            }
        }
        assert_eq!((cache.len(), cache.stats().evicted, cache.stats().rejected), (64, 0, 0));
        reap(&cache);
    }
}

/// moka 590: eviction stalled for good when a key was reused under write pressure.
#[test]
fn reusing_keys_does_not_stall_eviction() {
    let cache = sized(16).build().expect("it builds");
    for round in 0..5_000_u64 {
        cache.insert(round % 3, round).expect("somebody is evicted");
        cache.discard(&(round % 3));
        cache.insert(round % 3, round).expect("somebody is evicted");
        cache.insert(1_000 + round, round).expect("somebody is evicted");
        assert!(cache.len() <= 16);
    }
    reap(&cache);
    let stats = cache.stats();
    assert_eq!(stats.entries, 16);
    assert_eq!(stats.inserted, 16 + stats.evicted + stats.removed + stats.replaced);
}

#[test]
fn an_absurd_capacity_costs_nothing() {
    let cache = sized(usize::MAX).build().expect("a cap is no reservation");
    cache.insert(1, 1).expect("it fits");
    assert_eq!(cache.get(&1), Some(1));
    assert_eq!(cache.stats().max_entries, Some(usize::MAX));
}

#[test]
fn a_dead_session_keeps_its_place_until_it_is_unlinked() {
    let stage = Stage::new(|builder| builder.max_entries(2));
    stage.put_for("a", 1, live(5));
    stage.put("b", 2);
    stage.advance(5);
    assert_eq!(stage.cache.len(), 2);
    stage.put("a", 3);
    assert_eq!((stage.cache.len(), stage.cache.peek("b")), (2, Some(2)));
    assert_eq!(stage.events(), [("a", 1, RemovalCause::Expired)]);
}

#[test]
fn the_greatest_cap_there_is_fits_into_one_shard() {
    let stage = Stage::new(|builder| builder.max_entries(usize::MAX).shards(1));
    stage.put("a", 1);
    assert_eq!(stage.cache.get("a"), Some(1));
}
