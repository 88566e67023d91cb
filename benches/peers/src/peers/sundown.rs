//! This crate, with nothing set but caps and lifetimes.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use sundown::{Cache, Lifetime};

use super::{AnyStore, Settings, Store};

struct Sundown<K, V>(Cache<K, V>);

pub(super) fn build<K, V>(settings: &Settings) -> AnyStore<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let mut builder = Cache::builder().max_entries(settings.sessions);
    if let Some(time_to_live) = settings.time_to_live {
        builder = builder.time_to_live(time_to_live);
    }
    if let Some(time_to_idle) = settings.time_to_idle {
        builder = builder.time_to_idle(time_to_idle);
    }
    if let Some(weight) = settings.weight {
        builder = builder.max_weight(settings.max_weight()).weigher(move |_, _| u64::from(weight));
    }
    if let Some(clock) = &settings.clock {
        builder = builder.clock(clock.clone());
    }
    Arc::new(Sundown(builder.build().expect("the settings are valid")))
}

impl<K, V> Store<K, V> for Sundown<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn get(&self, key: &K) -> Option<V> {
        self.0.get(key)
    }

    fn insert(&self, key: K, value: V) {
        assert!(self.0.insert(key, value).is_ok(), "the coldest sessions make room");
    }

    fn remove(&self, key: &K) {
        self.0.discard(key);
    }

    fn insert_for(&self, key: K, value: V, lifetime: Duration) -> bool {
        self.0.insert_for(key, value, Lifetime::default().live(lifetime)).is_ok()
    }

    fn evicted(&self) -> Option<u64> {
        Some(self.0.stats().evicted)
    }
}
