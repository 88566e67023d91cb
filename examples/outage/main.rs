//! Replays the outage that sundown exists for.
//!
//! `cargo run --release --example outage` sends one day of generated traffic, squeezed into half a
//! minute of real time, into a store that checks expiry only when it reads, and into sundown. Then
//! the traffic stops. A table and a picture show what each of them held, requested from its allocator
//! and resident as the operating system counts it, and the exit status says whether sundown kept its
//! promises. The picture beside this file is what
//! `cargo run --release --example outage -- --output examples/outage/outage.svg` drew.
//!
//! ```text
//!   main         options → plan → two halves → promises → table, picture, verdict
//!   supervise    starts each half as a process of its own and collects what it tells (message)
//!   service      a half: one store (stores), fed by the drawn day (traffic), watched by (witness)
//!   promises     what was found, held against what sundown promises
//!   report       the table and the verdict, in words and numbers for people (figures)
//!   chart        the picture
//! ```

mod chart;
mod figures;
mod message;
mod options;
mod picture;
mod promises;
mod report;
mod service;
mod stores;
mod supervise;
mod traffic;
mod way;
mod witness;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, error::ErrorKind};

use crate::options::{Options, Plan};
use crate::traffic::Traffic;

fn main() -> ExitCode {
    let options = Options::parse();
    let store = options.store;
    let plan = options.plan().unwrap_or_else(|message| usage_error(&message));
    let outcome = match store {
        Some(contestant) => service::run(contestant, &plan).map(|()| true),
        None => replay(&plan),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}

/// Runs both halves and reports; says whether sundown kept its promises.
fn replay(plan: &Plan) -> Result<bool, String> {
    let traffic = Traffic::draw(&plan.forecast).unwrap_or_else(|message| usage_error(&message));
    plan.check_memory(traffic.most_sessions()).unwrap_or_else(|message| usage_error(&message));
    picture::check(&plan.picture, "--output")?;
    report::announce(plan, &traffic);
    let fingerprint = traffic.fingerprint();
    drop(traffic);

    let halves = supervise::replay(plan, fingerprint)?;
    if halves[0].end.is_none() {
        return Err("the store that checks on read did not live to the end of the day".to_owned());
    }
    let broken = halves.each_ref().map(|half| promises::broken(plan, half));
    report::table(plan, &halves, &broken);
    let drawn = chart::draw(plan, &halves);
    if drawn.is_ok() {
        println!("picture: {}", plan.picture.display());
    }
    let is_kept = report::verdict(plan, &halves, &broken);
    drawn.map(|()| is_kept)
}

/// Leaves as clap does for a value that makes no sense.
fn usage_error(message: &str) -> ! {
    Options::command().error(ErrorKind::ValueValidation, message).exit()
}
