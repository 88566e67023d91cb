//! `insert`, `insert_if_absent`, `replace`: who gets in, and what is handed back.

use crate::stage::{Stage, live};
use sundown::{Cache, Lifetime, Reaper, Reason, Rejected, RemovalCause};

#[test]
fn insert_shows_the_value_at_once() {
    let stage = Stage::plain();
    stage.put("a", 1);
    assert_eq!(stage.cache.get("a"), Some(1));
    assert_eq!((stage.cache.len(), stage.cache.is_empty()), (1, false));
    assert!(stage.events().is_empty());
}

#[test]
fn insert_over_a_live_session_replaces_it() {
    let stage = Stage::plain();
    stage.put("a", 1);
    stage.put("a", 2);
    assert_eq!(stage.cache.get("a"), Some(2));
    assert_eq!(stage.cache.len(), 1);
    assert_eq!(stage.events(), [("a", 1, RemovalCause::Replaced)]);
    assert_eq!(stage.cache.stats().inserted, 2);
}

/// moka 601: the old value's event came with the wrong cause. Here each tells how it ended.
#[test]
fn insert_over_a_dead_session_tells_how_that_one_ended() {
    let stage = Stage::plain();
    stage.put_for("a", 1, live(10));
    stage.advance(10);
    stage.put("a", 2);
    stage.put("a", 3);
    assert_eq!(stage.events(), [("a", 1, RemovalCause::Expired), ("a", 2, RemovalCause::Replaced)]);
}

#[test]
fn a_replacement_starts_its_lifetimes_afresh() {
    let stage = Stage::new(|builder| builder.time_to_live(crate::stage::ms(100)));
    stage.put("a", 1);
    stage.advance(90);
    stage.put("a", 2);
    stage.advance(90);
    assert_eq!(stage.cache.get("a"), Some(2));
    stage.advance(10);
    assert_eq!(stage.cache.get("a"), None);
}

#[test]
fn insert_if_absent_takes_only_a_free_key() {
    let stage = Stage::plain();
    assert!(stage.cache.insert_if_absent("a", 1, Lifetime::default()).is_ok());
    let refused = stage.cache.insert_if_absent("a", 2, Lifetime::default()).expect_err("a lives");
    assert_eq!((refused.key, refused.value, refused.reason), ("a", 2, Reason::Occupied));
    assert_eq!(stage.cache.get("a"), Some(1));
    assert!(stage.events().is_empty(), "what is refused changes nothing");
    assert_eq!(stage.cache.stats().rejected, 1);
}

#[test]
fn insert_if_absent_leaves_the_occupant_its_deadline_and_its_last_use() {
    let stage = Stage::new(|builder| builder.max_entries(2));
    stage.put_for("a", 1, live(100));
    stage.advance(1);
    stage.put("b", 2);
    stage.advance(1);
    assert!(stage.cache.insert_if_absent("a", 3, live(500)).is_err());
    stage.advance(1);
    stage.put("c", 4);
    assert_eq!(stage.events(), [("a", 1, RemovalCause::Evicted)], "a was not used by being asked");
}

#[test]
fn insert_if_absent_takes_the_place_of_the_dead() {
    let stage = Stage::plain();
    stage.put_for("a", 1, live(10));
    stage.advance(10);
    assert!(stage.cache.insert_if_absent("a", 2, Lifetime::default()).is_ok());
    assert_eq!(stage.cache.get("a"), Some(2));
    assert_eq!(stage.events(), [("a", 1, RemovalCause::Expired)]);
}

#[test]
fn replace_takes_only_a_live_key() {
    let stage = Stage::plain();
    let refused = stage.cache.replace("a", 1, Lifetime::default()).expect_err("nobody is there");
    assert_eq!((refused.key, refused.value, refused.reason), ("a", 1, Reason::Absent));
    stage.put_for("a", 2, live(10));
    assert!(stage.cache.replace("a", 3, live(20)).is_ok());
    assert_eq!(stage.events(), [("a", 2, RemovalCause::Replaced)]);
    stage.advance(19);
    assert_eq!(stage.cache.get("a"), Some(3));
}

#[test]
fn replace_refuses_the_place_of_the_dead() {
    let stage = Stage::plain();
    stage.put_for("a", 1, live(10));
    stage.advance(10);
    let refused = stage.cache.replace("a", 2, Lifetime::default()).expect_err("a is dead");
    assert_eq!(refused.reason, Reason::Absent);
    assert_eq!(stage.events(), [("a", 1, RemovalCause::Expired)]);
}

#[test]
fn a_closed_cache_hands_everything_back() {
    let stage = Stage::plain();
    stage.put("a", 1);
    stage.cache.close();
    let life = Lifetime::default();
    let refusals = [
        stage.cache.insert("a", 2),
        stage.cache.insert_for("b", 2, live(10)),
        stage.cache.insert_if_absent("a", 2, life),
    ];
    for refused in refusals.into_iter().map(|refused| refused.expect_err("the cache is closed")) {
        assert_eq!((refused.reason, refused.value), (Reason::Closed, 2));
    }
    let refused = stage.cache.replace("a", 2, life).expect_err("the cache is closed");
    assert_eq!(refused.reason, Reason::Closed);
    assert!(matches!(stage.cache.update("a", |_| 2), Ok(false)));
    assert_eq!(stage.events(), [("a", 1, RemovalCause::Closed)]);
}

#[test]
fn a_rejection_gives_the_pair_back_whole() {
    let stage = Stage::plain();
    stage.cache.close();
    let refused = stage.cache.insert("a", 7).expect_err("the cache is closed");
    assert_eq!(refused.into_parts(), ("a", 7));
}

/// Neither can be printed, and the pair cannot be cloned either.
struct Secret;

#[test]
fn a_rejection_prints_its_reason_and_no_secret() {
    let cache: Cache<u32, Secret> =
        Cache::builder().max_entries(1).reaper(Reaper::Manual).build().expect("it builds");
    cache.close();
    let refused: Rejected<u32, Secret> = cache.insert(123_456, Secret).expect_err("closed");
    let printed = format!("{refused} {refused:?}");
    assert!(!printed.contains("123456") && !printed.contains("Secret {"), "{printed}");
    let message = refused.to_string();
    assert!(message.contains("closed"), "the message must name the reason: {message}");
    assert!(message.starts_with(char::is_lowercase) && !message.ends_with('.'), "{message}");
    let _: &dyn std::error::Error = &refused;
}
