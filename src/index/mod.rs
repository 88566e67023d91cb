//! From key to entry: read without a lock, written by one thread at a time.
//!
//! The index is a pointer to a table of chunks. Readers load it under a pin and search; they take no
//! lock and wait for nobody. The writer, who proves with `&mut Writer` that it holds the shard's
//! lock, changes one word at a time, in an order that leaves every reader a correct view.
//!
//! I1. Under the lock, each key has at most one entry in the table, and that entry is not dead.
//! I2. Under the lock, the entries in the table are those whose [`Linked`] tokens the ledger has.
//! I3. An entry dies before it leaves the table; one that is replaced names its successor before it
//!     dies. So a key that is replaced is never missing: a reader that finds the old entry dead
//!     goes on to the new one, even if the writer stops between the two steps.
//! I4. Tables and entries that have left are freed only after a grace period.

#![allow(unsafe_code, reason = "tables are shared with readers that hold no lock")]

mod chain;
mod chunk;
mod entry;
#[cfg(all(any(test, fuzzing), not(sundown_loom)))]
pub(crate) mod history;
#[cfg(all(test, sundown_loom))]
pub(crate) mod loom_tests;
mod prefetch;
mod table;
#[cfg(all(test, not(sundown_loom)))]
mod tests;
mod token;
mod word;

use core::ptr::{NonNull, null_mut};

pub(crate) use chain::Chain;
pub(crate) use entry::{After, Entry, Look, Use};
use table::{Ahead, Table};
pub(crate) use token::{Fresh, Heir, Held, Linked, Removed, Succession, Unlinked};

use crate::error::{Broken, ensure};
use crate::platform::block::block_bytes;
use crate::platform::clock::Clock;
use crate::platform::sync::{AtomicPtr, Ordering, Pin};
use crate::removal::RemovalCause;

pub(crate) struct Index<K, V> {
    table: AtomicPtr<Table<K, V>>,
    ahead: Ahead,
}

/// The right to write one index; lives in the shard's lock.
#[derive(Debug)]
pub(crate) struct Writer {
    len: usize,
    limit: usize,
    /// Growth does not go beyond this at one step: the capacity will not need it.
    expected: usize,
}

/// A table that readers may still be searching.
pub(crate) struct OldTable<K, V>(NonNull<Table<K, V>>);

impl<K, V> Index<K, V> {
    /// An index, and the one right to write it. `expected` entries are what its share of the
    /// capacity comes to.
    pub(crate) fn new(expected: usize) -> (Self, Writer) {
        let index = Self { table: AtomicPtr::new(null_mut()), ahead: Ahead::default() };
        (index, Writer { len: 0, limit: 0, expected })
    }

    /// Has the processor fetch the chunk where a search will begin, while the caller does something
    /// else: reads the clock, pins.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u32) {
        self.ahead.prefetch(hash);
    }

    /// The entry that the table shows for a key; it may be dead. No lock, no waiting.
    #[inline]
    pub(crate) fn find<'p>(
        &'p self,
        _pin: &'p Pin,
        hash: u32,
        same_key: impl Fn(&K) -> bool,
    ) -> Option<&'p Entry<K, V>> {
        // Acquire: pairs with the store in `rebuild`.
        let table = NonNull::new(self.table.load(Ordering::Acquire))?;
        // SAFETY: a table is freed only after a grace period (I4), and the pin was taken before.
        let table = unsafe { table.as_ref() };
        // SAFETY: the pin was taken before the table was loaded, and lasts for 'p.
        unsafe { table.find(hash, |entry| same_key(entry.key())) }.map(|(_, entry)| entry)
    }

    /// Like [`find`](Self::find), and leaves the trace of `wish` on a live entry. A dead entry is
    /// followed to its successor.
    #[inline]
    pub(crate) fn look_up<'p>(
        &'p self,
        pin: &'p Pin,
        hash: u32,
        same_key: impl Fn(&K) -> bool,
        look: (&Clock, Use),
    ) -> Option<&'p Entry<K, V>> {
        self.look_up_if(pin, hash, same_key, |_| true, look)
    }

    /// Like [`look_up`](Self::look_up), if the value `is_right`; else it leaves no trace.
    #[inline]
    pub(crate) fn look_up_if<'p>(
        &'p self,
        pin: &'p Pin,
        hash: u32,
        same_key: impl Fn(&K) -> bool,
        is_right: impl Fn(&V) -> bool,
        (clock, wish): (&Clock, Use),
    ) -> Option<&'p Entry<K, V>> {
        loop {
            let mut entry = self.find(pin, hash, &same_key)?;
            loop {
                let is_right = is_right(entry.value());
                match entry.look(clock, if is_right { wish } else { Use::Peek }) {
                    Look::Live => return is_right.then_some(entry),
                    Look::Due => return None,
                    Look::Dead => match entry.after(pin) {
                        After::Nowhere => return None,
                        After::Successor(successor) => entry = successor,
                        // The writer has completed a step since: this loop waits for nobody.
                        After::Again => break,
                    },
                }
            }
        }
    }

    /// Looks a live entry up and takes a hold on it.
    pub(crate) fn hold(
        &self,
        pin: &Pin,
        hash: u32,
        same_key: impl Fn(&K) -> bool,
        (clock, wish): (&Clock, Use),
    ) -> Option<Held<K, V>> {
        debug_assert!(matches!(wish, Use::Hold | Use::TouchAndHold), "only these take a hold");
        let entry = self.look_up(pin, hash, same_key, (clock, wish))?;
        // SAFETY: the look has taken a hold, for which this is the only token.
        Some(unsafe { Held::of(entry) })
    }

    fn current<'w>(&'w self, _writer: &'w Writer) -> Option<&'w Table<K, V>> {
        // Relaxed: only the writer stores it.
        let table = NonNull::new(self.table.load(Ordering::Relaxed))?;
        // SAFETY: the current table is replaced only by the writer, who is borrowed for 'w.
        Some(unsafe { table.as_ref() })
    }

    /// The linked entry of a hash that `matches`, which must not call user code.
    pub(crate) fn find_linked<'w>(
        &'w self,
        writer: &'w Writer,
        hash: u32,
        matches: impl FnMut(&Entry<K, V>) -> bool,
    ) -> Option<&'w Entry<K, V>> {
        let table = self.current(writer)?;
        // SAFETY: the borrow of the writer is the shard's lock, held for 'w.
        unsafe { table.find(hash, matches) }.map(|(_, entry)| entry)
    }

    /// Takes a hold on a linked entry of a hash, if there is one.
    #[inline]
    pub(crate) fn hold_linked(&self, writer: &Writer, hash: u32) -> Option<Held<K, V>> {
        let entry = self.find_linked(writer, hash, |_| true)?;
        // SAFETY: the borrow of the writer is the shard's lock, and what is in the table is not dead
        // (I1).
        Some(unsafe { Held::take(entry) })
    }

    /// Publishes an entry under a key that is not in. May grow the table.
    pub(crate) fn link(
        &self,
        writer: &mut Writer,
        fresh: Fresh<K, V>,
    ) -> (Linked<K, V>, Option<OldTable<K, V>>) {
        let old = (writer.len == writer.limit).then(|| self.grow(writer)).flatten();
        let linked = fresh.into_linked();
        let table = self.current(writer).expect("growing has made a table");
        table.insert(linked.hash(), linked.as_ptr());
        writer.len += 1;
        (linked, old)
    }

    /// Kills `old` and puts `fresh` in its place, so that no reader ever misses the key (I3).
    ///
    /// On success the caller turns the token of `old` into garbage by
    /// [`Linked::into_superseded`]; it learns why `old` was over already, if it was.
    pub(crate) fn supersede(
        &self,
        writer: &mut Writer,
        old: &Linked<K, V>,
        fresh: Fresh<K, V>,
        succession: Succession,
        now_ns: u64,
    ) -> Result<Heir<K, V>, Fresh<K, V>> {
        let table = self.current(writer).expect("a linked entry is in a table");
        let place = table.place_of(old).expect("I2: a linked entry is in the table");
        let (heir, due) = old.hand_over(fresh, succession, now_ns)?;
        table.put(place, heir.as_ptr());
        Ok((heir, due))
    }

    /// Takes a dead entry out.
    pub(crate) fn unlink(
        &self,
        writer: &mut Writer,
        linked: Linked<K, V>,
        cause: RemovalCause,
    ) -> Unlinked<K, V> {
        let table = self.current(writer).expect("a linked entry is in a table");
        let place = table.place_of(&linked).expect("I2: a linked entry is in the table");
        table.remove(linked.hash(), place);
        writer.len -= 1;
        linked.into_unlinked(cause)
    }

    fn grow(&self, writer: &mut Writer) -> Option<OldTable<K, V>> {
        let wanted = writer.limit + writer.limit / 2;
        let most = writer.expected.max(writer.len + writer.len / 8);
        self.rebuild(writer, wanted.min(most).max(writer.len + 1))
    }

    /// Whether the table is much larger than its entries need.
    pub(crate) fn has_slack(&self, writer: &Writer) -> bool {
        writer.len * 100 < writer.limit * SLACK_PERCENT
            && (writer.len == 0 || Table::<K, V>::limit_for(roomy(writer.len)) < writer.limit)
    }

    /// Fits the table to its entries; an empty one goes altogether.
    pub(crate) fn fit(&self, writer: &mut Writer) -> Option<OldTable<K, V>> {
        if !self.has_slack(writer) {
            return None;
        }
        if writer.len == 0 {
            writer.limit = 0;
            self.ahead.forget();
            return self.publish(null_mut());
        }
        self.rebuild(writer, roomy(writer.len))
    }

    /// Copies the table into one with room for `entries`. The time is that of reading every
    /// entry's hash: a cache line each.
    fn rebuild(&self, writer: &mut Writer, entries: usize) -> Option<OldTable<K, V>> {
        let table = Table::with_room_for(entries);
        if let Some(current) = self.current(writer) {
            // SAFETY: the borrow of the writer is the shard's lock, and this is the current table.
            unsafe { table.adopt(current) };
        }
        writer.limit = table.limit();
        self.ahead.point_to(&table);
        self.publish(Box::into_raw(Box::new(table)))
    }

    fn publish(&self, table: *mut Table<K, V>) -> Option<OldTable<K, V>> {
        // AcqRel: publishes the table to `find`; only the writer stores, so it reads its own store.
        NonNull::new(self.table.swap(table, Ordering::AcqRel)).map(OldTable)
    }

    /// What each session takes here beside its key and value, in an index that is well filled: the
    /// rest of its entry's block, and its part of the table.
    pub(crate) const fn bytes_per_session() -> usize {
        let inline_bytes = size_of::<K>() + size_of::<V>();
        block_bytes(size_of::<Entry<K, V>>()) - inline_bytes + Table::<K, V>::bytes_per_entry()
    }

    pub(crate) fn bytes(&self, writer: &Writer) -> usize {
        self.current(writer).map_or(0, Table::bytes)
    }

    /// Checks I2 and the table's invariants; `owns` tells whether the ledger has an entry's token.
    pub(crate) fn check(
        &self,
        writer: &Writer,
        owns: impl Fn(&Entry<K, V>) -> bool,
    ) -> Result<(), Broken> {
        let table = self.current(writer);
        ensure!("I5", table.map_or(0, Table::limit) == writer.limit, "limit {}", writer.limit);
        // SAFETY: the borrow of the writer is the shard's lock, and this is the current table.
        let entries = table.map_or(Ok(0), |table| unsafe { table.check(owns) })?;
        ensure!("I2", entries == writer.len, "{entries} entries, {} counted", writer.len);
        Ok(())
    }
}

impl<K, V> Drop for Index<K, V> {
    fn drop(&mut self) {
        if let Some(table) = self.publish(null_mut()) {
            // SAFETY: `&mut self`: no reader can be inside.
            unsafe { table.free() };
        }
    }
}

impl<K, V> OldTable<K, V> {
    pub(crate) fn bytes(&self) -> usize {
        // SAFETY: the table is freed only by `free`, which consumes the token.
        unsafe { self.0.as_ref() }.bytes()
    }

    /// Gives the memory back. The entries are not the table's.
    ///
    /// # Safety
    ///
    /// Every pin that was held when the table was replaced has ended (I4).
    pub(crate) unsafe fn free(self) {
        // SAFETY: the pointer came from a Box in `rebuild`; by the caller's promise nobody reads it.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

// SAFETY: a table is pointers to entries, which are shared between threads where `K` and `V` may
// be; whoever has the token only frees the array.
unsafe impl<K: Send + Sync, V: Send + Sync> Send for OldTable<K, V> {}

/// What a table is fitted to: an eighth of it is free.
fn roomy(entries: usize) -> usize {
    entries + entries / 7 + 1
}

/// A table filled to less than this is fitted when things are quiet. Growing leaves it at 67 %.
const SLACK_PERCENT: usize = 65;
