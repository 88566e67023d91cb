//! Unlinked entries in a row, linked through the entries themselves.

#![allow(unsafe_code, reason = "the links are pointers in entries that readers share")]

use core::ptr::{NonNull, null_mut};

use crate::index::entry::{Entry, tagged, untagged};
use crate::index::prefetch::fetch_entry;
use crate::index::token::Unlinked;
use crate::platform::sync::Ordering;

/// Unlinked entries in the order in which they left, linked through themselves: no allocation.
pub(crate) struct Chain<K, V> {
    head: *mut Entry<K, V>,
    tail: *mut Entry<K, V>,
    len: usize,
}

impl<K, V> Chain<K, V> {
    pub(crate) const fn new() -> Self {
        Self { head: null_mut(), tail: null_mut(), len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn push(&mut self, unlinked: Unlinked<K, V>) {
        let entry = unlinked.0.as_ptr();
        // Release: tells readers in `after` that the index has moved on.
        unlinked.entry().link.store(tagged(null_mut()), Ordering::Release);
        if let Some(tail) = NonNull::new(self.tail) {
            // SAFETY: the chain owns the tokens of its entries, so the tail exists.
            let tail = unsafe { tail.as_ref() };
            // Release: as above; a tag stays a tag.
            tail.link.store(tagged(entry), Ordering::Release);
        } else {
            self.head = entry;
        }
        self.tail = entry;
        self.len += 1;
    }

    /// Moves all of `other` to the end of this chain, in constant time.
    pub(crate) fn append(&mut self, other: &mut Self) {
        let other = core::mem::replace(other, Self::new());
        let Some(tail) = NonNull::new(self.tail) else {
            *self = other;
            return;
        };
        if !other.head.is_null() {
            // SAFETY: the chain owns the tokens of its entries, so the tail exists.
            let tail = unsafe { tail.as_ref() };
            // Release: as in `push`; a tag stays a tag.
            tail.link.store(tagged(other.head), Ordering::Release);
            self.tail = other.tail;
            self.len += other.len;
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Unlinked<K, V>> {
        let head = NonNull::new(self.head)?;
        // SAFETY: the chain owns the tokens of its entries, so the head exists.
        let entry = unsafe { head.as_ref() };
        // Relaxed: the owner of the chain has stored it, or was given it by who did.
        self.head = untagged(entry.link.load(Ordering::Relaxed));
        if self.head.is_null() {
            self.tail = null_mut();
        }
        fetch_entry(self.head);
        self.len -= 1;
        Some(Unlinked(head))
    }
}

// SAFETY: a chain is its tokens; see `Unlinked`.
unsafe impl<K: Send + Sync, V: Send + Sync> Send for Chain<K, V> {}
