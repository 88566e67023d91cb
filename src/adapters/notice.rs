//! Tells an operator of what a store refuses: with the feature `tracing` an event, once a kind and
//! minute; without it nothing. The cache counts every refusal in either case.

use super::refusal::Refusal;
#[cfg(feature = "tracing")]
use crate::error::Reason;
use crate::platform::clock::Clock;
#[cfg(feature = "tracing")]
use crate::platform::sync::{AtomicU64, Ordering};

/// What has been told, and when.
#[cfg(feature = "tracing")]
pub(super) struct Notices {
    clock: Clock,
    kinds: [Kind; Refusal::KINDS],
}

#[cfg(feature = "tracing")]
#[derive(Default)]
struct Kind {
    /// When the kind may be told again, by the cache's clock.
    due_ns: AtomicU64,
    /// Refusals since it was told last.
    untold: AtomicU64,
}

#[cfg(feature = "tracing")]
impl Notices {
    pub(super) fn by(clock: Clock) -> Self {
        Self { clock, kinds: Default::default() }
    }

    /// Tells of a refusal, with an event of level `WARN`, or `INFO` for a save after the session's
    /// end, which is no fault of anyone's.
    pub(super) fn tell(&self, refusal: Refusal) {
        let kind = &self.kinds[refusal.kind()];
        // Relaxed, all: figures. The exchange lets one thread tell.
        kind.untold.fetch_add(1, Ordering::Relaxed);
        let (now_ns, due_ns) = (self.clock.exact_ns(), kind.due_ns.load(Ordering::Relaxed));
        let next_ns = now_ns.saturating_add(MINUTE_NS);
        let is_told = now_ns < due_ns
            || kind
                .due_ns
                .compare_exchange(due_ns, next_ns, Ordering::Relaxed, Ordering::Relaxed)
                .is_err();
        if is_told {
            return;
        }
        // Relaxed: as above.
        let times = kind.untold.swap(0, Ordering::Relaxed);
        if refusal == Refusal::NotTaken(Reason::Absent) {
            tracing::info!(
                target: "sundown",
                times,
                "saves of sessions that have ended were left out",
            );
        } else {
            tracing::warn!(target: "sundown", times, reason = %refusal, "sessions were refused");
        }
    }
}

#[cfg(feature = "tracing")]
const MINUTE_NS: u64 = 60_000_000_000;

/// Tells nothing.
#[cfg(not(feature = "tracing"))]
pub(super) struct Notices;

#[cfg(not(feature = "tracing"))]
impl Notices {
    pub(super) fn by(_: Clock) -> Self {
        Self
    }

    pub(super) fn tell(&self, _: Refusal) {}
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
    fn each_kind_of_refusal_is_told_once_a_minute_with_its_count() {
        let (told, clock) = (Told::default(), ManualClock::new());
        let notices = Notices::by(clock.clone().into());
        let (full, late) = (Reason::Full, Reason::Absent);
        with_default(told.clone(), || {
            for _ in 0..3 {
                notices.tell(Refusal::NotTaken(full));
                notices.tell(Refusal::NotTaken(late));
            }
            let events = told.take();
            assert!(
                matches!(&events[..], [(Level::WARN, one), (Level::INFO, other)]
                    if one.contains("times=1") && one.contains("is full") && other.contains("times=1")),
                "{events:?}"
            );
            clock.advance(Duration::from_secs(60));
            notices.tell(Refusal::NotTaken(full));
            let events = told.take();
            assert!(matches!(&events[..], [(Level::WARN, one)] if one.contains("times=3")));
        });
    }
}
