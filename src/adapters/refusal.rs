//! Why a store does not do what a framework asks of it; each adapter turns it into an error of the
//! framework's own kind. None names a session.

use core::fmt;

use crate::error::{Reason, Rejected};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    /// The session is to end at or before this moment.
    Past,
    /// The session is to outlive the longest lifetime.
    Overlong,
    /// The session has reached the cache's absolute lifetime.
    LivedOut,
    /// The session was deleted, expired or evicted, and saving it now would bring it back.
    Ended,
    /// The session's record says that it began at no time.
    NoBirth,
    /// Every id that was tried is some live session's.
    Taken,
    /// The id is none that the store could have made.
    #[cfg(feature = "actix-session-0_11")]
    Malformed,
    /// The cache does not take the session.
    NotTaken(Reason),
}

impl<K, V> From<&Rejected<K, V>> for Refusal {
    fn from(rejected: &Rejected<K, V>) -> Self {
        match rejected.reason {
            Reason::Absent => Self::Ended,
            Reason::Occupied => Self::Taken,
            reason => Self::NotTaken(reason),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Past => "the session's time is up already: it is to end now or in the past",
            Self::Overlong => {
                "the session is to live for more than ten years, the longest lifetime: set an \
                 earlier expiry"
            }
            Self::LivedOut => "the session has reached the cache's time to live",
            Self::Ended => {
                "the session has ended (deleted, expired or evicted), and saving does not bring it \
                 back"
            }
            Self::NoBirth => {
                "the session is corrupt: its entry `sundown.created` is no time in milliseconds"
            }
            Self::Taken => "the session's id is taken by a live session",
            #[cfg(feature = "actix-session-0_11")]
            Self::Malformed => "the session's id does not have the form of this store's ids",
            Self::NotTaken(reason) => return write!(f, "session not taken: {reason}"),
        })
    }
}

impl core::error::Error for Refusal {}
