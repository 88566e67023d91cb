//! How much may be in, over all shards, and which shard gives something up.
//!
//! Capacity is global: a share per shard would evict while others have room. Whoever links an entry
//! has reserved its room before, by compare-and-swap; whoever unlinks it gives the room back after.
//!
//! U1. Reserved entries and weight never exceed the caps at any instant, and every linked entry's
//!     room is reserved.
//! U2. A reservation fails only if the room is not there: with both caps set a lock makes the two
//!     sums move together, so that no half of a failing reservation makes another one fail.

use crossbeam_utils::CachePadded;

use crate::gauge::{Gauge, News};
use crate::platform::clock::Clock;
use crate::platform::sync::{Arc, Mutex};
use crate::pressure::{Cap, Pressure};

/// Entries and weight, wanted or given.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Load {
    pub(crate) entries: u64,
    pub(crate) weight: u64,
}

impl Load {
    /// What this has beyond `other`, of each kind.
    #[inline]
    pub(crate) fn beyond(self, other: Self) -> Self {
        Self {
            entries: self.entries.saturating_sub(other.entries),
            weight: self.weight.saturating_sub(other.weight),
        }
    }

    #[inline]
    fn is_zero(self) -> bool {
        self == Self::default()
    }
}

#[derive(Debug)]
pub(crate) struct Budget {
    entries: CachePadded<Gauge>,
    weight: CachePadded<Gauge>,
    max_entries: Option<u64>,
    max_weight: Option<u64>,
    /// Without a weigher every entry weighs 1, and one sum says both.
    is_weighed: bool,
    /// Serializes reservations where both caps are set (U2).
    both: Mutex<()>,
    /// What is to be told of pressure, if anybody wants to know.
    news: Option<Arc<News>>,
}

impl Budget {
    pub(crate) fn new(max_entries: Option<u64>, max_weight: Option<u64>, is_weighed: bool) -> Self {
        Self {
            entries: CachePadded::new(Gauge::new()),
            weight: CachePadded::new(Gauge::new()),
            max_entries,
            max_weight,
            is_weighed,
            both: Mutex::new(()),
            news: None,
        }
    }

    /// Has it notice when a sum passes one of these shares of its cap.
    pub(crate) fn watch(&mut self, levels: &[f64], clock: Clock) {
        let news = Arc::new(News::new(levels.len(), clock));
        if let Some(max_entries) = self.max_entries {
            self.entries.watch(Cap::Entries, max_entries, levels, &news);
        }
        if let Some(max_weight) = self.max_weight {
            self.weight.watch(Cap::Weight, max_weight, levels, &news);
        }
        self.news = Some(news);
    }

    /// Whether pressure has changed and nobody has been told.
    #[inline]
    pub(crate) fn has_news(&self) -> bool {
        self.news.as_ref().is_some_and(|news| news.is_waiting())
    }

    /// Tells how pressure has changed. No lock may be held, and `tell` must not unwind.
    pub(crate) fn tell_news(&self, tell: impl Fn(Pressure)) {
        let Some(news) = &self.news else { return };
        news.tell_all(|mut pressure| {
            match pressure.cap {
                Cap::Entries if self.is_weighed => pressure.weight = self.weight(),
                Cap::Entries => {}
                Cap::Weight => pressure.entries = self.entries() as usize,
            }
            tell(pressure);
        });
    }

    /// Whether room can be given back without waiting for anybody.
    pub(crate) fn is_free(&self) -> bool {
        self.news.as_ref().is_none_or(|news| news.is_free())
    }

    /// What noticing takes in memory, beside the budget itself.
    pub(crate) fn news_bytes(&self) -> usize {
        let scales = self.entries.bytes() + self.weight.bytes();
        self.news.as_ref().map_or(0, |news| news.bytes() + scales)
    }

    pub(crate) fn max_entries(&self) -> Option<u64> {
        self.max_entries
    }

    /// Whether the cap, if nothing else counted, has room for so much.
    #[inline]
    pub(crate) fn admits(&self, weight: u64) -> bool {
        self.max_weight.is_none_or(|max_weight| weight <= max_weight)
    }

    pub(crate) fn max_weight(&self) -> Option<u64> {
        self.max_weight
    }

    #[inline]
    pub(crate) fn entries(&self) -> u64 {
        self.entries.sum()
    }

    #[inline]
    pub(crate) fn weight(&self) -> u64 {
        if self.is_weighed { self.weight.sum() } else { self.entries() }
    }

    /// Whether there is room at this moment, as far as it can be told without reserving it.
    #[inline]
    pub(crate) fn has_room(&self, load: Load) -> bool {
        let fits = |sum: u64, more: u64, cap: Option<u64>| {
            cap.is_none_or(|cap| sum.saturating_add(more) <= cap)
        };
        fits(self.entries(), load.entries, self.max_entries)
            && fits(self.weight(), load.weight, self.max_weight)
    }

    #[inline]
    fn try_reserve(&self, load: Load) -> bool {
        if self.max_entries.is_some() && self.is_weighed {
            // Weights without a cap cannot add up to more than their sum can say.
            return self.try_reserve_both(load, self.max_weight.unwrap_or(u64::MAX));
        }
        self.try_add(load)
    }

    #[inline(never)]
    fn try_reserve_both(&self, load: Load, max_weight: u64) -> bool {
        let _both = self.both.lock();
        // The weight only falls while the lock is held. What it has no room for must not move the
        // entries past a level of pressure for nothing.
        let weight = self.weight().checked_add(load.weight);
        let has_room = load.weight == 0 || weight.is_some_and(|weight| weight <= max_weight);
        has_room && self.try_add(load)
    }

    #[inline]
    fn try_add(&self, load: Load) -> bool {
        if load.entries > 0 && !self.entries.try_add(load.entries, self.max_entries) {
            return false;
        }
        if self.is_weighed && load.weight > 0 && !self.weight.try_add(load.weight, self.max_weight)
        {
            // Nobody fails for it: entries have no cap.
            self.entries.take_off(load.entries);
            return false;
        }
        true
    }

    /// Gives back the room of what has been unlinked.
    #[inline]
    pub(crate) fn release(&self, load: Load) {
        if load.entries > 0 {
            self.entries.take_off(load.entries);
        }
        if self.is_weighed && load.weight > 0 {
            self.weight.take_off(load.weight);
        }
    }
}

/// Room that is reserved but not yet used; given back when dropped, also by a panic.
#[derive(Debug)]
pub(crate) struct Room<'b> {
    budget: &'b Budget,
    load: Load,
}

impl<'b> Room<'b> {
    #[inline]
    pub(crate) fn none(budget: &'b Budget) -> Self {
        Self { budget, load: Load::default() }
    }

    /// What is still missing of `need`.
    #[inline]
    pub(crate) fn lacks(&self, need: Load) -> Load {
        need.beyond(self.load)
    }

    /// Reserves what is missing of `need`, if it is there.
    #[inline]
    pub(crate) fn try_cover(&mut self, need: Load) -> bool {
        let missing = self.lacks(need);
        missing.is_zero() || self.try_reserve(missing)
    }

    fn try_reserve(&mut self, missing: Load) -> bool {
        let is_there = self.budget.try_reserve(missing);
        if is_there {
            self.take_over(missing);
        }
        is_there
    }

    /// Takes over the room of an entry that was just unlinked.
    #[inline]
    pub(crate) fn take_over(&mut self, load: Load) {
        self.load.entries += load.entries;
        self.load.weight += load.weight;
    }

    /// Leaves `load` to an entry that is linked now.
    #[inline]
    pub(crate) fn spend(&mut self, load: Load) {
        self.load = self.load.beyond(load);
    }
}

impl Drop for Room<'_> {
    #[inline]
    fn drop(&mut self) {
        if !self.load.is_zero() {
            self.budget.release(self.load);
        }
    }
}

/// Lower bounds of all shards' least last uses, and which is the lowest: a tournament tree.
///
/// A bound stays one when sessions are touched, removed or added: last uses only grow, and a new
/// session is used now. So only whoever looks into a shard, one gatherer at a time, needs to raise
/// it.
#[derive(Debug)]
pub(crate) struct Coldness {
    /// Entry 1 is the root; the leaves are the shards, from `leaves` on.
    winners: Vec<Rank>,
    leaves: usize,
    sights: u64,
}

/// How a shard stands in the tournament; the least wins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Rank {
    bound_ms: u64,
    /// When the shard was last seen empty, counted in such sights; 0 if it was not. It may have
    /// nothing to give: among equals it comes after the others, and those seen longest ago first.
    seen_empty: u64,
    shard: u32,
}

impl Coldness {
    /// For `shards` shards, a power of two.
    pub(crate) fn new(shards: usize) -> Self {
        let rank = |shard| Rank { bound_ms: 0, seen_empty: 0, shard };
        let winners = vec![rank(0); 2 * shards];
        let mut coldness = Self { winners, leaves: shards, sights: 0 };
        for shard in 0..shards {
            coldness.winners[shards + shard] = rank(shard as u32);
        }
        for node in (1..shards).rev() {
            coldness.play(node);
        }
        coldness
    }

    fn play(&mut self, node: usize) {
        let (left, right) = (self.winners[2 * node], self.winners[2 * node + 1]);
        // Bounds alone decide nearly always.
        let is_left = match left.bound_ms == right.bound_ms {
            false => left.bound_ms < right.bound_ms,
            true => left < right,
        };
        self.winners[node] = if is_left { left } else { right };
    }

    /// The lowest bound: nobody's last use, in any shard, lies before it.
    pub(crate) fn bound_ms(&self) -> u64 {
        self.winners[1].bound_ms
    }

    /// The shard with the lowest bound.
    pub(crate) fn coldest(&self) -> usize {
        self.winners[1].shard as usize
    }

    /// The lowest bound among all other shards, [`u64::MAX`] if there are none.
    pub(crate) fn rival_ms(&self, shard: usize) -> u64 {
        let mut node = self.leaves + shard;
        let mut least_ms = u64::MAX;
        while node > 1 {
            least_ms = least_ms.min(self.winners[node ^ 1].bound_ms);
            node /= 2;
        }
        least_ms
    }

    /// Raises a shard's bound to what was seen under its lock.
    pub(crate) fn set(&mut self, shard: usize, bound_ms: u64) {
        self.rank(Rank { bound_ms, seen_empty: 0, shard: shard as u32 });
    }

    /// Notes that a shard was seen empty in the millisecond `now_ms`.
    pub(crate) fn set_empty(&mut self, shard: usize, now_ms: u64) {
        self.sights += 1;
        self.rank(Rank { bound_ms: now_ms, seen_empty: self.sights, shard: shard as u32 });
    }

    fn rank(&mut self, rank: Rank) {
        let mut node = self.leaves + rank.shard as usize;
        self.winners[node] = rank;
        while node > 1 {
            node /= 2;
            self.play(node);
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.winners.capacity() * size_of::<Rank>()
    }
}

#[cfg(all(test, not(sundown_loom)))]
mod tests {
    use super::*;

    #[test]
    fn unspent_room_goes_back() {
        let budget = Budget::new(Some(3), Some(10), true);
        let mut room = Room::none(&budget);
        assert!(room.try_cover(Load { entries: 1, weight: 7 }));
        assert!(!Room::none(&budget).try_cover(Load { entries: 1, weight: 4 }));
        assert_eq!((budget.entries(), budget.weight()), (1, 7));
        room.spend(Load { entries: 1, weight: 5 });
        drop(room);
        assert_eq!((budget.entries(), budget.weight()), (1, 5));
    }

    #[test]
    fn tournament_names_the_coldest_and_its_rival() {
        for shards in [1, 2, 8, 64] {
            let mut coldness = Coldness::new(shards);
            let mut bounds: Vec<u64> = vec![0; shards];
            for step in 0..1_000_usize {
                let shard = step * 37 % shards;
                bounds[shard] = (step as u64 * 7_919) % 1_000;
                if step % 3 == 0 {
                    coldness.set_empty(shard, bounds[shard]);
                } else {
                    coldness.set(shard, bounds[shard]);
                }
                let coldest = coldness.coldest();
                assert_eq!(Some(&bounds[coldest]), bounds.iter().min());
                let others = bounds.iter().enumerate().filter(|&(other, _)| other != coldest);
                let rival = others.map(|(_, &bound)| bound).min();
                assert_eq!(coldness.rival_ms(coldest), rival.unwrap_or(u64::MAX));
            }
        }
    }
}

#[cfg(all(test, sundown_loom))]
mod loom_tests;
