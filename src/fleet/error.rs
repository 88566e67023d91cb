//! What can go wrong between an instance and the truth.

use core::fmt;
use core::time::Duration;

use crate::platform::sync::Arc;

/// The cause of a failure, as the backend's own library tells it.
pub type Source = Arc<dyn core::error::Error + Send + Sync>;

/// Why a call of [`Tiered`](super::Tiered) or of a [`Backend`](super::Backend) has failed.
///
/// Neither `Debug` nor `Display` prints an id or a session.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use sundown::fleet::Error;
/// let error = Error::TimedOut(Duration::from_secs(1));
/// assert!(error.is_outage());
/// assert_eq!(error.to_string(), "the sessions' backend has not answered within 1s");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The backend cannot be reached.
    Unavailable(Source),
    /// The call has taken as long as it may. Whether a write was done is not known.
    TimedOut(Duration),
    /// The calls before this one have failed; this one was not made.
    BreakerOpen,
    /// The backend has refused the call, for want of a permission for instance.
    Refused(Source),
    /// What the backend has answered makes no sense.
    Garbled(&'static str),
    /// Another request has changed the session, and the changes were not merged.
    Conflict,
    /// There is a session under this key, or was one a moment ago.
    Taken,
    /// The session that it was to take the place of was ended by another request as well.
    Overtaken,
    /// The principal has as many sessions as the limit allows.
    LimitReached,
    /// The principal's sessions were revoked while this one was being created.
    Revoked,
    /// The session's value could not be turned into bytes.
    Unencodable(Source),
    /// The backend has no index of principals.
    Unsupported,
}

impl Error {
    /// Whether the backend is the cause, rather than the session or the caller.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::TimedOut(_) | Self::BreakerOpen)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(_) => f.write_str("the sessions' backend cannot be reached"),
            Self::TimedOut(after) => {
                write!(f, "the sessions' backend has not answered within {after:?}")
            }
            Self::BreakerOpen => f.write_str(
                "the sessions' backend has failed several calls in a row, and is left alone for a while",
            ),
            Self::Refused(_) => f.write_str("the sessions' backend has refused the call"),
            Self::Garbled(what) => write!(f, "the sessions' backend has answered nonsense: {what}"),
            Self::Conflict => f.write_str("another request has changed the session"),
            Self::Taken => f.write_str("the key has a session"),
            Self::Overtaken => f.write_str("another request has ended the session before this one"),
            Self::LimitReached => f.write_str("the principal has as many sessions as it may"),
            Self::Revoked => f.write_str("the principal's sessions were revoked meanwhile"),
            Self::Unencodable(_) => f.write_str("the session cannot be encoded"),
            Self::Unsupported => f.write_str("the sessions' backend has no index of principals"),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Unavailable(source) | Self::Refused(source) | Self::Unencodable(source) => {
                Some(&**source)
            }
            _ => None,
        }
    }
}

/// Two requests have loaded one revision of a session, and both save: what a merge is shown.
///
/// See [`Tiered::save_with`](super::Tiered::save_with).
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Conflict<'c, V> {
    /// What both have loaded.
    pub base: &'c V,
    /// What the other one has saved.
    pub current: &'c V,
    /// What this one saves.
    pub draft: &'c V,
}

impl<'c, V> Conflict<'c, V> {
    pub(super) fn of(base: &'c V, current: &'c V, draft: &'c V) -> Self {
        Self { base, current, draft }
    }
}

impl<V> fmt::Debug for Conflict<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conflict").finish_non_exhaustive()
    }
}
