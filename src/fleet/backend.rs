//! What the truth has to offer, whatever keeps it.

use core::fmt;
use core::time::Duration;

use async_trait::async_trait;

use super::error::Error;
use super::key::Key;
use super::watcher::Watcher;
use crate::sessions::OnLimit;

/// Where the truth is: Redis, Valkey, or a database.
///
/// An implementation of one's own must keep what its methods say, above all that [`create`](Self::create) and
/// [`save`](Self::save) are atomic. A future that is dropped may leave its call done or not done, also later;
/// so a creation that may arrive late must be refused if the key was deleted meanwhile.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// Gives a live session. `is_use` asks to count it as a use, once an eighth of its idle time has gone.
    async fn load(&self, key: &Key, is_use: bool) -> Result<Option<Stored>, Error>;

    /// Puts a new session in, unless the key has one or was deleted a moment ago. A session under this key with
    /// the revision that is written is this one, sent twice.
    async fn create(&self, key: &Key, write: &Write) -> Result<Created, Error>;

    /// Changes a live session that has the revision `expected`; else changes nothing, and says what there is.
    /// It counts as a use.
    async fn save(&self, key: &Key, expected: Revision, write: &Write) -> Result<Saved, Error>;

    /// Ends a session and what was created to follow it, and keeps creations under way from bringing it back;
    /// false if there was none.
    async fn delete(&self, key: &Key) -> Result<bool, Error>;

    /// Counts a use of a session; none if it is not live.
    async fn touch(&self, key: &Key) -> Result<Option<Left>, Error>;

    /// A principal's live sessions. Not a use of them.
    async fn sessions_of(&self, principal: &Key) -> Result<Vec<(Key, Stored)>, Error> {
        let _ = principal;
        Err(Error::Unsupported)
    }

    /// Ends a principal's sessions but one, and those whose creation is under way. Gives their keys.
    async fn revoke_all(&self, principal: &Key, except: Option<&Key>) -> Result<Ended, Error> {
        let _ = (principal, except);
        Err(Error::Unsupported)
    }

    /// Has the backend tell what changes from now on; false if it cannot. It is called once.
    fn watch(&self, watcher: Watcher) -> bool {
        let _ = watcher;
        false
    }
}

/// Names what a session was at some moment (F6): 128 random bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Revision([u8; 16]);

impl Revision {
    /// A new one.
    ///
    /// # Panics
    ///
    /// If the system has no random bytes to give.
    #[must_use]
    pub fn draw() -> Self {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the system gives random bytes");
        Self(bytes)
    }

    /// One that was kept as bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// How long a session may still live, as the backend has just found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Left {
    /// Until it ends if it is not used again.
    pub left: Duration,
    /// Until it ends however much it is used; none if it does not end so.
    pub live: Option<Duration>,
}

impl Left {
    /// Both spans.
    #[must_use]
    pub fn new(left: Duration, live: Option<Duration>) -> Self {
        Self { left, live }
    }
}

/// What a backend knows of a session beside its value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Facts {
    /// Which one it is.
    pub revision: Revision,
    /// How long ago it was created, by the backend's clock.
    pub age: Duration,
    /// How long it may still live.
    pub left: Left,
    /// How long it may be idle.
    pub idle: Option<Duration>,
    /// Whose it is.
    pub principal: Option<Key>,
}

impl Facts {
    /// Of a session that is new, is nobody's and may be idle; the fields are open for the rest.
    #[must_use]
    pub fn new(revision: Revision, left: Left) -> Self {
        Self { revision, age: Duration::ZERO, left, idle: None, principal: None }
    }
}

/// A session as a backend keeps it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stored {
    /// What [`Codec`](super::Codec) has made of its value.
    pub bytes: Vec<u8>,
    /// What is known of it.
    pub facts: Facts,
}

impl Stored {
    /// Both.
    #[must_use]
    pub fn new(bytes: Vec<u8>, facts: Facts) -> Self {
        Self { bytes, facts }
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored").field("left", &self.facts.left).finish_non_exhaustive()
    }
}

/// How long a session may live.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Terms {
    /// From the write on, however much it is used.
    pub live: Option<Duration>,
    /// Without being used. If both are none it ends with the longest time that the backend knows.
    pub idle: Option<Duration>,
}

impl Terms {
    pub(super) fn of(live: Option<Duration>, idle: Option<Duration>) -> Self {
        Self { live, idle }
    }
}

/// A change of a session, for the backend.
#[derive(Clone)]
#[non_exhaustive]
pub struct Write {
    /// The session.
    pub bytes: Vec<u8>,
    /// What it is from now on.
    pub revision: Revision,
    /// How long it may live; none keeps its deadline and its idle time.
    pub terms: Option<Terms>,
    /// Whose it is from now on.
    pub origin: Origin,
    /// How long ago it began, if not as before: a new one now, at this write.
    pub age: Option<Duration>,
    /// Of a creation: the session that it is to follow, which this caller has deleted.
    pub predecessor: Option<Key>,
    /// How many sessions a principal may have, and what happens to one more.
    pub limit: Option<(usize, OnLimit)>,
}

impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Write").field("terms", &self.terms).finish_non_exhaustive()
    }
}

/// Whose a session is after a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Origin {
    /// As before.
    #[default]
    Kept,
    /// Nobody's.
    Anonymous,
    /// A principal's.
    Of(Key),
}

/// The keys of sessions that were ended.
pub type Ended = Vec<Key>;

/// What became of a creation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Created {
    /// It is live; these sessions of its principal were ended for it.
    Done(Facts, Ended),
    /// The key has a session, or was deleted a moment ago.
    Taken,
    /// Its predecessor is live, or was deleted by another caller as well, or has a successor.
    Overtaken,
    /// The principal has as many as it may.
    LimitReached,
    /// The principal was revoked since the call was made.
    Revoked,
}

/// What became of a save.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Saved {
    /// It is saved; these sessions of its principal were ended for it.
    Done(Facts, Ended),
    /// It is not live.
    Gone,
    /// It has another revision than was expected.
    Conflict(Stored),
    /// The principal that it is to be bound to has as many as it may.
    LimitReached,
    /// The principal that it is to be bound to was revoked since the call was made.
    Revoked,
}
