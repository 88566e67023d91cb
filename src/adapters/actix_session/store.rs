//! The store itself.

use std::fmt;
use std::sync::Arc;

use time::Duration;

use super::framework::storage::{
    LoadError, SaveError, SessionKey, SessionStore, UpdateError, generate_session_key,
};
use super::{SessionId, SessionState, state_bytes};
use crate::adapters::anonymous::DEFAULT_SHARE;
use crate::adapters::descent::Revision;
use crate::adapters::footprint::weighed_in_bytes;
use crate::adapters::keeper::{Descent, Keeper, Principled, Saved};
use crate::adapters::lifespan::wall_ns;
use crate::adapters::refusal::Refusal;
use crate::adapters::seen::{Deletion, Seen};
use crate::builder::Builder;
use crate::cache::Cache;
use crate::error::BuildError;

/// A session store for actix-session that keeps the cache's promises: every session is gone when its
/// time is up, and its memory is back, whether or not another request comes.
///
/// A session ends when the lifetime that the middleware gave it last is over, at the cache's time to
/// live after it was first created, or when it was not loaded or changed for the cache's time to
/// idle, whichever comes first. The time to live also holds over `Session::renew`; the time of
/// creation travels with the session's data for that, under the key `sundown.created`, if the cache
/// has a time to live.
///
/// Clones are handles of one store. Make it *outside* the closure that actix-web calls for each
/// worker and clone it inside, so that all workers share one cache.
///
/// Neither `Debug` nor any error prints a key or what a session holds.
///
/// # Requests side by side
///
/// A save does to the session what its request has done to its copy. Where two requests load a session
/// and both change it, what each has changed is kept, the later save of one name wins, and what one has
/// removed the other does not bring back.
///
/// A log-out is final: of a request that has loaded the session before, `update` is refused, which the
/// middleware answers with status 500; and what it takes along by `renew` is only what the request
/// itself has put in. What ran out or was evicted during a request gets a new key by its `update`.
///
/// The store knows a request by the place in memory of the key that the middleware loads by, which it
/// keeps until the response. It remembers what was loaded, in hashes, and what was logged out: for an
/// hour, of the 65,536 latest loads, some 40,000 latest changes, and at least as many log-outs as the cache has
/// room for. A save for which it is no longer known what it would overwrite is refused.
///
/// # Locking
///
/// None of its own; see [`Cache`]. No call ever awaits anything: they take the locks of a few shards,
/// one after the other, for a short time.
///
/// # Errors
///
/// `save` and `update` fail, as `Other`, and say why, where
///
/// - the cache does not take the session: too heavy, full and rejecting, or closed;
/// - `update` would bring a session back that was logged out.
///
/// They fail as `Serialization` where the session's time of creation is corrupt. Nothing is lost by a
/// failure: a live session stays as it was, also where `renew` was to give it a new key.
/// [`Stats::rejections`](crate::Stats::rejections) counts these, and with the feature `tracing` there is
/// an event for each kind, once a minute.
///
/// No lifetime is an error: one that is not positive ends the session, one over ten years counts as ten
/// years. `update_ttl` and `delete` do not fail; for a session that has ended they have nothing to do.
///
/// `load` fails with `Deserialization` where the key is not of the form that the store makes, 64
/// letters and digits; the middleware then logs a warning and begins an empty session, to which
/// `update` gives a key of its own.
///
/// # Examples
///
/// In a service, `SessionMiddleware::new(store.clone(), secret)` is all there is to add.
///
/// ```
/// use std::{collections::HashMap, time::Duration};
/// use sundown::{Cache, actix_session_0_11::SundownActixStore};
/// # use actix_session_0_11 as actix_session;
/// use actix_session::storage::SessionStore;
///
/// # pollster::block_on(async {
/// let store = SundownActixStore::new(
///     Cache::builder()
///         .max_entries(100_000)
///         .time_to_live(Duration::from_secs(8 * 3600)), // also over `renew`
/// )?;
/// let state = HashMap::from([("user".to_owned(), "\"ada\"".to_owned())]);
/// let key = store.save(state, &time::Duration::minutes(30)).await?;
/// let state = store.load(&key).await?.unwrap();
/// assert_eq!(state["user"], "\"ada\"");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct SundownActixStore {
    pub(super) keeper: Arc<Keeper<SessionState>>,
    seen: Arc<Seen<SessionId>>,
}

impl SundownActixStore {
    /// A store on a cache of its own.
    ///
    /// Whatever the builder can do is there, such as an
    /// [`on_removal`](crate::Builder::on_removal) that sees each session end. With a
    /// [`max_weight`](crate::Builder::max_weight) and no weigher, the weight is in bytes: the key's,
    /// the state's by [`state_bytes`], and the cache's own
    /// [for it](crate::Builder::count_overhead).
    ///
    /// # Errors
    ///
    /// As [`Builder::build`](crate::Builder::build).
    ///
    /// # Examples
    ///
    /// ```
    /// use sundown::{Cache, actix_session_0_11::SundownActixStore};
    /// let store = SundownActixStore::new(Cache::builder().max_weight(512 << 20))?; // bytes
    /// assert!(store.cache().is_empty());
    /// # Ok::<(), sundown::BuildError>(())
    /// ```
    pub fn new(builder: Builder<SessionId, SessionState>) -> Result<Self, BuildError> {
        Self::of(builder, None)
    }

    pub(super) fn of(
        builder: Builder<SessionId, SessionState>,
        principled: Option<Principled<SessionState>>,
    ) -> Result<Self, BuildError> {
        let builder = weighed_in_bytes(builder, state_bytes);
        let seen = Arc::new(Seen::of(&builder)?);
        Ok(Self { keeper: Arc::new(Keeper::of(builder, wall_ns(), principled)?), seen })
    }

    /// The cache with the sessions, to look at its [`Stats`](crate::Stats) or to end sessions by
    /// hand.
    ///
    /// What is put into it by hand passes the store's checks by.
    ///
    /// # Examples
    ///
    /// Logging a user out everywhere:
    ///
    /// ```
    /// # use sundown::{Cache, actix_session_0_11::SundownActixStore};
    /// let store = SundownActixStore::new(Cache::builder().max_entries(100_000))?;
    /// let is_adas = |state: &std::collections::HashMap<String, String>| {
    ///     state.get("user").is_some_and(|user| user == "\"ada\"")
    /// };
    /// let ended = store.cache().retain(|_, state| !is_adas(state));
    /// assert_eq!(ended, 0);
    /// # Ok::<(), sundown::BuildError>(())
    /// ```
    #[must_use]
    pub fn cache(&self) -> &Cache<SessionId, SessionState> {
        self.keeper.sessions()
    }

    /// Lets anonymous sessions take half of the cache at most, so that no storm of visitors evicts the
    /// session of a user who is logged in.
    ///
    /// `is_anonymous` says of a state whether it belongs to a visitor who has not logged in. Anonymous
    /// sessions make room for each other: the least recently used one is evicted when their share, here
    /// half of [`max_entries`](crate::Builder::max_entries) and of
    /// [`max_weight`](crate::Builder::max_weight), is taken. So in a cache for 1,000 sessions none of up
    /// to 500 logged-in ones is evicted, whatever number of visitors comes. The caps of the cache hold
    /// for both kinds together. Logged-in sessions may take more than the rest while it is there, the
    /// least recently used session of all being evicted where the cache is full.
    ///
    /// A session counts as what it is when it is saved or loaded, so a log-in and a log-out are noticed
    /// at once, with or without a new key. All else that the store promises holds unchanged. Anonymous
    /// sessions make room for each other also in a cache that
    /// [rejects](crate::OnFull::Reject) others when it is full.
    ///
    /// Call it when the store has been made, before there are sessions. It holds for all handles of the
    /// store; a second call changes nothing. `is_anonymous` is called with each save and load, outside
    /// all locks, and should be quick.
    ///
    /// An [`on_removal`](crate::Builder::on_removal) sees the cause
    /// [`Evicted`](crate::RemovalCause::Evicted) for such an eviction; [`Stats`](crate::Stats) counts it
    /// under `removed`. An anonymous session has its key in a cache of its own as well.
    ///
    /// # Errors
    ///
    /// As [`Builder::build`](crate::Builder::build), of the cache that keeps the order of the anonymous
    /// sessions. `save` fails as for a full cache in the one case that other threads do not get to
    /// free, over thousands of tries, what anonymous sessions have evicted.
    ///
    /// # Examples
    ///
    /// ```
    /// use sundown::{Cache, actix_session_0_11::SundownActixStore};
    /// # use actix_session_0_11 as actix_session;
    /// # use actix_session::storage::SessionStore;
    /// # use std::collections::HashMap;
    /// # use time::Duration;
    ///
    /// # pollster::block_on(async {
    /// let store = SundownActixStore::new(Cache::builder().max_entries(1_000))?
    ///     .anonymous(|state| !state.contains_key("user"))?;
    ///
    /// let ada = HashMap::from([("user".to_owned(), "\"ada\"".to_owned())]);
    /// let ada = store.save(ada, &Duration::HOUR).await?;
    /// for _ in 0..5_000 {
    ///     store.save(HashMap::new(), &Duration::HOUR).await?; // a visitor
    /// }
    /// assert!(store.load(&ada).await?.is_some());
    /// assert!(store.cache().len() <= 501);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn anonymous(
        self,
        is_anonymous: impl Fn(&SessionState) -> bool + Send + Sync + 'static,
    ) -> Result<Self, BuildError> {
        self.anonymous_up_to(DEFAULT_SHARE, is_anonymous)
    }

    /// The same with another share than half: a tenth is 0.1.
    ///
    /// At least one session can be anonymous and at least one can be logged in, whatever the share is.
    ///
    /// # Errors
    ///
    /// As [`anonymous`](Self::anonymous).
    ///
    /// # Examples
    ///
    /// ```
    /// use sundown::{Cache, actix_session_0_11::SundownActixStore};
    /// // Nine tenths are kept for users who are logged in.
    /// let store = SundownActixStore::new(Cache::builder().max_entries(100_000))?
    ///     .anonymous_up_to(0.1, |state| !state.contains_key("user"))?;
    /// # Ok::<(), sundown::BuildError>(())
    /// ```
    pub fn anonymous_up_to(
        self,
        share: f64,
        is_anonymous: impl Fn(&SessionState) -> bool + Send + Sync + 'static,
    ) -> Result<Self, BuildError> {
        self.keeper.cap_anonymous(share, Arc::new(is_anonymous), |_, take_out| take_out())?;
        Ok(self)
    }

    fn put_new(
        &self,
        mut state: SessionState,
        ttl: Duration,
        descent: Descent<'_, SessionId>,
    ) -> Result<SessionKey, Refusal> {
        let created =
            self.keeper.create(&mut state, (&SessionId::draw, ttl.whole_nanoseconds()), descent)?;
        // What is over by now has a key that finds nothing.
        Ok(created.map_or_else(generate_session_key, SessionId::to_key))
    }

    fn put_again(
        &self,
        session_key: SessionKey,
        state: SessionState,
        ttl: Duration,
    ) -> Result<SessionKey, Refusal> {
        let Some(key) = SessionId::of(&session_key) else {
            // No session of this store ever had that key.
            return self.put_new(state, ttl, Descent::Copy);
        };
        let seen = self.seen.take(session_key.as_ref(), &key);
        match self.keeper.save(&key, &state, ttl.whole_nanoseconds(), seen)? {
            Saved::Kept | Saved::Over => Ok(session_key),
            Saved::Gone if !self.keeper.may_come_again(&key, &state) => {
                self.keeper.leave_out(Refusal::LoggedOut);
                Err(Refusal::LoggedOut)
            }
            Saved::Gone => self.put_new(state, ttl, Descent::Copy),
        }
    }
}

impl SessionStore for SundownActixStore {
    /// A copy of a live session; a use of it.
    async fn load(&self, session_key: &SessionKey) -> Result<Option<SessionState>, LoadError> {
        self.seen.forget_deletion();
        let key = SessionId::of(session_key).ok_or(Refusal::Malformed);
        let key = key.map_err(|refusal| LoadError::Deserialization(refusal.into()))?;
        let state = self.keeper.load(&key);
        match &state {
            Some(state) => self.seen.note(session_key.as_ref(), key, Revision::of(state)),
            None => drop(self.seen.take(session_key.as_ref(), &key)),
        }
        Ok(state)
    }

    /// Puts a new session in, under a key that no live session has.
    async fn save(&self, state: SessionState, ttl: &Duration) -> Result<SessionKey, SaveError> {
        let saved = match self.seen.take_deletion() {
            None => self.put_new(state, *ttl, Descent::Copy),
            Some(Deletion::OfLive(key)) => self.put_new(state, *ttl, Descent::Room(&key)),
            Some(Deletion::OfEnded(seen)) => self.put_new(state, *ttl, Descent::Seen(seen)),
        };
        saved.map_err(SaveError::from)
    }

    /// Does to the live session with this key what was done to the state since it was loaded.
    ///
    /// One that ran out or was evicted gets a new key; of one that was logged out it is an error.
    async fn update(
        &self,
        session_key: SessionKey,
        state: SessionState,
        ttl: &Duration,
    ) -> Result<SessionKey, UpdateError> {
        self.seen.forget_deletion();
        self.put_again(session_key, state, *ttl).map_err(UpdateError::from)
    }

    /// Gives a live session its lifetime anew, from now; a use of it.
    ///
    /// That it has ended is no error: there is nothing to lose.
    async fn update_ttl(
        &self,
        session_key: &SessionKey,
        ttl: &Duration,
    ) -> Result<(), anyhow::Error> {
        self.seen.forget_deletion();
        if let Some(key) = SessionId::of(session_key) {
            self.keeper.prolong(&key, ttl.whole_nanoseconds());
        }
        Ok(())
    }

    /// Ends a session. That there is none is no error.
    async fn delete(&self, session_key: &SessionKey) -> Result<(), anyhow::Error> {
        self.seen.forget_deletion();
        if let Some(key) = SessionId::of(session_key) {
            let seen = self.seen.take(session_key.as_ref(), &key);
            let was_live = self.keeper.end(&key);
            self.seen.note_deletion(key, was_live, seen);
        }
        Ok(())
    }
}

impl fmt::Debug for SundownActixStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SundownActixStore")
            .field("sessions", self.keeper.sessions())
            .finish_non_exhaustive()
    }
}
