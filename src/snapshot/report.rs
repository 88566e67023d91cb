//! What became of a snapshot, in words for a log.

use core::fmt;
use core::time::Duration;
use std::io;

/// A snapshot that was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Written {
    /// How many sessions it has.
    pub sessions: u64,
    /// How many it lacks, for they could not be encoded.
    pub refused: u64,
    /// How large the file is.
    pub bytes: u64,
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sessions, refused, bytes } = self;
        write!(f, "{sessions} sessions written, {refused} not to be encoded, {bytes} bytes")
    }
}

/// What was restored, or why nothing was.
///
/// `Display` is one line for the log.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Restored {
    /// How many sessions were put in.
    pub admitted: u64,
    /// How many had run out meanwhile, also by not being used.
    pub expired: u64,
    /// How many could not be decoded, or the cache had no room for.
    pub refused: u64,
    /// Why there is no session, if that is for a reason.
    pub clean_start: Option<CleanStart>,
}

impl Restored {
    pub(super) fn nothing(why: CleanStart) -> Self {
        Self { clean_start: Some(why), ..Self::default() }
    }
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { admitted, expired, refused, clean_start } = self;
        match clean_start {
            Some(why) => write!(f, "a clean start: {why}"),
            None => write!(
                f,
                "{admitted} sessions restored, {expired} had run out, {refused} were refused"
            ),
        }
    }
}

/// Why a cache was restored without a session.
#[derive(Debug)]
#[non_exhaustive]
pub enum CleanStart {
    /// There is no snapshot: the process before was killed, or it was restored already.
    NoFile,
    /// It cannot be read.
    Unreadable(io::Error),
    /// The file is something else.
    NotASnapshot,
    /// It is of another version of the format.
    Version(u32),
    /// It is of another kind of cache: of [`Sessions`](crate::sessions::Sessions), or of a store.
    Kind,
    /// A part of it is missing, or not what was written.
    Damaged,
    /// It is encrypted, and no key was given.
    Encrypted,
    /// It is not encrypted, and a key was given: anyone may have written it.
    NotEncrypted,
    /// It was encrypted with another key, or changed since.
    NotDecrypted,
    /// The wall clock went back by at least so much since: what had run out is not known.
    ClockWentBack(Duration),
    /// It could not be put aside first, and so would be restored once more.
    NotConsumed(io::Error),
    /// Another process has written or restored it at the same time.
    Overtaken,
}

impl fmt::Display for CleanStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFile => f.write_str("there is no snapshot"),
            Self::Unreadable(error) => write!(f, "the snapshot cannot be read: {error}"),
            Self::NotASnapshot => f.write_str("the file is no snapshot"),
            Self::Version(version) => {
                write!(f, "the snapshot is of version {version}, which this one does not read")
            }
            Self::Kind => f.write_str("the snapshot is of another kind of cache"),
            Self::Damaged => f.write_str("the snapshot is damaged or cut off"),
            Self::Encrypted => f.write_str("the snapshot is encrypted, and there is no key"),
            Self::NotEncrypted => f.write_str("the snapshot is not encrypted, as it should be"),
            Self::NotDecrypted => f.write_str("the snapshot is of another key, or was changed"),
            Self::ClockWentBack(by) => write!(f, "the wall clock went back by {by:?}"),
            Self::NotConsumed(error) => write!(f, "the snapshot cannot be put aside: {error}"),
            Self::Overtaken => f.write_str("another process is at the same snapshot"),
        }
    }
}

impl core::error::Error for CleanStart {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Unreadable(source) | Self::NotConsumed(source) => Some(source),
            _ => None,
        }
    }
}

/// A snapshot that was not written; there is none then, and no older one either.
#[derive(Debug)]
pub struct SnapshotError {
    doing: &'static str,
    source: io::Error,
}

impl SnapshotError {
    pub(crate) fn new(doing: &'static str, source: io::Error) -> Self {
        Self { doing, source }
    }
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the snapshot could not be {}", self.doing)
    }
}

impl core::error::Error for SnapshotError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.source)
    }
}
