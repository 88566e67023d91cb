//! Records by number: paged, so that it grows without copying and gives pages back.
//!
//! A page holds 32 records and a word that says which are in use. Free places are taken from the
//! lowest page that has one, so that the pages at the end empty out and can go.
//!
//! S1. A record's bit in its page's `used` word is set exactly if the place holds a record.
//! S2. A page's bit in `open` is set exactly if the directory has the page and it is absent or has
//!     a free place.
//! S3. No page in the directory is empty: it goes, and at most one is kept aside as `spare`.
//! S4. `len` is the number of records.
//! S5. No word of `open` below `first_open` has a bit set.

use crate::error::{Broken, ensure};
use crate::ledger::wheel::Links;
use crate::platform::block::block_bytes;

/// The number of a record; stays the same for as long as the record lives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct RecordId(pub(super) u32);

impl RecordId {
    /// The number as an entry keeps it.
    pub(crate) fn raw(self) -> u32 {
        self.0
    }

    /// The number that [`raw`](Self::raw) gave.
    pub(crate) fn from_raw(raw: u32) -> Self {
        Self(raw)
    }
}

/// How closely bookkeeping is fitted to what it holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fit {
    /// No vector keeps room that it does not use.
    Exact,
    /// None has over four times the room that it uses. Of many records that is little, and what
    /// traffic gives back at an ebb it asks for again with the next flood: to serve a directory of
    /// pages, glibc's allocator first merges all the small chunks that it was given back.
    Loose,
}

#[derive(Debug)]
pub(super) struct Slab<T> {
    pages: Vec<Option<Box<Page<T>>>>,
    open: Vec<u64>,
    first_open: usize,
    spare: Option<Box<Page<T>>>,
    len: usize,
}

#[derive(Debug)]
struct Page<T> {
    used: u32,
    records: [Option<Record<T>>; PAGE_RECORDS],
}

/// One session's bookkeeping: who it is, and where it stands in each wheel.
#[derive(Debug)]
pub(super) struct Record<T> {
    pub(super) token: T,
    pub(super) links: [Links; 2],
}

impl<T> Slab<T> {
    pub(super) fn new() -> Self {
        Self { pages: Vec::new(), open: Vec::new(), first_open: 0, spare: None, len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Stores `token` in the lowest page with a free place. Constant time, but for one word looked
    /// at per 2,048 records.
    pub(super) fn insert(&mut self, token: T) -> RecordId {
        let page_index = self.open_page();
        let spare = &mut self.spare;
        let page = self.pages[page_index]
            .get_or_insert_with(|| spare.take().unwrap_or_else(|| Box::new(Page::empty())));
        let place = page.used.trailing_ones() as usize;
        page.used |= 1 << place;
        page.records[place] = Some(Record { token, links: [Links::UNFILED; 2] });
        if page.used == u32::MAX {
            self.open[page_index / 64] &= !(1 << (page_index % 64));
        }
        self.len += 1;
        RecordId((page_index * PAGE_RECORDS + place) as u32)
    }

    /// The lowest page that has a free place, or will have once it is there.
    fn open_page(&mut self) -> usize {
        let words = self.open.get(self.first_open..).unwrap_or_default();
        match words.iter().position(|&word| word != 0) {
            Some(ahead) => {
                self.first_open += ahead;
                self.first_open * 64 + self.open[self.first_open].trailing_zeros() as usize
            }
            None => {
                assert!(self.pages.len() < MOST_PAGES, "a shard holds under two billion records");
                self.pages.push(None);
                self.open_at(self.pages.len() - 1);
                self.pages.len() - 1
            }
        }
    }

    fn open_at(&mut self, page_index: usize) {
        let word = page_index / 64;
        if word >= self.open.len() {
            self.open.resize(word + 1, 0);
        }
        self.open[word] |= 1 << (page_index % 64);
        self.first_open = self.first_open.min(word);
    }

    /// Takes a record out; its number may be given to another one.
    pub(super) fn remove(&mut self, id: RecordId) -> Record<T> {
        let (page_index, place) = split(id);
        let page = self.pages[page_index].as_mut().expect("a live record's page exists");
        let record = page.records[place].take().expect("a live record is in its place");
        page.used &= !(1 << place);
        self.len -= 1;
        let emptied = page.used == 0;
        self.open_at(page_index);
        if emptied {
            self.close_page(page_index);
        }
        record
    }

    fn close_page(&mut self, page_index: usize) {
        // One empty page is kept, so that a shard that goes back and forth over a page's edge does
        // not allocate each time; `trim` gives it back.
        self.spare = self.pages[page_index].take();
        while self.pages.last().is_some_and(Option::is_none) {
            self.pages.pop();
            let last = self.pages.len();
            self.open[last / 64] &= !(1 << (last % 64));
        }
    }

    pub(super) fn get(&self, id: RecordId) -> &Record<T> {
        let (page_index, place) = split(id);
        let page = self.pages[page_index].as_ref().expect("a live record's page exists");
        page.records[place].as_ref().expect("a live record is in its place")
    }

    pub(super) fn get_mut(&mut self, id: RecordId) -> &mut Record<T> {
        let (page_index, place) = split(id);
        let page = self.pages[page_index].as_mut().expect("a live record's page exists");
        page.records[place].as_mut().expect("a live record is in its place")
    }

    /// The first record at or after `from`, in the order of numbers.
    pub(super) fn next_from(&self, from: u32) -> Option<(RecordId, &T)> {
        let mut page_index = from as usize / PAGE_RECORDS;
        let mut ahead = u32::MAX << (from as usize % PAGE_RECORDS);
        while page_index < self.pages.len() {
            if let Some(page) = &self.pages[page_index] {
                let used = page.used & ahead;
                if used != 0 {
                    let id = RecordId((page_index * PAGE_RECORDS) as u32 + used.trailing_zeros());
                    return Some((id, &self.get(id).token));
                }
            }
            page_index += 1;
            ahead = u32::MAX;
        }
        None
    }

    /// Whether [`trim`](Self::trim) would give something back.
    pub(super) fn has_slack(&self) -> bool {
        self.spare.is_some()
            || self.has_wide_directory()
            || self.open.len() > self.pages.len().div_ceil(64)
    }

    fn has_wide_directory(&self) -> bool {
        self.pages.capacity() > 4 * self.pages.len() + LEAST_DIRECTORY
    }

    /// Gives back what growth has left behind.
    pub(super) fn trim(&mut self, fit: Fit) {
        self.spare = None;
        if fit == Fit::Exact || self.has_wide_directory() {
            self.pages.shrink_to_fit();
        }
        self.open.truncate(self.pages.len().div_ceil(64));
        self.open.shrink_to_fit();
        self.first_open = 0;
    }

    /// What a record takes in a page that is full: its part of the page's block.
    pub(super) const fn record_bytes() -> usize {
        block_bytes(size_of::<Page<T>>()).div_ceil(PAGE_RECORDS)
    }

    pub(super) fn bytes(&self) -> usize {
        let pages = self.pages.iter().flatten().count() + usize::from(self.spare.is_some());
        pages * size_of::<Page<T>>()
            + self.pages.capacity() * size_of::<Option<Box<Page<T>>>>()
            + self.open.capacity() * size_of::<u64>()
    }

    pub(super) fn check(&self) -> Result<(), Broken> {
        let mut len = 0;
        for (page_index, page) in self.pages.iter().enumerate() {
            let open =
                self.open.get(page_index / 64).is_some_and(|w| w >> (page_index % 64) & 1 == 1);
            let Some(page) = page else {
                ensure!("S2", open, "page {page_index} is absent and not open");
                continue;
            };
            for (place, record) in page.records.iter().enumerate() {
                let used = page.used >> place & 1 == 1;
                ensure!("S1", used == record.is_some(), "place {place} of page {page_index}");
            }
            ensure!("S2", open == (page.used != u32::MAX), "page {page_index} is open: {open}");
            ensure!("S3", page.used != 0, "page {page_index} is empty");
            len += page.used.count_ones() as usize;
        }
        ensure!("S4", len == self.len, "{len} records where {} are counted", self.len);
        let early = self.open.iter().take(self.first_open).any(|&word| word != 0);
        ensure!("S5", !early, "an open page lies below word {}", self.first_open);
        Ok(())
    }
}

impl<T> Page<T> {
    fn empty() -> Self {
        Self { used: 0, records: [const { None }; PAGE_RECORDS] }
    }
}

fn split(id: RecordId) -> (usize, usize) {
    (id.0 as usize / PAGE_RECORDS, id.0 as usize % PAGE_RECORDS)
}

/// As many records as a page's word has bits. A page stays under 1 KiB: before it serves a larger
/// request, glibc's allocator merges all the small chunks that it has been given back.
const PAGE_RECORDS: usize = 32;
/// Record numbers leave the top bit free, which marks the ends of lists.
const MOST_PAGES: usize = (1 << 31) / PAGE_RECORDS - 1;
/// A directory this small is not worth shrinking.
const LEAST_DIRECTORY: usize = 16;

#[cfg(all(test, not(sundown_loom)))]
mod check_tests;

#[cfg(test)]
mod tests {
    use super::*;

    /// Slab numbers are given from the lowest, whatever was taken out before.
    #[cfg(not(sundown_loom))]
    fn agree_with_a_map(ops: &[(u8, u16)]) -> Result<(), Broken> {
        use std::collections::{BTreeMap, BTreeSet};
        let (mut slab, mut model, mut free) = (Slab::new(), BTreeMap::new(), BTreeSet::new());
        let mut beyond = 0;
        for (step, &(kind, which)) in ops.iter().enumerate() {
            // Some steps do a run of the same, so that whole pages and directory words come and go.
            let run = if kind % 16 == 0 { 1_500 } else { 1 };
            for _ in 0..run {
                if kind < 136 {
                    let lowest = free.pop_first().unwrap_or_else(|| {
                        beyond += 1;
                        beyond - 1
                    });
                    let id = slab.insert(step);
                    ensure!("S5", id.raw() == lowest, "{id:?} is given before {lowest}");
                    model.insert(lowest, step);
                } else {
                    let from = which % (model.len().max(1) as u16);
                    let Some(&raw) = model.range(u32::from(from)..).next().map(|(raw, _)| raw)
                    else {
                        break;
                    };
                    let token = slab.remove(RecordId(raw)).token;
                    ensure!("S1", model.remove(&raw) == Some(token), "{raw} was {token}");
                    free.insert(raw);
                }
            }
            if kind % 32 == 1 {
                slab.trim(Fit::Exact);
                ensure!("trim", !slab.has_slack(), "slack is left");
                ensure!("trim", slab.bytes() == 0 || !model.is_empty(), "bytes of nothing");
            }
            slab.check()?;
            ensure!("S4", slab.len() == model.len(), "{} of {}", slab.len(), model.len());
            let next = slab.next_from(u32::from(which)).map(|(id, &token)| (id.raw(), token));
            let expected =
                model.range(u32::from(which)..).next().map(|(&raw, &token)| (raw, token));
            ensure!("walk", next == expected, "{next:?} after {which}, not {expected:?}");
        }
        Ok(())
    }

    #[cfg(not(sundown_loom))]
    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig {
            failure_persistence: None,
            ..proptest::prelude::ProptestConfig::default()
        })]

        #[test]
        fn slab_agrees_with_a_map(
            ops in proptest::collection::vec(proptest::prelude::any::<(u8, u16)>(), 0..80)
        ) {
            let result = agree_with_a_map(&ops);
            proptest::prop_assert!(result.is_ok(), "{}", result.unwrap_err());
        }
    }

    #[test]
    fn free_places_are_taken_from_the_lowest_page() {
        let mut slab = Slab::new();
        let ids: Vec<_> = (0..1_000).map(|n| slab.insert(n)).collect();
        slab.remove(ids[700]);
        slab.remove(ids[70]);
        assert_eq!(slab.insert(0), ids[70]);
        assert_eq!(slab.insert(0), ids[700]);
        slab.check().unwrap();
    }

    #[test]
    fn empty_slab_gives_every_byte_back() {
        let mut slab = Slab::new();
        let ids: Vec<_> = (0..10_000).map(|n| slab.insert(n)).collect();
        for (n, id) in ids.into_iter().enumerate() {
            assert_eq!(slab.remove(id).token, n);
            slab.check().unwrap();
        }
        assert!(slab.has_slack());
        slab.trim(Fit::Exact);
        assert!(!slab.has_slack());
        assert_eq!(slab.bytes(), 0);
    }

    #[test]
    fn walk_visits_each_record_once_in_order() {
        let mut slab = Slab::new();
        let ids: Vec<_> = (0..500).map(|n| slab.insert(n)).collect();
        for id in ids.iter().step_by(3) {
            slab.remove(*id);
        }
        let mut from = 0;
        let mut seen = Vec::new();
        while let Some((id, &token)) = slab.next_from(from) {
            seen.push(token);
            from = id.raw() + 1;
        }
        let left: Vec<_> = (0..500).filter(|n| n % 3 != 0).collect();
        assert_eq!(seen, left);
    }
}
