//! Holds on sessions, for as long as closures run.

use core::ops::Deref;

use super::{Shard, Shared};
use crate::index::Held;

/// A hold that ends when this is dropped, also by a panic of the closure that it was taken for. What then
/// waits only for that is left to the reaper: a reader runs no other session's destructor, and takes no
/// lock.
pub(crate) struct Hold<'s, K, V> {
    shard: &'s Shard<K, V>,
    shared: &'s Shared<K, V>,
    held: Option<Held<K, V>>,
}

impl<'s, K, V> Hold<'s, K, V> {
    #[inline]
    pub(crate) fn new(shard: &'s Shard<K, V>, shared: &'s Shared<K, V>, held: Held<K, V>) -> Self {
        Self { shard, shared, held: Some(held) }
    }

    pub(crate) fn shard(&self) -> &'s Shard<K, V> {
        self.shard
    }
}

impl<K, V> Deref for Hold<'_, K, V> {
    type Target = Held<K, V>;

    #[inline]
    fn deref(&self) -> &Held<K, V> {
        self.held.as_ref().expect("the hold ends with this guard")
    }
}

impl<K, V> Drop for Hold<'_, K, V> {
    #[inline]
    fn drop(&mut self) {
        if self.held.take().is_some_and(Held::release) {
            self.shard.note_release();
            self.shared.alarm.ring_by(self.shared.clock.exact_ns());
        }
    }
}
