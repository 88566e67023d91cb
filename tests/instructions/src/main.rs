//! Counts the instructions that each operation takes and compares them with the recorded ones.
//!
//! `cargo run --release --manifest-path tests/instructions/Cargo.toml`
//!
//! Times differ from machine to machine and from minute to minute; instructions do not. So a change
//! that makes an operation longer shows here on any machine, however busy. What it cannot show is
//! waiting for memory: for that there are the benches. Valgrind's callgrind does the counting.

mod counts;
mod operation;

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use counts::Counts;
use operation::Operation;

type Failure = Box<dyn std::error::Error>;

/// Counts the instructions of sundown's operations and compares them with the recorded ones.
#[derive(Parser)]
struct Options {
    /// Record the counts instead of comparing them.
    #[arg(long)]
    record: bool,
    /// Run one operation's workload and nothing else: this is what Valgrind runs.
    #[arg(long, hide = true)]
    work: Option<Operation>,
}

fn main() -> Result<ExitCode, Failure> {
    let options = Options::parse();
    if let Some(operation) = options.work {
        operation.work()?;
        return Ok(ExitCode::SUCCESS);
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("counts.toml");
    let counted = Counts::count(Operation::value_variants())?;
    if options.record {
        counted.write(&file)?;
        return Ok(ExitCode::SUCCESS);
    }
    let is_as_recorded = counted.compare(&Counts::read(&file)?);
    Ok(if is_as_recorded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
