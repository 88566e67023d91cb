//! The thread that gives memory back, and how often (B3, B4).

use core::panic::AssertUnwindSafe;
use core::time::Duration;
use std::panic::catch_unwind;

use crate::platform::clock::{Clock, MILLI_NS, nanos};
use crate::platform::memory::{CAN_TRIM, prepare_trim, resident_bytes, trim};
use crate::platform::sync::{Arc, Mutex, OnceLock};
use crate::platform::thread;
use crate::stats::GivenBack;

/// Gives memory back, no more often than B3 allows.
pub(crate) struct Giver {
    way: Arc<dyn Fn() + Send + Sync>,
    book: Arc<Mutex<Book>>,
}

/// What is known of one way of giving memory back. Times are the process's.
#[derive(Clone, Copy, Debug, Default)]
struct Book {
    is_busy: bool,
    count: u64,
    failures: u64,
    begun_ns: Option<u64>,
    ended_ns: Option<u64>,
    took: Duration,
    returned_bytes: u64,
    /// How many doublings the least distance has had.
    doublings: u32,
}

impl Book {
    /// The first moment that B3 allows.
    fn free_ns(&self) -> u64 {
        let distance_ns = LEAST_DISTANCE_NS << self.doublings.min(MOST_DOUBLINGS);
        let distance_ns = distance_ns.max(nanos(self.took).saturating_mul(IDLE_SHARE));
        self.ended_ns.map_or(0, |ended_ns| ended_ns.saturating_add(distance_ns))
    }
}

/// Whether memory can be given back now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Turn {
    Now,
    /// It need not be: it has been, since the fall was over.
    Covered,
    /// Not for so long.
    NotFor(u64),
}

impl Giver {
    /// By the system's allocator, if it can be asked. All caches that leave it to it share one record.
    pub(crate) fn system() -> Option<Self> {
        static BOOK: OnceLock<Arc<Mutex<Book>>> = OnceLock::new();
        CAN_TRIM.then(|| {
            let book = BOOK.get_or_init(|| {
                prepare_trim();
                Arc::default()
            });
            Self { way: Arc::new(trim), book: book.clone() }
        })
    }

    /// By a call of the user's.
    pub(crate) fn by(way: Arc<dyn Fn() + Send + Sync>) -> Self {
        Self { way, book: Arc::default() }
    }

    /// Whether memory can be given back for a fall that last grew at `grew_ns`.
    pub(crate) fn turn(&self, grew_ns: u64) -> Turn {
        let now_ns = process_ns();
        let book = self.book.lock();
        if book.begun_ns.is_some_and(|begun_ns| begun_ns > grew_ns) {
            return Turn::Covered;
        }
        match book.free_ns().saturating_sub(now_ns) {
            0 => Turn::Now,
            wait_ns => Turn::NotFor(wait_ns),
        }
    }

    /// Begins to give memory back, some `expected_bytes`; false if that is under way.
    pub(crate) fn begin(&self, expected_bytes: u64) -> bool {
        {
            let mut book = self.book.lock();
            if book.is_busy {
                return false;
            }
            (book.is_busy, book.begun_ns) = (true, Some(process_ns()));
        }
        let (way, book) = (self.way.clone(), self.book.clone());
        let work = move || {
            let attempt = Attempt::make(&*way, expected_bytes);
            book.lock().enter(attempt);
        };
        if thread::spawn(THREAD_NAME, None, work).is_err() {
            self.book.lock().enter(Attempt::failed());
        }
        true
    }

    pub(crate) fn given_back(&self) -> GivenBack {
        let book = *self.book.lock();
        let since_last = |ended_ns| Duration::from_nanos(process_ns().saturating_sub(ended_ns));
        GivenBack {
            count: book.count,
            failures: book.failures,
            last_took: book.took,
            last_bytes: book.returned_bytes,
            since_last: book.ended_ns.map(since_last),
        }
    }
}

/// What one attempt to give memory back came to.
struct Attempt {
    ended_ns: u64,
    took: Duration,
    has_failed: bool,
    returned_bytes: u64,
    /// Whether it brought much less back than was expected.
    is_worthless: bool,
}

impl Attempt {
    fn make(way: &dyn Fn(), expected_bytes: u64) -> Self {
        let (before, begun_ns) = (resident_bytes(), process_ns());
        let outcome = catch_unwind(AssertUnwindSafe(way));
        let ended_ns = process_ns();
        let has_failed = outcome.is_err();
        // What it panicked with may panic when it is dropped.
        let _dropped = catch_unwind(AssertUnwindSafe(|| drop(outcome)));
        let returned = before.zip(resident_bytes()).map(|(before, now)| before.saturating_sub(now));
        Self {
            ended_ns,
            took: Duration::from_nanos(ended_ns.saturating_sub(begun_ns)),
            has_failed,
            returned_bytes: returned.unwrap_or(0),
            // Where nothing is known, it is as good as expected.
            is_worthless: returned.is_some_and(|bytes| bytes < expected_bytes / LEAST_YIELD),
        }
    }

    /// The thread could not be started.
    fn failed() -> Self {
        let (ended_ns, took) = (process_ns(), Duration::ZERO);
        Self { ended_ns, took, has_failed: true, returned_bytes: 0, is_worthless: false }
    }
}

impl Book {
    fn enter(&mut self, attempt: Attempt) {
        self.count += u64::from(!attempt.has_failed);
        self.failures += u64::from(attempt.has_failed);
        self.ended_ns = Some(attempt.ended_ns);
        self.took = attempt.took;
        self.returned_bytes = attempt.returned_bytes;
        self.doublings = if attempt.is_worthless { self.doublings + 1 } else { 0 };
        self.is_busy = false;
    }
}

/// The process's own time, whatever clock a cache runs on.
pub(crate) fn process_ns() -> u64 {
    Clock::monotonic().exact_ns()
}

const THREAD_NAME: &str = "sundown-memory";
/// Memory is back 10 s after the last session's time, also if there was a storm just before.
const LEAST_DISTANCE_NS: u64 = 5_000 * MILLI_NS;
/// 5 s doubled ten times is over an hour.
const MOST_DOUBLINGS: u32 = 10;
/// At most a twentieth of a core is spent on it.
const IDLE_SHARE: u64 = 20;
/// What brings less than this share of what was expected brings little.
const LEAST_YIELD: u64 = 4;
