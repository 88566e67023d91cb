//! What shards publish side by side, so that nobody takes a lock only to find nothing to do there.
//!
//! ```text
//!   each shard ──due────► gatherer ──coldest, none due──► whoever inserts, in any shard
//!              └─look───► reaper
//! ```
//!
//! V1. `due[s]` is at most the earliest deadline in shard `s`.
//! V2. `look[s]` is at most the time at which something in shard `s` wants the reaper's attention,
//!     and 0 from a visit that finds garbage, or somebody draining it, until one that finds neither.
//!     What a closure lets go of is noted elsewhere. It is written under the shard's lock; whoever lowers it rings the alarm
//!     *then*, and the reaper disarms the alarm before it looks (P1).
//! V3. As long as `due_lowered` is what `seen_lowered` says, no deadline lies before
//!     `none_due_before_ns`. Both are written by the gatherer, under its lock, the time first. So who
//!     sees a count sees its time or a later one, and before a later time there is no deadline but
//!     of a later count: of these, whoever has heard of one finds `due_lowered` raised as well. And who
//!     sees a time sees the room of what was due before it and has been reaped.
//! V4. `coldest_ms` is at most the last use of every session of the cache. Last uses only grow, and
//!     who comes in is used then, or restored before anyone was evicted, so it stays true. Written by the gatherer, under its lock.

use crate::platform::clock::NEVER_NS;
use crate::platform::sync::{AtomicU64, Ordering};

pub(crate) struct Bounds {
    due: Box<[AtomicU64]>,
    look: Box<[AtomicU64]>,
    /// How often one of `due` was lowered.
    due_lowered: AtomicU64,
    none_due_before_ns: AtomicU64,
    seen_lowered: AtomicU64,
    coldest_ms: AtomicU64,
}

impl Bounds {
    pub(crate) fn new(shards: usize) -> Self {
        let never = || (0..shards).map(|_| AtomicU64::new(NEVER_NS)).collect();
        Self {
            due: never(),
            look: never(),
            due_lowered: AtomicU64::new(0),
            none_due_before_ns: AtomicU64::new(0),
            seen_lowered: AtomicU64::new(0),
            coldest_ms: AtomicU64::new(0),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.due) + size_of_val(&*self.look)
    }

    /// A lower bound of the deadlines in this shard.
    pub(crate) fn earliest_ns(&self, shard: usize) -> u64 {
        // Acquire: pairs with the store in `publish_earliest`: who sees that nothing is due any more
        // sees the room that it had. What it misses was filed just now.
        self.due[shard].load(Ordering::Acquire)
    }

    /// Publishes a lower bound of a shard's deadlines; for the holder of its lock.
    pub(super) fn publish_earliest(&self, shard: usize, earliest_ns: u64) {
        // Release: pairs with the load in `earliest_ns`. V1 holds for whoever takes the lock.
        self.due[shard].store(earliest_ns, Ordering::Release);
    }

    /// Tells everybody that what was published just now lies before what was there.
    pub(super) fn note_lowered(&self) {
        // Release: pairs with the load in `due_lowered`.
        self.due_lowered.fetch_add(1, Ordering::Release);
    }

    /// How often a shard's bound was lowered. What was seen of them after this count holds for as
    /// long as the count does; they may have been raised.
    pub(crate) fn due_lowered(&self) -> u64 {
        // Acquire: pairs with the addition in `note_lowered`: who sees the count sees the bound.
        self.due_lowered.load(Ordering::Acquire)
    }

    /// Notes that nothing was due before this time, as seen after the bounds had been lowered so many
    /// times; for the gatherer.
    pub(crate) fn see_none_due_before(&self, none_due_before_ns: u64, due_lowered: u64) {
        // Release: pairs with the load in `is_none_due`: who sees this time sees the room of what was
        // due before it.
        self.none_due_before_ns.store(none_due_before_ns, Ordering::Release);
        // Release: pairs with the load in `is_none_due`: who sees the count sees the time.
        self.seen_lowered.store(due_lowered, Ordering::Release);
    }

    /// Whether it is certain that nothing is due (V3).
    pub(crate) fn is_none_due(&self, now_ns: u64) -> bool {
        // Acquire: pairs with the store in `see_none_due_before`, and comes first: a time older than
        // its count would be too late.
        let seen_lowered = self.seen_lowered.load(Ordering::Acquire);
        // Acquire: pairs with the store there. It may be a later time than that of the count.
        let none_due_before_ns = self.none_due_before_ns.load(Ordering::Acquire);
        now_ns < none_due_before_ns && self.due_lowered() == seen_lowered
    }

    /// Notes that nobody was used before this millisecond; for the gatherer.
    pub(crate) fn see_coldest(&self, coldest_ms: u64) {
        // Relaxed: V4 is as true for who sees it early or late.
        self.coldest_ms.store(coldest_ms, Ordering::Relaxed);
    }

    /// Nobody was used before this millisecond.
    pub(super) fn coldest_ms(&self) -> u64 {
        // Relaxed: as in `see_coldest`.
        self.coldest_ms.load(Ordering::Relaxed)
    }

    /// When the reaper has to visit this shard, but for what closures let go of.
    pub(crate) fn look_ns(&self, shard: usize) -> u64 {
        // Relaxed: what the alarm brings along is seen, and the rest rings later (V2).
        self.look[shard].load(Ordering::Relaxed)
    }

    /// Publishes when the reaper has to visit a shard; for the holder of its lock.
    pub(super) fn publish_look(&self, shard: usize, look_ns: u64) {
        // Relaxed: the alarm is rung after it.
        self.look[shard].store(look_ns, Ordering::Relaxed);
    }
}

#[cfg(all(test, sundown_loom))]
mod loom_tests;
