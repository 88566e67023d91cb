//! Models of whole caches that are full: room that is fought over goes to one, and what is due goes
//! before what lives.

use std::time::Duration;

use crate::cache::loom_tests::{LONG, Sessions, TICK, builder, insert};
use crate::lifetime::Lifetime;
use crate::platform::clock::{ManualClock, NEVER_NS};
use crate::platform::loom_tests::Depth::{Complete, Preemptions};
use crate::platform::loom_tests::{Canary, Seen, check, race};
use crate::platform::sync::{Arc, Ordering};
use crate::reaper::Reaper;
use crate::removal::{OnFull, RemovalCause};

/// A key in another shard than `key`'s.
fn other_shard(cache: &Sessions, key: u32) -> u32 {
    let shard = |key: u32| cache.core.hash(&key).shard & 1;
    (key + 1..).find(|&other| shard(other) != shard(key)).expect("there are two shards")
}

/// Two insertions in two shards, one place.
fn fight_for_room(on_full: OnFull) {
    let seen = Seen::new(["the one stays", "the other stays"]);
    let notes = seen.clone();
    check(Preemptions(3), Complete, move || {
        let clock = ManualClock::new();
        let (told, builder) = builder(&clock);
        let builder = builder.shards(2).max_entries(1).on_full(on_full).reaper(Reaper::Manual);
        let cache = builder.build().expect("it is sound");
        let (own, other) = (1, other_shard(&cache, 1));
        let handle = cache.clone();
        let insert = |cache: &Sessions, key| {
            let is_in = cache.insert(key, Canary::new(key)).is_ok();
            assert!(cache.len() <= 1, "U1: the cap is one");
            is_in
        };
        let (one, [two]) = race(|| insert(&cache, own), [Box::new(move || insert(&handle, other))]);
        match on_full {
            OnFull::Evict => assert!(one && two, "there is always somebody to evict"),
            _ => assert!(one != two, "exactly one finds the room"),
        }
        let stays = [own, other].map(|key| cache.contains_key(&key));
        assert!(stays[0] != stays[1], "the cap is one");
        notes.note(usize::from(stays[1]));
        drop(cache);
        let evicted = told.events().iter().filter(|event| event.1 == RemovalCause::Evicted).count();
        assert_eq!(evicted, usize::from(one && two));
    });
    seen.assert_all();
}

#[test]
fn loom_two_insertions_for_one_place_evict_one() {
    fight_for_room(OnFull::Evict);
}

#[test]
fn loom_two_insertions_for_one_place_reject_one() {
    fight_for_room(OnFull::Reject);
}

/// One place, whose session is due; the reaper and an insertion into another shard go for it.
#[test]
fn loom_nobody_is_refused_for_what_the_reaper_takes_away() {
    let seen = Seen::new(["the reaper was faster", "the insertion was faster"]);
    let notes = seen.clone();
    check(Preemptions(3), Complete, move || {
        let clock = ManualClock::new();
        let (told, builder) = builder(&clock);
        let builder = builder.shards(2).max_entries(1).on_full(OnFull::Reject);
        let cache = builder.reaper(Reaper::Manual).build().expect("it is sound");
        insert(&cache, 1, TICK);
        clock.advance(2 * TICK);
        let (other, handle) = (other_shard(&cache, 1), cache.clone());
        let put = move || handle.insert(other, Canary::new(other)).is_ok();
        let (reaped, [is_in]) = race(|| cache.reap(), [Box::new(put)]);
        assert!(is_in, "refused with one session due");
        notes.note(1 - reaped);
        drop(cache);
        assert_eq!(told.events().len(), 2);
    });
    seen.assert_all();
}

/// A deadline is moved ahead while somebody looks for what is due and finds nothing: the next one
/// who looks, when it is due, must not rely on that.
#[test]
fn loom_what_was_due_for_nobody_is_looked_for_again_when_a_deadline_moves() {
    let seen = Seen::new(["it was moved first", "somebody looked first"]);
    let notes = seen.clone();
    check(Preemptions(3), Complete, move || {
        let clock = ManualClock::new();
        let (told, builder) = builder(&clock);
        let builder = builder.shards(2).max_entries(2).reaper(Reaper::Manual);
        let cache = builder.build().expect("it is sound");
        let other = other_shard(&cache, 1);
        insert(&cache, other, LONG);
        clock.advance(TICK);
        insert(&cache, 1, LONG);
        let handle = cache.clone();
        // Only to tell who came first: loom does not see it.
        let is_moved = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let was_moved = is_moved.clone();
        let shorten = move || {
            assert!(handle.set_lifetime(&1, Lifetime::default().live(2 * TICK)));
            was_moved.store(true, Ordering::SeqCst);
        };
        let evict = || {
            insert(&cache, other + 2, LONG);
            is_moved.load(Ordering::SeqCst)
        };
        let (is_moved, [()]) = race(evict, [Box::new(shorten)]);
        assert!(!cache.contains_key(&other), "the coldest goes");
        clock.advance(TICK);
        assert!(cache.touch(&1), "it is due a tick later");
        clock.advance(TICK);
        // There is somebody who is colder than the one who is due.
        insert(&cache, other, LONG);
        assert!(!cache.contains_key(&1) && cache.contains_key(&other), "one for one");
        assert!(cache.contains_key(&(other + 2)), "evicted in place of what was due");
        notes.note(usize::from(!is_moved));
        drop(cache);
        assert!(told.events().contains(&(1, RemovalCause::Expired)), "what is due goes first");
    });
    seen.assert_all();
}

/// A light and a heavy session are put in while one is due whose room is enough for the light one. The
/// reaper takes it away, and the heavy one, whose coldest makes room for all of it, leaves that alone.
#[test]
fn loom_nobody_is_evicted_while_the_room_of_what_was_due_is_free() {
    let seen = Seen::new(["the heavy one came first", "the light one came first"]);
    let notes = seen.clone();
    check(Preemptions(1), Preemptions(2), move || {
        let clock = ManualClock::new();
        let (told, builder) = builder(&clock);
        let weigher = |_: &u32, value: &Canary| u64::from(value.name() / 100);
        let builder = builder.shards(2).max_weight(8).weigher(weigher).reaper(Reaper::Manual);
        let cache = builder.build().expect("it is sound");
        let [[warm, last, light, _], [first, coldest, due, heavy]] = [0, 1].map(|shard| {
            let mut keys = (1..100).filter(|key| cache.core.hash(key).shard & 1 == shard);
            core::array::from_fn(|_| keys.next().expect("there are enough"))
        });
        put(&cache, first, 1, LONG);
        put(&cache, coldest, 5, LONG);
        clock.advance(TICK);
        put(&cache, warm, 1, LONG);
        put(&cache, due, 1, TICK);
        // In place of the first one; so it is known how cold the shards are, and who is due when.
        put(&cache, last, 1, LONG);
        assert!(!cache.contains_key(&first) && cache.len() == 4);
        clock.advance(2 * TICK);
        // Only to tell who came first: loom does not see it.
        let is_heavy_in = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (was_heavy_in, handle) = (is_heavy_in.clone(), cache.clone());
        let visit_and_put_heavy = move || {
            // As the reaper does. It frees nothing yet: its pins would order more than is promised.
            let core = &*handle.core;
            let _visit = core.shards[1].visit(&core.shared, NEVER_NS);
            put(&handle, heavy, 5, LONG);
            was_heavy_in.store(true, Ordering::SeqCst);
            true
        };
        let handle = cache.clone();
        let put_light = move || {
            put(&handle, light, 1, LONG);
            is_heavy_in.load(Ordering::SeqCst)
        };
        // On threads of their own: loom shows nobody an old value that he has seen before a wait.
        let ((), [_, is_second]) =
            race(|| (), [Box::new(visit_and_put_heavy), Box::new(put_light)]);
        notes.note(usize::from(!is_second));
        let (is_warm_in, weight) = (cache.contains_key(&warm), cache.weight());
        drop(cache);
        let events = told.events();
        assert!(is_warm_in, "evicted while there was room: {weight} of 8 in, {events:?}");
    });
    seen.assert_all();
}

fn put(cache: &Sessions, key: u32, weight: u32, live: Duration) {
    let value = Canary::new(100 * weight + key);
    assert!(cache.insert_for(key, value, Lifetime::default().live(live)).is_ok());
}
