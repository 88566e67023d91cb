//! Why a session left.

/// Why a session left the cache; the listener's third argument.
///
/// # Examples
///
/// ```
/// use sundown::RemovalCause;
/// assert!(RemovalCause::Idle.is_timeout());
/// assert!(!RemovalCause::Evicted.is_timeout());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
#[repr(u8)]
pub enum RemovalCause {
    /// It had lived for its whole time to live. Where both deadlines fall together it is this one.
    Expired,
    /// Nobody had used it for its time to idle.
    Idle,
    /// It was the least recently used when room was needed.
    Evicted,
    /// The caller removed it.
    Removed,
    /// An insertion or an update put another session under its key.
    Replaced,
    /// [`Cache::clear`](crate::Cache::clear) took everything out.
    Cleared,
    /// The cache was closed or dropped.
    Closed,
}

impl RemovalCause {
    /// How many causes there are.
    pub(crate) const COUNT: usize = 7;
    const ALL: [Self; Self::COUNT] = [
        Self::Expired,
        Self::Idle,
        Self::Evicted,
        Self::Removed,
        Self::Replaced,
        Self::Cleared,
        Self::Closed,
    ];

    /// Whether time ended the session, rather than a caller or a lack of room.
    #[must_use]
    pub fn is_timeout(self) -> bool {
        matches!(self, Self::Expired | Self::Idle)
    }

    /// The cause as a number, for an entry's word and for counting.
    pub(crate) fn code(self) -> usize {
        self as usize
    }

    /// The cause of a number that [`code`](Self::code) gave.
    pub(crate) fn from_code(code: usize) -> Self {
        Self::ALL[code]
    }
}

/// What a full cache does with a session that needs room.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum OnFull {
    /// Evict the least recently used sessions until it fits; the default.
    #[default]
    Evict,
    /// Hand it back as [`Reason::Full`](crate::Reason::Full): nobody is logged out early.
    Reject,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_leads_back_to_its_cause() {
        for (code, cause) in RemovalCause::ALL.into_iter().enumerate() {
            assert_eq!(cause.code(), code);
            assert_eq!(RemovalCause::from_code(code), cause);
        }
    }
}
