//! What was found, held against what sundown promises.

use std::time::Duration;

use sundown::{Audit, Stats};

use crate::figures::{bytes, count, seconds};
use crate::house::{CAUSES, Tally};

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) promise: &'static str,
    pub(crate) finding: String,
}

/// The state of affairs when nobody has called for longer than any session lives.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quiet {
    /// Sessions whose destructor has not run.
    pub(crate) alive: u64,
    pub(crate) heap: u64,
    pub(crate) heap_allowed: u64,
    pub(crate) resident: u64,
    pub(crate) resident_allowed: u64,
    pub(crate) stats: Stats,
    pub(crate) audit: Audit,
    /// What the callers counted, and what the listener did.
    pub(crate) tally: Tally,
    pub(crate) heard: [u64; CAUSES.len()],
}

impl Quiet {
    /// Holds the state against the promises; an empty list means that all were kept.
    pub(crate) fn faults(&self) -> Vec<Fault> {
        let Self { alive, heap, heap_allowed, resident, resident_allowed, stats, audit, .. } = self;
        let mut faults = Vec::new();
        let mut hold = |promise, is_kept: bool, finding: String| {
            if !is_kept {
                faults.push(Fault { promise, finding });
            }
        };
        hold(
            "gone without a call",
            *alive == 0,
            format!("{alive} sessions were in memory when all had run out"),
        );
        hold(
            "freed on time",
            stats.overdue == 0,
            format!("{} sessions were linked past their deadline", stats.overdue),
        );
        hold(
            "no garbage is left",
            stats.retired.count == 0,
            format!("{} sessions were unlinked and not freed", stats.retired.count),
        );
        hold(
            "memory comes back",
            heap <= heap_allowed,
            format!("{} were held in the quiet (allowed: {})", bytes(*heap), bytes(*heap_allowed)),
        );
        hold(
            "memory goes back to the system",
            resident <= resident_allowed,
            format!(
                "{} were resident in the quiet (allowed: {})",
                bytes(*resident),
                bytes(*resident_allowed),
            ),
        );
        for (name, ours, theirs) in self.accounts() {
            hold(
                "every session is accounted for",
                ours == theirs,
                format!("{name}: {} by one count, {} by the other", count(ours), count(theirs)),
            );
        }
        hold(
            "every session is accounted for",
            audit.inserted == audit.entries as u64 + audit.retired + audit.dropped,
            format!("{audit:?}"),
        );
        faults
    }

    /// What two have counted, who must agree when nobody calls.
    fn accounts(&self) -> Vec<(String, u64, u64)> {
        let Self { stats, audit, tally, heard, .. } = self;
        let causes = [
            stats.expired,
            stats.idle,
            stats.evicted,
            stats.removed,
            stats.replaced,
            stats.cleared,
            stats.closed,
        ];
        let mut accounts = vec![
            ("sessions taken in".to_owned(), tally.taken, stats.inserted),
            ("sessions taken in, audited".to_owned(), tally.taken, audit.inserted),
            ("sessions handed back".to_owned(), tally.refused, stats.rejected),
            ("hits".to_owned(), tally.hits, stats.hits),
            ("misses".to_owned(), tally.misses, stats.misses),
            (
                "inserted = entries + retired + dropped".to_owned(),
                stats.inserted,
                stats.entries as u64 + stats.retired.count + stats.dropped,
            ),
            ("sessions dropped, audited".to_owned(), stats.dropped, audit.dropped),
            ("weight of nothing".to_owned(), 0, stats.weight),
            ("panics of the listener".to_owned(), 0, stats.listener_panics),
            ("panics of destructors".to_owned(), 0, stats.drop_panics),
        ];
        for (place, cause) in CAUSES.iter().enumerate() {
            accounts.push((format!("{cause:?}"), heard[place], causes[place]));
        }
        accounts
    }
}

/// Garbage over its bound, since when.
///
/// A thread that the scheduler stops in the middle of a look-up holds back what others remove
/// meanwhile, so more than the bound is a fault only if it does not pass.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct GarbageWatch {
    over_since: Option<Duration>,
}

impl GarbageWatch {
    /// Looks at the garbage; the soak has run for `at`.
    pub(crate) fn look(&mut self, at: Duration, garbage: u64) -> Option<Fault> {
        if garbage <= GARBAGE_BOUND {
            self.over_since = None;
            return None;
        }
        let since = *self.over_since.get_or_insert(at);
        (at - since > LONGEST_STOP).then(|| Fault {
            promise: "garbage stays in bounds",
            finding: format!(
                "{} sessions waited to be freed, and more than {} for {}",
                count(garbage),
                count(GARBAGE_BOUND),
                seconds(at - since),
            ),
        })
    }
}

/// Whether a cap is exceeded, at any moment.
pub(crate) fn over_caps(stats: &Stats) -> Option<Fault> {
    let entries = stats.max_entries.is_some_and(|most| stats.entries > most);
    let weight = stats.max_weight.is_some_and(|most| stats.weight > most);
    (entries || weight).then(|| Fault {
        promise: "a hard cap",
        finding: format!("{} sessions of weight {} were in", stats.entries, stats.weight),
    })
}

/// What a quiet part may hold, given what the first one did.
pub(crate) fn allowed_heap(first_heap: u64) -> u64 {
    first_heap + first_heap / 20 + SLACK_BYTES
}

/// What the first quiet part may hold, given what there was before the first session; and what may
/// be left in the end, given what there was before the cache.
///
/// Without the first, what never shrinks after its first growth would pass for what was always
/// there.
pub(crate) fn allowed_first_heap(fresh_heap: u64, threads: usize) -> u64 {
    allowed_heap(fresh_heap) + threads as u64 * THREAD_BYTES
}

/// What may be resident in the first quiet part, given what was before the first session and by how
/// much the most of the round exceeded that.
///
/// Without the first, an allocator that never gives anything back would pass for flat.
pub(crate) fn allowed_first_resident(fresh: u64, storm: u64) -> u64 {
    (fresh + storm / FIRST_SHARE).max(NOT_WORTH_IT)
}

/// What may be resident in another quiet part, given what was in the first one and the round's storm.
pub(crate) fn allowed_resident(first: u64, storm: u64, round: Duration) -> u64 {
    let share = if round < LONG_ROUND { SHORT_ROUND_SHARE } else { LONG_ROUND_SHARE };
    (first + storm / share).max(NOT_WORTH_IT)
}

/// 8 to 18 % of a storm were seen to stay the first time: threads' stacks, and pages of every arena
/// that a thread's own data pin.
const FIRST_SHARE: u64 = 4;

/// A short round is a small storm, in which the same pages weigh more.
const SHORT_ROUND_SHARE: u64 = 4;

/// Of fourteen rounds of a minute and 60 to 130 MiB, none ended with more than 7 MiB, a fourteenth of
/// its storm, above the first of its run. Without giving back, nearly all of the storm stays.
const LONG_ROUND_SHARE: u64 = 8;

const LONG_ROUND: Duration = Duration::from_secs(20);

/// sundown leaves less than this to the allocator.
const NOT_WORTH_IT: u64 = 16 << 20;

/// What the promise allows beside 5 %.
const SLACK_BYTES: u64 = 64 << 10;

/// What a thread that has used a cache leaves: a registration and bags of the epochs, which are the
/// process's, and queue nodes. `ARCHITECTURE.md` has the measurement.
const THREAD_BYTES: u64 = 16 << 10;

/// What the crate's documentation says to allow for.
const GARBAGE_BOUND: u64 = 65_536;

/// No scheduler leaves a thread that could run alone for so long.
const LONGEST_STOP: Duration = Duration::from_secs(5);
