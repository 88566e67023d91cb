//! One half of the replay: a process with one store, one service thread and one watcher.
//!
//! Each store has a process of its own because memory can only be measured whole. A counting
//! allocator cannot tell two stores in one process apart, nor can the operating system, and
//! estimates by the store itself are what an outage makes one doubt. Here everything that a store
//! requests shows: sessions, tables, bookkeeping, garbage that nobody has freed yet. What does not
//! belong to the store (the drawn traffic, the witness, this thread's notes) is allocated, and
//! written to, before the store is and then never grows, so it is subtracted: exactly from the
//! heap, and to some 100 KiB from the resident memory.
//!
//! The counting allocator only counts. What is resident is up to the system's own, as it is in a
//! service that chooses none.
//!
//! ```text
//!   service thread   log in, visit, log out, in real time      then silence, then final questions
//!   watcher thread   memory and witness, every 100 ms or so    all along; never calls the store
//! ```

use std::io::{self, BufRead, Write};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use peak_alloc::PeakAlloc;
use sundown::ProcessMemory;

use crate::message::{End, Message, Sample};
use crate::options::{Contestant, Plan};
use crate::stores::{CheckOnRead, Store, Sundown};
use crate::traffic::{Action, Event, Traffic};
use crate::witness::{SessionId, Witness};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Runs one store through the day and reports on standard output.
///
/// # Errors
///
/// If the day cannot be drawn, the store cannot be built, or nobody listens.
pub(crate) fn run(contestant: Contestant, plan: &Plan) -> Result<(), String> {
    let traffic = Traffic::draw(&plan.forecast)?;
    let most_sessions = traffic.most_sessions();
    match contestant {
        Contestant::CheckOnRead => {
            replay(plan, &traffic, || Ok(CheckOnRead::new(plan.idle, plan.ttl)))
        }
        Contestant::Sundown => {
            let Plan { idle, ttl, give_back, .. } = *plan;
            replay(plan, &traffic, || Sundown::new(idle, ttl, most_sessions, give_back))
        }
    }
}

fn replay<S: Store>(
    plan: &Plan,
    traffic: &Traffic,
    build: impl FnOnce() -> Result<S, String>,
) -> Result<(), String> {
    let witness = Witness::open(traffic.most_sessions());
    let mut service = Service::new(plan, traffic, witness);
    let fingerprint = traffic.fingerprint();
    thread::scope(|scope| {
        // The watcher exists before the baseline is taken, so that its own bytes are in there.
        let (tell, told) = sync_channel(1);
        let watcher = scope.spawn(move || {
            // Nothing is told if the replay is called off.
            told.recv().map_or(Duration::ZERO, |baseline| watch(plan, witness, baseline))
        });
        // So do the buffers of the streams.
        let _streams = (io::stdin(), io::stdout());
        let fixture = heap();
        let store = build()?;
        let empty_bytes = heap().saturating_sub(fixture);
        say(&Message::Ready { fingerprint })?;
        wait_for_go()?;

        HEAP.reset_peak_usage();
        service.began = witness.now();
        let _ = tell.send(Baseline {
            fixture_bytes: fixture,
            fixture_resident: resident(),
            began: service.began,
        });
        service.serve(&store, &traffic.events);

        // Silence: from here to the end of the watcher nobody calls the store.
        let worst_oversleep = watcher.join().map_err(|_| "the watcher panicked")?;
        let final_bytes = heap().saturating_sub(fixture);
        let peak_bytes = (HEAP.peak_usage() as u64).saturating_sub(fixture);
        let worst_lag = witness.worst_lag().max(witness.census().oldest_dead);
        let sessions = u64::from(witness.issued());
        service.complaints.extend(store.final_complaints(sessions));
        let reported_lag = store.reported_lag().unwrap_or_default();
        let (given_back, last_deadline) = (store.given_back(), service.last_deadline());
        drop(store);
        let dropped_bytes = heap().saturating_sub(fixture);

        for complaint in service.complaints {
            say(&Message::Complaint(complaint))?;
        }
        say(&Message::End(End {
            sessions,
            empty_bytes,
            peak_bytes,
            final_bytes,
            dropped_bytes,
            worst_lag,
            reported_lag,
            worst_oversleep,
            last_deadline,
            given_back: given_back.count,
            give_back_took: given_back.last_took,
            give_back_bytes: given_back.last_bytes,
            ..service.found
        }))
    })
}

/// The thread that stands for the service's request handlers.
struct Service<'a> {
    plan: &'a Plan,
    witness: &'static Witness,
    /// When the day began, by the witness's clock.
    began: u64,
    /// The session each visitor has, by number.
    sessions: Vec<Option<u32>>,
    /// What is known of each session, by number.
    bounds: Vec<Bounds>,
    complaints: Vec<String>,
    found: End,
}

/// Between which instants a session's deadline must lie. A store stamps a call somewhere between
/// its start and its end, and only these two are known here.
#[derive(Clone, Copy, Default)]
struct Bounds {
    earliest: u64,
    latest: u64,
    earliest_absolute: u64,
    latest_absolute: u64,
}

impl<'a> Service<'a> {
    fn new(plan: &'a Plan, traffic: &Traffic, witness: &'static Witness) -> Self {
        Self {
            plan,
            witness,
            began: 0,
            // Collected, for pages that are only promised to be zero would become resident later.
            sessions: (0..traffic.visitors).map(|_| None).collect(),
            bounds: vec![Bounds::default(); traffic.most_sessions()],
            complaints: Vec::with_capacity(COMPLAINT_LIMIT),
            found: End::default(),
        }
    }

    /// Sends every request at its time.
    fn serve(&mut self, store: &impl Store, events: &[Event]) {
        let mut next_questions = self.began;
        for event in events {
            let due = self.began + event.at;
            let now = self.witness.now();
            if now < due {
                // Waking for each request on its own would only measure the scheduler.
                thread::sleep(Duration::from_nanos(due - now).max(SHORTEST_SLEEP));
            }
            let behind = Duration::from_nanos(self.witness.now().saturating_sub(due));
            self.found.worst_behind = self.found.worst_behind.max(behind);
            self.found.requests += 1;
            match event.action {
                Action::Arrive => self.log_in(store, event.visitor),
                Action::Visit => self.visit(store, event.visitor),
                Action::Leave => self.log_out(store, event.visitor),
            }
            if now >= next_questions {
                next_questions = now + nanos(QUESTIONS_EVERY);
                self.complain(store.complaints());
            }
        }
    }

    fn log_in(&mut self, store: &impl Store, visitor: u32) {
        let (idle, ttl) = (nanos(self.plan.idle), nanos(self.plan.ttl));
        let before = self.witness.now();
        let session = self.witness.issue(before + idle.min(ttl), self.plan.session_bytes);
        let number = session.number;
        if let Err(reason) = store.log_in(SessionId::of(number), session) {
            self.complain(vec![format!("a log-in was refused: {reason}")]);
        }
        let after = self.witness.now();
        self.witness.move_deadline(number, after + idle.min(ttl));
        self.bounds[number as usize] = Bounds {
            earliest: before + idle.min(ttl),
            latest: after + idle.min(ttl),
            earliest_absolute: before + ttl,
            latest_absolute: after + ttl,
        };
        self.sessions[visitor as usize] = Some(number);
    }

    fn visit(&mut self, store: &impl Store, visitor: u32) {
        let Some(number) = self.sessions[visitor as usize] else {
            return self.log_in(store, visitor);
        };
        let Bounds { earliest, latest, earliest_absolute, latest_absolute } =
            self.bounds[number as usize];
        let idle = nanos(self.plan.idle);
        let witness = self.witness;
        let mut is_own = false;
        let mut new_latest = latest;
        let before = witness.now();
        let is_live = store.visit(SessionId::of(number), |session| {
            is_own = session.number == number;
            // The store stamped the touch before it ran this closure.
            new_latest = latest_absolute.min(witness.now() + idle);
            witness.move_deadline(number, new_latest);
        });
        if is_live {
            self.found.served_late += u64::from(before >= latest);
            self.found.mixed_up += u64::from(!is_own);
            let bounds = &mut self.bounds[number as usize];
            bounds.earliest = earliest_absolute.min(before + idle);
            bounds.latest = new_latest;
        } else {
            let early = Duration::from_nanos(earliest.saturating_sub(witness.now()));
            self.found.worst_early = self.found.worst_early.max(early);
            self.log_in(store, visitor);
        }
    }

    fn log_out(&mut self, store: &impl Store, visitor: u32) {
        if let Some(number) = self.sessions[visitor as usize].take() {
            store.log_out(SessionId::of(number));
            // From now on the session is dead, and its memory is owed like that of any other.
            let now = self.witness.now();
            self.witness.move_deadline(number, now);
            self.bounds[number as usize].latest = now;
        }
    }

    /// The latest possible deadline of any session, since the day began.
    fn last_deadline(&self) -> Duration {
        let latest = self.bounds.iter().map(|bounds| bounds.latest).max().unwrap_or(0);
        Duration::from_nanos(latest.saturating_sub(self.began))
    }

    /// Keeps the first few complaints: the list must not grow while the heap is watched.
    fn complain(&mut self, complaints: Vec<String>) {
        let room = COMPLAINT_LIMIT - self.complaints.len();
        self.complaints.extend(complaints.into_iter().take(room));
    }
}

/// What the watcher counts from.
struct Baseline {
    /// The heap without the store.
    fixture_bytes: u64,
    /// The resident memory before the first session; `None` if the platform does not tell.
    fixture_resident: Option<u64>,
    /// When the day began, by the witness's clock.
    began: u64,
}

/// Takes the samples until the silence is over; gives the longest that it overslept.
fn watch(plan: &Plan, witness: &Witness, baseline: Baseline) -> Duration {
    let Baseline { fixture_bytes, fixture_resident, began } = baseline;
    let end = began + nanos(plan.duration);
    let every = nanos(plan.duration / SAMPLES).clamp(nanos(HEARTBEAT), nanos(SPARSEST_SAMPLES));
    let mut worst_oversleep = 0;
    let mut next_sample = began;
    loop {
        let before = witness.now();
        if before >= next_sample {
            next_sample += every;
            let census = witness.census();
            let heap_bytes = heap().saturating_sub(fixture_bytes);
            let taken = resident().zip(fixture_resident);
            let sample = Message::Sample(Sample {
                at: Duration::from_nanos(before - began),
                heap_bytes,
                resident_bytes: taken
                    .map_or(heap_bytes, |(now, before)| now.saturating_sub(before)),
                live: census.live,
                dead: census.dead,
                oldest_dead: census.oldest_dead,
            });
            if say(&sample).is_err() {
                // Nobody listens any more, and the service thread may be asleep for long.
                std::process::exit(2);
            }
        }
        if before >= end {
            return Duration::from_nanos(worst_oversleep);
        }
        let asleep = witness.now();
        thread::sleep(HEARTBEAT);
        worst_oversleep = worst_oversleep.max(witness.now() - asleep - nanos(HEARTBEAT));
    }
}

fn heap() -> u64 {
    HEAP.current_usage() as u64
}

fn resident() -> Option<u64> {
    ProcessMemory::read().resident_bytes
}

fn nanos(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

fn say(message: &Message) -> Result<(), String> {
    let mut out = io::stdout().lock();
    writeln!(out, "{message}").and_then(|()| out.flush()).map_err(|error| error.to_string())
}

fn wait_for_go() -> Result<(), String> {
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line) {
        Ok(_) if line == "go\n" => Ok(()),
        _ => Err("the replay was called off".to_owned()),
    }
}

/// Points of a curve, unless the heartbeat or [`SPARSEST_SAMPLES`] says otherwise.
const SAMPLES: u32 = 300;

/// Long replays still show at least this many points a minute, so that a short peak is seen.
const SPARSEST_SAMPLES: Duration = Duration::from_secs(1);

/// How often the watcher looks at how late the machine wakes a thread.
const HEARTBEAT: Duration = Duration::from_millis(10);

const SHORTEST_SLEEP: Duration = Duration::from_millis(1);

/// How often the service asks the store for its own findings: each audit walks everything.
const QUESTIONS_EVERY: Duration = Duration::from_secs(1);

/// The first few tell what is wrong; thousands would only hide it.
const COMPLAINT_LIMIT: usize = 8;
