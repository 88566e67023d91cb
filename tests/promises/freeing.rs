//! G1, G2: nobody calls, and every session is freed at its deadline, or soon after it left.

use crate::witness::scaled;
use crate::witness::{
    Lateness, Raise, Register, SOON, Watched, alone, control, eventually, is_on_time,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use sundown::{Cache, Lifetime, ManualClock, Reaper, RemovalCause};

const HOUR: Duration = Duration::from_secs(3_600);

fn live(duration: Duration) -> Lifetime {
    Lifetime::default().live(duration)
}

/// G1 by the machine's own clock, whose cheap reading lags by milliseconds. Nobody reaps, so that only
/// the calls' own judgement keeps them from showing what is over.
#[test]
fn no_call_shows_a_session_past_its_deadline() {
    let _alone = alone();
    let cache: Cache<u64, u64> =
        Cache::builder().max_entries(1_000).reaper(Reaper::Manual).build().expect("it builds");
    type Look = fn(&Cache<u64, u64>, u64) -> bool;
    let looks: [Look; 6] = [
        |cache, key| cache.get(&key).is_some(),
        |cache, key| cache.read(&key, |_| ()).is_some(),
        |cache, key| cache.peek(&key).is_some(),
        |cache, key| cache.contains_key(&key),
        |cache, key| cache.touch(&key),
        |cache, key| cache.expires_in(&key).is_some(),
    ];
    for key in 0..60_u64 {
        let look = looks[key as usize % looks.len()];
        let lifetime = Duration::from_millis(15);
        cache.insert_for(key, key, live(lifetime)).expect("it fits");
        // At the latest: it was put in before.
        let deadline = Instant::now() + lifetime;
        loop {
            let before = Instant::now();
            if !look(&cache, key) {
                break;
            }
            assert!(before < deadline, "look {} came {:?} late", key % 6, before - deadline);
        }
    }
}

/// redis PR 15620's probe, moka 349, 379 and 544, caffeine 195, 429, 452 and 1062, guava 2110.
#[test]
fn a_thousand_sessions_behind_a_million_live_ones_are_freed_on_time() {
    let _alone = alone();
    let cache: Cache<u64, Option<Watched>> =
        Cache::builder().max_entries(2_000_000).time_to_live(HOUR).build().expect("it builds");
    let crowd = scaled(1_000_000);
    for key in 0..crowd {
        cache.insert(key, None).expect("it fits");
    }
    is_on_time("freeing 1,000 sessions", SOON, || {
        let (register, lifetime) = (Register::default(), Duration::from_millis(1_000));
        for key in crowd..crowd + 1_000 {
            let value = Some(register.value_until(Instant::now() + lifetime));
            cache.insert_for(key, value, live(lifetime)).expect("it fits");
        }
        let last_deadline = Instant::now() + lifetime;
        let control = control(last_deadline);
        let control = control.join().expect("it only sleeps");
        eventually("1,000 sessions are freed", || register.alive() == 0);
        assert_eq!(register.early(), 0, "nobody may be freed early");
        let last_death = register.last_death().expect("they are dead");
        let observed = last_death.saturating_duration_since(last_deadline);
        Lateness { observed, control }
    });
    let stats = cache.stats();
    assert_eq!((stats.entries as u64, stats.evicted), (crowd, 0));
    eventually("all that expired is counted as dropped", || {
        let stats = cache.stats();
        stats.dropped == stats.expired
    });
}

#[test]
fn idle_sessions_are_freed_on_time_too() {
    let _alone = alone();
    is_on_time("freeing idle sessions", SOON, || {
        let (register, idle) = (Register::default(), Duration::from_millis(200));
        let cache: Cache<u64, Watched> =
            Cache::builder().max_entries(1_000).time_to_idle(idle).build().expect("it builds");
        for key in 0..1_000 {
            let value = register.value_until(Instant::now() + idle);
            cache.insert(key, value).expect("it fits");
        }
        let deadline = Instant::now() + idle;
        let control = control(deadline).join().expect("it only sleeps");
        eventually("the idle are freed", || register.alive() == 0);
        assert_eq!((register.early(), cache.stats().idle), (0, 1_000));
        let last_death = register.last_death().expect("they are dead");
        Lateness { observed: last_death.saturating_duration_since(deadline), control }
    });
}

type Silent = Cache<u64, Watched>;

/// What it is called, and what it does to a cache that holds key 1 and has two places.
type WayOut = (&'static str, fn(&Silent, &Register));

/// Each way out but expiry.
fn ways_out() -> [WayOut; 9] {
    [
        ("discarded", |cache, _| assert!(cache.discard(&1))),
        ("removed by a judge", |cache, _| assert!(cache.remove_if(&1, |_, _| true))),
        ("not retained", |cache, _| assert_eq!(cache.retain(|_, _| false), 1)),
        ("cleared", |cache, _| cache.clear()),
        ("closed", |cache, _| cache.close()),
        ("replaced", |cache, spare| cache.insert(1, spare.value()).expect("it fits")),
        ("updated", |cache, spare| {
            assert!(matches!(cache.update(&1, |_| spare.value()), Ok(true)));
        }),
        ("evicted", |cache, spare| {
            cache.insert(2, spare.value()).expect("it fits");
            thread::sleep(Duration::from_millis(20));
            cache.insert(3, spare.value()).expect("1 is evicted");
        }),
        ("given no time", |cache, _| assert!(cache.set_lifetime(&1, live(Duration::ZERO)))),
    ]
}

#[test]
fn what_left_a_cache_that_then_falls_silent_is_freed_soon() {
    let _alone = alone();
    for (way, leave) in ways_out() {
        is_on_time(&format!("freeing what was {way}"), SOON, || {
            let (register, spare) = (Register::default(), Register::default());
            let cache: Silent = Cache::builder()
                .max_entries(2)
                .time_to_live(HOUR)
                .time_to_idle(HOUR)
                .build()
                .expect("it builds");
            cache.insert(1, register.value()).expect("it fits");
            thread::sleep(Duration::from_millis(20));
            leave(&cache, &spare);
            let left = Instant::now();
            let control = control(left + Duration::from_millis(20));
            eventually("it is freed", || register.alive() == 0);
            let last_death = register.last_death().expect("it is dead");
            let observed = last_death.saturating_duration_since(left);
            Lateness { observed, control: control.join().expect("it only sleeps") }
        });
    }
}

#[test]
fn a_removed_value_that_was_handed_out_is_dropped_with_its_last_clone() {
    let _alone = alone();
    let register = Register::default();
    let cache: Cache<u64, Arc<Watched>> =
        Cache::builder().max_entries(2).build().expect("it builds");
    cache.insert(1, Arc::new(register.value())).expect("it fits");
    let kept = cache.remove(&1).expect("it is there");
    eventually("the cache lets go", || Arc::strong_count(&kept) == 1);
    assert_eq!(register.alive(), 1);
    drop(kept);
    assert_eq!(register.alive(), 0);
}

/// Reads go on all the time, from two threads: G2 holds in a busy cache as well.
#[test]
fn readers_in_a_loop_do_not_keep_the_dead() {
    let _alone = alone();
    let cache: Cache<u64, Watched> =
        Cache::builder().max_entries(10_000).time_to_live(HOUR).build().expect("it builds");
    let standing = Register::default();
    for key in 0..1_000 {
        cache.insert(key, standing.value()).expect("it fits");
    }
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _end = Raise(&stop);
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    for key in 0..2_000 {
                        cache.read(&key, |_| ());
                    }
                }
            });
        }
        is_on_time("freeing under reads", SOON, || {
            let (register, lifetime) = (Register::default(), Duration::from_millis(200));
            for key in 1_000..2_000 {
                let value = register.value_until(Instant::now() + lifetime);
                cache.insert_for(key, value, live(lifetime)).expect("it fits");
            }
            let deadline = Instant::now() + lifetime;
            let control = control(deadline).join().expect("it only sleeps");
            eventually("they are freed", || register.alive() == 0);
            assert_eq!(register.early(), 0);
            let last_death = register.last_death().expect("they are dead");
            Lateness { observed: last_death.saturating_duration_since(deadline), control }
        });
    });
}

/// caffeine 542 in real time: the reaper of an empty cache must still wake for the first session.
#[test]
fn the_reaper_wakes_for_an_earlier_deadline() {
    let _alone = alone();
    let cache: Cache<u64, Watched> = Cache::builder().max_entries(10).build().expect("it builds");
    let far = Register::default();
    cache.insert_for(0, far.value(), live(HOUR)).expect("it fits");
    thread::sleep(Duration::from_millis(50));
    is_on_time("freeing what came later and leaves earlier", SOON, || {
        let (register, lifetime) = (Register::default(), Duration::from_millis(50));
        let value = register.value_until(Instant::now() + lifetime);
        cache.insert_for(1, value, live(lifetime)).expect("it fits");
        let deadline = Instant::now() + lifetime;
        let control = control(deadline).join().expect("it only sleeps");
        eventually("it is freed", || register.alive() == 0);
        assert_eq!((register.early(), far.alive()), (0, 1));
        let last_death = register.last_death().expect("it is dead");
        Lateness { observed: last_death.saturating_duration_since(deadline), control }
    });
}

#[test]
fn advancing_a_manual_clock_wakes_the_reaper() {
    let _alone = alone();
    let (register, clock, idle) = (Register::default(), ManualClock::new(), AtomicU64::new(0));
    let idle = Arc::new(idle);
    let heard = Arc::clone(&idle);
    let cache: Cache<u64, Watched> = Cache::builder()
        .max_entries(10)
        .time_to_idle(HOUR)
        .clock(clock.clone())
        .on_removal(move |_, _, cause| {
            heard.fetch_add(u64::from(cause == RemovalCause::Idle), Ordering::SeqCst);
        })
        .build()
        .expect("it builds");
    for round in 1..=20 {
        cache.insert(round, register.value()).expect("it fits");
        clock.advance(HOUR + Duration::from_millis(20));
        eventually("an hour of idling is enough", || register.alive() == 0);
        eventually("it is told", || idle.load(Ordering::SeqCst) == round);
    }
}

/// A session in use must not die: the reading thread itself proves that it read in time.
#[test]
fn a_session_read_in_time_never_dies_while_its_neighbours_do() {
    let _alone = alone();
    let idle = Duration::from_millis(200);
    is_on_time("an early death", Duration::ZERO, || {
        let (used, unused) = (Register::default(), Register::default());
        let cache: Cache<u64, Watched> =
            Cache::builder().max_entries(2_000).time_to_idle(idle).build().expect("it builds");
        cache.insert(0, used.value()).expect("it fits");
        for key in 1..1_000 {
            cache.insert(key, unused.value_until(Instant::now() + idle)).expect("it fits");
        }
        let (mut last_read, end) = (Instant::now(), Instant::now() + 10 * idle);
        if cache.read(&0, |_| ()).is_none() {
            return Lateness { observed: idle, control: idle };
        }
        while Instant::now() < end {
            thread::sleep(Duration::from_millis(20));
            let before = Instant::now();
            let is_live = cache.read(&0, |_| ()).is_some();
            let gap = last_read.elapsed();
            if !is_live {
                // A gap near the idle time is the machine's fault, and the trial void.
                return Lateness { observed: idle, control: gap.saturating_sub(idle / 2) };
            }
            last_read = before;
        }
        eventually("the unread die", || unused.alive() == 0);
        assert_eq!((unused.early(), cache.stats().idle), (0, 999));
        Lateness { observed: Duration::ZERO, control: Duration::ZERO }
    });
}
