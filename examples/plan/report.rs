//! What a tired service owner reads: the plan in one line, a table, and the lines to paste.

use std::fmt::Write;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};

use crate::figures::{bytes, count};
use crate::log::Log;
use crate::memory::Footprint;
use crate::options::Demand;
use crate::rate::Rate;
use crate::sizing::{Plan, footprint};
use crate::stream::{Stream, planned};

/// The whole report but what `--try` finds.
pub(crate) fn report(demand: &Demand, plan: &Plan) -> String {
    let mut text = String::new();
    let limit = whole_mib(plan.container_bytes);
    let instances = match plan.instances {
        1 => format!("1 instance, container limit {limit}"),
        many => format!("{} instances, container limit {limit} each", count(many)),
    };
    let sessions: u64 = demand.streams.iter().map(|stream| stream.planned(1)).sum();
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "Plan: {instances}, for {} concurrent sessions.\n{}",
        count(sessions),
        table(demand),
    );
    for assumed in &demand.assumed {
        let _ = writeln!(text, "{assumed}");
    }
    let log = demand.streams.iter().find_map(|stream| stream.log.as_ref());
    match log {
        Some(log) => text.push_str(&tell_log(log, demand.fill_percent)),
        None => text.push_str(
            "Arrivals are independent (Poisson), and this is their rate at the busiest time.\n",
        ),
    }
    text.push_str(&lines_to_paste(demand, plan));
    text
}

/// One stream a column, and their sum.
fn table(demand: &Demand) -> Table {
    let streams = &demand.streams;
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    let mut row = |name: &str, cell: &dyn Fn(&Stream) -> String, total: String| {
        let mut cells = vec![name.to_owned()];
        cells.extend(streams.iter().map(cell));
        if streams.len() > 1 {
            cells.push(total);
        }
        table.add_row(cells);
    };
    let sum = |part: fn(&Stream) -> u64| streams.iter().map(part).sum::<u64>();
    let each = |part: fn(&Footprint) -> u64| move |stream: &Stream| bytes(part(&footprint(stream)));
    let rate: f64 = streams.iter().map(|stream| stream.rate.per_second()).sum();
    let rate = Rate::of_seconds(rate).in_unit_of(streams[0].rate);
    row("arrival rate", &|stream| stream.rate.to_string(), rate.to_string());
    row("lifetime in the cache, mean", &|stream| rounded(stream.lifetime), String::new());
    let mean: f64 = streams.iter().map(|stream| stream.mean).sum();
    row("concurrent sessions, mean", &|stream| number(stream.mean), number(mean));
    if streams.iter().any(|stream| stream.log.is_some()) {
        let peak =
            |stream: &Stream| stream.log.as_ref().map_or_else(String::new, |log| count(log.peak));
        row("  peak in the log", &peak, String::new());
    }
    let total = count(sum(|stream| stream.planned(1)));
    row("  99.9th percentile (planned)", &|stream| count(stream.planned(1)), total);
    row("memory of a session: data", &each(|each| each.data), String::new());
    row("  sundown's overhead", &each(|each| each.sundown), String::new());
    row("  allocator's overhead", &each(|each| each.allocator), String::new());
    row("working set at that peak", &|stream| bytes(resident(stream)), bytes(sum(resident)));
    let mut header: Vec<_> = vec![""];
    match streams.as_slice() {
        [_] => header.push("sessions"),
        both => header.extend(both.iter().map(|stream| stream.name).chain(["total"])),
    }
    table.set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// What all sessions of a stream take at the planned peak.
pub(crate) fn resident(stream: &Stream) -> u64 {
    stream.planned(1).saturating_mul(footprint(stream).resident())
}

/// What was read, and whether the plan from its first half would have held.
fn tell_log(log: &Log, fill_percent: u64) -> String {
    let mut text = format!(
        "The log has {} sessions in {}; its peak is taken as the mean of the next one.\n",
        count(log.sessions),
        rounded(log.span),
    );
    if let Some(flaw) = &log.first_flaw {
        let _ =
            writeln!(text, "{} lines were passed over, the first: {flaw}", count(log.bad_lines));
    }
    let Some([first, second]) = log.halves else {
        text.push_str("All of it happened at one moment: no halves to compare.\n");
        return text;
    };
    let plan = planned(first as f64);
    let percent = 100.0 * (second as f64 - plan as f64) / plan as f64;
    let caps = (plan * 100).div_ceil(fill_percent);
    let verdict = match second {
        second if second > caps => {
            "would have evicted sessions: it needs the busiest hours".to_owned()
        }
        second if second > plan => {
            format!("was too low, but its cap of {} would have held", count(caps))
        }
        _ => "would have held".to_owned(),
    };
    let more = if second > plan { "more" } else { "less" };
    let _ = writeln!(
        text,
        "planned from the first half: {}; the second half reached {}, {:.1} % {more}\n\
         So a plan from half of this log {verdict}.",
        count(plan),
        count(second),
        percent.abs(),
    );
    text
}

fn lines_to_paste(demand: &Demand, plan: &Plan) -> String {
    let fill = demand.fill_percent;
    let mut builder = vec![
        (
            format!(".max_entries({})", underscored(plan.max_entries)),
            format!("{fill} % full at the peak"),
        ),
        (format!(".max_weight({})", underscored(plan.max_weight)), WEIGHER.to_owned()),
    ];
    for (name, lifetime) in [("idle", demand.idle), ("live", demand.live)] {
        let Some(lifetime) = lifetime else { continue };
        let words = humantime::format_duration(lifetime).to_string();
        builder.push((format!(".time_to_{name}({})", duration(lifetime)), words));
    }
    if let Some((last, _)) = builder.last_mut() {
        last.push(';');
    }
    let mut text = String::from("\nlet sessions = Cache::builder()\n");
    for (call, why) in builder {
        let _ = writeln!(text, "    {call:<44} // {why}");
    }
    if let Some(share) = plan.anonymous_share {
        let _ = writeln!(
            text,
            "let store = SundownStore::new(sessions)?\n    \
             .anonymous_up_to({share}, |record| !record.data.contains_key(\"user\"))?;"
        );
    }
    if let Some(idle) = demand.anonymous_idle {
        let seconds = idle.as_secs().max(1);
        let _ = writeln!(
            text,
            "session.set_expiry(Some(Expiry::OnInactivity(time::Duration::seconds({seconds})))); \
             // until log-in"
        );
    }
    text.push_str(&lines_for_kubernetes(demand, plan));
    text
}

fn lines_for_kubernetes(demand: &Demand, plan: &Plan) -> String {
    let memory = plan.container_bytes >> 20;
    let lines = [
        (
            format!("resources: {{limits: {{memory: {memory}Mi}}}}"),
            format!("full caps and {} for the rest are 90 % of it", bytes(demand.service_bytes)),
        ),
        (format!("minReplicas: {}", plan.instances), spread(demand, plan)),
        (format!("maxReplicas: {}", plan.instances * 2), "twice the plan".to_owned()),
        (
            format!("averageValue: {}m", demand.fill_percent * 10),
            "the autoscaler's threshold (examples/ops)".to_owned(),
        ),
    ];
    let mut text = String::from("\n");
    for (line, why) in lines {
        let _ = writeln!(text, "{line:<39} # {why}");
    }
    text
}

/// What one of the instances has to hold.
fn spread(demand: &Demand, plan: &Plan) -> String {
    let each: u64 = demand.streams.iter().map(|stream| stream.planned(plan.instances)).sum();
    match plan.instances {
        1 => "all of them".to_owned(),
        _ => format!("spread evenly: {} each", count(each)),
    }
}

/// Stores weigh in bytes by themselves.
const WEIGHER: &str = "bytes; a plain Cache: weigher + count_overhead";

/// As a Rust expression.
fn duration(lifetime: Duration) -> String {
    match lifetime.subsec_nanos() {
        0 => format!("Duration::from_secs({})", underscored(lifetime.as_secs())),
        _ => format!(
            "Duration::from_millis({})",
            underscored(lifetime.as_nanos().div_ceil(1_000_000) as u64)
        ),
    }
}

fn underscored(number: u64) -> String {
    count(number).replace(',', "_")
}

fn whole_mib(bytes: u64) -> String {
    format!("{} MiB", count(bytes >> 20))
}

/// A mean: whole from ten on.
fn number(mean: f64) -> String {
    if mean >= 10.0 { count(mean.round() as u64) } else { format!("{mean:.2}") }
}

/// To the second from ten on, and to the minute from three hours on.
fn rounded(time: Duration) -> String {
    let unit = match time.as_secs() {
        0..10 => return humantime::format_duration(time).to_string(),
        10..10_800 => 1,
        _ => 60,
    };
    let seconds = (time.as_secs_f64() / unit as f64).round() as u64 * unit;
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
