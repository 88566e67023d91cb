//! One level of a wheel: a ring of 64 lists, and the backlog that they are moved to.
//!
//! Only occupied slots are stored: a word tells which they are, and a slot's place in the vector is
//! the number of occupied slots before it. So a level costs what it holds, not what it could hold.

use crate::ledger::slab::{Fit, RecordId, Slab};

/// A record's neighbours in the list that it is filed in.
///
/// The ends of a list carry the [`END`] bit and say which list it is, so that a record can be taken
/// out without being told where it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Links {
    pub(super) prev: u32,
    pub(super) next: u32,
}

impl Links {
    /// In no list.
    pub(crate) const UNFILED: Self = Self { prev: NIL, next: NIL };

    pub(super) fn is_filed(self) -> bool {
        self.prev != NIL
    }

    /// The mark at both ends of the list at `place` of `level`.
    pub(super) fn end(level: u32, place: u32) -> u32 {
        END | level << PLACE_BITS | place
    }

    pub(super) fn next_record(self) -> Option<RecordId> {
        record(self.next)
    }
}

/// The level and place that a link names if it is the end of a list.
pub(super) fn end_of_list(link: u32) -> Option<(usize, u32)> {
    let named = link & !END;
    (link & END != 0).then_some(((named >> PLACE_BITS) as usize, named & ((1 << PLACE_BITS) - 1)))
}

fn record(link: u32) -> Option<RecordId> {
    (link & END == 0).then_some(RecordId(link))
}

/// A list of records and a lower bound of their keys.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    head: u32,
    tail: u32,
    min: u64,
}

impl Slot {
    const EMPTY: Self = Self { head: NIL, tail: NIL, min: u64::MAX };

    pub(super) fn head(&self) -> Option<RecordId> {
        record(self.head)
    }

    pub(super) fn tail(&self) -> Option<RecordId> {
        record(self.tail)
    }

    pub(super) fn min(&self) -> u64 {
        self.min
    }

    fn is_empty(&self) -> bool {
        self.head == NIL
    }
}

#[derive(Debug)]
pub(super) struct Level {
    /// One bit for each slot in use.
    occupied: u64,
    /// The slots in use, by rising place.
    slots: Vec<Slot>,
    pub(super) backlog: Slot,
}

impl Default for Level {
    fn default() -> Self {
        Self { occupied: 0, slots: Vec::new(), backlog: Slot::EMPTY }
    }
}

impl Level {
    /// The first occupied slot at or after `position` in ring order.
    #[inline]
    pub(super) fn first_from(&self, position: u64) -> Option<u64> {
        if self.occupied == 0 {
            return None;
        }
        let turned = self.occupied.rotate_right((position % RING) as u32);
        Some(position + u64::from(turned.trailing_zeros()))
    }

    /// The smallest key in an occupied slot.
    #[inline]
    pub(super) fn min_at(&self, position: u64) -> u64 {
        self.slot_at(position).min
    }

    pub(super) fn head_at(&self, place: u64) -> Option<RecordId> {
        self.slot_at(place).head()
    }

    /// An occupied slot.
    #[inline]
    pub(super) fn slot_at(&self, position: u64) -> &Slot {
        &self.slots[self.rank((position % RING) as u32)]
    }

    fn rank(&self, place: u32) -> usize {
        (self.occupied & ((1 << place) - 1)).count_ones() as usize
    }

    fn slot_mut(&mut self, place: u32) -> &mut Slot {
        if place == BACKLOG {
            return &mut self.backlog;
        }
        let rank = self.rank(place);
        &mut self.slots[rank]
    }

    /// Appends a record to the slot at `place`.
    #[inline]
    pub(super) fn push<T, const LANE: usize>(
        &mut self,
        slab: &mut Slab<T>,
        level: u32,
        place: u32,
        id: RecordId,
        key: u64,
    ) {
        let end = Links::end(level, place);
        let rank = self.rank(place);
        if self.occupied >> place & 1 == 0 {
            self.occupied |= 1 << place;
            self.slots.insert(rank, Slot { head: id.raw(), tail: id.raw(), min: key });
            slab.get_mut(id).links[LANE] = Links { prev: end, next: end };
            return;
        }
        let slot = &mut self.slots[rank];
        let before = slot.tail;
        slot.tail = id.raw();
        slot.min = slot.min.min(key);
        slab.get_mut(RecordId(before)).links[LANE].next = id.raw();
        slab.get_mut(id).links[LANE] = Links { prev: before, next: end };
    }

    /// Moves the last record of the slot at `place` to before `next`, which is in the same slot.
    pub(super) fn move_before<T, const LANE: usize>(
        &mut self,
        slab: &mut Slab<T>,
        place: u32,
        id: RecordId,
        next: RecordId,
    ) {
        let last = slab.get(id).links[LANE];
        self.set_tail(place, last.prev);
        slab.get_mut(RecordId(last.prev)).links[LANE].next = last.next;
        let prev = slab.get(next).links[LANE].prev;
        slab.get_mut(id).links[LANE] = Links { prev, next: next.raw() };
        slab.get_mut(next).links[LANE].prev = id.raw();
        match record(prev) {
            Some(prev) => slab.get_mut(prev).links[LANE].next = id.raw(),
            None => self.set_head(place, id.raw()),
        }
    }

    /// The list at `place` starts with `head` now.
    pub(super) fn set_head(&mut self, place: u32, head: u32) {
        self.slot_mut(place).head = head;
    }

    /// The list at `place` ends with `tail` now.
    pub(super) fn set_tail(&mut self, place: u32, tail: u32) {
        self.slot_mut(place).tail = tail;
    }

    /// The list at `place` has lost its only record.
    pub(super) fn clear(&mut self, place: u32) {
        if place == BACKLOG {
            self.backlog = Slot::EMPTY;
        } else {
            self.slots.remove(self.rank(place));
            self.occupied &= !(1 << place);
        }
    }

    /// Moves the whole list at `place` to the end of the backlog, in constant time.
    pub(super) fn set_aside<T, const LANE: usize>(
        &mut self,
        slab: &mut Slab<T>,
        level: u32,
        place: u64,
    ) {
        let slot = self.slots[self.rank(place as u32)];
        self.clear(place as u32);
        let end = Links::end(level, BACKLOG);
        slab.get_mut(RecordId(slot.tail)).links[LANE].next = end;
        if self.backlog.is_empty() {
            slab.get_mut(RecordId(slot.head)).links[LANE].prev = end;
            self.backlog = slot;
        } else {
            slab.get_mut(RecordId(slot.head)).links[LANE].prev = self.backlog.tail;
            slab.get_mut(RecordId(self.backlog.tail)).links[LANE].next = slot.head;
            self.backlog.tail = slot.tail;
            self.backlog.min = self.backlog.min.min(slot.min);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.occupied == 0 && self.backlog.is_empty()
    }

    pub(super) fn has_slack(&self, fit: Fit) -> bool {
        let factor = if fit == Fit::Exact { 2 } else { 4 };
        self.slots.capacity() > factor * self.slots.len().max(2)
    }

    pub(super) fn trim(&mut self, fit: Fit) {
        if fit == Fit::Exact || self.has_slack(fit) {
            self.slots.shrink_to_fit();
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
    }

    /// All lists that are in use, the backlog's last.
    pub(super) fn slots_by_place(&self) -> impl Iterator<Item = (u32, Slot)> {
        let places = (0..RING as u32).filter(|place| self.occupied >> place & 1 == 1);
        let backlog = (!self.backlog.is_empty()).then_some((BACKLOG, self.backlog));
        places.zip(self.slots.iter().copied()).chain(backlog)
    }
}

/// Slots in a ring: twice the width of the next level's slots.
pub(super) const RING: u64 = 64;
/// An upper slot is 2^5 slots of the level below wide.
pub(super) const LEVEL_BITS: u32 = 5;
/// Keys stay below 2^63 ns, so ticks of a millisecond below 2^44, which nine levels of 5 bits span.
pub(super) const MOST_LEVELS: u32 = 9;
/// The place of a level's backlog, after its 64 slots.
pub(super) const BACKLOG: u32 = RING as u32;
/// No record and no list.
pub(super) const NIL: u32 = u32::MAX;
/// Set in a link that names the list's end instead of a record.
const END: u32 = 1 << 31;
/// Places 0 to 64 need seven bits.
const PLACE_BITS: u32 = 7;
