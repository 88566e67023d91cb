use super::giver::{Attempt, Book};
use super::pool::{Pool, Share};
use super::*;
use crate::platform::clock::{MILLI_NS, process_ns};

const SECOND_NS: u64 = 1_000 * MILLI_NS;

/// A population that was half a million, in a process with so much resident memory that every fall
/// of it is worth it.
fn fallen_to(now: u64) -> Population {
    Population { peak: 500_000, now, is_clean: true }
}

/// Makes the tests' own process large enough for a fall to be worth it.
fn ballast() -> Vec<u8> {
    vec![1; 128 << 20]
}

#[test]
fn a_fall_is_over_when_it_has_not_grown_for_a_second() {
    let (_ballast, mut decline) = (ballast(), Decline::default());
    assert_eq!(decline.look(fallen_to(500_000), 0), Verdict::Small);
    assert_eq!(decline.look(fallen_to(400_000), 5), Verdict::LookAt(5 + SECOND_NS));
    assert_eq!(decline.look(fallen_to(100_000), 6), Verdict::LookAt(5 + SECOND_NS));
    let second = Verdict::LookAt(5 + 2 * SECOND_NS);
    assert_eq!(decline.look(fallen_to(50_000), 5 + SECOND_NS), second);
    assert_eq!(decline.look(fallen_to(49_000), 5 + 2 * SECOND_NS), Verdict::Over);
}

#[test]
fn a_fall_that_recovers_is_forgotten() {
    let (_ballast, mut decline) = (ballast(), Decline::default());
    assert_eq!(decline.look(fallen_to(100_000), 0), Verdict::LookAt(SECOND_NS));
    assert_eq!(decline.look(fallen_to(490_000), SECOND_NS), Verdict::Small);
    let later = Verdict::LookAt(3 * SECOND_NS);
    assert_eq!(decline.look(fallen_to(100_000), 2 * SECOND_NS), later);
}

#[test]
fn a_decline_without_calm_and_garbage_that_stays_are_waited_for_half_a_minute() {
    let _ballast = ballast();
    for is_clean in [true, false] {
        let mut decline = Decline::default();
        for second in 0..=30 {
            let now = if is_clean { 400_000 - 10_000 * second } else { 1 };
            let population = Population { is_clean, ..fallen_to(now) };
            let verdict = decline.look(population, second * SECOND_NS);
            let is_over = verdict == Verdict::Over;
            assert_eq!(is_over, second == 30, "{verdict:?} in second {second}");
        }
    }
}

#[test]
fn few_sessions_and_small_shares_are_no_storm() {
    let _ballast = ballast();
    let small = [
        Population { peak: 255, now: 0, is_clean: true },
        Population { peak: 1_000_000, now: 937_501, is_clean: true },
        Population { peak: 10, now: 1_000, is_clean: true },
    ];
    for population in small {
        let mut decline = Decline::default();
        assert_eq!(decline.look(population, 0), Verdict::Small, "{population:?}");
    }
}

#[test]
fn a_postponed_fall_that_grows_to_four_times_as_much_is_another() {
    let (_ballast, mut decline) = (ballast(), Decline::default());
    assert_eq!(decline.look(fallen_to(400_000), 0), Verdict::LookAt(SECOND_NS));
    assert_eq!(decline.look(fallen_to(400_000), SECOND_NS), Verdict::Over);
    decline.postpone(1_000 * SECOND_NS);
    let postponed = Verdict::LookAt(1_000 * SECOND_NS);
    assert_eq!(decline.look(fallen_to(100_001), 2 * SECOND_NS), postponed);
    assert_eq!(decline.look(fallen_to(100_000), 2 * SECOND_NS), Verdict::LookAt(3 * SECOND_NS));
}

/// A giver that calls `way`.
fn giver(way: impl Fn() + Send + Sync + 'static) -> Giver {
    GiveBack::with(way).giver().expect("there is a way")
}

/// Has a population of so many fall to none, and looks until the fall is over.
fn fall(giver: &Giver, entries: u64) {
    giver.notice(entries);
    while let Some(look_ns) = giver.look(0, true) {
        let wait_ns = look_ns.saturating_sub(process_ns());
        std::thread::sleep(core::time::Duration::from_nanos(wait_ns));
    }
}

fn wait_for_attempts(giver: &Giver, attempts: u64) {
    while giver.given_back().count + giver.given_back().failures < attempts {
        std::thread::yield_now();
    }
}

#[test]
fn memory_is_given_back_once_for_what_had_left_before_and_no_sooner_than_allowed() {
    let _ballast = ballast();
    let calls = Arc::new(crate::platform::sync::AtomicUsize::new(0));
    let seen = calls.clone();
    let giver = giver(move || {
        // Relaxed: read after the record says that the call has ended.
        seen.fetch_add(1, crate::platform::sync::Ordering::Relaxed);
        std::thread::sleep(core::time::Duration::from_millis(1_100));
        std::panic::panic_any("a fault of the user's");
    });
    fall(&giver, 500_000);
    assert_eq!(giver.look(0, true), None, "once for a fall");
    giver.notice(500_000);
    assert!(giver.look(500_000, true).is_none(), "there is no fall");
    assert!(giver.look(0, true).is_some());
    std::thread::sleep(core::time::Duration::from_millis(1_010));
    giver.look(0, true).expect("B3: or B4, one at a time");
    wait_for_attempts(&giver, 1);
    let given_back = giver.given_back();
    assert_eq!((given_back.count, given_back.failures), (0, 1));
    assert!(given_back.last_took >= core::time::Duration::from_millis(1_100));
    // B3: five times as long as it took, which is more than 5 s.
    let look_ns = loop {
        std::thread::sleep(core::time::Duration::from_millis(100));
        match giver.look(0, true) {
            Some(look_ns) if look_ns > process_ns() + SECOND_NS => break look_ns,
            look => assert!(look.is_some(), "B3"),
        }
    };
    let since_end = giver.given_back().since_last.unwrap();
    let wait_ns = look_ns - process_ns() + since_end.as_nanos() as u64;
    assert!(wait_ns > 5_400 * MILLI_NS, "{wait_ns}");
    assert_eq!(calls.load(crate::platform::sync::Ordering::Relaxed), 1);
}

#[test]
fn what_brings_little_back_is_tried_less_often_unless_much_more_has_fallen() {
    let mut book = Book::default();
    let mut waits = Vec::new();
    for _ in 0..3 {
        book.enter(&Attempt::make(&|| {}, 1 << 40));
        waits.push(book.wait_ns((1 << 42) - 1).div_ceil(SECOND_NS));
    }
    assert_eq!(waits, [5, 10, 20]);
    assert_eq!(book.wait_ns(1 << 42).div_ceil(SECOND_NS), 5);
    book.enter(&Attempt::make(&|| {}, 0));
    assert_eq!(book.wait_ns(1 << 40).div_ceil(SECOND_NS), 5);
}

#[test]
fn the_ends_of_small_caches_wait_for_their_turn_once_for_all() {
    let _ballast = ballast();
    let calls = Arc::new(crate::platform::sync::AtomicUsize::new(0));
    let seen = calls.clone();
    let first = giver(move || {
        // Relaxed: read after the record says that the call has ended.
        seen.fetch_add(1, crate::platform::sync::Ordering::Relaxed);
    });
    fall(&first, 500_000);
    wait_for_attempts(&first, 1);
    let begun = std::time::Instant::now();
    for _ in 0..100 {
        let other = first.of_another_cache();
        other.notice(250);
        other.leave();
    }
    wait_for_attempts(&first, 2);
    assert!(begun.elapsed() > core::time::Duration::from_millis(4_800), "B3");
    std::thread::sleep(core::time::Duration::from_millis(50));
    assert_eq!(calls.load(crate::platform::sync::Ordering::Relaxed), 2);
}

#[test]
fn small_caches_fall_together() {
    let _ballast = ballast();
    let first = giver(|| {});
    let all: Vec<_> = (0..100).map(|_| first.of_another_cache()).collect();
    let mut look_ns = None;
    for one in &all {
        one.notice(250);
        look_ns = one.look(0, true);
    }
    assert!(look_ns.is_some(), "B1: as much as a large one");
    assert!(all[0].look(0, false).is_some());
    std::thread::sleep(core::time::Duration::from_millis(1_010));
    assert!(all[1].look(0, true).is_some(), "B2: there is garbage in the first");
    assert!(all[0].look(0, true).is_some(), "not for a second");
    std::thread::sleep(core::time::Duration::from_millis(1_010));
    assert!(all[1].look(0, true).is_none());
    wait_for_attempts(&first, 1);
    assert!(all.iter().all(|one| one.look(0, true).is_none()), "once for all");
}

#[test]
fn a_round_leaves_nothing_of_the_rounds_before_and_forgets_no_fall_after() {
    let (mut pool, mut idle, mut busy) = (Pool::default(), Share::default(), Share::default());
    let is_clean = true;
    pool.enter(&mut idle, Population { peak: 800, now: 700, is_clean });
    pool.enter(&mut busy, Population { peak: 300, now: 0, is_clean });
    assert_eq!((pool.population().peak, pool.population().now), (1_100, 700));
    pool.begin_round();
    pool.enter(&mut busy, Population { peak: 0, now: 5, is_clean });
    assert_eq!((pool.population().peak, pool.population().now), (5, 5));
    // A few that come and go are no fall.
    pool.enter(&mut busy, Population { peak: 40, now: 5, is_clean });
    assert_eq!((pool.population().peak, pool.population().now), (5, 5));
    // It has looked last when there were 700, all of which have left since.
    pool.enter(&mut idle, Population { peak: 0, now: 0, is_clean: false });
    assert_eq!((pool.population().peak, pool.population().now), (705, 5));
    assert!(!pool.population().is_clean, "B2");
    pool.enter(&mut idle, Population { peak: 0, now: 0, is_clean });
    assert!(pool.population().is_clean);
}

#[test]
fn sessions_of_a_small_cache_are_not_taken_for_a_large_process() {
    let _ballast = ballast();
    let small = Population { peak: 200, now: 0, is_clean: true };
    assert!(small.fallen_bytes() <= 200 * (64 << 10));
    assert!(!small.is_worth_it());
    assert!(Population { peak: 2_000, ..small }.is_worth_it());
}

#[test]
fn never_is_never() {
    assert!(GiveBack::Never.giver().is_none());
}
