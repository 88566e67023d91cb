//! Who is just moving which session's deadline.
//!
//! Between a call that touches a session and the note of that in its [`Bounds`], the cache already
//! grants the session more time than the bounds do. A reader who comes just then must not cry out.
//! So each post writes the key on the board before such a call and wipes it off after the note. Who
//! finds a session late by its bounds looks at the board next, and at the bounds once more:
//!
//! ```text
//!   toucher    board = key ── fence ── touch ── note in the bounds ── board = none
//!   judge      read ── bounds: late? ── fence ── board: is the key there? ── bounds: still late?
//! ```
//!
//! If the judge's read saw the touch, it sees the board as of then or later: the key, or its removal
//! and with it the note. So a session that is found guilty is guilty. The converse does not hold, a
//! guilty one may get away while somebody is at it, but such a meeting is rare.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use crate::session::Bounds;

#[derive(Debug)]
pub(crate) struct Board {
    places: Box<[Place]>,
}

/// One post's place, on a cache line of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Place(AtomicU64);

/// Wipes the key off when it is dropped.
#[derive(Debug)]
pub(crate) struct Entry<'b>(&'b Place);

impl Board {
    pub(crate) fn new(posts: usize) -> Self {
        Self { places: (0..posts).map(|_| Place(AtomicU64::new(NOBODY))).collect() }
    }

    /// Writes that `post` is about to move a deadline of `key`.
    pub(crate) fn enter(&self, post: usize, key: u64) -> Entry<'_> {
        let place = &self.places[post];
        place.0.store(key, Ordering::Relaxed);
        // SeqCst: with the fence in `is_late`, one of the two sees what the other did before it.
        fence(Ordering::SeqCst);
        Entry(place)
    }

    /// Whether a session of `key` that a call begun at `before` has shown to `post` was dead by then.
    pub(crate) fn is_late(&self, bounds: &Bounds, before: u64, key: u64, post: usize) -> bool {
        if bounds.until() > before {
            return false;
        }
        // SeqCst: pairs with the fence in `enter`.
        fence(Ordering::SeqCst);
        // Acquire: pairs with the wiping off, after which the note is in the bounds.
        let is_at_it = |place: &Place| place.0.load(Ordering::Acquire) == key;
        let mut others = self.places.iter().enumerate().filter(|&(number, _)| number != post);
        !others.any(|(_, place)| is_at_it(place)) && bounds.until() <= before
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        // Release: pairs with the load in `is_late`: the note comes before.
        self.0.0.store(NOBODY, Ordering::Release);
    }
}

/// No session's key.
const NOBODY: u64 = u64::MAX;
