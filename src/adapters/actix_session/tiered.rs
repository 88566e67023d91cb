//! The store of a fleet.
//!
//! The sessions and all that is atomic about them are in [`fleet`](crate::fleet). A request is known by the place of
//! its key's text, as in `seen.rs`; here too, a call that gives a key out notes what it stands for.
//!
//! C1. An update does to the session what its request did to its copy (`merge.rs`), by compare-and-set. Where it is
//!     not known any more what was loaded, it is refused.
//! C2. A new key is a deletion and, in the same step of the request's future, a creation: the next call on the
//!     thread. It is taken for one if the new state has some of the very texts that the request has loaded. If it was
//!     this deletion that has ended the session, the new one takes its place; else only what the request itself has
//!     put in goes along.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::time::Duration as Ttl;

use super::framework::storage::{
    LoadError, SaveError, SessionKey, SessionStore, UpdateError, generate_session_key,
};
use super::shared::{Shared, begins_anew, codec, key_of, key_of_any, place_of, places_of};
use super::store::SundownActixStore;
use super::{SessionId, SessionState};
use crate::adapters::merge::{Digest, Merger};
use crate::adapters::refusal::Refusal;
use crate::adapters::seen::Seen;
use crate::adapters::setup::device_methods;
use crate::builder::Builder;
use crate::error::BuildError;
use crate::fleet::{Backend, Conflict, Draft, Error, Key, Loaded, Revision, Tiered, TieredOptions};
use crate::lifetime::Lifetime;
use crate::platform::clock::NEVER_NS;

type PrincipalOf = dyn Fn(&SessionState) -> Option<String> + Send + Sync;

/// A session store for actix-session whose sessions several processes share; made by
/// [`SundownActixStore::tiered`].
///
/// Sessions are in the backend and, while they are in use, in a cache of each instance. What one instance saves
/// or ends all others know within milliseconds; see [`fleet`](crate::fleet) for what holds when the backend fails.
/// The backend sees hashes of the keys alone.
///
/// An `update` does to the session what its request has done to its copy, on whichever instance others change it
/// beside. It fails where the session has ended since it was loaded, or was loaded more than an hour or 65,536
/// loads ago. A log-out is final: by `renew` only what the request itself has put in goes along.
///
/// `update_ttl` changes nothing while the lifetime is shorter than asked for by less than an eighth, so that a
/// middleware that prolongs each session at each request costs the backend little.
///
/// Clones are handles of one store. Neither `Debug` nor any error prints a key or a state.
///
/// # Errors
///
/// As [`fleet::Error`](crate::fleet::Error) has it, in the framework's own kinds; a key that is not of the form
/// that the store makes is one for `load`.
#[derive(Clone)]
pub struct TieredActixStore {
    tiered: Tiered<Shared>,
    seen: Arc<Seen<Key, Base>>,
    merger: Merger,
    /// The cache's time to live, which holds over new keys.
    most_live: Option<Duration>,
    principal: Option<Arc<PrincipalOf>>,
}

/// What a copy was loaded as.
#[derive(Clone)]
struct Base {
    digest: Digest,
    /// The revision that the copy is all of; none if others' changes were merged in.
    whole_of: Option<Revision>,
    /// How old the session was, and when.
    age: (Duration, Instant),
    /// Where its texts are.
    places: Arc<[usize]>,
}

impl Base {
    fn age(&self) -> Duration {
        self.age.0 + self.age.1.elapsed()
    }
}

/// A deletion that was the last call on this thread.
struct Deleted {
    /// The store's.
    place: usize,
    key: Key,
    base: Base,
    was_live: bool,
}

thread_local! {
    static LAST: Cell<Option<Deleted>> = const { Cell::new(None) };
}

impl SundownActixStore {
    /// A store whose sessions several processes share, by way of a backend such as
    /// [`RedisBackend`](crate::redis_1::RedisBackend).
    ///
    /// The builder is that of the instance's own cache; its time to live and to idle are those of all sessions.
    ///
    /// # Errors
    ///
    /// As [`Builder::build`](crate::Builder::build).
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with timers.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # #[cfg(feature = "redis-1")]
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use sundown::{Cache, actix_session_0_11::SundownActixStore};
    /// use sundown::redis_1::{RedisBackend, RedisOptions};
    ///
    /// let options = RedisOptions::default().namespace("shop");
    /// let backend = RedisBackend::connect("redis://127.0.0.1/", options).await?;
    /// let store = SundownActixStore::tiered(Cache::builder().max_entries(100_000), backend)?;
    /// assert_eq!(store.tiered_stats().gaps, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn tiered(
        builder: Builder<Key, Loaded<Shared>>,
        backend: impl Backend,
    ) -> Result<TieredActixStore, BuildError> {
        Self::tiered_with(builder, backend, TieredOptions::default())
    }

    /// The same with settings of its own.
    ///
    /// # Errors
    ///
    /// As [`Builder::build`](crate::Builder::build).
    ///
    /// # Panics
    ///
    /// As [`tiered`](Self::tiered).
    pub fn tiered_with(
        builder: Builder<Key, Loaded<Shared>>,
        backend: impl Backend,
        options: TieredOptions,
    ) -> Result<TieredActixStore, BuildError> {
        let live_ns = builder.spans().live_ns;
        let seen = Arc::new(Seen::of(&builder)?);
        Ok(TieredActixStore {
            tiered: Tiered::new(builder, backend, codec(), options)?,
            seen,
            merger: Merger::new(),
            most_live: (live_ns != NEVER_NS).then(|| Duration::from_nanos(live_ns)),
            principal: None,
        })
    }
}

device_methods!(TieredActixStore, SessionKey, Shared, key_of_any);

impl TieredActixStore {
    /// Says whose a session is, by its state; to be called before the store is used.
    ///
    /// [`principal_of`](super::principal_of) has ready-made ones.
    #[must_use]
    pub fn principal(
        mut self,
        principal: impl Fn(&SessionState) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.principal = Some(Arc::new(principal));
        self
    }

    /// How long a session that is so old may live from now on; none if its time is up.
    fn span(&self, ttl: Ttl, age: Duration) -> Option<Duration> {
        let span = Duration::try_from(ttl).unwrap_or(Duration::ZERO);
        let most = self.most_live.map_or(span, |most| span.min(most.saturating_sub(age)));
        (!most.is_zero()).then_some(most)
    }

    fn draft(&self, state: SessionState, span: Duration) -> Draft<Shared> {
        let principal = self.principal.as_ref().map(|rule| rule(&state));
        let draft = Draft::new(Shared::new(state)).lifetime(living(span));
        match principal {
            None => draft,
            Some(Some(principal)) => draft.of(principal),
            Some(None) => draft.of_nobody(),
        }
    }

    /// Notes what the request has whose key has this text.
    fn note(
        &self,
        (text, key): (&str, Key),
        (state, is_whole): (&SessionState, bool),
        loaded: &Loaded<Shared>,
    ) {
        let digest = if is_whole { loaded.digest(&self.merger) } else { self.merger.digest(state) };
        let whole_of = is_whole.then(|| loaded.revision());
        let age = (loaded.age(), Instant::now());
        self.seen.note(text, key, Base { digest, whole_of, age, places: places_of(state) });
    }

    /// Whether a new state is a request's copy, with texts that it was loaded with (C2).
    fn is_copy(&self, state: &SessionState, base: &Base) -> bool {
        state.iter().any(|(name, value)| {
            base.places.binary_search(&place_of(value)).is_ok()
                && self.merger.is_in(&base.digest, name, state)
        })
    }

    async fn put_new(&self, mut state: SessionState, ttl: Ttl) -> Result<SessionKey, Error> {
        let begins_anew = begins_anew(&mut state);
        let last = LAST.take().filter(|last| last.place == self.place());
        let Some(last) = last.filter(|last| self.is_copy(&state, &last.base)) else {
            return Ok(self.create(state, ttl, (Duration::ZERO, None)).await?.unwrap_or_else(over));
        };
        let age = if begins_anew { Duration::ZERO } else { last.base.age() };
        if last.was_live {
            let in_place = (age, Some(last.key));
            match self.create(state.clone(), ttl, in_place).await {
                Err(Error::Overtaken) => {}
                created => return Ok(created?.unwrap_or_else(over)),
            }
        }
        let own = self.merger.carry_over(&state, (&last.base.digest, &[], None));
        Ok(self.create(own, ttl, (Duration::ZERO, None)).await?.unwrap_or_else(over))
    }

    /// Creates a session under a key that is drawn; none if its time is up.
    async fn create(
        &self,
        state: SessionState,
        ttl: Ttl,
        (age, predecessor): (Duration, Option<Key>),
    ) -> Result<Option<SessionKey>, Error> {
        let Some(span) = self.span(ttl, age) else { return Ok(None) };
        let mut draft = self.draft(state, span).aged(age);
        if let Some(predecessor) = &predecessor {
            draft = draft.in_place_of(predecessor);
        }
        for _ in 0..MOST_KEYS {
            let id = SessionId::draw();
            match self.tiered.create(&key_of(&id), draft.clone()).await {
                Ok(loaded) => {
                    let session_key = id.to_key();
                    self.note((session_key.as_ref(), key_of(&id)), (&loaded.state, true), &loaded);
                    return Ok(Some(session_key));
                }
                Err(Error::Taken) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Taken)
    }

    async fn put_again(
        &self,
        session_key: SessionKey,
        mut state: SessionState,
        ttl: Ttl,
    ) -> Result<SessionKey, UpdateError> {
        let Some(id) = SessionId::of(&session_key) else {
            return self.put_new(state, ttl).await.map_err(update_error);
        };
        let key = key_of(&id);
        let base = self.seen.take(session_key.as_ref(), &key);
        let current = self.tiered.load(&key).await.map_err(update_error)?;
        let (current, base) = match (current, base) {
            (Some(current), Some(base)) => (current, base),
            (Some(_), None) => return Err(update_error(Error::Conflict)),
            (None, Some(_)) => return Err(Refusal::LoggedOut.into()),
            // No request has loaded it.
            (None, None) => return self.put_new(state, ttl).await.map_err(update_error),
        };
        let begins_anew = begins_anew(&mut state);
        let age = if begins_anew { Duration::ZERO } else { current.age() };
        let Some(span) = self.span(ttl, age) else {
            self.tiered.delete(&key).await.map_err(update_error)?;
            return Ok(session_key);
        };
        let merged = match base.whole_of {
            Some(revision) if revision == current.revision() => state.clone(),
            _ => self.merger.merge(&current.state, &state, &base.digest, &[]),
        };
        let mut draft = self.draft(merged, span);
        if begins_anew {
            draft = draft.aged(Duration::ZERO);
        }
        let saved = self.tiered.save_with(&key, &current, draft, |others| {
            let merged = self.merger.merge(&others.current.state, &state, &base.digest, &[]);
            Some(Shared::new(merged))
        });
        let saved = saved.await.map_err(update_error)?.ok_or(Refusal::LoggedOut)?;
        let is_whole = state == saved.state;
        self.note((session_key.as_ref(), key), (&state, is_whole), &saved);
        Ok(session_key)
    }

    fn place(&self) -> usize {
        Arc::as_ptr(&self.seen).addr()
    }
}

impl SessionStore for TieredActixStore {
    /// A copy of a live session; a use of it.
    async fn load(&self, session_key: &SessionKey) -> Result<Option<SessionState>, LoadError> {
        LAST.set(None);
        let id = SessionId::of(session_key).ok_or(Refusal::Malformed);
        let id = id.map_err(|refusal| LoadError::Deserialization(refusal.into()))?;
        let (key, text) = (key_of(&id), session_key.as_ref());
        let loaded =
            self.tiered.load(&key).await.map_err(|error| LoadError::Other(error.into()))?;
        let Some(loaded) = loaded else {
            drop(self.seen.take(text, &key));
            return Ok(None);
        };
        let state = loaded.state.clone();
        self.note((text, key), (&state, true), &loaded);
        Ok(Some(state))
    }

    /// Puts a new session in, under a key that no live session has.
    async fn save(&self, state: SessionState, ttl: &Ttl) -> Result<SessionKey, SaveError> {
        self.put_new(state, *ttl).await.map_err(|error| SaveError::Other(error.into()))
    }

    /// Does to the live session with this key what was done to the state since it was loaded.
    async fn update(
        &self,
        session_key: SessionKey,
        state: SessionState,
        ttl: &Ttl,
    ) -> Result<SessionKey, UpdateError> {
        LAST.set(None);
        self.put_again(session_key, state, *ttl).await
    }

    /// Gives a live session its lifetime anew, from now. That it has ended is no error.
    async fn update_ttl(&self, session_key: &SessionKey, ttl: &Ttl) -> Result<(), anyhow::Error> {
        LAST.set(None);
        let Some(key) = SessionId::of(session_key).map(|id| key_of(&id)) else { return Ok(()) };
        let Some(current) = self.tiered.load(&key).await? else { return Ok(()) };
        let Some(span) = self.span(*ttl, current.age()) else {
            self.tiered.delete(&key).await?;
            return Ok(());
        };
        let passed = current.age().saturating_sub(current.facts().age);
        let left = current.facts().left.live.map(|live| live.saturating_sub(passed));
        if left.is_none_or(|left| left.abs_diff(span) > span / UPDATES) {
            let draft = Draft::new((*current).clone()).lifetime(living(span));
            let others = |others: Conflict<'_, Shared>| Some(others.current.clone());
            self.tiered.save_with(&key, &current, draft, others).await?;
        }
        Ok(())
    }

    /// Ends a session. That there is none is no error.
    async fn delete(&self, session_key: &SessionKey) -> Result<(), anyhow::Error> {
        LAST.set(None);
        let Some(key) = SessionId::of(session_key).map(|id| key_of(&id)) else { return Ok(()) };
        let base = self.seen.take(session_key.as_ref(), &key);
        let was_live = self.tiered.delete(&key).await?;
        LAST.set(base.map(|base| Deleted { place: self.place(), key, base, was_live }));
        Ok(())
    }
}

impl fmt::Debug for TieredActixStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TieredActixStore").field("sessions", &self.tiered).finish_non_exhaustive()
    }
}

fn living(span: Duration) -> Lifetime {
    Lifetime::default().live(span)
}

/// A key that finds nothing: the time of what was to have it is up.
fn over() -> SessionKey {
    generate_session_key()
}

fn update_error(error: Error) -> UpdateError {
    UpdateError::Other(error.into())
}

/// So many keys in a row that are all taken are no accident.
const MOST_KEYS: usize = 8;

/// By which share of it a lifetime may be shorter than asked for.
const UPDATES: u32 = 8;
