//! The rounds: sets the crew to work, watches it, waits for the quiet, and asks.
//!
//! ```text
//!   │ busy: caps, garbage, samples ...  audit │ quiet: nobody calls ... at rest │ audit, accounts │
//!   └──────────────────────────────── one round ────────────────────────────────────────────────┘
//! ```
//!
//! In the quiet the cache is not asked anything: heap and sessions are counted by the allocator and
//! by the sessions' own destructors. The soak ends after a round in which a promise was broken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::{register, register_conditional_shutdown};

use crate::checks::{
    Fault, GarbageWatch, Quiet, allowed_first_heap, allowed_first_resident, allowed_heap,
    allowed_resident, over_caps,
};
use crate::crew::Crew;
use crate::house::{CAUSES, House, Tally};
use crate::options::Plan;
use crate::report::Progress;

/// What the process holds, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// Requested from the allocator and not freed.
    pub(crate) heap: u64,
    /// Physical memory, as the operating system counts it; zero where that is not judged.
    pub(crate) resident: u64,
}

/// One point of the curves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Since the soak began.
    pub(crate) at: Duration,
    pub(crate) memory: Memory,
    /// In memory, by the count of their destructors.
    pub(crate) sessions: u64,
}

/// What became of one round.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Round {
    pub(crate) began: Duration,
    /// When the quiet part began, and when it was over.
    pub(crate) quiet: Duration,
    pub(crate) ended: Duration,
    /// Sessions that were opened in it.
    pub(crate) opened: u64,
    pub(crate) most_sessions: u64,
    pub(crate) most_garbage: u64,
    /// Past their deadline by more than a tick, at the worst moment under load.
    pub(crate) most_overdue: u64,
    pub(crate) most_heap: u64,
    pub(crate) quiet_heap: u64,
    pub(crate) heap_allowed: u64,
    pub(crate) most_resident: u64,
    pub(crate) quiet_resident: u64,
    pub(crate) resident_allowed: u64,
    /// How long after the last session's time resident memory was back.
    pub(crate) returned_after: Option<Duration>,
    /// The longest that a session outlived its deadline.
    pub(crate) worst_lag: Duration,
    /// The longest that the machine woke a sleeping thread late: its own part in a lag.
    pub(crate) worst_oversleep: Duration,
}

/// The whole soak.
#[derive(Debug, Default)]
pub(crate) struct Course {
    pub(crate) samples: Vec<Sample>,
    pub(crate) rounds: Vec<Round>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) tally: Tally,
    pub(crate) heard: [u64; CAUSES.len()],
    /// What the process held before the first round, and when the cache was dropped.
    pub(crate) fresh: Memory,
    pub(crate) left: Memory,
    /// Whether somebody pressed Ctrl-C.
    pub(crate) was_stopped: bool,
}

struct Soak<'p, M> {
    plan: &'p Plan,
    memory: M,
    began: Instant,
    house: Arc<House>,
    progress: Progress,
    interrupted: Arc<AtomicBool>,
    garbage: GarbageWatch,
    /// What the next quiet part may hold.
    heap_allowed: u64,
    /// The resident memory before the first round, and in the first quiet part.
    fresh_resident: u64,
    first_resident: Option<u64>,
    /// Whether a thread did not come back from the cache: then nobody waits for it.
    hangs: bool,
    sample_every: Duration,
    next_sample: Duration,
    course: Course,
}

/// Runs the soak; `memory` tells what the process holds.
///
/// # Errors
///
/// If it cannot be set up. A broken promise is part of the result.
pub(crate) fn run(plan: &Plan, memory: impl Fn() -> Memory) -> Result<Course, String> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The second time it ends the process, so it is registered first: it looks before the flag
        // is set.
        register_conditional_shutdown(signal, 128 + signal, Arc::clone(&interrupted))
            .and_then(|_| register(signal, Arc::clone(&interrupted)))
            .map_err(|error| format!("cannot listen for Ctrl-C: {error}"))?;
    }
    let progress = Progress::new(plan);
    let sample_every = (plan.duration() / SAMPLES).max(BEAT);
    let most_samples = plan.duration().as_millis() / sample_every.as_millis();
    // The series must not grow while the heap is watched.
    let mut course = Course {
        samples: Vec::with_capacity(most_samples as usize * 2),
        rounds: Vec::with_capacity(plan.rounds),
        ..Course::default()
    };
    let before = memory();
    let house = Arc::new(House::build(Crew::places(plan), plan.give_back)?);
    let crew = Crew::hire(plan, &house)?;
    let fresh = memory();
    let heap_allowed = allowed_first_heap(fresh.heap, crew.size());
    course.fresh = fresh;
    let allowed_in_the_end = allowed_first_heap(before.heap, crew.size());
    let mut soak = Soak {
        plan,
        memory,
        began: Instant::now(),
        house,
        progress,
        interrupted,
        garbage: GarbageWatch::default(),
        heap_allowed,
        fresh_resident: fresh.resident,
        first_resident: None,
        hangs: false,
        sample_every,
        next_sample: Duration::ZERO,
        course,
    };
    for number in 0..plan.rounds {
        if !soak.round(number, &crew) {
            break;
        }
    }
    soak.progress.finish();
    if !soak.hangs {
        crew.dismiss();
    }
    Ok(soak.close(allowed_in_the_end))
}

impl<M: Fn() -> Memory> Soak<'_, M> {
    /// Runs one round; false if it was the last one before its time.
    fn round(&mut self, number: usize, crew: &Crew) -> bool {
        let made = self.house.witness.made() + self.house.held.made();
        let mut round = Round { began: self.began.elapsed(), ..Round::default() };
        let end = self.plan.check_every * (number as u32 + 1);
        let busy = end.saturating_sub(round.began + self.plan.silence() + TIME_TO_REST);
        let busy_until = round.began + busy.max(self.plan.check_every / LEAST_BUSY);
        crew.begin();
        self.watch(number, busy_until, &mut round);
        self.audit("under load");
        self.hangs = !crew.rest();
        round.quiet = self.began.elapsed();
        if self.hangs {
            let finding = "a thread did not come back from a call".to_owned();
            self.house.accuse("it keeps running", finding);
        } else {
            self.wait_in_silence(number, &mut round);
            self.ask(&round);
            if number == 0 {
                self.heap_allowed = allowed_heap(round.quiet_heap);
                self.first_resident = Some(round.quiet_resident);
            }
        }
        round.ended = self.began.elapsed();
        round.opened = self.house.witness.made() + self.house.held.made() - made;
        self.course.rounds.push(round);
        self.course.faults = self.house.faults();
        self.course.was_stopped = self.interrupted.load(Relaxed);
        self.course.faults.is_empty() && !self.course.was_stopped
    }

    /// Watches the busy part.
    fn watch(&mut self, number: usize, until: Duration, round: &mut Round) {
        while self.began.elapsed() < until && !self.interrupted.load(Relaxed) {
            let stats = self.house.cache.stats();
            let garbage = stats.retired.count;
            round.most_garbage = round.most_garbage.max(garbage);
            round.most_overdue = round.most_overdue.max(stats.overdue);
            let late = self.garbage.look(self.began.elapsed(), garbage);
            for fault in over_caps(&stats).into_iter().chain(late) {
                self.house.accuse(fault.promise, fault.finding);
            }
            self.beat(number, round);
        }
    }

    /// Waits for longer than any session lives, and then until nothing moves any more.
    fn wait_in_silence(&mut self, number: usize, round: &mut Round) {
        let silent_until = round.quiet + self.plan.silence();
        while self.began.elapsed() < silent_until {
            self.beat(number, round);
        }
        let give_up = self.began.elapsed() + PATIENCE;
        let last_deadline = round.quiet + self.plan.longest_life;
        let storm = round.most_resident.saturating_sub(self.fresh_resident);
        round.resident_allowed = match self.first_resident {
            None => allowed_first_resident(self.fresh_resident, storm),
            Some(first) => allowed_resident(first, storm, self.plan.check_every),
        };
        let (mut memory, mut since) = ((self.memory)(), Instant::now());
        loop {
            self.beat(number, round);
            let held = (self.memory)();
            if held.heap != memory.heap {
                since = Instant::now();
            }
            memory = held;
            let at = self.began.elapsed();
            if memory.resident > round.resident_allowed {
                round.returned_after = None;
            } else if round.returned_after.is_none() {
                round.returned_after = Some(at.saturating_sub(last_deadline));
            }
            let is_back = memory.heap <= self.heap_allowed && self.house.alive() == 0;
            let is_still = since.elapsed() >= STILLNESS;
            let is_returned = round.returned_after.is_some() || at > last_deadline + TIME_TO_RETURN;
            if is_back && is_still && is_returned || at > give_up {
                break;
            }
        }
        let sessions = self.house.alive();
        self.keep(Sample { at: self.began.elapsed(), memory, sessions });
        (round.quiet_heap, round.heap_allowed) = (memory.heap, self.heap_allowed);
        round.quiet_resident = memory.resident;
        round.worst_lag = self.house.witness.take_worst_lag();
    }

    /// Asks the cache, and holds what it says against what is known.
    fn ask(&mut self, round: &Round) {
        let house = &*self.house;
        let Some(audit) = self.audit("in the quiet") else { return };
        let quiet = Quiet {
            alive: house.alive(),
            heap: round.quiet_heap,
            heap_allowed: round.heap_allowed,
            resident: round.quiet_resident,
            resident_allowed: round.resident_allowed,
            stats: house.cache.stats(),
            audit,
            tally: house.tally(),
            heard: house.heard.counts(),
        };
        for fault in quiet.faults() {
            house.accuse(fault.promise, fault.finding);
        }
    }

    fn audit(&self, when: &str) -> Option<sundown::Audit> {
        let audit = self.house.cache.audit();
        if let Err(error) = &audit {
            self.house.accuse("every invariant holds", format!("audit {when}: {error}"));
        }
        audit.ok()
    }

    /// Takes a sample if it is time, and sleeps a little.
    fn beat(&mut self, number: usize, round: &mut Round) {
        let at = self.began.elapsed();
        let sample = Sample { at, memory: (self.memory)(), sessions: self.house.alive() };
        round.most_heap = round.most_heap.max(sample.memory.heap);
        round.most_resident = round.most_resident.max(sample.memory.resident);
        round.most_sessions = round.most_sessions.max(sample.sessions);
        if at >= self.next_sample {
            self.next_sample = at + self.sample_every;
            self.keep(sample);
            self.progress.show(number, &sample);
        }
        let asleep = Instant::now();
        thread::sleep(BEAT);
        round.worst_oversleep = round.worst_oversleep.max(asleep.elapsed() - BEAT);
    }

    /// Keeps a point of the curves, for as long as there is room.
    fn keep(&mut self, sample: Sample) {
        if self.course.samples.len() < self.course.samples.capacity() {
            self.course.samples.push(sample);
        }
    }

    /// Drops the cache, and looks at what is left.
    fn close(self, allowed: u64) -> Course {
        let Self { memory, house, mut course, .. } = self;
        course.tally = house.tally();
        course.heard = house.heard.counts();
        // If a thread hangs in the cache, the cache cannot be dropped.
        if let Some(house) = Arc::into_inner(house) {
            let (witness, held) = (Arc::clone(&house.witness), Arc::clone(&house.held));
            drop(house);
            let (alive, left) = (witness.alive() + held.alive(), memory());
            if alive > 0 || left.heap > allowed {
                let left = left.heap;
                let finding = format!("{alive} sessions and {left} bytes are left, not {allowed}");
                course.faults.push(Fault { promise: "dropping it frees everything", finding });
            }
            let allowed = course.rounds.last().map_or(u64::MAX, |round| round.resident_allowed);
            if course.faults.is_empty() && left.resident > allowed {
                let finding = format!("{} were resident in the end", left.resident);
                course.faults.push(Fault { promise: "memory goes back to the system", finding });
            }
            course.left = left;
        }
        course
    }
}

/// Points of a curve, at most.
const SAMPLES: u32 = 2_000;

/// How often the watcher looks.
const BEAT: Duration = Duration::from_millis(50);

/// At least a quarter of a round is busy, also if the quiet part before it took its time.
const LEAST_BUSY: u32 = 4;

/// When the heap has not changed for so long, nothing moves any more: four times as long as sundown
/// waits before it gives back what a shrunken table does not need.
const STILLNESS: Duration = Duration::from_secs(1);

/// What sundown promises: memory is back at the system so long after the last deadline.
const TIME_TO_RETURN: Duration = Duration::from_secs(10);

/// What the stillness and the checks take.
const TIME_TO_REST: Duration = Duration::from_millis(1_100);

/// What is not freed by then never will be, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(30);
