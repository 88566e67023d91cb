//! Where the handles of a tracked session were taken.
//!
//! A record has eight *seats*: a place in the source and how many handles that were taken there are
//! left, in one word. A handle knows its seat. A clone looks for the seat of its place, or for one that
//! is empty, and moves its word on by compare-and-swap; it takes no lock and waits for nobody, for
//! [`get`](crate::Cache::get) clones under a pin.
//!
//! T1. A seat's count is the number of handles that name it. So while a handle names it, its place stays.
//! T2. Handles without a seat are those taken before the session was first put into a cache that
//!     tracks, and those for which no seat was free. They are told where the session was made.

use core::panic::{Location, RefUnwindSafe, UnwindSafe};

use super::handle::Trace;
use super::report::Tally;
use super::site::Site;
use crate::platform::sync::{Arc, AtomicU64, Ordering, Weak};

pub(super) struct Record {
    /// Each a place's number above a count (T1).
    seats: [AtomicU64; SEATS],
    /// The session's allocation, for the number of its handles. It keeps no memory: what it is part of
    /// owns this record.
    handles: Weak<dyn Send + Sync>,
    /// Where the session was made.
    made_at: &'static Location<'static>,
}

// Of the allocation only the number of its handles is asked for, whatever a panic has done to the rest.
impl UnwindSafe for Record {}
impl RefUnwindSafe for Record {}

/// Which seat a handle names, if any.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Seat(u8);

impl Seat {
    pub(super) const NONE: Self = Self(u8::MAX);
}

impl Record {
    pub(super) fn new(handles: Weak<dyn Send + Sync>, made_at: &'static Location<'static>) -> Self {
        Self { seats: [const { 0 }; SEATS].map(AtomicU64::new), handles, made_at }
    }

    /// A seat for a handle that is taken at `place`.
    #[inline(never)]
    pub(super) fn take(&self, place: &'static Location<'static>) -> Seat {
        let Some(site) = Site::of(place) else { return Seat::NONE };
        let has_site = |&number: &usize| {
            // Relaxed: a hint; `try_take` looks again.
            let word = self.seats[number].load(Ordering::Relaxed);
            count(word) > 0 && site_of(word) == site
        };
        let own = (0..SEATS).filter(has_site).find(|&number| self.try_take(number, site));
        let taken = own.or_else(|| (0..SEATS).find(|&number| self.try_take(number, site)));
        taken.map_or(Seat::NONE, |number| Seat(number as u8))
    }

    /// Takes a seat that is empty or has this place.
    fn try_take(&self, number: usize, site: Site) -> bool {
        let with_one_more = |word| match count(word) {
            0 => Some(u64::from(site.number()) << COUNT_BITS | 1),
            MOST => None,
            _ => (site_of(word) == site).then_some(word + 1),
        };
        let seat = &self.seats[number];
        // Relaxed, both: the word is all there is to it (T1).
        seat.fetch_update(Ordering::Relaxed, Ordering::Relaxed, with_one_more).is_ok()
    }

    /// A handle goes that names this seat.
    pub(super) fn release(&self, seat: Seat) {
        if let Some(word) = self.seats.get(usize::from(seat.0)) {
            // Relaxed: the word is all there is to it (T1).
            word.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A trace of a tracked session.
#[derive(Debug)]
pub struct Notes(Weak<Record>);

impl Notes {
    pub(super) fn of(record: &Arc<Record>) -> Self {
        Self(Arc::downgrade(record))
    }
}

impl Trace for Notes {
    fn is_held(&self) -> bool {
        // That the record is there says little: another thread may be looking at it, too.
        self.0.upgrade().is_some_and(|record| record.handles.strong_count() > 0)
    }

    fn tell(&self, tally: &mut Tally, stay_ns: u64) {
        let Some(record) = self.0.upgrade() else { return };
        let mut unnamed = record.handles.strong_count() as u64;
        for seat in &record.seats {
            // Relaxed: a figure.
            let word = seat.load(Ordering::Relaxed);
            let handles = count(word);
            if let Some(place) = site_of(word).location().filter(|_| handles > 0) {
                tally.add_handles(place, handles, stay_ns);
                unnamed = unnamed.saturating_sub(handles);
            }
        }
        if unnamed > 0 {
            tally.add_handles(record.made_at, unnamed, stay_ns);
        }
    }
}

fn count(word: u64) -> u64 {
    word & MOST
}

fn site_of(word: u64) -> Site {
    Site::from_number((word >> COUNT_BITS) as u32)
}

/// A session that is held from more places at once leaks from more than one: the rest of its handles
/// are told where it was made.
const SEATS: usize = 8;
const COUNT_BITS: u32 = 32;
const MOST: u64 = u32::MAX as u64;
