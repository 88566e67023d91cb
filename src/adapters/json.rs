//! What a JSON value owns.
//!
//! `serde_json` is not of one shape. Any crate of a service may turn on one of its features, and then
//! all have it; so which shape it has is read off the sizes of its types, when this is compiled.
//!
//! - An object is a `BTreeMap` \[1\]: nodes of eleven pairs, in blocks of their own, and nodes above
//!   them with twelve edges besides. How full the nodes are depends on the order of insertions, 45 to
//!   100 %. It can be seen nonetheless: keys that lie side by side in memory share a node.
//! - With the feature `preserve_order` it is an `IndexMap` \[2\]: a vector of pairs with their hashes,
//!   as long as the hash table of positions beside it has room. Its capacity is not shown; it is taken
//!   for that of a map which has never been larger.
//! - A number is inline. With the feature `arbitrary_precision` it is text.
//!
//! \[1\] The standard library, `alloc/src/collections/btree/node.rs`: `LeafNode`, `InternalNode`.
//! \[2\] indexmap 2.14, `src/inner.rs`: `Bucket`, `reserve_entries`.

use core::fmt::{self, Write as _};
use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use crate::adapters::footprint::{buckets_for, hash_table_bytes, text_bytes};
use crate::platform::block::block_bytes;

/// What a value owns; the value itself lies in its owner.
pub(super) fn owned_bytes(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 0,
        Value::Number(number) => number_bytes(number),
        Value::String(text) => text_bytes(text),
        Value::Array(values) => {
            block_bytes(values.capacity() * size_of::<Value>())
                + values.iter().map(owned_bytes).sum::<usize>()
        }
        Value::Object(map) => {
            let pair_bytes = |(name, value)| text_bytes(name) + owned_bytes(value);
            map_bytes(map) + map.iter().map(pair_bytes).sum::<usize>()
        }
    }
}

/// What an object owns, apart from what its names and values own.
fn map_bytes(map: &Map<String, Value>) -> usize {
    if KEEPS_ORDER { ordered_bytes(map.len()) } else { tree_bytes(map.keys()) }
}

fn ordered_bytes(pairs: usize) -> usize {
    if pairs == 0 {
        return 0;
    }
    let buckets = buckets_for(pairs);
    let capacity = if buckets <= 8 { buckets - 1 } else { buckets / 8 * 7 };
    block_bytes(capacity * size_of::<(usize, String, Value)>())
        + hash_table_bytes(capacity, size_of::<usize>())
}

fn tree_bytes<'a>(keys: impl Iterator<Item = &'a String>) -> usize {
    let leaves = leaves_of(keys);
    let mut bytes = leaves * LEAF_BYTES;
    let mut below = leaves;
    while below > 1 {
        below = if below <= MOST_EDGES { 1 } else { below.div_ceil(EDGES) };
        bytes += below * INNER_BYTES;
    }
    bytes
}

/// How many leaves the tree with these keys has. In order, a leaf's keys lie side by side, at least
/// five of them if it is not the only leaf, and a key of a node above comes alone between two leaves.
fn leaves_of<'a>(keys: impl Iterator<Item = &'a String>) -> usize {
    let (mut leaves, mut run, mut next, mut is_empty) = (0, 0, 0, true);
    for key in keys {
        let address = core::ptr::from_ref(key).addr();
        run = if address == next { run + 1 } else { 1 };
        leaves += usize::from(run == 2);
        next = address.wrapping_add(size_of::<String>());
        is_empty = false;
    }
    if is_empty { 0 } else { leaves.max(1) }
}

fn number_bytes(number: &Number) -> usize {
    if !NUMBERS_ARE_TEXT {
        return 0;
    }
    let mut length = Length(0);
    // Only a writer fails, and this one does not.
    let _written = write!(length, "{number}");
    block_bytes(length.0)
}

/// Counts what is written.
struct Length(usize);

impl fmt::Write for Length {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

const KEEPS_ORDER: bool = size_of::<Map<String, Value>>() != size_of::<BTreeMap<String, Value>>();
/// Else it is a tag and eight bytes.
const NUMBERS_ARE_TEXT: bool = size_of::<Number>() > 2 * size_of::<u64>();

const MOST_PAIRS: usize = 11;
const MOST_EDGES: usize = MOST_PAIRS + 1;
/// Of a node above the leaves: between the six of ascending insertions and twelve.
const EDGES: usize = 9;
/// Pairs, the node above, the place in it and the number of pairs.
const LEAF_REQUEST_BYTES: usize =
    MOST_PAIRS * size_of::<(String, Value)>() + size_of::<usize>() + 2 * size_of::<u16>();
const LEAF_BYTES: usize = block_bytes(LEAF_REQUEST_BYTES.next_multiple_of(align_of::<usize>()));
const INNER_BYTES: usize = block_bytes(
    LEAF_REQUEST_BYTES.next_multiple_of(align_of::<usize>()) + MOST_EDGES * size_of::<usize>(),
);

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use super::*;

    fn leaves(keys: impl Iterator<Item = u32>) -> usize {
        let map: BTreeMap<String, ()> = keys.fold(BTreeMap::new(), |mut map, key| {
            map.insert(format!("{key:04}"), ());
            map
        });
        leaves_of(map.keys())
    }

    #[test]
    fn leaves_are_seen_by_their_keys_addresses() {
        assert_eq!(leaves(0..0), 0);
        assert_eq!((leaves(0..1), leaves(0..11)), (1, 1));
        // The middle one goes up, and each half is a leaf.
        assert_eq!((leaves(0..12), leaves((0..12).rev())), (2, 2));
        // Six to a leaf and one above it.
        assert_eq!(leaves(0..700), 100);
        // Built at once, leaves are full.
        let full: BTreeMap<String, ()> = (0..1_199).map(|key| (format!("{key:04}"), ())).collect();
        assert_eq!(leaves_of(full.keys()), 100);
        assert_eq!(leaves_of(full.clone().keys()), 100);
    }

    #[test]
    fn the_room_that_an_array_does_not_use_counts() {
        let mut values = Vec::with_capacity(100);
        values.push(Value::Null);
        let owned = owned_bytes(&Value::Array(values));
        assert_eq!(owned, block_bytes(100 * size_of::<Value>()));
        assert_eq!(owned_bytes(&Value::Array(Vec::new())), 0);
    }
}
