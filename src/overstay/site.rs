//! Places in the source as numbers, so that one fits into an atomic beside a count.
//!
//! A table of the process's, which only grows: a program has as many places that take handles as it has
//! lines that do. Looking one up takes no lock; only the first handle that is taken at a place may wait,
//! for another thread that writes the same row of the table at that moment.

use core::panic::Location;

use super::page::spread;
use crate::platform::sync::OnceLock;

/// A place in the source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Site(u32);

impl Site {
    /// The number of a place; `None` if the table has no room near where it belongs.
    #[inline]
    pub(super) fn of(location: &'static Location<'static>) -> Option<Self> {
        let address = core::ptr::from_ref(location).addr();
        let first = (spread(address as u64) >> 32) as usize;
        (0..MOST_STEPS).map(|step| (first + step) % ROWS).find_map(|row| {
            let known = SITES[row].get().copied().or_else(|| claim(row, location))?;
            core::ptr::eq(known, location).then_some(Self(row as u32))
        })
    }

    pub(super) fn location(self) -> Option<&'static Location<'static>> {
        SITES[self.0 as usize].get().copied()
    }

    pub(super) fn number(self) -> u32 {
        self.0
    }

    /// The place of a number that [`number`](Self::number) gave.
    pub(super) fn from_number(number: u32) -> Self {
        Self(number)
    }
}

#[cold]
fn claim(row: usize, location: &'static Location<'static>) -> Option<&'static Location<'static>> {
    Some(SITES[row].get_or_init(|| location))
}

static SITES: [OnceLock<&'static Location<'static>>; ROWS] = [const { OnceLock::new() }; ROWS];

/// Far more lines than take handles of sessions. Untouched rows are no resident memory.
const ROWS: usize = 4_096;
/// At half its rows, hardly one place in a million is further away than this from where it belongs.
const MOST_STEPS: usize = 32;

#[cfg(all(test, not(any(sundown_loom, sundown_shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_one_number_and_its_number_leads_back() {
        let here = || Site::of(Location::caller()).expect("there is room");
        let places = [Location::caller(), Location::caller()];
        for place in places {
            let site = Site::of(place).expect("there is room");
            assert_eq!(Site::of(place), Some(site));
            assert_eq!(site.location(), Some(place));
            assert_eq!(Site::from_number(site.number()), site);
        }
        assert_eq!(here(), here());
    }
}
