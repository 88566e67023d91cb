//! Histories of the machine's own threads: explained by some order of the calls, key by key.
//!
//! `SUNDOWN_HISTORIES=100000 cargo test --release --test histories` runs more of them.

#![cfg(not(any(sundown_loom, sundown_shuttle)))]

mod history;
#[path = "histories/judgement.rs"]
mod judgement;

use history::program::{Program, Scale};
use history::{accounts, checker, stage};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

/// In the middle of user code.
pub(crate) fn pause() {
    thread::yield_now();
}

/// Until the cache gets on.
pub(crate) fn wait() {
    thread::sleep(Duration::from_micros(50));
}

/// So often the cache is waited for: ten seconds, on a machine that has other things to do.
pub(crate) const PATIENCE: usize = 200_000;

const SCALE: Scale = Scale { threads: (2, 4), acts: (3, 9), keys: (1, 3) };

#[test]
fn histories_of_real_threads_are_explained_by_some_order() {
    let histories = std::env::var("SUNDOWN_HISTORIES");
    let histories: u64 =
        histories.map_or(1_000, |count| count.parse().expect("SUNDOWN_HISTORIES is a number"));
    let start = Instant::now();
    let mut calls = 0;
    for seed in 0..histories {
        let program = Program::draw(seed, SCALE);
        let outcome = stage::run(&program, |threads| {
            let start = Barrier::new(threads.len());
            thread::scope(|scope| {
                for run in threads {
                    let start = &start;
                    scope.spawn(move || {
                        start.wait();
                        run();
                    });
                }
            });
        });
        let (history, setup) = (&outcome.history, program.setup);
        assert!(outcome.faults.is_empty(), "seed {seed}: {:#?}\n{program:?}", outcome.faults);
        let limits = setup.limits;
        let verdict = accounts::check(history, limits)
            .and_then(|()| checker::check(history, limits, setup.keys));
        if let Err(complaint) = verdict {
            panic!("seed {seed}: {complaint}\n{setup:?}");
        }
        calls += history.calls.len();
    }
    println!("{histories} histories, {calls} calls, {:.1?}", start.elapsed());
}
