//! A page of the roll: who is kept and who has left, under one lock. Pure bookkeeping.

use core::hash::{BuildHasherDefault, Hasher};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use super::handle::Trace;
use super::{BITE, Departure};

#[derive(Debug)]
pub(super) struct Page<T> {
    kept: HashMap<usize, Kept<T>, BuildHasherDefault<AddressHasher>>,
    /// Ordered, so that a walk in bites comes to each row that stays exactly once.
    left: BTreeMap<usize, Left<T>>,
}

#[derive(Debug)]
struct Kept<T> {
    trace: T,
    /// How many entries of the cache hold it (O1).
    entries: u32,
}

#[derive(Debug)]
pub(super) struct Left<T> {
    pub(super) trace: T,
    pub(super) departure: Departure,
}

/// What a bite of a walk came to.
pub(super) struct Bitten<T> {
    /// Where the next bite begins; `None` if there is none.
    pub(super) next: Option<usize>,
    /// Whose last handle has gone. To be dropped without the lock.
    pub(super) gone: Vec<Left<T>>,
}

impl<T: Trace> Page<T> {
    pub(super) fn new() -> Self {
        Self { kept: HashMap::default(), left: BTreeMap::new() }
    }

    /// Notes one more entry.
    pub(super) fn enter(&mut self, address: usize, trace: impl FnOnce() -> T) {
        let kept = self.kept.entry(address).or_insert_with(|| Kept { trace: trace(), entries: 0 });
        kept.entries = kept.entries.saturating_add(1);
    }

    /// Takes a note back: the session was not put in. Whoever had left before has left again.
    pub(super) fn withdraw(&mut self, address: usize) -> Option<T> {
        self.take_last(address)
    }

    /// Notes one entry less, whose own handle is gone. What it returns is no longer needed.
    pub(super) fn leave(&mut self, address: usize, departure: Departure) -> Option<T> {
        let trace = self.take_last(address)?;
        if trace.is_held() {
            let before = self.left.insert(address, Left { trace, departure });
            return before.map(|left| left.trace);
        }
        self.left.remove(&address);
        Some(trace)
    }

    /// Takes an entry's row out if it was the last (O1).
    fn take_last(&mut self, address: usize) -> Option<T> {
        let Entry::Occupied(mut row) = self.kept.entry(address) else { return None };
        row.get_mut().entries -= 1;
        (row.get().entries == 0).then(|| row.remove().trace)
    }

    /// Shows those of the next bite that are overstays at this moment (O3), and takes those out that
    /// are gone.
    pub(super) fn bite(&mut self, from: usize, mut show: impl FnMut(&Left<T>)) -> Bitten<T> {
        let (mut dead, mut last, mut seen) = (Vec::new(), None, 0);
        for (&address, left) in self.left.range(from..).take(BITE) {
            (last, seen) = (Some(address), seen + 1);
            if self.kept.contains_key(&address) {
                continue;
            }
            if left.trace.is_held() {
                show(left);
            } else {
                dead.push(address);
            }
        }
        let gone = dead.iter().filter_map(|address| self.left.remove(address)).collect();
        let next = last.filter(|_| seen == BITE).and_then(|last: usize| last.checked_add(1));
        Bitten { next, gone }
    }

    pub(super) fn has_left(&self) -> bool {
        !self.left.is_empty()
    }

    /// Whether the table is over four times as large as it need be.
    pub(super) fn has_slack(&self) -> bool {
        self.kept.capacity() / 4 > self.kept.len().max(LEAST_ROWS)
    }

    /// Gives back what growth has left behind.
    pub(super) fn fit(&mut self) {
        if self.has_slack() {
            self.kept.shrink_to(2 * self.kept.len());
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let buckets = self.kept.capacity() / 7 * 8;
        buckets * (size_of::<(usize, Kept<T>)>() + 1)
            + self.left.len() * size_of::<(usize, Left<T>)>()
    }

    /// Rows of sessions that are kept, and of those that have left.
    #[cfg(test)]
    pub(super) fn len(&self) -> (usize, usize) {
        (self.kept.len(), self.left.len())
    }
}

/// Spreads addresses over all bits of the hash, the table's by low ones and its tags by high ones.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_usize(byte.into());
        }
    }

    fn write_usize(&mut self, address: usize) {
        self.0 = spread(self.0 ^ address as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Fibonacci hashing, and its best bits, the high ones, also as low ones.
pub(super) fn spread(address: u64) -> u64 {
    let product = address.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ (product >> 32)
}

/// Smaller tables are not worth the copying.
const LEAST_ROWS: usize = 64;
