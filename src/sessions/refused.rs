//! What is refused, and why.

use core::fmt;

use crate::error::Reason;

/// Data of a session that was not taken, handed back with the reason.
///
/// Neither `Debug` nor `Display` prints the data.
///
/// # Examples
///
/// ```
/// use sundown::OnFull;
/// use sundown::sessions::{Refusal, Sessions};
/// let sessions: Sessions<u64, &str> =
///     Sessions::builder().max_entries(1).on_full(OnFull::Reject).build()?;
/// sessions.create("one")?;
/// let refused = sessions.create("two").unwrap_err();
/// assert_eq!((refused.reason(), refused.into_inner()), (Refusal::Full, "two"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Refused<T> {
    data: T,
    reason: Refusal,
}

impl<T> Refused<T> {
    pub(super) fn new(data: T, reason: Refusal) -> Self {
        Self { data, reason }
    }

    /// Why it was not taken.
    #[must_use]
    pub fn reason(&self) -> Refusal {
        self.reason
    }

    /// Gives the data back.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.data
    }
}

impl<T> fmt::Debug for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session not taken: {}", self.reason)
    }
}

impl<T> core::error::Error for Refused<T> {}

/// Why a session was not taken, or not changed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no room, and the cache rejects rather than evicts.
    Full,
    /// It weighs more than the whole cache may.
    TooHeavy,
    /// The cache is closed.
    Closed,
    /// Its principal has as many sessions as allowed; see [`OnLimit::Refuse`](super::OnLimit::Refuse).
    LimitReached,
    /// There is no such session, or it has ended.
    Ended,
}

impl Refusal {
    pub(super) fn of(reason: Reason) -> Self {
        match reason {
            Reason::TooHeavy => Self::TooHeavy,
            Reason::Closed => Self::Closed,
            Reason::Full | Reason::Occupied => Self::Full,
            Reason::Absent => Self::Ended,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the cache is full",
            Self::TooHeavy => "it weighs more than the whole cache may",
            Self::Closed => "the cache is closed",
            Self::LimitReached => "its principal has as many sessions as allowed",
            Self::Ended => "the session has ended",
        })
    }
}

impl core::error::Error for Refusal {}
