//! A session store for [saysion] 0.2, and so for salvo 1; with the feature `saysion-0_2`.
//!
//! [saysion]: https://docs.rs/saysion/0.2
//
// The middleware loads a session by the value of its cookie, whose hash is the session's id, and stores
// it with the response. A session that is new, or has been given a new id by `regenerate`, has a cookie
// value to hand out, and only such a one has. What a session was made of it does not tell, nor its
// former id; so a mark goes along in its data.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use saysion_0_2 as framework;

use self::framework::time::OffsetDateTime;
use self::framework::{Session, SessionStore, async_trait};
use super::anonymous::DEFAULT_SHARE;
use super::descent::Revision;
use super::footprint::{strings_bytes, weighed_in_bytes};
use super::keeper::{Descent, Keeper, Kept, Principled, Saved};
use super::lifespan::{BIRTH_KEY, Birth, RESTART, Stated, wall_ns};
use super::merge::Pairs;
use super::refusal::Refusal;
pub use super::setup::StoreBuilder;
use super::setup::principal_methods;
use crate::builder::Builder;
use crate::cache::Cache;
use crate::error::{BuildError, Reason};
use crate::sessions::{PublicId, SessionInfo, SessionStats};

/// A session store for salvo that keeps the cache's promises: every session is gone when its time is up,
/// and its memory is back, whether or not another request comes.
///
/// A session ends at its expiry, which salvo's middleware moves to a day from now with each request that
/// stores it, at the cache's time to live after it was first created, or when it was not loaded or
/// stored for the cache's time to idle, whichever comes first. The time to live also holds over
/// `Session::regenerate`; the time of creation travels with the session's data for that, under the key
/// `sundown.created`, if the cache has a time to live.
///
/// Clones are handles of one store. Neither `Debug` nor any error prints an id or what a session holds.
///
/// # Requests side by side
///
/// A save does to the session what its request has done to its copy. Where two requests load a session
/// and both change it, what each has changed is kept, the later save of one name wins, and what one has
/// removed the other does not bring back.
///
/// A log-out, by `destroy`, is final: a save of a request that has loaded the session before does
/// nothing, and is no error. Nor does one after the session ran out or was evicted bring it back. What a
/// request takes along by `regenerate` from a session that was logged out meanwhile is only what it has
/// put in itself. With `regenerate` the session under the former id ends, when the new one is stored.
///
/// For this a loaded session has an entry `sundown.loaded` in its data, which is not stored: a session
/// that holds nothing else is not [`is_empty`](Session::is_empty). A handler that removes it, or
/// puts data of one session into another with it, has a save taken for that of a request that has made
/// all of its data anew.
///
/// # What the interface does not allow
///
/// saysion draws the ids: the store puts a session in under the id that it comes with, if no live one has
/// it. As an id is the hash of a secret that the server has drawn, and the middleware stores nothing
/// under an id that it has not found, a planted cookie never becomes a session.
///
/// # Locking
///
/// None of its own; see [`Cache`]. No call ever awaits anything.
///
/// # Errors
///
/// `store_session` fails where the cache does not take the session: too heavy, full and rejecting, or
/// closed; and where its time of creation is corrupt. Nothing is lost by a failure.
/// [`Stats::rejections`](crate::Stats::rejections) counts these, and with the feature `tracing` there is
/// an event for each kind, once a minute. The other calls do not fail: a cookie of another form finds
/// nothing.
///
/// # Examples
///
/// In a service, `SessionHandler::builder(store, secret).build()` is all there is to add.
///
/// ```
/// use std::time::Duration;
/// # use saysion_0_2 as saysion;
/// use saysion::{Session, SessionStore};
/// use sundown::{Cache, saysion_0_2::SundownSaysionStore};
///
/// # pollster::block_on(async {
/// let store = SundownSaysionStore::new(
///     Cache::builder()
///         .max_entries(100_000)
///         .time_to_idle(Duration::from_secs(30 * 60))
///         .time_to_live(Duration::from_secs(8 * 3600)), // also over `regenerate`
/// )?;
/// let mut session = Session::new();
/// session.insert("user", "ada")?;
/// let cookie = store.store_session(session).await?.unwrap();
/// let session = store.load_session(cookie).await?.unwrap();
/// assert_eq!(session.get("user"), Some("ada".to_owned()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct SundownSaysionStore {
    keeper: Arc<Keeper<SessionState>>,
}

/// What a session holds.
#[derive(Clone, Default)]
pub struct SessionState {
    /// JSON by name.
    pub data: HashMap<String, String>,
    /// When it is to end by its own word.
    pub expiry: Option<OffsetDateTime>,
}

impl SundownSaysionStore {
    /// A store on a cache of its own.
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

    /// Begins to set a store up that knows whose its sessions are.
    ///
    /// # Examples
    ///
    /// ```
    /// use sundown::sessions::OnLimit;
    /// use sundown::{Cache, saysion_0_2::SundownSaysionStore};
    /// let store = SundownSaysionStore::builder(Cache::builder().max_entries(100_000))
    ///     .principal(|state| state.data.get("user").cloned())
    ///     .max_per_principal(3, OnLimit::RevokeOldest)
    ///     .build()?;
    /// assert_eq!(store.revoke_all("ada"), 0);
    /// # Ok::<(), sundown::BuildError>(())
    /// ```
    pub fn builder(
        cache: Builder<SessionId, SessionState>,
    ) -> StoreBuilder<SessionId, SessionState, Self> {
        StoreBuilder::new(cache, |setup| {
            let StoreBuilder { cache, principal, limit, anonymous, .. } = setup;
            let store = Self::of(cache, principal.map(|rule| (rule, limit)))?;
            match anonymous {
                Some((share, rule)) => store.anonymous_up_to(share, rule),
                None => Ok(store),
            }
        })
    }

    fn of(
        builder: Builder<SessionId, SessionState>,
        principled: Option<Principled<SessionState>>,
    ) -> Result<Self, BuildError> {
        let builder = weighed_in_bytes(builder, |state: &SessionState| {
            (size_of::<SessionState>() + strings_bytes(&state.data)) as u64
        });
        Ok(Self { keeper: Arc::new(Keeper::of(builder, wall_ns(), principled)?) })
    }

    /// Lets anonymous sessions take half of the cache at most: they make room for each other, and a storm
    /// of visitors evicts no one who is logged in, as long as those fit into the other half.
    ///
    /// `is_anonymous` says of a state whether it belongs to a visitor who has not logged in. A session
    /// counts as what it is when it is stored or loaded. Call it when the store has been made, before
    /// there are sessions; a second call changes nothing.
    ///
    /// # Errors
    ///
    /// As [`Builder::build`](crate::Builder::build).
    ///
    /// # Examples
    ///
    /// ```
    /// use sundown::{Cache, saysion_0_2::SundownSaysionStore};
    /// let store = SundownSaysionStore::new(Cache::builder().max_entries(100_000))?
    ///     .anonymous(|state| !state.data.contains_key("user"))?;
    /// # drop(store);
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
    /// What is put into it by hand passes the store's checks by.
    #[must_use]
    pub fn cache(&self) -> &Cache<SessionId, SessionState> {
        self.keeper.sessions()
    }

    fn store(&self, session: Session) -> Result<Option<String>, Refusal> {
        let key = SessionId::of(session.id()).ok_or(Refusal::Malformed)?;
        let (mut state, loaded) = taken_apart(&session)?;
        let span_ns = state
            .expiry
            .map_or(i128::MAX, |expiry| expiry.unix_timestamp_nanos().saturating_sub(wall_ns()));
        let Some(cookie) = session.into_cookie_value() else {
            let seen = loaded.map(|(_, revision)| revision);
            if self.keeper.save(&key, &state, span_ns, seen)? == Saved::Gone {
                self.keeper.leave_out(Refusal::NotTaken(Reason::Absent));
            }
            return Ok(None);
        };
        let descent = match loaded {
            Some((old, revision)) => {
                self.keeper.end(&old);
                Descent::Seen(revision)
            }
            None => Descent::Copy,
        };
        self.keeper.create(&mut state, (&|| key, span_ns), descent)?;
        Ok(Some(cookie))
    }
}

principal_methods!(SundownSaysionStore, str, SessionState, (SessionId::of));

#[async_trait]
impl SessionStore for SundownSaysionStore {
    /// A copy of a live session; a use of it.
    async fn load_session(&self, cookie_value: String) -> framework::Result<Option<Session>> {
        let id = Session::id_from_cookie_value(&cookie_value).ok();
        let Some(key) = id.as_deref().and_then(SessionId::of) else { return Ok(None) };
        let Some(state) = self.keeper.load(&key) else { return Ok(None) };
        Ok(Some(put_together(key, state)?))
    }

    /// Does to the live session with this id what was done to the session since it was loaded; puts a
    /// new one in if it has a cookie value to hand out.
    async fn store_session(&self, session: Session) -> framework::Result<Option<String>> {
        Ok(self.store(session)?)
    }

    /// Ends a session, also one that was given a new id. That there is none is no error.
    async fn destroy_session(&self, session: Session) -> framework::Result {
        if let Some((old, _)) = session.get_raw(LOADED_KEY).as_deref().and_then(read_mark) {
            self.keeper.end(&old);
        }
        if let Some(key) = SessionId::of(session.id()) {
            if self.keeper.sessions().contains_key(&key) {
                self.keeper.end(&key);
            }
        }
        Ok(())
    }

    /// Ends all sessions.
    async fn clear_store(&self) -> framework::Result {
        let mut keys = Vec::new();
        self.keeper.sessions().for_each(|&key, _| keys.push(key));
        for key in keys {
            self.keeper.end(&key);
        }
        Ok(())
    }
}

impl fmt::Debug for SundownSaysionStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SundownSaysionStore")
            .field("sessions", self.keeper.sessions())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SessionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionState").field("expiry", &self.expiry).finish_non_exhaustive()
    }
}

/// Begins a session's absolute timeout anew when this request's session is stored, as at log-in, beside
/// `Session::regenerate`.
///
/// The time to live of a [`SundownSaysionStore`]'s cache counts from the session's creation, and goes on
/// over `regenerate`, so that changing the id buys no time. In a cache without a time to live this does
/// nothing.
pub fn restart_absolute_timeout(session: &mut Session) {
    session.insert_raw(BIRTH_KEY, RESTART.to_owned());
}

/// The id of a session, the hash of its cookie's value; `Debug` does not print it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId([u8; ID_BYTES]);

impl SessionId {
    /// The id of a session; `None` unless it is of the form of saysion's, 44 letters.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        text.as_bytes().try_into().ok().filter(|bytes: &[u8; ID_BYTES]| bytes.is_ascii()).map(Self)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.0).expect("only ASCII is let in")
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(..)")
    }
}

/// A session tells its data as a whole only when it is serialized.
fn taken_apart(session: &Session) -> Result<(SessionState, Option<Loaded>), Refusal> {
    let mut data: HashMap<String, String> = serde_json::to_value(session)
        .and_then(|mut value| serde_json::from_value(value["data"].take()))
        .map_err(|_| Refusal::Malformed)?;
    let loaded = data.remove(LOADED_KEY).as_deref().and_then(read_mark);
    Ok((SessionState { data, expiry: session.expiry().copied() }, loaded))
}

fn put_together(key: SessionId, state: SessionState) -> serde_json::Result<Session> {
    let revision = Revision::of(&state.data);
    let mut data = state.data;
    data.insert(LOADED_KEY.to_owned(), format!("\"{}{:016x}\"", key.text(), revision.0));
    let value = serde_json::json!({ "id": key.text(), "expiry": null, "data": data });
    let mut session: Session = serde_json::from_value(value)?;
    if let Some(expiry) = state.expiry {
        session.set_expiry(expiry);
    }
    Ok(session)
}

/// What a request has loaded.
type Loaded = (SessionId, Revision);

fn read_mark(text: &str) -> Option<Loaded> {
    let (id, number) = text.trim_matches('"').split_at_checked(ID_BYTES)?;
    Some((SessionId::of(id)?, Revision(u64::from_str_radix(number, 16).ok()?)))
}

impl Kept for SessionState {
    type Key = SessionId;
    type Value = String;

    fn set_key(&mut self, _: &SessionId) {}

    fn with(&self, data: Pairs<String>) -> Self {
        Self { data, expiry: self.expiry }
    }

    fn pairs(&self) -> &Pairs<String> {
        &self.data
    }

    fn pairs_mut(&mut self) -> &mut Pairs<String> {
        &mut self.data
    }

    fn stated(&self) -> Result<Stated, Refusal> {
        Stated::in_json(self.data.get(BIRTH_KEY).map(String::as_str)).ok_or(Refusal::NoBirth)
    }

    fn mark(&mut self, birth: Birth) {
        self.data.insert(BIRTH_KEY.to_owned(), birth.millis.to_string());
    }
}

/// Names in a session's data what it was loaded from.
const LOADED_KEY: &str = "sundown.loaded";

/// How long saysion makes its ids: 32 bytes in base64.
const ID_BYTES: usize = 44;

#[cfg(test)]
#[path = "saysion_tests.rs"]
mod tests;
