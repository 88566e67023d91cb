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
    assert_eq!(decline.look(fallen_to(500_000), 0, 7), Verdict::Small);
    assert_eq!(decline.look(fallen_to(400_000), 5, 8), Verdict::LookAt(5 + SECOND_NS));
    assert_eq!(decline.look(fallen_to(100_000), 6, 9), Verdict::LookAt(5 + SECOND_NS));
    let second = Verdict::LookAt(5 + 2 * SECOND_NS);
    assert_eq!(decline.look(fallen_to(50_000), 5 + SECOND_NS, 10), second);
    let over = Verdict::Over { grew_ns: 10 };
    assert_eq!(decline.look(fallen_to(49_000), 5 + 2 * SECOND_NS, 11), over);
}

#[test]
fn a_fall_that_recovers_is_forgotten() {
    let (_ballast, mut decline) = (ballast(), Decline::default());
    assert_eq!(decline.look(fallen_to(100_000), 0, 0), Verdict::LookAt(SECOND_NS));
    assert_eq!(decline.look(fallen_to(490_000), SECOND_NS, 1), Verdict::Small);
    let later = Verdict::LookAt(3 * SECOND_NS);
    assert_eq!(decline.look(fallen_to(100_000), 2 * SECOND_NS, 2), later);
}

#[test]
fn a_decline_without_calm_and_garbage_that_stays_are_waited_for_half_a_minute() {
    let _ballast = ballast();
    for is_clean in [true, false] {
        let mut decline = Decline::default();
        for second in 0..=30 {
            let now = if is_clean { 400_000 - 10_000 * second } else { 1 };
            let population = Population { is_clean, ..fallen_to(now) };
            let verdict = decline.look(population, second * SECOND_NS, 0);
            let is_over = matches!(verdict, Verdict::Over { .. });
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
        assert_eq!(decline.look(population, 0, 0), Verdict::Small, "{population:?}");
    }
}

#[test]
fn memory_is_given_back_once_for_what_had_left_before_and_no_sooner_than_allowed() {
    let calls = Arc::new(crate::platform::sync::AtomicUsize::new(0));
    let seen = calls.clone();
    let giver = GiveBack::with(move || {
        // Relaxed: read after the record says that the call has ended.
        seen.fetch_add(1, crate::platform::sync::Ordering::Relaxed);
        std::thread::sleep(core::time::Duration::from_millis(1_100));
        std::panic::panic_any("a fault of the user's");
    })
    .giver()
    .unwrap();
    assert_eq!(giver.turn(process_ns()), Turn::Now);
    let before = process_ns();
    assert!(giver.begin(0));
    assert!(!giver.begin(0), "B4: one at a time");
    assert_eq!(giver.turn(before), Turn::Covered);
    while giver.given_back().failures == 0 {
        std::thread::yield_now();
    }
    let given_back = giver.given_back();
    assert_eq!((given_back.count, given_back.failures), (0, 1));
    assert!(given_back.last_took >= core::time::Duration::from_millis(1_100));
    // B3: five times as long as it took, which is more than 5 s.
    let Turn::NotFor(wait_ns) = giver.turn(process_ns()) else { panic!("B3") };
    assert!(wait_ns > 5 * SECOND_NS, "{wait_ns}");
    assert_eq!(calls.load(crate::platform::sync::Ordering::Relaxed), 1);
}

#[test]
fn what_brings_little_back_is_tried_less_often() {
    let giver = GiveBack::with(|| {}).giver().unwrap();
    let mut waits_ns = Vec::new();
    for round in 1..=3 {
        assert!(giver.begin(1 << 40));
        while giver.given_back().count < round {
            std::thread::yield_now();
        }
        while !matches!(giver.turn(process_ns()), Turn::NotFor(_)) {
            std::thread::yield_now();
        }
        let Turn::NotFor(wait_ns) = giver.turn(process_ns()) else { unreachable!() };
        waits_ns.push(wait_ns.div_ceil(SECOND_NS));
    }
    assert_eq!(waits_ns, [5, 10, 20]);
}

#[test]
fn the_end_of_a_cache_waits_for_its_turn_once_for_all() {
    let calls = Arc::new(crate::platform::sync::AtomicUsize::new(0));
    let seen = calls.clone();
    let giver = GiveBack::with(move || {
        // Relaxed: read after the record says that the call has ended.
        seen.fetch_add(1, crate::platform::sync::Ordering::Relaxed);
    })
    .giver()
    .unwrap();
    assert!(giver.begin(0));
    while giver.given_back().count == 0 {
        std::thread::yield_now();
    }
    let begun = std::time::Instant::now();
    for _ in 0..100 {
        giver.begin_when_free(0);
    }
    while giver.given_back().count == 1 {
        std::thread::yield_now();
    }
    assert!(begun.elapsed() > core::time::Duration::from_millis(4_900), "B3");
    std::thread::sleep(core::time::Duration::from_millis(50));
    assert_eq!(calls.load(crate::platform::sync::Ordering::Relaxed), 2);
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
