//! Who leaves, with which cause, in which order, and how often that is told.

use crate::stage::{Stage, live, ms};
use std::sync::Arc;
use sundown::{Cache, Reaper, RemovalCause, WeakCache};

#[test]
fn remove_gives_the_value_and_tells_the_listener() {
    let stage = Stage::plain();
    stage.put("a", 1);
    assert_eq!(stage.cache.remove("a"), Some(1));
    assert_eq!((stage.cache.get("a"), stage.cache.remove("a")), (None, None));
    assert_eq!(stage.events(), [("a", 1, RemovalCause::Removed)]);
}

#[test]
fn discard_says_whether_somebody_was_there() {
    let stage = Stage::plain();
    stage.put("a", 1);
    assert!(stage.cache.discard("a"));
    assert!(!stage.cache.discard("a"));
    assert_eq!(stage.events(), [("a", 1, RemovalCause::Removed)]);
}

#[test]
fn remove_if_judges_key_and_value() {
    let stage = Stage::plain();
    stage.put("a", 1);
    assert!(!stage.cache.remove_if("a", |&key, &value| key == "a" && value == 2));
    assert_eq!(stage.cache.peek("a"), Some(1));
    assert!(stage.cache.remove_if("a", |&key, &value| key == "a" && value == 1));
    assert_eq!(stage.events(), [("a", 1, RemovalCause::Removed)]);
}

#[test]
fn remove_if_never_takes_a_value_that_it_did_not_judge() {
    let stage = Stage::plain();
    stage.put("a", 1);
    let is_removed = stage.cache.remove_if("a", |_, &value| {
        if value == 1 {
            stage.put("a", 2);
        }
        value == 1
    });
    assert!(!is_removed);
    assert_eq!(stage.cache.get("a"), Some(2));
}

#[test]
fn neither_remove_if_nor_retain_counts_as_use() {
    let stage = Stage::new(|builder| builder.max_entries(2));
    stage.put("a", 1);
    stage.advance(1);
    stage.put("b", 2);
    stage.advance(1);
    assert!(!stage.cache.remove_if("a", |_, _| false));
    assert_eq!(stage.cache.retain(|_, _| true), 0);
    stage.cache.for_each(|_, _| ());
    stage.advance(1);
    stage.put("c", 3);
    assert_eq!(stage.events(), [("a", 1, RemovalCause::Evicted)]);
}

#[test]
fn retain_removes_what_it_is_told_and_counts_it() {
    let stage = Stage::plain();
    for (key, value) in [("a", 1), ("b", 2), ("c", 3), ("d", 4)] {
        stage.put(key, value);
    }
    stage.put_for("dead", 6, live(0));
    assert_eq!(stage.cache.retain(|_, value| value % 2 == 1), 2);
    assert_eq!(stage.cache.len(), 3, "a, c, and the dead one");
    let mut events = stage.events();
    events.sort_by_key(|event| event.1);
    let expected = [
        ("b", 2, RemovalCause::Removed),
        ("d", 4, RemovalCause::Removed),
        ("dead", 6, RemovalCause::Expired),
    ];
    assert_eq!(events, expected);
}

/// spiceai 11077: invalidation predicates piled up on an idle cache.
#[test]
fn retain_keeps_nothing_of_its_closure() {
    let stage = Stage::plain();
    stage.put("a", 1);
    let token = Arc::new(());
    for _ in 0..100 {
        let held = Arc::clone(&token);
        stage.cache.retain(move |_, _| Arc::strong_count(&held) > 0);
    }
    assert_eq!(Arc::strong_count(&token), 1);
}

#[test]
fn clear_removes_all_and_leaves_the_cache_open() {
    let stage = Stage::plain();
    stage.put("a", 1);
    stage.put_for("dead", 2, live(5));
    stage.advance(5);
    stage.cache.clear();
    assert_eq!((stage.cache.len(), stage.cache.weight()), (0, 0));
    stage.put("a", 3);
    assert_eq!(stage.cache.get("a"), Some(3));
    let mut events = stage.events();
    events.sort_by_key(|event| event.1);
    assert_eq!(events, [("a", 1, RemovalCause::Cleared), ("dead", 2, RemovalCause::Expired)]);
}

#[test]
fn close_tells_all_before_it_returns() {
    let stage = Stage::plain();
    stage.put("a", 1);
    stage.cache.close();
    assert_eq!(stage.heard(), [("a", 1, RemovalCause::Closed)]);
    assert_eq!((stage.cache.get("a"), stage.cache.len()), (None, 0));
    assert!(stage.cache.stats().dropped == 1 && stage.cache.audit().is_ok());
    stage.cache.close();
    stage.cache.clear();
    assert_eq!(stage.reap(), 0);
    assert!(stage.drop_cache().is_empty());
}

#[test]
fn dropping_the_last_handle_tells_all_before_it_returns() {
    let stage = Stage::plain();
    stage.put("a", 1);
    stage.put("a", 2);
    stage.put_for("dead", 3, live(5));
    stage.advance(5);
    let mut events = stage.drop_cache();
    events.sort_by_key(|event| event.1);
    let expected = [
        ("a", 1, RemovalCause::Replaced),
        ("a", 2, RemovalCause::Closed),
        ("dead", 3, RemovalCause::Expired),
    ];
    assert_eq!(events, expected);
}

#[test]
fn the_events_of_one_key_come_in_the_order_of_its_removals() {
    let stage = Stage::plain();
    stage.put("a", 1);
    stage.put("a", 2);
    stage.cache.discard("a");
    stage.put_for("a", 3, live(5));
    stage.advance(5);
    stage.put("a", 4);
    assert!(matches!(stage.cache.update("a", |_| 5), Ok(true)));
    stage.cache.clear();
    stage.put("a", 6);
    stage.cache.close();
    let expected = [
        ("a", 1, RemovalCause::Replaced),
        ("a", 2, RemovalCause::Removed),
        ("a", 3, RemovalCause::Expired),
        ("a", 4, RemovalCause::Replaced),
        ("a", 5, RemovalCause::Cleared),
        ("a", 6, RemovalCause::Closed),
    ];
    assert_eq!(stage.heard(), expected);
}

#[test]
fn each_cause_is_counted() {
    let stage = Stage::new(|builder| builder.max_entries(2).time_to_idle(ms(50)));
    stage.put("a", 1);
    stage.put("a", 2);
    stage.cache.discard("a");
    stage.put_for("b", 3, live(5));
    stage.put("c", 4);
    stage.advance(50);
    stage.reap();
    for key in ["d", "e", "f"] {
        stage.advance(1);
        stage.put(key, 5);
    }
    stage.cache.clear();
    stage.put("g", 6);
    stage.cache.close();
    let stats = stage.cache.stats();
    let counts = [stats.expired, stats.idle, stats.evicted, stats.removed, stats.replaced];
    assert_eq!(counts, [1, 1, 1, 1, 1]);
    assert_eq!((stats.cleared, stats.closed), (2, 1));
    assert_eq!((stats.inserted, stats.dropped, stats.entries), (8, 8, 0));
}

#[test]
fn reap_says_how_many_it_unlinked() {
    let stage = Stage::plain();
    for (key, life) in [("a", 10), ("b", 20), ("c", 20), ("d", 30)] {
        stage.put_for(key, 0, live(life));
    }
    assert_eq!(stage.cache.stats().overdue, 0);
    stage.advance(20);
    assert_eq!(stage.reap(), 3);
    assert_eq!(stage.reap(), 0);
    stage.advance(10);
    assert_eq!(stage.reap(), 1);
}

#[test]
fn nothing_is_reaped_by_a_manual_cache_until_it_is_told() {
    let stage = Stage::plain();
    stage.put_for("a", 1, live(10));
    stage.advance(1_000);
    assert_eq!(stage.cache.len(), 1);
    assert!(stage.heard().is_empty());
    assert_eq!(stage.cache.stats().overdue, 1);
    stage.reap();
    assert_eq!(stage.cache.stats().overdue, 0);
}

#[test]
fn a_weak_handle_reaches_the_cache_until_the_last_handle_is_gone() {
    let cache: Cache<u32, Arc<()>> =
        Cache::builder().max_entries(4).reaper(Reaper::Manual).build().expect("it builds");
    let token = Arc::new(());
    let weak: WeakCache<u32, Arc<()>> = cache.downgrade();
    cache.insert(1, Arc::clone(&token)).expect("it fits");
    let upgraded = weak.clone().upgrade().expect("a handle lives");
    drop(cache);
    assert!(upgraded.contains_key(&1), "an upgraded handle keeps the cache");
    drop(upgraded);
    assert!(weak.upgrade().is_none());
    assert_eq!(Arc::strong_count(&token), 1, "a weak handle keeps no session");
}
