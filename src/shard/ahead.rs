//! Fetching ahead what the reaper's visits come to.
//!
//! The shards of a large cache are cold when their turn comes: a visit follows half a dozen pointers,
//! and waits for memory at each. The reaper takes several shards a step further before any of them
//! the next one.

use super::Shard;
use crate::index::{fetch_bytes, fetch_whole};
use crate::ledger::Hop;

/// A step on the way of a visit, which can be taken once what the step before led to has been fetched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// To the records that are due first.
    Ledger(Hop),
    /// To their entries.
    Entries,
    /// To the places in the table that these name.
    Places,
}

impl Step {
    /// In their order.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Hop::ALL.into_iter().map(Self::Ledger).chain([Self::Entries, Self::Places])
    }
}

impl<K, V> Shard<K, V> {
    /// Has the processor fetch what a visit begins with.
    pub(crate) fn prefetch(&self) {
        fetch_whole(self);
    }

    /// Has the processor fetch what a step of a visit leads to, unless the lock is taken: who has it
    /// has fetched what it needs.
    pub(crate) fn fetch_ahead(&self, step: Step) {
        let Some(state) = self.state.try_lock() else { return };
        match step {
            Step::Ledger(hop) => state.ledger.tell_way(hop, fetch_bytes),
            Step::Entries => state.ledger.soonest().for_each(|entry| entry.prefetch()),
            Step::Places => {
                state.ledger.soonest().for_each(|entry| self.index.prefetch(entry.hash()));
            }
        }
    }
}
