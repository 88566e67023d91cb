//! Keeps a cache at full load for hours and looks, at every check, whether anything was left behind.
//!
//! `cargo run --release --example soak -- --duration 8h` runs rounds of a busy and a quiet part. In
//! the busy part everything happens at once: sessions of mixed lifetimes, bursts of log-ins, closures
//! that fall asleep in a read, a second cache whose clock jumps by years, threads and whole caches
//! that come and go, and histories beside an exact model. In the quiet part nobody calls, every
//! session runs out, and what the process then holds must be what it held after the first round. A
//! table and a picture show the series, and the exit status says whether every promise was kept.
//!
//! ```text
//!   main        options → plan → rounds → table, picture, verdict
//!   soak        the rounds: sets the crew to work, watches, waits for quiet, asks (checks)
//!   crew        the threads: posts (post, fed by traffic), stalls, travel, tenants, twins
//!   house       the cache that is soaked, and what is known of it without asking it
//!   session     a session that knows when it must be gone (bounds, board) and is counted (witness)
//!   report      the progress, the table and the verdict; chart: the picture
//! ```

mod board;
mod chart;
mod checks;
#[allow(
    dead_code,
    reason = "the property tests ask what a history reached, and for setups by name"
)]
mod common;
mod crew;
mod dice;
#[path = "../outage/figures.rs"]
mod figures;
mod house;
mod options;
#[path = "../outage/picture.rs"]
mod picture;
mod post;
mod report;
mod session;
mod soak;
mod stalls;
mod tenants;
mod traffic;
mod travel;
mod twins;
#[path = "../outage/way.rs"]
mod way;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, error::ErrorKind};
use peak_alloc::PeakAlloc;
use sundown::ProcessMemory;

use crate::options::Options;
use crate::soak::Memory;

/// Counts what is requested from the system's allocator, so that no allocator's habits blur the series
/// of the heap. How much the allocator keeps is the other series, of resident memory.
#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

fn main() -> ExitCode {
    let plan = Options::parse().plan().unwrap_or_else(|message| {
        // Leaves as clap does for a value that makes no sense.
        Options::command().error(ErrorKind::ValueValidation, message).exit()
    });
    let outcome = picture::check(&plan.picture, "--out").and_then(|()| {
        report::announce(&plan);
        let course = soak::run(&plan, || Memory {
            heap: HEAP.current_usage() as u64,
            resident: resident_bytes(),
        })?;
        report::table(&course);
        let drawn = chart::draw(&plan, &course);
        if drawn.is_ok() {
            println!("picture: {}", plan.picture.display());
        }
        let is_kept = report::verdict(&course);
        drawn.map(|()| is_kept)
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}

/// Zero where it is not judged: only glibc has to be asked for what it keeps.
fn resident_bytes() -> u64 {
    if cfg!(all(target_os = "linux", target_env = "gnu")) {
        ProcessMemory::read().resident_bytes.unwrap_or(0)
    } else {
        0
    }
}
