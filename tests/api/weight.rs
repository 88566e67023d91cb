//! The cap on weight, and what the weigher may answer.

use crate::stage::{Stage, live, reap};
use sundown::{Cache, OnFull, Reaper, Reason, RemovalCause};

fn weighed(most: u64) -> Stage {
    Stage::new(|builder| builder.max_weight(most).weigher(|_, &value| u64::from(value)))
}

#[test]
fn weight_is_the_sum_of_what_is_linked() {
    let stage = weighed(100);
    for (key, value) in [("a", 10), ("b", 20), ("c", 30)] {
        stage.put(key, value);
    }
    assert_eq!(stage.cache.weight(), 60);
    stage.put("b", 5);
    assert_eq!(stage.cache.weight(), 45);
    stage.cache.discard("a");
    assert_eq!((stage.cache.weight(), stage.cache.stats().weight), (35, 35));
    assert_eq!(stage.cache.stats().max_weight, Some(100));
    stage.cache.clear();
    assert_eq!(stage.cache.weight(), 0);
}

#[test]
fn the_coldest_go_until_the_newcomer_fits() {
    let stage = weighed(10);
    for (key, value) in [("a", 3), ("b", 3), ("c", 3)] {
        stage.put(key, value);
        stage.advance(1);
    }
    assert!(stage.cache.touch("a"));
    stage.advance(1);
    stage.put("d", 5);
    assert_eq!(stage.cache.weight(), 8);
    let mut events = stage.events();
    events.sort_by_key(|event| event.0);
    assert_eq!(events, [("b", 3, RemovalCause::Evicted), ("c", 3, RemovalCause::Evicted)]);
}

#[test]
fn a_weight_of_zero_counts_as_one() {
    let stage = weighed(3);
    for key in ["a", "b", "c", "d"] {
        stage.put(key, 0);
        stage.advance(1);
    }
    assert_eq!((stage.cache.len(), stage.cache.weight()), (3, 3));
    assert_eq!(stage.events(), [("a", 0, RemovalCause::Evicted)]);
}

/// lance 7953: an entry heavier than its shard's share was refused in silence.
#[test]
fn one_session_may_weigh_as_much_as_the_whole_cache_holds() {
    let cache: Cache<u32, u64> = Cache::builder()
        .max_weight(1_000)
        .weigher(|_, &value| value)
        .shards(64)
        .reaper(Reaper::Manual)
        .build()
        .expect("it builds");
    for key in 0..100 {
        cache.insert(key, 10).expect("it fits");
    }
    assert_eq!((cache.weight(), cache.stats().evicted), (1_000, 0));
    cache.insert(100, 1_000).expect("everybody else is evicted");
    assert_eq!((cache.len(), cache.weight(), cache.peek(&100)), (1, 1_000, Some(1_000)));
    reap(&cache);
}

#[test]
fn what_no_cache_can_take_is_handed_back_and_evicts_nobody() {
    let stage = weighed(10);
    stage.put("a", 4);
    stage.put("b", 6);
    for key in ["a", "c"] {
        let refused = stage.cache.insert(key, 11).expect_err("11 is more than 10");
        assert_eq!((refused.key, refused.value, refused.reason), (key, 11, Reason::TooHeavy));
    }
    assert_eq!((stage.cache.peek("a"), stage.cache.weight()), (Some(4), 10));
    assert!(stage.events().is_empty());
}

#[test]
fn the_greatest_weight_overflows_nothing() {
    let build = |most, on_full| {
        Cache::<u32, u64>::builder()
            .max_weight(most)
            .max_entries(10)
            .weigher(|_, &value| value)
            .on_full(on_full)
            .reaper(Reaper::Manual)
            .build()
            .expect("it builds")
    };
    let small = build(100, OnFull::Evict);
    small.insert(1, 50).expect("it fits");
    let refused = small.insert(2, u64::MAX).expect_err("nothing is as heavy");
    assert_eq!((refused.reason, small.len()), (Reason::TooHeavy, 1));

    let rejecting = build(u64::MAX, OnFull::Reject);
    rejecting.insert(1, u64::MAX).expect("it fits exactly");
    assert_eq!(rejecting.weight(), u64::MAX);
    let refused = rejecting.insert(2, u64::MAX).expect_err("no room for two");
    assert_eq!(refused.reason, Reason::Full);
    rejecting.insert(1, u64::MAX - 1).expect("a replacement by less");
    rejecting.insert(2, 1).expect("it fits exactly");

    let evicting = build(u64::MAX, OnFull::Evict);
    for key in 0..5 {
        evicting.insert(key, u64::MAX).expect("the other is evicted");
        assert_eq!((evicting.len(), evicting.weight()), (1, u64::MAX));
    }
    assert!(matches!(evicting.update(&4, |_| 7), Ok(true)));
    assert_eq!(evicting.weight(), 7);
    reap(&evicting);
}

#[test]
fn a_replacement_is_charged_the_difference() {
    let stage = Stage::new(|builder| {
        builder.max_weight(10).weigher(|_, &value| u64::from(value)).on_full(OnFull::Reject)
    });
    stage.put("a", 5);
    stage.put("b", 5);
    stage.put("a", 5);
    let refused = stage.cache.insert("a", 6).expect_err("one more than there is");
    assert_eq!((refused.reason, refused.value), (Reason::Full, 6));
    assert_eq!(stage.cache.peek("a"), Some(5), "the old session stays");
    stage.put("b", 4);
    stage.put("a", 6);
    assert_eq!(stage.cache.weight(), 10);
}

#[test]
fn a_heavier_replacement_evicts_the_coldest_first() {
    let stage = weighed(10);
    for (key, value) in [("cold", 2), ("a", 3), ("warm", 5)] {
        stage.put(key, value);
        stage.advance(1);
    }
    stage.put("a", 5);
    let mut events = stage.events();
    events.sort_by_key(|event| event.0);
    assert_eq!(events, [("a", 3, RemovalCause::Replaced), ("cold", 2, RemovalCause::Evicted)]);
    assert_eq!((stage.cache.weight(), stage.cache.peek("a")), (10, Some(5)));
}

#[test]
fn a_heavier_replacement_of_the_coldest_evicts_the_next_coldest() {
    let stage = weighed(10);
    for (key, value) in [("a", 2), ("b", 3), ("c", 5)] {
        stage.put(key, value);
        stage.advance(1);
    }
    stage.put("a", 4);
    let mut events = stage.events();
    events.sort_by_key(|event| event.0);
    assert_eq!(events, [("a", 2, RemovalCause::Replaced), ("b", 3, RemovalCause::Evicted)]);
    assert_eq!((stage.cache.weight(), stage.cache.peek("a")), (9, Some(4)));
}

#[test]
fn the_dead_weigh_until_they_are_unlinked() {
    let stage = weighed(10);
    stage.put_for("dead", 8, live(5));
    stage.put("a", 2);
    stage.advance(5);
    assert_eq!(stage.cache.weight(), 10);
    stage.put("b", 8);
    assert_eq!((stage.cache.weight(), stage.cache.peek("a")), (10, Some(2)));
    assert_eq!(stage.events(), [("dead", 8, RemovalCause::Expired)]);
}

#[test]
fn both_caps_hold_together() {
    let stage = Stage::new(|builder| {
        builder.max_entries(3).max_weight(10).weigher(|_, &value| u64::from(value))
    });
    for (key, value) in [("a", 1), ("b", 1), ("c", 1), ("d", 1)] {
        stage.put(key, value);
        stage.advance(1);
    }
    assert_eq!(stage.events(), [("a", 1, RemovalCause::Evicted)], "four would be too many");
    stage.put("e", 9);
    assert_eq!((stage.cache.len(), stage.cache.weight()), (2, 10), "three would be too heavy");
}

/// Without a cap on weight the sum itself is one: nothing wraps around, and nobody is lost.
#[test]
fn weights_without_a_cap_stay_below_two_to_the_64() {
    let stage = Stage::new(|builder| {
        builder.max_entries(10).weigher(|_, &value| u64::MAX / u64::from(value))
    });
    stage.put("a", 1);
    assert_eq!(stage.cache.weight(), u64::MAX);
    stage.put("b", 2);
    assert_eq!((stage.cache.len(), stage.cache.weight()), (1, u64::MAX / 2));
    assert_eq!((stage.cache.get("b"), stage.cache.stats().evicted), (Some(2), 1));
    stage.cache.audit().expect("it is whole");
}

/// The overhead is in every weight, the one that is judged by the cap as well.
#[test]
fn overhead_is_part_of_what_a_session_weighs() {
    let build = |most| {
        Cache::<u32, u64>::builder()
            .max_weight(most)
            .weigher(|_, &value| value)
            .count_overhead()
            .on_full(OnFull::Reject)
            .reaper(Reaper::Manual)
            .build()
            .expect("it builds")
    };
    let cache = build(u64::MAX);
    cache.insert(1, 0).expect("there is room");
    let overhead = cache.weight();
    assert!((80..=120).contains(&overhead), "{overhead} bytes");

    let cache = build(2 * overhead + 30);
    cache.insert(1, 10).expect("there is room");
    cache.insert(2, 20).expect("it fits exactly");
    assert_eq!(cache.weight(), 2 * overhead + 30);
    assert_eq!(cache.insert(3, 0).expect_err("not even an empty one").reason, Reason::Full);
    cache.insert(1, 5).expect("a replacement by less");
    assert!(matches!(cache.update(&2, |_| 25), Ok(true)));
    assert_eq!((cache.weight(), cache.stats().weight), (2 * overhead + 30, 2 * overhead + 30));
    let refused = cache.insert(1, overhead + 31).expect_err("with the overhead it is too heavy");
    assert_eq!(refused.reason, Reason::TooHeavy);
    assert_eq!(cache.audit().expect("it is whole").weight, 2 * overhead + 30);
    cache.discard(&1);
    assert_eq!(cache.weight(), overhead + 25);
    reap(&cache);
    cache.insert(1, u64::MAX).expect_err("nothing wraps around");
}

/// caffeine 1356: what grows in place is not seen, until the session is weighed again.
#[test]
fn a_value_that_grows_in_place_keeps_its_weight_until_it_is_updated() {
    use std::sync::{Arc, Mutex};
    let cache = Cache::builder()
        .max_weight(100)
        .weigher(|_: &u32, value: &Arc<Mutex<Vec<u8>>>| value.lock().expect("whole").len() as u64)
        .reaper(Reaper::Manual)
        .build()
        .expect("it builds");
    cache.insert(1, Arc::new(Mutex::new(vec![0; 10]))).expect("there is room");
    cache.read(&1, |value| value.lock().expect("whole").extend([0; 30]));
    assert_eq!(cache.weight(), 10);
    assert!(matches!(cache.update(&1, Arc::clone), Ok(true)));
    assert_eq!((cache.weight(), cache.stats().weight), (40, 40));
    reap(&cache);
}
