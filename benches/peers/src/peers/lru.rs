//! What services write themselves: an LRU list behind each of 64 mutexes.

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;

use super::{AnyStore, Settings, Store};

const SHARDS: usize = 64;

struct Sharded<K, V> {
    shards: Vec<Mutex<LruCache<K, V, ahash::RandomState>>>,
    hasher: ahash::RandomState,
}

pub(super) fn build<K, V>(settings: &Settings) -> AnyStore<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let share = NonZeroUsize::new(settings.sessions.div_ceil(SHARDS)).expect("there is a share");
    // Grown by use, as all others are.
    let shard = || {
        let mut cache = LruCache::unbounded_with_hasher(ahash::RandomState::new());
        cache.resize(share);
        Mutex::new(cache)
    };
    Arc::new(Sharded {
        shards: (0..SHARDS).map(|_| shard()).collect(),
        hasher: ahash::RandomState::new(),
    })
}

impl<K: Hash, V> Sharded<K, V> {
    fn shard(&self, key: &K) -> &Mutex<LruCache<K, V, ahash::RandomState>> {
        &self.shards[(self.hasher.hash_one(key) >> 32) as usize % SHARDS]
    }
}

impl<K, V> Store<K, V> for Sharded<K, V>
where
    K: Hash + Eq + Send + Sync,
    V: Clone + Send + Sync,
{
    fn get(&self, key: &K) -> Option<V> {
        self.shard(key).lock().get(key).cloned()
    }

    fn insert(&self, key: K, value: V) {
        // What falls out is dropped after the lock has gone.
        let _old = self.shard(&key).lock().push(key, value);
    }

    fn remove(&self, key: &K) {
        let _old = self.shard(key).lock().pop(key);
    }
}
