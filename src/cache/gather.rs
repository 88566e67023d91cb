//! Room for a session that does not fit: what is due goes first, then the coldest, over all shards.

use super::core::Core;
use crate::budget::{Coldness, Load, Room};
use crate::platform::clock::NEVER_NS;
use crate::platform::sync::{Ordering, thread};
use crate::removal::OnFull;
use crate::shard::{After, BITE, Eviction};

impl<K, V, S> Core<K, V, S> {
    /// Finds room for what `room` lacks of `need`: what is due goes first, with its true cause, then
    /// the least recently used. False if the cache rejects, or if nothing is left to evict because
    /// other insertions hold all room.
    ///
    /// One gatherer at a time; each step holds one shard's lock for a bite.
    pub(super) fn gather(
        &self,
        room: &mut Room<'_>,
        need: Load,
        follow_ups: &mut FollowUps,
    ) -> bool {
        let mut coldness = self.coldness.lock();
        self.gather_alone(&mut coldness, room, need, follow_ups)
    }

    /// Does what gathering has left to do. No lock and no room may be held.
    pub(super) fn attend_to(&self, follow_ups: FollowUps) {
        self.alarm.ring_by(follow_ups.look_ns);
        for shard in follow_ups.full {
            self.help(&self.shards[shard]);
        }
    }

    fn gather_alone(
        &self,
        coldness: &mut Coldness,
        room: &mut Room<'_>,
        need: Load,
        follow_ups: &mut FollowUps,
    ) -> bool {
        let mut waits = 0;
        loop {
            if room.try_cover(need) {
                return true;
            }
            if self.reap_due(follow_ups) > 0 {
                continue;
            }
            if self.on_full == OnFull::Reject {
                return false;
            }
            if !self.evict_coldest(coldness, room, follow_ups) {
                // All room is held by insertions between reserving and linking.
                if waits == MOST_WAITS {
                    return false;
                }
                waits += 1;
                thread::yield_now();
            }
        }
    }

    /// Reaps what is due by its exact deadline, anywhere.
    fn reap_due(&self, follow_ups: &mut FollowUps) -> usize {
        let now_ns = self.shared.clock.exact_ns();
        let mut reaped = 0;
        for (number, shard) in self.shards.iter().enumerate() {
            while self.shared.may_be_due(number, now_ns) {
                let (visit, after) = shard.reap(&self.shared, false);
                reaped += visit.reaped;
                follow_ups.add(number, visit.look_ns, after);
                if visit.reaped == 0 && !visit.has_more {
                    break;
                }
            }
        }
        reaped
    }

    /// Evicts one session; false if there is none.
    fn evict_coldest(
        &self,
        coldness: &mut Coldness,
        room: &mut Room<'_>,
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
                    follow_ups.add(number, NEVER_NS, after);
                    if is_done {
                        // Relaxed: a figure.
                        self.inexact.fetch_add(1, Ordering::Relaxed);
                        return true;
                    }
                }
                looks = BITE;
            }
            let (eviction, after) = shard.evict(&self.shared, rival_ms, &mut looks, room);
            follow_ups.add(number, NEVER_NS, after);
            match eviction {
                Eviction::Done(bound_ms) => {
                    coldness.set(number, bound_ms);
                    return true;
                }
                Eviction::Warm(bound_ms) => coldness.set(number, bound_ms),
                Eviction::Empty(now_ms) => {
                    coldness.set_empty(number, now_ms);
                    empty += 1;
                    if empty > 2 * self.shards.len() {
                        return false;
                    }
                }
                Eviction::Unsettled(id, used_ms) => {
                    if best.is_none_or(|(.., least_ms)| used_ms < least_ms) {
                        best = Some((number, id, used_ms));
                    }
                }
            }
        }
    }
}

/// What a gatherer leaves to do for when nothing is locked or reserved.
pub(super) struct FollowUps {
    look_ns: u64,
    full: Vec<usize>,
}

impl FollowUps {
    pub(super) fn new() -> Self {
        Self { look_ns: NEVER_NS, full: Vec::new() }
    }

    fn add(&mut self, shard: usize, look_ns: u64, after: After) {
        self.look_ns = self.look_ns.min(look_ns).min(after.look_ns);
        if after.has_full_batch {
            self.full.push(shard);
        }
    }
}

/// One eviction examines at most this many records: over a read-only hour every record goes stale,
/// and refiling ten million at once would stop the insertion that had the bad luck.
const MOST_LOOKS: usize = 32_768;
/// How often a gatherer yields to other insertions before it gives up.
const MOST_WAITS: usize = 1_000;
