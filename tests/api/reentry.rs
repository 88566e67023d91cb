//! Listeners, closures, weighers and destructors that call the cache back.

use crate::stage::{Stage, live, ms, reap};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use sundown::{Cache, ManualClock, Reaper, RemovalCause, WeakCache};

type Slot<K, V> = Arc<OnceLock<WeakCache<K, V>>>;

/// What user code calls back through; empty until the cache is built.
fn back<K, V>(slot: &Slot<K, V>) -> Option<Cache<K, V>> {
    slot.get().and_then(WeakCache::upgrade)
}

/// A cache of four places whose listener calls `react` with the cache itself.
fn listening(
    clock: &ManualClock,
    react: impl Fn(&Cache<u32, u32>, u32, u32, RemovalCause) + Send + Sync + 'static,
) -> Cache<u32, u32> {
    let slot: Slot<u32, u32> = Slot::default();
    let seen = Arc::clone(&slot);
    let cache = Cache::builder()
        .max_entries(4)
        .shards(1)
        .reaper(Reaper::Manual)
        .clock(clock.clone())
        .on_removal(move |key, value, cause| {
            if let Some(cache) = back(&seen) {
                react(&cache, key, value, cause);
            }
        })
        .build()
        .expect("it builds");
    slot.set(cache.downgrade()).expect("it is set once");
    cache
}

#[test]
fn a_listener_may_use_every_call() {
    let (clock, calls) = (ManualClock::new(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&calls);
    let cache = listening(&clock, move |cache, key, value, _| {
        counted.fetch_add(1, Ordering::Relaxed);
        let _ = (cache.get(&key), cache.peek(&1), cache.read(&2, |_| ()), cache.touch(&3));
        let _ = (cache.contains_key(&key), cache.expires_in(&key), cache.set_lifetime(&1, live(5)));
        let _ = (cache.len(), cache.weight(), cache.stats(), cache.reap());
        cache.audit().expect("the cache is whole inside a listener");
        cache.for_each(|_, _| ());
        if value < 3 {
            cache.insert(key, value + 1).expect("somebody is evicted");
            let _ = cache.update(&key, |value| value + 1);
            let _ = (cache.remove(&7), cache.discard(&8), cache.remove_if(&9, |_, _| true));
            cache.retain(|&kept, _| kept != key);
            cache.clear();
        }
    });
    for key in 0..10 {
        cache.insert(key, 0).expect("somebody is evicted");
        clock.advance(ms(1));
        reap(&cache);
    }
    let stats = cache.stats();
    assert_eq!(stats.dropped, calls.load(Ordering::Relaxed) as u64);
    assert!(stats.dropped > 10);
}

/// moka 298: a listener that put an expired session back was a deadlock.
#[test]
fn a_listener_may_put_an_expired_session_back() {
    let clock = ManualClock::new();
    let cache = listening(&clock, |cache, key, value, cause| {
        if cause == RemovalCause::Expired && value < 5 {
            cache.insert_for(key, value + 1, live(10)).expect("it fits");
        }
    });
    cache.insert_for(1, 0, live(10)).expect("it fits");
    for value in 0..=5 {
        assert_eq!(cache.get(&1), Some(value));
        clock.advance(ms(10));
        assert_eq!(reap(&cache), 1);
    }
    assert_eq!((cache.get(&1), cache.stats().expired), (None, 6));
}

/// A listener that inserts queues instead of recursing: ten thousand links would break any stack.
#[test]
fn a_chain_of_evictions_does_not_recurse() {
    const LINKS: u32 = 10_000;
    let (clock, next_key, depth) = (ManualClock::new(), AtomicU32::new(5), AtomicUsize::new(0));
    let deepest = Arc::new(AtomicUsize::new(0));
    let recorded = Arc::clone(&deepest);
    let cache = listening(&clock, move |cache, _, _, _| {
        recorded.fetch_max(depth.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        let key = next_key.fetch_add(1, Ordering::Relaxed);
        if key < LINKS {
            cache.insert(key, 0).expect("somebody is evicted");
            cache.reap();
        }
        depth.fetch_sub(1, Ordering::Relaxed);
    });
    for key in 0..5 {
        cache.insert(key, 0).expect("somebody is evicted");
    }
    for _ in 0..LINKS {
        reap(&cache);
    }
    assert_eq!((cache.stats().inserted, cache.len()), (u64::from(LINKS), 4));
    assert_eq!(deepest.load(Ordering::Relaxed), 1, "a shard has one drainer, and it is busy");
}

/// dashmap 74 and 233: whoever holds a reference into the map and writes to it waits for ever.
#[test]
fn a_reader_may_remove_what_it_reads() {
    let cache: Cache<u32, String> =
        Cache::builder().max_entries(4).reaper(Reaper::Manual).build().expect("it builds");
    let endings: [fn(&Cache<u32, String>); 5] = [
        |cache| assert!(cache.discard(&1)),
        |cache| cache.insert(1, "another".to_owned()).expect("it fits"),
        |cache| assert!(matches!(cache.update(&1, |_| "another".to_owned()), Ok(true))),
        |cache| cache.clear(),
        |cache| {
            for key in 10..20 {
                cache.insert(key, String::new()).expect("somebody is evicted");
            }
        },
    ];
    for end in endings {
        cache.insert(1, "the one that is read".to_owned()).expect("it fits");
        let read = cache.read(&1, |value| {
            end(&cache);
            for _ in 0..10 {
                cache.reap();
            }
            value.clone()
        });
        assert_eq!(read.as_deref(), Some("the one that is read"), "a held session stays whole");
        cache.clear();
        reap(&cache);
    }
    let stats = cache.stats();
    assert_eq!((stats.entries, stats.dropped), (0, stats.inserted));
}

#[test]
fn a_reader_may_close_the_cache() {
    let stage = Stage::plain();
    stage.put("a", 1);
    let read = stage.cache.read("a", |&value| {
        stage.cache.close();
        value
    });
    assert_eq!(read, Some(1));
    assert_eq!(stage.events(), [("a", 1, RemovalCause::Closed)]);
}

#[test]
fn reads_nest_in_the_same_session() {
    let stage = Stage::plain();
    stage.put("a", 1);
    let nested = stage
        .cache
        .read("a", |outer| stage.cache.read("a", |inner| (*outer, *inner, stage.cache.get("a"))));
    assert_eq!(nested, Some(Some((1, 1, Some(1)))));
}

#[test]
fn walks_may_change_what_they_walk() {
    let stage = Stage::plain();
    for (key, value) in [("a", 1), ("b", 2), ("c", 3)] {
        stage.put(key, value);
    }
    let removed = stage.cache.retain(|&key, _| {
        stage.cache.discard("c");
        stage.put("new", 4);
        stage.cache.retain(|&inner, _| inner != "b");
        key == "a" || key == "new"
    });
    assert!(removed <= 2, "b and c may have gone before their turn");
    let mut seen = Vec::new();
    stage.cache.for_each(|&key, _| {
        seen.push(key);
        stage.cache.for_each(|_, _| ());
        stage.cache.discard(key);
    });
    seen.sort_unstable();
    assert_eq!(seen, ["a", "new"]);
    assert!(stage.cache.is_empty());
    stage.events();
}

/// caffeine 712, 960 and 1489: a computation that used the cache was a deadlock.
#[test]
fn an_updater_may_use_the_cache() {
    let stage = Stage::new(|builder| builder.max_entries(2));
    stage.put("a", 1);
    let updated = stage.cache.update("a", |old| {
        stage.put("b", 5);
        let others = stage.cache.get("b").unwrap_or(0);
        let nested = stage.cache.update("b", |other| other + 1);
        assert!(matches!(nested, Ok(true)));
        stage.cache.reap();
        old + others
    });
    assert!(matches!(updated, Ok(true)));
    assert_eq!((stage.cache.get("a"), stage.cache.get("b")), (Some(6), Some(6)));
}

#[test]
fn a_weigher_may_look_into_the_cache() {
    let slot: Slot<u32, u32> = Slot::default();
    let seen = Arc::clone(&slot);
    let cache = Cache::builder()
        .max_weight(100)
        .reaper(Reaper::Manual)
        .weigher(move |&key, &value| match back(&seen) {
            Some(cache) => u64::from(cache.peek(&key).unwrap_or(0) + value),
            None => 1,
        })
        .build()
        .expect("it builds");
    slot.set(cache.downgrade()).expect("it is set once");
    for round in 0..10 {
        cache.insert(round % 2, 1).expect("it fits");
    }
    assert_eq!(cache.weight(), 4);
}

/// Calls the cache back when it is cloned and when it is dropped.
struct Caller {
    slot: Slot<u32, Caller>,
    log: Arc<Mutex<Vec<&'static str>>>,
    is_original: bool,
}

impl Caller {
    fn call(&self, what: &'static str) {
        self.log.lock().expect("nobody panics here").push(what);
        if let Some(cache) = back(&self.slot) {
            cache.contains_key(&1);
            cache.discard(&2);
            cache.reap();
            let _ = cache.stats();
        }
    }
}

impl Clone for Caller {
    fn clone(&self) -> Self {
        self.call("clone");
        Self { slot: Arc::clone(&self.slot), log: Arc::clone(&self.log), is_original: false }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        if self.is_original {
            self.call("drop");
        }
    }
}

#[test]
fn clones_and_destructors_may_use_the_cache() {
    let (slot, log) = (Slot::default(), Arc::default());
    let cache = Cache::builder().max_entries(4).reaper(Reaper::Manual).build().expect("it builds");
    assert!(slot.set(cache.downgrade()).is_ok());
    for key in [1, 2, 1, 3] {
        let caller = Caller { slot: Arc::clone(&slot), log: Arc::clone(&log), is_original: true };
        assert!(cache.insert(key, caller).is_ok());
    }
    drop(cache.get(&1));
    drop(cache.remove(&1));
    reap(&cache);
    assert_eq!(cache.len(), 1, "1 was removed, and a clone removed 2");
    cache.clear();
    reap(&cache);
    drop(cache);
    let log = log.lock().expect("nobody panics here");
    assert_eq!(log.iter().filter(|&&what| what == "drop").count(), 4);
    assert!(log.iter().filter(|&&what| what == "clone").count() >= 2);
}
