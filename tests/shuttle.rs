//! The whole cache under shuttle's random schedules, with more threads than loom can take.
//!
//! `RUSTFLAGS='--cfg sundown_shuttle' cargo test --release --features sessions --test shuttle`; see `tests/README.md`.

#![cfg(sundown_shuttle)]

#[allow(
    dead_code,
    reason = "the property tests ask what a history reached, and for setups by name"
)]
mod common;
mod history;
#[path = "shuttle/quarantine.rs"]
mod quarantine;
#[path = "shuttle/schedules.rs"]
mod schedules;
#[cfg(feature = "sessions")]
#[path = "shuttle/sessions.rs"]
mod sessions;

use common::op::{KEYS, Op};
use common::setups;
use common::twin::{self, Twin};
use history::model::Limits;
use history::program::{Act, Dice, Program, Scale, Setup};
use history::{accounts, checker, stage};
use schedules::{Schedules, explore};
use shuttle::rand::RngCore;
use std::time::Duration;
use sundown::{Cache, Reaper};

/// In the middle of user code: others may run.
pub(crate) fn pause() {
    // Not a yield, which would tell the scheduler that the thread waits for something.
    shuttle::thread::sleep(Duration::ZERO);
}

/// Until the cache gets on.
pub(crate) fn wait() {
    shuttle::thread::yield_now();
}

/// So often the cache is waited for.
pub(crate) const PATIENCE: usize = 1_000;

/// Many threads, many keys.
const CROWD: Scale = Scale { threads: (3, 6), acts: (3, 8), keys: (2, 5) };
/// Few keys, so that the calls on each are dense.
const DENSE: Scale = Scale { threads: (2, 4), acts: (3, 7), keys: (1, 2) };

#[test]
fn crowds_of_threads_break_no_promise() {
    let runs = count("SUNDOWN_SHUTTLE_RUNS", 400);
    explore("crowds", &Schedules::all(), runs, || run_one(CROWD));
}

#[test]
fn dense_histories_are_explained_by_some_order() {
    let histories = count("SUNDOWN_HISTORIES", 1_000);
    explore("histories", &Schedules::all(), histories, || run_one(DENSE));
}

/// G9, aimed at: a read that is on its way when the deadline comes.
#[test]
fn reads_race_the_reaper_at_the_deadline() {
    let setup = Setup {
        limits: Limits { idle_ms: 2, ..Limits::PLAIN },
        shards: 1,
        reaper: Reaper::Manual,
        keys: 1,
        is_colliding: false,
        is_calling_back: false,
    };
    // The read comes a millisecond after the insertion, so that it has a touch to record.
    let prologue = vec![Act::Insert { key: 0, weight: 1 }, Act::Advance(1)];
    let threads = vec![vec![Act::Advance(1), Act::Reap], vec![Act::Get(0)]];
    let program = Program { setup, prologue, threads };
    // The read has to stop, and the reaper after it, at one certain step each.
    let runs = count("SUNDOWN_SHUTTLE_RUNS", 400) * 20;
    explore("deadlines", &[Schedules::Pct(3), Schedules::Pct(4)], runs, move || run(&program));
}

#[cfg(feature = "sessions")]
#[test]
fn limits_and_revocations_hold_in_every_schedule() {
    let runs = count("SUNDOWN_SHUTTLE_RUNS", 400) * 5;
    explore("sessions", &Schedules::all(), runs, || {
        sessions::run(Dice(shuttle::rand::thread_rng().next_u64()));
    });
}

/// The histories of the property tests beside their exact model, while other threads only look: they
/// may delay what is freed, and nothing else.
#[test]
fn histories_agree_with_the_exact_model_while_others_look() {
    let runs = 5 * count("SUNDOWN_SHUTTLE_RUNS", 400);
    explore("lookers", &Schedules::all(), runs, || {
        let mut dice = Dice(shuttle::rand::thread_rng().next_u64());
        let setup = setups::ALL[dice.roll() as usize % setups::ALL.len()];
        let setup = twin::Setup { hash_seed: dice.roll(), ..setup };
        let ops: Vec<_> = (0..1 + dice.roll() % MOST_OPS)
            .map(|_| Op::decode((dice.roll() as u32).to_le_bytes()))
            .collect();
        let twin = Twin::new(&setup).expect("the settings are valid");
        let lookers = [dice.roll(), dice.roll()].map(|seed| {
            let (cache, mut dice) = (twin.cache.clone(), Dice(seed));
            shuttle::thread::spawn(move || (0..LOOKS).for_each(|_| look(&cache, &mut dice)))
        });
        let all_gone = || {
            for looker in lookers {
                looker.join().expect("no look panics");
            }
        };
        if let Err(difference) = twin.run(&ops, all_gone) {
            panic!("{difference}\n{setup:?}\n{ops:?}");
        }
    });
}

/// One call that changes nothing.
fn look(cache: &Cache<u8, twin::Value, twin::Seeded>, dice: &mut Dice) {
    let key = dice.roll() as u8 % KEYS;
    match dice.roll() % 4 {
        0 => drop(cache.contains_key(&key)),
        1 => drop(cache.expires_in(&key)),
        2 => drop(cache.stats()),
        _ => assert!(cache.audit().is_ok(), "{:?}", cache.audit()),
    }
}

const MOST_OPS: u64 = 30;
const LOOKS: usize = 10;

/// One program on one cache. It is drawn from the schedule's own numbers, so that whoever plays the
/// schedule again gets the same program.
fn run_one(scale: Scale) {
    run(&Program::draw(shuttle::rand::thread_rng().next_u64(), scale));
}

fn run(program: &Program) {
    let outcome = stage::run(program, |threads| {
        let threads: Vec<_> = threads.into_iter().map(shuttle::thread::spawn).collect();
        for thread in threads {
            thread.join().expect("no call panics");
        }
    });
    assert!(outcome.faults.is_empty(), "{:#?}\n{program:?}", outcome.faults);
    let limits = program.setup.limits;
    let verdict = accounts::check(&outcome.history, limits)
        .and_then(|()| checker::check(&outcome.history, limits, program.setup.keys));
    if let Err(complaint) = verdict {
        panic!("{complaint}\n{:?}", program.setup);
    }
}

fn count(variable: &str, default: usize) -> usize {
    let count = std::env::var(variable);
    count.map_or(default, |count| count.parse().unwrap_or_else(|_| panic!("{variable}: {count}")))
}
