//! A session store for [actix-session] 0.11; with the feature `actix-session-0_11`.
//!
//! [actix-session]: https://docs.rs/actix-session/0.11
//
// The middleware loads a session when a request comes and saves it with the response. What follows
// from that is in `keeper.rs`. It moves what it loads into a map of its own, so a copy does not show
// what it was made of; but it gives the very key that it has loaded by to `update` and `delete`.
// `Session::renew` is a `delete` and, as the next call on the thread, a `save`, which has no key.

mod principals;
#[cfg(feature = "fleet")]
mod shared;
mod store;
#[cfg(feature = "fleet")]
mod tiered;

use std::collections::HashMap;
use std::fmt;
use std::thread::LocalKey;

use actix_session_0_11 as framework;

use self::framework::storage::{SaveError, SessionKey, UpdateError, generate_session_key};
pub use self::principals::{StoreBuilder, principal_of};
#[cfg(feature = "fleet")]
pub use self::shared::Shared;
pub use self::store::SundownActixStore;
#[cfg(feature = "fleet")]
pub use self::tiered::TieredActixStore;
use super::footprint::strings_bytes;
use super::keeper::Kept;
use super::lifespan::{BIRTH_KEY, Birth, RESTART, Stated};
use super::merge::Pairs;
use super::refusal::Refusal;
use super::seen::{LastDeletion, Noting};

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
    (size_of::<SessionState>() + strings_bytes(state)) as u64
}

/// Begins a session's absolute timeout anew with the save of this request, as at log-in.
///
/// The time to live of a [`SundownActixStore`]'s cache counts from the session's creation, and goes on
/// over `Session::renew`, so that changing the key buys no time. A user who has proved an identity has begun
/// a new session, though it may have the basket of the old one: the standards count the absolute timeout
/// from there. So call this where the application logs a user in, beside `renew`, and again where the
/// user proves it again. Without it, a visitor who came 7:59 h ago and logs in now is logged out in a
/// minute, at a time to live of 8 h.
///
/// `Session::clear` alone does not restart it. `purge`, or `clear` and `renew` together, ends the session:
/// what is saved after it is a new one. In a cache without a time to live it does nothing.
///
/// # Errors
///
/// None that is known: as `Session::insert`, with a text that is always JSON.
///
/// # Examples
///
/// ```
/// # use actix_session_0_11 as actix_session;
/// use actix_session::Session;
/// use sundown::actix_session_0_11::restart_absolute_timeout;
///
/// async fn log_in(session: Session) -> Result<&'static str, actix_session::SessionInsertError> {
///     session.renew();
///     session.insert("user", "ada")?;
///     restart_absolute_timeout(&session)?;
///     Ok("hello")
/// }
/// ```
pub fn restart_absolute_timeout(
    session: &framework::Session,
) -> Result<(), framework::SessionInsertError> {
    session.insert(BIRTH_KEY, RESTART)
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

    fn draw() -> Self {
        Self::of(&generate_session_key()).expect("actix-session's keys are 64 letters")
    }

    /// The key as actix-session has it.
    fn to_key(self) -> SessionKey {
        self.secret().to_owned().try_into().expect("64 letters are a key")
    }

    /// The key in clear text. It is all that a client needs to use the session.
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

thread_local! {
    static LAST_DELETION: LastDeletion<SessionId> = const { LastDeletion::new(None) };
}

impl Noting for SessionId {
    fn last_deletion() -> &'static LocalKey<LastDeletion<Self>> {
        &LAST_DELETION
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

impl Kept for SessionState {
    type Key = SessionId;
    type Value = String;

    fn set_key(&mut self, _: &SessionId) {}

    fn with(&self, pairs: Pairs<String>) -> Self {
        pairs
    }

    fn pairs(&self) -> &Pairs<String> {
        self
    }

    fn pairs_mut(&mut self) -> &mut Pairs<String> {
        self
    }

    fn stated(&self) -> Result<Stated, Refusal> {
        Stated::in_json(self.get(BIRTH_KEY).map(String::as_str)).ok_or(Refusal::NoBirth)
    }

    fn mark(&mut self, birth: Birth) {
        self.insert(BIRTH_KEY.to_owned(), birth.millis.to_string());
    }
}

/// How long actix-session makes its keys.
const KEY_BYTES: usize = 64;

#[cfg(test)]
mod tests;
