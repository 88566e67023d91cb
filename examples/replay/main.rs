//! What would the cache have done with last week's log? Replays recorded traffic and counts.
//!
//! ```text
//! cargo run --release --example replay -- --format combined --idle 30m --cap 10000 access.log.gz
//! ```
//!
//! Time is the trace's own: the manual clock follows the timestamps, so a week takes a second.
//! Files may be gzipped; several are read as one stream, in the order given.

mod formats;
mod run;
mod source;

use std::error::Error;
use std::io::{self, Write};
use std::iter;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

use crate::formats::{BadRecords, Format, Trace};
use crate::run::{Settings, Tally, replay};

/// Replays recorded traffic through a sundown cache and says what became of the sessions.
#[derive(Parser)]
#[command(name = "replay")]
struct Options {
    /// Traces, plain or gzipped, replayed in this order as one
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What the files hold
    #[arg(long, value_enum)]
    format: Format,
    /// End a session that was not touched for so long, as in 30m or 1800s
    #[arg(long, value_name = "DUR", value_parser = humantime::parse_duration)]
    idle: Option<Duration>,
    /// End a session that has lived for so long, as in 8h
    #[arg(long, value_name = "DUR", value_parser = humantime::parse_duration)]
    ttl: Option<Duration>,
    /// Evict the least recently used session beyond so many; without it, as many as there are
    #[arg(long, value_name = "N")]
    cap: Option<usize>,
}

fn main() -> ExitCode {
    match replay_and_report(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let causes = iter::successors(Some(&*error as &dyn Error), |&error| error.source());
            let words: Vec<_> = causes.map(ToString::to_string).collect();
            eprintln!("replay: {}", words.join(": "));
            ExitCode::FAILURE
        }
    }
}

fn replay_and_report(options: Options) -> Result<(), Box<dyn Error>> {
    let Options { files, format, idle, ttl, cap } = options;
    let start = Instant::now();
    let mut trace = Trace::new(format, files);
    let (tally, busy) = replay(format, &Settings { idle, ttl, cap }, &mut trace)?;
    let mut out = io::stdout().lock();
    report(&mut out, &tally, busy, start.elapsed())?;
    report_bad(&mut out, trace.bad())?;
    Ok(())
}

fn report(out: &mut impl Write, tally: &Tally, busy: Duration, total: Duration) -> io::Result<()> {
    let &Tally { events, creates, hits, idle, lived_out, evicted, peak, left, .. } = tally;
    writeln!(out, "events     {events}")?;
    writeln!(out, "creates    {creates}")?;
    writeln!(out, "hits       {hits} ({:.2} %)", percent(hits, events))?;
    writeln!(out, "expired    {} ({idle} idle + {lived_out} ttl)", idle + lived_out)?;
    writeln!(out, "evicted    {evicted}")?;
    writeln!(out, "peak       {peak}")?;
    writeln!(out, "left       {left}")?;
    let each_ns = busy.as_nanos() / u128::from(events.max(1));
    writeln!(out, "time       {busy:.2?} in the cache, {each_ns} ns each; {total:.2?} in all")?;
    if tally.unordered > 0 {
        let count = tally.unordered;
        writeln!(out, "unordered  {count} events: too many at one time for an exact LRU order")?;
    }
    if tally.evicted_inexact > 0 {
        writeln!(out, "inexact    {} of the evictions", tally.evicted_inexact)?;
    }
    Ok(())
}

fn report_bad(out: &mut impl Write, bad: &BadRecords) -> io::Result<()> {
    writeln!(out, "bad lines  {}", bad.count)?;
    for flaw in &bad.first {
        writeln!(out, "           {flaw}")?;
    }
    match bad.count - bad.first.len() as u64 {
        0 => Ok(()),
        unnamed => writeln!(out, "           and {unnamed} more"),
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}
