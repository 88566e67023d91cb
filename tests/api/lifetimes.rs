//! Deadlines: which one counts, to the instant, and what a jump of the clock does.

use crate::stage::{Stage, idle, live, ms, reap};
use std::time::Duration;
use sundown::{Cache, Expiry, Lifetime, ManualClock, Reaper, RemovalCause};

const HOUR_MS: u64 = 3_600_000;

#[test]
fn a_session_lives_until_its_deadline_and_not_at_it() {
    let stage = Stage::new(|builder| builder.time_to_live(ms(100)));
    stage.put("a", 1);
    assert_eq!(stage.cache.expires_in("a"), Some(Expiry::In(ms(100))));
    stage.advance(99);
    assert_eq!(stage.cache.get("a"), Some(1));
    assert_eq!(stage.cache.expires_in("a"), Some(Expiry::In(ms(1))));
    assert_eq!(stage.reap(), 0);
    stage.advance(1);
    assert_eq!(stage.cache.get("a"), None);
    assert_eq!(stage.cache.len(), 1, "it is linked until somebody reaps");
    assert_eq!(stage.reap(), 1);
    assert_eq!(stage.cache.len(), 0);
    assert_eq!(stage.events(), [("a", 1, RemovalCause::Expired)]);
}

#[test]
fn deadlines_between_two_milliseconds_are_never_served_late() {
    let stage = Stage::plain();
    stage.clock.advance(Duration::from_micros(300));
    stage.put_for("a", 1, live(10));
    stage.clock.advance(Duration::from_micros(9_000));
    assert_eq!(stage.cache.get("a"), Some(1), "a whole millisecond early is too early");
    stage.clock.advance(Duration::from_micros(1_000));
    assert_eq!(stage.cache.get("a"), None, "this is the deadline to the nanosecond");
    assert_eq!(stage.cache.expires_in("a"), None);
    assert_eq!(stage.reap(), 1);
}

#[test]
fn what_is_left_to_live_is_never_overstated() {
    let stage = Stage::plain();
    stage.clock.advance(Duration::from_nanos(1_234_567));
    stage.put_for("a", 1, live(10));
    let Some(Expiry::In(left)) = stage.cache.expires_in("a") else { panic!("it has a deadline") };
    assert!(left <= ms(10) && left > ms(9), "{left:?}");
    stage.clock.advance(left);
    assert_eq!(stage.cache.get("a"), None);
}

#[test]
fn use_moves_the_idle_deadline_and_not_the_absolute_one() {
    let stage = Stage::new(|builder| builder.time_to_live(ms(100)).time_to_idle(ms(40)));
    stage.put("a", 1);
    for _ in 0..3 {
        stage.advance(30);
        assert_eq!(stage.cache.get("a"), Some(1));
        assert_eq!(stage.reap(), 0, "it was read in time");
    }
    assert_eq!(stage.cache.expires_in("a"), Some(Expiry::In(ms(10))));
    stage.advance(10);
    assert_eq!(stage.cache.get("a"), None);
    assert_eq!(stage.events(), [("a", 1, RemovalCause::Expired)]);
}

#[test]
fn an_unused_session_dies_idle() {
    let stage = Stage::new(|builder| builder.time_to_live(ms(100)).time_to_idle(ms(40)));
    stage.put("a", 1);
    stage.advance(40);
    assert_eq!(stage.events(), [("a", 1, RemovalCause::Idle)]);
    assert_eq!(stage.cache.stats().idle, 1);
}

#[test]
fn where_both_deadlines_fall_together_the_cause_is_expired() {
    let stage = Stage::new(|builder| builder.time_to_live(ms(40)).time_to_idle(ms(40)));
    stage.put("a", 1);
    stage.advance(40);
    assert_eq!(stage.events(), [("a", 1, RemovalCause::Expired)]);
}

#[test]
fn the_cause_is_the_deadline_that_came_first_however_late_the_reaping() {
    let stage = Stage::plain();
    stage.put_for("idle first", 1, live(50).idle(ms(40)));
    stage.put_for("lived out first", 2, live(40).idle(ms(50)));
    stage.advance(24 * HOUR_MS);
    let mut events = stage.events();
    events.sort_by_key(|event| event.1);
    assert_eq!(
        events,
        [("idle first", 1, RemovalCause::Idle), ("lived out first", 2, RemovalCause::Expired)]
    );
}

#[test]
fn one_session_may_override_either_lifetime() {
    let stage = Stage::new(|builder| builder.time_to_live(ms(100)).time_to_idle(ms(40)));
    let lifetimes = [
        ("inherits both", Lifetime::default(), 40),
        ("shorter life", live(20), 20),
        ("longer life", live(500), 40),
        ("longer idle", idle(70), 70),
        ("idle beyond life", idle(700), 100),
        ("life for ever", Lifetime::default().live_forever(), 40),
        ("idle for ever", Lifetime::default().idle_forever(), 100),
        ("both its own", live(300).idle(ms(200)), 200),
    ];
    for (key, lifetime, left) in lifetimes {
        stage.put_for(key, 0, lifetime);
        assert_eq!(stage.cache.expires_in(key), Some(Expiry::In(ms(left))), "{key}");
    }
    stage.put_for("for ever", 0, Lifetime::default().live_forever().idle_forever());
    assert_eq!(stage.cache.expires_in("for ever"), Some(Expiry::Never));
    stage.advance(100 * 365 * 24 * HOUR_MS);
    assert_eq!(stage.reap(), lifetimes.len());
    assert_eq!(stage.cache.get("for ever"), Some(0));
}

#[test]
fn the_last_word_on_a_lifetime_counts() {
    let stage = Stage::plain();
    stage.put_for("a", 1, live(10).live(ms(20)).idle_forever().idle(ms(15)));
    assert_eq!(stage.cache.expires_in("a"), Some(Expiry::In(ms(15))));
}

/// Ten years of 366 days are the most; a session without an end says so with `live_forever`.
#[test]
fn an_endless_duration_saturates() {
    const LONGEST_MS: u64 = 3_660 * 24 * HOUR_MS;
    let stage = Stage::new(|builder| builder.time_to_live(ms(10)));
    stage.advance(5);
    stage.put_for("a", 1, Lifetime::default().live(Duration::MAX).idle(Duration::MAX));
    stage.put_for("b", 2, Lifetime::default().live(Duration::MAX - ms(1)));
    stage.put("c", 3);
    assert!(stage.cache.set_lifetime("c", Lifetime::default().live(Duration::MAX)));
    for key in ["a", "b", "c"] {
        assert_eq!(stage.cache.expires_in(key), Some(Expiry::In(ms(LONGEST_MS))));
    }
    stage.advance(LONGEST_MS - 1);
    assert_eq!((stage.reap(), stage.cache.peek("a")), (0, Some(1)));
    stage.advance(1);
    assert_eq!((stage.reap(), stage.cache.peek("a")), (3, None));
}

#[test]
fn a_lifetime_of_zero_is_never_served_and_is_reaped() {
    let stage = Stage::plain();
    stage.put("a", 1);
    stage.put_for("a", 2, live(0));
    assert_eq!((stage.cache.get("a"), stage.cache.contains_key("a")), (None, false));
    stage.put_for("b", 3, idle(0));
    assert_eq!((stage.cache.get("b"), stage.cache.expires_in("b")), (None, None));
    stage.put_for("c", 4, live(0).idle(ms(0)));
    assert_eq!(stage.reap(), 3);
    let mut events = stage.heard();
    events.sort_by_key(|event| event.1);
    let expected = [
        ("a", 1, RemovalCause::Replaced),
        ("a", 2, RemovalCause::Expired),
        ("b", 3, RemovalCause::Idle),
        ("c", 4, RemovalCause::Expired),
    ];
    assert_eq!(events, expected);
}

/// theine 64: a wheel that is off by one. Each deadline around each level's edge, to the
/// millisecond, also from a start that is no round number, at every resolution.
#[test]
fn no_deadline_is_a_millisecond_early_or_late() {
    let edges = [1_u64, 2, 8, 16, 32, 64, 100, 128, 256, 512, 1_000, 4_096, 10_000, 32_768];
    let far = [65_536, 262_144, 640_000, 16_777_216, 1 << 30, 1 << 36, 9 * 365 * 24 * HOUR_MS];
    let deadlines = || edges.into_iter().chain(far).flat_map(|edge| edge.max(2) - 1..=edge + 1);
    for resolution in [ms(1), ms(10), ms(1_000), ms(HOUR_MS)] {
        for start in [0, 63, 4_095, 1_234_567] {
            for life in deadlines() {
                let stage = Stage::new(|builder| builder.resolution(resolution));
                stage.advance(start);
                stage.put_for("a", 1, live(life));
                stage.put_for("b", 1, idle(life));
                stage.advance(life - 1);
                let context = || format!("{life} ms from {start} by {resolution:?}");
                assert_eq!(stage.cache.reap(), 0, "early: {}", context());
                assert_eq!(stage.cache.peek("a"), Some(1), "early: {}", context());
                stage.advance(1);
                assert_eq!(stage.cache.reap(), 2, "late: {}", context());
            }
        }
    }
}

/// ristretto 138 and 329, stretto 55: buckets that a stall skips leak for ever.
#[test]
fn one_jump_over_all_deadlines_reaps_every_session() {
    for jump in [1_001, HOUR_MS, 365 * 24 * HOUR_MS, 140 * 365 * 24 * HOUR_MS] {
        let clock = ManualClock::new();
        let cache: Cache<u64, u64> = Cache::builder()
            .max_entries(2_000)
            .reaper(Reaper::Manual)
            .clock(clock.clone())
            .build()
            .expect("it builds");
        for life in 1..=1_000 {
            cache.insert_for(life, life, live(life)).expect("it fits");
        }
        clock.advance(ms(jump));
        assert_eq!(reap(&cache), 1_000);
        assert!(cache.is_empty());
    }
}

/// caffeine 542: an empty cache scheduled its next look hours ahead.
#[test]
fn a_cache_long_empty_frees_the_next_session_on_time() {
    let stage = Stage::new(|builder| builder.time_to_live(ms(20)));
    for idle_ms in [0, 63, 155 * 60_000, 365 * 24 * HOUR_MS] {
        stage.advance(idle_ms);
        assert_eq!(stage.reap(), 0);
        stage.put("a", 1);
        stage.advance(19);
        assert_eq!(stage.reap(), 0);
        stage.advance(1);
        assert_eq!(stage.reap(), 1);
    }
}

#[test]
fn a_lifetime_beyond_the_caches_own_is_kept_among_shorter_ones() {
    let stage = Stage::new(|builder| builder.time_to_live(ms(10)));
    stage.put_for("long", 1, live(HOUR_MS));
    for round in 0..1_000 {
        stage.put("short", round);
        stage.advance(10);
        assert_eq!(stage.reap(), 1);
    }
    assert_eq!(stage.cache.peek("long"), Some(1));
    stage.advance(HOUR_MS - 10_001);
    assert_eq!(stage.reap(), 0);
    stage.advance(1);
    assert_eq!(stage.reap(), 1);
}
