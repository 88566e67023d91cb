//! quick_cache: S3-FIFO, no expiry.

use std::hash::Hash;
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::{Cache, DefaultLifecycle};

use super::{AnyStore, Settings, Store};

struct QuickCache<K, V>(Cache<K, V, Weight, ahash::RandomState>);

/// Every session weighs the same.
#[derive(Clone)]
struct Weight(u64);

impl<K, V> Weighter<K, V> for Weight {
    fn weight(&self, _key: &K, _value: &V) -> u64 {
        self.0
    }
}

pub(super) fn build<K, V>(settings: &Settings) -> AnyStore<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    Arc::new(QuickCache(Cache::with(
        settings.sessions,
        settings.max_weight(),
        Weight(settings.weight.unwrap_or(1).into()),
        ahash::RandomState::new(),
        DefaultLifecycle::default(),
    )))
}

impl<K, V> Store<K, V> for QuickCache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn get(&self, key: &K) -> Option<V> {
        self.0.get(key)
    }

    fn insert(&self, key: K, value: V) {
        self.0.insert(key, value);
    }

    fn remove(&self, key: &K) {
        self.0.remove(key);
    }
}
