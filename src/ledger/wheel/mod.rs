//! A hierarchical timing wheel: who comes next, without sorting everybody.
//!
//! Time is cut into *ticks* of one grain each. Level 0 has a slot for each of the next 64 ticks, the
//! slots of level 1 are 32 ticks wide, those of level 2 are 32 × 32, and so on: nine levels reach
//! past the end of time \[1\]. Each level is a ring of 64 slots around `elapsed`, twice as many as the
//! next level's slot is wide; so what lies in an upper slot fits into the levels below it for a
//! whole slot width *before* that slot begins, and can be moved there ahead of time.
//!
//! ```text
//!           elapsed
//! level 0   |████████████████████████████████|················   64 slots of 1
//! level 1   |████▒▒▒▒····························|············   64 slots of 32
//! level 2   |▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒····   64 slots of 1,024
//! ```
//!
//! What a slot holds is taken out in two steps. When its time draws near, the whole list moves to
//! its level's *backlog*, in constant time; from there the ledger takes record by record, lowest
//! level first, asks for its true key and reaps it or files it again. So a session that is due now
//! never waits for the neighbours of a session that is due later. The wheel is lazy: a record may
//! be filed too early, never too late. Used with keys that only grow, it is a radix heap \[2\].
//!
//! W1. A record in slot `p` of level `l` is filed under a key whose tick is in `p`'s range.
//! W2. Every slot in the ring of level `l` lies in `[elapsed >> 5l, (elapsed >> 5l) + 63]`.
//! W3. A slot's `min` is at most the key of each of its records; likewise a backlog's.
//! W4. A slot's bit is set exactly if its list is not empty; lists are doubly linked, end to end.
//! W5. `elapsed` never goes back.
//!
//! \[1\] Varghese and Lauck, Hashed and Hierarchical Timing Wheels, SOSP 1987. We differ in the wider
//!     rings, the backlogs and the laziness.
//! \[2\] Ahuja, Mehlhorn, Orlin and Tarjan, Faster Algorithms for the Shortest Path Problem, 1990.

mod level;

use crate::error::{Broken, ensure};
use crate::ledger::slab::{Fit, RecordId, Slab};
use level::{BACKLOG, LEVEL_BITS, Level, MOST_LEVELS, RING, Slot, end_of_list};

pub(crate) use level::Links;

/// One wheel. `LANE` says which of a record's two pairs of links is its own.
#[derive(Debug)]
pub(super) struct Wheel<const LANE: usize> {
    /// Keys per tick.
    grain: u64,
    /// How many ticks before its first record an upper slot is emptied, where its width allows.
    lead: u64,
    elapsed: u64,
    levels: Vec<Level>,
}

impl<const LANE: usize> Wheel<LANE> {
    pub(super) fn new(grain: u64, lead: u64) -> Self {
        Self { grain, lead, elapsed: 0, levels: Vec::new() }
    }

    /// Files a record under `key`; tells by which time somebody should look at its slot. Constant
    /// time.
    pub(super) fn file_and_look<T>(&mut self, slab: &mut Slab<T>, id: RecordId, key: u64) -> u64 {
        let tick = self.tick_of(key);
        let (level, position) = self.file_at(slab, id, key, tick);
        self.look_at(level, position, tick)
    }

    /// Files a record under `key`, or under the current tick if that has passed; tells on which level
    /// and at which position. Constant time.
    pub(super) fn file<T>(&mut self, slab: &mut Slab<T>, id: RecordId, key: u64) -> (u32, u64) {
        self.file_at(slab, id, key, self.tick_of(key))
    }

    #[inline]
    fn file_at<T>(&mut self, slab: &mut Slab<T>, id: RecordId, key: u64, tick: u64) -> (u32, u64) {
        let tick = tick.max(self.elapsed);
        let mut level = least_level(tick - self.elapsed);
        while (tick >> (LEVEL_BITS * level)) - (self.elapsed >> (LEVEL_BITS * level)) >= RING {
            level += 1;
        }
        if self.levels.len() <= level as usize {
            assert!(level < MOST_LEVELS, "nine levels reach past the end of time");
            self.levels.resize_with(level as usize + 1, Level::default);
        }
        let position = tick >> (LEVEL_BITS * level);
        let place = (position % RING) as u32;
        self.levels[level as usize].push::<T, LANE>(slab, level, place, id, key);
        (level, position)
    }

    /// Files a record whose key has passed under the current tick, among those at its head whose
    /// keys have passed as well, in the order of their keys.
    pub(super) fn file_in_front<T>(
        &mut self,
        slab: &mut Slab<T>,
        id: RecordId,
        key: u64,
        key_of: impl Fn(&T) -> u64,
    ) {
        let place = (self.elapsed % RING) as u32;
        self.file(slab, id, key);
        let mut at = self.levels[0].head_at(u64::from(place));
        while let Some(next) = at.filter(|&next| next != id) {
            let record = slab.get(next);
            if key_of(&record.token) > key {
                break;
            }
            at = record.links[LANE].next_record();
        }
        if let Some(next) = at.filter(|&next| next != id) {
            self.levels[0].move_before::<T, LANE>(slab, place, id, next);
        }
    }

    /// When a slot whose smallest key is in `min_tick` wants attention, as a key.
    fn look_at(&self, level: u32, position: u64, min_tick: u64) -> u64 {
        if level == 0 {
            return position.saturating_mul(self.grain);
        }
        let fits_below = position.saturating_sub(1) << (LEVEL_BITS * level);
        let in_good_time = min_tick.saturating_sub(self.lead);
        fits_below.max(in_good_time).saturating_mul(self.grain)
    }

    /// Moves an empty wheel to the tick of `key`, which nobody who is filed later lies before: so
    /// nobody is filed on a higher level than the distance between keys asks for.
    pub(super) fn begin_at(&mut self, key: u64) {
        debug_assert!(self.levels.iter().all(Level::is_empty), "W2: nobody may be left behind");
        self.elapsed = self.elapsed.max(self.tick_of(key));
    }

    /// Takes a record out of its list; does nothing if it is in none. Constant time.
    pub(super) fn unfile<T>(&mut self, slab: &mut Slab<T>, id: RecordId) {
        let links = &mut slab.get_mut(id).links;
        let before = *links;
        links[LANE] = Links::UNFILED;
        self.forget(slab, before);
    }

    /// Takes a record out of its list that had these links and is filed anew or gone; does nothing
    /// if it was in none. Constant time.
    pub(super) fn forget<T>(&mut self, slab: &mut Slab<T>, links: [Links; 2]) {
        let links = links[LANE];
        if !links.is_filed() {
            return;
        }
        match (end_of_list(links.prev), end_of_list(links.next)) {
            (Some((level, place)), Some(_)) => self.levels[level].clear(place),
            (Some((level, place)), None) => {
                slab.get_mut(RecordId(links.next)).links[LANE].prev = links.prev;
                self.levels[level].set_head(place, links.next);
            }
            (None, Some((level, place))) => {
                slab.get_mut(RecordId(links.prev)).links[LANE].next = links.next;
                self.levels[level].set_tail(place, links.prev);
            }
            (None, None) => {
                slab.get_mut(RecordId(links.prev)).links[LANE].next = links.next;
                slab.get_mut(RecordId(links.next)).links[LANE].prev = links.prev;
            }
        }
    }

    pub(super) fn is_filed<T>(slab: &Slab<T>, id: RecordId) -> bool {
        slab.get(id).links[LANE].is_filed()
    }

    /// Moves to `now` and puts into the backlogs what wants attention: what is due by whole ticks,
    /// and the upper slots whose time draws near. With `exact` also what may be due within the
    /// current tick. At most 64 slots a level.
    pub(super) fn advance<T>(&mut self, slab: &mut Slab<T>, now: u64, exact: bool) {
        let now_tick = now / self.grain;
        for level in 0..self.levels.len() as u32 {
            while let Some((position, min)) = self.first(level) {
                let near = self.look_at(level, position, self.tick_of(min)) <= now;
                if !(near || exact && min <= now) {
                    break;
                }
                self.levels[level as usize].set_aside::<T, LANE>(slab, level, position % RING);
            }
        }
        self.elapsed = self.elapsed.max(now_tick);
    }

    /// The first occupied slot of a level in ring order: its position and smallest key.
    fn first(&self, level: u32) -> Option<(u64, u64)> {
        let position = self.first_position(level)?;
        Some((position, self.levels[level as usize].min_at(position)))
    }

    fn first_position(&self, level: u32) -> Option<u64> {
        self.levels[level as usize].first_from(self.elapsed >> (LEVEL_BITS * level))
    }

    fn first_slot(&self) -> Option<&Slot> {
        let level = self.levels.first()?;
        Some(level.slot_at(level.first_from(self.elapsed)?))
    }

    /// The record that has waited longest in the lowest backlog. Whoever takes it must file it
    /// again or remove it.
    pub(super) fn next_in_backlog(&self) -> Option<RecordId> {
        self.levels.iter().find_map(|level| level.backlog.head())
    }

    /// The record that was filed first of those in the first tick that has any.
    pub(super) fn first_of_tick(&self) -> Option<RecordId> {
        self.first_slot().and_then(Slot::head)
    }

    /// The sessions from a record on to the end of its list.
    #[inline]
    pub(super) fn from_record<T>(
        slab: &Slab<T>,
        mut at: Option<RecordId>,
    ) -> impl Iterator<Item = &T> {
        core::iter::from_fn(move || {
            let record = slab.get(at?);
            at = record.links[LANE].next_record();
            Some(&record.token)
        })
    }

    /// Whether single ticks are waiting in the backlog.
    pub(super) fn has_lowest_backlog(&self) -> bool {
        self.levels.first().is_some_and(|level| level.backlog.head().is_some())
    }

    /// When somebody should look next: a lower bound, [`u64::MAX`] if never.
    pub(super) fn next_look(&self) -> u64 {
        if self.next_in_backlog().is_some() {
            return 0;
        }
        let levels = 0..self.levels.len() as u32;
        let looks = levels.filter_map(|level| {
            let (position, min) = self.first(level)?;
            Some(self.look_at(level, position, self.tick_of(min)))
        });
        looks.min().unwrap_or(u64::MAX)
    }

    /// A lower bound of all keys, [`u64::MAX`] if there are none.
    pub(super) fn lower_bound(&self) -> u64 {
        let mut bound = u64::MAX;
        for (index, level) in self.levels.iter().enumerate() {
            bound = bound.min(level.backlog.min());
            let shift = LEVEL_BITS * index as u32;
            let current = self.elapsed >> shift;
            if let Some(position) = level.first_from(current) {
                // Nothing in a slot ahead lies before the slot itself.
                let is_ahead = position > current;
                let before_start = (position << shift).saturating_sub(1).saturating_mul(self.grain);
                if !(is_ahead && before_start >= bound) {
                    bound = bound.min(level.min_at(position));
                }
            }
        }
        bound
    }

    /// The record to be looked at next by whoever takes records in the order of their keys, and
    /// whether nobody is filed before it. If somebody may be, it must be filed again first.
    pub(super) fn next_in_order<T>(&mut self, slab: &mut Slab<T>) -> Option<(RecordId, bool)> {
        loop {
            let (lowest, uppers) = self.levels.split_first()?;
            // Before this tick, somebody may be filed who is not on the lowest level's ring.
            let mut others_from = lowest.backlog.min();
            let mut upper: Option<(u64, u32, u64)> = None;
            for (level, ring) in (1..).zip(uppers) {
                others_from = others_from.min(ring.backlog.min());
                let shift = LEVEL_BITS * level;
                if let Some(position) = ring.first_from(self.elapsed >> shift) {
                    let start = position << shift;
                    others_from = others_from.min(start);
                    if upper.is_none_or(|(least, ..)| start < least) {
                        upper = Some((start, level, position));
                    }
                }
            }
            if let Some(tick) = lowest.first_from(self.elapsed).filter(|&tick| tick <= others_from)
            {
                let head = lowest.head_at(tick % RING);
                // W2: nobody is filed before this tick, so no slot is left behind.
                self.elapsed = self.elapsed.max(tick);
                return head.map(|head| (head, true));
            }
            if let Some(id) = self.next_in_backlog() {
                return Some((id, false));
            }
            let (_, level, position) = upper?;
            // W2, and counted from the smallest key itself, so that most of the slot's records need
            // not be filed on every level on their way down.
            self.elapsed = self.elapsed.max(self.tick_of(self.lower_bound()));
            self.levels[level as usize].set_aside::<T, LANE>(slab, level, position % RING);
        }
    }

    /// Sets aside the upper slots that fit into the levels below them by now, so that they can be
    /// emptied bit by bit before their turn comes.
    pub(super) fn set_aside_ahead<T>(&mut self, slab: &mut Slab<T>) {
        for level in 1..self.levels.len() as u32 {
            while let Some(position) = self.first_position(level) {
                if position.saturating_sub(1) << (LEVEL_BITS * level) > self.elapsed {
                    break;
                }
                self.levels[level as usize].set_aside::<T, LANE>(slab, level, position % RING);
            }
        }
    }

    pub(super) fn has_slack(&self, fit: Fit) -> bool {
        self.levels.last().is_some_and(Level::is_empty)
            || self.levels.iter().any(|level| level.has_slack(fit))
    }

    pub(super) fn trim(&mut self, fit: Fit) {
        while self.levels.last().is_some_and(Level::is_empty) {
            self.levels.pop();
        }
        self.levels.shrink_to_fit();
        self.levels.iter_mut().for_each(|level| level.trim(fit));
    }

    pub(super) fn bytes(&self) -> usize {
        self.levels.capacity() * size_of::<Level>()
            + self.levels.iter().map(Level::bytes).sum::<usize>()
    }

    /// The current tick: nobody is filed before it.
    pub(super) fn elapsed(&self) -> u64 {
        self.elapsed
    }

    /// The end of the tick in which `key` falls.
    pub(super) fn tick_end(&self, key: u64) -> u64 {
        self.tick_of(key).saturating_mul(self.grain)
    }

    fn tick_of(&self, key: u64) -> u64 {
        if self.grain == 1 { key } else { key.div_ceil(self.grain) }
    }

    /// Checks W1 to W4 and counts the records filed. `key` tells a record's true key, which may lie
    /// after the one it is filed under.
    pub(super) fn check<T>(
        &self,
        slab: &Slab<T>,
        key: impl Fn(&T) -> u64,
    ) -> Result<usize, Broken> {
        let mut filed = 0;
        for (index, level) in self.levels.iter().enumerate() {
            let shift = LEVEL_BITS * index as u32;
            for (place, slot) in level.slots_by_place() {
                let current = self.elapsed >> shift;
                let position = current + (u64::from(place).wrapping_sub(current) % RING);
                let min_tick = self.tick_of(slot.min()).max(self.elapsed);
                ensure!(
                    "W2",
                    place == BACKLOG || min_tick >> shift <= position,
                    "level {index} place {place}: smallest tick {min_tick}, elapsed {}",
                    self.elapsed
                );
                let (mut at, mut before) = (slot.head(), Links::end(index as u32, place));
                ensure!("W4", at.is_some(), "level {index} place {place} is marked but empty");
                while let Some(id) = at {
                    let record = slab.get(id);
                    let links = record.links[LANE];
                    ensure!("W4", links.prev == before, "record {id:?} points back elsewhere");
                    let true_key = key(&record.token);
                    ensure!("W3", slot.min() <= true_key, "record {id:?} lies below its slot");
                    let start = position << shift;
                    ensure!(
                        "W1",
                        place == BACKLOG || self.tick_of(true_key).max(self.elapsed) >= start,
                        "record {id:?} with key {true_key} is filed too late"
                    );
                    filed += 1;
                    (before, at) = (id.raw(), links.next_record());
                    ensure!("W4", filed <= slab.len(), "a list of level {index} runs in a circle");
                }
                ensure!("W4", slot.tail() == Some(RecordId(before)), "tail of level {index}");
            }
        }
        Ok(filed)
    }
}

/// The lowest level whose ring may reach so many ticks ahead: that or the next one does, depending
/// on where its slots begin.
fn least_level(ahead: u64) -> u32 {
    // The least `l` for which `ahead >> 5 l` is below 64, a number of six bits.
    ahead.checked_ilog2().unwrap_or(0).saturating_sub(RING.ilog2() - LEVEL_BITS) / LEVEL_BITS
}
