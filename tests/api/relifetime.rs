//! `set_lifetime`: deadlines moved, taken away and given back, measured from now.

use crate::stage::{Stage, idle, live, ms};
use sundown::{Expiry, Lifetime, RemovalCause};

#[test]
fn a_new_lifetime_is_measured_from_now() {
    let stage = Stage::plain();
    stage.put_for("a", 1, live(100));
    stage.advance(60);
    assert!(stage.cache.set_lifetime("a", live(100)));
    assert_eq!(stage.cache.expires_in("a"), Some(Expiry::In(ms(100))));
    stage.advance(99);
    assert_eq!((stage.reap(), stage.cache.get("a")), (0, Some(1)));
    stage.advance(1);
    assert_eq!((stage.cache.get("a"), stage.reap()), (None, 1));
}

#[test]
fn a_default_lifetime_inherits_both_afresh() {
    let stage = Stage::new(|builder| builder.time_to_live(ms(100)).time_to_idle(ms(40)));
    stage.put("a", 1);
    stage.advance(30);
    assert!(stage.cache.set_lifetime("a", Lifetime::default()));
    assert_eq!(stage.cache.expires_in("a"), Some(Expiry::In(ms(40))));
    for _ in 0..3 {
        stage.advance(30);
        assert!(stage.cache.touch("a"), "re-authentication moves the absolute deadline too");
    }
    assert_eq!(stage.cache.expires_in("a"), Some(Expiry::In(ms(10))));
}

#[test]
fn a_shortened_lifetime_ends_at_once_where_it_is_zero() {
    let stage = Stage::plain();
    stage.put_for("a", 1, live(100_000));
    assert!(stage.cache.set_lifetime("a", live(0)));
    assert_eq!(stage.cache.get("a"), None);
    assert!(!stage.cache.set_lifetime("a", live(100)), "the dead are not raised");
    assert_eq!(stage.events(), [("a", 1, RemovalCause::Expired)]);
}

#[test]
fn a_shortened_lifetime_is_reaped_at_its_new_deadline() {
    let stage = Stage::plain();
    for old in [20, 1_000, 100_000, 1 << 34] {
        stage.put_for("a", 1, live(old));
        stage.advance(3);
        assert!(stage.cache.set_lifetime("a", live(10)));
        stage.advance(9);
        assert_eq!(stage.reap(), 0, "{old}");
        stage.advance(1);
        assert_eq!(stage.reap(), 1, "{old}");
    }
}

#[test]
fn a_lengthened_lifetime_survives_its_old_deadline() {
    let stage = Stage::plain();
    for new in [30, 1_000, 100_000, 1 << 34] {
        stage.put_for("a", 1, live(20).idle(ms(20)));
        stage.advance(10);
        assert!(stage.cache.set_lifetime("a", live(new).idle(ms(new))));
        stage.advance(new - 1);
        assert_eq!((stage.reap(), stage.cache.peek("a")), (0, Some(1)), "{new}");
        stage.advance(1);
        assert_eq!((stage.cache.peek("a"), stage.reap()), (None, 1), "{new}");
    }
}

/// moka 524 and 565: a use after free in the wheel once a deadline was taken away.
#[test]
fn a_deadline_taken_away_and_given_later_counts_again() {
    let stage = Stage::plain();
    let never = Lifetime::default().live_forever().idle_forever();
    for round in 0..100 {
        stage.put_for("a", round, live(10).idle(ms(5)));
        stage.put_for("neighbour", round, live(10));
        assert!(stage.cache.set_lifetime("a", never));
        assert_eq!(stage.cache.expires_in("a"), Some(Expiry::Never));
        stage.advance(1_000);
        assert_eq!(stage.reap(), 1, "the neighbour alone");
        assert_eq!(stage.cache.peek("a"), Some(round));
        assert!(stage.cache.set_lifetime("a", live(10)));
        stage.advance(9);
        assert_eq!(stage.reap(), 0);
        stage.advance(1);
        assert_eq!(stage.reap(), 1);
    }
}

#[test]
fn a_session_born_without_a_deadline_may_be_given_one() {
    let stage = Stage::plain();
    stage.put("a", 1);
    stage.advance(1_000_000);
    assert!(stage.cache.set_lifetime("a", idle(10)));
    stage.advance(6);
    assert!(stage.cache.touch("a"));
    stage.advance(9);
    assert_eq!(stage.reap(), 0);
    stage.advance(1);
    assert_eq!(stage.events(), [("a", 1, RemovalCause::Idle)]);
}

#[test]
fn a_session_whose_deadline_moved_can_be_removed_and_replaced() {
    let stage = Stage::plain();
    for (first, second) in [(live(10), live(90)), (live(90), idle(10)), (idle(5), live(5))] {
        stage.put_for("a", 1, first);
        stage.put_for("b", 2, first);
        assert!(stage.cache.set_lifetime("a", second) && stage.cache.set_lifetime("b", second));
        assert_eq!(stage.cache.remove("a"), Some(1));
        stage.put("b", 3);
        stage.advance(100);
        assert_eq!(stage.reap(), 0);
        assert_eq!(stage.cache.remove("b"), Some(3));
    }
}

#[test]
fn setting_a_lifetime_counts_as_use() {
    let stage = Stage::new(|builder| builder.max_entries(2));
    stage.put("a", 1);
    stage.advance(1);
    stage.put("b", 2);
    stage.advance(1);
    assert!(stage.cache.set_lifetime("a", live(1_000)));
    stage.advance(1);
    stage.put("c", 3);
    assert_eq!(stage.events(), [("b", 2, RemovalCause::Evicted)]);
}

#[test]
fn the_value_and_its_insertion_stay_as_they_were() {
    let stage = Stage::plain();
    stage.put("a", 1);
    for life in 1..100 {
        assert!(stage.cache.set_lifetime("a", live(life)));
    }
    assert_eq!(stage.cache.get("a"), Some(1));
    assert!(stage.events().is_empty());
    let stats = stage.cache.stats();
    assert_eq!((stats.inserted, stats.replaced, stats.entries), (1, 0, 1));
}
