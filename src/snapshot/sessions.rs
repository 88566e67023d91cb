//! Snapshots of [`Sessions`].
//!
//! ```text
//!   public id 16 │ digest 16 │ created 8 │ begun 8 │ authenticated 8 │ graces 1 │ { digest 16 │ end 8 } … │ rest
//! ```
//!
//! The rest is the caller's. An id is not among it: who has the file can list sessions and read what they hold,
//! and be none of them.

use core::hash::Hash;

use super::axis::{Axis, NEVER};
use super::file::Watch;
use super::frame::{Kind, take};
use super::report::{Restored, SnapshotError, Written};
use super::{Arrival, SnapshotFile, read_in, write_out};
use crate::error::BuildError;
use crate::sessions::travel::Passport;
use crate::sessions::{Builder, Sessions};

impl<P, T> Sessions<P, T>
where
    P: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    /// Writes all sessions to a file, for [`restore`](Builder::restore) in the next process. Not a use of them.
    ///
    /// `encode` makes bytes of a session's principal and data, outside every lock. What else there is of a session
    /// goes along: its public id, when it was created and authenticated, its deadlines and last use, and of its id,
    /// and of earlier ones that have a grace, the digests. All else is as with
    /// [`Cache::snapshot`](crate::Cache::snapshot).
    ///
    /// **Locking:** one shard at a time, for 128 sessions' work. **Complexity:** linear.
    ///
    /// # Errors
    ///
    /// A [`SnapshotError`] says what the disk did not do. There is no snapshot then.
    ///
    /// # Examples
    ///
    /// ```
    /// use sundown::sessions::Sessions;
    /// # let folder = std::env::temp_dir().join(format!("sundown-doc-s-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let path = folder.join("sessions");
    /// let settings = || Sessions::<u64, String>::builder().max_entries(100_000);
    /// let sessions = settings().build()?;
    /// let id = sessions.create_for(7, "phone".into())?;
    /// sessions.snapshot(&path, |user, data| serde_json::to_vec(&(user, data)))?;
    ///
    /// let (sessions, _report) = settings().restore(&path, |bytes| serde_json::from_slice(bytes))?;
    /// assert_eq!(sessions.get(&id).expect("it is back").principal(), Some(&7));
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn snapshot<B: AsRef<[u8]>, E>(
        &self,
        file: impl Into<SnapshotFile>,
        mut encode: impl FnMut(Option<&P>, &T) -> Result<B, E>,
    ) -> Result<Written, SnapshotError> {
        let watch: Watch<'_> = &|_| ();
        // One that has ended is on its way out: it is not there, rather than refused.
        let mut ended = 0;
        let written = write_out(
            self.cache(),
            (&file.into(), Kind::SESSIONS),
            |axis, _, stored, payload| {
                let Some((passport, principal, data)) = stored.passport() else {
                    ended += 1;
                    return false;
                };
                let Ok(bytes) = encode(principal, data) else { return false };
                push_passport(payload, &passport, axis);
                payload.extend_from_slice(bytes.as_ref());
                true
            },
            watch,
        )?;
        Ok(Written { refused: written.refused - ended, ..written })
    }
}

impl<P, T> Builder<P, T>
where
    P: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    /// Builds the sessions, and puts those of a [snapshot](Sessions::snapshot) in whose time is not up.
    ///
    /// Whoever has the id of one is in again. Where a principal may have fewer than it had, the oldest end, or the least
    /// recently used are refused, as [`max_per_principal`](Self::max_per_principal)
    /// says. All else is as with [`Builder::restore`](crate::Builder::restore) of a cache.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build); the file is left alone then. Whatever is wrong with the file is no error: there is no session,
    /// and [`Restored`] says why.
    ///
    /// # Examples
    ///
    /// See [`Sessions::snapshot`].
    pub fn restore<E>(
        self,
        file: impl Into<SnapshotFile>,
        mut decode: impl FnMut(&[u8]) -> Result<(Option<P>, T), E>,
    ) -> Result<(Sessions<P, T>, Restored), BuildError> {
        let sessions = self.map_cache(crate::builder::Builder::with_past).build()?;
        let admit = |Arrival { axis, payload, course, least_ns }: Arrival<'_>| {
            let Some((passport, rest)) = passport_of(payload, axis) else { return false };
            let parts = decode(rest).ok();
            parts.is_some_and(|parts| sessions.readmit(passport, parts, course, least_ns))
        };
        let clock = sessions.cache().clock();
        let restored = read_in((&file.into(), Kind::SESSIONS), clock, admit, &|_| ());
        Ok((sessions, restored))
    }
}

fn push_passport(to: &mut Vec<u8>, passport: &Passport, axis: Axis) {
    to.extend_from_slice(&passport.public);
    to.extend_from_slice(&passport.digest);
    let authenticated = passport.authenticated_ns.map_or(NEVER, |at_ns| axis.date_of(at_ns));
    for date in [axis.date_of(passport.created_ns), axis.date_of(passport.begun_ns), authenticated]
    {
        to.extend_from_slice(&date.to_le_bytes());
    }
    // Of more earlier ids than that the oldest are no use.
    let graced = passport.graced.iter().rev().take(u8::MAX.into());
    to.push(graced.len() as u8);
    for (digest, end_ns) in graced.rev() {
        to.extend_from_slice(digest);
        to.extend_from_slice(&axis.date_of(*end_ns).to_le_bytes());
    }
}

/// And what comes after it; none if it is none.
fn passport_of(mut bytes: &[u8], axis: Axis) -> Option<(Passport, &[u8])> {
    let public = take(&mut bytes)?;
    let digest = take(&mut bytes)?;
    let [created, begun, authenticated] =
        [(); 3].map(|()| take(&mut bytes).map(i64::from_le_bytes));
    let [count] = take(&mut bytes)?;
    let mut graced = Vec::with_capacity(count.into());
    for _ in 0..count {
        let digest = take(&mut bytes)?;
        graced.push((digest, axis.time_of(i64::from_le_bytes(take(&mut bytes)?))));
    }
    let authenticated = Some(authenticated?).filter(|&date| date != NEVER);
    let passport = Passport {
        public,
        digest,
        created_ns: axis.past_time_of(created?),
        begun_ns: axis.past_time_of(begun?),
        authenticated_ns: authenticated.map(|date| axis.past_time_of(date)),
        graced,
    };
    Some((passport, bytes))
}
