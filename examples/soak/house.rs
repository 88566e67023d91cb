//! The cache that is soaked, and what is known of it without asking it.

use std::array;
use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use sundown::{Cache, RemovalCause};

use crate::board::Board;
use crate::checks::Fault;
use crate::session::{Session, Witness};
use crate::way::Way;

/// Sessions under lock and key: the soaked cache with all that watches it.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) cache: Cache<u64, Arc<Session>>,
    pub(crate) board: Board,
    /// Of the sessions that posts put in.
    pub(crate) witness: Arc<Witness>,
    /// Of the sessions that a closure holds on to: they may outlive their time by as long.
    pub(crate) held: Arc<Witness>,
    pub(crate) heard: Arc<Heard>,
    book: Mutex<Book>,
}

/// What the callers count, to be compared with what the cache does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) calls: u64,
    /// Sessions that the cache took in, and those that it handed back.
    pub(crate) taken: u64,
    pub(crate) refused: u64,
    /// Of `get`, `read` and `touch`.
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    /// What went on beside.
    pub(crate) stalls: u64,
    pub(crate) jumps: u64,
    /// Histories that agreed with the exact model.
    pub(crate) histories: u64,
    pub(crate) caches: u64,
    pub(crate) threads: u64,
}

#[derive(Debug, Default)]
struct Book {
    tally: Tally,
    faults: Vec<Fault>,
}

/// Counts what the listener is told, by cause.
#[derive(Debug)]
pub(crate) struct Heard([AtomicU64; CAUSES.len()]);

impl House {
    /// Builds the cache for so many posts.
    ///
    /// # Errors
    ///
    /// If the reaper cannot be started.
    pub(crate) fn build(posts: usize, give_back: Way) -> Result<Self, String> {
        let heard = Arc::new(Heard(array::from_fn(|_| AtomicU64::new(0))));
        let hears = Arc::clone(&heard);
        let cache = Cache::builder()
            .max_entries(MOST_ENTRIES)
            .max_weight(MOST_WEIGHT)
            .give_back(give_back.into())
            .weigher(|_, session: &Arc<Session>| session.weight())
            .on_removal(move |_, session, cause| {
                // The count comes after the session's end.
                drop(session);
                hears.count(cause);
            })
            .build()
            .map_err(|error| error.to_string())?;
        // A full book must not grow while the heap is watched.
        let book = Book { tally: Tally::default(), faults: Vec::with_capacity(MOST_FAULTS) };
        Ok(Self {
            cache,
            board: Board::new(posts),
            witness: Arc::default(),
            held: Arc::default(),
            heard,
            book: Mutex::new(book),
        })
    }

    /// How many sessions are in memory.
    pub(crate) fn alive(&self) -> u64 {
        self.witness.alive() + self.held.alive()
    }

    pub(crate) fn add(&self, tally: Tally) {
        self.book.lock().unwrap_or_else(PoisonError::into_inner).tally += tally;
    }

    /// Exact when nobody is at work.
    pub(crate) fn tally(&self) -> Tally {
        self.book.lock().unwrap_or_else(PoisonError::into_inner).tally
    }

    /// Writes a fault down, if it is among the first.
    pub(crate) fn accuse(&self, promise: &'static str, finding: String) {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        if book.faults.len() < MOST_FAULTS {
            book.faults.push(Fault { promise, finding });
        }
    }

    pub(crate) fn faults(&self) -> Vec<Fault> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner).faults.clone()
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.taken += other.taken;
        self.refused += other.refused;
        self.hits += other.hits;
        self.misses += other.misses;
        self.stalls += other.stalls;
        self.jumps += other.jumps;
        self.histories += other.histories;
        self.caches += other.caches;
        self.threads += other.threads;
    }
}

impl Heard {
    fn count(&self, cause: RemovalCause) {
        if let Some(place) = CAUSES.iter().position(|&known| known == cause) {
            self.0[place].fetch_add(1, Relaxed);
        }
    }

    /// In the order of [`CAUSES`].
    pub(crate) fn counts(&self) -> [u64; CAUSES.len()] {
        array::from_fn(|place| self.0[place].load(Relaxed))
    }
}

/// Every cause, in the order in which they are counted.
pub(crate) const CAUSES: [RemovalCause; 7] = [
    RemovalCause::Expired,
    RemovalCause::Idle,
    RemovalCause::Evicted,
    RemovalCause::Removed,
    RemovalCause::Replaced,
    RemovalCause::Cleared,
    RemovalCause::Closed,
];

/// Low enough for a burst to fill the cache. With bodies of 960 bytes on average both caps bind.
const MOST_ENTRIES: usize = 50_000;
const MOST_WEIGHT: u64 = 48 << 20;

/// The first few tell what is wrong; thousands would only hide it.
const MOST_FAULTS: usize = 16;
