//! Where the levels lie, and that what waits is bounded.

use core::cell::RefCell;

use super::*;
use crate::platform::clock::ManualClock;

#[test]
fn a_level_rises_at_the_least_sum_that_is_its_share() {
    for limit in (1..300).chain([1_000_000, u64::MAX - 1]) {
        for percent in 1..100 {
            let level = f64::from(percent) / 100.0;
            let band = Band::of(level, limit);
            assert!(band.rises as f64 / limit as f64 >= level, "{level} of {limit}: {band:?}");
            if limit < 300 && band.rises > 1 {
                assert!(((band.rises - 1) as f64 / limit as f64) < level, "{level} of {limit}");
            }
            assert!(1 <= band.falls && band.falls <= band.mark && band.mark <= band.rises);
            assert!(band.rises <= limit && (band.rises == 1 || band.falls < band.rises));
        }
    }
}

#[test]
fn what_waits_for_a_slow_callback_is_bounded_and_still_alternates() {
    let news = Arc::new(News::new(2, ManualClock::new().into()));
    let mut gauge = Gauge::new();
    gauge.watch(Cap::Entries, 100, &[0.5, 0.9], &news);
    for _ in 0..1_000 {
        assert!(gauge.try_add(100, Some(100)));
        gauge.take_off(100);
    }
    assert!(gauge.try_add(60, Some(100)));
    let told = RefCell::new(Vec::new());
    news.tell_all(|turn| told.borrow_mut().push((turn.level, turn.direction)));
    let told = told.into_inner();
    assert!((60..=MOST_UNTOLD + 4).contains(&told.len()), "Q4: {}", told.len());
    for (level, last) in [(0.5, Direction::Rising), (0.9, Direction::Falling)] {
        let turns: Vec<_> = told.iter().filter(|turn| turn.0 == level).map(|turn| turn.1).collect();
        assert_eq!(turns[0], Direction::Rising);
        assert!(turns.windows(2).all(|pair| pair[0] != pair[1]), "Q2: {turns:?}");
        assert_eq!(turns.last(), Some(&last));
    }
    assert!(!news.is_waiting());
}
