//! The wall clock, which alone goes on while no process runs, and the cache's clock beside it.
//!
//! Deadlines are on the axis of the cache's clock, which begins anew with each machine and each test. In a file
//! they are dates. Both clocks are read once, when a snapshot begins and when a restoration begins; all times
//! are measured from that pair, so a wall clock that is set meanwhile moves none of them.

use core::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::lifetime::{Course, LONGEST};
use crate::platform::clock::{Clock, NEVER_NS};

/// A date that never comes.
pub(super) const NEVER: i64 = i64::MAX;

/// How far back a restored cache's clock reaches: whoever has been idle for longer has no time to idle.
pub(super) const PAST_NS: u64 = LONGEST.as_nanos() as u64;

/// Where dates come from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wall {
    System,
    /// A test's.
    At(i64),
}

impl Wall {
    pub(super) fn at(time: SystemTime) -> Self {
        Self::At(date_of(time))
    }

    pub(super) fn now_ns(self) -> i64 {
        match self {
            Self::System => date_of(SystemTime::now()),
            Self::At(date) => date,
        }
    }
}

/// What time has made of a session, as dates; the time to idle is in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Instants {
    pub(super) used: i64,
    pub(super) absolute: i64,
    pub(super) idle: u64,
}

/// One moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    wall_ns: i64,
    clock_ns: u64,
}

impl Axis {
    pub(super) fn now(wall: Wall, clock: &Clock) -> Self {
        Self { wall_ns: wall.now_ns(), clock_ns: clock.exact_ns() }
    }

    /// The date of a time of the clock.
    pub(crate) fn date_of(self, at_ns: u64) -> i64 {
        let date = i128::from(self.wall_ns) + i128::from(at_ns) - i128::from(self.clock_ns);
        // Whatever is further away is as good as never; and no time is never by accident.
        date.clamp(i64::MIN.into(), (NEVER - 1).into()) as i64
    }

    /// The clock's time of a date; its beginning where that lies before.
    pub(crate) fn time_of(self, date: i64) -> u64 {
        let at_ns = i128::from(self.clock_ns) + i128::from(date) - i128::from(self.wall_ns);
        at_ns.clamp(0, (NEVER_NS - 1).into()) as u64
    }

    /// The same of a date that cannot be of the future.
    pub(crate) fn past_time_of(self, date: i64) -> u64 {
        self.time_of(date.min(self.wall_ns))
    }

    pub(super) fn instants(self, course: Course) -> Instants {
        let absolute = match course.absolute_ns {
            NEVER_NS => NEVER,
            absolute_ns => self.date_of(absolute_ns),
        };
        Instants { used: self.date_of(course.used_ns), absolute, idle: course.idle_ns }
    }

    /// What becomes of a session now; none if its time is up. One of the future was used just now.
    pub(super) fn course(self, instants: Instants) -> Option<Course> {
        let now_ns = self.clock_ns;
        let used_ns = self.past_time_of(instants.used);
        let absolute_ns = match instants.absolute {
            NEVER => NEVER_NS,
            absolute => self.time_of(absolute).min(now_ns.saturating_add(PAST_NS)),
        };
        let idle_ns = match instants.idle {
            NEVER_NS => NEVER_NS,
            idle_ns => idle_ns.min(PAST_NS),
        };
        let course = Course { used_ns, absolute_ns, idle_ns };
        let is_over = absolute_ns.min(used_ns.saturating_add(idle_ns)) <= now_ns;
        (!is_over).then_some(course)
    }

    /// By how much a date is ahead of the wall clock; none if it is not.
    pub(super) fn ahead(self, date: i64) -> Option<Duration> {
        let ahead_ns = u64::try_from(i128::from(date) - i128::from(self.wall_ns)).ok()?;
        (ahead_ns > 0).then(|| Duration::from_nanos(ahead_ns))
    }
}

/// A date from 1677 to 2262.
fn date_of(time: SystemTime) -> i64 {
    let (span, sign) = match time.duration_since(UNIX_EPOCH) {
        Ok(since) => (since, 1),
        Err(before) => (before.duration(), -1),
    };
    let most = NEVER - 1;
    sign * i64::try_from(span.as_nanos()).unwrap_or(most).min(most)
}
