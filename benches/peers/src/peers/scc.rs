//! scc: a plain map with a lock for each bucket.

use std::hash::Hash;
use std::sync::Arc;

use scc::HashMap;

use super::{AnyStore, Store};

struct Map<K, V>(HashMap<K, V, ahash::RandomState>);

pub(super) fn build<K, V>() -> AnyStore<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    Arc::new(Map(HashMap::with_hasher(ahash::RandomState::new())))
}

impl<K, V> Store<K, V> for Map<K, V>
where
    K: Hash + Eq + Send + Sync,
    V: Clone + Send + Sync,
{
    fn get(&self, key: &K) -> Option<V> {
        self.0.read_sync(key, |_, value| value.clone())
    }

    fn insert(&self, key: K, value: V) {
        self.0.upsert_sync(key, value);
    }

    fn remove(&self, key: &K) {
        self.0.remove_sync(key);
    }
}
