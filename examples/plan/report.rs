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
    let instances = match plan.instances {
        1 => "1 instance".to_owned(),
        many => format!("{} instances", count(many)),
    };
    let sessions: u64 = demand.streams.iter().map(|stream| stream.planned(1)).sum();
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "Plan: {instances}, container limit {}, for {} concurrent sessions at the height.\n{}",
        whole_mib(plan.container_bytes),
        count(sessions),
        table(demand),
    );
    for assumed in &demand.assumed {
        let _ = writeln!(text, "A session lives: {assumed}.");
    }
    let log = demand.streams.iter().find_map(|stream| stream.log.as_ref());
    match log {
        Some(log) => text.push_str(&tell_log(log)),
        None => {
            text.push_str("Arrivals are independent (Poisson), at the rate of the busiest time.\n")
        }
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
        row("  highest in the log", &peak, String::new());
    }
    let total = count(sum(|stream| stream.planned(1)));
    row("  99.9th percentile (planned)", &|stream| count(stream.planned(1)), total);
    row("memory of a session: data", &each(|each| each.data), String::new());
    row("  sundown's overhead", &each(|each| each.sundown), String::new());
    row("  allocator's overhead", &each(|each| each.allocator), String::new());
    row("working set at that height", &|stream| bytes(resident(stream)), bytes(sum(resident)));
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

/// What all sessions of a stream take at the planned height.
pub(crate) fn resident(stream: &Stream) -> u64 {
    stream.planned(1).saturating_mul(footprint(stream).resident())
}

/// What was read, and whether the plan from its first half would have held.
fn tell_log(log: &Log) -> String {
    let mut text = format!(
        "The log has {} sessions in {}; its highest number is taken as the mean of a height.\n",
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
    let (more, verdict) = match second {
        second if second > plan => {
            ("more", "does not hold: plan for the busiest hours of the week")
        }
        second if second == plan => ("more", "just holds"),
        _ => ("less", "holds"),
    };
    let _ = writeln!(
        text,
        "planned from the first half: {}; the second half reached {}, {:.1} % {more}\n\
         so a plan from such a log {verdict}.",
        count(plan),
        count(second),
        percent.abs(),
    );
    text
}

fn lines_to_paste(demand: &Demand, plan: &Plan) -> String {
    let mut text =
        String::from("\n// in each instance, Rust\nlet cache = sundown::Cache::builder()\n");
    let fill = demand.fill_percent;
    let entries = format!(".max_entries({})", underscored(plan.max_entries));
    let _ = writeln!(text, "    {entries:<38} // {fill} % full at the height");
    let weight = format!(".max_weight({})", underscored(plan.max_weight));
    let _ = writeln!(text, "    {weight:<38} // bytes: as a store weighs them, or your weigher");
    let lifetimes = [("idle", demand.idle), ("live", demand.live)];
    for (name, lifetime) in lifetimes {
        let Some(lifetime) = lifetime else { continue };
        let line = format!(".time_to_{name}({})", duration(lifetime));
        let _ = writeln!(text, "    {line:<38} // {}", humantime::format_duration(lifetime));
    }
    if let Some(share) = plan.anonymous_share {
        let _ = writeln!(
            text,
            "let store = SundownStore::new(cache)?.anonymous_up_to({share}, |record| /* no user */)?;"
        );
    }
    if let Some(idle) = demand.anonymous_idle {
        let seconds = idle.as_secs();
        let _ = writeln!(
            text,
            "session.set_expiry(Some(Expiry::OnInactivity(Duration::seconds({seconds}))));  \
             // until log-in"
        );
    }
    let memory = plan.container_bytes >> 20;
    let _ = writeln!(
        text,
        "# in Kubernetes; examples/ops/autoscaling.yml has the rest\n\
         resources: {{requests: {{memory: {memory}Mi}}, limits: {{memory: {memory}Mi}}}}\n\
         minReplicas: {}\n\
         averageValue: {}m  # of session_store_fill: the autoscaler's threshold",
        plan.instances,
        fill * 10,
    );
    text
}

/// As a Rust expression.
fn duration(lifetime: Duration) -> String {
    match lifetime.subsec_nanos() {
        0 => format!("Duration::from_secs({})", underscored(lifetime.as_secs())),
        _ => format!("Duration::from_millis({})", underscored(lifetime.as_millis() as u64)),
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

/// To the second, and to the minute from three hours on.
fn rounded(time: Duration) -> String {
    let unit = if time >= Duration::from_secs(3 * 3_600) { 60 } else { 1 };
    let rounded = Duration::from_secs((time.as_secs() + unit / 2) / unit * unit);
    humantime::format_duration(rounded).to_string()
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
