//! One waking of the reaper: all that is due is unlinked, shard by shard, and then freed.

use super::core::Core;
use crate::platform::clock::{MILLI_NS, NEVER_NS};
use crate::platform::sync::{Arc, Ordering, Ticket, nap, ripen};
use crate::reaper::Task;
use crate::shard::{Drained, Drainer, Visit};

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
    /// Whether the last drain left something that a reader was in the way of.
    is_unripe: bool,
    /// Whether another thread had garbage in hand.
    is_taken: bool,
}

impl Round {
    pub(super) fn through(shards: usize) -> Self {
        let each = || Vec::with_capacity(shards);
        Self {
            dirty: each(),
            busy: each(),
            look_ns: NEVER_NS,
            has_more: false,
            has_more_due: false,
            first: 0,
            is_put_off: false,
            drain_first: 0,
            drained_ns: 0,
            is_unripe: false,
            is_taken: false,
        }
    }

    /// Whether the last drain left no garbage behind but what a closure holds.
    pub(super) fn is_clean(&self) -> bool {
        !self.is_unripe && !self.is_taken
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

/// The reaper's task for one cache.
pub(super) struct Reaping<K, V, S> {
    core: Arc<Core<K, V, S>>,
    round: Round,
}

impl<K, V, S> Reaping<K, V, S> {
    pub(super) fn of(core: Arc<Core<K, V, S>>) -> Self {
        let round = Round::through(core.shards.len());
        Self { core, round }
    }
}

impl<K: Send + Sync, V: Send + Sync, S: Send + Sync> Task for Reaping<K, V, S> {
    fn attend(&mut self) -> u64 {
        let alarm = &self.core.shared.alarm;
        if alarm.is_due() {
            self.core.reaper_pass(&mut self.round);
        }
        alarm.look_ns()
    }

    fn finish(self: Box<Self>) {
        self.core.finish();
    }
}

impl<K, V, S> Core<K, V, S> {
    /// One waking of the reaper: unlinks what is due, then frees what nobody reads any more, then
    /// tells of pressure. Leaves the alarm set for the next time.
    pub(super) fn reaper_pass(&self, round: &mut Round) {
        // Relaxed: a figure.
        self.wakeups.fetch_add(1, Ordering::Relaxed);
        self.notice_population();
        self.reap_and_free(round);
        self.tell_of_pressure();
        self.look_to_memory(round);
        self.look_to_overstays();
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
                if self.shared.alarm.is_stopped() {
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
            if self.shared.alarm.is_crew_wanted() {
                // The other caches come first, and then this one again.
                self.shared.alarm.lower(now_ns);
                return;
            }
        }
    }

    /// Visits every shard that wants attention, once.
    fn visit_all(&self, round: &mut Round, refile_until_ns: u64) {
        self.shared.alarm.disarm();
        round.clear();
        let now_ns = self.shared.clock.exact_ns();
        let shards = self.shards.len();
        for number in (round.first..shards).chain(0..round.first) {
            let look_ns = self.shared.bounds.look_ns(number);
            if look_ns > now_ns && !self.shards[number].is_released() {
                round.look_ns = round.look_ns.min(look_ns);
                continue;
            }
            match self.shards[number].try_visit(&self.shared, refile_until_ns) {
                Some(visit) => round.note(number, visit),
                None => round.busy.push(number),
            }
        }
        // The thread that has such a lock may have lost the processor: the other shards came first.
        while let Some(number) = round.busy.pop() {
            let visit = self.shards[number].visit(&self.shared, refile_until_ns);
            round.note(number, visit);
        }
        self.shared.alarm.lower(round.look_ns);
    }

    /// Frees the garbage of the shards that have some; false if something became due meanwhile, of
    /// which it takes no notice at first: there may always be something.
    fn drain_dirty(&self, round: &mut Round) -> bool {
        (round.is_unripe, round.is_taken) = (false, false);
        if round.dirty.is_empty() {
            return true;
        }
        Ticket::defer();
        ripen();
        let Some(_drain) = self.shared.drain_guard() else { return true };
        let busy_until_ns = self.shared.clock.exact_ns().saturating_add(LEAST_DRAIN_NS);
        let is_over = || {
            let now_ns = self.shared.clock.exact_ns();
            let alarm = &self.shared.alarm;
            now_ns >= busy_until_ns && (alarm.at_ns() <= now_ns || alarm.is_crew_wanted())
        };
        // One shard may have new garbage for ever: the next drain begins with the others.
        let (shards, first) = (self.shards.len(), round.drain_first);
        round.dirty.sort_unstable_by_key(|&number| (number + shards - first) % shards);
        for &number in &round.dirty {
            let shard = &self.shards[number];
            let mut is_taken = false;
            for _ in 0..MOST_BITES {
                match shard.drain_bite(&self.shared, Drainer::Reaper, &is_over) {
                    Drained::Some if is_over() => {
                        round.drain_first = (number + 1) % shards;
                        return false;
                    }
                    Drained::Some => {}
                    drained => {
                        is_taken = drained == Drained::Taken;
                        break;
                    }
                }
            }
            round.is_taken |= is_taken;
            round.is_unripe |= !is_taken && shard.needs_draining();
        }
        if round.is_unripe {
            // A reader is inside its pin, descheduled perhaps. It will not be long.
            let mut again_ns = self.shared.resolution_ns.min(UNRIPE_RETRY_NS);
            if !self.shared.clock.runs() {
                // A clock that moves only when it is told to knows nothing of readers.
                nap();
                again_ns = 0;
            }
            self.shared.alarm.lower(self.shared.clock.exact_ns().saturating_add(again_ns));
        }
        true
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
