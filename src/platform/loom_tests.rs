//! The stage that the models play on: how far to look, what to look at, and how to see a fault.
//!
//! A model sets its scene without exploration, then [`race`] explores all interleavings of its
//! parts, from the moment when all of them are ready until all of them are done. Registering a
//! thread with the collector, its first pin (which always collects) and its end are not part of the
//! scene: they would multiply the executions by hundreds, and the process-wide list of threads is
//! crossbeam's matter, not ours. So a model sees deeper for the same time.

#![allow(unsafe_code, reason = "the canary is a cell that loom watches")]

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use loom::alloc::Track;
use loom::cell::UnsafeCell;
use loom::thread;

use crate::platform::sync::pin;

/// How far a model looks: every execution with at most so many preemptions, or every one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Depth {
    Preemptions(usize),
    Complete,
}

use Depth::{Complete, Preemptions};

impl Depth {
    fn bound(self) -> Option<usize> {
        match self {
            Preemptions(bound) => Some(bound),
            Complete => None,
        }
    }

    /// The depth that the environment asks for instead of `short`.
    fn chosen(short: Self, deep: Self) -> Self {
        match std::env::var("SUNDOWN_LOOM").ok().as_deref() {
            None | Some("short") => short,
            Some("deep") => deep,
            Some("complete") => Complete,
            Some(bound) => Preemptions(bound.parse().expect("short, deep, complete or a number")),
        }
    }
}

/// Checks a model to the depth `short`, or `deep` where the environment says so.
///
/// Prints how many executions that were. Where the environment sets `SUNDOWN_LOOM_SECONDS`, the check
/// ends after that long, and says if that cut it off.
pub(crate) fn check(short: Depth, deep: Depth, model: impl Fn() + Send + Sync + 'static) {
    let depth = Depth::chosen(short, deep);
    let seconds = std::env::var("SUNDOWN_LOOM_SECONDS").ok();
    let limit = seconds.map(|seconds| {
        Duration::from_secs(seconds.parse().expect("SUNDOWN_LOOM_SECONDS is a number"))
    });
    let executions = Arc::new(AtomicUsize::new(0));
    let count = executions.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = depth.bound();
    builder.max_branches = 20_000;
    builder.expect_explicit_explore = true;
    builder.max_duration = limit;
    builder.checkpoint_interval = 1_000;
    let start = Instant::now();
    builder.check(move || {
        count.fetch_add(1, SeqCst);
        model();
    });
    let took = start.elapsed();
    let is_cut_off = limit.is_some_and(|limit| took >= limit);
    IS_CUT_OFF.set(is_cut_off);
    let end = if is_cut_off { "CUT OFF" } else { "all" };
    let name = std::thread::current().name().unwrap_or("model").to_owned();
    println!("{name}: {depth:?}, {end}, {} executions, {took:.1?}", executions.load(SeqCst));
}

std::thread_local! {
    /// Whether the last check on this test's thread ran out of time.
    static IS_CUT_OFF: Cell<bool> = const { Cell::new(false) };
}

/// Counts what happened over all executions of a model, and asserts in the end that all of it did.
#[derive(Clone)]
pub(crate) struct Seen<const N: usize>(Arc<[(&'static str, AtomicUsize); N]>);

impl<const N: usize> Seen<N> {
    pub(crate) fn new(names: [&'static str; N]) -> Self {
        Self(Arc::new(names.map(|name| (name, AtomicUsize::new(0)))))
    }

    pub(crate) fn note(&self, which: usize) {
        self.0[which].1.fetch_add(1, SeqCst);
    }

    /// A model that never comes to what it is about proves nothing; unless it was cut off, and then
    /// its short check has come there.
    #[track_caller]
    pub(crate) fn assert_all(&self) {
        if IS_CUT_OFF.get() {
            return;
        }
        for (name, count) in &*self.0 {
            assert!(count.load(SeqCst) > 0, "in no execution: {name}");
        }
    }
}

/// When the parts begin and end.
///
/// What loom does not see (these are the standard library's atomics) it does not explore, and it
/// synchronizes nothing.
struct Cue {
    /// How many parts there are besides the main one.
    others: usize,
    main: thread::Thread,
    is_started: AtomicBool,
    ready: AtomicUsize,
    done: AtomicUsize,
    met: AtomicUsize,
    is_over: AtomicBool,
    threads: Mutex<Vec<thread::Thread>>,
}

impl Cue {
    fn of(others: usize) -> Arc<Self> {
        Arc::new(Self {
            others,
            main: thread::current(),
            is_started: AtomicBool::new(false),
            ready: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            met: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
            threads: Mutex::default(),
        })
    }

    /// For the other parts: waits until all are ready.
    fn wait_for_start(&self) {
        drop(pin());
        self.threads.lock().expect("nobody panics here").push(thread::current());
        self.ready.fetch_add(1, SeqCst);
        sleep_until(|| self.is_started.load(SeqCst));
    }

    /// For the main part.
    fn start(&self) {
        drop(pin());
        while self.ready.load(SeqCst) < self.others {
            thread::yield_now();
        }
        self.is_started.store(true, SeqCst);
        loom::explore();
        self.wake_others();
    }

    fn wake_others(&self) {
        let threads = self.threads.lock().expect("nobody panics here").clone();
        threads.iter().for_each(thread::Thread::unpark);
    }

    /// The last part to be done stops the exploration. Waking synchronizes, so nobody is woken who
    /// still plays.
    fn end(&self) {
        if self.done.fetch_add(1, SeqCst) == self.others {
            loom::stop_exploring();
            self.main.unpark();
            self.wake_others();
        }
        sleep_until(|| self.done.load(SeqCst) > self.others);
    }

    /// For the other parts: lets the main one see all that they did, and stays until it is over.
    fn wait_for_curtain(&self) {
        self.met.fetch_add(1, SeqCst);
        self.main.unpark();
        sleep_until(|| self.is_over.load(SeqCst));
    }

    fn meet_others(&self) {
        sleep_until(|| self.met.load(SeqCst) == self.others);
    }

    fn draw_curtain(&self) {
        self.is_over.store(true, SeqCst);
        self.wake_others();
    }
}

fn sleep_until(is_time: impl Fn() -> bool) {
    while !is_time() {
        thread::park();
    }
}

/// Plays `main` on this thread beside the `others`, each on a thread of its own.
pub(crate) fn race<A, B, const N: usize>(
    main: impl FnOnce() -> A,
    others: [Box<dyn FnOnce() -> B + Send>; N],
) -> (A, [B; N])
where
    B: Send + 'static,
{
    race_and(main, others, || ())
}

/// Like [`race`], and when it is over, before the threads end, calls `then`.
pub(crate) fn race_and<A, B, const N: usize>(
    main: impl FnOnce() -> A,
    others: [Box<dyn FnOnce() -> B + Send>; N],
    then: impl FnOnce(),
) -> (A, [B; N])
where
    B: Send + 'static,
{
    let cue = Cue::of(N);
    let threads = others.map(|part| {
        let cue = cue.clone();
        thread::spawn(move || {
            cue.wait_for_start();
            let result = part();
            cue.end();
            cue.wait_for_curtain();
            result
        })
    });
    cue.start();
    let result = main();
    cue.end();
    cue.meet_others();
    then();
    cue.draw_curtain();
    (result, threads.map(|thread| thread.join().expect("no part panics")))
}

/// Plays `main` beside whatever threads the scene has started, as a cache's reaper.
pub(crate) fn explore<A>(main: impl FnOnce() -> A) -> A {
    race::<A, (), 0>(main, []).0
}

/// A value that notices if it is read after, or while, it is dropped, and if it is never dropped.
pub(crate) struct Canary {
    name: UnsafeCell<u32>,
    _track: Track<()>,
}

impl Canary {
    pub(crate) fn new(name: u32) -> Self {
        Self { name: UnsafeCell::new(name), _track: Track::new(()) }
    }

    pub(crate) fn name(&self) -> u32 {
        // SAFETY: nobody writes while the value lives; that is what the models check.
        self.name.with(|name| unsafe { *name })
    }
}

// SAFETY: every access goes through loom, which fails the model if two of them race.
unsafe impl Sync for Canary {}

impl Drop for Canary {
    fn drop(&mut self) {
        if !thread::panicking() {
            // SAFETY: `&mut self`; that nobody reads any more is what the models check.
            self.name.with_mut(|name| unsafe { *name = 0 });
        }
    }
}
