//! What goes through many sessions, a bite at a time: reaping, evicting, clearing, walking.

use super::hold::Hold;
use super::{After, BITE, Gate, Session, Shard, Shared, State};
use crate::budget::{Load, Room};
use crate::ledger::{AHEAD_RECORDS, Coldest, RecordId};
use crate::platform::clock::{MILLI_NS, NEVER_NS};
use crate::platform::sync::MutexGuard;
use crate::removal::RemovalCause;

/// What a visit came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visit {
    /// How many sessions were reaped.
    pub(crate) reaped: usize,
    /// Whether another bite is waiting right now, of what is due or of what is to be refiled.
    pub(crate) has_more: bool,
    /// Whether some of it is due.
    pub(crate) has_more_due: bool,
    /// Whether refiling was put off, for the time for it was up.
    pub(crate) is_put_off: bool,
    /// When to come again.
    pub(crate) look_ns: u64,
    /// Whether garbage waits for a drainer.
    pub(crate) has_garbage: bool,
}

/// Why a shard gives nobody up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kept {
    /// Nobody here was used before this millisecond, which is after the rival's.
    Warm(u64),
    /// Nobody is here; who comes in later is used after this millisecond.
    Empty(u64),
    /// The bite was used up; this is the coldest that it came across.
    Unsettled(RecordId, u64),
}

impl<K, V> Shard<K, V> {
    /// The reaper's visit: reaps a bite of what is due by whole ticks, settles, seals the garbage.
    /// From `refile_until_ns` on it leaves alone what is only to be refiled ahead of its time.
    /// `None` if the lock is taken: the other shards come first.
    pub(crate) fn try_visit(&self, shared: &Shared<K, V>, refile_until_ns: u64) -> Option<Visit> {
        Some(self.visit_locked(shared, self.state.try_lock()?, refile_until_ns))
    }

    /// Like [`try_visit`](Self::try_visit), and waits for the lock.
    pub(crate) fn visit(&self, shared: &Shared<K, V>, refile_until_ns: u64) -> Visit {
        self.visit_locked(shared, self.state.lock(), refile_until_ns)
    }

    fn visit_locked(
        &self,
        shared: &Shared<K, V>,
        state: MutexGuard<'_, State<K, V>>,
        refile_until_ns: u64,
    ) -> Visit {
        let mut session = Session::over(self, shared, state);
        let now_ns = shared.clock.exact_ns();
        session.state.ledger.advance(now_ns, false);
        let refile_ahead = now_ns < refile_until_ns;
        let reaped = session.reap_bite(now_ns, refile_ahead);
        if session.state.settle_ns <= now_ns {
            session.settle(now_ns);
        }
        session.state.garbage.seal();
        let visit = session.finish_visit(reaped, NEVER_NS);
        Visit { is_put_off: visit.has_more && !refile_ahead, ..visit }
    }

    /// Reaps a bite of what is due by its exact deadline. With `is_tidy` it also settles at once and
    /// seals the garbage.
    pub(crate) fn reap(&self, shared: &Shared<K, V>, is_tidy: bool) -> (Visit, After) {
        let mut session = self.open(shared);
        let now_ns = shared.clock.exact_ns();
        session.state.ledger.advance(now_ns, true);
        let reaped = session.reap_bite(now_ns, true);
        let mut garbage_ns = NEVER_NS;
        if is_tidy {
            if session.state.ledger.next_due().is_none() {
                session.settle(now_ns);
            }
            session.state.garbage.seal();
        } else if let Some(since_ns) = session.state.garbage.waiting_since_ns() {
            garbage_ns = since_ns.saturating_add(shared.resolution_ns);
        }
        let visit = session.finish_visit(reaped, garbage_ns);
        let after = session.close();
        shared.alarm.ring_by(visit.look_ns);
        (visit, after)
    }

    /// Evicts the least recently used session but for the one spared, unless it was used after
    /// `rival_ms`; tells a millisecond that no other here was used before.
    ///
    /// `looks` is how many records may still be examined for this eviction, `now_ns` the caller's
    /// sample of the exact clock.
    pub(crate) fn evict(
        &self,
        (shared, now_ns): (&Shared<K, V>, u64),
        (rival_ms, spared): (u64, Option<RecordId>),
        looks: &mut usize,
        room: &mut Room<'_>,
    ) -> (Result<u64, Kept>, After) {
        let mut session = self.open(shared);
        let spared = spared.filter(|&id| session.state.ledger.contains(id));
        if let Some(id) = spared {
            session.state.ledger.hide_from_eviction(id);
        }
        let eviction = session.evict_coldest(rival_ms, looks, room, now_ns).map(|()| {
            // Who comes in later is used now.
            session.state.ledger.coldest_bound_ms().min(now_ns / MILLI_NS)
        });
        if let Some(id) = spared {
            session.state.ledger.show_to_eviction(id, |entry| entry.used_ms());
        }
        (eviction, session.close())
    }

    /// Evicts a session that an earlier bite came across, if it is still there and still as cold.
    pub(crate) fn evict_known(
        &self,
        shared: &Shared<K, V>,
        (id, used_ms): (RecordId, u64),
        room: &mut Room<'_>,
    ) -> (bool, After) {
        let mut session = self.open(shared);
        let now_ns = shared.clock.exact_ns();
        let is_there = session.state.ledger.contains(id);
        let is_done = is_there && session.try_evict(id, used_ms, room, now_ns);
        (is_done, session.close())
    }

    /// Takes out a bite of the sessions from record number `from` on; tells where to go on.
    pub(crate) fn unlink_bite(
        &self,
        shared: &Shared<K, V>,
        from: u32,
        cause: RemovalCause,
    ) -> (Option<u32>, After) {
        let mut session = self.open(shared);
        let now_ns = shared.clock.exact_ns();
        let mut next = from;
        for _ in 0..BITE {
            let Some((id, entry)) = session.state.ledger.next_from(next) else {
                return (None, session.close());
            };
            next = id.raw() + 1;
            let cause = entry.kill(now_ns).unwrap_or(cause);
            let load = session.unlink(id, cause, now_ns);
            shared.budget.release(load);
        }
        (Some(next), session.close())
    }

    /// Holds a bite of the live sessions from record number `from` on; tells where to go on.
    pub(crate) fn hold_bite<'s>(
        &'s self,
        shared: &'s Shared<K, V>,
        from: u32,
        holds: &mut Vec<(RecordId, Hold<'s, K, V>)>,
    ) -> Option<u32> {
        let session = self.open(shared);
        let now_ns = shared.clock.exact_ns();
        let mut next = from;
        for _ in 0..BITE {
            let (id, entry) = session.state.ledger.next_from(next)?;
            let is_live = entry.judge().cause_at(now_ns).is_none();
            holds.extend(is_live.then(|| (id, session.hold(id))));
            next = id.raw() + 1;
        }
        Some(next)
    }

    /// Holds the live session that a record is of by now: the successor of the one that a walk found
    /// there (M6), or one that came in after that had left.
    pub(crate) fn hold_record<'s>(
        &'s self,
        shared: &'s Shared<K, V>,
        id: RecordId,
    ) -> Option<Hold<'s, K, V>> {
        let session = self.open(shared);
        let ledger = &session.state.ledger;
        let entry = ledger.contains(id).then(|| ledger.get(id))?;
        let is_live = entry.judge().cause_at(shared.clock.exact_ns()).is_none();
        is_live.then(|| session.hold(id))
    }

    /// Lets nobody in any more.
    pub(crate) fn bar(&self) {
        self.state.lock().gate = Gate::Closed;
    }
}

impl<K, V> Session<'_, K, V> {
    /// Reaps or refiles a bite of what waits; only what has come due by whole ticks if it does not
    /// `refile_ahead`.
    fn reap_bite(&mut self, now_ns: u64, refile_ahead: bool) -> usize {
        let mut reaped = 0;
        for step in 0..BITE {
            if !refile_ahead && !self.state.ledger.is_due_waiting() {
                break;
            }
            if step % FETCHED == 0 {
                self.fetch_due(now_ns);
            }
            let Some(id) = self.state.ledger.next_due() else { break };
            match self.state.ledger.get(id).kill_if_due(now_ns) {
                Ok(cause) => {
                    let load = self.unlink(id, cause, now_ns);
                    self.shared.budget.release(load);
                    reaped += 1;
                }
                Err(deadline_ns) => {
                    // What it asks for is found again when the visit ends.
                    let _look_ns = self.state.ledger.refile(id, deadline_ns);
                }
            }
        }
        reaped
    }

    /// Has the processor fetch what the next records lead to: the entries first, and once they have
    /// arrived, the places in the table that they name, of those that will be unlinked.
    fn fetch_due(&self, now_ns: u64) {
        let waiting = || self.state.ledger.due().take(FETCHED);
        waiting().for_each(|entry| entry.prefetch());
        let due = waiting().filter(|entry| entry.judge().deadline_ns() <= now_ns);
        due.for_each(|entry| self.shard.index.prefetch(entry.hash()));
    }

    /// Fits table and bookkeeping to what is left. Between two rebuildings a fifth of the table's
    /// entries must have gone, so this costs each of them little.
    fn settle(&mut self, now_ns: u64) {
        let state = &mut *self.state;
        state.settle_ns = NEVER_NS;
        state.ledger.trim();
        state.garbage.trim();
        let old_table = self.shard.index.fit(&mut state.writer);
        self.retire_table(old_table, now_ns);
    }

    /// Works out when to come again; M4 and M5 start afresh.
    fn finish_visit(&mut self, reaped: usize, garbage_ns: u64) -> Visit {
        let earliest_ns = self.state.ledger.earliest_ns();
        self.publish_earliest(earliest_ns);
        let state = &mut *self.state;
        state.look_ns = state.ledger.next_look_ns().min(state.settle_ns).min(garbage_ns);
        // The caller is told by the visit; nothing is left for `close` to tell.
        self.told_ns = state.look_ns;
        let has_garbage = state.garbage.needs_draining() || self.shard.is_released();
        // A drainer that has some in hand says so itself if it puts any back (D1).
        let look_ns = if has_garbage { 0 } else { state.look_ns };
        self.shared.bounds.publish_look(self.shard.number, look_ns);
        Visit {
            reaped,
            has_more: state.ledger.next_due().is_some(),
            has_more_due: state.ledger.is_due_waiting(),
            is_put_off: false,
            look_ns: state.look_ns,
            has_garbage,
        }
    }

    /// Makes room in this shard alone, by its own coldest, if the whole cache would do the same:
    /// nothing is due anywhere, and nobody was used before them (V3, V4). Then nobody has to wait for
    /// the gatherer, nor for another shard's lock. False if that is not enough, or a bite is not.
    pub(super) fn evict_here(&mut self, need: Load, room: &mut Room<'_>, now_ns: u64) -> bool {
        let mut looks = BITE;
        // Each eviction refiles a few others ahead.
        for _ in 0..BITE / (1 + AHEAD_RECORDS) {
            let bounds = &self.shared.bounds;
            let rival_ms = bounds.coldest_ms();
            if self.state.ledger.coldest_bound_ms() > rival_ms || !bounds.is_none_due(now_ns) {
                return false;
            }
            // The reaper may have been faster at what was due: it gives the room back before anybody
            // can see that nothing is due any more.
            if room.try_cover(need) {
                return true;
            }
            if self.evict_coldest(rival_ms, &mut looks, room, now_ns).is_err() {
                return false;
            }
            if room.try_cover(need) {
                return true;
            }
        }
        false
    }

    fn evict_coldest(
        &mut self,
        rival_ms: u64,
        looks: &mut usize,
        room: &mut Room<'_>,
        now_ns: u64,
    ) -> Result<(), Kept> {
        let mut left = BITE.min(*looks);
        let mut best = None;
        loop {
            let mut bite = FETCHED.min(left);
            let before = bite;
            let coldest = self.state.ledger.coldest(&mut bite, |entry| entry.used_ms());
            left -= before - bite;
            *looks -= before - bite;
            let (id, used_ms) = match coldest {
                Coldest::Empty => return Err(Kept::Empty(now_ns / MILLI_NS)),
                Coldest::Found(_, used_ms) if used_ms > rival_ms => {
                    return Err(Kept::Warm(used_ms));
                }
                Coldest::Found(id, used_ms) if self.try_evict(id, used_ms, room, now_ns) => {
                    self.fetch_next();
                    return Ok(());
                }
                // In the first case a reader has used it just now: it is not the coldest any more.
                Coldest::Found(id, used_ms) | Coldest::Unsettled(id, used_ms) => (id, used_ms),
            };
            let (_, least_ms) = *best.get_or_insert((id, used_ms));
            if used_ms < least_ms {
                best = Some((id, used_ms));
            }
            if let (0, Some((id, used_ms))) = (left, best) {
                return Err(Kept::Unsettled(id, used_ms));
            }
            self.fetch_search();
        }
    }

    /// Has the processor fetch what the next eviction asks about: of the first, who may be the one,
    /// all.
    fn fetch_next(&self) {
        let ledger = &self.state.ledger;
        ledger.next_coldest().take(1).for_each(|entry| entry.prefetch());
        ledger.next_settled().take(AHEAD_RECORDS).for_each(|entry| entry.prefetch_word());
    }

    /// Has the processor fetch what a search for the coldest that goes on asks about.
    fn fetch_search(&self) {
        self.state.ledger.next_coldest().take(FETCHED).for_each(|entry| entry.prefetch_word());
    }

    /// Has the processor fetch the place in the table of who will be evicted next, if anybody is.
    pub(super) fn fetch_next_place(&self) {
        if let Some(entry) = self.state.ledger.next_coldest().next() {
            self.shard.index.prefetch(entry.hash());
        }
    }

    fn try_evict(&mut self, id: RecordId, used_ms: u64, room: &mut Room<'_>, now_ns: u64) -> bool {
        let Some(due) = self.state.ledger.get(id).kill_if_unused_since(used_ms, now_ns) else {
            return false;
        };
        let load = self.unlink(id, due.unwrap_or(RemovalCause::Evicted), now_ns);
        room.take_over(load);
        true
    }
}

/// How many waits for memory are made to overlap: about as many as a processor has under way.
const FETCHED: usize = 16;

#[cfg(all(test, sundown_loom))]
mod loom_tests;
