//! The thread that gives memory back, and how often (B3, B4).

use core::time::Duration;

use super::decline::GROWN_SHARE;
use super::pool::{Pool, Share};
use super::{Population, Verdict};
use crate::platform::clock::{MILLI_NS, nanos, process_ns};
use crate::platform::memory::{CAN_TRIM, prepare_trim, resident_bytes, trim};
use crate::platform::sync::{Arc, AtomicU64, Mutex, OnceLock, Ordering, park};
use crate::platform::{thread, unwind};
use crate::stats::GivenBack;

/// A cache's part in giving memory back.
pub(crate) struct Giver {
    source: Source,
    /// The greatest population that was noticed since the last look.
    peak: AtomicU64,
    share: Mutex<Share>,
}

/// A way of giving memory back, and what is known of it.
#[derive(Clone)]
struct Source {
    way: Arc<dyn Fn() + Send + Sync>,
    book: Arc<Mutex<Book>>,
}

/// What is known of one way of giving memory back. Times are the process's.
#[derive(Debug, Default)]
pub(super) struct Book {
    pool: Pool,
    is_busy: bool,
    count: u64,
    failures: u64,
    ended_ns: Option<u64>,
    took: Duration,
    returned_bytes: u64,
    /// How often in a row it has brought little, and how much it should have brought at most.
    in_vain: u32,
    in_vain_bytes: u64,
    /// Whether a cache that is gone waits for its turn.
    is_waited_for: bool,
}

impl Book {
    /// How long B3 allows nothing for a fall of so many bytes.
    pub(super) fn wait_ns(&self, expected_bytes: u64) -> u64 {
        let is_another = expected_bytes >= self.in_vain_bytes.saturating_mul(GROWN_SHARE);
        let in_vain = if is_another { 0 } else { self.in_vain };
        let distance_ns = LEAST_DISTANCE_NS << in_vain.saturating_sub(1).min(MOST_DOUBLINGS);
        let distance_ns = distance_ns.max(nanos(self.took).saturating_mul(IDLE_SHARE));
        let free_ns = self.ended_ns.map_or(0, |ended_ns| ended_ns.saturating_add(distance_ns));
        free_ns.saturating_sub(process_ns())
    }
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
            Self::of(Source { way: Arc::new(trim), book: book.clone() })
        })
    }

    /// By a call of the user's.
    pub(crate) fn by(way: Arc<dyn Fn() + Send + Sync>) -> Self {
        Self::of(Source { way, book: Arc::default() })
    }

    fn of(source: Source) -> Self {
        Self { source, peak: AtomicU64::new(0), share: Mutex::default() }
    }

    /// The same for another cache.
    #[cfg(test)]
    pub(super) fn of_another_cache(&self) -> Self {
        Self::of(self.source.clone())
    }

    /// Notes how many sessions there are, if these are the most so far. Called before many of them
    /// leave; what leaves in between unnoticed is less than a batch of each shard.
    pub(crate) fn notice(&self, entries: u64) {
        // Relaxed, both: a figure. Only its greatest value counts.
        if entries > self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(entries, Ordering::Relaxed);
        }
    }

    /// Has memory given back if the population of all caches has fallen and the fall is over. Returns
    /// when to look again, by the process's clock, if that is known.
    pub(crate) fn look(&self, entries: u64, is_clean: bool) -> Option<u64> {
        let mut share = self.share.lock();
        let mut book = self.source.book.lock();
        let book = &mut *book;
        // Relaxed: a figure.
        let peak = self.peak.swap(0, Ordering::Relaxed);
        book.pool.enter(&mut share, Population { peak, now: entries, is_clean });
        let population = book.pool.population();
        let now_ns = process_ns();
        match book.pool.decline.look(population, now_ns) {
            Verdict::Small => return None,
            Verdict::LookAt(look_ns) => return Some(look_ns),
            Verdict::Over => {}
        }
        let expected_bytes = population.fallen_bytes();
        let wait_ns = book.wait_ns(expected_bytes);
        if wait_ns > 0 || !book.try_begin() {
            let look_ns = now_ns.saturating_add(wait_ns.max(BUSY_RETRY_NS));
            book.pool.decline.postpone(look_ns);
            return Some(look_ns);
        }
        let source = self.source.clone();
        Source::start(book, move || source.attempt(expected_bytes));
        None
    }

    /// The cache is at its end, and empty: has memory given back, if there was much in it or in others
    /// before, as soon as B3 allows it.
    pub(crate) fn leave(&self) {
        let mut share = self.share.lock();
        let mut book = self.source.book.lock();
        // Relaxed: a figure.
        let peak = self.peak.swap(0, Ordering::Relaxed);
        book.pool.enter(&mut share, Population { peak, now: 0, is_clean: true });
        // What has left stays in the pool, until memory is given back for it.
        *share = Share::default();
        let population = book.pool.population();
        if population.is_worth_it() && !core::mem::replace(&mut book.is_waited_for, true) {
            self.source.begin_when_free(&mut book, population.fallen_bytes());
        }
    }

    pub(crate) fn given_back(&self) -> GivenBack {
        let book = self.source.book.lock();
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

impl Source {
    /// Gives memory back as soon as B3 allows it, for a cache that is at its end. One waits at a time: it
    /// will have been after all that has been freed until then.
    fn begin_when_free(&self, book: &mut Book, expected_bytes: u64) {
        let source = self.clone();
        Self::start(book, move || {
            loop {
                let wait_ns = {
                    let mut book = source.book.lock();
                    let wait_ns = book.wait_ns(u64::MAX);
                    if wait_ns == 0 && book.try_begin() {
                        book.is_waited_for = false;
                        break;
                    }
                    wait_ns.max(BUSY_RETRY_NS)
                };
                park(Some(Duration::from_nanos(wait_ns)));
            }
            source.attempt(expected_bytes);
        });
    }

    fn start(book: &mut Book, work: impl FnOnce() + Send + 'static) {
        if thread::spawn(THREAD_NAME, None, work).is_err() {
            book.is_waited_for = false;
            book.enter(&Attempt::failed());
        }
    }

    fn attempt(&self, expected_bytes: u64) {
        let attempt = Attempt::make(&*self.way, expected_bytes);
        self.book.lock().enter(&attempt);
    }
}

/// What one attempt to give memory back came to.
pub(super) struct Attempt {
    ended_ns: u64,
    took: Duration,
    has_failed: bool,
    returned_bytes: u64,
    /// What it should have brought back, if it brought much less.
    in_vain_bytes: Option<u64>,
}

impl Attempt {
    pub(super) fn make(way: &dyn Fn(), expected_bytes: u64) -> Self {
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
            in_vain_bytes: returned
                .is_some_and(|bytes| bytes < expected_bytes / LEAST_YIELD)
                .then_some(expected_bytes),
        }
    }

    /// The thread could not be started.
    fn failed() -> Self {
        let (ended_ns, took) = (process_ns(), Duration::ZERO);
        Self { ended_ns, took, has_failed: true, returned_bytes: 0, in_vain_bytes: None }
    }
}

impl Book {
    /// Notes that memory is given back from now on for all that has left; false if it is under way.
    fn try_begin(&mut self) -> bool {
        if self.is_busy {
            return false;
        }
        self.is_busy = true;
        self.pool.begin_round();
        true
    }

    pub(super) fn enter(&mut self, attempt: &Attempt) {
        self.count += u64::from(!attempt.has_failed);
        self.failures += u64::from(attempt.has_failed);
        self.ended_ns = Some(attempt.ended_ns);
        self.took = attempt.took;
        self.returned_bytes = attempt.returned_bytes;
        (self.in_vain, self.in_vain_bytes) = match attempt.in_vain_bytes {
            Some(bytes) => (self.in_vain + 1, bytes.max(self.in_vain_bytes)),
            None => (0, 0),
        };
        self.is_busy = false;
    }
}

const THREAD_NAME: &str = "sundown-memory";
/// How soon to ask again while memory is being given back for another fall.
const BUSY_RETRY_NS: u64 = 250 * MILLI_NS;
/// Memory is back 10 s after the last session's time, also if there was a storm just before.
const LEAST_DISTANCE_NS: u64 = 5_000 * MILLI_NS;
/// 5 s doubled ten times is over an hour.
const MOST_DOUBLINGS: u32 = 10;
/// Arenas are free for five times as long as they are locked.
const IDLE_SHARE: u64 = 5;
/// What brings less than this share of what was expected brings little.
const LEAST_YIELD: u64 = 4;
