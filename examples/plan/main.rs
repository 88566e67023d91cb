//! How much memory do the sessions need? Turns a rate of log-ins, or a log, into caps, a container's
//! limit, an autoscaler's threshold and a number of instances.
//!
//! ```text
//! cargo run --release --example plan -- --log-ins 2000/min --idle 30m --live 8h --bytes 2KiB
//! ```
//!
//! `--try` fills a real cache and compares; `--log FILE --format FORMAT` takes the sessions from a log,
//! and says how well a plan from its first half would have done in the second.

mod arguments;
#[path = "../outage/figures.rs"]
#[allow(dead_code, reason = "some figures are the outage's")]
mod figures;
#[path = "../replay/formats.rs"]
#[allow(dead_code, reason = "the units are the replay's")]
mod formats;
mod log;
mod memory;
mod options;
mod poisson;
mod rate;
mod report;
#[cfg(test)]
#[path = "../replay/run.rs"]
mod run;
mod sizing;
#[path = "../replay/source.rs"]
mod source;
mod stream;
mod trial;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::options::Options;
use crate::sizing::Plan;
use crate::trial::Trial;

fn main() -> ExitCode {
    match plan_and_report(Options::parse()) {
        Ok(code) => code,
        Err(reason) => {
            eprintln!("plan: {reason}");
            ExitCode::from(2)
        }
    }
}

fn plan_and_report(options: Options) -> Result<ExitCode, String> {
    let demand = options.demand()?;
    let plan = Plan::of(&demand)?;
    say(&report::report(&demand, &plan))?;
    if !demand.is_trial {
        return Ok(ExitCode::SUCCESS);
    }
    let trial = Trial::run(&demand)?;
    say(&format!("\n{}\n", trial.told()))?;
    Ok(if trial.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `println!` would panic if the reader, such as `head`, has gone.
fn say(text: &str) -> Result<(), String> {
    io::stdout().write_all(text.as_bytes()).map_err(|error| format!("cannot write: {error}"))
}
