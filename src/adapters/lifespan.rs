//! How long a session that a framework hands over may live.
//!
//! Frameworks speak of dates on the wall clock, or of spans from now; the cache measures spans on a
//! clock that cannot be set. An adapter turns a date into a span once, when the session is saved: a
//! wall clock that is set afterwards neither logs anyone out nor keeps anyone in.
//!
//! The cache's own time to live caps the span, from the session's *birth* on. Frameworks forget the
//! birth when they give a session a new id, which they do by deleting and creating; so it travels
//! with the session's data, under [`BIRTH_KEY`].
//!
//! T1. Births are read off a *steady* axis: the wall clock's time when the store was made, plus what
//!     the cache's clock has counted since. Within one process no clock step moves it; between
//!     processes it is the wall clock.
//! T2. A session's birth moves to a later time only where the service asks for it by a call, as at
//!     log-in: [`RESTART`] stands in the data then until the next save.
//!     Where sessions have principals, all of them have a birth: it marks what a store has handed out.
//! T3. No date is an error. What is over is over; what lies beyond the longest lifetime ends there.

use core::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::builder::Builder;
use crate::error::BuildError;
use crate::lifetime::{LONGEST, Lifetime};
use crate::platform::clock::{Clock, MILLI_NS, NEVER_NS};

/// Where a session's birth travels in its data.
pub(super) const BIRTH_KEY: &str = "sundown.created";

/// Where a session's last use travels in the data of a store that keeps them elsewhere.
#[cfg(any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15"))]
pub(super) const USED_KEY: &str = "sundown.used";

/// Stands for a birth where the session is to begin anew with the next save.
pub(super) const RESTART: &str = "now";

/// When a session began, in milliseconds since 1970 on the steady axis (T1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Birth {
    pub(super) millis: u64,
}

/// What a session's data says of its birth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stated {
    /// Nothing: it is new, or its data were cleared.
    Unknown,
    /// It began then.
    At(Birth),
    /// It is to begin anew.
    Now,
}

impl Stated {
    /// What an entry says that is JSON, as text; none if it is no time.
    #[cfg(any(feature = "actix-session-0_11", feature = "saysion-0_2"))]
    pub(super) fn in_json(entry: Option<&str>) -> Option<Self> {
        match entry {
            None => Some(Self::Unknown),
            Some(text) if text.trim_matches('"') == RESTART => Some(Self::Now),
            Some(text) => Some(Self::At(Birth { millis: text.parse().ok()? })),
        }
    }

    fn birth(self) -> Option<Birth> {
        match self {
            Self::At(birth) => Some(birth),
            Self::Unknown | Self::Now => None,
        }
    }
}

/// Turns what frameworks say about a session's end into lifetimes.
#[derive(Debug)]
pub(super) struct Lifespan {
    clock: Clock,
    /// What to add to the cache's clock to be on the steady axis.
    offset_ns: i128,
    /// The cache's time to live, if it has one.
    cap_ns: Option<i128>,
    /// The cache's time to idle, if it has one.
    idle_millis: Option<u64>,
    /// Whether sessions have births though nothing counts from them.
    marks_all: bool,
}

impl Lifespan {
    /// The lifespans of a cache that is to be built, when the wall clock shows `wall_ns`.
    pub(super) fn of<K, V, S>(
        builder: &Builder<K, V, S>,
        wall_ns: i128,
    ) -> Result<Self, BuildError> {
        let spans = builder.check()?.spans;
        let live_ns = spans.live_ns;
        let clock = builder.clock.clone();
        let offset_ns = wall_ns - i128::from(clock.exact_ns());
        let cap_ns = (live_ns != NEVER_NS).then_some(i128::from(live_ns));
        let idle_millis = (spans.idle_ns != NEVER_NS).then(|| spans.idle_ns.div_ceil(MILLI_NS));
        Ok(Self { clock, offset_ns, cap_ns, idle_millis, marks_all: false })
    }

    /// The same, and each session is given a birth.
    pub(super) fn marking_all(self, marks_all: bool) -> Self {
        Self { marks_all, ..self }
    }

    /// The birth to file a session under: the earlier of what its data say and what the store
    /// knows, now at the latest (T2). None where there is no use for it.
    pub(super) fn birth(&self, stated: Stated, known: Option<Birth>) -> Option<Birth> {
        if self.cap_ns.is_none() && !self.marks_all {
            return None;
        }
        let now = Birth { millis: self.steady_millis() };
        let known = if stated == Stated::Now { None } else { known };
        Some(stated.birth().into_iter().chain(known).fold(now, Birth::min))
    }

    /// The lifetime of a session that is to end so many nanoseconds from now; none if its time is up
    /// by now (T3).
    pub(super) fn lasting(&self, span_ns: i128, birth: Option<Birth>) -> Option<Lifetime> {
        let mut left_ns = span_ns.min(LONGEST.as_nanos() as i128);
        if let (Some(cap_ns), Some(birth)) = (self.cap_ns, birth) {
            let age_ns = self.steady_ns() - i128::from(birth.millis) * i128::from(MILLI_NS);
            // What began within this millisecond has just begun.
            let age_ns = if age_ns < i128::from(MILLI_NS) { 0 } else { age_ns };
            left_ns = left_ns.min(cap_ns - age_ns);
        }
        let left_ns = u64::try_from(left_ns).ok().filter(|&left_ns| left_ns > 0)?;
        Some(Lifetime::default().live(Duration::from_nanos(left_ns)))
    }

    /// The cache's time to idle, if it has one.
    pub(super) fn idle(&self) -> Option<Duration> {
        self.idle_millis.map(Duration::from_millis)
    }

    /// The same in milliseconds.
    #[cfg(any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15"))]
    pub(super) fn idle_millis(&self) -> Option<u64> {
        self.idle_millis
    }

    /// Whether a session has a birth that counts.
    #[cfg(any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15"))]
    pub(super) fn keeps_births(&self) -> bool {
        self.cap_ns.is_some()
    }

    /// Now on the steady axis (T1), in milliseconds since 1970.
    pub(super) fn steady_millis(&self) -> u64 {
        u64::try_from(self.steady_ns() / i128::from(MILLI_NS)).unwrap_or(0)
    }

    fn steady_ns(&self) -> i128 {
        i128::from(self.clock.exact_ns()) + self.offset_ns
    }
}

/// The wall clock, in nanoseconds since 1970.
pub(super) fn wall_ns() -> i128 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_nanos() as i128,
        Err(before) => -(before.duration().as_nanos() as i128),
    }
}
