//! What was found, held against what sundown promises.
//!
//! The same questions are put to both halves. That the other store fails some of them shows, in
//! every run, that the traffic was hard enough and that the questions can be failed.

use std::time::Duration;

use crate::figures::{bytes, millis, seconds};
use crate::message::End;
use crate::options::Plan;
use crate::supervise::Half;

/// A promise that was not kept.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) promise: &'static str,
    pub(crate) finding: String,
}

/// Holds a half against the promises; an empty list means that all were kept.
pub(crate) fn broken(plan: &Plan, half: &Half) -> Vec<Broken> {
    let mut broken = Vec::new();
    let mut hold = |promise, is_kept: bool, finding: String| {
        if !is_kept {
            broken.push(Broken { promise, finding });
        }
    };
    let Some(end) = &half.end else {
        let finding = if half.has_closed { "its process crashed" } else { "it stopped answering" };
        hold("it keeps running", false, finding.to_owned());
        return broken;
    };
    hold(
        "never served late",
        end.served_late == 0,
        format!("{} sessions were shown at or after their deadline", end.served_late),
    );
    hold(
        "freed on time",
        worst_lag(half, end) <= plan.allowed_lag + end.worst_oversleep,
        format!(
            "a session outlived its deadline by {} (allowed: {}, and {} that the machine added)",
            seconds(worst_lag(half, end)),
            millis(plan.allowed_lag),
            millis(end.worst_oversleep),
        ),
    );
    hold(
        "no early logout",
        end.worst_early <= EARLY_TOLERANCE + end.worst_oversleep,
        format!("a session was gone {} before its deadline", millis(end.worst_early)),
    );
    hold(
        "no session is mixed up",
        end.mixed_up == 0,
        format!("{} reads showed another user's session", end.mixed_up),
    );
    hold("every session is accounted for", half.complaints.is_empty(), half.complaints.join("; "));
    let held = half.samples.last().map_or(0, |sample| sample.live + sample.dead);
    hold(
        "gone without a call",
        held == 0,
        format!("{held} sessions were still in memory after the silence"),
    );
    let allowed_bytes = end.empty_bytes + end.empty_bytes / 20 + SLACK_BYTES;
    hold(
        "memory comes back",
        end.final_bytes <= allowed_bytes,
        format!(
            "{} were still held after the silence, {} before the first session",
            bytes(end.final_bytes),
            bytes(end.empty_bytes),
        ),
    );
    hold(
        "memory goes back to the system",
        !judges_return(half)
            || return_time(half, end).is_some_and(|time| time <= plan.time_to_return),
        format!(
            "resident memory rose by {}, and {} after the last deadline {} of that were left",
            bytes(half.most_resident()),
            seconds(plan.time_to_return),
            bytes(half.samples.last().map_or(0, |sample| sample.resident_bytes)),
        ),
    );
    hold(
        "dropping it frees everything",
        end.dropped_bytes <= SLACK_BYTES,
        format!("{} were left after the drop", bytes(end.dropped_bytes)),
    );
    broken
}

/// The longest that any session outlived its deadline: seen by the witness in a destructor or in a
/// sample, or owned up to by the store.
pub(crate) fn worst_lag(half: &Half, end: &End) -> Duration {
    half.samples
        .iter()
        .map(|sample| sample.oldest_dead)
        .fold(end.worst_lag.max(end.reported_lag), Duration::max)
}

/// How long after the last deadline the storm's memory was back at the operating system; `None` if it
/// was not.
pub(crate) fn return_time(half: &Half, end: &End) -> Option<Duration> {
    half.returned().map(|sample| sample.at.saturating_sub(end.last_deadline))
}

/// Whether it is judged if resident memory comes back: only on glibc does anything have to be done
/// for that, and only a high storm stands out from what else a process touches.
pub(crate) fn judges_return(half: &Half) -> bool {
    cfg!(all(target_os = "linux", target_env = "gnu")) && half.most_resident() >= LEAST_STORM
}

/// Twice what sundown finds worth giving back.
const LEAST_STORM: u64 = 32 << 20;

/// sundown's early error is the step and the lag of the coarse clock, which was seen to be 11 ms on
/// a virtual machine, and 1 ms for the touch; the rest is for machines that are worse.
const EARLY_TOLERANCE: Duration = Duration::from_millis(50);

/// What the promise allows beside 5 %: thread-local bookkeeping of the epochs, buffers of the
/// standard library.
const SLACK_BYTES: u64 = 64 << 10;
