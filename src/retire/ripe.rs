//! What a drainer has taken out of the garbage, and takes apart.

#![allow(unsafe_code, reason = "the only place that frees what readers may have seen")]

use std::collections::VecDeque;

use crate::index::{Chain, OldTable, Removed, Unlinked};

/// What a drainer may free, and what it found held.
pub(crate) struct Ripe<K, V> {
    pub(super) entries: Chain<K, V>,
    pub(super) free: VecDeque<Unlinked<K, V>>,
    pub(super) tables: Vec<OldTable<K, V>>,
    pub(super) stuck: Vec<Unlinked<K, V>>,
    pub(super) is_ordered: bool,
    pub(super) since_ns: u64,
}

impl<K, V> Ripe<K, V> {
    pub(super) fn none(is_ordered: bool) -> Self {
        Self {
            entries: Chain::new(),
            free: VecDeque::new(),
            tables: Vec::new(),
            stuck: Vec::new(),
            is_ordered,
            since_ns: u64::MAX,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len() + self.free.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0 && self.tables.is_empty()
    }

    /// Whether it has entries that closures let go of.
    pub(crate) fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// Whether the limit may have cut it off.
    pub(crate) fn is_full(&self, limit: usize) -> bool {
        self.len() >= limit
    }

    /// Frees the tables.
    pub(crate) fn free_tables(&mut self) {
        for table in self.tables.drain(..) {
            // SAFETY: R3 holds for all that `take_ripe` gave out.
            unsafe { table.free() };
        }
    }

    /// Takes the next entries apart that no closure holds, as many as asked for or [`AT_ONCE`]; what
    /// their destructors will ask for is on its way before the first is.
    #[inline]
    pub(crate) fn next_removed(
        &mut self,
        most: usize,
    ) -> impl Iterator<Item = Removed<K, V>> + use<K, V> {
        let mut next = [const { None::<Unlinked<K, V>> }; AT_ONCE];
        for place in next.iter_mut().take(most) {
            *place = self.next_free();
        }
        // SAFETY: no hold is left, and R3 holds for all that was taken.
        next.into_iter().flatten().map(|unlinked| unsafe { unlinked.take() })
    }

    #[inline]
    fn next_free(&mut self) -> Option<Unlinked<K, V>> {
        // What is in `free` was found free when it was taken from its queue.
        let mut unlinked = match self.free.pop_front() {
            Some(unlinked) => unlinked,
            None => loop {
                let unlinked = self.entries.pop()?;
                let hash = unlinked.hash();
                let is_behind =
                    self.is_ordered && self.stuck.iter().any(|stuck| stuck.hash() == hash);
                if !is_behind && unlinked.is_free() {
                    break unlinked;
                }
                self.stuck.push(unlinked);
            },
        };
        // SAFETY: no hold is left, and R3 holds for all that was taken.
        unsafe { unlinked.fetch_pointees() };
        Some(unlinked)
    }
}

/// How many entries are taken apart at once: about as many waits for memory as a processor has under
/// way.
pub(crate) const AT_ONCE: usize = 16;
