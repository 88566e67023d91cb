//! Models of whole caches with their reaper's thread: nothing is slept through, the last handle
//! takes everything along.

use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::Mutex as Plain;
use std::time::Duration;

use super::*;
use crate::lifetime::Lifetime;
use crate::platform::clock::ManualClock;
use crate::platform::loom_tests::Depth::{Complete, Preemptions};
use crate::platform::loom_tests::{Canary, Seen, check, explore, race, race_and};
use crate::platform::sync::thread;
use crate::reaper::Reaper;
use crate::removal::RemovalCause;

/// Executions must repeat: no hasher that is keyed at random.
pub(super) type Hasher = BuildHasherDefault<DefaultHasher>;
pub(super) type Sessions = Cache<u32, Canary, Hasher>;

/// What the listener was told, in order, and who waits for it.
#[derive(Default)]
pub(super) struct Told {
    events: Plain<Vec<(u32, RemovalCause)>>,
    waiter: Plain<Option<thread::Thread>>,
}

impl Told {
    fn tell(&self, value: &Canary, cause: RemovalCause) {
        // The standard library's locks, which are free: nobody is preempted inside.
        self.events.lock().expect("nobody panics").push((value.name(), cause));
        let waiter = self.waiter.lock().expect("nobody panics").clone();
        if let Some(waiter) = waiter {
            waiter.unpark();
        }
    }

    pub(super) fn events(&self) -> Vec<(u32, RemovalCause)> {
        self.events.lock().expect("nobody panics").clone()
    }

    fn len(&self) -> usize {
        self.events().len()
    }

    /// Sleeps until so many sessions have left; what never comes is a deadlock, which loom reports.
    fn wait_for(&self, events: usize) {
        *self.waiter.lock().expect("nobody panics") = Some(thread::current());
        while self.len() < events {
            thread::park();
        }
        // loom cannot bear it if somebody is woken who waits for a thread to end.
        *self.waiter.lock().expect("nobody panics") = None;
    }
}

pub(super) fn builder(clock: &ManualClock) -> (Arc<Told>, Builder<u32, Canary, Hasher>) {
    let told = Arc::<Told>::default();
    let listener = {
        let told = told.clone();
        move |_, value: Canary, cause| told.tell(&value, cause)
    };
    let builder = Cache::<u32, Canary>::builder().hasher(Hasher::default()).shards(1);
    (told, builder.clock(clock.clone()).resolution(TICK).on_removal(listener))
}

/// A cache with a reaper that has worked, and sleeps.
fn reaped_cache(clock: &ManualClock) -> (Arc<Told>, Sessions) {
    let (told, builder) = builder(clock);
    let cache = builder.max_entries(4).reaper(Reaper::Thread).build().expect("it is sound");
    insert(&cache, 0, TICK);
    clock.advance(2 * TICK);
    told.wait_for(1);
    assert_eq!(told.events(), [(0, RemovalCause::Expired)]);
    told.events.lock().expect("nobody panics").clear();
    thread::yield_now();
    (told, cache)
}

pub(super) fn insert(cache: &Sessions, key: u32, live: Duration) {
    let put = cache.insert_for(key, Canary::new(key), Lifetime::default().live(live));
    assert!(put.is_ok(), "there is room");
}

pub(super) const TICK: Duration = Duration::from_millis(10);
pub(super) const LONG: Duration = Duration::from_secs(10);

#[test]
fn loom_deadline_filed_while_the_reaper_sleeps_or_works_is_not_slept_through() {
    let seen = Seen::new(["reaped in one pass", "reaped in two"]);
    let notes = seen.clone();
    check(Preemptions(3), Complete, move || {
        let clock = ManualClock::new();
        let (told, cache) = reaped_cache(&clock);
        insert(&cache, 1, 3 * TICK);
        thread::yield_now();
        let before = cache.stats().reaper_wakeups;
        let insert = || {
            // Wakes the reaper for the one...
            clock.advance(4 * TICK);
            // ...and while it works, the other one is filed, for an earlier time than any.
            insert(&cache, 2, TICK);
            clock.advance(2 * TICK);
            told.wait_for(2);
        };
        explore(insert);
        let passes = cache.stats().reaper_wakeups - before;
        notes.note(usize::from(passes > 1));
        drop(cache);
        let causes = told.events();
        assert_eq!(causes, [(1, RemovalCause::Expired), (2, RemovalCause::Expired)]);
    });
    seen.assert_all();
}

#[test]
fn loom_last_handle_dropped_while_the_reaper_sleeps_or_works_takes_everything_along() {
    let seen = Seen::new(["the reaper saw that it is over", "it made its pass first"]);
    let notes = seen.clone();
    check(Preemptions(3), Complete, move || {
        let clock = ManualClock::new();
        let (told, cache) = reaped_cache(&clock);
        insert(&cache, 1, TICK);
        insert(&cache, 2, LONG);
        thread::yield_now();
        let core = cache.core.clone();
        let before = core.wakeups.load(Ordering::Relaxed);
        let end = || {
            clock.advance(2 * TICK);
            drop(cache);
            // Not a moment later.
            assert_eq!(told.len(), 2, "the drop returned before the destructors");
        };
        explore(end);
        assert_eq!(told.events(), [(1, RemovalCause::Expired), (2, RemovalCause::Closed)]);
        let passes = core.wakeups.load(Ordering::Relaxed) - before;
        notes.note(usize::from(passes > 0));
    });
    seen.assert_all();
}

#[test]
fn loom_last_handle_dropped_against_reap_by_hand() {
    let seen = Seen::new(["the reaping handle went last", "it went first"]);
    let notes = seen.clone();
    check(Preemptions(3), Complete, move || {
        let clock = ManualClock::new();
        let (told, builder) = builder(&clock);
        let cache = builder.max_entries(4).reaper(Reaper::Manual).build().expect("it is sound");
        insert(&cache, 1, TICK);
        insert(&cache, 2, LONG);
        clock.advance(2 * TICK);
        let core = cache.core.clone();
        let other = cache.clone();
        let end = move || {
            assert_eq!(cache.reap(), 1, "whoever has a handle finds it open");
            drop(cache);
        };
        let (_, [is_last]) = race(
            end,
            [Box::new(move || {
                let is_last = other.core.handles.load(Ordering::Relaxed) == 1;
                drop(other);
                is_last
            })],
        );
        notes.note(usize::from(is_last));
        let mut events = told.events();
        events.sort_unstable_by_key(|&(name, _)| name);
        assert_eq!(events, [(1, RemovalCause::Expired), (2, RemovalCause::Closed)]);
        drop(core);
    });
    seen.assert_all();
}

/// The listener has a handle of its own, and drops it.
#[test]
fn loom_last_handle_dropped_by_a_listener_on_the_reapers_thread() {
    let seen = Seen::new(["the listener's was the last", "it was not"]);
    let notes = seen.clone();
    check(Preemptions(3), Complete, move || {
        let clock = ManualClock::new();
        let told = Arc::<Told>::default();
        let slot = Arc::new(Plain::new(None::<Sessions>));
        let was_last = Arc::new(Plain::new(false));
        let listener = {
            let (told, slot, was_last) = (told.clone(), slot.clone(), was_last.clone());
            move |_, value: Canary, cause| {
                let handle = slot.lock().expect("nobody panics").take();
                if let Some(handle) = handle {
                    let handles = handle.core.handles.load(Ordering::Relaxed);
                    *was_last.lock().expect("nobody panics") = handles == 1;
                    drop(handle);
                }
                told.tell(&value, cause);
            }
        };
        let builder = Cache::<u32, Canary>::builder().hasher(Hasher::default()).shards(1);
        let builder = builder.clock(clock.clone()).resolution(TICK).on_removal(listener);
        let cache = builder.max_entries(4).reaper(Reaper::Thread).build().expect("it is sound");
        *slot.lock().expect("nobody panics") = Some(cache.clone());
        insert(&cache, 1, TICK);
        insert(&cache, 2, LONG);
        let weak = cache.downgrade();
        thread::yield_now();
        let end = || {
            clock.advance(2 * TICK);
            drop(cache);
            told.wait_for(2);
        };
        explore(end);
        notes.note(usize::from(!*was_last.lock().expect("nobody panics")));
        assert_eq!(told.events(), [(1, RemovalCause::Expired), (2, RemovalCause::Closed)]);
        // The reaper, whom nobody has joined, ends before the scene does.
        while weak.core.strong_count() > 0 {
            thread::yield_now();
        }
    });
    seen.assert_all();
}

/// More often than the reaper can be in its own way, and fewer than make a tick: what nobody rang
/// for does not come by itself.
const MOST_RETRIES: usize = 8;

/// A closure ends while its session is removed and the reaper looks at it: whoever frees it, it is
/// freed.
#[test]
fn loom_closure_ends_while_its_session_is_removed_and_the_reaper_comes() {
    let seen = Seen::new(["shown", "not shown"]);
    let notes = seen.clone();
    check(Preemptions(2), Preemptions(3), move || {
        let clock = ManualClock::new();
        let (told, cache) = reaped_cache(&clock);
        insert(&cache, 1, LONG);
        let other = cache.clone();
        let remove = {
            let clock = clock.clone();
            move || {
                assert!(other.discard(&1));
                clock.advance(TICK);
            }
        };
        let read = || cache.read(&1, Canary::name);
        let settle = || {
            // The reaper tries again after a millisecond where a reader was in its way.
            for _ in 0..MOST_RETRIES {
                clock.advance(TICK / 10);
                thread::yield_now();
            }
        };
        let (shown, [()]) = race_and(read, [Box::new(remove)], settle);
        assert!(matches!(shown, None | Some(1)));
        notes.note(usize::from(shown.is_none()));
        assert_eq!(told.events(), [(1, RemovalCause::Removed)], "left behind");
        drop(cache);
    });
    seen.assert_all();
}
