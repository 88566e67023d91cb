//! What all handles of a cache share, and what crosses its shards: reaping by hand, helping, the end.

use core::hash::BuildHasher;

use crossbeam_utils::CachePadded;

use super::flight::Flights;
use crate::budget::Coldness;
use crate::builder::{Checked, Weigher};
use crate::error::Reason;
use crate::lifetime::Spans;
use crate::memory::Giver;
use crate::platform::clock::{MILLI_NS, process_ns};
use crate::platform::hasher::KeyHash;
use crate::platform::stripe::Tally;
use crate::platform::sync::{
    AtomicU64, AtomicUsize, DrainGuard, Mutex, Ticket, is_pinned, ripen, turn_epoch,
};
use crate::platform::thread::Home;
use crate::reaper::Left;
use crate::removal::{OnFull, RemovalCause};
use crate::shard::{After, Drained, Shard, Shared};

pub(crate) struct Core<K, V, S> {
    pub(super) shards: Box<[CachePadded<Shard<K, V>>]>,
    pub(super) shared: Shared<K, V>,
    pub(super) hasher: S,
    pub(super) spans: Spans,
    pub(super) on_full: OnFull,
    pub(super) weigher: Option<Box<Weigher<K, V>>>,
    pub(super) tally: Tally,
    /// By reason.
    pub(super) rejected: [AtomicU64; Reason::COUNT],
    pub(super) wakeups: AtomicU64,
    pub(super) inexact: AtomicU64,
    /// The one gatherer's.
    pub(super) coldness: Mutex<Coldness>,
    /// User handles; the reaper's own share of the core does not count.
    pub(super) handles: AtomicUsize,
    /// The process that the reaper's thread is in.
    pub(super) home: Home,
    /// Loads under way.
    pub(super) flights: Flights<K>,
    /// What gives free memory back; none without a reaper.
    pub(super) giver: Option<Giver>,
}

impl<K, V, S> Core<K, V, S> {
    #[inline]
    pub(super) fn shard(&self, hash: KeyHash) -> &Shard<K, V> {
        &self.shards[hash.shard as usize & (self.shards.len() - 1)]
    }

    pub(super) fn weigh(&self, key: &K, value: &V) -> u64 {
        self.weigher.as_ref().map_or(1, |weigher| weigher(key, value).max(1))
    }

    /// Does what a call on a shard has left to do, and tells how pressure has changed. No lock and no
    /// room may be held.
    pub(super) fn follow_up(&self, shard: &Shard<K, V>, after: After) {
        if after == After::Help {
            self.help([shard]);
        }
        self.tell_of_pressure();
    }

    /// Tells how pressure has changed, if it has. No lock and no room may be held.
    #[inline]
    pub(super) fn tell_of_pressure(&self) {
        if self.shared.budget.has_news() {
            self.tell_news();
        }
    }

    #[cold]
    fn tell_news(&self) {
        // Somebody's `clone` has called us. Readers do not run longer than that: the reaper tells.
        if is_pinned() {
            self.shared.alarm.ring_by(self.shared.clock.exact_ns());
            return;
        }
        self.shared.budget.tell_news(|pressure| self.shared.disposal.tell(pressure));
    }

    /// Helps to free the garbage of some shards, for [`MOST_HELP_NS`] in all: a caller pays for what it
    /// adds to the reaper's work, but not for a slow listener or destructor of other sessions.
    pub(super) fn help<'s>(&self, shards: impl IntoIterator<Item = &'s Shard<K, V>>)
    where
        K: 's,
        V: 's,
    {
        // Skip if pinned (we would wait for ourselves) or inside any cache's listener (we would delay
        // its drain). The reaper has been alerted.
        if is_pinned() || DrainGuard::is_any_active() {
            return;
        }
        self.notice_population();
        Ticket::defer_unless_under_way();
        turn_epoch();
        let until_ns = process_ns().saturating_add(MOST_HELP_NS);
        let is_over = || process_ns() >= until_ns;
        for shard in shards {
            if shard.drain_for_a_while(&self.shared, MOST_HELP, &is_over) == Drained::Some {
                // The reaper may have looked at this shard while this thread had its garbage.
                self.shared.alarm.ring_by(self.shared.clock.exact_ns());
            }
            if is_over() {
                return;
            }
        }
    }

    /// Reaps all that is due by its exact deadline and frees what nobody reads, on this thread.
    pub(super) fn reap_now(&self) -> usize {
        self.notice_population();
        let mut reaped = 0;
        let mut has_garbage = false;
        for shard in &self.shards {
            loop {
                // All garbage is freed below.
                let (visit, _) = shard.reap(&self.shared, true);
                reaped += visit.reaped;
                has_garbage |= visit.has_garbage;
                if !visit.has_more {
                    break;
                }
            }
        }
        if has_garbage {
            self.free_garbage();
        }
        self.tell_of_pressure();
        self.look_to_overstays();
        reaped
    }

    /// Frees what nobody reads any more, but for what the current thread would wait for itself.
    pub(super) fn free_garbage(&self) {
        if is_pinned() || self.shared.is_draining_here() {
            return;
        }
        Ticket::defer();
        ripen();
        // Who had the drainer's token there may have stopped before it got to all: a second look.
        let is_taken = |&number: &usize| self.shards[number].drain(&self.shared) == Drained::Taken;
        let taken: Vec<_> = (0..self.shards.len()).filter(is_taken).collect();
        for number in taken {
            self.shards[number].drain(&self.shared);
        }
    }

    /// Unlinks everything, for one cause.
    pub(super) fn unlink_all(&self, cause: RemovalCause) {
        self.notice_population();
        for shard in &self.shards {
            let mut from = Some(0);
            while let Some(next) = from {
                // The garbage is left to the reaper: to free it may take as long as listeners like.
                let (further, _) = shard.unlink_bite(&self.shared, next, cause);
                self.tell_of_pressure();
                from = further;
            }
        }
    }

    /// Lets nobody in any more and unlinks everything.
    pub(super) fn shut(&self) {
        for shard in &self.shards {
            shard.bar();
        }
        self.unlink_all(RemovalCause::Closed);
    }

    /// The end: no handle is left, so nobody is inside, and everything is freed.
    pub(super) fn finish(&self) {
        self.free_all();
        self.give_back_at_the_end();
    }

    fn free_all(&self) {
        self.shut();
        // Where this thread is inside a drain of this cache, it is marked already.
        let _drain = self.shared.drain_guard();
        for shard in &self.shards {
            shard.drain_all(&self.shared);
        }
    }

    /// The end in a forked child, where no thread of the parent's but this one exists. False, and
    /// nothing is freed, if another one had a lock when the parent forked: it keeps that for ever.
    fn finish_after_fork(&self) -> bool {
        let is_free = self.shared.budget.is_free()
            && self.shards.iter().all(|shard| shard.is_free())
            && self.shared.disposal.watch().is_none_or(|watch| watch.is_free());
        if is_free {
            self.free_all();
        }
        is_free
    }

    /// The last handle has gone. False if what is left must not be touched any more.
    pub(super) fn retire_core(&self) -> bool {
        if self.home.is_elsewhere() {
            // The crew's threads do not exist here.
            return self.finish_after_fork();
        }
        match self.shared.alarm.leave() {
            Left::Free => self.finish(),
            // A listener or a destructor has dropped the last handle while the reaper is at this cache.
            Left::ToItsThread => {}
        }
        true
    }
}

impl<K, V, S> Core<K, V, S> {
    pub(super) fn new(
        shared: Shared<K, V>,
        hasher: S,
        on_full: OnFull,
        weigher: Option<Box<Weigher<K, V>>>,
        (checked, max_entries, has_listener): (Checked, Option<usize>, bool),
    ) -> Self {
        let expected = max_entries.map_or(usize::MAX / 2, |entries| {
            let share = entries / checked.shards;
            // Four standard deviations above the mean of a random spread.
            share.saturating_add(4 * share.isqrt() + 8)
        });
        let keeps_recency = on_full == OnFull::Evict;
        let shards = (0..checked.shards).map(|number| {
            let resolution_ns = checked.resolution_ns;
            let shard = Shard::new(number, expected, resolution_ns, keeps_recency, has_listener);
            CachePadded::new(shard)
        });
        Self {
            shards: shards.collect(),
            shared,
            hasher,
            spans: checked.spans,
            on_full,
            weigher,
            tally: Tally::new(),
            rejected: Default::default(),
            wakeups: AtomicU64::new(0),
            inexact: AtomicU64::new(0),
            coldness: Mutex::new(Coldness::new(checked.shards)),
            handles: AtomicUsize::new(1),
            home: Home::here(),
            flights: Flights::default(),
            giver: None,
        }
    }
}

impl<K, V, S: BuildHasher> Core<K, V, S> {
    #[inline]
    pub(super) fn hash<Q: core::hash::Hash + ?Sized>(&self, key: &Q) -> KeyHash {
        KeyHash::of(self.hasher.hash_one(key))
    }
}

/// How many bites of a shard's garbage a call helps to free, and for how long.
const MOST_HELP: usize = 4;
const MOST_HELP_NS: u64 = MILLI_NS;
