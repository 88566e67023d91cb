//! User code that panics at every turn. The cache stays whole, and every value is dropped once.
//!
//! All panics here are `resume_unwind`: they unwind like any other and print nothing.

use crate::stage::{live, ms, reap};
use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use sundown::{Cache, Lifetime, ManualClock, OnFull, Reaper};

thread_local! {
    /// How many calls of user code are left before one panics; 0 is never.
    static FUSE: Cell<u64> = const { Cell::new(0) };
}

/// Called first thing by all user code here.
fn burn() {
    let left = FUSE.get();
    FUSE.set(left.saturating_sub(1));
    if left == 1 {
        resume_unwind(Box::new("planted"));
    }
}

#[derive(Debug)]
struct Key(u32);

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        burn();
        self.0 == other.0
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        burn();
        self.0.hash(state);
    }
}

impl Clone for Key {
    fn clone(&self) -> Self {
        burn();
        Self(self.0)
    }
}

struct Value(u64, Arc<()>);

impl Clone for Value {
    fn clone(&self) -> Self {
        burn();
        Self(self.0, Arc::clone(&self.1))
    }
}

type Touchy = Cache<Key, Value>;

fn touchy(clock: &ManualClock, on_full: OnFull) -> Touchy {
    Cache::builder()
        .max_weight(12)
        .max_entries(6)
        .shards(1)
        .on_full(on_full)
        .reaper(Reaper::Manual)
        .clock(clock.clone())
        .weigher(|_, value: &Value| {
            burn();
            value.0
        })
        .on_removal(|_, _, _| burn())
        .build()
        .expect("it builds")
}

const TURNS: u32 = 19;

/// One call of each kind, in an order that inserts, replaces, evicts, grows and reaps.
fn call(turn: u32, cache: &Touchy, clock: &ManualClock, token: &Arc<()>) {
    let value = |weight| Value(weight, Arc::clone(token));
    let refused = match turn {
        0 => (0..3).find_map(|key| cache.insert(Key(key), value(1)).err()),
        1 => cache.insert(Key(1), value(3)).err(),
        2 => cache.insert_for(Key(3), value(2), live(5)).err(),
        3 => cache.insert_if_absent(Key(0), value(4), Lifetime::default()).err(),
        4 => cache.replace(Key(2), value(6), Lifetime::default()).err(),
        5 => cache.insert(Key(9), value(9)).err(),
        6 => {
            let heavier = |old: &Value| {
                burn();
                Value(old.0 + 1, Arc::clone(&old.1))
            };
            cache.update(&Key(9), heavier).err()
        }
        _ => {
            call_without_insertion(turn, cache, clock);
            None
        }
    };
    drop(refused);
}

fn call_without_insertion(turn: u32, cache: &Touchy, clock: &ManualClock) {
    let judge = |key: &Key, _: &Value| {
        burn();
        key.0 != 2
    };
    let _ = match turn {
        7 => cache.get(&Key(9)).is_some(),
        8 => cache.read(&Key(2), |_| burn()).is_some(),
        9 => cache.peek(&Key(2)).is_some(),
        10 => cache.contains_key(&Key(2)),
        11 => cache.touch(&Key(0)),
        12 => cache.set_lifetime(&Key(1), live(50)),
        13 => cache.expires_in(&Key(9)).is_some(),
        14 => cache.remove_if(&Key(0), judge),
        15 => cache.retain(judge) > 0,
        16 => cache.remove(&Key(9)).is_some(),
        17 => {
            clock.advance(ms(60));
            cache.reap() > 0
        }
        _ => {
            cache.for_each(|_, _| burn());
            cache.clear();
            true
        }
    };
}

/// Plants a panic in the `fuse`-th call of user code; says whether so many calls were made.
fn is_survived(fuse: u64, on_full: OnFull) -> bool {
    let (clock, token) = (ManualClock::new(), Arc::new(()));
    let cache = touchy(&clock, on_full);
    FUSE.set(fuse);
    for turn in 0..TURNS {
        clock.advance(ms(1));
        let _ = catch_unwind(AssertUnwindSafe(|| call(turn, &cache, &clock, &token)));
        if let Err(error) = cache.audit() {
            panic!("user call {fuse} panicked; after turn {turn} it is broken: {error}");
        }
    }
    let is_reached = FUSE.replace(0) == 0;
    cache.clear();
    for key in 0..20 {
        let refused = cache.insert(Key(key), Value(1, Arc::clone(&token))).is_err();
        assert_eq!(refused, on_full == OnFull::Reject && key >= 6, "panic in user call {fuse}");
    }
    reap(&cache);
    let stats = cache.stats();
    assert_eq!(stats.inserted, stats.entries as u64 + stats.dropped, "panic in user call {fuse}");
    assert!(stats.entries <= 6 && stats.weight <= 12);
    assert_eq!(Arc::strong_count(&token) - 1, stats.entries);
    drop(cache);
    assert_eq!(Arc::strong_count(&token), 1, "panic in user call {fuse}");
    is_reached
}

#[test]
fn a_panic_in_any_call_of_user_code_leaves_the_cache_whole() {
    for on_full in [OnFull::Evict, OnFull::Reject] {
        let reached = (1..).take_while(|&fuse| is_survived(fuse, on_full)).count();
        assert!(reached > 30, "user code was called only {reached} times");
    }
}

#[test]
fn a_listener_that_panics_hears_of_every_session_still() {
    let heard = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&heard);
    let cache: Cache<u32, u32> = Cache::builder()
        .max_entries(1_000)
        .reaper(Reaper::Manual)
        .on_removal(move |_, _, _| {
            if counted.fetch_add(1, Ordering::Relaxed) % 7 == 0 {
                resume_unwind(Box::new("planted"));
            }
        })
        .build()
        .expect("it builds");
    for key in 0..1_000 {
        cache.insert(key, key).expect("it fits");
    }
    cache.retain(|key, _| key % 2 == 0);
    reap(&cache);
    assert_eq!(heard.load(Ordering::Relaxed), 500);
    cache.close();
    assert_eq!(heard.load(Ordering::Relaxed), 1_000);
    let stats = cache.stats();
    assert_eq!((stats.listener_panics, stats.dropped), (1_000_u64.div_ceil(7), 1_000));
}

/// Panics when dropped, unless somebody is panicking already: that would abort the process.
struct Bomb(Arc<AtomicU64>);

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        if !std::thread::panicking() {
            resume_unwind(Box::new("planted"));
        }
    }
}

#[test]
fn a_destructor_that_panics_is_counted_and_spares_its_neighbours() {
    let (went_off, token) = (Arc::new(AtomicU64::new(0)), Arc::new(()));
    let cache: Cache<u32, (Option<Bomb>, Arc<()>)> =
        Cache::builder().max_entries(100).reaper(Reaper::Manual).build().expect("it builds");
    for key in 0..100 {
        let bomb = (key % 10 == 0).then(|| Bomb(Arc::clone(&went_off)));
        cache.insert(key, (bomb, Arc::clone(&token))).expect("it fits");
    }
    cache.retain(|key, _| key % 20 != 0);
    reap(&cache);
    let stats = cache.stats();
    assert_eq!((stats.drop_panics, stats.dropped, stats.entries), (5, 5, 95));
    let result = catch_unwind(AssertUnwindSafe(|| drop(cache)));
    assert!(result.is_ok(), "no panic of a destructor leaves the cache's own drop");
    assert_eq!((went_off.load(Ordering::Relaxed), Arc::strong_count(&token)), (10, 1));
}

#[test]
fn a_payload_that_panics_when_dropped_is_contained() {
    let went_off = Arc::new(AtomicU64::new(0));
    let bombs = Arc::clone(&went_off);
    let cache: Cache<u32, u32> = Cache::builder()
        .max_entries(10)
        .reaper(Reaper::Manual)
        .on_removal(move |_, _, _| resume_unwind(Box::new(Bomb(Arc::clone(&bombs)))))
        .build()
        .expect("it builds");
    for key in 0..10 {
        cache.insert(key, key).expect("it fits");
    }
    cache.clear();
    reap(&cache);
    let stats = cache.stats();
    assert_eq!(stats.dropped, 10);
    assert!(stats.listener_panics >= 10, "and perhaps one more for each payload");
    assert_eq!(went_off.load(Ordering::Relaxed), 10);
}

#[test]
fn a_panic_inside_a_read_gives_the_session_back() {
    let token = Arc::new(());
    let cache: Cache<u32, Arc<()>> =
        Cache::builder().max_entries(10).reaper(Reaper::Manual).build().expect("it builds");
    cache.insert(1, Arc::clone(&token)).expect("it fits");
    for _ in 0..1_000 {
        let result = catch_unwind(AssertUnwindSafe(|| {
            cache.read(&1, |_| resume_unwind(Box::new("planted")))
        }));
        assert!(result.is_err(), "a panic of the closure reaches the caller");
    }
    assert!(cache.discard(&1));
    reap(&cache);
    assert_eq!(Arc::strong_count(&token), 1, "no hold was left behind");
}
