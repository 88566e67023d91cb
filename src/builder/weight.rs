//! What sessions weigh, and how much they may in all.

use super::Builder;
use crate::shard::Shard;

/// What a session weighs.
pub(crate) type Weigher<K, V> = dyn Fn(&K, &V) -> u64 + Send + Sync;

impl<K, V, S> Builder<K, V, S> {
    /// Caps the sum of the sessions' weights, in whatever unit the [`weigher`](Self::weigher) uses.
    ///
    /// Of a cap in bytes, know what it caps: see [weights in bytes](Self::weigher).
    ///
    /// The number of shards cannot follow from such a cap alone: it is 64, or four times the cores
    /// if that is more. Beyond a million sessions set `max_entries` too, or
    /// [`shards`](Self::shards) to one for every 16,384 sessions, to keep the growth of a shard's
    /// table under a millisecond.
    pub fn max_weight(mut self, weight: u64) -> Self {
        self.max_weight = Some(weight);
        self
    }

    /// Says what a session weighs; called once for each insertion and update, outside every lock.
    ///
    /// A weight of 0 counts as 1. All weights together stay below 2^64, as if that were a cap where
    /// [`max_weight`](Self::max_weight) sets none. If it panics, the call that it was for panics and
    /// nothing has changed.
    ///
    /// # Weights in bytes
    ///
    /// Three figures are called memory, and a service that is told the least of them runs out of it:
    ///
    /// - *Requested* bytes are those that values ask the allocator for: `String::capacity`, not
    ///   `len`, and the capacity of every table.
    /// - *Allocated* bytes are the blocks that the allocator sets aside for them, each with a header
    ///   and rounded up: 32 bytes for one letter. Of small values that is far more. The stores'
    ///   `record_bytes` and `state_bytes` count these, and so should a weigher of your own: key and
    ///   value inline, `size_of`, and the blocks that they own. The cache's own share is added by
    ///   [`count_overhead`](Self::count_overhead).
    /// - *Resident* bytes are the allocator's: blocks in use, and what it has kept of blocks that
    ///   were freed. Nobody can weigh these session by session; leave room for them, as for sessions
    ///   that [await their destruction](crate#garbage), which weigh nothing any more.
    ///
    /// # Weights go stale
    ///
    /// A session keeps the weight of its insertion. Where the value grows in place, behind a lock of
    /// its own, the cache does not see it: [`update`](crate::Cache::update) weighs again, also if its
    /// closure puts the same value back.
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use sundown::Cache;
    ///
    /// let cache = Cache::builder()
    ///     .max_weight(1_000)
    ///     .weigher(|_, basket: &Arc<Mutex<Vec<u64>>>| basket.lock().unwrap().len() as u64)
    ///     .build()?;
    /// cache.insert("id", Arc::new(Mutex::new(vec![7])))?;
    /// cache.read("id", |basket| basket.lock().unwrap().extend([8, 9]));
    /// assert_eq!(cache.weight(), 1); // as at its insertion
    /// cache.update("id", Arc::clone)?;
    /// assert_eq!(cache.weight(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn weigher(mut self, weigher: impl Fn(&K, &V) -> u64 + Send + Sync + 'static) -> Self {
        self.weigher = Some(Box::new(weigher));
        self
    }

    /// Adds what the cache itself takes for a session to what the [`weigher`](Self::weigher) says:
    /// for weights in bytes.
    ///
    /// It is a constant of the types, 90 to 110 bytes on 64-bit machines: the rest of the block that
    /// key and value lie in, the session's record, and its part of the index, in a cache that is
    /// well filled. What a cache takes without sessions is not in it; both are in
    /// [`Stats::overhead_bytes`](crate::Stats::overhead_bytes). Without a weigher it does nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use sundown::Cache;
    /// let cache = Cache::builder()
    ///     .max_weight(64 << 20)
    ///     .weigher(|key: &u64, value: &u64| (size_of_val(key) + size_of_val(value)) as u64)
    ///     .count_overhead()
    ///     .build()?;
    /// cache.insert(1, 1)?;
    /// assert!(cache.weight() > 16 + 80);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn count_overhead(mut self) -> Self {
        self.counts_overhead = true;
        self
    }
}

/// The weigher of a cache that counts its overhead: part of the weigher, so that no other cache pays
/// for it.
pub(crate) fn with_overhead<K: 'static, V: 'static>(
    weigher: Box<Weigher<K, V>>,
) -> Box<Weigher<K, V>> {
    let overhead_bytes = Shard::<K, V>::bytes_per_session() as u64;
    Box::new(move |key, value| weigher(key, value).saturating_add(overhead_bytes))
}
