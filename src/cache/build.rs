//! From settings to a running cache.

use std::hash::{BuildHasher, Hash};

use super::Cache;
use super::core::Core;
use super::pass::Reaping;
use crate::budget::Budget;
use crate::builder::{Builder, with_overhead, with_roll};
use crate::error::BuildError;
use crate::platform::sync::Arc;
use crate::reaper::{Alarm, Place, Reaper, take_seat};
use crate::shard::{BITE, Bounds, Detour, Disposal, Shared};

impl<K, V, S> Builder<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    /// Builds the cache and starts its reaper.
    ///
    /// # Errors
    ///
    /// A [`BuildError`] names the setting that is wrong, or says that the thread cannot be started.
    ///
    /// # Examples
    ///
    /// ```
    /// use sundown::{BuildError, Cache};
    /// let refused = Cache::<u8, u8>::builder().build().unwrap_err();
    /// assert!(matches!(refused, BuildError::Unbounded));
    /// ```
    pub fn build(self) -> Result<Cache<K, V, S>, BuildError> {
        let checked = self.check()?;
        let has_listener = self.listener.is_some();
        let max_entries = self.max_entries.map(|entries| entries as u64);
        let mut budget = Budget::new(max_entries, self.max_weight, self.weigher.is_some());
        let on_pressure = self.on_pressure.map(|(levels, callback)| {
            budget.watch(&levels, self.clock.clone());
            callback
        });
        let batch_entries = (GARBAGE_ENTRIES / checked.shards).clamp(LEAST_BATCH, BITE);
        let heavy_weight = match self.max_weight {
            Some(weight) if self.counts_overhead => {
                let most_entries = (batch_entries * checked.shards) as u64;
                (weight / GARBAGE_SHARE / most_entries).max(1)
            }
            _ => u64::MAX,
        };
        let watch = self.watch.clone();
        let (listener, listener_place) = (self.listener, self.listener_place);
        let detour = Detour { listener, listener_place, watch: self.watch };
        let shared = Shared {
            clock: self.clock.clone(),
            budget,
            disposal: Disposal::new(detour, on_pressure),
            resolution_ns: checked.resolution_ns,
            batch_entries,
            heavy_weight,
            heeded_weight: if watch.is_some() { 0 } else { heavy_weight },
            bounds: Bounds::new(checked.shards),
            alarm: Arc::new(Alarm::new(self.clock)),
        };
        let checked = (checked, self.max_entries, has_listener);
        let weigher = self.weigher.map(|weigher| match self.counts_overhead {
            true => with_overhead(weigher),
            false => weigher,
        });
        let weigher = match watch {
            Some(watch) => Some(with_roll(weigher, watch)),
            None => weigher,
        };
        let mut core = Core::new(shared, self.hasher, self.on_full, weigher, checked);
        let stack_bytes = self.reaper_stack_bytes;
        let place = match self.reaper {
            Reaper::Manual => None,
            Reaper::Shared if stack_bytes.is_none() => Some(Place::Shared),
            Reaper::Shared | Reaper::Thread => Some(Place::Own { stack_bytes }),
        };
        core.giver = place.and_then(|_| self.give_back.giver());
        let cache = Cache { core: Arc::new(core) };
        if let Some(place) = place {
            let task = Box::new(Reaping::of(cache.core.clone()));
            let seated = take_seat(&cache.core.shared.alarm, place, task);
            seated.map_err(BuildError::Thread)?;
        }
        Ok(cache)
    }
}

/// About how much garbage all shards together gather before writers help.
const GARBAGE_ENTRIES: usize = 8_192;
/// And, where weights are bytes, what part of the cap it takes: heavy sessions are fewer to a batch.
const GARBAGE_SHARE: u64 = 32;
/// Smaller batches cost more in notes to the collector than they save in memory.
const LEAST_BATCH: usize = 32;
