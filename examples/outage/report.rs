//! What a tired service owner reads: what is going to happen, a table, and one verdict.

use comfy_table::{CellAlignment, Table, presets};

use crate::figures::{bytes, count, millis, seconds};
use crate::message::Sample;
use crate::options::Plan;
use crate::promises::{Broken, judges_return, return_time, worst_lag};
use crate::supervise::Half;
use crate::traffic::Traffic;

/// Says what is going to happen.
pub(crate) fn announce(plan: &Plan, traffic: &Traffic) {
    println!(
        "Replaying one day in {}: {} visitors ({:.0} % bots), {} requests, seed {}.",
        seconds(plan.day()),
        count(traffic.visitors as u64),
        plan.forecast.bots * 100.0,
        count(traffic.events.len() as u64),
        plan.forecast.seed,
    );
    println!(
        "Sessions of {} die after {} unused, or {} in all. Then {} of silence: nobody calls.\n",
        bytes(plan.session_bytes as u64),
        seconds(plan.idle),
        seconds(plan.ttl),
        seconds(plan.duration - plan.day()),
    );
}

/// Prints the table: what is measured down the side, one store a column.
pub(crate) fn table(plan: &Plan, halves: &[Half; 2], broken: &[Vec<Broken>; 2]) {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    let mut row = |name: &str, cell: &dyn Fn(&Half) -> String| {
        let [first, second] = halves.each_ref().map(cell);
        table.add_row([name.to_owned(), first, second]);
    };
    row("live, busiest moment", &|half| most(half, |sample| sample.live));
    row("dead but held, worst moment", &|half| most(half, |sample| sample.dead));
    row("dead but held, at the end", &|half| count(last(half).map_or(0, |sample| sample.dead)));
    row("heap, peak", &|half| half.end.map_or_else(unknown, |end| bytes(end.peak_bytes)));
    row("heap, at the end", &|half| bytes(last(half).map_or(0, |sample| sample.heap_bytes)));
    row("resident, peak", &|half| bytes(half.most_resident()));
    row("resident, at the end", &|half| {
        bytes(last(half).map_or(0, |sample| sample.resident_bytes))
    });
    row("back at the system", &|half| match half.end.map(|end| return_time(half, &end)) {
        Some(Some(time)) => format!("after {}", seconds(time)),
        Some(None) => format!("not in {}", seconds(plan.time_to_return)),
        None => unknown(),
    });
    row("worst expiry lag", &|half| {
        half.end.map_or_else(unknown, |end| seconds(worst_lag(half, &end)))
    });
    row(&format!("crosses {}", bytes(plan.memory_limit)), &|half| {
        half.crossing(plan.memory_limit)
            .map_or_else(|| "never".to_owned(), |sample| format!("after {}", seconds(sample.at)))
    });
    table.add_row([
        "promises broken".to_owned(),
        broken[0].len().to_string(),
        broken[1].len().to_string(),
    ]);
    table.set_header([
        String::new(),
        halves[0].contestant.name().to_owned(),
        halves[1].contestant.name().to_owned(),
    ]);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
    println!(
        "Resident memory is counted from before the first session; it is back when a fifth of its \
         peak is left,\nand the time runs from the last session's deadline."
    );
    for half in halves {
        let Some(end) = half.end.filter(|end| end.given_back > 0) else { continue };
        println!(
            "{} gave memory back {}; the last time took {} and returned {}.",
            half.contestant.name(),
            if end.given_back == 1 {
                "once".to_owned()
            } else {
                format!("{} times", end.given_back)
            },
            millis(end.give_back_took),
            bytes(end.give_back_bytes),
        );
    }
}

/// Prints what it all means; says whether sundown kept its promises.
pub(crate) fn verdict(plan: &Plan, halves: &[Half; 2], broken: &[Vec<Broken>; 2]) -> bool {
    let [lazy, sundown] = broken;
    for half in halves {
        for note in notes(plan, half) {
            println!("note: {note}");
        }
    }
    if lazy.is_empty() {
        println!("note: this day was too easy: the store that checks on read failed nothing.");
    }
    let [lazy_return, sundown_return] =
        halves.each_ref().map(|half| half.end.and_then(|end| return_time(half, &end)));
    if judges_return(&halves[0]) && lazy_return.is_some() {
        println!("verdict: NONE: the memory of the store that frees nothing is said to be back.");
        return false;
    }
    if sundown.is_empty() {
        println!("verdict: sundown kept every promise.");
        if let (true, Some(time)) = (judges_return(&halves[1]), sundown_return) {
            println!(
                "The system had its memory back {} after the last deadline; the other store's {} are \
                 still resident.",
                seconds(time),
                bytes(last(&halves[0]).map_or(0, |sample| sample.resident_bytes)),
            );
        }
        return true;
    }
    println!("verdict: sundown BROKE {} of its promises:", sundown.len());
    for Broken { promise, finding } in sundown {
        println!("  - {promise}: {finding}");
    }
    false
}

/// What makes a result worth less than it looks.
fn notes(plan: &Plan, half: &Half) -> Vec<String> {
    let Some(end) = &half.end else { return Vec::new() };
    let name = half.contestant.name();
    let mut notes = Vec::new();
    if !judges_return(half) {
        notes.push(format!(
            "whether {name} gives memory back to the system was not judged: the storm of {} is too \
             small, or the system's allocator is not glibc's.",
            bytes(half.most_resident()),
        ));
    }
    if end.worst_behind > plan.idle / 4 {
        notes.push(format!(
            "the traffic for {name} ran up to {} behind: this machine is too busy for it.",
            seconds(end.worst_behind),
        ));
    }
    if end.worst_oversleep > plan.allowed_lag / 4 {
        notes.push(format!(
            "beside {name} this machine woke a sleeping thread up to {} late.",
            millis(end.worst_oversleep),
        ));
    }
    notes
}

fn last(half: &Half) -> Option<&Sample> {
    half.samples.last()
}

fn most(half: &Half, figure: impl Fn(&Sample) -> u64) -> String {
    count(half.samples.iter().map(figure).max().unwrap_or(0))
}

fn unknown() -> String {
    "unknown".to_owned()
}
