//! What services write when a map must forget: deadlines beside the values, and a thread that calls
//! `retain` every second.
//!
//! Its reads do not look at the deadline, which makes them faster than they may be.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use dashmap::DashMap;

use super::{AnyStore, Settings, Store};

const SWEEP_EVERY: Duration = Duration::from_secs(1);

struct Swept<K, V> {
    map: Arc<DashMap<K, (Instant, V), ahash::RandomState>>,
    lifetime: Duration,
    sweeper: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
}

pub(super) fn build<K, V>(settings: &Settings) -> AnyStore<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let map: Arc<DashMap<K, (Instant, V), _>> =
        Arc::new(DashMap::with_hasher(ahash::RandomState::new()));
    let (stop, is_stopped) = mpsc::channel();
    let swept = Arc::clone(&map);
    let sweeper = thread::spawn(move || {
        while is_stopped.recv_timeout(SWEEP_EVERY) == Err(RecvTimeoutError::Timeout) {
            let now = Instant::now();
            swept.retain(|_, (deadline, _)| now < *deadline);
        }
    });
    let lifetime = settings.time_to_live.unwrap_or(Duration::from_secs(86_400));
    Arc::new(Swept { map, lifetime, sweeper: Some((stop, sweeper)) })
}

impl<K, V> Drop for Swept<K, V> {
    fn drop(&mut self) {
        if let Some((stop, sweeper)) = self.sweeper.take() {
            drop(stop);
            // A sweeper that panicked has said so on standard error.
            let _ = sweeper.join();
        }
    }
}

impl<K, V> Store<K, V> for Swept<K, V>
where
    K: Hash + Eq + Send + Sync,
    V: Clone + Send + Sync,
{
    fn get(&self, key: &K) -> Option<V> {
        self.map.get(key).map(|entry| entry.1.clone())
    }

    fn insert(&self, key: K, value: V) {
        self.map.insert(key, (Instant::now() + self.lifetime, value));
    }

    fn remove(&self, key: &K) {
        self.map.remove(key);
    }

    fn insert_for(&self, key: K, value: V, lifetime: Duration) -> bool {
        self.map.insert(key, (Instant::now() + lifetime, value));
        true
    }
}
