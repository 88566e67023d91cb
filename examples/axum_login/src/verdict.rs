//! Is it the session store? The same answer as the runbook's, from the last samples.

use crate::status::Sample;

/// What to tell somebody who has one look.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Verdict {
    /// `ok`, `watch` or `bad`: the colour.
    pub(crate) level: &'static str,
    pub(crate) text: String,
    /// Where to look, or what to do, next.
    pub(crate) next: &'static str,
}

/// How full is nearly full; as the alert SundownNearLimit.
const NEAR_LIMIT: f64 = 0.75;

/// How much of its container's memory limit is near it, and too near; as the alerts
/// SundownContainerMemoryHigh and SundownContainerMemoryCritical.
const CONTAINER_HIGH: f64 = 0.75;
const CONTAINER_CRITICAL: f64 = 0.9;

/// So few may be in flight while the figures are read; as the alert SundownConservationBroken.
const MOST_IN_FLIGHT: i64 = 100;

/// A fault that only one sample shows is a busy machine.
const SAMPLES_OF_A_FAULT: usize = 3;

/// A reader that holds a removed session so long is stuck; as the alert SundownStuckReader.
const STUCK_S: f64 = 60.0;

/// The verdict on samples, the latest last. The gravest finding speaks.
pub(crate) fn verdict<'s>(samples: impl DoubleEndedIterator<Item = &'s Sample> + Clone) -> Verdict {
    let (Some(now), Some(first)) = (samples.clone().next_back(), samples.clone().next()) else {
        return watch("No sample yet.", "");
    };
    let found = fault(samples).or_else(|| shortage(now, first)).or_else(|| oddity(now, first));
    found.unwrap_or_else(|| Verdict {
        level: "ok",
        text: "It is not the session store.".into(),
        next: "It has room and frees on time: look at the database, the load balancer, \
               the last deployment.",
    })
}

/// A promise of the store that it does not keep.
fn fault<'s>(samples: impl DoubleEndedIterator<Item = &'s Sample> + Clone) -> Option<Verdict> {
    let lasts = |is_so: fn(&Sample) -> bool| {
        let mut latest = samples.clone().rev().take(SAMPLES_OF_A_FAULT);
        latest.clone().count() == SAMPLES_OF_A_FAULT && latest.all(is_so)
    };
    if lasts(|sample| sample.overdue > 0) {
        Some(bad(
            "It is the session store: sessions are past their deadline and not freed.",
            "Is there no processor time, or a listener that blocks? Runbook: SundownOverdue.",
        ))
    } else if lasts(|sample| sample.unaccounted > MOST_IN_FLIGHT)
        || lasts(|sample| sample.unaccounted < -MOST_IN_FLIGHT)
    {
        Some(bad(
            "It is the session store: sessions are unaccounted for.",
            "Save /metrics before you restart. Runbook: SundownConservationBroken.",
        ))
    } else if lasts(|sample| sample.tier.as_ref().is_some_and(|tier| tier.refusing)) {
        Some(bad(
            "It is the server behind the sessions: Redis does not answer, and requests fail.",
            "Is it up, full, or read-only? Can this instance reach it? Runbook: SundownTierDown.",
        ))
    } else if lasts(|sample| sample.tier.as_ref().is_some_and(|tier| !tier.connected)) {
        Some(watch(
            "Not this process: it does not hear what others change, so each request asks Redis.",
            "Is Redis slow, or cut off now and then? Runbook: SundownTierBypassed.",
        ))
    } else {
        None
    }
}

/// No room, in the container or in the store. The container first: there, the advice to raise the
/// store's limits would be wrong.
fn shortage(now: &Sample, first: &Sample) -> Option<Verdict> {
    let (evicted, is_near) = (now.evicted > first.evicted, now.fill() >= NEAR_LIMIT);
    if now.container_fill() >= CONTAINER_CRITICAL {
        let (text, next) = crowded(now);
        Some(bad(text, next))
    } else if evicted && is_near {
        Some(bad(
            "It is the session store: it is full, and users are logged out early.",
            "Raise the limits or add machines; a storm of log-ins? Runbook: SundownNearLimit.",
        ))
    } else if is_near {
        Some(bad(
            "It is the session store: it is nearly full.",
            "Raise the limits or add machines before users are logged out. Runbook: SundownNearLimit.",
        ))
    } else if now.container_fill() >= CONTAINER_HIGH {
        let (text, next) = crowded(now);
        Some(watch(text, next))
    } else if evicted {
        Some(watch(
            "It was the session store: it was full, and users were logged out early.",
            "In the last five minutes; it has room again. A storm of log-ins? Runbook: SundownNearLimit.",
        ))
    } else {
        None
    }
}

/// What is not the store's, and worth a look.
fn oddity(now: &Sample, first: &Sample) -> Option<Verdict> {
    if now.retired_oldest_s > STUCK_S {
        Some(watch(
            "Not the session store: the application does not let go of removed sessions.",
            "Look for a request that reads a session and does not end. Runbook: SundownStuckReader.",
        ))
    } else if now.overstays > 0 && now.overstays >= first.overstays {
        let lines = now.overstays_at.join(", ");
        let at = if lines.is_empty() { lines } else { format!(", taken at {lines}") };
        Some(watch(
            format!(
                "Not the session store: the application holds sessions that have ended ({}){at}.",
                now.overstays
            ),
            "Look where the handles go from there. Runbook: SundownOverstays.",
        ))
    } else if now.rejected > first.rejected {
        Some(watch(
            "Not the session store, but sessions were refused: late saves, or too heavy ones.",
            "Look at what the application puts into a session. Runbook: SundownRejects.",
        ))
    } else if now.given_back_failures > first.given_back_failures {
        Some(watch(
            "Not the session store, but free memory could not be given back to the system.",
            "Does the closure of GiveBack::with panic? Runbook: SundownGiveBackFails.",
        ))
    } else {
        None
    }
}

/// What to tell of a container that is near its memory limit: whose the memory is, and what to do.
fn crowded(now: &Sample) -> (String, &'static str) {
    let (used, held) = (now.container_bytes.unwrap_or(0), now.held_bytes());
    let is_most = |part: u64| part >= used / 2;
    let (answer, next) = if is_most(held) {
        (
            "It is the session store",
            "The kernel kills at the limit: add machines or raise it, or lower the sessions' limits. \
             Runbook: The memory graph is high.",
        )
    } else if now.resident_bytes.is_none_or(is_most) {
        (
            "It is not the session store",
            "The kernel kills at the limit. It is this process, but not its sessions: the allocator or \
             the application. Runbook: The memory graph is high.",
        )
    } else {
        (
            "It is not the session store",
            "The kernel kills at the limit. It is not this process either: look at its neighbours in \
             the container. Runbook: The memory graph is high.",
        )
    };
    let percent = (100.0 * now.container_fill()) as u64;
    let (held, used) = (written(held), written(used));
    let text = format!(
        "{answer}: the container is at {percent} % of its memory limit; sessions hold {held} of its \
         {used}."
    );
    (text, next)
}

/// A number of bytes as the page writes it, with two digits or more.
fn written(bytes: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let (unit, shift) = units.into_iter().find(|(_, shift)| bytes >> shift > 0).unwrap_or(("B", 0));
    let amount = bytes as f64 / (1_u64 << shift) as f64;
    let digits = usize::from(shift > 0 && amount < 10.0);
    format!("{amount:.digits$} {unit}")
}

fn bad(text: impl Into<String>, next: &'static str) -> Verdict {
    Verdict { level: "bad", text: text.into(), next }
}

fn watch(text: impl Into<String>, next: &'static str) -> Verdict {
    Verdict { level: "watch", text: text.into(), next }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Tier;

    fn sample() -> Sample {
        Sample { sessions: 10, max_sessions: 100, bytes: 10, max_bytes: 100, ..Sample::default() }
    }

    #[track_caller]
    fn judged(samples: &[Sample], level: &str, word: &str) {
        let verdict = verdict(samples.iter());
        assert!(verdict.level == level && verdict.text.contains(word), "{verdict:?}");
    }

    #[test]
    fn a_healthy_store_is_ruled_out() {
        judged(&[sample(), sample(), sample(), sample()], "ok", "is not");
        judged(&[], "watch", "No sample");
    }

    #[test]
    fn either_limit_counts() {
        judged(&[Sample { sessions: 75, ..sample() }], "bad", "nearly full");
        judged(&[Sample { bytes: 75, ..sample() }], "bad", "nearly full");
        judged(&[Sample { sessions: 74, bytes: 74, ..sample() }], "ok", "is not");
    }

    #[test]
    fn a_fault_must_last() {
        let late = Sample { overdue: 1, ..sample() };
        judged(&[late.clone(), late.clone(), sample()], "ok", "is not");
        judged(&[sample(), late.clone(), late.clone(), late], "bad", "past their deadline");
        for unaccounted in [-101, 101] {
            let lost = Sample { unaccounted, ..sample() };
            judged(&[lost.clone(), lost.clone(), lost], "bad", "unaccounted");
        }
        let (up, down) =
            (Sample { unaccounted: 500, ..sample() }, Sample { unaccounted: -500, ..sample() });
        judged(&[up.clone(), down, up], "ok", "is not");
    }

    #[test]
    fn who_holds_ended_sessions_is_named() {
        let held = |overstays| Sample {
            overstays,
            overstays_at: vec!["src/online.rs:31:9".into()],
            ..sample()
        };
        judged(&[held(7)], "watch", "have ended (7), taken at src/online.rs:31:9.");
        judged(&[held(7), held(3)], "ok", "is not");
        judged(&[sample(), Sample { overstays: 1, ..sample() }], "watch", "have ended (1).");
    }

    #[test]
    fn the_server_behind_the_sessions_is_named() {
        let with = |connected, refusing| {
            let tier = Some(Tier { connected, refusing, ..Tier::default() });
            let sample = Sample { tier, ..sample() };
            [sample.clone(), sample.clone(), sample]
        };
        judged(&with(true, false), "ok", "is not");
        judged(&with(false, true), "bad", "Redis does not answer");
        judged(&with(false, false), "watch", "each request asks Redis");
        judged(&with(false, false)[..2], "ok", "is not");
    }

    #[test]
    fn what_happened_before_the_window_is_forgiven() {
        let evicted = Sample { evicted: 5, rejected: 5, ..sample() };
        judged(&[evicted.clone(), evicted.clone()], "ok", "is not");
        judged(&[evicted.clone(), Sample { evicted: 6, ..evicted.clone() }], "watch", "logged out");
        judged(&[evicted.clone(), Sample { rejected: 6, ..evicted }], "watch", "refused");
        judged(&[Sample { retired_oldest_s: 61.0, ..sample() }], "watch", "let go");
        let failed = Sample { given_back_failures: 1, ..sample() };
        judged(&[failed.clone(), failed.clone()], "ok", "is not");
        judged(&[sample(), failed], "watch", "given back");
    }

    /// A container with a limit of 1,000 MiB.
    fn crowded(container: u64, resident: u64, sessions: u64) -> Sample {
        Sample {
            bytes: sessions << 20,
            max_bytes: 1 << 40,
            resident_bytes: Some(resident << 20),
            container_bytes: Some(container << 20),
            limit_bytes: Some(1_000 << 20),
            ..sample()
        }
    }

    #[test]
    fn what_is_over_is_told_as_over() {
        let before = Sample { sessions: 100, ..sample() };
        let full = Sample { evicted: 50, ..before.clone() };
        judged(&[before.clone(), full.clone()], "bad", "it is full");
        let emptied = Sample { sessions: 0, bytes: 0, ..full.clone() };
        judged(&[before, full, emptied], "watch", "it was full");
    }

    #[test]
    fn a_container_near_its_limit_is_never_green() {
        judged(&[crowded(749, 700, 100)], "ok", "is not");
        judged(&[crowded(750, 700, 100)], "watch", "at 75 % of its memory limit");
        judged(&[crowded(899, 700, 100)], "watch", "at 89 %");
        judged(&[crowded(900, 700, 100)], "bad", "at 90 %");
        judged(&[Sample { limit_bytes: None, ..crowded(900, 700, 100) }], "ok", "is not");
        judged(&[Sample { container_bytes: None, ..crowded(900, 700, 100) }], "ok", "is not");
    }

    #[test]
    fn the_verdict_on_a_container_says_whose_the_memory_is() {
        let judged = |sample: Sample, is_or_not: &str, share: &str, next: &str| {
            let verdict = verdict([sample].iter());
            assert!(verdict.text.starts_with(is_or_not), "{verdict:?}");
            assert!(verdict.text.contains(share) && verdict.next.contains(next), "{verdict:?}");
        };
        judged(crowded(920, 900, 700), "It is the", "hold 700 MiB of its 920 MiB", "lower");
        judged(crowded(920, 900, 5), "It is not", "hold 5.0 MiB of its", "allocator");
        judged(crowded(920, 100, 5), "It is not", "hold 5.0 MiB of its", "neighbours");
        let unknown = Sample { resident_bytes: None, ..crowded(920, 0, 0) };
        judged(unknown, "It is not", "hold 0 B of its 920 MiB", "this process");
        // Removed sessions that are still being read are held, too.
        let retired = Sample { retired_bytes: 600 << 20, ..crowded(920, 900, 100) };
        judged(retired, "It is the", "hold 700 MiB", "lower");
    }

    #[test]
    fn a_fault_of_the_store_goes_before_the_container_and_the_container_before_a_full_store() {
        let late = Sample { overdue: 1, ..crowded(950, 900, 100) };
        judged(&[late.clone(), late.clone(), late], "bad", "past their deadline");
        let full = Sample { sessions: 100, ..crowded(950, 900, 100) };
        judged(&[full.clone(), Sample { evicted: 1, ..full }], "bad", "of its memory limit");
        let full = Sample { sessions: 100, ..crowded(800, 700, 100) };
        judged(&[full], "bad", "nearly full");
    }

    #[test]
    fn bytes_are_written_as_the_page_writes_them() {
        let texts = [0, 1_023, 1_024, 2_560 << 10, 100 << 20, 3 << 29].map(written);
        assert_eq!(texts, ["0 B", "1023 B", "1.0 KiB", "2.5 MiB", "100 MiB", "1.5 GiB"]);
    }
}
