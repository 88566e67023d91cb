//! fibre_cache: S3-FIFO and a janitor, by default every second; its guide offers 10 ms for precision.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use fibre_cache::builder::TimerWheelMode;
use fibre_cache::{Cache, CacheBuilder};

use super::{AnyStore, Settings, Store};

struct FibreCache<K: Send, V: Send + Sync> {
    cache: Cache<K, V, ahash::RandomState>,
    weight: u64,
}

pub(super) fn build<K, V>(settings: &Settings, is_precise: bool) -> AnyStore<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let mut builder = CacheBuilder::new().capacity(settings.max_weight());
    if let Some(time_to_live) = settings.time_to_live {
        builder = builder.time_to_live(time_to_live);
    }
    if let Some(time_to_idle) = settings.time_to_idle {
        builder = builder.time_to_idle(time_to_idle);
    }
    if is_precise {
        builder = builder
            .timer_mode(TimerWheelMode::HighPrecisionShortLived)
            .janitor_tick_interval(Duration::from_millis(10));
    }
    let cache = builder.build().expect("the settings are valid");
    Arc::new(FibreCache { cache, weight: settings.weight.unwrap_or(1).into() })
}

impl<K, V> Store<K, V> for FibreCache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn get(&self, key: &K) -> Option<V> {
        self.cache.get(key, V::clone)
    }

    fn insert(&self, key: K, value: V) {
        self.cache.insert(key, value, self.weight);
    }

    fn remove(&self, key: &K) {
        self.cache.invalidate(key);
    }

    fn insert_for(&self, key: K, value: V, lifetime: Duration) -> bool {
        self.cache.insert_with_ttl(key, value, self.weight, lifetime);
        true
    }

    fn evicted(&self) -> Option<u64> {
        Some(self.cache.metrics().evicted_by_capacity)
    }
}
