//! dashmap: a plain map of sharded read-write locks.

use std::hash::Hash;
use std::sync::Arc;

use dashmap::DashMap;

use super::{AnyStore, Store};

struct Map<K, V>(DashMap<K, V, ahash::RandomState>);

pub(super) fn build<K, V>() -> AnyStore<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    Arc::new(Map(DashMap::with_hasher(ahash::RandomState::new())))
}

impl<K, V> Store<K, V> for Map<K, V>
where
    K: Hash + Eq + Send + Sync,
    V: Clone + Send + Sync,
{
    fn get(&self, key: &K) -> Option<V> {
        self.0.get(key).map(|value| value.clone())
    }

    fn insert(&self, key: K, value: V) {
        self.0.insert(key, value);
    }

    fn remove(&self, key: &K) {
        self.0.remove(key);
    }
}
