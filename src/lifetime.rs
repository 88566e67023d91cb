//! How long a session may live.

use core::time::Duration;

use crate::platform::clock::{NEVER_NS, nanos};

/// The longest lifetime, ten years of 366 days: builders refuse more, single sessions saturate.
pub(crate) const LONGEST: Duration = Duration::from_secs(3_660 * 86_400);

/// How long one session may live; overrides the cache's lifetimes for it.
///
/// The default inherits both of the cache's lifetimes. A lifetime of over ten years (of 366 days)
/// counts as ten years; one of zero makes a session that is never served and freed with the next
/// tick. Whichever deadline comes first counts.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use sundown::{Cache, Expiry, Lifetime};
///
/// let cache = Cache::builder().max_entries(10).time_to_live(Duration::from_secs(60)).build()?;
/// cache.insert_for("kiosk", (), Lifetime::default().live_forever())?;
/// assert_eq!(cache.expires_in("kiosk"), Some(Expiry::Never));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[must_use]
pub struct Lifetime {
    live: Span,
    idle: Span,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Span {
    #[default]
    Inherit,
    After(Duration),
    Forever,
}

impl Lifetime {
    /// Ends the session this long after the call that sets it, however much it is used.
    pub fn live(mut self, time_to_live: Duration) -> Self {
        self.live = Span::After(time_to_live);
        self
    }

    /// Ends the session when it has not been used for this long.
    pub fn idle(mut self, time_to_idle: Duration) -> Self {
        self.idle = Span::After(time_to_idle);
        self
    }

    /// Gives the session no absolute deadline, whatever the cache's is.
    pub fn live_forever(mut self) -> Self {
        self.live = Span::Forever;
        self
    }

    /// Lets the session be idle for ever, whatever the cache's time to idle is.
    pub fn idle_forever(mut self) -> Self {
        self.idle = Span::Forever;
        self
    }

    /// Both spans in nanoseconds, with `inherited` where the session has none of its own.
    #[inline]
    pub(crate) fn resolve(self, inherited: Spans) -> Spans {
        Spans {
            live_ns: self.live.resolve(inherited.live_ns),
            idle_ns: self.idle.resolve(inherited.idle_ns),
        }
    }
}

impl Span {
    #[inline]
    fn resolve(self, inherited_ns: u64) -> u64 {
        match self {
            Self::Inherit => inherited_ns,
            Self::After(duration) => nanos(duration.min(LONGEST)),
            Self::Forever => NEVER_NS,
        }
    }
}

/// Both lifetimes of a session, measured from a moment that the caller knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Spans {
    pub(crate) live_ns: u64,
    pub(crate) idle_ns: u64,
}

impl Spans {
    /// When a session ends whose lifetimes are measured from `now_ns`, if nobody uses it.
    #[inline]
    pub(crate) fn deadline_ns(self, now_ns: u64) -> u64 {
        now_ns.saturating_add(self.live_ns.min(self.idle_ns))
    }
}

/// What time has made of a session, on the axis of its cache's clock: what goes along to another process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Course {
    pub(crate) used_ns: u64,
    pub(crate) absolute_ns: u64,
    pub(crate) idle_ns: u64,
}

impl Course {
    /// Both lifetimes, measured from the last use.
    pub(crate) fn spans(self) -> Spans {
        let live_ns = match self.absolute_ns {
            NEVER_NS => NEVER_NS,
            absolute_ns => absolute_ns.saturating_sub(self.used_ns),
        };
        Spans { live_ns, idle_ns: self.idle_ns }
    }
}

/// When a session will expire if nobody uses it again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Expiry {
    /// This long from now.
    In(Duration),
    /// Not by time.
    Never,
}
