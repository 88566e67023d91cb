//! Who is compared, each behind the same face and set up as its own documents recommend.

mod dashmap;
mod fibre_cache;
mod lru;
mod mini_moka;
mod moka;
mod papaya;
mod quick_cache;
mod scc;
mod sundown;
mod swept_dashmap;

use std::fmt;
use std::hash::Hash;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;

use crate::workload::{Operation, Verb};

/// What every store can do.
pub trait Store<K, V>: Send + Sync {
    /// A clone of the key's value; counts as a use where uses count.
    fn get(&self, key: &K) -> Option<V>;

    /// Inserts or replaces.
    fn insert(&self, key: K, value: V);

    /// Removes.
    fn remove(&self, key: &K);

    /// Inserts with a lifetime of its own; tells whether the store knows such a thing.
    fn insert_for(&self, _key: K, _value: V, _lifetime: Duration) -> bool {
        false
    }

    /// Does the work that the store puts off to later calls, if it has a call for that.
    fn settle(&self) {}

    /// How many sessions had to make room for others so far, if the store counts them.
    fn evicted(&self) -> Option<u64> {
        None
    }
}

/// A store that does whole batches, so that the cost of not knowing its type is paid once a batch.
pub trait Driver<K, V>: Store<K, V> {
    /// Looks up each key; tells how many were there.
    fn read(&self, keys: &[K]) -> usize;

    /// Does each operation; tells how many look-ups found something.
    fn run(&self, operations: &[Operation<K>], session: fn() -> V) -> usize;
}

impl<K: Clone, V, S: Store<K, V>> Driver<K, V> for S {
    fn read(&self, keys: &[K]) -> usize {
        keys.iter().filter(|key| black_box(self.get(key)).is_some()).count()
    }

    fn run(&self, operations: &[Operation<K>], session: fn() -> V) -> usize {
        let mut hits = 0;
        for Operation { verb, key } in operations {
            match verb {
                Verb::Get => hits += usize::from(black_box(self.get(key)).is_some()),
                Verb::Insert => self.insert(key.clone(), session()),
                Verb::Remove => self.remove(key),
                Verb::Update | Verb::Fill => {
                    let is_there = black_box(self.get(key)).is_some();
                    hits += usize::from(is_there);
                    if is_there == (*verb == Verb::Update) {
                        self.insert(key.clone(), session());
                    }
                }
            }
        }
        hits
    }
}

/// Any store.
pub type AnyStore<K, V> = Arc<dyn Driver<K, V>>;

/// How a store is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many sessions it must hold.
    pub sessions: usize,
    /// Ends sessions this long after their insertion, where the store can.
    pub time_to_live: Option<Duration>,
    /// Ends sessions that long after their last use, where the store can.
    pub time_to_idle: Option<Duration>,
    /// What a session weighs, if the store is to weigh them; the cap is that of `sessions` sessions.
    pub weight: Option<u32>,
    /// The clock of sundown, if not the machine's.
    pub clock: Option<::sundown::ManualClock>,
}

impl Settings {
    /// As for the sessions of a web service: eight hours in all, half an hour without use.
    pub fn service(sessions: usize) -> Self {
        Self {
            sessions,
            time_to_live: Some(Duration::from_secs(8 * 3_600)),
            time_to_idle: Some(Duration::from_secs(1_800)),
            weight: None,
            clock: None,
        }
    }

    /// With a lifetime for all and nothing else.
    pub fn lifetime(sessions: usize, lifetime: Duration) -> Self {
        Self { time_to_live: Some(lifetime), time_to_idle: None, ..Self::service(sessions) }
    }

    fn max_weight(&self) -> u64 {
        self.sessions as u64 * u64::from(self.weight.unwrap_or(1))
    }
}

/// Who is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Peer {
    /// This crate.
    Sundown,
    /// moka with its default policy, TinyLFU.
    Moka,
    /// moka with its LRU policy.
    MokaLru,
    /// mini-moka.
    MiniMoka,
    /// quick_cache: no expiry.
    QuickCache,
    /// fibre_cache as it comes.
    FibreCache,
    /// fibre_cache with its presets for precision: a janitor and a wheel of 10 ms.
    FibreCachePrecise,
    /// 64 mutexes, each with an `lru::LruCache`: no expiry.
    Lru,
    /// A plain map.
    Dashmap,
    /// A plain map.
    Papaya,
    /// A plain map.
    Scc,
    /// dashmap with deadlines and a thread that calls `retain` every second.
    SweptDashmap,
}

/// What makes a store's expired sessions go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expiry {
    /// Nothing: it knows no time.
    None,
    /// The user's calls.
    Busy,
    /// A thread of its own.
    Idle,
}

impl Peer {
    /// What the throughput of is compared.
    pub const CACHES_AND_MAPS: [Self; 10] = [
        Self::Sundown,
        Self::Moka,
        Self::MokaLru,
        Self::MiniMoka,
        Self::QuickCache,
        Self::FibreCache,
        Self::Lru,
        Self::Dashmap,
        Self::Papaya,
        Self::Scc,
    ];

    /// Sets one up.
    pub fn build<K, V>(self, settings: &Settings) -> AnyStore<K, V>
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        match self {
            Self::Sundown => sundown::build(settings),
            Self::Moka => moka::build(settings, ::moka::policy::EvictionPolicy::tiny_lfu()),
            Self::MokaLru => moka::build(settings, ::moka::policy::EvictionPolicy::lru()),
            Self::MiniMoka => mini_moka::build(settings),
            Self::QuickCache => quick_cache::build(settings),
            Self::FibreCache => fibre_cache::build(settings, false),
            Self::FibreCachePrecise => fibre_cache::build(settings, true),
            Self::Lru => lru::build(settings),
            Self::Dashmap => dashmap::build(),
            Self::Papaya => papaya::build(),
            Self::Scc => scc::build(),
            Self::SweptDashmap => swept_dashmap::build(settings),
        }
    }

    /// Whether it keeps to a capacity.
    pub fn evicts(self) -> bool {
        !matches!(self, Self::Dashmap | Self::Papaya | Self::Scc | Self::SweptDashmap)
    }

    /// What makes its expired sessions go.
    pub fn expiry(self) -> Expiry {
        match self {
            Self::Sundown | Self::FibreCache | Self::FibreCachePrecise | Self::SweptDashmap => {
                Expiry::Idle
            }
            Self::Moka | Self::MokaLru | Self::MiniMoka => Expiry::Busy,
            Self::QuickCache | Self::Lru | Self::Dashmap | Self::Papaya | Self::Scc => Expiry::None,
        }
    }

    /// About how many bytes a session takes over key and value, for planning only.
    pub fn planned_bytes(self) -> usize {
        match self {
            Self::Moka | Self::MokaLru | Self::MiniMoka => 270,
            Self::FibreCache | Self::FibreCachePrecise => 350,
            Self::Sundown | Self::SweptDashmap | Self::Dashmap => 110,
            Self::QuickCache | Self::Lru | Self::Papaya | Self::Scc => 80,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sundown => "sundown",
            Self::Moka => "moka",
            Self::MokaLru => "moka, LRU",
            Self::MiniMoka => "mini-moka",
            Self::QuickCache => "quick_cache",
            Self::FibreCache => "fibre_cache",
            Self::FibreCachePrecise => "fibre_cache, 10 ms",
            Self::Lru => "64 x Mutex<lru>",
            Self::Dashmap => "dashmap",
            Self::Papaya => "papaya",
            Self::Scc => "scc",
            Self::SweptDashmap => "dashmap, swept",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_stores_replaces_and_removes() {
        for &peer in Peer::value_variants() {
            let store: AnyStore<u64, u64> = peer.build(&Settings::service(1_000));
            store.insert(1, 10);
            store.insert(1, 11);
            store.insert(2, 20);
            store.settle();
            assert_eq!((store.get(&1), store.get(&2)), (Some(11), Some(20)), "{peer}");
            store.remove(&1);
            assert_eq!((store.get(&1), store.get(&2)), (None, Some(20)), "{peer}");
        }
    }

    #[test]
    fn who_frees_while_idle_takes_lifetimes_of_single_sessions() {
        for &peer in Peer::value_variants() {
            let store: AnyStore<u64, u64> = peer.build(&Settings::service(1_000));
            let takes_it = store.insert_for(1, 1, Duration::from_secs(60));
            assert_eq!(takes_it, peer.expiry() == Expiry::Idle, "{peer}");
            assert_eq!(store.get(&1).is_some(), takes_it, "{peer}");
        }
    }

    #[test]
    fn who_evicts_keeps_to_its_capacity() {
        for &peer in Peer::value_variants() {
            let store: AnyStore<usize, usize> = peer.build(&Settings::service(10_000));
            for key in 0..40_000 {
                store.insert(key, key);
            }
            store.settle();
            let held = (0..40_000).filter(|key| store.get(key).is_some()).count();
            assert_eq!(held <= 10_500, peer.evicts(), "{peer} holds {held}");
        }
    }
}
