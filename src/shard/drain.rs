//! Getting rid of garbage that nobody reads any more.
//!
//! One drainer at a time a shard: whoever finds the token taken leaves the work to its holder. And
//! one drain at a time a thread: a listener that calls the cache, whose call would drain in turn,
//! leaves that to the drain that it was called from, instead of recursing.

use super::{BITE, Shard, Shared, State};
use crate::index::Held;
use crate::platform::sync::{AtomicU64, DrainGuard, MutexGuard, Ordering};
use crate::retire::Readers;

impl<K, V> Shard<K, V> {
    /// Frees all that is ripe, unless another thread is at it, or this one is: then its outer drain
    /// or the reaper has to.
    pub(crate) fn drain(&self, shared: &Shared<K, V>) {
        let Some(_drain) = DrainGuard::enter() else { return };
        while self.drain_some(shared, Readers::Possible) {}
    }

    /// Ends a hold, and frees the entry if it waited only for that. Waits for no lock: where it
    /// cannot be done from here, this is false and the caller rings for the reaper.
    pub(crate) fn release(&self, shared: &Shared<K, V>, held: Held<K, V>) -> bool {
        if !held.release() {
            return true;
        }
        // Release: pairs with the swap in `drain_locked`: who sees it sees the hold gone.
        self.is_released.store(true, Ordering::Release);
        let Some(_drain) = DrainGuard::enter() else { return false };
        let Some(state) = self.state.try_lock() else { return false };
        self.drain_locked(shared, state, Readers::Possible)
    }

    /// Frees everything, also what is not ripe: the last handle is gone.
    pub(crate) fn drain_all(&self, shared: &Shared<K, V>) {
        self.state.lock().garbage.seal();
        while self.drain_some(shared, Readers::Gone) {}
    }

    /// Frees a bite of what is ripe; true if there may be more. To be called inside a
    /// [`DrainGuard`], unless nobody can call the cache any more.
    pub(crate) fn drain_some(&self, shared: &Shared<K, V>, readers: Readers) -> bool {
        self.drain_locked(shared, self.state.lock(), readers)
    }

    fn drain_locked(
        &self,
        shared: &Shared<K, V>,
        mut state: MutexGuard<'_, State<K, V>>,
        readers: Readers,
    ) -> bool {
        if !state.garbage.try_start_draining() {
            return false;
        }
        // AcqRel: pairs with the store in `release`. All that was released before is looked at now,
        // and set again if the bite does not reach that far.
        let was_released = self.is_released.swap(false, Ordering::AcqRel);
        let Some(mut ripe) = state.garbage.take_ripe(BITE, readers) else { return false };
        if was_released && ripe.is_full(BITE) {
            // Release: as in `release`.
            self.is_released.store(true, Ordering::Release);
        }
        drop(state);
        ripe.free_tables();
        while let Some(removed) = ripe.next_removed() {
            let weight = removed.weight;
            shared.disposal.dispose(removed, &shared.clock);
            add(&self.dropped_weight, weight);
            add(&self.dropped, 1);
        }
        let mut state = self.state.lock();
        state.garbage.put_back(ripe);
        state.garbage.stop_draining();
        true
    }

    /// Whether garbage still waits for its readers or a drainer.
    pub(crate) fn needs_draining(&self) -> bool {
        self.is_released() || self.state.lock().garbage.needs_draining()
    }

    pub(super) fn is_released(&self) -> bool {
        // Acquire: pairs with the store in `release`.
        self.is_released.load(Ordering::Acquire)
    }

    /// Closes the open batch of garbage.
    pub(crate) fn seal(&self) {
        self.state.lock().garbage.seal();
    }

    /// Whether anything is left that is neither held by a closure nor freed.
    pub(crate) fn is_dirty(&self) -> bool {
        let state = self.state.lock();
        state.garbage.is_waiting() || state.garbage.is_draining()
    }
}

/// Adds to a count of which only the drainer, one at a time (R2), is the writer.
fn add(count: &AtomicU64, more: u64) {
    // Relaxed: the drainer before this one gave its token back under the shard's lock.
    let before = count.load(Ordering::Relaxed);
    // Release: pairs with the loads in `add_figures` and `audit`: who sees the count sees the
    // destructor's work. Wraps around like what was pushed.
    count.store(before.wrapping_add(more), Ordering::Release);
}
