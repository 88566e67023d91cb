//! The store, in the words of whichever version the parent imports as `framework`.
//!
//! tower-sessions asks a store for four things, and two of them are traps. `save` is called by
//! requests that loaded a session some time ago, so it must not bring back one that another request
//! has deleted since. `cycle_id` deletes the session at once and creates it anew with the response,
//! so what the store knew of it is gone unless it travels in the record.
//!
//! S1. As a *store*, only `create` makes a session live: `save` replaces a live one or fails. Both
//!     are one atomic call of the cache.
//! S2. As a *cache* in front of another store, `save` must also fill, and then what was deleted has
//!     to be remembered: `delete` leaves a tombstone *before* it removes, `save` looks for one
//!     *after* it has inserted and takes its insertion back, and `load` looks after it has read. So
//!     no `load` that begins after a `delete` has returned shows the session while the tombstone
//!     stands, whatever saves are under way.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::framework::SessionStore;
use super::framework::session::{Id, Record};
use super::framework::session_store::{Error, ExpiredDeletion, Result};
use super::weight::record_bytes;
use crate::adapters::footprint::weighed_in_bytes;
use crate::adapters::lifespan::{BIRTH_KEY, Birth, Lifespan, wall_ns};
use crate::adapters::refusal::Refusal;
use crate::builder::Builder;
use crate::cache::Cache;
use crate::error::BuildError;
use crate::lifetime::Lifetime;

/// A session store for tower-sessions that keeps the cache's promises: every session is gone when
/// its time is up, and its memory is back, whether or not another request comes.
///
/// A session ends at its `expiry_date`, at the cache's time to live after it was first created, or
/// when it was not loaded or saved for the cache's time to idle, whichever comes first. The time to
/// live also holds over `cycle_id`; the time of creation travels with the session's data for that,
/// under the key `sundown.created`, if the cache has a time to live.
///
/// Clones are handles of one store. Neither `Debug` nor any error prints an id or a record.
///
/// # Clocks
///
/// `expiry_date` is a date on the wall clock. It is turned into a span when the session is saved,
/// and from then on the cache's clock counts: setting the wall clock does not move any deadline. A
/// suspended machine may stop that clock; see [`Clock::boottime`](crate::Clock::boottime).
///
/// # Locking
///
/// None of its own; see [`Cache`]. No call ever awaits anything: `load` takes no lock, the others
/// take the lock of one shard for a short time.
///
/// # Errors
///
/// `create` and `save` fail with `Error::Backend`, and say why, where
///
/// - the expiry date has passed, or lies over ten years ahead;
/// - the cache's time to live has passed since the session was first created;
/// - the cache does not take the session: too heavy, full and rejecting, or closed;
/// - `save` would bring a session back that has ended (deleted, expired or evicted).
///
/// They fail with `Error::Decode` where the record's time of creation is corrupt. Nothing is lost
/// by a failure: a live session stays as it was, unless the date or the time to live says that it
/// has ended. `load` and `delete_expired` do not fail; `delete` does not either, but where a
/// [cache](Self::caching) has no room to note the deletion down, and then the session is gone.
///
/// A request that fails to save because its session was deleted meanwhile is answered by the
/// middleware with status 500; that is the price of not logging the user in again.
///
/// # Examples
///
/// With axum, `SessionManagerLayer::new(store)` is all there is to add.
///
/// ```
#[doc = example_imports!()]
/// use std::{sync::Arc, time::Duration};
/// use tower_sessions::Session;
///
/// # pollster::block_on(async {
/// let store = SundownStore::new(
///     Cache::builder()
///         .max_entries(100_000)
///         .time_to_live(Duration::from_secs(8 * 3600)), // also over `cycle_id`
/// )?;
/// let session = Session::new(None, Arc::new(store.clone()), None);
/// session.insert("user", "ada").await?;
/// session.save().await?;
/// assert_eq!(store.cache().len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct SundownStore {
    sessions: Cache<Id, Record>,
    /// What was deleted lately, where others may bring it back (S2).
    tombstones: Option<Cache<Id, ()>>,
    lifespan: Arc<Lifespan>,
    /// The wall clock, in nanoseconds since 1970.
    wall: fn() -> i128,
}

impl SundownStore {
    /// A store on a cache of its own: what to give to the session layer.
    ///
    /// Whatever the builder can do is there, such as an
    /// [`on_removal`](crate::Builder::on_removal) that sees each session end. With a
    /// [`max_weight`](crate::Builder::max_weight) and no weigher, the weight is in bytes: the id's,
    /// the record's by [`record_bytes`], and the cache's own
    /// [for it](crate::Builder::count_overhead).
    ///
    /// # Errors
    ///
    /// As [`Builder::build`](crate::Builder::build).
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_imports!()]
    /// use tower_sessions::{SessionStore, session::Id};
    ///
    /// # pollster::block_on(async {
    /// let store = SundownStore::new(Cache::builder().max_entries(100_000))?;
    /// assert_eq!(store.load(&Id::default()).await?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn new(builder: Builder<Id, Record>) -> std::result::Result<Self, BuildError> {
        Self::by_wall(builder, wall_ns)
    }

    /// A cache in front of another store: what to give to `CachingSessionStore` as its first part.
    ///
    /// Here `save` also takes sessions in that it does not know, for so the sessions of the store
    /// behind come in. For an hour after it has deleted a session it does not take it back, so that
    /// a request which loaded it before cannot: such a `save` fails. It remembers the last 65,536
    /// deletions, in a second cache with a reaper like the first one's. A session that the cache
    /// refuses is not left in it as it was before, for the store behind may have it by then.
    ///
    /// # Errors
    ///
    /// As [`Builder::build`](crate::Builder::build).
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_imports!()]
    /// use std::sync::Arc;
    /// use tower_sessions::{CachingSessionStore, Session};
    ///
    /// # pollster::block_on(async {
    /// // The second part would be a database.
    /// let behind = SundownStore::new(Cache::builder().max_entries(100_000))?;
    /// let cache = SundownStore::caching(Cache::builder().max_entries(1_000))?;
    /// let store = CachingSessionStore::new(cache.clone(), behind);
    ///
    /// let session = Session::new(None, Arc::new(store), None);
    /// session.insert("user", "ada").await?;
    /// session.save().await?;
    /// assert_eq!(cache.cache().len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn caching(builder: Builder<Id, Record>) -> std::result::Result<Self, BuildError> {
        let tombstones = Cache::builder()
            .max_entries(MOST_TOMBSTONES)
            .time_to_live(TOMBSTONE_AGE)
            .clock(builder.clock.clone())
            .reaper(builder.reaper)
            .build()?;
        Ok(Self { tombstones: Some(tombstones), ..Self::new(builder)? })
    }

    /// The cache with the sessions, to look at its [`Stats`](crate::Stats) or to end sessions by
    /// hand.
    ///
    /// What is put into it by hand passes the store's checks by.
    ///
    /// # Examples
    ///
    /// Logging everybody out whose session says so:
    ///
    /// ```
    #[doc = example_imports!()]
    /// let store = SundownStore::new(Cache::builder().max_entries(100_000))?;
    /// let ended = store.cache().retain(|_, record| record.data.get("user") != Some(&"ada".into()));
    /// assert_eq!(ended, 0);
    /// # Ok::<(), sundown::BuildError>(())
    /// ```
    #[must_use]
    pub fn cache(&self) -> &Cache<Id, Record> {
        &self.sessions
    }

    fn by_wall(
        builder: Builder<Id, Record>,
        wall: fn() -> i128,
    ) -> std::result::Result<Self, BuildError> {
        let builder = weighed_in_bytes(builder, record_bytes);
        let lifespan = Arc::new(Lifespan::of(&builder, wall())?);
        Ok(Self { sessions: builder.build()?, tombstones: None, lifespan, wall })
    }

    fn put_new(&self, record: &mut Record) -> std::result::Result<(), Refusal> {
        let birth = self.lifespan.birth(birth_of(record)?);
        let lifetime = self.lifetime(record, birth)?;
        let mut fresh = born_at(record, birth);
        for _ in 0..MOST_IDS {
            let id = fresh.id;
            match self.sessions.insert_if_absent(id, fresh, lifetime) {
                Ok(()) => {
                    self.keep_buried(&id)?;
                    record.id = id;
                    mark(record, birth);
                    return Ok(());
                }
                Err(rejected) => {
                    let refusal = Refusal::from(&rejected);
                    // The store behind a cache has settled on the id: another one would be of use
                    // to nobody.
                    if refusal != Refusal::Taken || self.tombstones.is_some() {
                        return Err(refusal);
                    }
                    fresh = rejected.into_parts().1;
                    fresh.id = Id::default();
                }
            }
        }
        Err(Refusal::Taken)
    }

    fn put_again(&self, record: &Record) -> std::result::Result<(), Refusal> {
        let put = self.try_put_again(record);
        let is_over = matches!(put, Err(Refusal::Past | Refusal::LivedOut));
        // What the store behind a cache has by now must not be hidden by what the cache had.
        if is_over || (put.is_err() && self.tombstones.is_some()) {
            self.sessions.discard(&record.id);
        }
        put
    }

    fn try_put_again(&self, record: &Record) -> std::result::Result<(), Refusal> {
        let known = self.sessions.read(&record.id, birth_of);
        if known.is_none() && self.tombstones.is_none() {
            return Err(Refusal::Ended);
        }
        let known = known.transpose()?.flatten();
        let birth = self.lifespan.birth(birth_of(record)?.into_iter().chain(known));
        let lifetime = self.lifetime(record, birth)?;
        self.put(born_at(record, birth), lifetime)
    }

    /// How long a session may live from now on; the one place where dates become spans.
    fn lifetime(
        &self,
        record: &Record,
        birth: Option<Birth>,
    ) -> std::result::Result<Lifetime, Refusal> {
        let date_ns = record.expiry_date.unix_timestamp_nanos();
        self.lifespan.lasting(date_ns - (self.wall)(), birth)
    }

    fn put(&self, fresh: Record, lifetime: Lifetime) -> std::result::Result<(), Refusal> {
        let id = fresh.id;
        let put = match self.tombstones {
            None => self.sessions.replace(id, fresh, lifetime),
            Some(_) => self.sessions.insert_for(id, fresh, lifetime),
        };
        put.map_err(|rejected| Refusal::from(&rejected))?;
        self.keep_buried(&id)
    }

    /// Takes a session out again that was put in after it had been deleted (S2).
    fn keep_buried(&self, id: &Id) -> std::result::Result<(), Refusal> {
        if self.is_buried(id) {
            self.sessions.discard(id);
            return Err(Refusal::Ended);
        }
        Ok(())
    }

    fn is_buried(&self, id: &Id) -> bool {
        self.tombstones.as_ref().is_some_and(|tombstones| tombstones.contains_key(id))
    }
}

#[async_trait]
impl SessionStore for SundownStore {
    /// Puts a new session in, under another id if its own is a live session's; never over one.
    ///
    /// As a [cache](SundownStore::caching) it fails then, for the id has been settled on.
    async fn create(&self, record: &mut Record) -> Result<()> {
        self.put_new(record).map_err(Error::from)
    }

    /// Puts a session in place of the live one with its id, and lets it live until its expiry date.
    ///
    /// Fails if there is none. As a [cache](SundownStore::caching) it takes the session in then,
    /// unless it has been deleted.
    async fn save(&self, record: &Record) -> Result<()> {
        self.put_again(record).map_err(Error::from)
    }

    /// A copy of a live session; a use of it.
    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        let record = self.sessions.read(id, Record::clone);
        Ok(record.filter(|_| !self.is_buried(id)))
    }

    /// Ends a session. That there is none is no error.
    async fn delete(&self, id: &Id) -> Result<()> {
        let buried = match &self.tombstones {
            Some(tombstones) => tombstones.insert(*id, ()),
            None => Ok(()),
        };
        self.sessions.discard(id);
        buried.map_err(|rejected| Refusal::from(&rejected).into())
    }
}

#[async_trait]
impl ExpiredDeletion for SundownStore {
    /// Frees what has expired, now and on this thread; with a reaper's thread there is no need to.
    async fn delete_expired(&self) -> Result<()> {
        self.sessions.reap();
        if let Some(tombstones) = &self.tombstones {
            tombstones.reap();
        }
        Ok(())
    }
}

impl fmt::Debug for SundownStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SundownStore")
            .field("sessions", &self.sessions)
            .field("is_cache", &self.tombstones.is_some())
            .finish_non_exhaustive()
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoBirth => Self::Decode(refusal.to_string()),
            _ => Self::Backend(refusal.to_string()),
        }
    }
}

/// When the session was first created, if its record knows.
fn birth_of(record: &Record) -> std::result::Result<Option<Birth>, Refusal> {
    let Some(value) = record.data.get(BIRTH_KEY) else { return Ok(None) };
    let millis = value.as_u64().ok_or(Refusal::NoBirth)?;
    Ok(Some(Birth { millis }))
}

fn mark(record: &mut Record, birth: Option<Birth>) {
    if let Some(birth) = birth {
        record.data.insert(BIRTH_KEY.to_owned(), birth.millis.into());
    }
}

fn born_at(record: &Record, birth: Option<Birth>) -> Record {
    let mut fresh = record.clone();
    mark(&mut fresh, birth);
    fresh
}

/// So many ids in a row that are all taken are no accident.
const MOST_IDS: usize = 8;

/// How many deletions a cache remembers: about 8 MB of them at most.
const MOST_TOMBSTONES: usize = 65_536;

/// How long a cache remembers a deletion: longer than any request should take.
const TOMBSTONE_AGE: Duration = Duration::from_secs(3_600);

#[cfg(test)]
#[allow(clippy::duplicate_mod, reason = "one source, compiled against each version")]
#[path = "tests.rs"]
mod tests;
