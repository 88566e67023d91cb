//! `get`, `read`, `peek`, `contains_key`, `touch`, `for_each`: what shows a session, and what
//! counts as its use.

use crate::stage::{Stage, idle, live, reap};
use std::collections::HashMap;
use std::sync::Arc;
use sundown::{Cache, Expiry, Reaper, RemovalCause};

fn manual<K, V>() -> Cache<K, V>
where
    K: std::hash::Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    Cache::builder().max_entries(16).reaper(Reaper::Manual).build().expect("it builds")
}

#[test]
fn an_absent_key_shows_in_no_call() {
    let stage = Stage::plain();
    stage.put("other", 1);
    let cache = &stage.cache;
    assert_eq!((cache.get("a"), cache.peek("a"), cache.read("a", |_| ())), (None, None, None));
    assert!(!cache.contains_key("a") && !cache.touch("a") && !cache.discard("a"));
    assert_eq!((cache.remove("a"), cache.expires_in("a")), (None, None));
    assert!(!cache.remove_if("a", |_, _| true) && !cache.set_lifetime("a", live(5)));
    assert!(matches!(cache.update("a", |_| 1), Ok(false)));
}

#[test]
fn a_dead_session_shows_in_no_call() {
    let stage = Stage::plain();
    let cache = &stage.cache;
    stage.put_for("a", 1, live(10));
    stage.advance(10);
    assert_eq!((cache.get("a"), cache.peek("a"), cache.read("a", |_| ())), (None, None, None));
    assert!(!cache.contains_key("a") && !cache.touch("a") && !cache.discard("a"));
    assert_eq!((cache.remove("a"), cache.expires_in("a")), (None, None));
    assert!(!cache.remove_if("a", |_, _| true) && !cache.set_lifetime("a", live(5)));
    assert!(matches!(cache.update("a", |_| panic!("nobody to update")), Ok(false)));
    cache.for_each(|_, _| panic!("nobody to see"));
    assert_eq!(cache.retain(|_, _| panic!("nobody to judge")), 0);
    assert_eq!(stage.events(), [("a", 1, RemovalCause::Expired)]);
}

#[test]
fn get_read_and_touch_count_as_use() {
    let stage = Stage::plain();
    for key in ["get", "read", "touch", "peek", "contains"] {
        stage.put_for(key, 0, idle(100));
    }
    stage.advance(60);
    assert_eq!(stage.cache.get("get"), Some(0));
    assert_eq!(stage.cache.read("read", |&value| value), Some(0));
    assert!(stage.cache.touch("touch"));
    assert_eq!(stage.cache.peek("peek"), Some(0));
    assert!(stage.cache.contains_key("contains"));
    for used in ["get", "read", "touch"] {
        assert_eq!(stage.cache.expires_in(used), Some(Expiry::In(crate::stage::ms(100))));
    }
    for unused in ["peek", "contains"] {
        assert_eq!(stage.cache.expires_in(unused), Some(Expiry::In(crate::stage::ms(40))));
    }
    stage.advance(40);
    let mut left = Vec::new();
    stage.cache.for_each(|&key, _| left.push(key));
    left.sort_unstable();
    assert_eq!(left, ["get", "read", "touch"]);
}

#[test]
fn read_gives_what_its_closure_gives() {
    let cache = manual();
    cache.insert(1, String::from("session")).expect("it fits");
    assert_eq!(cache.read(&1, String::len), Some(7));
}

#[test]
fn values_without_clone_can_be_read_and_discarded() {
    struct Opaque(u32);
    let cache = manual();
    cache.insert(1, Opaque(7)).expect("it fits");
    assert_eq!(cache.read(&1, |opaque| opaque.0), Some(7));
    assert!(cache.remove_if(&1, |_, opaque| opaque.0 == 7));
    cache.insert(1, Opaque(8)).expect("it fits");
    assert!(cache.discard(&1));
}

#[test]
fn owned_keys_are_found_by_what_they_borrow() {
    let strings: Cache<String, u32> = manual();
    strings.insert("a".to_owned(), 1).expect("it fits");
    assert_eq!((strings.get("a"), strings.peek(&"a".to_owned())), (Some(1), Some(1)));
    assert!(strings.contains_key("a") && strings.touch("a"));
    assert!(strings.set_lifetime("a", live(60_000)));
    assert!(strings.expires_in("a").is_some());
    assert!(matches!(strings.update("a", |old| old + 1), Ok(true)));
    assert_eq!(strings.remove("a"), Some(2));

    let bytes: Cache<Vec<u8>, u32> = manual();
    bytes.insert(vec![1, 2], 3).expect("it fits");
    assert_eq!(bytes.get([1, 2].as_slice()), Some(3));

    let shared: Cache<Arc<str>, u32> = manual();
    shared.insert("b".into(), 4).expect("it fits");
    assert!(shared.remove_if("b", |key, _| &**key == "b"));
}

#[test]
fn for_each_sees_every_session_once() {
    let cache = Cache::builder()
        .max_entries(1_000)
        .shards(4)
        .reaper(Reaper::Manual)
        .build()
        .expect("it builds");
    for key in 0..500_u32 {
        cache.insert(key, key * 2).expect("it fits");
    }
    let mut seen = HashMap::new();
    cache.for_each(|&key, &value| *seen.entry((key, value)).or_insert(0) += 1);
    assert_eq!(seen.len(), 500);
    assert!(seen.iter().all(|(&(key, value), &times)| value == key * 2 && times == 1));
}

#[test]
fn hits_and_misses_are_counted() {
    let stage = Stage::plain();
    stage.put("a", 1);
    for _ in 0..3 {
        stage.cache.get("a");
        stage.cache.read("a", |_| ());
        stage.cache.get("b");
    }
    let stats = stage.cache.stats();
    assert_eq!((stats.hits, stats.misses), (6, 3));
}

#[test]
fn a_value_got_outlives_its_session() {
    let cache: Cache<u32, Arc<String>> = manual();
    cache.insert(1, Arc::new("kept".to_owned())).expect("it fits");
    let kept = cache.get(&1).expect("it is there");
    cache.clear();
    reap(&cache);
    assert_eq!((Arc::strong_count(&kept), kept.as_str()), (1, "kept"));
}

#[test]
fn handles_share_one_cache() {
    let cache: Cache<u32, u32> = manual();
    let other = cache.clone();
    other.insert(1, 2).expect("it fits");
    drop(other);
    assert_eq!(cache.get(&1), Some(2), "a dropped handle closes nothing while others are left");
}
