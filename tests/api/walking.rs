//! What `retain` and `for_each` show while others change what they walk over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::stage::{Stage, live, ms};
use sundown::{Cache, Lifetime, ManualClock, Reaper};

fn one_shard() -> Cache<u32, u32> {
    let clock = ManualClock::new();
    let builder = Cache::builder().max_entries(1_000).shards(1).reaper(Reaper::Manual);
    builder.clock(clock).build().expect("it builds")
}

/// JCTools 335, eclipse-collections 424.
#[test]
fn retain_judges_the_successor_of_a_session_that_was_replaced_meanwhile() {
    let cache = one_shard();
    for key in [1, 2] {
        cache.insert(key, key).expect("it fits");
    }
    let mut judged = Vec::new();
    let removed = cache.retain(|&key, &value| {
        judged.push((key, value));
        if judged.len() == 1 {
            cache.insert(3 - key, 0).expect("it replaces");
        }
        false
    });
    assert_eq!((judged.len(), removed, cache.len()), (2, 2, 0), "{judged:?}");
    assert_eq!(judged[1].1, 0, "the value that was in when it came to it");
}

#[test]
fn for_each_shows_the_successor_of_a_session_that_was_replaced_meanwhile() {
    let cache = one_shard();
    for key in 0..300 {
        cache.insert(key, 0).expect("it fits");
    }
    let mut seen = BTreeMap::new();
    cache.for_each(|&key, &value| {
        assert_eq!(seen.insert(key, value), None, "{key} is shown twice");
        for other in 0..300 {
            match other % 3 {
                0 => cache.insert(other, 1).expect("it replaces"),
                1 => assert!(cache.update(&other, |_| 1).expect("it fits")),
                _ => cache.replace(other, 1, Lifetime::default()).expect("it is there"),
            }
        }
    });
    assert_eq!(seen.len(), 300, "each was in throughout");
    assert_eq!(seen.values().sum::<u32>(), 299, "all but the first are shown as they are now");
}

#[test]
fn retain_judges_anew_what_replaced_the_session_that_it_was_about_to_remove() {
    let stage = Stage::plain();
    stage.put("a", 1);
    let mut judged = Vec::new();
    let removed = stage.cache.retain(|_, &value| {
        judged.push(value);
        if value < 3 {
            stage.put("a", value + 1);
        }
        value == 3
    });
    assert_eq!((judged, removed), (vec![1, 2, 3], 0));
    assert_eq!(stage.cache.peek("a"), Some(3), "the value that it said yes to stays");
}

#[test]
fn a_walk_shows_a_session_at_most_once_that_left_and_came_back() {
    let cache = one_shard();
    for key in 0..10 {
        cache.insert(key, 0).expect("it fits");
    }
    let mut shown = BTreeMap::new();
    cache.for_each(|&key, &value| {
        *shown.entry((key, value)).or_insert(0) += 1;
        for other in 0..10 {
            cache.discard(&other);
        }
        for other in (0..10).rev() {
            cache.insert(other, value + 1).expect("it fits");
        }
    });
    assert!(shown.values().all(|&times| times == 1), "shown twice: {shown:?}");
    assert!(shown.len() <= 10, "one for each place: {shown:?}");
}

#[test]
fn a_walk_shows_no_successor_whose_time_is_up() {
    let stage = Stage::new(|builder| builder.shards(1));
    stage.put("a", 1);
    stage.put("b", 1);
    let mut shown = Vec::new();
    stage.cache.for_each(|&key, &value| {
        shown.push((key, value));
        let other = if key == "a" { "b" } else { "a" };
        stage.put_for(other, 2, live(5));
        stage.clock.advance(ms(5));
    });
    assert_eq!(shown.len(), 1, "{shown:?}");
}

/// "Log out everywhere" beside traffic that saves sessions all the time.
#[test]
fn retain_leaves_none_behind_beside_a_thread_that_replaces_them() {
    const KEYS: u32 = 1_000;
    let cache: Cache<u32, u32> = Cache::builder().max_entries(10_000).build().expect("it builds");
    let is_over = Arc::new(AtomicBool::new(false));
    let saver = {
        let (cache, is_over) = (cache.clone(), Arc::clone(&is_over));
        thread::spawn(move || {
            for key in (0..KEYS).cycle() {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                let _is_gone = cache.replace(key, key, Lifetime::default());
            }
        })
    };
    let mut left = Vec::new();
    for _ in 0..30 {
        for key in 0..KEYS {
            cache.insert(key, 0).expect("it fits");
        }
        cache.retain(|_, _| false);
        left.push(cache.len());
    }
    is_over.store(true, Ordering::Relaxed);
    saver.join().expect("the saver ends");
    assert_eq!(left, [0; 30]);
}
