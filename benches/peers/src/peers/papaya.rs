//! papaya: a plain map that is read and written without locks.

use std::hash::Hash;
use std::sync::Arc;

use papaya::HashMap;

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
        self.0.pin().get(key).cloned()
    }

    fn insert(&self, key: K, value: V) {
        self.0.pin().insert(key, value);
    }

    fn remove(&self, key: &K) {
        self.0.pin().remove(key);
    }
}
