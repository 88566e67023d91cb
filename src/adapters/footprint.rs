//! What a value that a framework hands over takes from the allocator, counted without an allocation.
//!
//! Text and vectors show their capacity, a table of the standard library only how many pairs fit in.
//! The rest follows from how it is laid out:
//!
//! - `HashMap` is hashbrown's table \[1\]: a power of two of buckets, at least four, at most seven
//!   eighths of them full. One block holds the buckets, padded to 16 bytes, then a control byte for
//!   each and one group more. A table that has grown and was emptied keeps its buckets, and its
//!   capacity says so, but for removals amid a run of full buckets.
//! - Each request takes a block, see [`block_bytes`].
//!
//! \[1\] hashbrown 0.17, `src/raw.rs`: `capacity_to_buckets`, `TableLayout::calculate_layout_for`.

use std::collections::HashMap;

use crate::builder::Builder;
use crate::platform::block::block_bytes;

/// Makes a cache weigh in bytes where its weight has a cap and there is no weigher.
///
/// `bytes_of` is what a value takes, itself included. Key and the cache's own share are added.
pub(super) fn weighed_in_bytes<K, V, S>(
    builder: Builder<K, V, S>,
    bytes_of: impl Fn(&V) -> u64 + Send + Sync + 'static,
) -> Builder<K, V, S> {
    if builder.max_weight.is_none() || builder.weigher.is_some() {
        return builder;
    }
    let weigher = move |key: &K, value: &V| size_of_val(key) as u64 + bytes_of(value);
    builder.weigher(weigher).count_overhead()
}

/// What a text owns.
pub(super) fn text_bytes(text: &String) -> usize {
    block_bytes(text.capacity())
}

/// What a map owns, apart from what its keys and values own.
pub(super) fn table_bytes<K, V, S>(map: &HashMap<K, V, S>) -> usize {
    hash_table_bytes(map.capacity(), size_of::<(K, V)>())
}

/// What a map from text to text owns.
#[cfg(any(feature = "actix-session-0_11", feature = "saysion-0_2"))]
pub(super) fn strings_bytes(map: &HashMap<String, String>) -> usize {
    let owned = map.iter().map(|(name, text)| text_bytes(name) + text_bytes(text));
    table_bytes(map) + owned.sum::<usize>()
}

/// The block of a hash table with room for so many pairs.
pub(super) const fn hash_table_bytes(capacity: usize, pair_bytes: usize) -> usize {
    if capacity == 0 {
        return 0;
    }
    let buckets = buckets_for(capacity);
    let pairs_bytes = buckets.saturating_mul(pair_bytes).div_ceil(GROUP_BYTES) * GROUP_BYTES;
    block_bytes(pairs_bytes.saturating_add(buckets + GROUP_BYTES))
}

/// How many buckets a hash table needs for so many pairs, at least one.
pub(super) const fn buckets_for(pairs: usize) -> usize {
    match pairs {
        0..4 => 4,
        4..8 => 8,
        _ => (pairs.saturating_mul(8) / 7).next_power_of_two(),
    }
}

/// The control bytes that are looked at in one step: 16 on x86-64, 8 elsewhere.
const GROUP_BYTES: usize = 16;

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_room_for_seven_eighths_of_a_power_of_two() {
        assert_eq!(table_bytes(&HashMap::<u64, u64>::new()), 0);
        for (pairs, buckets) in [(1, 4), (3, 4), (4, 8), (7, 8), (8, 16), (14, 16), (15, 32)] {
            let map = HashMap::<u64, u64>::with_capacity(pairs);
            assert_eq!(table_bytes(&map), block_bytes(buckets * 17 + 16), "{pairs} pairs");
        }
        let million = HashMap::<u64, u64>::with_capacity(1_000_000);
        assert_eq!(table_bytes(&million), block_bytes((2 << 20) * 17 + 16));
    }

    #[test]
    fn text_is_counted_with_the_room_that_it_does_not_use() {
        let mut text = String::with_capacity(1_000);
        text.push('x');
        assert_eq!(text_bytes(&text), 1_008);
        assert_eq!(text_bytes(&String::new()), 0);
    }
}
