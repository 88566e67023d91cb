//! Room for a session that does not fit: what is due goes first, then the coldest, over all shards.

use super::core::Core;
use crate::budget::{Coldness, Load, Room};
use crate::ledger::RecordId;
use crate::platform::clock::{MILLI_NS, NEVER_NS};
use crate::platform::sync::{Ordering, nap, thread};
use crate::removal::OnFull;
use crate::shard::{After, BITE, Kept};

impl<K, V, S> Core<K, V, S> {
    /// Finds room for what `room` lacks of `need`: what is due goes first, with its true cause, then
    /// the least recently used, but for the one `spared`. Waits for other insertions that hold all
    /// room, as often as `waits` says.
    ///
    /// One gatherer at a time; each step holds one shard's lock for a bite.
    pub(super) fn gather(
        &self,
        room: &mut Room<'_>,
        need: Load,
        spared: Option<Spared>,
        (follow_ups, waits): (&mut FollowUps, &mut usize),
    ) -> Gathered {
        loop {
            let mut coldness = self.coldness.lock();
            let found = self.gather_alone(&mut coldness, room, need, spared, follow_ups);
            if let Some((number, _)) = spared {
                // Its shard may have looked warmer without it.
                coldness.set(number, 0);
            }
            self.shared.bounds.see_coldest(coldness.bound_ms());
            drop(coldness);
            if let Some(found) = found {
                return found;
            }
            // All room is held by insertions between reserving and linking, which may be waiting
            // for their turn to gather more, or for a processor.
            if *waits == 0 {
                return Gathered::Nothing;
            }
            *waits -= 1;
            if *waits >= MOST_NAPS {
                thread::yield_now()
            } else {
                nap()
            }
            if spared.is_some() {
                return Gathered::LookAgain;
            }
        }
    }

    /// Does what gathering has left to do, and tells of pressure. No lock and no room may be held.
    #[inline]
    pub(super) fn attend_to(&self, follow_ups: FollowUps) {
        if !follow_ups.full.is_empty() {
            self.help(follow_ups.full.iter().map(|&number| &*self.shards[number]));
        }
        self.tell_of_pressure();
    }

    /// `None` if there is nothing to evict.
    fn gather_alone(
        &self,
        coldness: &mut Coldness,
        room: &mut Room<'_>,
        need: Load,
        spared: Option<Spared>,
        follow_ups: &mut FollowUps,
    ) -> Option<Gathered> {
        let now_ns = self.shared.clock.exact_ns();
        loop {
            if room.try_cover(need) || self.reap_due(now_ns, room, need, follow_ups) {
                return Some(Gathered::Room);
            }
            if self.on_full == OnFull::Reject {
                return Some(Gathered::Nothing);
            }
            if !self.evict_coldest(now_ns, coldness, room, spared, follow_ups) {
                return None;
            }
        }
    }

    /// Reaps what is due by its exact deadline, anywhere, until that has made the room needed.
    fn reap_due(
        &self,
        now_ns: u64,
        room: &mut Room<'_>,
        need: Load,
        follow_ups: &mut FollowUps,
    ) -> bool {
        let bounds = &self.shared.bounds;
        if bounds.is_none_due(now_ns) {
            return false;
        }
        let due_lowered = bounds.due_lowered();
        let mut earliest_ns = NEVER_NS;
        for (number, shard) in self.shards.iter().enumerate() {
            while bounds.earliest_ns(number) <= now_ns {
                let (visit, after) = shard.reap(&self.shared, false);
                follow_ups.note(number, after);
                if visit.reaped > 0 && room.try_cover(need) {
                    return true;
                }
                if visit.reaped == 0 && !visit.has_more {
                    break;
                }
            }
            earliest_ns = earliest_ns.min(bounds.earliest_ns(number));
        }
        bounds.see_none_due_before(earliest_ns, due_lowered);
        // The reaper may have been faster at what is due: it gives the room back before it publishes
        // that nothing is due any more.
        room.try_cover(need)
    }

    /// Evicts one session; false if there is none.
    fn evict_coldest(
        &self,
        now_ns: u64,
        coldness: &mut Coldness,
        room: &mut Room<'_>,
        spared: Option<Spared>,
        follow_ups: &mut FollowUps,
    ) -> bool {
        let mut looks = MOST_LOOKS;
        let mut best: Option<(usize, _, u64)> = None;
        let mut empty = 0;
        loop {
            let number = coldness.coldest();
            let rival_ms = coldness.rival_ms(number);
            let shard = &self.shards[number];
            if looks == 0 {
                if let Some((number, id, used_ms)) = best.take() {
                    let (is_done, after) =
                        self.shards[number].evict_known(&self.shared, (id, used_ms), room);
                    follow_ups.note(number, after);
                    if is_done {
                        // Relaxed: a figure.
                        self.inexact.fetch_add(1, Ordering::Relaxed);
                        return true;
                    }
                }
                looks = BITE;
            }
            let spared = spared.filter(|&(shard, _)| shard == number).map(|(_, id)| id);
            let (eviction, after) =
                shard.evict((&self.shared, now_ns), (rival_ms, spared), &mut looks, room);
            follow_ups.note(number, after);
            match eviction {
                Ok(bound_ms) => {
                    coldness.set(number, bound_ms);
                    return true;
                }
                Err(Kept::Warm(bound_ms)) => coldness.set(number, bound_ms),
                Err(Kept::Empty(now_ms)) => {
                    coldness.set_empty(number, now_ms);
                    empty += 1;
                    if empty > 2 * self.shards.len() {
                        return false;
                    }
                }
                Err(Kept::Unsettled(id, used_ms)) => {
                    if best.is_none_or(|(.., least_ms)| used_ms < least_ms) {
                        best = Some((number, id, used_ms));
                    }
                    if self.shared.clock.exact_ns() > now_ns.saturating_add(MOST_SEARCH_NS) {
                        looks = 0;
                    }
                }
            }
        }
    }
}

/// What gathering came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Gathered {
    /// There is room.
    Room,
    /// None yet. The session that was spared may have left meanwhile, and its record be another
    /// one's: the caller has to look again.
    LookAgain,
    /// None: the cache rejects, or nothing is left to evict and waiting was in vain.
    Nothing,
}

/// The session that the room is for, if it has a place already: its shard and record.
type Spared = (usize, RecordId);

/// What a gatherer leaves to do for when nothing is locked or reserved.
#[derive(Default)]
pub(super) struct FollowUps {
    /// Shards with a full batch of garbage.
    full: Vec<usize>,
}

impl FollowUps {
    pub(super) fn note(&mut self, shard: usize, after: After) {
        if after == After::Help {
            self.full.push(shard);
        }
    }
}

/// One eviction examines at most this many records: over a read-only hour every record goes stale,
/// and refiling ten million at once would stop the insertion that had the bad luck.
const MOST_LOOKS: usize = 16_384;
/// And no new bite is begun after a millisecond, for where memory is slow those are too many.
const MOST_SEARCH_NS: u64 = MILLI_NS;
/// How often a gatherer yields to other insertions or naps, the last times, before it gives up.
pub(super) const MOST_WAITS: usize = 1_000;
const MOST_NAPS: usize = 900;

#[cfg(all(test, sundown_loom))]
mod loom_tests;
