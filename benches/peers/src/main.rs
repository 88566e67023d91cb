//! sundown beside its peers: one process, interleaved rounds, medians of ratios.
//!
//! Every subcommand prints its tables as Markdown and, with `--json FILE`, appends them to a file of
//! JSON lines, from which `report` writes `RESULTS.md` and its plots. `--quick` scales sizes and
//! times down to a smoke test.
//!
//! ```text
//! bench/      what is asked, one question a file; one subcommand each
//! report/     how it is told: rows, tables, targets, plots
//! peers/      who answers: one adapter a file
//! workload/   which keys and which operations
//! measure/    how it is measured: rounds, spreads, processor time, the heap
//! formats, source    real traces, as the example `replay` reads them
//! ```
//!
//! Each row imports only from rows below it.

mod bench;
#[allow(dead_code, reason = "the example asks for times and bad records, too")]
#[path = "../../../examples/replay/formats.rs"]
mod formats;
mod measure;
mod peers;
mod report;
#[path = "../../../examples/replay/source.rs"]
mod source;
mod workload;

use std::process::ExitCode;

use clap::Parser;

use bench::{Command, Common};
use report::Journal;

/// Counts what is requested, while the subcommand `memory` asks it to.
#[global_allocator]
static HEAP: measure::heap::Heap = measure::heap::Heap;

/// Compares sundown with its peers.
#[derive(Parser)]
#[command(max_term_width = 100)]
struct Options {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match Journal::open(options.common.json.as_deref())
        .and_then(|mut journal| options.command.run(&options.common, &mut journal))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
