//! What needs a look inside: garbage under the reaper, inexact eviction, settled tables. And how all
//! tests wait for garbage.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use super::pass::Round;
use crate::budget::{Load, Room};
use crate::index::Fresh;
use crate::platform::clock::NEVER_NS;
use crate::platform::sync::pin;
use crate::shard::{Drained, Drainer, Mode};
use crate::{Cache, Lifetime, ManualClock, Reaper, RemovalCause};

fn manual() -> (ManualClock, crate::Builder<u64, u64>) {
    let clock = ManualClock::new();
    let builder = Cache::builder().clock(clock.clone()).reaper(Reaper::Manual);
    (clock, builder)
}

/// Another test's reader may be stopped inside its pin: what waits for readers takes several calls.
fn repeat_until(is_done: impl Fn() -> bool, mut step: impl FnMut()) {
    for _ in 0..10_000 {
        step();
        if is_done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("it does not happen");
}

/// Reaps until no garbage is left.
pub(crate) fn reap_all<K, V>(cache: &Cache<K, V>)
where
    K: core::hash::Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    repeat_until(|| cache.stats().retired.count == 0, || _ = cache.reap());
}

#[test]
fn eviction_gives_up_looking_after_its_limit_and_says_so() {
    let (clock, builder) = manual();
    let cache = builder.max_entries(20_000).shards(1).build().unwrap();
    for key in 0..20_000 {
        cache.insert(key, key).unwrap();
    }
    // A read-only hour: every record is stale, and key 19,999 is the only one not touched.
    clock.advance(Duration::from_secs(3_600));
    for key in 0..19_999 {
        cache.touch(&key);
    }
    cache.insert(20_000, 0).unwrap();
    assert_eq!(cache.stats().evicted_inexact, 1);
    cache.insert(20_001, 0).unwrap();
    assert_eq!(cache.stats().evicted_inexact, 1, "the rest was within the limit");
    assert!(!cache.contains_key(&19_999), "the coldest of all");
    assert_eq!(cache.len(), 20_000);
    cache.audit().unwrap();
}

#[test]
fn settled_cache_holds_no_table_page_or_level() {
    let (clock, builder) = manual();
    let cache = builder.max_entries(100_000).time_to_live(Duration::from_secs(5)).build().unwrap();
    let empty = cache.stats().overhead_bytes;
    for key in 0..50_000 {
        cache.insert(key, key).unwrap();
    }
    clock.advance(Duration::from_secs(5));
    assert_eq!(cache.reap(), 50_000);
    let settle = || {
        clock.advance(Duration::from_secs(1));
        cache.reap();
    };
    let lags = cache.core.shared.disposal.lag().bytes() as u64;
    repeat_until(|| cache.stats().overhead_bytes == empty + lags, settle);
    cache.audit().unwrap();
}

#[test]
fn spread_keys_use_all_shards() {
    let (_, builder) = manual();
    let cache = builder.max_entries(10_000).shards(64).build().unwrap();
    for key in 0..6_400 {
        cache.insert(key, key).unwrap();
    }
    for shard in &cache.core.shards {
        let mut audit = crate::Audit::default();
        shard.audit(&cache.core.shared, &mut audit).unwrap();
        assert!((40..180).contains(&audit.entries), "{} of about 100", audit.entries);
    }
}

#[test]
fn later_sessions_of_a_held_key_wait_for_it_and_no_others_do() {
    let events = Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = events.clone();
    let (_, builder) = manual();
    let cache = builder
        .max_entries(10)
        .on_removal(move |key, value, cause| log.lock().unwrap().push((key, value, cause)))
        .build()
        .unwrap();
    cache.insert(1, 10).unwrap();
    cache.insert(2, 20).unwrap();
    cache.read(&1, |_| {
        cache.insert(1, 11).unwrap();
        cache.insert(1, 12).unwrap();
        cache.discard(&2);
        repeat_until(|| !events.lock().unwrap().is_empty(), || _ = cache.reap());
        assert_eq!(*events.lock().unwrap(), [(2, 20, RemovalCause::Removed)]);
        cache.audit().unwrap();
        assert_eq!(cache.stats().retired.count, 2);
    });
    assert_eq!(events.lock().unwrap().len(), 1, "a reader runs no listener");
    reap_all(&cache);
    let told = events.lock().unwrap().clone();
    assert_eq!(told[1..], [(1, 10, RemovalCause::Replaced), (1, 11, RemovalCause::Replaced)]);
    cache.audit().unwrap();
}

#[test]
fn listener_that_always_inserts_does_not_recurse() {
    let depth = Arc::new(AtomicUsize::new(0));
    let deepest = depth.clone();
    let weak = Arc::new(std::sync::OnceLock::<crate::WeakCache<u64, u64>>::new());
    let listener_weak = weak.clone();
    let (_, builder) = manual();
    let cache = builder
        .max_entries(200)
        .on_removal(move |key, _, _| {
            assert_eq!(deepest.fetch_add(1, Ordering::Relaxed), 0, "a listener inside a listener");
            if let Some(cache) = listener_weak.get().and_then(crate::WeakCache::upgrade) {
                if key < 2_000 {
                    cache.insert_for(key + 10_000, 0, Lifetime::default()).unwrap();
                    cache.reap();
                }
            }
            deepest.fetch_sub(1, Ordering::Relaxed);
        })
        .build()
        .unwrap();
    weak.set(cache.downgrade()).unwrap();
    for key in 0..2_000 {
        cache.insert(key, key).unwrap();
    }
    cache.reap();
    assert_eq!(cache.stats().listener_panics, 0);
    cache.audit().unwrap();
}

/// G8, one hold at a time.
#[test]
fn no_hold_of_a_lock_does_more_than_128_entries_work() {
    const MOST: usize = 128;
    let filled = || {
        let (clock, builder) = manual();
        let builder = builder.max_entries(1_000).shards(1).time_to_live(Duration::from_secs(5));
        let cache = builder.build().unwrap();
        for key in 0..1_000 {
            cache.insert(key, key).unwrap();
        }
        (clock, cache)
    };
    let (clock, cache) = filled();
    let (shard, shared) = (&cache.core.shards[0], &cache.core.shared);
    let mut held = Vec::new();
    assert!(shard.hold_bite(shared, 0, &mut held).is_some());
    assert_eq!(held.len(), MOST, "what a walk holds");
    drop(held);
    assert!(!shard.is_released(), "nothing waits for these holds");
    clock.advance(Duration::from_secs(5));
    let visit = shard.visit(shared, NEVER_NS);
    assert!(visit.has_more && visit.reaped == MOST, "{visit:?}");
    assert_eq!(shard.reap(shared, true).0.reaped, MOST);
    assert_eq!(cache.len(), 1_000 - 2 * MOST);
    assert_eq!(shard.drain_bite(shared, Drainer::Last, &|| false), Drained::Some);
    assert_eq!(cache.stats().dropped, MOST as u64, "what a drainer takes");

    let (clock, cache) = filled();
    let (shard, shared) = (&cache.core.shards[0], &cache.core.shared);
    assert!(shard.unlink_bite(shared, 0, RemovalCause::Cleared).0.is_some());
    assert_eq!(cache.len(), 1_000 - MOST, "what clearing takes out");
    // Every record is stale.
    clock.advance(Duration::from_secs(1));
    for key in 0..1_000 {
        assert!(cache.touch(&key) || key < 128);
    }
    let (mut looks, mut room) = (10_000, Room::none(&shared.budget));
    let now_ns = shared.clock.exact_ns();
    let _ = shard.evict((shared, now_ns), (u64::MAX, None), &mut looks, &mut room);
    assert!(looks >= 10_000 - MOST, "an eviction examined {} records", 10_000 - looks);

    let (_, builder) = manual();
    let builder = builder.max_weight(1_000).weigher(|_, &weight| weight).shards(1);
    let cache = builder.build().unwrap();
    (0..1_000).for_each(|key| cache.insert(key, 1).unwrap());
    // Shows how cold all are, and leaves most of them.
    cache.insert(1_000, 2).unwrap();
    let (shard, shared) = (&cache.core.shards[0], &cache.core.shared);
    let before = cache.stats().evicted;
    let (fresh, mut room) = (Fresh::new(1_001, 900, 7, 900), Room::none(&shared.budget));
    let put = shard.put(shared, fresh, cache.core.spans, (Mode::Always, true), &mut room);
    assert!(put.is_err(), "a heavy one takes more than one hold");
    let evicted = cache.stats().evicted - before;
    assert_eq!(evicted, MOST as u64 / 5, "each has four others refiled ahead");
}

/// What insertions put in expires, and they remove nothing: a reaper that falls behind would fall
/// behind for ever.
#[test]
fn insertions_help_where_much_garbage_waits() {
    const DEAD: u64 = 20_000;
    let (clock, builder) = manual();
    let builder = builder.max_entries(1 << 20).shards(1).time_to_live(Duration::from_secs(5));
    let cache = builder.build().unwrap();
    for key in 0..DEAD {
        cache.insert(key, key).unwrap();
    }
    clock.advance(Duration::from_secs(5));
    let (shard, shared) = (&cache.core.shards[0], &cache.core.shared);
    while shard.reap(shared, true).0.has_more {}
    assert_eq!(cache.stats().retired.count, DEAD);
    let insert = || (0..100).for_each(|_| cache.insert(DEAD + cache.len() as u64, 0).unwrap());
    repeat_until(|| cache.stats().retired.count <= MOST_WAITING, insert);
}

/// Else nobody would come for them.
#[test]
fn drainer_that_stops_early_says_that_released_sessions_are_left() {
    const LATER: u64 = 5;
    let cache = with_released(LATER);
    let (shard, shared) = (&cache.core.shards[0], &cache.core.shared);
    let drain = || shard.drain_bite(shared, Drainer::Last, &|| false);
    assert_eq!(shard.drain_bite(shared, Drainer::Caller, &|| true), Drained::Some);
    let dropped = cache.stats().dropped;
    assert!(dropped < LATER && shard.needs_draining(), "{dropped} dropped, the rest forgotten");
    assert_eq!(drain(), Drained::Some);
    assert!(!shard.needs_draining(), "nothing is left");
    assert_eq!(cache.stats().dropped, LATER);
}

/// The drain may be broken off between two bites.
#[test]
fn drainer_of_a_bite_says_that_released_sessions_are_left() {
    const LATER: u64 = 200;
    let cache = with_released(LATER);
    let (shard, shared) = (&cache.core.shards[0], &cache.core.shared);
    let drain = || shard.drain_bite(shared, Drainer::Caller, &|| false);
    assert_eq!((drain(), cache.stats().dropped), (Drained::Some, 128));
    assert!(shard.needs_draining(), "the rest is forgotten");
    assert_eq!((drain(), cache.stats().dropped), (Drained::Some, LATER));
    assert!(!shard.needs_draining(), "nothing is left");
}

/// A cache of one shard where so many sessions of a key have waited behind a hold, which has ended.
fn with_released(sessions: u64) -> Cache<u64, u64> {
    let (_, builder) = manual();
    let cache =
        builder.max_entries(10).shards(1).on_removal(|_, _, _| {}).build().expect("it is sound");
    let (shard, shared) = (&cache.core.shards[0], &cache.core.shared);
    cache.insert(1, 0).expect("it fits");
    let hold = cache.hold_without_use(&1).expect("it is in");
    // Nobody helps.
    let elsewhere = shared.drain_guard();
    (1..=sessions).for_each(|value| cache.insert(1, value).expect("it fits"));
    shard.seal();
    let drain = || shard.drain_bite(shared, Drainer::Last, &|| false);
    while drain() == Drained::Some {}
    assert_eq!(cache.stats().dropped, 0, "all wait behind the hold");
    drop((hold, elsewhere));
    assert!(shard.needs_draining() && cache.stats().dropped == 0);
    cache
}

/// G8: what a table's growth reads, in entries; `SHARD_ENTRIES` has the time that it takes.
#[test]
fn default_shards_are_small_enough_to_grow_quickly() {
    for most in [1, 1_000, 100_000, 1_000_000, 50_000_000] {
        let (_, builder) = manual();
        let cache = builder.max_entries(most).build().unwrap();
        let share = most.div_ceil(cache.core.shards.len());
        assert!(share <= 16_384, "{most} entries make {share} in a shard");
    }
}

/// Eight full batches of one shard, and what a call has not come to.
const MOST_WAITING: u64 = 9 * 128;

/// The reaper may look at a shard while a drainer has its garbage in hand, and puts some of it back.
#[test]
fn what_a_drainer_puts_back_wants_attention() {
    let (_, builder) = manual();
    let slot = Arc::new(std::sync::Mutex::new(None::<Cache<u64, u64>>));
    let listener = {
        let slot = slot.clone();
        move |_, _, _| {
            let Some(cache) = slot.lock().unwrap().clone() else { return };
            let core = &cache.core;
            let _visit = core.shards[0].reap(&core.shared, false);
            assert_ne!(core.shared.bounds.look_ns(0), 0, "nothing waits here");
        }
    };
    let cache = builder.max_entries(9).shards(1).on_removal(listener).build().unwrap();
    let (shard, shared) = (&cache.core.shards[0], &cache.core.shared);
    (0..3).for_each(|key| cache.insert(key, key).unwrap());
    (0..3).for_each(|key| assert!(cache.discard(&key)));
    shard.seal();
    *slot.lock().unwrap() = Some(cache.clone());
    assert_eq!(shard.drain_bite(shared, Drainer::Last, &|| true), Drained::Some);
    slot.lock().unwrap().take();
    assert_eq!((cache.stats().dropped, cache.stats().listener_panics), (1, 0));
    assert_eq!(shared.bounds.look_ns(0), 0, "D1: two are left");
}

/// A helper's time is over, and the reaper may have looked while the helper had the rest in hand.
#[test]
fn what_a_helper_puts_back_is_rung_for() {
    let (_, builder) = manual();
    let builder = builder.on_removal(|_, _, _| std::thread::sleep(Duration::from_millis(2)));
    let cache = builder.max_entries(9).shards(1).build().unwrap();
    (0..3).for_each(|key| cache.insert(key, key).unwrap());
    (0..3).for_each(|key| assert!(cache.discard(&key)));
    let core = &cache.core;
    core.shards[0].seal();
    core.shared.alarm.disarm();
    repeat_until(|| cache.stats().dropped > 0, || core.help([&*core.shards[0]]));
    assert_eq!(cache.stats().dropped, 1, "a call of the listener takes a helper's time");
    assert_ne!(core.shared.alarm.at_ns(), NEVER_NS, "D1: two are left");
}

/// Room is gathered for a session that is to be replaced, and then it is not replaced.
#[test]
fn spared_session_counts_again_for_those_who_evict_after() {
    let (clock, builder) = manual();
    let cache = builder.max_entries(3).shards(1).build().unwrap();
    for key in 0..3 {
        cache.insert(key, key).unwrap();
        clock.advance(Duration::from_millis(1));
    }
    let core = &cache.core;
    let (hash, pin) = (core.hash(&0_u64), pin());
    let coldest = core.shards[0].index().find(&pin, hash.index, |&key| key == 0);
    let record = coldest.expect("it is in").record();
    drop(pin);
    let mut room = Room::none(&core.shared.budget);
    let (mut follow_ups, mut waits) = (super::gather::FollowUps::default(), 0);
    let need = Load { entries: 1, weight: 0 };
    let gathered = core.gather(&mut room, need, Some((0, record)), (&mut follow_ups, &mut waits));
    assert_eq!(gathered, super::gather::Gathered::Room);
    core.attend_to(follow_ups);
    assert!(cache.contains_key(&0) && !cache.contains_key(&1), "the coldest but for the one");
    drop(room);
    cache.audit().unwrap();
}

/// Of those behind a held session its end frees a bite, and the reaper the others, who has nothing
/// else to do there.
#[test]
fn end_of_a_hold_is_found_in_a_shard_that_wants_nothing_else() {
    let (clock, builder) = manual();
    let cache = builder.max_entries(9).shards(1).on_removal(|_, _, _| ()).build().unwrap();
    let round = std::cell::RefCell::new(Round::through(1));
    let pass = || {
        clock.advance(Duration::from_secs(1));
        cache.core.reaper_pass(&mut round.borrow_mut());
    };
    cache.insert(1, 0).unwrap();
    cache.read(&1, |_| {
        for number in 1..=1_000 {
            cache.insert(1, number).unwrap();
        }
        // All wait for the hold, and the reaper knows of nothing to do.
        repeat_until(|| cache.core.shared.bounds.look_ns(0) == NEVER_NS, pass);
    });
    assert!(cache.stats().retired.count > 0, "the hold frees no more than a bite");
    repeat_until(|| cache.stats().retired.count == 0, pass);
}

/// A caller's listener is stuck: the reaper comes again when it is back, and not every millisecond.
#[test]
fn reaper_does_not_poll_for_a_drainer() {
    let (clock, builder) = manual();
    let (is_inside, may_end) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let waits = (is_inside.clone(), may_end.clone());
    let listener = move |key, _, _| {
        if key == 0 {
            waits.0.wait();
            waits.1.wait();
        }
    };
    let cache = builder.max_entries(9).shards(1).on_removal(listener).build().unwrap();
    cache.insert(0, 0).unwrap();
    assert!(cache.discard(&0));
    let (core, mut round) = (&cache.core, Round::through(1));
    core.shards[0].seal();
    std::thread::scope(|scope| {
        let helper = scope.spawn(|| {
            repeat_until(|| cache.stats().dropped > 0, || core.help([&*core.shards[0]]));
        });
        is_inside.wait();
        cache.insert(1, 1).unwrap();
        assert!(cache.discard(&1));
        clock.advance(Duration::from_secs(1));
        core.reaper_pass(&mut round);
        assert!(!round.is_clean(), "B2: there is garbage");
        assert_eq!(core.shared.alarm.at_ns(), NEVER_NS, "D2: there is nothing to do here");
        may_end.wait();
        helper.join().unwrap();
    });
    assert_ne!(core.shared.alarm.at_ns(), NEVER_NS, "D2: the token is back");
    repeat_until(|| cache.stats().dropped == 2, || core.reaper_pass(&mut round));
}
