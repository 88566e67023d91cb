//! Evicting: the least recently used leave for want of room.

use super::{After, BITE, FETCHED, Session, Shard, Shared};
use crate::budget::{Load, Room};
use crate::ledger::{AHEAD_RECORDS, Coldest, RecordId};
use crate::platform::clock::MILLI_NS;
use crate::removal::RemovalCause;

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
}

impl<K, V> Session<'_, K, V> {
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
        let entry = self.state.ledger.get(id);
        self.shard.index.prefetch(entry.hash());
        let Some(due) = entry.kill_if_unused_since(used_ms, now_ns) else { return false };
        let load = self.unlink(id, due.unwrap_or(RemovalCause::Evicted), now_ns);
        room.take_over(load);
        true
    }
}

#[cfg(all(test, sundown_loom))]
mod loom_tests;
