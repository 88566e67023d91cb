//! Freeing garbage that no reader can reach any more.
//!
//! One drainer at a time a shard: a thread that finds the token taken leaves the work to its holder.
//! And one drain at a time a thread and cache: a listener that calls its cache, whose call would drain
//! in turn, leaves that to the drain that it was called from, instead of recursing. A drainer holds no
//! lock while user code runs.
//!
//! D1. What a drainer puts back wants attention again: it publishes that under the lock, and a helper
//!     rings the alarm, for the reaper may have looked while it had the garbage in hand.
//! D2. The reaper does not poll for the token: if it finds it taken, it notes that under the lock, and
//!     the drainer rings the alarm as soon as it has given the token back.

use super::{BITE, Shard, Shared};
use crate::platform::clock::process_ns;
use crate::platform::sync::{AtomicU64, DrainGuard, Ordering};
use crate::retire::{Readers, Ripe};

/// What a step of draining came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Drained {
    /// Nothing is ripe.
    Nothing,
    /// Nothing: another drain is at it, which may stop early.
    Taken,
    /// A bite, or as much of it as there was time for: there may be more.
    Some,
}

/// Who drains.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Drainer {
    Caller,
    /// Is rung for when the token that it has found taken is back (D2).
    Reaper,
    /// The one that has dropped the last handle.
    Last,
}

impl<K, V> Shard<K, V> {
    /// Frees all that is ripe, unless another thread is at it, or this one is: then its outer drain
    /// or the reaper has to.
    pub(crate) fn drain(&self, shared: &Shared<K, V>) -> Drained {
        self.drain_for_a_while(shared, usize::MAX, &|| false)
    }

    /// Like [`drain`](Self::drain), but no more than so many bites, and only until it `is_over`. Tells
    /// what the last bite came to.
    pub(crate) fn drain_for_a_while(
        &self,
        shared: &Shared<K, V>,
        most: usize,
        is_over: &impl Fn() -> bool,
    ) -> Drained {
        let Some(_drain) = shared.drain_guard() else { return Drained::Taken };
        let mut bites = 0;
        loop {
            let drained = self.drain_bite(shared, Drainer::Caller, is_over);
            bites += 1;
            if drained != Drained::Some || bites == most || is_over() {
                return drained;
            }
        }
    }

    /// Frees everything, also what is not ripe: the last handle is gone.
    pub(crate) fn drain_all(&self, shared: &Shared<K, V>) {
        self.state.lock().garbage.seal();
        while self.drain_bite(shared, Drainer::Last, &|| false) == Drained::Some {}
    }

    /// Frees a bite of what is ripe, or less if it `is_over` before that. To be called inside a
    /// [`DrainGuard`], unless nobody can call the cache any more.
    pub(crate) fn drain_bite(
        &self,
        shared: &Shared<K, V>,
        drainer: Drainer,
        is_over: &impl Fn() -> bool,
    ) -> Drained {
        let readers = if drainer == Drainer::Last { Readers::Gone } else { Readers::Possible };
        let mut state = self.state.lock();
        if !state.garbage.try_start_draining() {
            state.is_drainer_awaited |= drainer == Drainer::Reaper;
            return Drained::Taken;
        }
        let was_released = self.take_release();
        let Some(ripe) = state.garbage.take_ripe(BITE, readers) else { return Drained::Nothing };
        drop(state);
        if was_released && ripe.is_full(BITE) {
            self.note_release();
        }
        self.dispose(shared, ripe, is_over);
        Drained::Some
    }

    /// Takes entries apart until it `is_over`, and gives the rest and the token back.
    fn dispose(&self, shared: &Shared<K, V>, mut ripe: Ripe<K, V>, is_over: &impl Fn() -> bool) {
        ripe.free_tables();
        let disposal = &shared.disposal;
        let mut begun_ns = process_ns();
        loop {
            let (stride, mut disposed) = (disposal.stride(), 0);
            for removed in ripe.next_removed(stride) {
                let weight = removed.weight;
                disposal.dispose(removed, shared);
                add(&self.dropped_weight, weight);
                add(&self.dropped, 1);
                disposed += 1;
            }
            let now_ns = process_ns();
            disposal.note_pace(stride, now_ns.saturating_sub(begun_ns));
            if disposed < stride || is_over() {
                break;
            }
            begun_ns = now_ns;
        }
        if ripe.has_free() {
            self.note_release();
        }
        let mut state = self.state.lock();
        state.garbage.put_back(ripe);
        if state.garbage.needs_draining() {
            shared.bounds.publish_look(self.number, 0);
        }
        let is_awaited = core::mem::take(&mut state.is_drainer_awaited);
        drop(state);
        if is_awaited {
            shared.alarm.ring_by(shared.clock.exact_ns());
        }
    }

    /// Whether garbage still waits for its readers or a drainer.
    pub(crate) fn needs_draining(&self) -> bool {
        self.is_released() || self.state.lock().garbage.needs_draining()
    }

    /// Notes that a closure has let go of an entry, of which no drainer has heard since.
    pub(super) fn note_release(&self) {
        // Release: pairs with the swap in `take_release`: who sees it sees the hold gone.
        self.is_released.store(true, Ordering::Release);
    }

    /// Whether that was noted. Whoever asks looks at all that was released before, or notes it again
    /// if it does not get that far.
    fn take_release(&self) -> bool {
        // AcqRel: pairs with the store in `note_release`.
        self.is_released.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn is_released(&self) -> bool {
        // Acquire: pairs with the store in `note_release`.
        self.is_released.load(Ordering::Acquire)
    }

    /// Closes the open batch of garbage.
    pub(crate) fn seal(&self) {
        self.state.lock().garbage.seal();
    }

    /// Whether anything is left that is neither held by a closure nor freed, or may be.
    pub(crate) fn is_dirty(&self) -> bool {
        let state = self.state.lock();
        self.is_released() || state.garbage.is_waiting() || state.garbage.is_draining()
    }
}

impl<K, V> Shared<K, V> {
    /// Marks the current thread as one that drains this cache; `None` if it is one already.
    pub(crate) fn drain_guard(&self) -> Option<DrainGuard> {
        DrainGuard::enter(self.address())
    }

    /// Whether the current thread is inside a drain of this cache.
    pub(crate) fn is_draining_here(&self) -> bool {
        DrainGuard::is_active(self.address())
    }

    fn address(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }
}

/// Adds to a count of which only the drainer, one at a time (R2), is the writer.
#[inline]
fn add(count: &AtomicU64, more: u64) {
    // Relaxed: the drainer before this one gave its token back through a lock.
    let before = count.load(Ordering::Relaxed);
    // Release: pairs with the loads in `add_figures` and `audit`: who sees the count sees the
    // destructor's work. Wraps around like what was pushed.
    count.store(before.wrapping_add(more), Ordering::Release);
}
