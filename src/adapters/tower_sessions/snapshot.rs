//! Snapshots of a store, in the words of whichever version the parent imports as `framework`.
//!
//! ```text
//!   id 16 │ expiry date 16 │ whose 1 │ public id 16 │ created 8 │ logged in 8 │ data, as JSON
//! ```
//!
//! Without a principal the three after `whose` are missing.

use std::io;

use time::OffsetDateTime;

use super::framework::session::{Id, Record};
use super::principals::StoreBuilder;
use super::store::SundownStore;
use crate::adapters::roster::travel::{Passport, Standing};
use crate::error::BuildError;
use crate::sessions::PublicId;
use crate::snapshot::{
    Arrival, Axis, Kind, Restored, SnapshotError, SnapshotFile, Written, read_in, take, write_out,
};

impl SundownStore {
    /// Writes all sessions to a file, for [`restore`](StoreBuilder::restore) in the next process. Not a use of them.
    ///
    /// Call it at the end, when no request is under way any more: see
    /// [when to write one](crate::snapshot#when-to-write-one). Blocks for as long as the disk takes: call it
    /// inside `spawn_blocking`. tower-sessions knows a session by the id that its client has, so **the file
    /// holds ids that log in**: keep it where only the service reads, or encrypt it, with the feature
    /// `snapshot-encryption`.
    ///
    /// **Locking:** one shard at a time, for 128 sessions' work. **Complexity:** linear.
    ///
    /// # Errors
    ///
    /// A [`SnapshotError`] says what the disk did not do. There is no snapshot then. A store
    /// [in front of](Self::in_front_of) another one has none: that one keeps its sessions.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_imports!()]
    /// use std::sync::Arc;
    /// use tower_sessions::{Session, SessionStore};
    ///
    /// # let folder = std::env::temp_dir().join(format!(concat!("sundown-doc-", module_path!(), "-{}"), std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let path = folder.join("sessions");
    /// # pollster::block_on(async {
    /// let settings = || SundownStore::builder(Cache::builder().max_entries(100_000));
    /// let store = settings().build()?;
    /// let session = Session::new(None, Arc::new(store.clone()), None);
    /// session.insert("user", "ada").await?;
    /// session.save().await?;
    /// store.snapshot(&path)?;
    ///
    /// let (store, report) = settings().restore(&path)?;
    /// assert_eq!(report.admitted, 1);
    /// let record = store.load(&session.id().unwrap()).await?.unwrap();
    /// assert_eq!(record.data["user"], "ada");
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn snapshot(&self, file: impl Into<SnapshotFile>) -> Result<Written, SnapshotError> {
        if self.behind.is_some() {
            let error = io::Error::from(io::ErrorKind::Unsupported);
            return Err(SnapshotError::new("written: the store behind keeps the sessions", error));
        }
        let mut left = 0;
        let encode = |axis: Axis, id: &Id, record: &Record, payload: &mut Vec<u8>| {
            let passport = match self.keeper.standing(id, record) {
                Standing::Nobodys => None,
                Standing::A(passport) => Some(passport),
                Standing::Unsettled => {
                    left += 1;
                    return false;
                }
            };
            payload.extend_from_slice(&id.0.to_le_bytes());
            let expiry_ns = record.expiry_date.unix_timestamp_nanos();
            payload.extend_from_slice(&expiry_ns.to_le_bytes());
            payload.push(passport.is_some().into());
            if let Some(Passport { public, created_ns, begun_ns }) = passport {
                payload.extend_from_slice(&public.bytes());
                for at_ns in [created_ns, begun_ns] {
                    payload.extend_from_slice(&axis.date_of(at_ns).to_le_bytes());
                }
            }
            serde_json::to_writer(payload, &record.data).is_ok()
        };
        let file = (&file.into(), Kind::TOWER_SESSIONS);
        let written = write_out(self.cache(), file, encode, &|_| ())?;
        Ok(Written { refused: written.refused - left, ..written })
    }
}

impl StoreBuilder<Id, Record, SundownStore> {
    /// Makes the store, and puts the sessions of a [snapshot](SundownStore::snapshot) in whose time is not up.
    ///
    /// They keep their ids, data, deadlines, last uses and births, and where the store knows whose they are,
    /// their public ids and the times of their log-ins. Where there is no room for all, the most recently used
    /// are taken, and nobody is evicted. The file is put aside before the first one comes in, so that it is restored
    /// once; see [what is promised](crate::snapshot#what-is-promised).
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build); the file is left alone then. Whatever is wrong with the file is no error: there is no session,
    /// and [`Restored`] says why.
    ///
    /// # Examples
    ///
    /// See [`SundownStore::snapshot`].
    pub fn restore(
        mut self,
        file: impl Into<SnapshotFile>,
    ) -> Result<(SundownStore, Restored), BuildError> {
        self.cache = self.cache.with_past();
        let store = self.build()?;
        let admit = |Arrival { axis, payload, course, least_ns }: Arrival<'_>| {
            record_of(payload, axis).is_some_and(|(record, passport)| {
                store.keeper.readmit((&record.id.clone(), record, passport), course, least_ns)
            })
        };
        let file = (&file.into(), Kind::TOWER_SESSIONS);
        let restored = read_in(file, store.cache().clock(), admit, &|_| ());
        Ok((store, restored))
    }
}

fn record_of(mut bytes: &[u8], axis: Axis) -> Option<(Record, Option<Passport>)> {
    let id = Id(i128::from_le_bytes(take(&mut bytes)?));
    let expiry_ns = i128::from_le_bytes(take(&mut bytes)?);
    let expiry_date = OffsetDateTime::from_unix_timestamp_nanos(expiry_ns).ok()?;
    let passport = match take(&mut bytes)? {
        [0] => None,
        _ => Some(Passport {
            public: PublicId::of_bytes(take(&mut bytes)?),
            created_ns: axis.past_time_of(i64::from_le_bytes(take(&mut bytes)?)),
            begun_ns: axis.past_time_of(i64::from_le_bytes(take(&mut bytes)?)),
        }),
    };
    let data = serde_json::from_slice(bytes).ok()?;
    Some((Record { id, data, expiry_date }, passport))
}

#[cfg(test)]
#[allow(clippy::duplicate_mod, reason = "one source, compiled against each version")]
#[path = "snapshot_tests.rs"]
mod snapshot_tests;
