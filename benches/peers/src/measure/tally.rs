//! Values that are counted as they die.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A session of 64 bytes whose death is counted. Clones are the same session.
pub type Mortal = Arc<Counted>;

/// What a [`Mortal`] points to.
pub struct Counted {
    _session: [u8; 64],
    tally: &'static AtomicUsize,
}

impl Drop for Counted {
    fn drop(&mut self) {
        // Release: pairs with the load in Tally::dead, so that who sees the count sees the rest of
        // the destructor's work done, too.
        self.tally.fetch_add(1, Ordering::Release);
    }
}

/// Counts the dead. It lives for ever, so that a death costs no more than an addition.
#[derive(Clone, Copy)]
pub struct Tally(&'static AtomicUsize);

impl Tally {
    /// Nobody has died yet.
    pub fn new() -> Self {
        Self(Box::leak(Box::default()))
    }

    /// A session whose death counts here.
    pub fn session(self) -> Mortal {
        Arc::new(Counted { _session: [0; 64], tally: self.0 })
    }

    /// How many have died.
    pub fn dead(self) -> usize {
        // Acquire: pairs with the addition in Counted::drop.
        self.0.load(Ordering::Acquire)
    }

    /// Sleeps until `count` have died; tells whether they did in time.
    pub fn wait_for(self, count: usize, patience: Duration) -> bool {
        let start = Instant::now();
        while self.dead() < count {
            if start.elapsed() > patience {
                return false;
            }
            thread::sleep(Duration::from_millis(2));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_dies_once_however_often_it_was_cloned() {
        let tally = Tally::new();
        let session = tally.session();
        drop(session.clone());
        assert_eq!(tally.dead(), 0);
        drop(session);
        assert_eq!(tally.dead(), 1);
        assert!(tally.wait_for(1, Duration::ZERO));
        assert!(!tally.wait_for(2, Duration::ZERO));
    }
}
