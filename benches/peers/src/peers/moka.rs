//! moka: `run_pending_tasks` is its call for work that is put off.

use std::hash::Hash;
use std::sync::Arc;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::{AnyStore, Settings, Store};

struct Moka<K, V>(Cache<K, V, ahash::RandomState>);

pub(super) fn build<K, V>(settings: &Settings, policy: EvictionPolicy) -> AnyStore<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let mut builder = Cache::builder().max_capacity(settings.max_weight()).eviction_policy(policy);
    if let Some(time_to_live) = settings.time_to_live {
        builder = builder.time_to_live(time_to_live);
    }
    if let Some(time_to_idle) = settings.time_to_idle {
        builder = builder.time_to_idle(time_to_idle);
    }
    if let Some(weight) = settings.weight {
        builder = builder.weigher(move |_, _| weight);
    }
    Arc::new(Moka(builder.build_with_hasher(ahash::RandomState::new())))
}

impl<K, V> Store<K, V> for Moka<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn get(&self, key: &K) -> Option<V> {
        self.0.get(key)
    }

    fn insert(&self, key: K, value: V) {
        self.0.insert(key, value);
    }

    fn remove(&self, key: &K) {
        self.0.invalidate(key);
    }

    fn settle(&self) {
        self.0.run_pending_tasks();
    }
}
