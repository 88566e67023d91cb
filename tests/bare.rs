//! A cache on a target without clock, randomness, threads and 64-bit atomics. Any target is made one
//! by `RUSTFLAGS='--cfg sundown_bare' CARGO_TARGET_DIR=target/bare cargo test --test bare`.

#![cfg(sundown_bare)]

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use sundown::{BuildError, Builder, Cache, Clock, ManualClock, RandomState, Reaper, RemovalCause};

type Sessions = Builder<u64, u64>;

fn builder() -> Sessions {
    Cache::builder().max_entries(100).reaper(Reaper::Manual)
}

/// As the host would give them.
fn keyed() -> Sessions {
    builder().hasher(RandomState::with_keys([1, 2, 3, 4]))
}

#[test]
fn without_a_clock_it_does_not_build() {
    for clock in [Clock::monotonic(), Clock::boottime(), Clock::default()] {
        let error = keyed().clock(clock).build().expect_err("there is no clock");
        assert!(matches!(error, BuildError::NoClock), "{error}");
    }
}

#[test]
fn without_a_hasher_it_does_not_build() {
    let error = builder().clock(ManualClock::new()).build().expect_err("nothing is random");
    assert!(matches!(error, BuildError::NoRandomness), "{error}");
}

#[test]
fn with_both_it_works_by_hand() {
    let (clock, heard) = (ManualClock::new(), Arc::new(AtomicU64::new(0)));
    let its = heard.clone();
    let cache = keyed()
        .clock(clock.clone())
        .time_to_idle(Duration::from_secs(60))
        .on_removal(move |_, _, cause| {
            its.fetch_add(u64::from(cause == RemovalCause::Idle), Ordering::Relaxed);
        })
        .build()
        .unwrap();
    for key in 0..1_000 {
        cache.insert(key, key).unwrap();
        clock.advance(Duration::from_millis(1));
    }
    assert_eq!((cache.len(), cache.stats().evicted), (100, 900));
    let read = Rc::new(Cell::new(0));
    assert_eq!(cache.read(&999, |&value| read.set(value)), Some(()));
    assert_eq!((read.get(), cache.get(&0)), (999, None));
    clock.advance(Duration::from_secs(60));
    assert_eq!((cache.get(&999), cache.reap()), (None, 100));
    assert_eq!(heard.load(Ordering::Relaxed), 100);
    cache.audit().unwrap();
    cache.insert(1, 1).unwrap();
    cache.close();
    let stats = cache.stats();
    assert_eq!((stats.inserted, stats.dropped), (1_001, 1_001));
}
