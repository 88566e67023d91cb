//! How much of a storm's memory is resident afterwards.

use std::process::ExitCode;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use sundown::{Cache, GivenBack, Lifetime};

use crate::Failure;
use crate::allocator::{self, NAME, Way};
use crate::population::{Maker, Plan, key, mib, resident_mib, sleep_until};

type Value = Arc<[u8]>;

#[derive(Args)]
pub struct Options {
    /// How many sessions expire.
    #[arg(long, default_value_t = 600_000)]
    sessions: usize,
    /// How many threads insert them; they stay alive afterwards.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// How many per cent of the sessions outlive the storm, evenly spread; they expire 15 s later.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=50))]
    alive: u8,
    #[arg(long, value_enum, default_value_t = Way::Auto)]
    give_back: Way,
    /// Seconds from the first insertion to the storm.
    #[arg(long, default_value_t = 10.0)]
    lifetime: f64,
    /// What the threads do afterwards: nothing, or a short-lived session every 10 ms each.
    #[arg(long)]
    inserting: bool,
    /// What to call this build's allocator, settings included.
    #[arg(long, default_value = NAME)]
    label: String,
    /// Print the table's head first.
    #[arg(long)]
    head: bool,
    /// Fail unless resident memory 10 s after the storm exceeds what it was before by no more than
    /// this share of the storm's height, one in N.
    #[arg(long, value_name = "N")]
    check: Option<u32>,
}

/// Resident and requested MiB at one moment.
#[derive(Clone, Copy)]
struct Reading {
    resident: f64,
    requested: f64,
}

impl Reading {
    fn take() -> Result<Self, Failure> {
        let requested = mib(allocator::requested_bytes() as f64);
        Ok(Self { resident: resident_mib()?, requested })
    }
}

/// What became of one fall.
struct Fall {
    dropped: Reading,
    /// How long after its moment the last session was dropped.
    dropped_after: Duration,
    later: Reading,
    given_back: GivenBack,
}

impl Options {
    pub fn run(&self) -> Result<ExitCode, Failure> {
        allocator::count();
        let cache: Cache<u128, Value> = Cache::builder()
            .max_entries(2 * self.sessions)
            .give_back(self.give_back.give_back())
            .build()?;
        let (begin, filled) = (Barrier::new(self.threads + 1), Barrier::new(self.threads + 1));
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let plan = Plan {
                sessions: self.sessions,
                threads: self.threads,
                one_alive_in: if self.alive == 0 { 0 } else { 100 / usize::from(self.alive) },
                storm: Instant::now() + Duration::from_secs_f64(self.lifetime),
                rest_after: Some(BETWEEN_FALLS),
            };
            let fillers: Vec<_> = (0..self.threads)
                .map(|thread| {
                    let (cache, begin, filled, is_over) = (&cache, &begin, &filled, &is_over);
                    scope.spawn(move || {
                        begin.wait();
                        let outcome = plan.fill(cache, thread, |bytes| bytes.into());
                        filled.wait();
                        self.live_on(cache, thread, is_over).and(outcome)
                    })
                })
                .collect();
            // The threads' stacks belong to what was there before.
            thread::sleep(Duration::from_millis(100));
            let before = Reading::take()?;
            begin.wait();
            filled.wait();
            let full = Reading::take()?;
            let storm = fall(&cache, plan.storm, self.sessions - plan.alive());
            let rest = (self.alive > 0)
                .then(|| fall(&cache, plan.storm + BETWEEN_FALLS, self.sessions))
                .transpose();
            // Relaxed: the threads look again soon.
            is_over.store(true, Ordering::Relaxed);
            fillers.iter().for_each(|filler| filler.thread().unpark());
            for filler in fillers {
                filler.join().map_err(|_| "a thread panicked")??;
            }
            let (storm, rest) = (storm?, rest?);
            self.print(before, full, &storm, rest.as_ref());
            Ok(self.verdict(before, full, &storm))
        })
    }

    /// What a filler does after filling.
    fn live_on(
        &self,
        cache: &Cache<u128, Value>,
        thread: usize,
        is_over: &AtomicBool,
    ) -> Result<(), Failure> {
        let mut maker = Maker::new(self.threads + thread);
        let numbers = (self.sessions + thread..).step_by(self.threads);
        let lifetime = Lifetime::default().live(Duration::from_millis(500));
        for number in numbers {
            // Relaxed: it is looked at again soon.
            if is_over.load(Ordering::Relaxed) {
                break;
            }
            if self.inserting {
                cache
                    .insert_for(key(number), maker.bytes().into(), lifetime)
                    .map_err(|_| "rejected")?;
                thread::sleep(Duration::from_millis(10));
            } else {
                thread::park();
            }
        }
        Ok(())
    }

    fn print(&self, before: Reading, full: Reading, storm: &Fall, rest: Option<&Fall>) {
        if self.head {
            println!("{HEAD}");
        }
        let after_rest = rest.map_or("–".into(), |fall| format!("{:.0}", fall.later.resident));
        let Self { label, threads, alive, .. } = self;
        let alive = format!("{alive} %{}", if self.inserting { ", inserting" } else { "" });
        println!(
            "| {label} | {} | {threads} | {alive} | {:.0} | {:.0} | {:.0} after {:.1} s | {:.0} | {after_rest} | {:.0} → {:.0} | {} |",
            self.give_back.name(),
            before.resident,
            full.resident,
            storm.dropped.resident,
            storm.dropped_after.as_secs_f64(),
            storm.later.resident,
            full.requested,
            storm.later.requested,
            told(storm.given_back),
        );
    }

    fn verdict(&self, before: Reading, full: Reading, storm: &Fall) -> ExitCode {
        let Some(share) = self.check else { return ExitCode::SUCCESS };
        let height = full.resident - before.resident;
        let kept = storm.later.resident - before.resident;
        let is_kept = kept <= height / f64::from(share);
        let verdict = if is_kept { "passed" } else { "failed" };
        println!("check {verdict}: {kept:.0} of {height:.0} MiB are resident 10 s after the storm");
        if is_kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Waits until `gone` sessions have been dropped, and until 10 s after their moment.
fn fall(cache: &Cache<u128, Value>, moment: Instant, gone: usize) -> Result<Fall, Failure> {
    sleep_until(moment);
    while cache.stats().dropped < gone as u64 {
        if moment.elapsed() > LOOK_AFTER {
            return Err("sessions are still there 10 s after their time".into());
        }
        thread::sleep(Duration::from_millis(1));
    }
    let (dropped, dropped_after) = (Reading::take()?, moment.elapsed());
    sleep_until(moment + LOOK_AFTER);
    let later = Reading::take()?;
    Ok(Fall { dropped, dropped_after, later, given_back: cache.stats().given_back })
}

fn told(given_back: GivenBack) -> String {
    let GivenBack { count, failures, last_took, last_bytes, since_last, .. } = given_back;
    let Some(since_last) = since_last else { return "–".into() };
    let failed = if failures > 0 { format!(", {failures} failed") } else { String::new() };
    let ended = LOOK_AFTER.saturating_sub(since_last).as_secs_f64();
    let (took, bytes) = (last_took.as_secs_f64() * 1e3, mib(last_bytes as f64));
    format!("{count}×: {bytes:.0} MiB in {took:.0} ms, {ended:.1} s after the storm{failed}")
}

const HEAD: &str = "| allocator | give_back | threads | alive | before | full | dropped | 10 s after | 10 s after the rest | requested | given back |
| --- | --- | --: | --: | --: | --: | --: | --: | --: | --: | --- |";

/// What the crate promises to wait for at most.
const LOOK_AFTER: Duration = Duration::from_secs(10);
const BETWEEN_FALLS: Duration = Duration::from_secs(15);
