//! The stage that most of these tests play on: a small cache by the manual clock, whose listener
//! writes all events down.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use sundown::{Builder, Cache, Lifetime, ManualClock, Reaper, RemovalCause};

/// How long readers in other tests of this process may keep garbage from ripening.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) type Event = (&'static str, u32, RemovalCause);

pub(crate) struct Stage {
    pub(crate) cache: Cache<&'static str, u32>,
    pub(crate) clock: ManualClock,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Stage {
    /// Sixteen places, apart from what `settings` says.
    pub(crate) fn new(
        settings: impl FnOnce(Builder<&'static str, u32>) -> Builder<&'static str, u32>,
    ) -> Self {
        let (clock, events) = (ManualClock::new(), Arc::new(Mutex::new(Vec::new())));
        let heard = Arc::clone(&events);
        let builder = Cache::builder()
            .max_entries(16)
            .reaper(Reaper::Manual)
            .clock(clock.clone())
            .on_removal(move |key, value, cause| {
                heard.lock().unwrap_or_else(PoisonError::into_inner).push((key, value, cause));
            });
        Self { cache: settings(builder).build().expect("the settings are sound"), clock, events }
    }

    /// One that knows no deadline.
    pub(crate) fn plain() -> Self {
        Self::new(|builder| builder)
    }

    /// Inserts and expects it to be taken.
    pub(crate) fn put(&self, key: &'static str, value: u32) {
        self.cache.insert(key, value).expect("the cache takes it");
    }

    pub(crate) fn put_for(&self, key: &'static str, value: u32, lifetime: Lifetime) {
        self.cache.insert_for(key, value, lifetime).expect("the cache takes it");
    }

    pub(crate) fn advance(&self, by_ms: u64) {
        self.clock.advance(ms(by_ms));
    }

    /// Reaps, waits until all garbage is gone, and says how many sessions were unlinked.
    pub(crate) fn reap(&self) -> usize {
        reap(&self.cache)
    }

    /// The events since the last time of asking, all garbage included.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.reap();
        self.heard()
    }

    /// The events heard so far, without a call of the cache.
    pub(crate) fn heard(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Drops this handle and gives the events that are still to come.
    pub(crate) fn drop_cache(self) -> Vec<Event> {
        drop(self.cache);
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Reaps a cache by hand until no garbage is left; other tests' readers may delay it for a moment.
pub(crate) fn reap<K, V>(cache: &Cache<K, V>) -> usize
where
    K: std::hash::Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    let mut unlinked = cache.reap();
    let start = Instant::now();
    while cache.stats().retired.count > 0 {
        assert!(start.elapsed() < PATIENCE, "garbage stays: {:?}", cache.stats());
        std::thread::yield_now();
        unlinked += cache.reap();
    }
    cache.audit().expect("the cache is whole");
    unlinked
}

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) fn live(for_ms: u64) -> Lifetime {
    Lifetime::default().live(ms(for_ms))
}

pub(crate) fn idle(for_ms: u64) -> Lifetime {
    Lifetime::default().idle(ms(for_ms))
}
