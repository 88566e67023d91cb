//! `build()`, its errors, and what may be printed and sent between threads.

use crate::stage::ms;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::time::Duration;
use sundown::{
    Audit, BuildError, Builder, Cache, Clock, Expiry, Lifetime, ManualClock, OnFull, RandomState,
    Reaper, Reason, Rejected, RemovalCause, Stats, WeakCache,
};

fn manual() -> Builder<u32, u32> {
    Cache::builder().reaper(Reaper::Manual)
}

/// The message must name the setting to change.
fn refusal(builder: Builder<u32, u32>, names: &[&str]) -> BuildError {
    let Err(error) = builder.build() else { panic!("this must not build: {names:?}") };
    let message = error.to_string();
    for name in names {
        assert!(message.contains(name), "{error:?} must say what to do about {name}: {message}");
    }
    assert!(!message.starts_with(char::is_uppercase) && !message.ends_with('.'), "{message}");
    error
}

#[test]
fn a_cache_without_a_capacity_does_not_build() {
    let error = refusal(manual(), &["max_entries", "max_weight"]);
    assert!(matches!(error, BuildError::Unbounded));
}

#[test]
fn a_capacity_of_zero_does_not_build() {
    let error = refusal(manual().max_entries(0), &["max_entries"]);
    assert!(matches!(error, BuildError::ZeroCapacity));
    let weightless = manual().max_weight(0).weigher(|_, _| 1);
    assert!(matches!(refusal(weightless, &["max_weight"]), BuildError::ZeroCapacity));
}

#[test]
fn a_lifetime_of_zero_for_all_does_not_build() {
    for builder in [
        manual().max_entries(1).time_to_live(Duration::ZERO),
        manual().max_entries(1).time_to_idle(Duration::ZERO),
    ] {
        assert!(matches!(refusal(builder, &["time_to_"]), BuildError::ZeroLifetime));
    }
}

#[test]
fn an_endless_lifetime_for_all_does_not_build() {
    for builder in [
        manual().max_entries(1).time_to_live(Duration::MAX),
        manual().max_entries(1).time_to_idle(Duration::MAX),
    ] {
        assert!(matches!(refusal(builder, &["time_to_"]), BuildError::OverlongLifetime));
    }
    let years = Duration::from_secs(9 * 365 * 86_400);
    let builder = manual().max_entries(1).time_to_live(years).time_to_idle(years);
    assert!(builder.build().is_ok());
}

#[test]
fn the_resolution_is_from_a_millisecond_to_an_hour() {
    let hour = Duration::from_secs(3_600);
    for resolution in [Duration::ZERO, Duration::from_micros(999), hour + ms(1), Duration::MAX] {
        let error = refusal(manual().max_entries(1).resolution(resolution), &["resolution"]);
        assert!(matches!(error, BuildError::Resolution { .. }));
    }
    for resolution in [ms(1), ms(10), hour] {
        assert!(manual().max_entries(1).resolution(resolution).build().is_ok());
    }
}

#[test]
fn a_cap_on_weight_needs_a_weigher() {
    let error = refusal(manual().max_weight(10), &["weigher"]);
    assert!(matches!(error, BuildError::NoWeigher));
}

#[test]
fn no_shards_and_absurdly_many_do_not_build() {
    for shards in [0, usize::MAX] {
        let error = refusal(manual().max_entries(1).shards(shards), &["shards"]);
        assert!(matches!(error, BuildError::Shards { .. }));
    }
}

#[test]
fn a_stack_out_of_range_does_not_build() {
    for bytes in [0, 1, (64 << 10) - 1, (1 << 30) + 1, usize::MAX] {
        let builder = Cache::builder().max_entries(10).reaper_stack_bytes(bytes);
        let error = refusal(builder, &["reaper_stack_bytes", "64 KiB", "1 GiB"]);
        assert!(matches!(error, BuildError::ReaperStack(given) if given == bytes));
    }
    let least = Cache::<u32, u32>::builder().max_entries(10).reaper_stack_bytes(64 << 10);
    let cache = least.build().expect("it starts");
    cache.insert(1, 2).expect("it fits");
}

#[test]
fn a_thread_that_does_not_start_is_told_with_its_source() {
    let error = BuildError::Thread(std::io::Error::other("no threads left"));
    assert!(error.to_string().to_lowercase().contains("thread"), "{error}");
    let source = std::error::Error::source(&error).expect("the system's own word");
    assert_eq!(source.to_string(), "no threads left");
    assert!(std::error::Error::source(&BuildError::Unbounded).is_none());
}

#[test]
fn the_defaults_build_a_cache_with_a_thread() {
    let cache: Cache<u32, u32> = Cache::builder().max_entries(4).build().expect("it builds");
    cache.insert(1, 2).expect("it fits");
    assert_eq!(cache.get(&1), Some(2));
    assert_eq!(cache.expires_in(&1), Some(Expiry::Never));
}

#[test]
fn either_real_clock_will_do() {
    for clock in [Clock::monotonic(), Clock::boottime()] {
        let cache = manual().max_entries(4).clock(clock).build().expect("it builds");
        let hour = Lifetime::default().live(Duration::from_secs(3_600));
        cache.insert_for(1, 2, hour).expect("it fits");
        let Some(Expiry::In(left)) = cache.expires_in(&1) else { panic!("it has a deadline") };
        assert!(
            left <= Duration::from_secs(3_600) && left > Duration::from_secs(3_500),
            "{left:?}"
        );
    }
}

#[test]
fn a_manual_clock_starts_at_zero_and_its_clones_are_one() {
    let clock = ManualClock::new();
    assert_eq!(clock.elapsed(), Duration::ZERO);
    let other = clock.clone();
    other.advance(ms(5));
    clock.advance(Duration::from_nanos(7));
    assert_eq!(other.elapsed(), Duration::from_nanos(5_000_007));
    assert_eq!(ManualClock::default().elapsed(), Duration::ZERO);
}

#[test]
fn any_hasher_will_do() {
    type Fixed = BuildHasherDefault<DefaultHasher>;
    let fixed: Cache<u32, u32, Fixed> =
        manual().max_entries(4).hasher(Fixed::default()).build().expect("it builds");
    fixed.insert(1, 2).expect("it fits");
    assert_eq!(fixed.get(&1), Some(2));
    let weak: WeakCache<u32, u32, Fixed> = fixed.downgrade();
    assert!(weak.upgrade().is_some());
    let own = manual().max_entries(4).hasher(RandomState::new()).build();
    assert!(own.is_ok());
}

/// All keys in one shard and one chain of chunks, by a hasher that tells nothing apart.
#[test]
fn the_worst_hasher_costs_time_and_nothing_else() {
    #[derive(Clone, Default)]
    struct Constant;
    impl std::hash::Hasher for Constant {
        fn finish(&self) -> u64 {
            42
        }
        fn write(&mut self, _: &[u8]) {}
    }
    type Worst = BuildHasherDefault<Constant>;
    let cache: Cache<u32, u32, Worst> =
        manual().max_entries(1_000).hasher(Worst::default()).build().expect("it builds");
    for key in 0..1_000 {
        cache.insert(key, key).expect("it fits");
    }
    for key in (0..1_000).step_by(2) {
        assert!(cache.discard(&key));
    }
    for key in 0..1_000 {
        assert_eq!(cache.get(&key), (key % 2 == 1).then_some(key));
    }
    cache.audit().expect("the cache is whole");
}

/// Neither has a `Debug` of its own.
struct Secret(#[expect(dead_code, reason = "it is never to be seen")] u32);

#[test]
fn printing_a_cache_shows_no_key_and_no_value() {
    let cache: Cache<String, Secret> =
        Cache::builder().max_entries(4).reaper(Reaper::Manual).build().expect("it builds");
    cache.insert("top-secret-id".to_owned(), Secret(987_654_321)).expect("it fits");
    let weak = cache.downgrade();
    let (stats, audit) = (cache.stats(), cache.audit().expect("the cache is whole"));
    let builder = Cache::<String, Secret>::builder();
    let printed = format!("{cache:?} {weak:?} {stats:?} {audit:?} {builder:?} {cache:#?}");
    assert!(!printed.contains("top-secret") && !printed.contains("987654321"), "{printed}");
    assert!(printed.contains("Cache"), "{printed}");
}

#[test]
fn public_types_may_be_sent_and_shared() {
    fn is_shared<T: Send + Sync + 'static>() {}
    is_shared::<Cache<String, Vec<u8>>>();
    is_shared::<WeakCache<String, Vec<u8>>>();
    is_shared::<Builder<String, Vec<u8>>>();
    is_shared::<Rejected<String, Vec<u8>>>();
    is_shared::<(BuildError, Stats, Audit, Clock, ManualClock)>();
}

#[test]
fn plain_words_can_be_copied_compared_and_hashed() {
    fn is_plain<T: Copy + Eq + std::fmt::Debug>() {}
    is_plain::<(Expiry, RemovalCause, Reason)>();
    is_plain::<(OnFull, Reaper)>();
    let causes = std::collections::HashSet::from([RemovalCause::Idle, RemovalCause::Idle]);
    assert_eq!(causes.len(), 1);
    assert_eq!(format!("{:?}", RemovalCause::Expired), "Expired");
}
