//! The roll of a cache: pages, each under its own lock, and what the engine sees of them.

use core::panic::Location;

use crossbeam_utils::CachePadded;

use super::handle::{Held, Trace};
use super::page::{Left, Page, spread};
use super::report::{Overstays, Tally};
use super::{BITE, Departure};
use crate::platform::clock::MILLI_NS;
use crate::platform::sync::{AtomicU64, IS_MODEL, Mutex, Ordering};
use crate::stats::Overstayed;

/// What the engine tells a roll, and asks it, whatever sessions are kept as.
pub(crate) trait Watch<V>: Send + Sync {
    /// A value is about to be put in.
    fn enter(&self, value: &V);

    /// It was not.
    fn withdraw(&self, value: &V);

    /// The cache gives its own handle away, to the listener if there is one, who is at `place`.
    fn part(&self, value: &mut V, place: Option<&'static Location<'static>>) -> usize;

    /// What was parted with under this address has been dropped or handed over. True if the reaper
    /// should come by.
    fn leave(&self, address: usize, departure: Departure) -> bool;

    /// The reaper comes by: lets go of some of what is gone, if it is time to. When to come again;
    /// `None` if there is no need to.
    fn look(&self, now_ns: u64) -> Option<u64>;

    fn figures(&self, now_ns: u64) -> Overstayed;

    fn overstays(&self, now_ns: u64) -> Overstays;

    /// The same, however short ago they have left.
    #[allow(dead_code, reason = "for the checks of users' tests, which are a feature")]
    fn all_held(&self, now_ns: u64) -> Overstays;

    fn bytes(&self) -> usize;

    /// Whether its locks are free at this moment.
    fn is_free(&self) -> bool;

    /// Rows of sessions that are kept, and of those that have left.
    #[cfg(test)]
    fn rows(&self) -> (usize, usize);
}

/// A page and its lock.
type Locked<T> = CachePadded<Mutex<Page<T>>>;

/// The roll of a cache whose values are `V`.
pub(crate) struct Roll<V: Held> {
    pages: Box<[Locked<V::Trace>]>,
    /// From when on after they left sessions are overstays.
    after_ns: u64,
    /// When the reaper last looked.
    looked_ns: AtomicU64,
    /// Page and row at which it goes on.
    cursor: Mutex<(usize, usize)>,
}

impl<V: Held> Roll<V> {
    pub(crate) fn new(after_ns: u64) -> Self {
        let pages = (0..PAGES).map(|_| CachePadded::new(Mutex::new(Page::new())));
        let (looked_ns, cursor) = (AtomicU64::new(0), Mutex::new((0, 0)));
        Self { pages: pages.collect(), after_ns, looked_ns, cursor }
    }

    fn page(&self, address: usize) -> &Mutex<Page<V::Trace>> {
        // Other bits than the page's own table takes.
        &self.pages[(spread(address as u64) >> 20) as usize % PAGES]
    }

    /// Shows what is an overstay at this moment, and lets go of what is gone.
    fn walk(&self, mut show: impl FnMut(&Left<V::Trace>)) {
        for page in &self.pages {
            let mut from = Some(0);
            while let Some(next) = from {
                let bitten = page.lock().bite(next, &mut show);
                from = bitten.next;
                drop(bitten.gone);
            }
        }
    }

    fn tally(&self, now_ns: u64, after_ns: u64, tells_places: bool) -> Tally {
        let mut tally = Tally::default();
        self.walk(|left| {
            let stay_ns = now_ns.saturating_sub(left.departure.left_ns);
            if stay_ns >= after_ns {
                tally.add(left.departure.weight, stay_ns);
                if tells_places {
                    left.trace.tell(&mut tally, stay_ns);
                }
            }
        });
        tally
    }

    /// Lets go of what is gone in the next [`MOST_BITES`], and fits the tables of pages that it comes to
    /// the end of. True if something is left to look at.
    fn sweep(&self) -> bool {
        let Some(mut cursor) = self.cursor.try_lock() else { return true };
        let (mut ended, mut is_wanted) = (0, false);
        for _ in 0..MOST_BITES {
            let (number, from) = *cursor;
            let page = &self.pages[number];
            let bitten = page.lock().bite(from, |_| ());
            drop(bitten.gone);
            *cursor = bitten.next.map_or(((number + 1) % PAGES, 0), |from| (number, from));
            if bitten.next.is_none() {
                let mut page = page.lock();
                page.fit();
                (ended, is_wanted) = (ended + 1, is_wanted || page.has_left());
            }
            if ended == PAGES {
                return is_wanted;
            }
        }
        true
    }
}

impl<V: Held> Watch<V> for Roll<V> {
    fn enter(&self, value: &V) {
        // Where a value begins to note its handles, that comes before its address is known.
        let trace = value.trace();
        let address = value.address();
        self.page(address).lock().enter(address, || trace);
    }

    fn withdraw(&self, value: &V) {
        let address = value.address();
        let _trace = self.page(address).lock().withdraw(address);
    }

    fn part(&self, value: &mut V, place: Option<&'static Location<'static>>) -> usize {
        if let Some(place) = place {
            value.move_to(place);
        }
        value.address()
    }

    fn leave(&self, address: usize, departure: Departure) -> bool {
        let mut page = self.page(address).lock();
        let had_left = page.has_left();
        let trace = page.leave(address, departure);
        let is_first = !had_left && page.has_left();
        drop(page);
        // What it may keep is memory: it goes without the lock.
        drop(trace);
        is_first
    }

    fn look(&self, now_ns: u64) -> Option<u64> {
        let is_wanted = |page: &Locked<V::Trace>| {
            let page = page.lock();
            page.has_left() || page.has_slack()
        };
        // Relaxed, both: two lookers at a time do no harm.
        let due_ns = self.looked_ns.load(Ordering::Relaxed).saturating_add(LOOK_NS);
        if now_ns < due_ns {
            return self.pages.iter().any(is_wanted).then_some(due_ns);
        }
        self.looked_ns.store(now_ns, Ordering::Relaxed);
        self.sweep().then(|| now_ns.saturating_add(LOOK_NS))
    }

    fn figures(&self, now_ns: u64) -> Overstayed {
        self.tally(now_ns, self.after_ns, false).figures()
    }

    fn overstays(&self, now_ns: u64) -> Overstays {
        self.tally(now_ns, self.after_ns, true).into_report()
    }

    fn all_held(&self, now_ns: u64) -> Overstays {
        self.tally(now_ns, 0, true).into_report()
    }

    fn bytes(&self) -> usize {
        let rows: usize = self.pages.iter().map(|page| page.lock().bytes()).sum();
        size_of_val(self) + size_of_val(&*self.pages) + rows
    }

    fn is_free(&self) -> bool {
        self.pages.iter().all(|page| page.try_lock().is_some())
    }

    #[cfg(test)]
    fn rows(&self) -> (usize, usize) {
        let rows = self.pages.iter().map(|page| page.lock().len());
        rows.fold((0, 0), |(kept, left), page| (kept + page.0, left + page.1))
    }
}

/// So many that threads which insert seldom meet at one.
const PAGES: usize = if IS_MODEL { 1 } else { 32 };
/// How often the reaper comes by: what it lets go of is the memory of values that have been dropped.
pub(crate) const LOOK_NS: u64 = 1_000 * MILLI_NS;
/// How many rows a look of the reaper's comes to at most: about a millisecond's work.
const MOST_BITES: usize = 8_192 / BITE;
