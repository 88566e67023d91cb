//! How long insertions and reads wait, and how late sessions are freed, in the minute around a storm.
//!
//! Every operation has a time at which it is due, whether or not the one before has come back, and
//! its wait counts from then until it has come back. A thread that only wakes up on the same schedule
//! tells what of it is the machine's.

mod figures;

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use sundown::{Cache, Lifetime};

use crate::Failure;
use crate::allocator::{NAME, Way};
use crate::population::{Maker, Plan, key, sleep_until};

use figures::{Figures, Waits, Window};

#[derive(Args)]
pub struct Options {
    /// How many sessions there are.
    #[arg(long, default_value_t = 600_000)]
    sessions: usize,
    /// How many threads insert them.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// How many per cent of them outlive the storm, evenly spread; at least one, to be read.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=50))]
    alive: u8,
    #[arg(long, value_enum, default_value_t = Way::Auto)]
    give_back: Way,
    /// Who inserts during the minute: the threads that had filled the cache, or two others.
    #[arg(long, value_enum, default_value_t = Inserters::Others)]
    inserters: Inserters,
    /// Seconds from the first insertion to the beginning of the minute.
    #[arg(long, default_value_t = 6.0)]
    filling: f64,
    /// Seconds that are watched; the storm comes after a third of them.
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// What to call this build's allocator, settings included.
    #[arg(long, default_value = NAME)]
    label: String,
    /// Print the table's head first.
    #[arg(long)]
    head: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Inserters {
    Fillers,
    Others,
}

/// How many sessions of the storm have been dropped.
static DROPPED: AtomicUsize = AtomicUsize::new(0);

/// Bytes, and where to note how late they were freed.
struct Session {
    _bytes: Box<[u8]>,
    watch: Option<(Arc<Watch>, usize)>,
}

impl Session {
    fn unwatched(bytes: &[u8]) -> Self {
        Self { _bytes: bytes.into(), watch: None }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        match &self.watch {
            Some((watch, number)) => watch.note_dropped(*number),
            // Relaxed: a figure.
            None => _ = DROPPED.fetch_add(1, Ordering::Relaxed),
        }
    }
}

/// When sessions were due and when they were dropped, in nanoseconds since `origin`; 0 is not yet.
struct Watch {
    origin: Instant,
    sessions: Box<[(AtomicU64, AtomicU64)]>,
}

impl Watch {
    fn of(origin: Instant, sessions: usize) -> Arc<Self> {
        let sessions = (0..sessions).map(|_| Default::default()).collect();
        Arc::new(Self { origin, sessions })
    }

    /// For when the insertion has come back: the deadline is no later, for it counts from a moment
    /// inside the call.
    fn note_due(&self, number: usize, due: Instant) {
        // Relaxed: read when the threads have been joined.
        self.sessions[number].0.store(self.since_origin_ns(due), Ordering::Relaxed);
    }

    fn note_dropped(&self, number: usize) {
        let now_ns = self.since_origin_ns(Instant::now());
        // Relaxed: as above.
        self.sessions[number].1.store(now_ns, Ordering::Relaxed);
    }

    fn since_origin_ns(&self, moment: Instant) -> u64 {
        moment.saturating_duration_since(self.origin).as_nanos() as u64
    }

    /// How late each session was that has been dropped.
    fn lags(&self) -> Waits {
        let mut lags = Waits::with_room_for(self.sessions.len());
        for (due_ns, dropped_ns) in &self.sessions {
            // Relaxed, both: the threads have been joined, and what the reaper still drops is left out.
            let due_ns = due_ns.load(Ordering::Relaxed);
            let dropped_ns = dropped_ns.load(Ordering::Relaxed);
            if due_ns > 0 && dropped_ns > 0 {
                lags.note(due_ns, dropped_ns.saturating_sub(due_ns));
            }
        }
        lags
    }
}

/// The minute, for all its threads.
struct Minute<'m> {
    cache: &'m Cache<u128, Session>,
    plan: Plan,
    begin: Instant,
    end: Instant,
    watch: Arc<Watch>,
    inserters: usize,
}

impl Options {
    pub fn run(&self) -> Result<ExitCode, Failure> {
        let cache: Cache<u128, Session> = Cache::builder()
            .max_entries(2 * self.sessions)
            .give_back(self.give_back.give_back())
            .build()?;
        let begin = Instant::now() + Duration::from_secs_f64(self.filling);
        let minute = Minute {
            cache: &cache,
            plan: Plan {
                sessions: self.sessions,
                threads: self.threads,
                one_alive_in: 100 / usize::from(self.alive),
                storm: begin + Duration::from_secs_f64(self.seconds / 3.0),
                rest_after: None,
            },
            begin,
            end: begin + Duration::from_secs_f64(self.seconds),
            watch: Watch::of(begin, (self.seconds * f64::from(INSERTIONS_A_SECOND)) as usize),
            inserters: match self.inserters {
                Inserters::Fillers => self.threads,
                Inserters::Others => 2,
            },
        };
        let figures = minute.run(self.inserters)?;
        if self.head {
            println!("{}", Figures::HEAD);
        }
        let inserters = match self.inserters {
            Inserters::Fillers => "those",
            Inserters::Others => "2 others",
        };
        let case = [&self.label, self.give_back.name(), &self.threads.to_string(), inserters];
        println!("{}", figures.row(&case));
        Ok(ExitCode::SUCCESS)
    }
}

impl Minute<'_> {
    fn run(&self, inserters: Inserters) -> Result<Figures, Failure> {
        let filled = Barrier::new(self.plan.threads + 1);
        thread::scope(|scope| {
            let fillers: Vec<_> = (0..self.plan.threads)
                .map(|thread| {
                    let filled = &filled;
                    scope.spawn(move || {
                        let outcome = self.plan.fill(self.cache, thread, Session::unwatched);
                        filled.wait();
                        outcome?;
                        if inserters == Inserters::Others {
                            sleep_until(self.end);
                            return Ok(Waits::default());
                        }
                        self.insert(thread)
                    })
                })
                .collect();
            filled.wait();
            if Instant::now() >= self.begin {
                return Err("filling took until the minute: it needs more time".into());
            }
            let others: Vec<_> = (0..2)
                .filter(|_| inserters == Inserters::Others)
                .map(|thread| scope.spawn(move || self.insert(thread)))
                .collect();
            let reader = scope.spawn(|| self.read());
            let control = scope.spawn(|| self.paced(READ_EVERY, |_| Ok(())));
            let (windows, storm) = self.look_on();
            let mut insertions = Waits::default();
            for inserter in fillers.into_iter().chain(others) {
                insertions.append(inserter.join().map_err(|_| "an inserter panicked")??);
            }
            Ok(Figures {
                windows,
                storm,
                insertions,
                reads: reader.join().map_err(|_| "the reader panicked")??,
                control: control.join().map_err(|_| "the control panicked")??,
                lags: self.watch.lags(),
            })
        })
    }

    /// Inserts one thread's share, sessions that live for two seconds.
    fn insert(&self, thread: usize) -> Result<Waits, Failure> {
        let mut maker = Maker::new(self.plan.threads + thread);
        let mut numbers = (thread..self.watch.sessions.len()).step_by(self.inserters);
        let every = Duration::from_secs(self.inserters as u64) / INSERTIONS_A_SECOND;
        let lifetime = Lifetime::default().live(PACED_LIFETIME);
        self.paced(every, |_| {
            let Some(number) = numbers.next() else { return Ok(()) };
            let watch = Some((self.watch.clone(), number));
            let session = Session { _bytes: maker.bytes().into(), watch };
            let key = key(self.plan.sessions + number);
            self.cache.insert_for(key, session, lifetime).map_err(|_| "rejected")?;
            self.watch.note_due(number, Instant::now() + PACED_LIFETIME);
            Ok(())
        })
    }

    /// Reads the sessions that outlive the storm.
    fn read(&self) -> Result<Waits, Failure> {
        self.paced(READ_EVERY, |turn| {
            let number = turn * self.plan.one_alive_in % self.plan.sessions;
            // Where the sessions are no multiple, some numbers would not be among them.
            let number = number / self.plan.one_alive_in * self.plan.one_alive_in;
            let is_there = self.cache.read(&key(number), |_| ()).is_some();
            if is_there { Ok(()) } else { Err("a session was gone before its time".into()) }
        })
    }

    /// Does something on schedule during the minute; waits count from when each turn was due.
    fn paced(
        &self,
        every: Duration,
        mut act: impl FnMut(usize) -> Result<(), Failure>,
    ) -> Result<Waits, Failure> {
        let turns = ((self.end - self.begin).as_nanos() / every.as_nanos()) as usize;
        let mut waits = Waits::with_room_for(turns);
        let mut due = self.begin;
        for turn in 0..turns {
            sleep_until(due);
            act(turn)?;
            waits.note(self.watch.since_origin_ns(due), due.elapsed().as_nanos() as u64);
            due += every;
        }
        Ok(waits)
    }

    /// Notes when memory is given back and how long the storm lasts, until the minute is over.
    fn look_on(&self) -> (Vec<Window>, Window) {
        let since_origin_ns = |moment| self.watch.since_origin_ns(moment);
        let (mut windows, mut known) = (Vec::new(), 0);
        let storm_ns = since_origin_ns(self.plan.storm);
        let mut storm = Window { begin_ns: storm_ns, end_ns: storm_ns, mib: 0.0 };
        while Instant::now() < self.end {
            thread::sleep(LOOK_EVERY);
            let stats = self.cache.stats();
            if storm.end_ns == storm_ns
                && Instant::now() > self.plan.storm
                // Relaxed: a figure.
                && DROPPED.load(Ordering::Relaxed) >= self.plan.sessions - self.plan.alive()
            {
                storm.end_ns = since_origin_ns(Instant::now());
            }
            let Some(since_last) = stats.given_back.since_last else { continue };
            if stats.given_back.count > known {
                known = stats.given_back.count;
                let end_ns = since_origin_ns(Instant::now() - since_last);
                let took_ns = stats.given_back.last_took.as_nanos() as u64;
                let mib = stats.given_back.last_bytes as f64 / f64::from(1 << 20);
                windows.push(Window { begin_ns: end_ns.saturating_sub(took_ns), end_ns, mib });
            }
        }
        (windows, storm)
    }
}

/// Of all inserters together.
const INSERTIONS_A_SECOND: u32 = 2_000;
const READ_EVERY: Duration = Duration::from_millis(1);
const PACED_LIFETIME: Duration = Duration::from_secs(2);
/// Looking reads a few counters of each shard.
const LOOK_EVERY: Duration = Duration::from_millis(50);
