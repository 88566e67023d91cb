//! Pressure: what is told when a cap is near, when, and how often.

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use sundown::{
    BuildError, Builder, Cache, Cap, Direction, Lifetime, ManualClock, OnFull, Pressure, Reaper,
    WeakCache,
};

use Direction::{Falling, Rising};

type Sessions = Builder<u64, u64>;

fn watched(builder: Sessions, levels: &[f64]) -> (ManualClock, Receiver<Pressure>, Sessions) {
    let (sender, told) = channel();
    let clock = ManualClock::new();
    let builder = builder.clock(clock.clone()).reaper(Reaper::Manual);
    let tell = move |pressure| sender.send(pressure).expect("somebody listens");
    (clock, told, builder.on_pressure(levels.to_vec(), tell))
}

/// Cap, level in percent and direction of all that was told.
fn turns(told: &Receiver<Pressure>) -> Vec<(Cap, u32, Direction)> {
    let turn = |told: Pressure| (told.cap, (told.level * 100.0).round() as u32, told.direction);
    told.try_iter().map(turn).collect()
}

#[test]
fn each_level_is_told_once_up_and_once_down_with_slack_between() {
    let (_, told, builder) = watched(Cache::builder().max_entries(100), &Pressure::LEVELS);
    let cache = builder.build().unwrap();
    let mut seen = Vec::new();
    let mut note = |len: usize| {
        for (cap, level, direction) in turns(&told) {
            assert_eq!(cap, Cap::Entries);
            seen.push((len, level, direction));
        }
    };
    for key in 0..100 {
        cache.insert(key, key).unwrap();
        note(cache.len());
    }
    // Evictions keep it where it is; so do replacements.
    for key in 100..300 {
        cache.insert(key, key).unwrap();
        cache.insert(key, 0).unwrap();
        note(cache.len());
    }
    for key in 200..300 {
        cache.discard(&key);
        note(cache.len());
        // Hovering tells nothing.
        cache.insert(key, key).unwrap();
        note(0);
        cache.discard(&key);
        note(0);
    }
    assert_eq!(seen, [(75, 75, Rising), (90, 90, Rising), (85, 90, Falling), (71, 75, Falling)]);
    cache.insert(0, 0).unwrap();
    assert_eq!(turns(&told), []);
}

#[test]
fn flow_and_time_to_full_follow_from_the_way_to_the_level() {
    let (clock, told, builder) = watched(Cache::builder().max_entries(1_000), &[0.75]);
    let cache = builder.build().unwrap();
    let mut key = 0;
    while cache.len() < 700 {
        cache.insert(key, key).unwrap();
        key += 1;
    }
    // An hour of silence says nothing about the growth after it: 300 in and 100 out each second.
    clock.advance(Duration::from_secs(3_600));
    while cache.len() < 750 {
        clock.advance(Duration::from_millis(10));
        for _ in 0..3 {
            cache.insert(key, key).unwrap();
            key += 1;
        }
        cache.discard(&(key - 700));
    }
    let pressure = told.try_recv().unwrap();
    assert_eq!((pressure.entries, pressure.weight, pressure.limit), (750, 750, 1_000));
    let flow = pressure.flow.unwrap();
    assert!((250.0..350.0).contains(&flow.in_per_second), "{flow:?}");
    assert!((80.0..120.0).contains(&flow.out_per_second), "{flow:?}");
    assert!(flow.over >= Duration::from_millis(50) && flow.over < Duration::from_secs(1));
    let growth = flow.in_per_second - flow.out_per_second;
    let full = pressure.time_to_full.unwrap().as_secs_f64();
    assert!((full * growth - 250.0).abs() < 0.01, "{pressure:?}");
    // And out again: no growth, no time at which it is full.
    for gone in key - 700..key {
        clock.advance(Duration::from_millis(10));
        cache.discard(&gone);
    }
    let pressure = told.try_recv().unwrap();
    assert_eq!((pressure.direction, pressure.time_to_full), (Falling, None));
    let flow = pressure.flow.unwrap();
    assert!(flow.in_per_second == 0.0 && (flow.out_per_second - 100.0).abs() < 0.01, "{flow:?}");
}

#[test]
fn weight_has_levels_of_its_own_and_a_heavy_session_passes_two() {
    let builder = Cache::builder().max_entries(10).max_weight(1_000).weigher(|_, &weight| weight);
    let (_, told, builder) = watched(builder, &[0.5, 0.8]);
    let cache = builder.build().unwrap();
    cache.insert(1, 100).unwrap();
    cache.insert(2, 850).unwrap();
    let pressures: Vec<_> = told.try_iter().collect();
    assert!(pressures.iter().all(|told| told.cap == Cap::Weight && told.flow.is_none()));
    assert!(pressures.iter().all(|told| (told.entries, told.weight) == (2, 950)));
    assert_eq!(pressures.iter().map(|told| told.level).collect::<Vec<_>>(), [0.5, 0.8]);
    // A lighter one in its place falls below one level.
    cache.insert(2, 500).unwrap();
    assert_eq!(turns(&told), [(Cap::Weight, 80, Falling)]);
    cache.clear();
    assert_eq!(turns(&told), [(Cap::Weight, 50, Falling)]);
}

#[test]
fn entries_come_with_their_weight_which_without_a_weigher_is_one_each() {
    let (_, told, builder) = watched(Cache::builder().max_entries(1_000), &[0.25, 0.5, 0.75]);
    let cache = builder.shards(1).build().unwrap();
    for key in 0..1_000 {
        cache.insert(key, 5).unwrap();
    }
    // Passes all levels before the first is told.
    cache.clear();
    let pressures: Vec<_> = told.try_iter().collect();
    assert_eq!(pressures.len(), 6);
    assert!(pressures.iter().all(|told| told.weight == told.entries as u64), "{pressures:?}");

    let builder = Cache::builder().max_entries(4).weigher(|_, &weight| weight);
    let (_, told, builder) = watched(builder, &[0.5]);
    let cache = builder.build().unwrap();
    cache.insert(1, 5).unwrap();
    cache.insert(2, 50).unwrap();
    let pressure = told.try_recv().unwrap();
    assert_eq!((pressure.cap, pressure.entries, pressure.weight), (Cap::Entries, 2, 55));
}

#[test]
fn what_finds_no_room_for_its_weight_passes_no_level_of_entries() {
    let builder = Cache::builder().max_entries(4).max_weight(100).weigher(|_, &weight| weight);
    let (_, told, builder) = watched(builder.on_full(OnFull::Reject), &[0.5, 0.95]);
    let cache = builder.build().unwrap();
    cache.insert(1, 90).unwrap();
    assert_eq!(turns(&told), [(Cap::Weight, 50, Rising)]);
    for key in 2..9 {
        cache.insert(key, 20).unwrap_err();
    }
    assert_eq!(turns(&told), [], "nobody came in");
    cache.insert(2, 10).unwrap();
    assert_eq!(turns(&told), [(Cap::Entries, 50, Rising), (Cap::Weight, 95, Rising)]);
}

#[test]
fn expiry_and_the_end_of_the_cache_tell_of_the_fall() {
    let live = Duration::from_secs(9);
    let builder = Cache::builder().max_entries(4).time_to_live(live).on_full(OnFull::Reject);
    let (clock, told, builder) = watched(builder, &[0.5]);
    let cache = builder.build().unwrap();
    for key in 0..9 {
        let _refused = cache.insert(key, key);
    }
    assert_eq!(turns(&told), [(Cap::Entries, 50, Rising)]);
    clock.advance(live);
    assert_eq!(cache.reap(), 4);
    assert_eq!(turns(&told), [(Cap::Entries, 50, Falling)]);
    cache.insert(1, 1).unwrap();
    cache.insert(2, 2).unwrap();
    drop(cache);
    assert_eq!(turns(&told), [(Cap::Entries, 50, Rising), (Cap::Entries, 50, Falling)]);
}

#[test]
fn the_reaper_tells_of_what_it_reaps() {
    let (sender, told) = channel();
    let clock = ManualClock::new();
    let cache = Cache::builder()
        .max_entries(4)
        .time_to_live(Duration::from_secs(9))
        .clock(clock.clone())
        .on_pressure([0.5], move |pressure| sender.send(pressure.direction).unwrap())
        .build()
        .unwrap();
    cache.insert(1, 1).unwrap();
    cache.insert(2, 2).unwrap();
    assert_eq!(told.recv(), Ok(Rising));
    clock.advance(Duration::from_secs(10));
    assert_eq!(told.recv(), Ok(Falling), "nobody calls the cache");
}

#[test]
fn a_panic_of_the_callback_is_counted_and_the_next_turn_is_told() {
    let (sender, told) = channel();
    let builder = Cache::builder().max_entries(4).reaper(Reaper::Manual);
    let cache = builder
        .on_pressure([0.5], move |pressure| {
            sender.send(pressure.direction).unwrap();
            panic!("on purpose");
        })
        .build()
        .unwrap();
    for key in 0..3 {
        cache.insert(key, key).unwrap();
    }
    cache.clear();
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [Rising, Falling]);
    assert_eq!(cache.stats().pressure_panics, 2);
    cache.audit().unwrap();
}

#[test]
fn the_callback_may_call_the_cache_and_is_not_called_within_itself() {
    let place: Arc<OnceLock<WeakCache<u64, u64>>> = Arc::default();
    let (sender, told) = channel();
    let known = place.clone();
    let builder = Cache::builder().max_entries(4).reaper(Reaper::Manual);
    let cache = builder
        .on_pressure([0.5], move |pressure| {
            sender.send(("begins", pressure.direction)).unwrap();
            if pressure.direction == Rising {
                let cache = known.get().and_then(WeakCache::upgrade).unwrap();
                cache.audit().unwrap();
                cache.clear();
            }
            sender.send(("ends", pressure.direction)).unwrap();
        })
        .build()
        .unwrap();
    assert!(place.set(cache.downgrade()).is_ok());
    cache.insert(1, 1).unwrap();
    cache.insert(2, 2).unwrap();
    assert!(cache.is_empty());
    let calls = [("begins", Rising), ("ends", Rising), ("begins", Falling), ("ends", Falling)];
    assert_eq!(told.try_iter().collect::<Vec<_>>(), calls);
}

/// It runs on the reaper's own thread, so nobody else can wait for the end.
#[test]
fn the_callback_may_drop_the_last_handle() {
    let last: Arc<Mutex<Option<Cache<u64, u64>>>> = Arc::default();
    let (sender, told) = channel();
    let (clock, slot) = (ManualClock::new(), last.clone());
    let cache = Cache::builder()
        .max_entries(8)
        .time_to_live(Duration::from_secs(9))
        .clock(clock.clone())
        .on_pressure([0.25, 0.5], move |pressure| {
            if pressure.direction == Falling {
                drop(slot.lock().unwrap().take());
            }
            sender.send((pressure.level, pressure.direction)).unwrap();
        })
        .build()
        .unwrap();
    for key in 0..4 {
        let lifetime = Lifetime::default();
        let lifetime = if key < 2 { lifetime } else { lifetime.live_forever() };
        cache.insert_for(key, key, lifetime).unwrap();
    }
    let weak = cache.downgrade();
    assert!(last.lock().unwrap().replace(cache).is_none());
    clock.advance(Duration::from_secs(10));
    // It ends when the cache has dropped the callback, and with it the sender.
    let told: Vec<_> = told.iter().collect();
    assert_eq!(told, [(0.25, Rising), (0.5, Rising), (0.5, Falling), (0.25, Falling)]);
    assert!(weak.upgrade().is_none() && last.lock().unwrap().is_none());
}

#[test]
fn a_callback_that_panics_with_what_panics_is_survived_on_the_reapers_thread() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("the payload, on purpose");
        }
    }
    let (sender, told) = channel();
    let clock = ManualClock::new();
    let cache = Cache::builder()
        .max_entries(2)
        .time_to_live(Duration::from_secs(9))
        .clock(clock.clone())
        .on_pressure([0.5], move |pressure| {
            sender.send(pressure.direction).unwrap();
            std::panic::panic_any(Bomb);
        })
        .build()
        .unwrap();
    for _ in 0..3 {
        cache.insert(1, 1).unwrap();
        assert_eq!(told.recv(), Ok(Rising));
        clock.advance(Duration::from_secs(10));
        assert_eq!(told.recv(), Ok(Falling), "the reaper lives on");
    }
    cache.close();
    drop(told);
    cache.audit().unwrap();
}

/// What is told after each call, against a level that simply looks at the sums.
#[test]
fn turns_are_those_of_a_model_that_looks_after_each_call() {
    for seed in 1..=20_u64 {
        let builder =
            Cache::builder().max_entries(97).max_weight(3_001).weigher(|_, &weight| weight);
        let (_, told, builder) = watched(builder, &[0.2, 0.5, 0.55, 0.9]);
        let cache = builder.shards(2).build().unwrap();
        let mut is_risen = [false; 8];
        let mut draw = seed;
        for _ in 0..3_000 {
            draw ^= draw << 13;
            draw ^= draw >> 7;
            draw ^= draw << 17;
            // In tides, so that all levels are passed both ways.
            let is_flood =
                (draw >> 40) % 100 < if cache.len() % 2 == seed as usize % 2 { 70 } else { 45 };
            if is_flood {
                cache.insert(draw % 200, 1 + (draw >> 20) % 60).unwrap();
            } else {
                cache.discard(&((draw >> 9) % 200));
            }
            let mut expected = Vec::new();
            for (at, risen) in is_risen.iter_mut().enumerate() {
                let level = [0.2, 0.5, 0.55, 0.9][at % 4];
                let (sum, limit) =
                    if at < 4 { (cache.len() as u64, 97_u64) } else { (cache.weight(), 3_001) };
                let rises = (1..=limit).find(|&sum| sum as f64 / limit as f64 >= level).unwrap();
                let falls = (rises - rises / 20).min(rises - 1).max(1);
                if if *risen { sum < falls } else { sum >= rises } {
                    *risen = !*risen;
                    let cap = if at < 4 { Cap::Entries } else { Cap::Weight };
                    let direction = if *risen { Rising } else { Falling };
                    expected.push((cap, (level * 100.0).round() as u32, direction));
                }
            }
            let mut turns = turns(&told);
            turns.sort_by_key(|&(cap, level, _)| (cap as u32, level));
            assert_eq!(turns, expected, "seed {seed}");
        }
    }
}

#[test]
fn levels_that_are_no_levels_do_not_build() {
    let build = |levels: &[f64]| watched(Cache::builder().max_entries(9), levels).2.build();
    for level in [0.0, -0.5, 1.0, 75.0, f64::NAN, f64::INFINITY] {
        let refused = build(&[0.1, level]).unwrap_err();
        assert!(matches!(refused, BuildError::PressureLevel(_)), "{level}: {refused}");
    }
    for levels in [&[0.9, 0.75][..], &[0.5, 0.5]] {
        let refused = build(levels).unwrap_err();
        assert!(matches!(refused, BuildError::PressureLevelOrder), "{refused}");
    }
    for levels in [&[][..], &[0.5; 9]] {
        let refused = build(levels).unwrap_err();
        assert!(matches!(refused, BuildError::PressureLevelCount(given) if given == levels.len()));
        assert!(refused.to_string().contains("1 to 8"), "{refused}");
    }
    let uncapped = watched(Cache::builder(), &[0.5]).2.build().unwrap_err();
    assert!(matches!(uncapped, BuildError::Unbounded));
    assert!(build(&[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]).is_ok());
}

#[test]
fn turns_alternate_and_end_where_the_sum_does_whoever_moves_it() {
    let (_, told, builder) = watched(Cache::builder().max_entries(64), &[0.25, 0.5]);
    let cache = builder.shards(4).build().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let cache = &cache;
            scope.spawn(move || {
                for _ in 0..200 {
                    for key in 0..10 {
                        cache.insert(10 * thread + key, 0).unwrap();
                    }
                    for key in 0..10 {
                        cache.discard(&(10 * thread + key));
                    }
                }
            });
        }
    });
    assert!(cache.is_empty());
    let told = turns(&told);
    for level in [25, 50] {
        let turns: Vec<_> = told.iter().filter(|turn| turn.1 == level).map(|turn| turn.2).collect();
        assert!(turns.chunks(2).all(|pair| pair == [Rising, Falling]), "{level}: {turns:?}");
    }
}
