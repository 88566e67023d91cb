//! What people read: what is going to happen, how far it is, a table, and one verdict.

use std::cell::Cell;
use std::io::{IsTerminal, stderr};
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};

use crate::figures::{bytes, count, millis, seconds};
use crate::house::CAUSES;
use crate::options::Plan;
use crate::soak::{Course, Round, Sample};

/// Says what is going to happen.
pub(crate) fn announce(plan: &Plan) {
    println!(
        "Soaking for {}: {} rounds of {}, {} threads at full load, seed {}.",
        humantime::format_duration(plan.duration()),
        plan.rounds,
        humantime::format_duration(plan.check_every),
        plan.threads,
        plan.seed,
    );
    println!(
        "Sessions live up to {}; each round ends with {} of silence and a look at what is left.\n",
        seconds(plan.longest_life),
        seconds(plan.silence()),
    );
}

/// A bar on a terminal; elsewhere a line a round.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    rounds: usize,
    next_line: Cell<usize>,
}

impl Progress {
    pub(crate) fn new(plan: &Plan) -> Self {
        let bar = ProgressBar::new(plan.duration().as_millis() as u64);
        // The template is a constant, so a mistake in it would show at the first run.
        if let Ok(style) = ProgressStyle::with_template("{bar:32} {msg}") {
            bar.set_style(style.progress_chars("━╸─"));
        }
        Self { bar, rounds: plan.rounds, next_line: 0.into() }
    }

    pub(crate) fn show(&self, round: usize, sample: &Sample) {
        let text = || {
            format!(
                "round {} of {}   {}   {} sessions, {}",
                round + 1,
                self.rounds,
                clock(sample.at),
                count(sample.sessions),
                bytes(sample.memory.heap),
            )
        };
        if stderr().is_terminal() {
            self.bar.set_position(sample.at.as_millis() as u64);
            self.bar.set_message(text());
        } else if round >= self.next_line.get() {
            self.next_line.set(round + 1);
            eprintln!("{}", text());
        }
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Prints one line a round, or as many as can be read; then what happened in all.
pub(crate) fn table(course: &Course) {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    table.set_header([
        "round",
        "ended",
        "opened",
        "most live",
        "most garbage",
        "overdue",
        "worst lag",
        "woken late",
        "most heap",
        "quiet heap",
        "most resident",
        "quiet resident",
        "back after",
    ]);
    let rounds = &course.rounds;
    let step = rounds.len().div_ceil(MOST_LINES).max(1);
    for (number, round) in rounds.iter().enumerate() {
        if number % step == 0 || number + 1 == rounds.len() {
            table.add_row(line(&(number + 1).to_string(), round));
        }
    }
    if let Some(worst) = worst(rounds) {
        table.add_row(line("worst", &worst));
    }
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");

    let tally = &course.tally;
    println!(
        "{} calls, {} sessions taken in, {} stalls in a read, {} jumps of the second clock,\n\
         {} histories beside the exact model, {} caches built and dropped, {} threads come and gone.",
        count(tally.calls),
        count(tally.taken),
        count(tally.stalls),
        count(tally.jumps),
        count(tally.histories),
        count(tally.caches),
        count(tally.threads),
    );
    let ends = CAUSES.iter().zip(course.heard).map(|(cause, number)| {
        let name = format!("{cause:?}").to_lowercase();
        format!("{} {name}", count(number))
    });
    let Course { fresh, left, .. } = course;
    println!(
        "Resident before the first session: {}; when the cache was dropped: {}.",
        bytes(fresh.resident),
        bytes(left.resident),
    );
    println!("Sessions that left: {}.", ends.collect::<Vec<_>>().join(", "));
}

/// Prints what it all means; says whether every promise was kept.
pub(crate) fn verdict(course: &Course) -> bool {
    if course.was_stopped {
        println!("note: stopped before its time.");
    }
    if course.rounds.len() < 2 && course.faults.is_empty() {
        println!("note: one round alone shows nothing of what stays from round to round.");
    }
    if course.faults.is_empty() {
        println!("verdict: sundown kept every promise.");
        return true;
    }
    println!("verdict: sundown BROKE promises; the first findings:");
    for fault in &course.faults {
        println!("  - {}: {}", fault.promise, fault.finding);
    }
    false
}

fn line(name: &str, round: &Round) -> [String; 13] {
    [
        name.to_owned(),
        clock(round.ended),
        count(round.opened),
        count(round.most_sessions),
        count(round.most_garbage),
        count(round.most_overdue),
        millis(round.worst_lag),
        millis(round.worst_oversleep),
        bytes(round.most_heap),
        // In full: what matters is whether it grows.
        count(round.quiet_heap),
        bytes(round.most_resident),
        bytes(round.quiet_resident),
        round.returned_after.map_or_else(|| "never".to_owned(), seconds),
    ]
}

/// The most of each, and the total of what was opened.
fn worst(rounds: &[Round]) -> Option<Round> {
    rounds.iter().copied().reduce(|one, other| Round {
        began: one.began,
        quiet: one.quiet,
        ended: other.ended,
        opened: one.opened.max(other.opened),
        most_sessions: one.most_sessions.max(other.most_sessions),
        most_garbage: one.most_garbage.max(other.most_garbage),
        most_overdue: one.most_overdue.max(other.most_overdue),
        most_heap: one.most_heap.max(other.most_heap),
        quiet_heap: one.quiet_heap.max(other.quiet_heap),
        heap_allowed: other.heap_allowed,
        most_resident: one.most_resident.max(other.most_resident),
        quiet_resident: one.quiet_resident.max(other.quiet_resident),
        resident_allowed: other.resident_allowed,
        returned_after: one
            .returned_after
            .zip(other.returned_after)
            .map(|(one, other)| one.max(other)),
        worst_lag: one.worst_lag.max(other.worst_lag),
        worst_oversleep: one.worst_oversleep.max(other.worst_oversleep),
    })
}

/// Hours, minutes and seconds.
fn clock(at: Duration) -> String {
    let seconds = at.as_secs();
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// What fits a screen; a soak of a day has 1,440 rounds.
const MOST_LINES: usize = 30;
