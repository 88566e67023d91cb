//! What all handles of a cache share, and what crosses its shards: the reaper's pass, the end.

use core::hash::BuildHasher;

use crossbeam_utils::CachePadded;

use crate::budget::Coldness;
use crate::builder::{Checked, Weigher};
use crate::lifetime::Spans;
use crate::platform::clock::{MILLI_NS, NEVER_NS};
use crate::platform::hasher::KeyHash;
use crate::platform::stripe::Tally;
use crate::platform::sync::{
    Arc, AtomicU64, AtomicUsize, DrainGuard, Mutex, Ordering, Ticket, is_pinned, nap, ripen,
    thread, turn_epoch,
};
use crate::reaper::Alarm;
use crate::removal::{OnFull, RemovalCause};
use crate::shard::{After, Drained, Shard, Shared, Visit};

pub(crate) struct Core<K, V, S> {
    pub(super) shards: Box<[CachePadded<Shard<K, V>>]>,
    pub(super) shared: Shared<K, V>,
    pub(super) hasher: S,
    pub(super) spans: Spans,
    pub(super) on_full: OnFull,
    pub(super) weigher: Option<Box<Weigher<K, V>>>,
    pub(super) alarm: Arc<Alarm>,
    pub(super) tally: Tally,
    pub(super) rejected: AtomicU64,
    pub(super) wakeups: AtomicU64,
    pub(super) inexact: AtomicU64,
    /// The one gatherer's.
    pub(super) coldness: Mutex<Coldness>,
    /// User handles; the reaper's own share of the core does not count.
    pub(super) handles: AtomicUsize,
    pub(super) reaper: Mutex<Option<thread::JoinHandle<()>>>,
}

/// What the reaper finds on its way through the shards. Its room is kept from pass to pass: the
/// reaper must not wait for the allocator.
pub(super) struct Round {
    /// Where garbage waits for a drainer.
    dirty: Vec<usize>,
    /// Whose lock was taken at the first attempt.
    busy: Vec<usize>,
    look_ns: u64,
    has_more: bool,
    has_more_due: bool,
    /// Where the next pass begins: at the first shard whose refiling this one put off, so that each
    /// has its turn.
    first: usize,
    is_put_off: bool,
    /// Where the next drain begins: after the shard that the last one was broken off in.
    drain_first: usize,
    /// How long the last drain took.
    drained_ns: u64,
}

impl Round {
    pub(super) fn through(shards: usize) -> Self {
        let (dirty, busy) = (Vec::with_capacity(shards), Vec::with_capacity(shards));
        Self {
            dirty,
            busy,
            look_ns: NEVER_NS,
            has_more: false,
            has_more_due: false,
            first: 0,
            is_put_off: false,
            drain_first: 0,
            drained_ns: 0,
        }
    }

    fn clear(&mut self) {
        self.dirty.clear();
        (self.look_ns, self.is_put_off) = (NEVER_NS, false);
        (self.has_more, self.has_more_due) = (false, false);
    }

    fn note(&mut self, number: usize, visit: Visit) {
        self.has_more |= visit.has_more;
        self.has_more_due |= visit.has_more_due;
        self.look_ns = self.look_ns.min(visit.look_ns);
        if visit.is_put_off && !self.is_put_off {
            (self.first, self.is_put_off) = (number, true);
        }
        if visit.has_garbage {
            self.dirty.push(number);
        }
    }
}

impl<K, V, S> Core<K, V, S> {
    #[inline]
    pub(super) fn shard(&self, hash: KeyHash) -> &Shard<K, V> {
        &self.shards[hash.shard as usize & (self.shards.len() - 1)]
    }

    pub(super) fn weigh(&self, key: &K, value: &V) -> u64 {
        self.weigher.as_ref().map_or(1, |weigher| weigher(key, value).max(1))
    }

    /// Does what a call on a shard has left to do. No lock and no room may be held.
    pub(super) fn follow_up(&self, shard: &Shard<K, V>, after: After) {
        self.follow_up_untold(shard, after);
        self.tell_of_pressure();
    }

    /// The same for a call that has more to do before it tells how pressure has changed.
    pub(super) fn follow_up_untold(&self, shard: &Shard<K, V>, after: After) {
        self.alarm.ring_by(after.look_ns);
        if after.has_full_batch {
            self.help(shard);
        }
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
            self.alarm.ring_by(self.shared.clock.exact_ns());
            return;
        }
        self.shared.budget.tell_news(|pressure| self.shared.disposal.tell(pressure));
    }

    /// Helps to get rid of a shard's garbage: two rounds, without waiting for anybody.
    pub(super) fn help(&self, shard: &Shard<K, V>) {
        // A pinned thread would wait for itself, and inside a listener, of whatever cache, the outer
        // drain goes on: it may be another reaper's. Ours, who was told of the garbage, comes anyway.
        if is_pinned() || DrainGuard::is_any_active() {
            return;
        }
        Ticket::defer();
        turn_epoch();
        shard.drain_bites(&self.shared, MOST_HELP);
    }

    /// One waking of the reaper: unlinks what is due, then frees what nobody reads any more, then
    /// tells of pressure. Leaves the alarm set for the next time.
    pub(super) fn reaper_pass(&self, round: &mut Round) {
        // Relaxed: a figure.
        self.wakeups.fetch_add(1, Ordering::Relaxed);
        self.reap_and_free(round);
        self.tell_of_pressure();
    }

    fn reap_and_free(&self, round: &mut Round) {
        loop {
            // All that is due is unlinked before any listener is called, unless that takes long.
            // Refiling has about as much time as listeners take: else, where they are slow, the
            // wheel would fall behind.
            let begun_ns = self.shared.clock.exact_ns();
            let refile_ns = round.drained_ns.clamp(LEAST_REFILE_NS, MOST_REFILE_NS);
            let refile_until_ns = begun_ns.saturating_add(refile_ns);
            let reap_until_ns = begun_ns.saturating_add(MOST_REAP_NS);
            loop {
                self.visit_all(round, refile_until_ns);
                if self.alarm.is_stopped() {
                    return;
                }
                let until_ns = if round.has_more_due { reap_until_ns } else { refile_until_ns };
                if !round.has_more || self.shared.clock.exact_ns() >= until_ns {
                    break;
                }
            }
            let drain_ns = self.shared.clock.exact_ns();
            let is_done = self.drain_dirty(round) && !round.has_more;
            let now_ns = self.shared.clock.exact_ns();
            round.drained_ns = now_ns.saturating_sub(drain_ns);
            if is_done && round.look_ns > now_ns {
                return;
            }
        }
    }

    /// Visits every shard that wants attention, once.
    fn visit_all(&self, round: &mut Round, refile_until_ns: u64) {
        self.alarm.disarm();
        round.clear();
        let now_ns = self.shared.clock.exact_ns();
        let (before, from_first) = self.shards.split_at(round.first);
        let in_turn = (round.first..).zip(from_first).chain((0..).zip(before));
        for (number, shard) in in_turn {
            let look_ns = self.shared.bounds.look_ns(number);
            if look_ns > now_ns && !shard.is_released() {
                round.look_ns = round.look_ns.min(look_ns);
                continue;
            }
            match shard.try_visit(&self.shared, refile_until_ns) {
                Some(visit) => round.note(number, visit),
                None => round.busy.push(number),
            }
        }
        // Whoever has such a lock may have lost the processor: nobody else waits for that.
        while let Some(number) = round.busy.pop() {
            let visit = self.shards[number].visit(&self.shared, refile_until_ns);
            round.note(number, visit);
        }
        self.alarm.lower(round.look_ns);
    }

    /// Frees the garbage of the shards that have some; false if something became due meanwhile, of
    /// which it takes no notice at first: there may always be something.
    fn drain_dirty(&self, round: &mut Round) -> bool {
        if round.dirty.is_empty() {
            return true;
        }
        Ticket::defer();
        ripen();
        let Some(_drain) = self.shared.drain_guard() else { return true };
        let busy_until_ns = self.shared.clock.exact_ns().saturating_add(LEAST_DRAIN_NS);
        let is_over = || {
            let now_ns = self.shared.clock.exact_ns();
            now_ns >= busy_until_ns && self.alarm.at_ns() <= now_ns
        };
        // One shard may have new garbage for ever: the next drain begins with the others.
        let (shards, first) = (self.shards.len(), round.drain_first);
        round.dirty.sort_unstable_by_key(|&number| (number + shards - first) % shards);
        let mut is_unripe = false;
        for &number in &round.dirty {
            let shard = &self.shards[number];
            for _ in 0..MOST_BITES {
                match shard.drain_in_turn(&self.shared, &is_over) {
                    Drained::Some if is_over() => {
                        round.drain_first = (number + 1) % shards;
                        return false;
                    }
                    Drained::Some => {}
                    Drained::Nothing | Drained::Taken | Drained::Busy => break,
                }
            }
            is_unripe |= shard.needs_draining();
        }
        if is_unripe {
            // A reader is inside its pin, descheduled perhaps. It will not be long.
            let mut again_ns = self.shared.resolution_ns.min(UNRIPE_RETRY_NS);
            if !self.shared.clock.runs() {
                // A clock that moves only when it is told to knows nothing of readers.
                nap();
                again_ns = 0;
            }
            self.alarm.lower(self.shared.clock.exact_ns().saturating_add(again_ns));
        }
        true
    }

    /// Reaps all that is due by its exact deadline and frees what nobody reads, on this thread.
    pub(super) fn reap_now(&self) -> usize {
        let mut reaped = 0;
        let mut has_garbage = false;
        for shard in &self.shards {
            loop {
                let (visit, after) = shard.reap(&self.shared, true);
                self.alarm.ring_by(visit.look_ns.min(after.look_ns));
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
        reaped
    }

    /// Frees what nobody reads any more, but for what the current thread would wait for itself.
    pub(super) fn free_garbage(&self) {
        if is_pinned() || self.shared.is_draining_here() {
            return;
        }
        Ticket::defer();
        ripen();
        let is_taken = |&number: &usize| self.shards[number].drain(&self.shared) == Drained::Taken;
        let taken: Vec<_> = (0..self.shards.len()).filter(is_taken).collect();
        for number in taken {
            self.shards[number].drain(&self.shared);
        }
    }

    /// Unlinks everything, for one cause.
    pub(super) fn unlink_all(&self, cause: RemovalCause) {
        for shard in &self.shards {
            let mut from = Some(0);
            while let Some(next) = from {
                let (further, after) = shard.unlink_bite(&self.shared, next, cause);
                self.follow_up(shard, after);
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
        self.shut();
        // Where this thread is inside a drain of this cache, it is marked already.
        let _drain = self.shared.drain_guard();
        for shard in &self.shards {
            shard.drain_all(&self.shared);
        }
    }

    /// The last handle has gone.
    pub(super) fn retire_core(&self) {
        self.alarm.stop();
        let reaper = self.reaper.lock().take();
        match reaper {
            // The last handle was dropped by a listener or a destructor on the reaper's own thread:
            // it finishes when it comes out of there, and nobody waits for it.
            Some(reaper) if reaper.thread().id() == thread::current().id() => {}
            Some(reaper) => {
                // The reaper has finished, or died of a fault of ours; either way it is gone, and
                // what is left is freed here.
                let _ended = reaper.join();
                self.finish();
            }
            None => self.finish(),
        }
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
            alarm: Arc::new(Alarm::new()),
            tally: Tally::new(),
            rejected: AtomicU64::new(0),
            wakeups: AtomicU64::new(0),
            inexact: AtomicU64::new(0),
            coldness: Mutex::new(Coldness::new(checked.shards)),
            handles: AtomicUsize::new(1),
            reaper: Mutex::new(None),
        }
    }
}

impl<K, V, S: BuildHasher> Core<K, V, S> {
    #[inline]
    pub(super) fn hash<Q: core::hash::Hash + ?Sized>(&self, key: &Q) -> KeyHash {
        KeyHash::of(self.hasher.hash_one(key))
    }
}

/// How soon the reaper looks again for a reader that was in the way.
const UNRIPE_RETRY_NS: u64 = MILLI_NS;
/// How long a pass refiles what is not due yet, at least and at most: meanwhile other sessions come
/// due, and garbage waits.
const LEAST_REFILE_NS: u64 = MILLI_NS;
const MOST_REFILE_NS: u64 = 5 * MILLI_NS;
/// How long draining goes on even if other sessions have come due.
const LEAST_DRAIN_NS: u64 = 2 * MILLI_NS;
/// How long what is due is unlinked before some of it is freed.
const MOST_REAP_NS: u64 = 10 * MILLI_NS;
/// How many bites of a shard's garbage the reaper gets rid of before the next shard's, also where
/// the clock stands still.
const MOST_BITES: usize = 256;
/// How many bites of garbage one call helps to get rid of.
const MOST_HELP: usize = 4;
