//! `update`: a new value in the same session.

use crate::stage::{Stage, idle, live, ms};
use sundown::{Expiry, OnFull, Reason, RemovalCause};

#[test]
fn an_update_swaps_the_value_and_reports_the_old_one() {
    let stage = Stage::plain();
    stage.put("a", 1);
    assert!(matches!(stage.cache.update("a", |old| old + 10), Ok(true)));
    assert_eq!(stage.cache.get("a"), Some(11));
    assert_eq!(stage.events(), [("a", 1, RemovalCause::Replaced)]);
    let stats = stage.cache.stats();
    assert_eq!((stats.inserted, stats.replaced, stats.entries), (2, 1, 1));
}

#[test]
fn an_update_carries_both_deadlines_over() {
    let stage = Stage::plain();
    stage.put_for("a", 1, live(100).idle(ms(40)));
    stage.advance(30);
    assert!(matches!(stage.cache.update("a", |_| 2), Ok(true)));
    assert_eq!(stage.cache.expires_in("a"), Some(Expiry::In(ms(10))), "an update is no use");
    assert!(stage.cache.touch("a"));
    for value in 3..10 {
        stage.advance(5);
        assert!(matches!(stage.cache.update("a", |_| value), Ok(true)));
    }
    assert_eq!(stage.cache.expires_in("a"), Some(Expiry::In(ms(5))), "from the touch at 30");
    stage.advance(5);
    assert_eq!((stage.cache.get("a"), stage.reap()), (None, 1));
    assert_eq!(stage.heard().last(), Some(&("a", 9, RemovalCause::Idle)));
}

#[test]
fn an_update_carries_the_last_use_over() {
    let stage = Stage::new(|builder| builder.max_entries(2));
    stage.put("a", 1);
    stage.advance(1);
    stage.put("b", 2);
    stage.advance(1);
    assert!(matches!(stage.cache.update("a", |_| 3), Ok(true)));
    stage.advance(1);
    stage.put("c", 4);
    assert!(!stage.cache.contains_key("a"), "a was still the coldest");
}

#[test]
fn an_update_that_lost_a_race_looks_again() {
    let stage = Stage::plain();
    stage.put("a", 1);
    let mut seen = Vec::new();
    let updated = stage.cache.update("a", |&old| {
        seen.push(old);
        if seen.len() == 1 {
            stage.put("a", 50);
        }
        old + 1
    });
    assert!(matches!(updated, Ok(true)));
    assert_eq!((seen, stage.cache.get("a")), (vec![1, 50], Some(51)));
    let events = [("a", 1, RemovalCause::Replaced), ("a", 50, RemovalCause::Replaced)];
    assert_eq!(stage.events(), events);
}

#[test]
fn an_update_does_not_bring_back_what_was_removed_meanwhile() {
    let stage = Stage::plain();
    stage.put("a", 1);
    let updated = stage.cache.update("a", |&old| {
        stage.cache.discard("a");
        old + 1
    });
    assert!(matches!(updated, Ok(false)));
    assert_eq!(stage.cache.get("a"), None);
    assert_eq!(stage.events(), [("a", 1, RemovalCause::Removed)]);
}

#[test]
fn an_update_does_not_bring_back_what_died_meanwhile() {
    let stage = Stage::plain();
    stage.put_for("a", 1, live(10));
    let updated = stage.cache.update("a", |&old| {
        stage.advance(10);
        old + 1
    });
    assert!(matches!(updated, Ok(false)));
    assert_eq!(stage.events(), [("a", 1, RemovalCause::Expired)]);
}

#[test]
fn a_touch_while_the_closure_runs_is_not_lost() {
    let stage = Stage::plain();
    stage.put_for("a", 1, idle(40));
    let updated = stage.cache.update("a", |&old| {
        if stage.clock.elapsed() < ms(30) {
            stage.advance(30);
            assert!(stage.cache.touch("a"));
        }
        old + 1
    });
    assert!(matches!(updated, Ok(true)));
    assert_eq!(stage.cache.expires_in("a"), Some(Expiry::In(ms(40))));
}

#[test]
fn a_lifetime_set_while_the_closure_runs_is_not_lost() {
    let stage = Stage::plain();
    stage.put_for("a", 1, live(40));
    let updated = stage.cache.update("a", |&old| {
        assert!(stage.cache.set_lifetime("a", live(5)));
        old + 1
    });
    assert!(matches!(updated, Ok(true)));
    assert_eq!(stage.cache.expires_in("a"), Some(Expiry::In(ms(5))));
}

#[test]
fn a_new_value_that_no_cache_can_take_is_handed_back() {
    let stage = Stage::new(|builder| builder.max_weight(10).weigher(|_, &value| u64::from(value)));
    stage.put("a", 1);
    stage.put("b", 2);
    let refused = stage.cache.update("a", |_| 11).expect_err("11 is more than 10");
    assert_eq!((refused.key, refused.value, refused.reason), ("a", 11, Reason::TooHeavy));
    assert_eq!((stage.cache.get("a"), stage.cache.get("b")), (Some(1), Some(2)));
    assert!(stage.events().is_empty());
}

#[test]
fn a_new_value_that_does_not_fit_a_full_cache_is_handed_back() {
    let stage = Stage::new(|builder| {
        builder.max_weight(10).weigher(|_, &value| u64::from(value)).on_full(OnFull::Reject)
    });
    stage.put("a", 4);
    stage.put("b", 5);
    let refused = stage.cache.update("a", |_| 6).expect_err("one too many");
    assert_eq!((refused.key, refused.value, refused.reason), ("a", 6, Reason::Full));
    assert_eq!((stage.cache.get("a"), stage.cache.weight()), (Some(4), 9));
    assert!(matches!(stage.cache.update("a", |_| 5), Ok(true)));
    assert_eq!(stage.cache.weight(), 10);
}

#[test]
fn a_heavier_value_evicts_the_coldest_others() {
    let stage = Stage::new(|builder| builder.max_weight(10).weigher(|_, &value| u64::from(value)));
    for (key, value) in [("b", 2), ("c", 3), ("a", 5)] {
        stage.put(key, value);
        stage.advance(1);
    }
    assert!(matches!(stage.cache.update("a", |_| 6), Ok(true)));
    assert_eq!(stage.cache.weight(), 9);
    let mut events = stage.events();
    events.sort_by_key(|event| event.0);
    assert_eq!(events, [("a", 5, RemovalCause::Replaced), ("b", 2, RemovalCause::Evicted)]);
}

#[test]
fn a_heavier_value_never_costs_the_session_its_own_place() {
    let stage = Stage::new(|builder| builder.max_weight(10).weigher(|_, &value| u64::from(value)));
    for (key, value) in [("a", 5), ("b", 5)] {
        stage.put(key, value);
        stage.advance(1);
    }
    // "a" is the coldest, but it is what the room is for.
    assert!(matches!(stage.cache.update("a", |_| 6), Ok(true)));
    assert_eq!((stage.cache.get("a"), stage.cache.get("b")), (Some(6), None));
    let mut events = stage.events();
    events.sort_by_key(|event| event.0);
    assert_eq!(events, [("a", 5, RemovalCause::Replaced), ("b", 5, RemovalCause::Evicted)]);
}

#[test]
fn a_lighter_value_gives_its_room_back() {
    let stage = Stage::new(|builder| builder.max_weight(10).weigher(|_, &value| u64::from(value)));
    stage.put("a", 10);
    assert!(matches!(stage.cache.update("a", |_| 3), Ok(true)));
    assert_eq!(stage.cache.weight(), 3);
    stage.put("b", 7);
    assert_eq!((stage.cache.len(), stage.cache.weight()), (2, 10));
}
