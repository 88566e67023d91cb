//! Why a store does not do what a framework asks of it; each adapter turns it into an error of the
//! framework's own kind. None names a session.

use core::fmt;

use crate::error::{Reason, Rejected};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    /// The session was logged out, and saving it now would bring it back.
    #[cfg(feature = "actix-session-0_11")]
    LoggedOut,
    /// The session was changed by too many requests since this one has loaded it.
    Conflict,
    /// The session's record says that it began at no time.
    NoBirth,
    /// Every id that was tried is some live session's.
    Taken,
    /// The id is none that the store could have made.
    #[cfg(any(feature = "actix-session-0_11", feature = "poem-3", feature = "saysion-0_2"))]
    Malformed,
    /// Its principal has as many sessions as allowed.
    LimitReached,
    /// Its principal is no name.
    LongPrincipal,
    /// Whether it was ended by hand is not known yet.
    #[cfg(any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15"))]
    Unheard,
    /// The cache does not take the session.
    NotTaken(Reason),
}

impl Refusal {
    /// How many kinds of refusals are reported to an operator.
    #[cfg(feature = "tracing")]
    pub(super) const KINDS: usize = 12;

    /// The refusal's place in an array that has one for each kind.
    #[cfg(feature = "tracing")]
    pub(super) fn kind(self) -> usize {
        match self {
            #[cfg(feature = "actix-session-0_11")]
            Self::LoggedOut => 0,
            Self::Conflict => 1,
            Self::NoBirth => 2,
            Self::Taken | Self::NotTaken(Reason::Occupied) => 3,
            #[cfg(any(feature = "actix-session-0_11", feature = "poem-3", feature = "saysion-0_2"))]
            Self::Malformed => 4,
            Self::NotTaken(Reason::Full) => 5,
            Self::NotTaken(Reason::TooHeavy) => 6,
            Self::NotTaken(Reason::Absent) => 7,
            Self::NotTaken(Reason::Closed) => 8,
            Self::LimitReached => 9,
            Self::LongPrincipal => 10,
            #[cfg(any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15"))]
            Self::Unheard => 11,
        }
    }
}

impl<K, V> From<&Rejected<K, V>> for Refusal {
    fn from(rejected: &Rejected<K, V>) -> Self {
        match rejected.reason {
            Reason::Occupied => Self::Taken,
            reason => Self::NotTaken(reason),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            #[cfg(feature = "actix-session-0_11")]
            Self::LoggedOut => "the session was logged out, and saving does not bring it back",
            Self::Conflict => {
                "the session was changed too often since this request has loaded it: what it would \
                 overwrite is not known any more"
            }
            Self::NoBirth => {
                "the session is corrupt: its entry `sundown.created` is no time in milliseconds"
            }
            Self::Taken => "the session's id is taken by a live session",
            #[cfg(any(feature = "actix-session-0_11", feature = "poem-3", feature = "saysion-0_2"))]
            Self::Malformed => "the session's id does not have the form of this store's ids",
            Self::LimitReached => "the session's principal has as many sessions as allowed",
            Self::LongPrincipal => "the session's principal is longer than 1,024 bytes",
            #[cfg(any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15"))]
            Self::Unheard => {
                "a session was just removed by hand, and a listener that does not return hides \
                 which one"
            }
            Self::NotTaken(reason) => return write!(f, "session not taken: {reason}"),
        })
    }
}

impl core::error::Error for Refusal {}
