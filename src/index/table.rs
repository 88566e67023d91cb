//! An array of chunks: where a key's entry is, for readers without a lock and for one writer.
//!
//! A key's *home* is the chunk that its hash's high bits pick; from there a search goes on, chunk by
//! chunk, for as long as keys have gone past. Entries never move within a table: whoever finds a key
//! once finds it at the same place until it is removed.
//!
//! B1. A lane's tag is not zero exactly if its pointer is not null, for the holder of the lock.
//! B2. A chunk's overflow count is the number of entries beyond it whose home lies at or before it,
//!     or it is stuck at 255.
//! B3. A reader that sees a tag sees the pointer that was stored before it, or a later one.

#![allow(unsafe_code, reason = "readers follow the lanes' pointers under a pin")]

use core::ptr::{NonNull, null_mut};

use crate::error::{Broken, ensure};
use crate::index::chunk::{Chunk, Control, LANES, tag_of};
use crate::index::entry::Entry;
use crate::index::prefetch::fetch_line;
use crate::index::token::Linked;
use crate::platform::sync::{AtomicUsize, Ordering};

pub(super) struct Table<K, V> {
    chunks: Box<[Chunk<K, V>]>,
}

/// Where an entry stands in a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    chunk: usize,
    lane: usize,
}

impl<K, V> Table<K, V> {
    pub(super) fn with_room_for(entries: usize) -> Self {
        let chunks = chunks_for(entries);
        Self { chunks: (0..chunks).map(|_| Chunk::empty()).collect() }
    }

    /// How many entries it holds at most.
    pub(super) fn limit(&self) -> usize {
        limit_of(self.chunks.len())
    }

    /// How many entries a table with room for so many holds at most.
    pub(super) fn limit_for(entries: usize) -> usize {
        limit_of(chunks_for(entries))
    }

    /// What each entry takes in a table that is well filled: between full and just grown by half.
    pub(super) const fn bytes_per_entry() -> usize {
        let full_bytes_times_eleven = 2 * size_of::<Chunk<K, V>>();
        (full_bytes_times_eleven * 5).div_ceil(LOAD_TIMES_TWO * 4)
    }

    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.chunks)
    }

    /// The chunks that a search for `hash` goes through: all of them, from its home on.
    #[inline]
    fn path(&self, hash: u32) -> impl Iterator<Item = usize> {
        let count = self.chunks.len();
        let mut next = home_of(hash, count);
        (0..count).map(move |_| {
            let index = next;
            next = if index + 1 == count { 0 } else { index + 1 };
            index
        })
    }

    /// The entry with this hash that `matches`. Chunks with no room left by others end the search.
    ///
    /// # Safety
    ///
    /// The caller holds the shard's lock, or a pin taken before it loaded the pointer to this
    /// table, for as long as it keeps the result.
    #[inline]
    pub(super) unsafe fn find(
        &self,
        hash: u32,
        mut matches: impl FnMut(&Entry<K, V>) -> bool,
    ) -> Option<(Place, &Entry<K, V>)> {
        let tag = tag_of(hash);
        let count = self.chunks.len();
        let mut index = home_of(hash, count);
        // The path, written out: this is what every read runs.
        for _ in 0..count {
            let chunk = &self.chunks[index];
            // Acquire: pairs with the stores in `insert` (B3).
            let control = Control(chunk.control.load(Ordering::Acquire));
            for lane in control.lanes_with(tag) {
                // Acquire: pairs with the stores in `insert` and `put`: the entry is complete.
                let entry = NonNull::new(chunk.lanes[lane].load(Ordering::Acquire));
                // SAFETY: an entry that a lane shows is linked or was, and since then the caller's
                // lock or pin keeps it from being freed.
                let Some(entry) = entry.map(|entry| unsafe { entry.as_ref() }) else { continue };
                if entry.hash() == hash && matches(entry) {
                    return Some((Place { chunk: index, lane }, entry));
                }
            }
            if !control.is_overflown() {
                return None;
            }
            index = if index + 1 == count { 0 } else { index + 1 };
        }
        None
    }

    /// Adds an entry whose key is not in; for the writer, who has seen that there is room.
    pub(super) fn insert(&self, hash: u32, entry: *mut Entry<K, V>) {
        for index in self.path(hash) {
            let chunk = &self.chunks[index];
            // Relaxed: only the writer stores it.
            let control = Control(chunk.control.load(Ordering::Relaxed));
            let Some(lane) = control.free_lane() else {
                // Release, and before the entry is published further on: a reader that has heard of
                // the entry goes past this chunk.
                chunk.control.store(control.with_one_more_past().0, Ordering::Release);
                continue;
            };
            // Release: publishes the entry to `find`.
            chunk.lanes[lane].store(entry, Ordering::Release);
            // Release: publishes the lane (B3).
            chunk.control.store(control.with_tag(lane, tag_of(hash)).0, Ordering::Release);
            return;
        }
        unreachable!("the load limit leaves free lanes");
    }

    /// Puts another entry with the same hash into an entry's place.
    pub(super) fn put(&self, place: Place, entry: *mut Entry<K, V>) {
        // Release: publishes the entry to `find`.
        self.chunks[place.chunk].lanes[place.lane].store(entry, Ordering::Release);
    }

    /// Where this very entry stands; for the writer.
    pub(super) fn place_of(&self, entry: &Linked<K, V>) -> Option<Place> {
        let tag = tag_of(entry.hash());
        let count = self.chunks.len();
        let mut index = home_of(entry.hash(), count);
        for _ in 0..count {
            let chunk = &self.chunks[index];
            // Relaxed, both: only the writer stores them.
            let control = Control(chunk.control.load(Ordering::Relaxed));
            for lane in control.lanes_with(tag) {
                if chunk.lanes[lane].load(Ordering::Relaxed) == entry.as_ptr() {
                    return Some(Place { chunk: index, lane });
                }
            }
            index = if index + 1 == count { 0 } else { index + 1 };
        }
        None
    }

    /// Frees an entry's place; for the writer.
    pub(super) fn remove(&self, hash: u32, place: Place) {
        for index in self.path(hash) {
            let chunk = &self.chunks[index];
            // Relaxed: only the writer stores it.
            let control = Control(chunk.control.load(Ordering::Relaxed));
            if index == place.chunk {
                // Release, both: a reader that sees the lane used again sees the tag gone or new.
                chunk.control.store(control.with_tag(place.lane, 0).0, Ordering::Release);
                chunk.lanes[place.lane].store(null_mut(), Ordering::Release);
                return;
            }
            // Release: a reader that misses the key here has the removal before it.
            chunk.control.store(control.with_one_fewer_past().0, Ordering::Release);
        }
    }

    /// Adds all of `other`'s entries; for the writer, while nobody else sees this table.
    ///
    /// # Safety
    ///
    /// The caller holds the shard's lock, and `other` is the shard's current table.
    pub(super) unsafe fn adopt(&self, other: &Self) {
        for (index, chunk) in other.chunks.iter().enumerate() {
            if let Some(ahead) = other.chunks.get(index + ADOPTED_AHEAD) {
                // Relaxed: nothing is read by way of it.
                ahead.lanes.iter().for_each(|lane| fetch_line(lane.load(Ordering::Relaxed).addr()));
            }
            for lane in &chunk.lanes {
                // Relaxed: only the writer stores it.
                let pointer = lane.load(Ordering::Relaxed);
                let Some(entry) = NonNull::new(pointer) else { continue };
                // SAFETY: under the lock, an entry in the current table is linked.
                let hash = unsafe { entry.as_ref() }.hash();
                self.insert(hash, pointer);
            }
        }
    }

    /// Whether some chunk's overflow count is no longer exact; for the writer.
    #[cfg(all(any(test, fuzzing), not(sundown_loom)))]
    pub(super) fn has_stuck_count(&self) -> bool {
        // Relaxed: only the writer stores it.
        let count = |chunk: &Chunk<K, V>| Control(chunk.control.load(Ordering::Relaxed)).overflow();
        self.chunks.iter().any(|chunk| count(chunk) == u8::MAX)
    }

    /// Checks B1 and B2 and that `owns` knows each entry; counts them.
    ///
    /// # Safety
    ///
    /// The caller holds the shard's lock, and this is the shard's current table.
    pub(super) unsafe fn check(
        &self,
        owns: impl Fn(&Entry<K, V>) -> bool,
    ) -> Result<usize, Broken> {
        let mut past = vec![0_usize; self.chunks.len()];
        let mut entries = 0;
        for (index, chunk) in self.chunks.iter().enumerate() {
            // Relaxed, all: only the writer, whose lock is held, stores them.
            let control = Control(chunk.control.load(Ordering::Relaxed));
            for lane in 0..LANES {
                let entry = NonNull::new(chunk.lanes[lane].load(Ordering::Relaxed));
                let tagged = control.tag(lane) != 0;
                ensure!("B1", tagged == entry.is_some(), "lane {lane} of chunk {index}");
                let Some(entry) = entry else { continue };
                // SAFETY: under the lock, an entry in the current table is linked.
                let entry = unsafe { entry.as_ref() };
                ensure!("B1", control.tag(lane) == tag_of(entry.hash()), "tag in chunk {index}");
                ensure!("I2", owns(entry), "an entry of chunk {index} has no record");
                self.path(entry.hash()).take_while(|&on| on != index).for_each(|on| past[on] += 1);
                entries += 1;
            }
        }
        for (index, (chunk, past)) in self.chunks.iter().zip(past).enumerate() {
            // Relaxed: as above.
            let count = Control(chunk.control.load(Ordering::Relaxed)).overflow();
            let exact = usize::from(count) == past || count == u8::MAX;
            ensure!("B2", exact, "chunk {index} counts {count} past it, not {past}");
        }
        Ok(entries)
    }
}

/// Where the current table's chunks are, for fetching one before the table may be looked at.
///
/// The two words may belong to different tables: what is fetched then is of no use, and no harm.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    chunks: AtomicUsize,
    count: AtomicUsize,
}

impl Ahead {
    #[inline]
    pub(super) fn prefetch(&self, hash: u32) {
        // Relaxed, both: nothing is read by way of them.
        let count = self.count.load(Ordering::Relaxed);
        let offset = home_of(hash, count) * size_of::<Chunk<(), ()>>();
        fetch_line(self.chunks.load(Ordering::Relaxed).wrapping_add(offset));
    }

    pub(super) fn point_to<K, V>(&self, table: &Table<K, V>) {
        // Relaxed, both: see `prefetch`.
        self.chunks.store(table.chunks.as_ptr().addr(), Ordering::Relaxed);
        self.count.store(table.chunks.len(), Ordering::Relaxed);
    }

    pub(super) fn forget(&self) {
        // Relaxed: see `prefetch`.
        self.count.store(0, Ordering::Relaxed);
    }
}

/// The chunk where the search for a hash begins: the high bits of the product are uniform over the
/// chunks without a division.
#[inline]
fn home_of(hash: u32, count: usize) -> usize {
    ((u64::from(hash) * count as u64) >> 32) as usize
}

/// The fewest chunks that hold `entries`.
fn chunks_for(entries: usize) -> usize {
    if entries <= LANES { 1 } else { (2 * entries).div_ceil(LOAD_TIMES_TWO) }
}

fn limit_of(chunks: usize) -> usize {
    if chunks == 1 { LANES } else { chunks * LOAD_TIMES_TWO / 2 }
}

/// How many chunks before their turn the hashes of adopted entries are fetched: a miss for each, of
/// which a processor bears a dozen at a time.
const ADOPTED_AHEAD: usize = 2;
/// Five and a half of seven lanes full: a miss looks at 1.2 chunks on average.
const LOAD_TIMES_TWO: usize = 11;
