//! A session store for [actix-session] 0.11; with the feature `actix-session-0_11`.
//!
//! [actix-session]: https://docs.rs/actix-session/0.11
//
// The middleware loads a session when a request comes and saves it with the response. Meanwhile
// another request may have logged the user out. So only `save` makes a session live, and under a
// key that it has just drawn; `update` replaces a live one or fails, in one atomic call of the cache.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use actix_session_0_11 as framework;
use time::Duration;

use self::framework::storage::{
    LoadError, SaveError, SessionKey, SessionStore, UpdateError, generate_session_key,
};
use super::footprint::{table_bytes, text_bytes, weighed_in_bytes};
use super::lifespan::{BIRTH_KEY, Birth, Lifespan, wall_ns};
use super::refusal::Refusal;
use crate::builder::Builder;
use crate::cache::Cache;
use crate::error::BuildError;
use crate::lifetime::Lifetime;

/// What a session holds, as actix-session hands it over: JSON by name.
pub type SessionState = HashMap<String, String>;

/// The bytes that a session's state takes: the map itself, and the blocks that it owns.
///
/// Blocks are counted as glibc's allocator sets them aside, with their headers and rounded up, and
/// with the capacity that texts and the table do not use. Measured against that allocator, it is
/// within 15 %.
///
/// It is what a [`SundownActixStore`] weighs with if it has a
/// [`max_weight`](crate::Builder::max_weight) and no weigher; key and
/// [overhead](crate::Builder::count_overhead) come on top there. A weigher of your own can add to it
/// what else the session takes.
///
/// **Complexity:** linear in the names and values; nothing is allocated.
///
/// # Examples
///
/// ```
/// use sundown::actix_session_0_11::{SessionState, state_bytes};
/// let state = SessionState::from([("user".to_owned(), "\"ada\"".to_owned())]);
/// assert!(state_bytes(&state) > 17 * "user: ada".len() as u64);
/// ```
#[must_use]
pub fn state_bytes(state: &SessionState) -> u64 {
    let owned = state.iter().map(|(name, json)| text_bytes(name) + text_bytes(json));
    (size_of::<SessionState>() + table_bytes(state) + owned.sum::<usize>()) as u64
}

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
/// # Locking
///
/// None of its own; see [`Cache`]. No call ever awaits anything: `load` takes no lock, the others
/// take the lock of one shard for a short time.
///
/// # Errors
///
/// `save`, `update` and `update_ttl` fail, as `Other`, and say why, where
///
/// - the lifetime is not positive, or over ten years;
/// - the cache's time to live has passed since the session was first created;
/// - the cache does not take the session: too heavy, full and rejecting, or closed;
/// - `update` would bring a session back that has ended (logged out, expired or evicted).
///
/// They fail as `Serialization` where the session's time of creation is corrupt. Nothing is lost by
/// a failure: a live session stays as it was, unless the lifetime says that it has ended.
///
/// `load` fails with `Deserialization` where the key is not of the form that the store makes, 64
/// letters and digits; the middleware then logs a warning and begins an empty session, to which
/// `update` gives a key of its own. For such a key `update_ttl` and `delete` have nothing to do, as
/// for one whose session has ended.
///
/// A request that fails to save because its session was logged out meanwhile is answered by the
/// middleware with status 500; that is the price of not logging the user in again.
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
    sessions: Cache<SessionId, SessionState>,
    lifespan: Arc<Lifespan>,
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
        let builder = weighed_in_bytes(builder, state_bytes);
        let lifespan = Arc::new(Lifespan::of(&builder, wall_ns())?);
        Ok(Self { sessions: builder.build()?, lifespan })
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
        &self.sessions
    }

    fn put_new(&self, mut state: SessionState, ttl: Duration) -> Result<SessionKey, Refusal> {
        let birth = self.lifespan.birth(birth_of(&state)?);
        let lifetime = self.lifespan.lasting(ttl.whole_nanoseconds(), birth)?;
        mark(&mut state, birth);
        for _ in 0..MOST_KEYS {
            let session_key = generate_session_key();
            let key = SessionId::of(&session_key).ok_or(Refusal::Malformed)?;
            match self.sessions.insert_if_absent(key, state, lifetime) {
                Ok(()) => return Ok(session_key),
                Err(rejected) => {
                    let refusal = Refusal::from(&rejected);
                    if refusal != Refusal::Taken {
                        return Err(refusal);
                    }
                    state = rejected.into_parts().1;
                }
            }
        }
        Err(Refusal::Taken)
    }

    fn put_again(
        &self,
        key: SessionId,
        mut state: SessionState,
        ttl: Duration,
    ) -> Result<(), Refusal> {
        let known = self.sessions.read(&key, birth_of).ok_or(Refusal::Ended)??;
        let birth = self.lifespan.birth(birth_of(&state)?.into_iter().chain(known));
        let lifetime = self.lifetime_or_end(&key, ttl, birth)?;
        mark(&mut state, birth);
        self.sessions.replace(key, state, lifetime).map_err(|rejected| Refusal::from(&rejected))
    }

    fn prolong(&self, key: &SessionId, ttl: Duration) -> Result<(), Refusal> {
        let Some(known) = self.sessions.read(key, birth_of) else { return Ok(()) };
        let lifetime = self.lifetime_or_end(key, ttl, self.lifespan.birth(known?))?;
        self.sessions.set_lifetime(key, lifetime);
        Ok(())
    }

    /// The lifetime of a live session from now on; ends it if it has none left.
    fn lifetime_or_end(
        &self,
        key: &SessionId,
        ttl: Duration,
        birth: Option<Birth>,
    ) -> Result<Lifetime, Refusal> {
        let lifetime = self.lifespan.lasting(ttl.whole_nanoseconds(), birth);
        if matches!(lifetime, Err(Refusal::Past | Refusal::LivedOut)) {
            self.sessions.discard(key);
        }
        lifetime
    }
}

impl SessionStore for SundownActixStore {
    /// A copy of a live session; a use of it.
    async fn load(&self, session_key: &SessionKey) -> Result<Option<SessionState>, LoadError> {
        let key = SessionId::of(session_key).ok_or(Refusal::Malformed);
        let key = key.map_err(|refusal| LoadError::Deserialization(refusal.into()))?;
        Ok(self.sessions.read(&key, SessionState::clone))
    }

    /// Puts a new session in, under a key that no live session has.
    async fn save(&self, state: SessionState, ttl: &Duration) -> Result<SessionKey, SaveError> {
        self.put_new(state, *ttl).map_err(SaveError::from)
    }

    /// Puts a session in place of the live one with its key. Fails if there is none.
    async fn update(
        &self,
        session_key: SessionKey,
        state: SessionState,
        ttl: &Duration,
    ) -> Result<SessionKey, UpdateError> {
        let put = match SessionId::of(&session_key) {
            Some(key) => self.put_again(key, state, *ttl).map(|()| session_key),
            // Nobody was ever logged in here by that key.
            None => self.put_new(state, *ttl),
        };
        put.map_err(UpdateError::from)
    }

    /// Gives a live session its lifetime anew, from now; a use of it.
    ///
    /// That it has ended is no error: there is nothing to lose.
    async fn update_ttl(
        &self,
        session_key: &SessionKey,
        ttl: &Duration,
    ) -> Result<(), anyhow::Error> {
        let key = SessionId::of(session_key);
        key.map_or(Ok(()), |key| self.prolong(&key, *ttl)).map_err(anyhow::Error::from)
    }

    /// Ends a session. That there is none is no error.
    async fn delete(&self, session_key: &SessionKey) -> Result<(), anyhow::Error> {
        if let Some(key) = SessionId::of(session_key) {
            self.sessions.discard(&key);
        }
        Ok(())
    }
}

impl fmt::Debug for SundownActixStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SundownActixStore")
            .field("sessions", &self.sessions)
            .finish_non_exhaustive()
    }
}

/// The key of a session in the cache: a secret, which `Debug` does not print.
///
/// # Examples
///
/// ```
/// # use actix_session_0_11 as actix_session;
/// use actix_session::storage::generate_session_key;
/// use sundown::actix_session_0_11::SessionId;
///
/// let session_key = generate_session_key();
/// let key = SessionId::of(&session_key).unwrap();
/// assert_eq!(format!("{key:?}"), "SessionId(..)");
/// assert_eq!(key.secret(), session_key.as_ref());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId([u8; KEY_BYTES]);

impl SessionId {
    /// The key of a session; `None` unless it is of the form that actix-session generates, 64
    /// letters and digits.
    #[must_use]
    pub fn of(session_key: &SessionKey) -> Option<Self> {
        let bytes: [u8; KEY_BYTES] = session_key.as_ref().as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_alphanumeric).then_some(Self(bytes))
    }

    /// The key in clear text. Whoever has it has the session.
    #[must_use]
    pub fn secret(&self) -> &str {
        std::str::from_utf8(&self.0).expect("only letters and digits are let in")
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(..)")
    }
}

impl From<Refusal> for SaveError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoBirth => Self::Serialization(refusal.into()),
            _ => Self::Other(refusal.into()),
        }
    }
}

impl From<Refusal> for UpdateError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoBirth => Self::Serialization(refusal.into()),
            _ => Self::Other(refusal.into()),
        }
    }
}

/// When the session was first created, if its state knows.
fn birth_of(state: &SessionState) -> Result<Option<Birth>, Refusal> {
    let Some(value) = state.get(BIRTH_KEY) else { return Ok(None) };
    let millis = value.parse().map_err(|_| Refusal::NoBirth)?;
    Ok(Some(Birth { millis }))
}

fn mark(state: &mut SessionState, birth: Option<Birth>) {
    if let Some(birth) = birth {
        state.insert(BIRTH_KEY.to_owned(), birth.millis.to_string());
    }
}

/// How long actix-session makes its keys.
const KEY_BYTES: usize = 64;

/// So many keys in a row that are all taken are no accident.
const MOST_KEYS: usize = 8;

#[cfg(test)]
mod tests;
