//! The store of a fleet, in the words of whichever version the parent imports as `framework`.
//!
//! The sessions and all that is atomic about them are in [`fleet`](crate::fleet); here, records are turned into
//! its terms. A request loads a record, changes it and saves it, and nothing in it says what it was loaded as.
//! So each load hands out a map with a hasher of its own, and the hasher's fingerprint names the load
//! (`descent.rs`).
//!
//! C1. A save does to the session what its request did to its copy (`merge.rs`), by compare-and-set. Where it is
//!     not known any more what was loaded, the save is refused.
//! C2. What is created from a copy of a session that this instance has deleted, once and while it was live,
//!     takes that session's place. What is created from a copy of one that another request has ended takes
//!     along only what its own request has put in.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::framework::SessionStore;
use super::framework::session::{Id, Record};
use super::framework::session_store::{Error, Result};
use super::shared::{Data, Shared, codec, key_of};
use super::store::SundownStore;
use crate::adapters::descent::{MEMORY_AGE, Revision, renewed};
use crate::adapters::lifespan::{BIRTH_KEY, RESTART, wall_ns};
use crate::adapters::merge::{Digest, Merger};
use crate::adapters::setup::device_methods;
use crate::builder::Builder;
use crate::cache::Cache;
use crate::error::BuildError;
use crate::fleet::{
    Backend, Draft, Error as FleetError, Key, Loaded, Revision as FleetRevision, Tiered,
    TieredOptions,
};
use crate::lifetime::{LONGEST, Lifetime};
use crate::memory::GiveBack;
use crate::platform::clock::NEVER_NS;

type PrincipalOf = dyn Fn(&Record) -> Option<String> + Send + Sync;

/// A session store for tower-sessions whose sessions several processes share; made by
/// [`SundownStore::tiered`].
///
/// Sessions are in the backend and, while they are in use, in a cache of each instance. What one instance saves
/// or ends all others know within milliseconds; see [`fleet`](crate::fleet) for what holds when the backend fails.
/// Ids are drawn by the store; the backend sees hashes of them alone.
///
/// A save does to the session what its request has done to its copy, on whichever instance others change it
/// beside. It fails where the session was loaded more than an hour or 100,000 loads ago. A log-out is final.
///
/// Clones are handles of one store. Neither `Debug` nor any error prints an id or a record.
#[derive(Clone)]
pub struct TieredStore {
    tiered: Tiered<Shared>,
    /// What copies were loaded as, by fingerprint.
    bases: Cache<Revision, Base>,
    /// How often sessions were deleted through this instance, and whether the first time they were live.
    ends: Cache<Key, (u32, bool)>,
    merger: Merger,
    /// The cache's time to live, which holds over new ids.
    most_live: Option<Duration>,
    principal: Option<Arc<PrincipalOf>>,
}

/// What a copy was loaded as.
#[derive(Clone)]
struct Base {
    key: Key,
    digest: Digest,
    /// The revision that the copy is all of; none if others' changes were merged in.
    whole_of: Option<FleetRevision>,
    /// How old the session was, and when.
    age: (Duration, Instant),
}

impl Base {
    fn age(&self) -> Duration {
        self.age.0 + self.age.1.elapsed()
    }
}

impl SundownStore {
    /// A store whose sessions several processes share, by way of a backend such as
    /// [`RedisBackend`](crate::redis_1::RedisBackend).
    ///
    /// The builder is that of the instance's own cache; its time to live and to idle are those of all sessions.
    ///
    /// # Errors
    ///
    /// As [`Builder::build`](crate::Builder::build).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # #[cfg(feature = "redis-1")]
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    #[doc = example_imports!()]
    /// use sundown::redis_1::{RedisBackend, RedisOptions};
    ///
    /// let options = RedisOptions::default().namespace("shop");
    /// let backend = RedisBackend::connect("redis://127.0.0.1/", options).await?;
    /// let store = SundownStore::tiered(Cache::builder().max_entries(100_000), backend).await?;
    /// assert_eq!(store.tiered_stats().gaps, 0);
    /// # Ok(())
    /// # }
    /// ```
    #[allow(clippy::unused_async, reason = "so that it is called inside a runtime")]
    pub async fn tiered(
        builder: Builder<Key, Loaded<Shared>>,
        backend: impl Backend,
    ) -> std::result::Result<TieredStore, BuildError> {
        Self::tiered_with(builder, backend, TieredOptions::default()).await
    }

    /// The same with settings of its own.
    ///
    /// # Errors
    ///
    /// As [`Builder::build`](crate::Builder::build).
    #[allow(clippy::unused_async, reason = "so that it is called inside a runtime")]
    pub async fn tiered_with(
        builder: Builder<Key, Loaded<Shared>>,
        backend: impl Backend,
        options: TieredOptions,
    ) -> std::result::Result<TieredStore, BuildError> {
        let live_ns = builder.spans().live_ns;
        let reaper = builder.reaper;
        Ok(TieredStore {
            tiered: Tiered::new(builder, backend, codec(), options)?,
            bases: Cache::builder()
                .max_entries(MOST_BASES)
                .time_to_live(MEMORY_AGE)
                .reaper(reaper)
                .give_back(GiveBack::Never)
                .build()?,
            ends: Cache::builder()
                .max_entries(MOST_ENDS)
                .time_to_live(MEMORY_AGE)
                .reaper(reaper)
                .give_back(GiveBack::Never)
                .build()?,
            merger: Merger::new(),
            most_live: (live_ns != NEVER_NS).then(|| Duration::from_nanos(live_ns)),
            principal: None,
        })
    }
}

device_methods!(TieredStore, Id, Shared, key_of);

impl TieredStore {
    /// Says whose a session is, by its record; to be called before the store is used.
    ///
    /// [`principal_of`](super::principal_of) has ready-made ones.
    #[must_use]
    pub fn principal(
        mut self,
        principal: impl Fn(&Record) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.principal = Some(Arc::new(principal));
        self
    }

    /// How long a record that is so old may live from now on; none if its time is up.
    fn lifetime(&self, record: &Record, age: Duration) -> Option<Lifetime> {
        let span_ns = record.expiry_date.unix_timestamp_nanos() - wall_ns();
        let span_ns = u64::try_from(span_ns.min(LONGEST.as_nanos() as i128)).ok()?;
        let span = Duration::from_nanos(span_ns);
        let most = self.most_live.map_or(span, |most| span.min(most.saturating_sub(age)));
        (!most.is_zero()).then(|| Lifetime::default().live(most))
    }

    /// A draft of data that came with a record.
    fn draft(&self, record: &Record, data: Data, lifetime: Lifetime) -> Draft<Shared> {
        let expires_ns = record.expiry_date.unix_timestamp_nanos();
        let draft = match &self.principal {
            None => Draft::new(Shared::new(data, expires_ns)),
            Some(principal) => {
                let record = Record { id: record.id, data, expiry_date: record.expiry_date };
                let principal = principal(&record);
                let draft = Draft::new(Shared::new(record.data, expires_ns));
                match principal {
                    Some(principal) => draft.of(principal),
                    None => draft.of_nobody(),
                }
            }
        };
        draft.lifetime(lifetime)
    }

    /// Notes what a copy is that a request has now: all of a session, as it was loaded.
    fn note_whole(&self, copy: &Data, key: Key, loaded: &Loaded<Shared>) {
        let digest = loaded.digest(&self.merger);
        self.note(
            copy,
            Base {
                key,
                digest,
                whole_of: Some(loaded.revision()),
                age: (loaded.age(), Instant::now()),
            },
        );
    }

    fn note(&self, copy: &Data, base: Base) {
        let _full = self.bases.insert(Revision::of(copy), base);
    }

    /// Whether a copy's session was ended here, by one request, while it was live (C2).
    fn was_ended_here(&self, key: &Key) -> bool {
        self.ends.peek(key) == Some((1, true))
    }

    /// What of a copy may go along if another request has ended its session.
    fn own_of(&self, copy: &Data, base: &Base) -> Data {
        self.merger.carry_over(copy, (&base.digest, &[], None))
    }

    /// Whether a copy has anything left that it was loaded with.
    fn has_some_of(&self, copy: &Data, base: &Base) -> bool {
        copy.keys().any(|name| self.merger.is_in(&base.digest, name, copy))
    }

    async fn create_new(&self, record: &mut Record) -> Result<()> {
        let Some(lifetime) = self.lifetime(record, Duration::ZERO) else { return Ok(()) };
        let draft = self.draft(record, record.data.clone(), lifetime);
        self.create_under(record, &draft).await.map(drop)
    }

    /// Creates a session under an id that is drawn; false if it was to follow one that it may not.
    async fn create_under(&self, record: &mut Record, draft: &Draft<Shared>) -> Result<bool> {
        for _ in 0..MOST_KEYS {
            record.id = Id::default();
            let key = key_of(&record.id);
            match self.tiered.create(&key, draft.clone()).await {
                Ok(loaded) => {
                    record.data = renewed(loaded.data.clone());
                    self.note_whole(&record.data, key, &loaded);
                    return Ok(true);
                }
                Err(FleetError::Taken) => {}
                Err(FleetError::Overtaken) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        Err(FleetError::Taken.into())
    }
}

#[async_trait]
impl SessionStore for TieredStore {
    async fn create(&self, record: &mut Record) -> Result<()> {
        let stated = record.data.remove(BIRTH_KEY);
        let begins_anew = stated.is_some_and(|stated| stated == RESTART);
        let base = self.bases.peek(&Revision::of(&record.data));
        // What was cleared is a new session.
        let base = base.filter(|base| self.has_some_of(&record.data, base));
        let Some(base) = base else { return self.create_new(record).await };
        let age = if begins_anew { Duration::ZERO } else { base.age() };
        if self.was_ended_here(&base.key) {
            let Some(lifetime) = self.lifetime(record, age) else { return Ok(()) };
            let draft = self.draft(record, record.data.clone(), lifetime);
            let draft = draft.aged(age).in_place_of(&base.key);
            if self.create_under(record, &draft).await? {
                return Ok(());
            }
        }
        if self.tiered.load(&base.key).await?.is_none() {
            record.data = self.own_of(&record.data, &base);
        }
        self.create_new(record).await
    }

    async fn save(&self, record: &Record) -> Result<()> {
        let (key, fingerprint) = (key_of(&record.id), Revision::of(&record.data));
        let Some(current) = self.tiered.load(&key).await? else { return Ok(()) };
        let base = self.bases.peek(&fingerprint).filter(|base| base.key == key);
        let Some(base) = base else { return Err(FleetError::Conflict.into()) };
        let mut copy = record.data.clone();
        let begins_anew = copy.remove(BIRTH_KEY).is_some_and(|stated| stated == RESTART);
        let age = if begins_anew { Duration::ZERO } else { current.age() };
        let Some(lifetime) = self.lifetime(record, age) else {
            return self.delete(&record.id).await;
        };
        let data = match base.whole_of {
            Some(revision) if revision == current.revision() => copy.clone(),
            _ => self.merger.merge(&current.data, &copy, &base.digest, &[]),
        };
        let expires_ns = record.expiry_date.unix_timestamp_nanos();
        let mut draft = self.draft(record, data, lifetime);
        if begins_anew {
            draft = draft.aged(Duration::ZERO);
        }
        let saved = self.tiered.save_with(&key, &current, draft, |others| {
            let data = self.merger.merge(&others.current.data, &copy, &base.digest, &[]);
            Some(Shared::new(data, expires_ns))
        });
        if let Some(saved) = saved.await? {
            // The request's copy is the same map, and may be saved again.
            if copy == saved.data {
                self.note_whole(&copy, key, &saved);
            } else {
                let (digest, age) = (self.merger.digest(&copy), (saved.age(), Instant::now()));
                self.note(&copy, Base { key, digest, whole_of: None, age });
            }
        }
        Ok(())
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        let key = key_of(id);
        let Some(loaded) = self.tiered.load(&key).await? else { return Ok(None) };
        let nanos = loaded.expires_ns;
        let expiry_date = time::OffsetDateTime::from_unix_timestamp_nanos(nanos)
            .map_err(|error| Error::Decode(error.to_string()))?;
        let data = renewed(loaded.data.clone());
        self.note_whole(&data, key, &loaded);
        Ok(Some(Record { id: *id, data, expiry_date }))
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        let key = key_of(id);
        let was_live = self.tiered.delete(&key).await?;
        let again = self.ends.update(&key, |&(times, was_live)| (times + 1, was_live));
        if !matches!(again, Ok(true)) {
            let _full = self.ends.insert(key, (1, was_live));
        }
        Ok(())
    }
}

impl From<FleetError> for Error {
    fn from(error: FleetError) -> Self {
        let mut text = error.to_string();
        if let Some(source) = std::error::Error::source(&error) {
            text = format!("{text}: {source}");
        }
        Self::Backend(text)
    }
}

impl fmt::Debug for TieredStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TieredStore").field("sessions", &self.tiered).finish_non_exhaustive()
    }
}

/// So many keys in a row that are all taken are no accident.
const MOST_KEYS: usize = 8;

/// How many loads are remembered: some 25 MB of small sessions.
const MOST_BASES: usize = 100_000;

/// How many deletions are remembered.
const MOST_ENDS: usize = 65_536;
