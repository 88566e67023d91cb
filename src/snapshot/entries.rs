//! Snapshots of a cache's entries.

use std::hash::{BuildHasher, Hash};

use super::axis::{Axis, PAST_NS};
use super::file::Watch;
use super::frame::Kind;
use super::report::{Restored, SnapshotError, Written};
use super::{Arrival, SnapshotFile, read_in, write_out};
use crate::builder::Builder;
use crate::cache::Cache;
use crate::error::BuildError;

impl<K, V, S> Cache<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    /// Writes all sessions to a file, for [`restore`](Builder::restore) in the next process. Not a use of them.
    ///
    /// `encode` makes bytes of a key and a value, outside every lock. A session of which it makes an error is left
    /// out, and counted. What changes or leaves while the file is written, or after, may be in it as it was: see
    /// [when to write one](crate::snapshot#when-to-write-one). Blocks for as long as the disk takes: in an async
    /// service, call it inside `spawn_blocking`.
    ///
    /// **Locking:** one shard at a time, for 128 sessions' work. **Complexity:** linear.
    ///
    /// # Errors
    ///
    /// A [`SnapshotError`] says what the disk did not do. There is no snapshot then.
    ///
    /// # Panics
    ///
    /// If `encode` does; there is no snapshot then.
    ///
    /// # Examples
    ///
    /// See [`snapshot`](crate::snapshot).
    pub fn snapshot<B: AsRef<[u8]>, E>(
        &self,
        file: impl Into<SnapshotFile>,
        encode: impl FnMut(&K, &V) -> Result<B, E>,
    ) -> Result<Written, SnapshotError> {
        self.snapshot_watched(&file.into(), encode, &|_| ())
    }

    pub(super) fn snapshot_watched<B: AsRef<[u8]>, E>(
        &self,
        file: &SnapshotFile,
        mut encode: impl FnMut(&K, &V) -> Result<B, E>,
        watch: Watch<'_>,
    ) -> Result<Written, SnapshotError> {
        let encode = |_: Axis, key: &K, value: &V, payload: &mut Vec<u8>| {
            let bytes = encode(key, value);
            bytes.map(|bytes| payload.extend_from_slice(bytes.as_ref())).is_ok()
        };
        write_out(self, (file, Kind::ENTRIES), encode, watch)
    }
}

impl<K, V, S> Builder<K, V, S> {
    /// The clock of a cache that may have sessions from before its process.
    pub(crate) fn with_past(mut self) -> Self {
        self.clock = self.clock.with_past(PAST_NS);
        self
    }
}

impl<K, V, S> Builder<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    /// Builds the cache, and puts the sessions of a [snapshot](Cache::snapshot) in whose time is not up.
    ///
    /// They keep their lifetimes and last uses, and count as insertions. Where there is no room for all, the most
    /// recently used are taken, and nobody is evicted. The file is put aside before the first
    /// one comes in, so that it is restored once; see [what is promised](crate::snapshot#what-is-promised). If `decode`
    /// makes an error of a session's bytes, it is left out, and counted.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build); the file is left alone then. Whatever is wrong with the file is no error: the cache is empty,
    /// and [`Restored`] says why.
    ///
    /// # Panics
    ///
    /// If `decode` does, or what an insertion calls; the file has been put aside then.
    ///
    /// # Examples
    ///
    /// See [`snapshot`](crate::snapshot).
    pub fn restore<E>(
        self,
        file: impl Into<SnapshotFile>,
        decode: impl FnMut(&[u8]) -> Result<(K, V), E>,
    ) -> Result<(Cache<K, V, S>, Restored), BuildError> {
        self.restore_watched(&file.into(), decode, &|_| ())
    }

    pub(super) fn restore_watched<E>(
        self,
        file: &SnapshotFile,
        mut decode: impl FnMut(&[u8]) -> Result<(K, V), E>,
        watch: Watch<'_>,
    ) -> Result<(Cache<K, V, S>, Restored), BuildError> {
        let cache = self.with_past().build()?;
        let admit = |Arrival { payload, course, least_ns, .. }: Arrival<'_>| {
            let entry = decode(payload).ok();
            entry.is_some_and(|entry| cache.readmit(entry, course, least_ns).is_ok())
        };
        let restored = read_in((file, Kind::ENTRIES), cache.clock(), admit, watch);
        Ok((cache, restored))
    }
}
