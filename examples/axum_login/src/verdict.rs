//! Is it the session store? The same answer as the runbook's, from the last samples.

use crate::status::Sample;

/// What to tell somebody who has one look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Verdict {
    /// `ok`, `watch` or `bad`: the colour.
    pub(crate) level: &'static str,
    pub(crate) text: &'static str,
    /// Where to look, or what to do, next.
    pub(crate) next: &'static str,
}

/// How full is nearly full; as the alert SundownNearLimit.
const NEAR_LIMIT: f64 = 0.75;

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
    let lasts = |is_so: fn(&Sample) -> bool| {
        let mut latest = samples.clone().rev().take(SAMPLES_OF_A_FAULT);
        latest.clone().count() == SAMPLES_OF_A_FAULT && latest.all(is_so)
    };
    let refused = now.rejected > first.rejected;
    if lasts(|sample| sample.overdue > 0) {
        bad(
            "It is the session store: sessions are past their deadline and not freed.",
            "Is there no processor time, or a listener that blocks? Runbook: SundownOverdue.",
        )
    } else if lasts(|sample| sample.unaccounted > MOST_IN_FLIGHT)
        || lasts(|sample| sample.unaccounted < -MOST_IN_FLIGHT)
    {
        bad(
            "It is the session store: sessions are unaccounted for.",
            "Save /metrics before you restart. Runbook: SundownConservationBroken.",
        )
    } else if now.evicted > first.evicted {
        bad(
            "It is the session store: it is full, and users are logged out early.",
            "Raise the limits or add machines; a storm of log-ins? Runbook: SundownNearLimit.",
        )
    } else if now.fill() >= NEAR_LIMIT {
        bad(
            "It is the session store: it is nearly full.",
            "Raise the limits or add machines before users are logged out. Runbook: SundownNearLimit.",
        )
    } else if now.retired_oldest_s > STUCK_S {
        watch(
            "Not the session store: the application does not let go of removed sessions.",
            "Look for a request that reads a session and does not end. Runbook: SundownStuckReader.",
        )
    } else if refused {
        watch(
            "Not the session store, but sessions were refused: late saves, or too heavy ones.",
            "Look at what the application puts into a session. Runbook: SundownRejects.",
        )
    } else {
        Verdict {
            level: "ok",
            text: "It is not the session store.",
            next: "It has room and frees on time: look at the database, the load balancer, \
                   the last deployment.",
        }
    }
}

fn bad(text: &'static str, next: &'static str) -> Verdict {
    Verdict { level: "bad", text, next }
}

fn watch(text: &'static str, next: &'static str) -> Verdict {
    Verdict { level: "watch", text, next }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn what_happened_before_the_window_is_forgiven() {
        let evicted = Sample { evicted: 5, rejected: 5, ..sample() };
        judged(&[evicted.clone(), evicted.clone()], "ok", "is not");
        judged(&[evicted.clone(), Sample { evicted: 6, ..evicted.clone() }], "bad", "logged out");
        judged(&[evicted.clone(), Sample { rejected: 6, ..evicted }], "watch", "refused");
        judged(&[Sample { retired_oldest_s: 61.0, ..sample() }], "watch", "let go");
    }
}
