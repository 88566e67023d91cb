//! The way to the sessions that are due first, for whoever has it fetched ahead.
//!
//! A ledger that nobody has asked for a while is in no cache of the processor, and to find out who is
//! due takes a few reads, each of which tells the address of the next. Whoever is about to ask many
//! ledgers takes all of them a hop further before any of them the next one: so their waits for memory
//! overlap.

use core::ops::Range;

use super::Ledger;

/// A step on the way, which can be told once what the step before led to has been fetched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hop {
    /// The levels of the wheel.
    Levels,
    /// The first slot of each.
    Slots,
    /// Where the directory names the pages of the first tick's records: the first and the last one.
    Directory,
    /// These records.
    Records,
}

impl Hop {
    /// In their order.
    pub(crate) const ALL: [Self; 4] = [Self::Levels, Self::Slots, Self::Directory, Self::Records];
}

impl<T> Ledger<T> {
    /// Tells `fetch` where in memory that lies which a hop leads to. Constant time.
    pub(crate) fn tell_way(&self, hop: Hop, fetch: impl Fn(Range<usize>)) {
        let deadlines = &self.deadlines;
        match hop {
            Hop::Levels => fetch(bytes_of(deadlines.levels())),
            Hop::Slots => deadlines.first_slots().for_each(|slot| fetch(bytes_of(slot))),
            Hop::Directory => {
                let ends = deadlines.first_ends();
                ends.for_each(|id| fetch(bytes_of(self.slab.page_at(id))));
            }
            Hop::Records => {
                let places = deadlines.first_ends().filter_map(|id| self.slab.place_at(id));
                places.for_each(|place| fetch(bytes_of(place)));
            }
        }
    }

    /// The sessions that the way leads to: the first and the last of the first tick that has any.
    pub(crate) fn soonest(&self) -> impl Iterator<Item = &T> {
        self.deadlines.first_ends().map(|id| self.get(id))
    }
}

fn bytes_of<V: ?Sized>(value: &V) -> Range<usize> {
    let first = core::ptr::from_ref(value).addr();
    first..first + size_of_val(value)
}

#[cfg(all(test, not(sundown_loom)))]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::platform::clock::NEVER_NS;

    fn told(ledger: &Ledger<u32>, hop: Hop) -> Vec<Range<usize>> {
        let told = RefCell::new(Vec::new());
        ledger.tell_way(hop, |bytes| RefCell::borrow_mut(&told).push(bytes));
        told.into_inner()
    }

    #[test]
    fn each_hop_tells_where_the_next_one_looks() {
        let mut ledger = Ledger::new(10_000_000, true);
        for hop in [Hop::Slots, Hop::Directory, Hop::Records] {
            assert_eq!(told(&ledger, hop), []);
        }
        // Each on its own page, in the order of their numbers, and others that nobody comes to.
        for name in 0..100 {
            let deadline_ns = if name % 40 == 5 { 50_000_000 } else { 3_600_000_000_000 };
            ledger.insert(name, deadline_ns, 0);
        }
        ledger.insert(100, NEVER_NS, 0);
        assert_eq!(ledger.soonest().copied().collect::<Vec<_>>(), [5, 85]);

        let levels = bytes_of(ledger.deadlines.levels());
        assert_eq!(told(&ledger, Hop::Levels), [levels]);
        let slots: Vec<_> = ledger.deadlines.first_slots().map(bytes_of).collect();
        assert_eq!(slots.len(), 2, "the near ones' and the far ones'");
        assert_eq!(told(&ledger, Hop::Slots), slots);
        let [first, last] = [5, 85].map(|raw| ledger.next_from(raw).expect("it is there").0);
        let pages = [first, last].map(|id| bytes_of(ledger.slab.page_at(id)));
        assert_eq!(told(&ledger, Hop::Directory), pages);
        assert_eq!(pages[1].start - pages[0].start, 2 * size_of::<usize>());
        let records = [first, last].map(|id| bytes_of(ledger.slab.get(id)));
        let holds = |place: &Range<usize>, record: &Range<usize>| {
            place.start <= record.start && record.end <= place.end
        };
        let places = told(&ledger, Hop::Records);
        assert!(places.len() == 2 && places.iter().zip(&records).all(|(at, of)| holds(at, of)));
    }
}
