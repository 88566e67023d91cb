//! Warm restarts: sessions that outlive the process, in a file that is written at its end and read at the next
//! one's beginning. With the feature `snapshot`.
//!
//! ```
//! use std::time::Duration;
//! use sundown::Cache;
//! # let folder = std::env::temp_dir().join(format!("sundown-doc-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder)?;
//! # let path = folder.join("sessions");
//!
//! let settings = || Cache::builder().max_entries(100_000).time_to_idle(Duration::from_secs(1_800));
//! let sessions = settings().build()?;
//! sessions.insert(7_u64, String::from("ada"))?;
//! // At the end, when no request is under way any more:
//! sessions.snapshot(&path, |id, name| serde_json::to_vec(&(id, name)))?;
//!
//! // In the next process:
//! let (sessions, report) = settings().restore(&path, |bytes| serde_json::from_slice(bytes))?;
//! println!("{report}"); // 1 sessions restored, 0 had run out, 0 were refused
//! assert_eq!(sessions.get(&7), Some(String::from("ada")));
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Keys and values are encoded by the caller, in whatever format; the cache adds what time has made of each
//! session. With postcard, and in MessagePack, which bears that fields are added:
//!
//! ```
//! # use sundown::Cache;
//! # let folder = std::env::temp_dir().join(format!("sundown-doc-f-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder)?;
//! # let path = folder.join("sessions");
//! # let settings = || Cache::<u64, String>::builder().max_entries(100_000);
//! # let sessions = settings().build()?;
//! # sessions.insert(7, "ada".into())?;
//! sessions.snapshot(&path, |id, session| postcard::to_stdvec(&(id, session)))?;
//! let (sessions, _) = settings().restore(&path, |bytes| postcard::from_bytes(bytes))?;
//!
//! sessions.snapshot(&path, |id, session| rmp_serde::to_vec_named(&(id, session)))?;
//! let (sessions, _) = settings().restore(&path, |bytes| rmp_serde::from_slice(bytes))?;
//! assert_eq!(sessions.get(&7), Some(String::from("ada")));
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is promised
//!
//! - **Deadlines go on.** A session comes back with its last use, its time to idle and its absolute deadline,
//!   its own ones too; what the settings say by now is for new sessions. Time without a process counts, also
//!   against the time to idle. What has run out meanwhile is dropped. (A cache keeps no other birth of a session
//!   than its absolute deadline; [`Sessions`](crate::sessions::Sessions) do, and it comes back.)
//! - **A log-out is not undone.** A snapshot is restored once: before the first session is put in, the file is
//!   renamed to one that ends in `.consumed`, and the folder is synced. A crash at any moment leaves a process
//!   that restores all of it, or nothing. A snapshot that is refused is put aside as well.
//! - **All or nothing.** A file that is cut off, changed, of another version or of another kind of cache is a
//!   clean start, and so is a wall clock that shows less than when the file was written. [`Restored`] says why.
//!   No record is put in before the checksums of all have been found right.
//! - **Nobody else reads it.** The file has mode 0600, and is complete under its name or not there. With the feature
//!   `snapshot-encryption` it is encrypted with a key of the caller's.
//! - **Service goes on** while it is written: a shard is locked for 128 sessions' work, as by
//!   [`for_each`](crate::Cache::for_each), and sessions are encoded outside the locks.
//!
//! # When to write one
//!
//! At the end, after the last request. A session that is removed, used or changed after its record was written
//! comes back as it was then. So a process that goes on after a snapshot, and crashes, leaves one that brings
//! back who has logged out since: this is no backup. To write one removes an older one first.
//!
//! The `.consumed` file stays until the next one takes its place. It holds what sessions held: delete it if that is
//! too long.
//!
//! One process at a time writes or restores a file; where two restore it, one of them starts clean.
//!
//! # Sizes
//!
//! To restore takes the file's size in memory, and 16 bytes a session, until it is done.

mod axis;
mod entries;
mod file;
mod frame;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod pass;
mod report;
pub(crate) mod seal;
mod sessions;
mod writer;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod tests;

use core::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

pub use report::{CleanStart, Restored, SnapshotError, Written};

#[allow(unused_imports, reason = "for the adapters of some features")]
pub(crate) use axis::Axis;
use axis::Wall;
#[allow(unused_imports, reason = "for the adapters of some features")]
pub(crate) use frame::{Kind, take};
pub(crate) use pass::{Arrival, read_in, write_out};
use seal::Seal;

/// Where a snapshot is, and how it is written; a path is one.
///
/// # Examples
///
/// ```
/// use sundown::{Cache, snapshot::SnapshotFile};
/// let file = SnapshotFile::at("/nowhere/sessions");
/// let (cache, report) =
///     Cache::<u8, u8>::builder().max_entries(10).restore(file, |_| Err("not called"))?;
/// assert!(cache.is_empty());
/// assert_eq!(report.to_string(), "a clean start: there is no snapshot");
/// # Ok::<(), sundown::BuildError>(())
/// ```
#[derive(Clone)]
#[must_use = "it is given to what writes or restores a snapshot"]
pub struct SnapshotFile {
    path: PathBuf,
    seal: Option<Arc<dyn Seal>>,
    wall: Wall,
}

impl SnapshotFile {
    /// The snapshot at a path. Beside it are `.partial`, while it is written, and `.consumed`, once it is restored.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), seal: None, wall: Wall::System }
    }

    /// Takes the wall clock to show `time`, for tests: as the cache's clock, it then moves only when it is told to.
    pub fn as_of(mut self, time: SystemTime) -> Self {
        self.wall = Wall::at(time);
        self
    }

    /// Encrypts, and takes nothing that is not.
    #[allow(dead_code, reason = "for the cipher, which is a feature")]
    pub(crate) fn sealed(mut self, seal: Arc<dyn Seal>) -> Self {
        self.seal = Some(seal);
        self
    }
}

impl fmt::Debug for SnapshotFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotFile")
            .field("path", &self.path)
            .field("is_encrypted", &self.seal.is_some())
            .finish_non_exhaustive()
    }
}

/// Whatever names a path names a snapshot.
macro_rules! from_paths {
    ($($path:ty),*) => {
        $(
            impl From<$path> for SnapshotFile {
                fn from(path: $path) -> Self {
                    Self::at(path)
                }
            }
        )*
    };
}

from_paths!(&str, String, &Path, &PathBuf, PathBuf);

impl From<&SnapshotFile> for SnapshotFile {
    fn from(file: &SnapshotFile) -> Self {
        file.clone()
    }
}
