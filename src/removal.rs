//! Why a session left.

use crate::platform::clock::MILLI_NS;

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
    /// By code; one more, so that three bits always lead to one.
    const ALL: [Self; Self::COUNT + 1] = [
        Self::Expired,
        Self::Idle,
        Self::Evicted,
        Self::Removed,
        Self::Replaced,
        Self::Cleared,
        Self::Closed,
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

/// Why a session left and, where it is asked for, when: what an unlinked entry carries in 32 bits.
///
/// The time is in milliseconds, of which the upper bits are lost: a session that has been retired for
/// longer than [`MOST_MS`](Self::MOST_MS) seems to have left later than it did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Exit(u32);

impl Exit {
    const CAUSE_BITS: u32 = 3;
    /// Six days.
    const MOST_MS: u32 = u32::MAX >> Self::CAUSE_BITS;

    pub(crate) fn by(cause: RemovalCause) -> Self {
        Self(cause.code() as u32)
    }

    pub(crate) fn at(self, now_ns: u64) -> Self {
        let now_ms = (now_ns / MILLI_NS) as u32 & Self::MOST_MS;
        Self(self.code() as u32 | now_ms << Self::CAUSE_BITS)
    }

    fn code(self) -> usize {
        self.0 as usize & ((1 << Self::CAUSE_BITS) - 1)
    }

    #[inline]
    pub(crate) fn cause(self) -> RemovalCause {
        RemovalCause::from_code(self.code())
    }

    /// When it was, to the millisecond before; what [`at`](Self::at) was told no later than `now_ns`.
    pub(crate) fn left_ns(self, now_ns: u64) -> u64 {
        let now_ms = now_ns / MILLI_NS;
        let ago_ms = (now_ms as u32).wrapping_sub(self.0 >> Self::CAUSE_BITS) & Self::MOST_MS;
        now_ms.saturating_sub(ago_ms.into()) * MILLI_NS
    }

    pub(crate) fn raw(self) -> u32 {
        self.0
    }

    pub(crate) fn from_raw(raw: u32) -> Self {
        Self(raw)
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
        for (code, cause) in RemovalCause::ALL.into_iter().take(RemovalCause::COUNT).enumerate() {
            assert_eq!(cause.code(), code);
            assert_eq!(RemovalCause::from_code(code), cause);
        }
    }

    #[test]
    fn an_exit_tells_cause_and_time_for_six_days() {
        for (cause, at_ms) in [(RemovalCause::Idle, 0), (RemovalCause::Closed, 5_000_000_123)] {
            let exit = Exit::by(cause).at(at_ms * MILLI_NS + 999_999);
            let exit = Exit::from_raw(exit.raw());
            for later_ms in [1, 60_000, u64::from(Exit::MOST_MS)] {
                let now_ns = (at_ms + later_ms) * MILLI_NS;
                assert_eq!((exit.cause(), exit.left_ns(now_ns)), (cause, at_ms * MILLI_NS));
            }
        }
    }
}
