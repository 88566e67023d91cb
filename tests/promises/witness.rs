//! Those who watch: values that say when they died, a control thread that says how noisy the
//! machine is, and the kernel, which says what a thread did.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The bound on freeing: one resolution plus grace is about 20 ms; five times 100 ms is for CI.
pub(crate) const SOON: Duration = Duration::from_millis(500);

/// After this, something will never happen. Where it is known that something does not, for a bug was
/// planted, nobody need wait so long.
pub(crate) fn patience() -> Duration {
    let seconds = std::env::var("SUNDOWN_PATIENCE_SECONDS").ok();
    let seconds = seconds.map_or(60, |text| text.parse().expect("it is a number of seconds"));
    Duration::from_secs(seconds)
}

/// A control thread later than this makes a trial void.
const NOISE: Duration = Duration::from_millis(20);

/// How often a void trial is repeated. If all are void, nothing was shown and nothing is failed.
const TRIALS: usize = 10;

/// Fewer sessions without optimisation.
pub(crate) const fn scaled(sessions: u64) -> u64 {
    if cfg!(debug_assertions) { sessions / 5 } else { sessions }
}

/// Lets one test run at a time.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Raises a flag when it is dropped, also by a panic: so a test that fails lets its threads end.
pub(crate) struct Raise<'f>(pub(crate) &'f AtomicBool);

impl Drop for Raise<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits for something that must happen, however slow the machine is.
pub(crate) fn eventually(what: &str, happened: impl Fn() -> bool) {
    let (start, patience) = (Instant::now(), patience());
    while !happened() {
        assert!(start.elapsed() < patience, "this never happened: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// How late something was, and how late a thread was that had nothing else to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lateness {
    pub(crate) observed: Duration,
    pub(crate) control: Duration,
}

/// Repeats a trial until it is on time, or late while the machine was quiet.
pub(crate) fn is_on_time(what: &str, bound: Duration, trial: impl Fn() -> Lateness) {
    for attempt in 1..=TRIALS {
        let lateness = trial();
        if lateness.observed <= bound {
            return;
        }
        assert!(lateness.control > NOISE, "{what} took {:?}, not {bound:?}", lateness.observed);
        eprintln!("{what}: attempt {attempt} is void on a noisy machine: {lateness:?}");
    }
}

/// A thread that sleeps until `instant` and says how late it woke.
pub(crate) fn control(instant: Instant) -> thread::JoinHandle<Duration> {
    thread::spawn(move || {
        thread::sleep(instant.saturating_duration_since(Instant::now()));
        instant.elapsed()
    })
}

/// Counts the values alive and notes when the last one died.
#[derive(Clone, Debug, Default)]
pub(crate) struct Register {
    alive: Arc<AtomicI64>,
    deaths: Arc<Mutex<Option<Instant>>>,
    early: Arc<AtomicI64>,
}

impl Register {
    pub(crate) fn alive(&self) -> i64 {
        self.alive.load(Ordering::SeqCst)
    }

    /// How many died before they might.
    pub(crate) fn early(&self) -> i64 {
        self.early.load(Ordering::SeqCst)
    }

    pub(crate) fn last_death(&self) -> Option<Instant> {
        *self.deaths.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A value that may die at any time.
    pub(crate) fn value(&self) -> Watched {
        self.value_until(Instant::now())
    }

    /// A value that must not die before `earliest`.
    pub(crate) fn value_until(&self, earliest: Instant) -> Watched {
        self.alive.fetch_add(1, Ordering::SeqCst);
        Watched { register: self.clone(), earliest }
    }
}

/// A value under watch. Its clones would be under watch too, so it has none.
#[derive(Debug)]
pub(crate) struct Watched {
    register: Register,
    earliest: Instant,
}

impl Drop for Watched {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut last = self.register.deaths.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(last.map_or(now, |last| last.max(now)));
        drop(last);
        if now < self.earliest {
            self.register.early.fetch_add(1, Ordering::SeqCst);
        }
        self.register.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What the kernel says of the reapers of this process.
#[cfg(target_os = "linux")]
pub(crate) mod kernel {
    use std::fs;

    /// The ids of all threads whose name begins with that of the crate.
    pub(crate) fn reapers() -> Vec<u32> {
        let tasks = fs::read_dir("/proc/self/task").expect("Linux has a proc file system");
        let ids = tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok());
        ids.filter(|id| {
            let name = fs::read_to_string(format!("/proc/self/task/{id}/comm"));
            name.is_ok_and(|name| name.starts_with("sundown"))
        })
        .collect()
    }

    /// How often the thread went to sleep or was put aside.
    pub(crate) fn context_switches(id: u32) -> u64 {
        let status = fs::read_to_string(format!("/proc/self/task/{id}/status"));
        let status = status.expect("the thread lives");
        let switches = status.lines().filter(|line| line.contains("voluntary_ctxt_switches"));
        switches.filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok()).sum()
    }

    /// The processor time the thread took, in clock ticks.
    pub(crate) fn processor_ticks(id: u32) -> u64 {
        let stat = fs::read_to_string(format!("/proc/self/task/{id}/stat"));
        let stat = stat.expect("the thread lives");
        let (_, after_name) = stat.rsplit_once(')').expect("the name is in brackets");
        // User and system time are the 14th and 15th field; the 3rd is the first after the name.
        let fields = after_name.split_whitespace().skip(11).take(2);
        fields.filter_map(|field| field.parse::<u64>().ok()).sum()
    }
}
