//! What a record takes, in the words of whichever version the parent imports as `framework`.

use super::framework::session::Record;
use crate::adapters::footprint::{table_bytes, text_bytes};
use crate::adapters::json::owned_bytes;

/// The bytes that a record takes: the record itself, and the blocks that its data own.
///
/// Blocks are counted as glibc's allocator sets them aside, with their headers and rounded up, and
/// with the capacity that texts, arrays and the table do not use. Measured against that allocator,
/// it is within 15 %, with one exception: what an object of the data has been larger by is not seen
/// where `serde_json` has its feature `preserve_order`.
///
/// It is what a [`SundownStore`](super::SundownStore) weighs with if it has a
/// [`max_weight`](crate::Builder::max_weight) and no weigher; id and
/// [overhead](crate::Builder::count_overhead) come on top there. A weigher of your own can add to it
/// what else the session takes.
///
/// **Complexity:** linear in the names and values; nothing is allocated.
///
/// # Examples
///
/// ```
#[doc = example_imports!()]
/// use std::sync::Arc;
/// use tower_sessions::Session;
///
/// # pollster::block_on(async {
/// let store = SundownStore::new(Cache::builder().max_weight(64 << 20))?; // 64 MiB
/// let session = Session::new(None, Arc::new(store.clone()), None);
/// session.insert("user", "ada").await?;
/// session.save().await?;
/// let bytes = store.cache().read(&session.id().unwrap(), record_bytes).unwrap();
/// assert!(bytes > 300 && bytes < store.cache().weight());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[must_use]
pub fn record_bytes(record: &Record) -> u64 {
    let table = table_bytes(&record.data);
    let owned = record.data.iter().map(|(name, value)| text_bytes(name) + owned_bytes(value));
    (size_of::<Record>() + table + owned.sum::<usize>()) as u64
}
