//! The store itself, in the words of whichever version the parent imports as `framework`.
//!
//! tower-sessions loads a session when a request first asks for it, and saves it with the response.
//! `Session::cycle_id` deletes the session at once and creates it anew with the response; `flush`
//! deletes it, and what is inserted after that is created anew as well. What follows from that is in
//! `keeper.rs`; here, records and dates are turned into its terms.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::behind::{Behind, Front};
use super::framework::SessionStore;
use super::framework::session::{Id, Record};
use super::framework::session_store::{Error, ExpiredDeletion, Result};
use super::weight::record_bytes;
use crate::adapters::anonymous::Victims;
use crate::adapters::footprint::weighed_in_bytes;
use crate::adapters::keeper::{Descent, Keeper, Kept, Principled, Saved};
use crate::adapters::lifespan::{BIRTH_KEY, Birth, RESTART, Stated, wall_ns};
use crate::adapters::merge::Pairs;
use crate::adapters::refusal::Refusal;
use crate::builder::Builder;
use crate::cache::Cache;
use crate::error::{BuildError, Reason};

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
/// # Ids
///
/// Every session lives under an id that the store has drawn itself: `create` takes none from its
/// caller, and `save` makes none live. So a planted id never becomes a session.
///
/// # Requests side by side
///
/// A save does to the session what its request has done to its copy. Where two requests load a session
/// and both save, what each has changed is kept, the later save of one name wins, and what one has
/// removed the other does not bring back.
///
/// A log-out is final. A request that has loaded the session before can neither save it nor carry it
/// over to a new id; of its data only what the request itself has put in then lives on, under an id of
/// its own. What a request has made of the session by `cycle_id` before another one logs out is logged
/// out with it.
///
/// The store remembers for this what its sessions were, in hashes, when they were last changed: for an
/// hour, of some 40,000 latest changes; and that they were deleted: for an hour, of at least as many
/// as the cache has room for. Where a request takes longer, a save for which it is not known what it would
/// overwrite fails (in a cache with a time to live).
///
/// The copies that it hands out must come back as they are, not serialized and read again: do not put
/// another cache in front of it.
///
/// # Clocks
///
/// `expiry_date` is a date on the wall clock. It is turned into a span when the session is saved,
/// and from then on the cache's clock counts: setting the wall clock does not move any deadline. A
/// date in the past ends the session; one over ten years ahead counts as ten years. A suspended
/// machine may stop that clock; see [`Clock::boottime`](crate::Clock::boottime).
///
/// # Locking
///
/// None of its own; see [`Cache`]. No call ever awaits anything: `load` takes no lock, the others
/// take the locks of a few shards, one after the other, for a short time.
///
/// # Errors
///
/// `create` and `save` fail with `Error::Backend`, and say why, where the cache does not take the
/// session: it is full and rejects, the session is too heavy, or the cache is closed. A handler that
/// calls `session.save().await?` itself can tell its user; else the middleware answers with status 500.
/// [`Stats::rejections`](crate::Stats::rejections) counts these, and with the feature `tracing` there is
/// an event for each kind, once a minute.
///
/// They fail with `Error::Decode` where the record's time of creation is corrupt. Nothing is lost by a
/// failure: a live session stays as it was, also where `cycle_id` was to give it a new id (within 10 s).
///
/// To save what has ended, by a log-out, by its time or by eviction, is no error and does nothing: had
/// the save come a moment earlier, nothing would be left of it either. `load`, `delete` and
/// `delete_expired` do not fail.
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
    pub(super) keeper: Arc<Keeper<Record>>,
    /// Where the truth is, if not in the cache.
    pub(super) behind: Option<Arc<Behind>>,
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

    /// A store in front of another one, a database for instance, which keeps the truth.
    ///
    /// A load is answered from the cache, and by the store behind if it is not there. Everything else
    /// is done there first, and then in the cache; where that fails, or the request is given up, the
    /// cache has no copy of the session any more. What a slow load has read is not put in if a save
    /// or a log-out has come meanwhile. That the cache has no room, or a session is too heavy for it, is
    /// no error. All else is as with [`new`](Self::new): own ids, final log-outs, merged saves.
    ///
    /// What ends here has ended, also by the cache's times to live and to idle, and by
    /// [`discard`](Cache::discard), [`retain`](Cache::retain) or [`clear`](Cache::clear) of
    /// [`cache`](Self::cache): it is deleted in the store behind by one of the calls that follow. A
    /// deletion that fails there is an error, and is tried again by later calls; meanwhile the session
    /// is served by none. For both timeouts to hold over restarts and evictions, birth and last use
    /// travel in the sessions' data, as `sundown.created` and `sundown.used`, in milliseconds since 1970.
    /// Uses are written to the store behind by a save, eight times in a time to idle at most; so what was
    /// evicted may end by an eighth of it too early.
    ///
    /// **One process** may be in front of a store. A second one would not hear of the first one's
    /// log-outs and changes until its own copy is gone.
    ///
    /// A write that was given up may still reach a database, after a deletion even. For an hour after
    /// it this process serves nothing of the session, and deletes what it finds of it.
    ///
    /// # Locking
    ///
    /// Saves of one session wait for each other, nothing else waits. No lock is held over an await of the
    /// store behind but that.
    ///
    /// # Errors
    ///
    /// As [`Builder::build`](crate::Builder::build). The store's calls fail as those of the store behind.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_imports!()]
    /// use std::sync::Arc;
    /// use tower_sessions::{Session, SessionStore};
    ///
    /// # pollster::block_on(async {
    /// // For want of a database.
    /// let db = SundownStore::new(Cache::builder().max_entries(100_000))?;
    /// let store = SundownStore::in_front_of(Cache::builder().max_entries(1_000), db.clone())?;
    ///
    /// let session = Session::new(None, Arc::new(store.clone()), None);
    /// session.insert("user", "ada").await?;
    /// session.save().await?;
    /// let id = session.id().unwrap();
    /// assert!(store.cache().contains_key(&id) && db.load(&id).await?.is_some());
    /// session.flush().await?;
    /// assert!(store.load(&id).await?.is_none() && db.load(&id).await?.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn in_front_of(
        builder: Builder<Id, Record>,
        behind: impl SessionStore,
    ) -> std::result::Result<Self, BuildError> {
        Self::in_front_by_wall(builder, Arc::new(behind), wall_ns)
    }

    /// The cache with the sessions, to look at its [`Stats`](crate::Stats) or to end sessions by
    /// hand.
    ///
    /// What is put into it by hand passes the store's checks by. What is removed by hand has ended for
    /// every save; only a request under way that gives it a new id carries its copy over, which it
    /// cannot after `delete`. In front of another store, what the cache does not have is an error to load while a
    /// listener that does not return hides what was removed by hand.
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
        self.keeper.sessions()
    }

    fn by_wall(
        builder: Builder<Id, Record>,
        wall: fn() -> i128,
    ) -> std::result::Result<Self, BuildError> {
        Self::by(builder, wall, None)
    }

    pub(super) fn by(
        builder: Builder<Id, Record>,
        wall: fn() -> i128,
        principled: Option<Principled<Record>>,
    ) -> std::result::Result<Self, BuildError> {
        let builder = weighed_in_bytes(builder, record_bytes);
        let keeper = Arc::new(Keeper::of(builder, wall(), principled)?);
        Ok(Self { keeper, behind: None, wall })
    }

    fn in_front_by_wall(
        builder: Builder<Id, Record>,
        db: Arc<dyn SessionStore>,
        wall: fn() -> i128,
    ) -> std::result::Result<Self, BuildError> {
        let mut builder = weighed_in_bytes(builder, record_bytes);
        let victims = Victims::of(&mut builder);
        let (builder, behind) = Behind::of(builder, db)?;
        let keeper = Arc::new(Keeper::of_copies(builder, wall(), victims)?);
        Ok(Self { keeper, behind: Some(Arc::new(behind)), wall })
    }

    fn front(&self) -> Option<Front<'_>> {
        self.behind.as_ref().map(|behind| behind.front(&self.keeper, (self.wall)()))
    }

    /// How long a session may live from now on; the one place where dates become spans.
    fn span_ns(&self, record: &Record) -> i128 {
        record.expiry_date.unix_timestamp_nanos() - (self.wall)()
    }
}

#[async_trait]
impl SessionStore for SundownStore {
    /// Puts a new session in, under an id that it draws itself and writes into the record.
    async fn create(&self, record: &mut Record) -> Result<()> {
        if let Some(front) = self.front() {
            return front.create(record).await;
        }
        let span_ns = self.span_ns(record);
        self.keeper.create(record, (&Id::default, span_ns), Descent::Copy)?;
        Ok(())
    }

    /// Does to the live session with the record's id what was done to the record since it was loaded,
    /// and lets it live until its expiry date. Does nothing if there is none.
    async fn save(&self, record: &Record) -> Result<()> {
        if let Some(front) = self.front() {
            if !front.save(record).await? {
                self.keeper.leave_out(Refusal::NotTaken(Reason::Absent));
            }
            return Ok(());
        }
        let saved = self.keeper.save(&record.id, record, self.span_ns(record), None)?;
        if saved == Saved::Gone {
            self.keeper.leave_out(Refusal::NotTaken(Reason::Absent));
        }
        Ok(())
    }

    /// A copy of a live session; a use of it.
    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        match self.front() {
            Some(front) => front.load(id).await,
            None => Ok(self.keeper.load(id)),
        }
    }

    /// Ends a session. That there is none is no error.
    async fn delete(&self, id: &Id) -> Result<()> {
        if let Some(front) = self.front() {
            return front.delete(id).await;
        }
        self.keeper.end(id);
        Ok(())
    }
}

#[async_trait]
impl ExpiredDeletion for SundownStore {
    /// Frees what has expired, now and on this thread; with a reaper's thread there is no need to.
    async fn delete_expired(&self) -> Result<()> {
        self.keeper.reap();
        if let (Some(behind), Some(front)) = (&self.behind, self.front()) {
            behind.reap();
            front.bury_some().await;
        }
        Ok(())
    }
}

impl fmt::Debug for SundownStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SundownStore")
            .field("sessions", self.keeper.sessions())
            .field("is_in_front", &self.behind.is_some())
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

impl Kept for Record {
    type Key = Id;
    type Value = serde_json::Value;

    fn set_key(&mut self, id: &Id) {
        self.id = *id;
    }

    fn with(&self, data: Pairs<serde_json::Value>) -> Self {
        Self { id: self.id, data, expiry_date: self.expiry_date }
    }

    fn pairs(&self) -> &Pairs<serde_json::Value> {
        &self.data
    }

    fn pairs_mut(&mut self) -> &mut Pairs<serde_json::Value> {
        &mut self.data
    }

    fn stated(&self) -> std::result::Result<Stated, Refusal> {
        match self.data.get(BIRTH_KEY) {
            None => Ok(Stated::Unknown),
            Some(value) if value == RESTART => Ok(Stated::Now),
            Some(value) => {
                let millis = value.as_u64().ok_or(Refusal::NoBirth)?;
                Ok(Stated::At(Birth { millis }))
            }
        }
    }

    fn mark(&mut self, birth: Birth) {
        self.data.insert(BIRTH_KEY.to_owned(), birth.millis.into());
    }
}

#[cfg(test)]
#[allow(clippy::duplicate_mod, reason = "one source, compiled against each version")]
#[path = "tests.rs"]
mod tests;

#[cfg(test)]
#[allow(clippy::duplicate_mod, reason = "one source, compiled against each version")]
#[path = "model_tests.rs"]
mod model_tests;

#[cfg(test)]
#[allow(clippy::duplicate_mod, reason = "one source, compiled against each version")]
#[path = "behind_tests.rs"]
mod behind_tests;
