//! Into how many shards a cache is split unless the user says.

use std::thread::available_parallelism;

use crate::error::MOST_SHARDS;

pub(super) fn default_shards(max_entries: Option<usize>) -> usize {
    let for_cores = 4 * available_parallelism().map_or(1, usize::from);
    let shards = match max_entries {
        Some(entries) => {
            let for_growth = entries.div_ceil(SHARD_ENTRIES);
            for_growth.max(for_cores.min(entries.div_ceil(LEAST_SHARD_ENTRIES)))
        }
        None => for_cores.max(SHARDS_BY_WEIGHT),
    };
    shards.min(MOST_SHARDS).next_power_of_two()
}

/// Rebuilding a table reads every entry's hash, a cache miss each: 16,384 take about half a
/// millisecond.
const SHARD_ENTRIES: usize = 16_384;
/// Smaller shards cost more memory than they save in contention.
const LEAST_SHARD_ENTRIES: usize = 64;
/// What is left to do where only the weight is capped: enough for a million sessions.
const SHARDS_BY_WEIGHT: usize = 64;
