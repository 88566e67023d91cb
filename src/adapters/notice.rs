//! Reports to an operator what a store refuses: with the feature `tracing` by an event, once a kind and
//! minute; without it not at all. The cache counts every refusal in either case.

use super::refusal::Refusal;
#[cfg(feature = "tracing")]
use crate::error::Reason;
use crate::platform::clock::Clock;
#[cfg(feature = "tracing")]
use crate::platform::sync::{AtomicU64, Ordering};

/// What has been reported, and when.
#[cfg(feature = "tracing")]
pub(super) struct Notices {
    clock: Clock,
    kinds: [Kind; Refusal::KINDS],
}

#[cfg(feature = "tracing")]
#[derive(Default)]
struct Kind {
    /// When the kind may be reported again, by the cache's clock.
    due_ns: AtomicU64,
    /// Refusals since the last event.
    unreported: AtomicU64,
}

#[cfg(feature = "tracing")]
impl Notices {
    pub(super) fn by(clock: Clock) -> Self {
        Self { clock, kinds: Default::default() }
    }

    /// Reports a refusal, unless its kind was reported within the last minute.
    pub(super) fn report(&self, refusal: Refusal) {
        if let Some(times) = self.due(refusal) {
            emit(refusal, times);
        }
    }

    /// Counts a refusal; gives how many of its kind there were since the last event, if the next one is
    /// due.
    fn due(&self, refusal: Refusal) -> Option<u64> {
        let kind = &self.kinds[refusal.kind()];
        // Relaxed, all: figures. The exchange lets one thread report.
        kind.unreported.fetch_add(1, Ordering::Relaxed);
        let (now_ns, due_ns) = (self.clock.exact_ns(), kind.due_ns.load(Ordering::Relaxed));
        let next_ns = now_ns.saturating_add(MINUTE_NS);
        let is_due = now_ns >= due_ns
            && kind
                .due_ns
                .compare_exchange(due_ns, next_ns, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        // Relaxed: as above.
        is_due.then(|| kind.unreported.swap(0, Ordering::Relaxed))
    }
}

/// Emits an event of level `WARN`, or `INFO` for a save after the session's end, which is not an error.
#[cfg(feature = "tracing")]
fn emit(refusal: Refusal, times: u64) {
    if refusal == Refusal::NotTaken(Reason::Absent) {
        tracing::info!(target: "sundown", times, "saves of sessions that have ended were left out");
    } else {
        tracing::warn!(target: "sundown", times, reason = %refusal, "sessions were refused");
    }
}

#[cfg(feature = "tracing")]
const MINUTE_NS: u64 = 60_000_000_000;

/// Reports nothing.
#[cfg(not(feature = "tracing"))]
pub(super) struct Notices;

#[cfg(not(feature = "tracing"))]
impl Notices {
    pub(super) fn by(_: Clock) -> Self {
        Self
    }

    pub(super) fn report(&self, _: Refusal) {}
}

#[cfg(all(test, feature = "tracing"))]
mod tests {
    use std::time::Duration;

    use tracing::Level;
    use tracing::subscriber::with_default;

    use super::*;
    use crate::adapters::tracing::tests::Told;
    use crate::platform::clock::ManualClock;

    #[test]
    fn each_kind_of_refusal_is_reported_once_a_minute_with_its_count() {
        let clock = ManualClock::new();
        let notices = Notices::by(clock.clone().into());
        let kinds = [Refusal::NotTaken(Reason::Full), Refusal::NotTaken(Reason::Absent)];
        for kind in kinds {
            assert_eq!([(); 3].map(|()| notices.due(kind)), [Some(1), None, None]);
        }
        clock.advance(Duration::from_secs(60));
        assert_eq!(kinds.map(|kind| notices.due(kind)), [Some(3), Some(3)]);
    }

    /// tracing caches for each call site whether any subscriber is interested. A thread of another test
    /// that comes to ours first, without a subscriber, has it cache that none is, for all threads. So
    /// the cache is built again until the event arrives.
    fn emitted(refusal: Refusal, times: u64) -> (Level, String) {
        let told = Told::default();
        with_default(told.clone(), || {
            for _ in 0..1_000 {
                emit(refusal, times);
                if let Some(event) = told.take().pop() {
                    return event;
                }
                tracing::callsite::rebuild_interest_cache();
            }
            panic!("no event of {refusal:?}");
        })
    }

    #[test]
    fn an_event_says_why_and_how_often_and_only_late_saves_are_no_warning() {
        let (level, full) = emitted(Refusal::NotTaken(Reason::Full), 3);
        assert_eq!(level, Level::WARN);
        assert!(full.contains("times=3") && full.contains("is full"), "{full}");
        let (level, late) = emitted(Refusal::NotTaken(Reason::Absent), 7);
        assert_eq!(level, Level::INFO);
        assert!(late.contains("times=7"), "{late}");
    }
}
