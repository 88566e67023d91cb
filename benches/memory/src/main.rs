//! Resident memory around a storm of sessions, and what giving it back costs others.
//!
//! ```text
//! storm, stalls   what is asked, one question a file; one subcommand each
//! population      filling a cache from several threads
//! allocator       the allocator of this build, its way of giving memory back, a meter on top
//! ```
//!
//! Each row imports only from rows below it. The README beside `Cargo.toml` has commands and results.

mod allocator;
mod population;
mod stalls;
mod storm;

use std::process::ExitCode;

use clap::Parser;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Counts what is requested, while `storm` asks it to.
#[global_allocator]
static HEAP: allocator::Heap = allocator::Heap;

/// Measures resident memory around a storm of sessions.
#[derive(Parser)]
#[command(max_term_width = 100)]
enum Command {
    /// Fills a cache, has all or nearly all sessions expire at one moment, and prints the process's
    /// resident memory before, full, when they have been dropped, and 10 s after that moment.
    Storm(storm::Options),
    /// Inserts and reads at a steady rate for a minute around a storm, and prints how long
    /// insertions and reads wait and how late sessions are freed.
    Stalls(stalls::Options),
}

fn main() -> Result<ExitCode, Failure> {
    match Command::parse() {
        Command::Storm(options) => options.run(),
        Command::Stalls(options) => options.run(),
    }
}
