//! The steps on the disk, in the order that a crash between any two of them is harmless in.
//!
//! Writing: an older snapshot goes first, for who has logged out since would come back with it; then the new one
//! is written aside, synced, renamed and the folder synced. So there is the new one, whole, or none.
//!
//! Reading: the file is read and checked, and then *consumed*: renamed and the folder synced. Only what was
//! consumed is admitted.
//!
//! D1. Whatever is admitted can never be read again under the snapshot's name, also after a crash or a power
//!     failure. A snapshot that is refused is consumed as well: a clock that is set right, or a key that is found,
//!     must not bring it back later.
//! D2. What was consumed is the file that was read, and no other one that was put there meanwhile.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use super::report::{CleanStart, SnapshotError};

/// What is about to be done. Tests stop there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    RemoveOld,
    Create,
    Write,
    Sync,
    Rename,
    SyncFolder,
    Read,
    Consume,
    SyncConsumed,
    Admit,
    Done,
}

/// Is told of each step.
pub(crate) type Watch<'w> = &'w dyn Fn(Step);

/// A snapshot that is being written aside, and is removed unless it is published.
pub(super) struct Aside<'p> {
    path: &'p Path,
    aside: PathBuf,
    is_published: bool,
}

impl<'p> Aside<'p> {
    /// Removes an older snapshot, and begins a new one that only its owner can read.
    pub(super) fn create(path: &'p Path, watch: Watch<'_>) -> Result<(Self, File), SnapshotError> {
        watch(Step::RemoveOld);
        let told = |doing| move |error| SnapshotError::new(doing, error);
        if remove_if_there(path).map_err(told("begun: an older one stays"))? {
            sync_folder_of(path).map_err(told("begun: an older one may stay"))?;
        }
        watch(Step::Create);
        let aside = with_suffix(path, ".partial");
        remove_if_there(&aside).map_err(told("begun: the remains of another one stay"))?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&aside).map_err(told("created"))?;
        Ok((Self { path, aside, is_published: false }, file))
    }

    /// Makes what was written the snapshot.
    pub(super) fn publish(mut self, file: &File, watch: Watch<'_>) -> Result<(), SnapshotError> {
        let told = |doing| move |error| SnapshotError::new(doing, error);
        watch(Step::Sync);
        file.sync_all().map_err(told("synced"))?;
        watch(Step::Rename);
        fs::rename(&self.aside, self.path).map_err(told("renamed"))?;
        self.is_published = true;
        watch(Step::SyncFolder);
        sync_folder_of(self.path).map_err(told("synced"))?;
        watch(Step::Done);
        Ok(())
    }
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        if !self.is_published {
            let _gone = remove_if_there(&self.aside);
        }
    }
}

/// All of a snapshot's bytes, and which file they are of.
pub(super) struct Loaded {
    pub(super) bytes: Vec<u8>,
    pub(super) identity: Identity,
}

/// Reads a snapshot; it stays where it is.
pub(super) fn load(path: &Path, watch: Watch<'_>) -> Result<Loaded, CleanStart> {
    watch(Step::Read);
    let read = || {
        // Opened only if it is a file: a pipe would be waited for.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
        file.read_to_end(&mut bytes)?;
        Ok(Loaded { bytes, identity: identity_of(&metadata) })
    };
    read().map_err(|error: io::Error| match error.kind() {
        ErrorKind::NotFound => CleanStart::NoFile,
        _ => CleanStart::Unreadable(error),
    })
}

/// Renames a snapshot for good (D1), whichever it is; says why nothing that was `read` may be admitted, if so.
pub(super) fn consume(
    path: &Path,
    read: Option<Identity>,
    watch: Watch<'_>,
) -> Result<(), CleanStart> {
    watch(Step::Consume);
    let consumed = with_suffix(path, ".consumed");
    let rename = || {
        fs::rename(path, &consumed)?;
        watch(Step::SyncConsumed);
        sync_folder_of(path)?;
        fs::metadata(&consumed)
    };
    let metadata = rename().map_err(|error| match error.kind() {
        // It was there a moment ago.
        ErrorKind::NotFound => CleanStart::Overtaken,
        _ => CleanStart::NotConsumed(error),
    })?;
    match read {
        Some(read) if read != identity_of(&metadata) => Err(CleanStart::Overtaken),
        _ => Ok(()),
    }
}

/// Whether there was one.
fn remove_if_there(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Names are on the disk when their folder is.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    // Elsewhere folders are not opened, and renaming is up to the file system.
    if cfg!(unix) { File::open(folder.unwrap_or(Path::new(".")))?.sync_all() } else { Ok(()) }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

#[cfg(unix)]
pub(super) type Identity = (u64, u64);

#[cfg(unix)]
fn identity_of(metadata: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.dev(), metadata.ino())
}

/// As good as the standard library has it.
#[cfg(not(unix))]
pub(super) type Identity = (u64, Option<std::time::SystemTime>);

#[cfg(not(unix))]
fn identity_of(metadata: &Metadata) -> Identity {
    (metadata.len(), metadata.modified().ok())
}
