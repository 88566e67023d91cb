//! The thread that gives memory back, and how often (B3, B4).

use core::time::Duration;

use crate::platform::clock::{MILLI_NS, nanos, process_ns};
use crate::platform::memory::{CAN_TRIM, prepare_trim, resident_bytes, trim};
use crate::platform::sync::{Arc, AtomicU32, Mutex, OnceLock, Ordering, park};
use crate::platform::{thread, unwind};
use crate::stats::GivenBack;

/// Gives memory back, no more often than B3 allows.
#[derive(Clone)]
pub(crate) struct Giver {
    way: Arc<dyn Fn() + Send + Sync>,
    book: Arc<Mutex<Book>>,
    /// How often in a row it has brought this cache little. Written by the one that is at it.
    in_vain: Arc<AtomicU32>,
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
    /// Whether somebody waits for the turn whose cache is gone.
    is_waited_for: bool,
}

impl Book {
    /// How long B3 lets nobody at it, with so many doublings of the least distance.
    fn wait_ns(&self, doublings: u32) -> u64 {
        let distance_ns = LEAST_DISTANCE_NS << doublings.min(MOST_DOUBLINGS);
        let distance_ns = distance_ns.max(nanos(self.took).saturating_mul(IDLE_SHARE));
        let free_ns = self.ended_ns.map_or(0, |ended_ns| ended_ns.saturating_add(distance_ns));
        free_ns.saturating_sub(process_ns())
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
            Self { way: Arc::new(trim), book: book.clone(), in_vain: Arc::new(AtomicU32::new(0)) }
        })
    }

    /// By a call of the user's.
    pub(crate) fn by(way: Arc<dyn Fn() + Send + Sync>) -> Self {
        Self { way, book: Arc::default(), in_vain: Arc::new(AtomicU32::new(0)) }
    }

    /// Whether memory can be given back for a fall that last grew at `grew_ns`.
    pub(crate) fn turn(&self, grew_ns: u64) -> Turn {
        let book = self.book.lock();
        if book.begun_ns.is_some_and(|begun_ns| begun_ns > grew_ns) {
            return Turn::Covered;
        }
        // Relaxed: a figure.
        let doublings = self.in_vain.load(Ordering::Relaxed).saturating_sub(1);
        match book.wait_ns(doublings) {
            0 => Turn::Now,
            wait_ns => Turn::NotFor(wait_ns),
        }
    }

    /// Begins to give memory back, some `expected_bytes`; false if that is under way.
    pub(crate) fn begin(&self, expected_bytes: u64) -> bool {
        let is_begun = self.book.lock().try_begin();
        if is_begun {
            let giver = self.clone();
            self.start(move || giver.attempt(expected_bytes));
        }
        is_begun
    }

    /// The same as soon as B3 allows it, for a cache that is at its end. One waits at a time: it will
    /// have been after all that has been freed until then.
    pub(crate) fn begin_when_free(&self, expected_bytes: u64) {
        if core::mem::replace(&mut self.book.lock().is_waited_for, true) {
            return;
        }
        let giver = self.clone();
        self.start(move || {
            loop {
                let wait_ns = {
                    let mut book = giver.book.lock();
                    let wait_ns = book.wait_ns(0);
                    if wait_ns == 0 && book.try_begin() {
                        book.is_waited_for = false;
                        break;
                    }
                    wait_ns.max(BUSY_RETRY_NS)
                };
                park(Some(Duration::from_nanos(wait_ns)));
            }
            giver.attempt(expected_bytes);
        });
    }

    fn start(&self, work: impl FnOnce() + Send + 'static) {
        if thread::spawn(THREAD_NAME, None, work).is_err() {
            let mut book = self.book.lock();
            book.is_waited_for = false;
            book.enter(&Attempt::failed());
        }
    }

    fn attempt(&self, expected_bytes: u64) {
        let attempt = Attempt::make(&*self.way, expected_bytes);
        // Relaxed, both: nobody else is at it, and each has it by way of the book.
        let in_vain = self.in_vain.load(Ordering::Relaxed);
        let in_vain = if attempt.is_worthless { in_vain + 1 } else { 0 };
        self.in_vain.store(in_vain, Ordering::Relaxed);
        self.book.lock().enter(&attempt);
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
        let has_failed = unwind::panics(way);
        let ended_ns = process_ns();
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
    /// Notes that it begins now; false if it is under way.
    fn try_begin(&mut self) -> bool {
        if self.is_busy {
            return false;
        }
        (self.is_busy, self.begun_ns) = (true, Some(process_ns()));
        true
    }

    fn enter(&mut self, attempt: &Attempt) {
        self.count += u64::from(!attempt.has_failed);
        self.failures += u64::from(attempt.has_failed);
        self.ended_ns = Some(attempt.ended_ns);
        self.took = attempt.took;
        self.returned_bytes = attempt.returned_bytes;
        self.is_busy = false;
    }
}

const THREAD_NAME: &str = "sundown-memory";
/// How often who waits looks whether another one has finished.
const BUSY_RETRY_NS: u64 = 100 * MILLI_NS;
/// Memory is back 10 s after the last session's time, also if there was a storm just before.
const LEAST_DISTANCE_NS: u64 = 5_000 * MILLI_NS;
/// 5 s doubled ten times is over an hour.
const MOST_DOUBLINGS: u32 = 10;
/// Arenas are free for five times as long as they are locked.
const IDLE_SHARE: u64 = 5;
/// What brings less than this share of what was expected brings little.
const LEAST_YIELD: u64 = 4;
