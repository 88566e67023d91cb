//! A storage for the sessions of [poem] 3; with the feature `poem-3`.
//!
//! [poem]: https://docs.rs/poem/3
//
// `ServerSession` loads a session when a request comes, by an id that it has read from the cookie. With
// the response it updates or removes it by the very same text, so a request is known by it (`seen.rs`).
// `Session::renew` is a removal and, as the next call on the thread, an update under an id that the
// middleware has drawn. It draws one as well where the id of the cookie was not found.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::thread::LocalKey;
use std::time::Duration;

use poem_3 as framework;
use serde_json::Value;

use self::framework::error::InternalServerError;
use self::framework::session::{Session, SessionStorage};
use super::anonymous::DEFAULT_SHARE;
use super::descent::Revision;
use super::footprint::{table_bytes, text_bytes, weighed_in_bytes};
use super::json::owned_bytes;
use super::keeper::{Descent, Keeper, Kept, Principled, Saved};
use super::lifespan::{BIRTH_KEY, Birth, RESTART, Stated, wall_ns};
use super::merge::Pairs;
use super::refusal::Refusal;
use super::seen::{Deletion, LastDeletion, Noting, Seen};
pub use super::setup::StoreBuilder;
use super::setup::principal_methods;
use crate::builder::Builder;
use crate::cache::Cache;
use crate::error::{BuildError, Reason};
use crate::sessions::{PublicId, SessionInfo, SessionStats};

/// What a session holds.
pub type SessionState = HashMap<String, Value>;

/// A session storage for poem's `ServerSession` that keeps the cache's promises: every session is gone
/// when its time is up, and its memory is back, whether or not another request comes.
///
/// A session ends when the `max_age` of the cookie's configuration is over since the last change, at the
/// cache's time to live after it was first created, or when it was not loaded or changed for the cache's
/// time to idle, whichever comes first. The time to live also holds over `Session::renew`; the time of
/// creation travels with the session's data for that, under the key `sundown.created`, if the cache has
/// a time to live.
///
/// Clones are handles of one storage. Neither `Debug` nor any error prints an id or what a session holds.
///
/// # Requests side by side
///
/// A save does to the session what its request has done to its copy. Where two requests load a session
/// and both change it, what each has changed is kept, the later save of one name wins, and what one has
/// removed the other does not bring back.
///
/// A log-out, by `purge`, is final: a save of a request that has loaded the session before does nothing,
/// and is no error. Nor does one after the session ran out or was evicted bring it back. What a request
/// takes along by `renew` from a session that was logged out meanwhile is only what it has put in itself.
///
/// # What the interface does not allow
///
/// poem draws the ids, and gives each new session one that it has just drawn. The storage cannot tell
/// such an id from one that it has never seen: who calls `update_session` by hand makes a session live
/// under any id of the form of poem's, 43 letters of base64. The middleware does not do so with the id
/// of a cookie that it did not find.
///
/// Which copy comes back the storage knows by the place in memory of the id that the middleware keeps
/// until the response. It remembers what was loaded, in hashes, of the 65,536 latest loads, for an hour,
/// and what was logged out: at least as many as the cache has room for. A later save of an even slower
/// request is taken for a new session.
///
/// # Locking
///
/// None of its own; see [`Cache`]. No call ever awaits anything.
///
/// # Errors
///
/// `update_session` fails, with status 500, where the cache does not take the session: too heavy, full
/// and rejecting, or closed; and where its time of creation is corrupt. Nothing is lost by a failure.
/// [`Stats::rejections`](crate::Stats::rejections) counts these, and with the feature `tracing` there is
/// an event for each kind, once a minute. `load_session` and `remove_session` do not fail: an id of
/// another form finds nothing.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// # use poem_3 as poem;
/// use poem::{EndpointExt, Route, get, handler, session::{CookieConfig, ServerSession, Session}};
/// use sundown::{Cache, poem_3::SundownPoemStorage};
///
/// #[handler]
/// fn log_in(session: &Session) {
///     session.renew();
///     session.set("user", "ada");
/// }
///
/// let sessions = SundownPoemStorage::new(
///     Cache::builder()
///         .max_entries(100_000)
///         .time_to_idle(Duration::from_secs(30 * 60))
///         .time_to_live(Duration::from_secs(8 * 3600)), // also over `renew`
/// )?;
/// let app = Route::new()
///     .at("/login", get(log_in))
///     .with(ServerSession::new(CookieConfig::default(), sessions));
/// # drop(app);
/// # Ok::<(), sundown::BuildError>(())
/// ```
#[derive(Clone)]
pub struct SundownPoemStorage {
    keeper: Arc<Keeper<SessionState>>,
    seen: Arc<Seen<SessionId>>,
}

impl SundownPoemStorage {
    /// A storage on a cache of its own.
    ///
    /// Whatever the builder can do is there. With a [`max_weight`](crate::Builder::max_weight) and no
    /// weigher, the weight is in bytes: the id's, what the data take from the allocator, and the
    /// cache's own [for it](crate::Builder::count_overhead).
    ///
    /// # Errors
    ///
    /// As [`Builder::build`](crate::Builder::build).
    pub fn new(builder: Builder<SessionId, SessionState>) -> Result<Self, BuildError> {
        Self::of(builder, None)
    }

    /// Begins to set a storage up that knows whose its sessions are.
    ///
    /// # Examples
    ///
    /// ```
    /// use sundown::sessions::OnLimit;
    /// use sundown::{Cache, poem_3::SundownPoemStorage};
    /// let storage = SundownPoemStorage::builder(Cache::builder().max_entries(100_000))
    ///     .principal(|state| state.get("user")?.as_str().map(str::to_owned))
    ///     .max_per_principal(3, OnLimit::RevokeOldest)
    ///     .build()?;
    /// assert_eq!(storage.revoke_all("ada"), 0);
    /// # Ok::<(), sundown::BuildError>(())
    /// ```
    pub fn builder(
        cache: Builder<SessionId, SessionState>,
    ) -> StoreBuilder<SessionId, SessionState, Self> {
        StoreBuilder::new(cache, |setup| {
            let StoreBuilder { cache, principal, limit, anonymous, .. } = setup;
            let storage = Self::of(cache, principal.map(|rule| (rule, limit)))?;
            match anonymous {
                Some((share, rule)) => storage.anonymous_up_to(share, rule),
                None => Ok(storage),
            }
        })
    }

    fn of(
        builder: Builder<SessionId, SessionState>,
        principled: Option<Principled<SessionState>>,
    ) -> Result<Self, BuildError> {
        let builder = weighed_in_bytes(builder, |state: &SessionState| {
            let owned = state.iter().map(|(name, value)| text_bytes(name) + owned_bytes(value));
            (size_of::<SessionState>() + table_bytes(state) + owned.sum::<usize>()) as u64
        });
        let seen = Arc::new(Seen::of(&builder)?);
        Ok(Self { keeper: Arc::new(Keeper::of(builder, wall_ns(), principled)?), seen })
    }

    /// Lets anonymous sessions take half of the cache at most: they make room for each other, and a storm
    /// of visitors evicts no one who is logged in, as long as those fit into the other half.
    ///
    /// `is_anonymous` says of a state whether it belongs to a visitor who has not logged in. A session
    /// counts as what it is when it is stored or loaded. Call it when the storage has been made, before
    /// there are sessions; a second call changes nothing.
    ///
    /// # Errors
    ///
    /// As [`Builder::build`](crate::Builder::build).
    ///
    /// # Examples
    ///
    /// ```
    /// use sundown::{Cache, poem_3::SundownPoemStorage};
    /// let storage = SundownPoemStorage::new(Cache::builder().max_entries(100_000))?
    ///     .anonymous(|state| !state.contains_key("user"))?;
    /// # drop(storage);
    /// # Ok::<(), sundown::BuildError>(())
    /// ```
    pub fn anonymous(
        self,
        is_anonymous: impl Fn(&SessionState) -> bool + Send + Sync + 'static,
    ) -> Result<Self, BuildError> {
        self.anonymous_up_to(DEFAULT_SHARE, is_anonymous)
    }

    /// The same with another share than half: a tenth is 0.1.
    ///
    /// # Errors
    ///
    /// As [`anonymous`](Self::anonymous).
    pub fn anonymous_up_to(
        self,
        share: f64,
        is_anonymous: impl Fn(&SessionState) -> bool + Send + Sync + 'static,
    ) -> Result<Self, BuildError> {
        self.keeper.cap_anonymous(share, Arc::new(is_anonymous), |_, take_out| take_out())?;
        Ok(self)
    }

    /// The cache with the sessions, to look at its [`Stats`](crate::Stats) or to end sessions by hand.
    ///
    /// What is put into it by hand passes the storage's checks by.
    #[must_use]
    pub fn cache(&self) -> &Cache<SessionId, SessionState> {
        self.keeper.sessions()
    }

    fn update(
        &self,
        text: &str,
        mut state: SessionState,
        expires: Option<Duration>,
    ) -> Result<(), Refusal> {
        let Some(key) = SessionId::of(text) else { return Err(Refusal::Malformed) };
        let span_ns = expires.map_or(i128::MAX, |span| span.as_nanos() as i128);
        let (deletion, seen) = (self.seen.take_deletion(), self.seen.take(text, &key));
        if self.keeper.save(&key, &state, span_ns, seen)? != Saved::Gone {
            return Ok(());
        }
        if seen.is_some() || !self.keeper.may_come_again(&key, &state) {
            self.keeper.leave_out(Refusal::NotTaken(Reason::Absent));
            return Ok(());
        }
        let descent = match &deletion {
            None => Descent::Copy,
            Some(Deletion::OfLive(old)) => Descent::Room(old),
            Some(Deletion::OfEnded(seen)) => Descent::Seen(*seen),
        };
        self.keeper.create(&mut state, (&|| key, span_ns), descent)?;
        Ok(())
    }
}

principal_methods!(SundownPoemStorage, str, SessionState, (SessionId::of));

impl SessionStorage for SundownPoemStorage {
    /// A copy of a live session; a use of it.
    async fn load_session<'a>(
        &'a self,
        session_id: &'a str,
    ) -> framework::Result<Option<BTreeMap<String, Value>>> {
        self.seen.forget_deletion();
        let Some(key) = SessionId::of(session_id) else { return Ok(None) };
        let state = self.keeper.load(&key);
        match &state {
            Some(state) => self.seen.note(session_id, key, Revision::of(state)),
            None => drop(self.seen.take(session_id, &key)),
        }
        Ok(state.map(|state| state.into_iter().collect()))
    }

    /// Does to the live session with this id what was done to the entries since they were loaded; puts a
    /// new one in if its request has not loaded it and it was not logged out.
    async fn update_session<'a>(
        &'a self,
        session_id: &'a str,
        entries: &'a BTreeMap<String, Value>,
        expires: Option<Duration>,
    ) -> framework::Result<()> {
        let state = entries.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        self.update(session_id, state, expires).map_err(InternalServerError)
    }

    /// Ends a session. That there is none is no error.
    async fn remove_session<'a>(&'a self, session_id: &'a str) -> framework::Result<()> {
        self.seen.forget_deletion();
        if let Some(key) = SessionId::of(session_id) {
            let seen = self.seen.take(session_id, &key);
            let was_live = self.keeper.end(&key);
            self.seen.note_deletion(key, was_live, seen);
        }
        Ok(())
    }
}

impl fmt::Debug for SundownPoemStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SundownPoemStorage")
            .field("sessions", self.keeper.sessions())
            .finish_non_exhaustive()
    }
}

/// Begins a session's absolute timeout anew with the save of this request, as at log-in, beside
/// `Session::renew`.
///
/// The time to live of a [`SundownPoemStorage`]'s cache counts from the session's creation, and goes on
/// over `renew`, so that changing the id buys no time. In a cache without a time to live this does
/// nothing.
pub fn restart_absolute_timeout(session: &Session) {
    session.set(BIRTH_KEY, RESTART);
}

/// The id of a session: a secret, which `Debug` does not print.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId([u8; ID_BYTES]);

impl SessionId {
    /// The id of a session; `None` unless it is of the form that poem generates, 43 letters of base64.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        let bytes: [u8; ID_BYTES] = text.as_bytes().try_into().ok()?;
        let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
        bytes.iter().all(is_base64).then_some(Self(bytes))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(..)")
    }
}

thread_local! {
    static LAST_DELETION: LastDeletion<SessionId> = const { LastDeletion::new(None) };
}

impl Noting for SessionId {
    fn last_deletion() -> &'static LocalKey<LastDeletion<Self>> {
        &LAST_DELETION
    }
}

impl Kept for SessionState {
    type Key = SessionId;
    type Value = Value;

    fn set_key(&mut self, _: &SessionId) {}

    fn with(&self, pairs: Pairs<Value>) -> Self {
        pairs
    }

    fn pairs(&self) -> &Pairs<Value> {
        self
    }

    fn pairs_mut(&mut self) -> &mut Pairs<Value> {
        self
    }

    fn stated(&self) -> Result<Stated, Refusal> {
        match self.get(BIRTH_KEY) {
            None => Ok(Stated::Unknown),
            Some(value) if value == RESTART => Ok(Stated::Now),
            Some(value) => {
                let millis = value.as_u64().ok_or(Refusal::NoBirth)?;
                Ok(Stated::At(Birth { millis }))
            }
        }
    }

    fn mark(&mut self, birth: Birth) {
        self.insert(BIRTH_KEY.to_owned(), birth.millis.into());
    }
}

/// How long poem makes its ids: 32 bytes in base64 without padding.
const ID_BYTES: usize = 43;

#[cfg(test)]
#[path = "poem_tests.rs"]
mod tests;
