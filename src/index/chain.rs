//! Unlinked entries in a row, linked through the entries themselves.

#![allow(unsafe_code, reason = "the links are pointers in entries that readers share")]

use core::ptr::{NonNull, null_mut};

use crate::index::entry::{Entry, tagged, untagged};
use crate::index::prefetch::fetch_entry;
use crate::index::token::Unlinked;
use crate::platform::sync::{IS_MODEL, Ordering};

/// Unlinked entries in the order in which they left, linked through themselves: no allocation.
///
/// They are dealt out in turn to a few strands, so that the next ones are known, and fetched, long
/// before it is their turn: a single list tells of the second only when the first has arrived.
///
/// N6. The `n`th entry from the front hangs in the strand `n` after the first, as the `n / STRANDS`th.
pub(crate) struct Chain<K, V> {
    /// Null where a strand is empty.
    heads: [*mut Entry<K, V>; STRANDS],
    tails: [*mut Entry<K, V>; STRANDS],
    /// The strand of the front.
    first: usize,
    len: usize,
}

impl<K, V> Chain<K, V> {
    pub(crate) const fn new() -> Self {
        Self { heads: [null_mut(); STRANDS], tails: [null_mut(); STRANDS], first: 0, len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn push(&mut self, unlinked: Unlinked<K, V>) {
        let entry = unlinked.0.as_ptr();
        // Release: tells readers in `after` that the index has moved on.
        unlinked.entry().link.store(tagged(null_mut()), Ordering::Release);
        self.hang(self.len, entry, entry);
        self.len += 1;
    }

    /// Hangs a piece of strand on that of the `n`th entry.
    fn hang(&mut self, n: usize, head: *mut Entry<K, V>, tail: *mut Entry<K, V>) {
        let strand = (self.first + n) % STRANDS;
        if self.heads[strand].is_null() {
            self.heads[strand] = head;
        } else if let Some(before) = NonNull::new(self.tails[strand]) {
            // SAFETY: the chain owns the tokens of its entries, so the tail exists.
            let before = unsafe { before.as_ref() };
            // Release: as in `push`; a tag stays a tag.
            before.link.store(tagged(head), Ordering::Release);
        }
        self.tails[strand] = tail;
    }

    /// Moves all of `other` to the end of this chain, in constant time.
    pub(crate) fn append(&mut self, other: &mut Self) {
        let other = core::mem::replace(other, Self::new());
        for n in 0..STRANDS.min(other.len) {
            let strand = (other.first + n) % STRANDS;
            self.hang(self.len + n, other.heads[strand], other.tails[strand]);
        }
        self.len += other.len;
    }

    pub(crate) fn pop(&mut self) -> Option<Unlinked<K, V>> {
        let head = NonNull::new(self.heads[self.first])?;
        // SAFETY: the chain owns the tokens of its entries, so the head exists.
        let entry = unsafe { head.as_ref() };
        // Relaxed: the owner of the chain has stored it, or was given it by who did.
        let next = untagged(entry.link.load(Ordering::Relaxed));
        fetch_entry(next);
        self.heads[self.first] = next;
        self.first = (self.first + 1) % STRANDS;
        self.len -= 1;
        Some(Unlinked(head))
    }
}

/// How many entries are on their way at a time; two where few entries must make a strand.
const STRANDS: usize = if IS_MODEL { 2 } else { 4 };

// SAFETY: a chain is its tokens; see `Unlinked`.
unsafe impl<K: Send + Sync, V: Send + Sync> Send for Chain<K, V> {}
