//! One cache with its rig and clock, and what must be true of it whatever panicked.

use crate::rig::{Fault, Hashing, Id, Key, PATIENCE, Place, Rig, Value};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use sundown::{Cache, Expiry, Lifetime, ManualClock, OnFull, Reaper, Stats};

pub(crate) const MOST_ENTRIES: usize = 10;
pub(crate) const MOST_WEIGHT: u64 = 24;
pub(crate) const IDLE: Duration = Duration::from_secs(10);

pub(crate) type Sessions = Cache<Key, Value, Hashing>;

/// What a cache is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) on_full: OnFull,
    pub(crate) has_listener: bool,
    pub(crate) shards: usize,
    pub(crate) reaper: Reaper,
    /// How many hashes all keys share; 0 is one for each.
    pub(crate) hashes: u32,
    /// Closes it before it is dropped.
    pub(crate) is_closed: bool,
}

/// What shows: each key's session by label and weight, and what is left of its time.
pub(crate) type Shown = BTreeMap<u32, (u32, u64, Option<Expiry>)>;

pub(crate) struct Stage {
    pub(crate) rig: Arc<Rig>,
    pub(crate) clock: ManualClock,
    pub(crate) cache: Sessions,
    pub(crate) setting: Setting,
}

impl Stage {
    pub(crate) fn new(setting: Setting) -> Self {
        let (rig, clock) = (Rig::new(setting.hashes), ManualClock::new());
        let [weigher, listener, operator] = [(); 3].map(|()| Arc::clone(&rig));
        let mut builder = Cache::builder()
            .max_entries(MOST_ENTRIES)
            .max_weight(MOST_WEIGHT)
            .time_to_idle(IDLE)
            .shards(setting.shards)
            .on_full(setting.on_full)
            .reaper(setting.reaper)
            .clock(clock.clone())
            .on_pressure([0.5, 0.9], move |_| operator.reach(Place::Pressure))
            .weigher(move |_, value: &Value| {
                weigher.reach(Place::Weigher);
                value.weight
            });
        if setting.has_listener {
            builder = builder.on_removal(move |key, value, cause| listener.hear(key, value, cause));
        }
        let cache = builder.hasher(Hashing(Arc::clone(&rig))).build().expect("it builds");
        assert!(rig.cache.set(cache.downgrade()).is_ok());
        Self { rig, clock, cache, setting }
    }

    pub(crate) fn id(&self, number: u32) -> Id {
        Id::new(&self.rig, number)
    }

    /// What is offered to the cache.
    pub(crate) fn pair(&self, number: u32, label: u32, weight: u64) -> (Key, Value) {
        (Key::new(&self.rig, number), Value::new(&self.rig, label, weight))
    }

    /// Inserts, and drops what is handed back.
    pub(crate) fn put(&self, number: u32, label: u32, weight: u64) -> bool {
        let (key, value) = self.pair(number, label, weight);
        self.cache.insert(key, value).is_ok()
    }

    /// Inserts, whatever comes of it.
    pub(crate) fn offer(&self, number: u32, label: u32, weight: u64) {
        let _ = self.put(number, label, weight);
    }

    pub(crate) fn offer_for(&self, number: u32, label: u32, lifetime: Lifetime) {
        let (key, value) = self.pair(number, label, 1);
        let _ = self.cache.insert_for(key, value, lifetime);
    }

    pub(crate) fn advance(&self, by_ms: u64) {
        self.clock.advance(Duration::from_millis(by_ms));
    }

    /// Calls with no fault planted, after which the fault is as it was before.
    pub(crate) fn in_peace<R>(&self, f: impl FnOnce() -> R) -> R {
        let fault = self.rig.set(Fault::None);
        let result = f();
        self.rig.set(fault);
        result
    }

    pub(crate) fn shown(&self) -> Shown {
        let mut shown = Shown::new();
        self.cache.for_each(|key, value| {
            let old = shown.insert(key.id.number, (value.label, value.weight, None));
            assert!(old.is_none(), "key {} is shown twice", key.id.number);
        });
        for (&number, session) in &mut shown {
            session.2 = self.cache.expires_in(&self.id(number));
        }
        shown
    }

    /// The panics that the cache has contained so far.
    pub(crate) fn contained(&self) -> u64 {
        let stats = self.cache.stats();
        stats.listener_panics + stats.drop_panics + stats.pressure_panics
    }

    /// The audit, conservation, the caps; and that no key or value is anywhere else.
    pub(crate) fn check(&self) {
        let audit = self.cache.audit().expect("the cache is whole");
        let stats = self.cache.stats();
        assert_eq!(audit.inserted, audit.entries as u64 + audit.retired + audit.dropped);
        assert!(stats.entries <= MOST_ENTRIES && stats.weight <= MOST_WEIGHT, "{stats:?}");
        if self.setting.reaper == Reaper::Manual {
            assert_eq!((audit.entries, audit.weight), (stats.entries, stats.weight));
            assert_eq!(removals(&stats), stats.retired.count + stats.dropped);
            let expected = stats.entries + stats.retired.count as usize;
            let alive = (self.rig.keys.alive(), self.rig.values.alive());
            assert_eq!(alive, (expected, expected), "keys and values alive: {stats:?}");
        }
    }

    /// Frees all garbage.
    pub(crate) fn settle(&self) {
        let start = Instant::now();
        self.cache.reap();
        while self.cache.stats().retired.count > 0 {
            assert!(start.elapsed() < PATIENCE, "garbage stays: {:?}", self.cache.stats());
            thread::yield_now();
            self.cache.reap();
        }
    }

    /// Uses an emptied cache to its limits, and leaves three sessions in it.
    pub(crate) fn goes_on_working(&self) {
        self.cache.clear();
        self.settle();
        self.check();
        assert_eq!((self.cache.len(), self.cache.weight()), (0, 0));
        let most = MOST_ENTRIES as u32;
        for number in 0..most {
            self.advance(1);
            assert!(self.put(100 + number, number, 1), "there is room for {number}");
        }
        self.advance(1);
        let is_taken = self.put(200, 0, 1);
        assert_eq!(is_taken, self.setting.on_full == OnFull::Evict);
        assert_eq!(self.cache.contains_key(&self.id(100)), !is_taken, "the coldest goes");
        for number in 1..most {
            let label = self.cache.read(&self.id(100 + number), |value| value.label);
            assert_eq!(label, Some(number));
        }
        assert!(matches!(self.cache.update(&self.id(101), Value::clone), Ok(true)));
        assert_eq!(self.cache.get(&self.id(101)).map(|value| value.label), Some(1));
        assert!(self.cache.discard(&self.id(101)));
        self.clock.advance(IDLE);
        assert_eq!(self.shown(), Shown::new());
        let start = Instant::now();
        if self.setting.reaper == Reaper::Manual {
            assert_eq!(self.cache.reap(), MOST_ENTRIES - 1);
        }
        // With a thread this comes about without a call that reaps.
        while !self.cache.is_empty() {
            assert!(start.elapsed() < PATIENCE, "nobody reaps: {:?}", self.cache.stats());
            thread::yield_now();
        }
        self.settle();
        self.check();
        assert_eq!((self.rig.keys.alive(), self.rig.values.alive()), (0, 0));
        assert!((0..3).all(|number| self.put(number, 0, 1)));
    }

    /// Closes and drops the cache; then everything must have died once, and been told of once.
    pub(crate) fn end(self) {
        let Self { rig, cache, setting, .. } = self;
        if setting.is_closed {
            let _ = catch_unwind(AssertUnwindSafe(|| cache.close()));
            let stats = cache.stats();
            assert_eq!((stats.entries, stats.retired.count), (0, 0), "{stats:?}");
            assert_eq!(stats.inserted, stats.dropped);
            cache.audit().expect("a closed cache is whole");
        }
        let inserted = cache.stats().inserted;
        let outcome = catch_unwind(AssertUnwindSafe(|| drop(cache)));
        assert!(outcome.is_ok(), "no panic of a session's destructor leaves the cache's own drop");
        rig.set(Fault::None);
        assert_eq!(rig.keys.odd(), [], "keys that did not die exactly once");
        assert_eq!(rig.values.odd(), [], "values that did not die exactly once");
        let mut heard = rig.heard();
        if setting.has_listener {
            assert_eq!(heard.len() as u64, inserted, "one event for each session");
        }
        heard.sort_unstable();
        heard.dedup();
        assert!(!setting.has_listener || heard.len() as u64 == inserted, "no event twice");
    }
}

fn removals(stats: &Stats) -> u64 {
    let by_time = stats.expired + stats.idle;
    by_time + stats.evicted + stats.removed + stats.replaced + stats.cleared + stats.closed
}
