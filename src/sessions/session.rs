//! What the application is given of a session.

use core::any::Any;
use core::fmt;
use core::ops::Deref;
use core::time::Duration;
use std::time::SystemTime;

use super::id::{Digest, PublicId, SessionId};
use super::life::{Life, State};
use crate::lifetime::Expiry;
use crate::overstay::Held;
use crate::platform::clock::nanos;
use crate::platform::sync::{Arc, Weak};
use crate::removal::RemovalCause;

/// What the cache has of a session: what each look-up compares, and its version.
pub(crate) struct Stored<P, T> {
    digest: Digest,
    /// Whether its life goes without asking; not if it was stored by a log-in that was under way (L1).
    is_settled: bool,
    pub(super) version: Arc<Version<P, T>>,
}

// By hand: a derive would ask the same of `P` and `T`.
impl<P, T> Clone for Stored<P, T> {
    fn clone(&self) -> Self {
        Self { digest: self.digest, is_settled: self.is_settled, version: self.version.clone() }
    }
}

/// One version of a session.
pub(super) struct Version<P, T> {
    pub(super) life: Arc<Life<P>>,
    /// The life before a log-in that may still be under way.
    pub(super) before: Option<Arc<Life<P>>>,
    /// Digests of ids before this one, and when their grace ends.
    pub(super) graced: Box<[(Digest, u64)]>,
    pub(super) authenticated_ns: Option<u64>,
    pub(super) data: Arc<T>,
}

impl<P, T> Stored<P, T> {
    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    pub(super) fn new(digest: Digest, version: Version<P, T>) -> Self {
        Self { digest, is_settled: version.before.is_none(), version: Arc::new(version) }
    }

    /// Whether this is the session of an id with this digest, and it may be served.
    #[inline]
    pub(super) fn is_of(&self, digest: &Digest) -> bool {
        (self.digest.is(digest) || self.is_graced(digest)) && self.is_served()
    }

    /// The same, and the id is the newest.
    pub(super) fn is_newest_of(&self, digest: &Digest) -> bool {
        self.digest.is(digest) && self.is_served()
    }

    /// Whether it may be served while it is in the cache.
    #[inline]
    pub(super) fn is_served(&self) -> bool {
        self.is_settled || self.version.life.is_served(self.version.before.as_deref())
    }

    #[cold]
    fn is_graced(&self, digest: &Digest) -> bool {
        let version = &*self.version;
        let is_it = |(graced, end_ns): &(Digest, u64)| {
            graced.is(digest) && version.life.root.clock.exact_ns() < *end_ns
        };
        version.graced.iter().any(is_it)
    }

    /// The same with other data.
    pub(super) fn with_data(&self, data: T) -> Self {
        Self::new(self.digest, Version { data: Arc::new(data), ..self.version.next() })
    }

    /// The same after its log-in is done.
    pub(super) fn settled(&self) -> Self {
        Self::new(self.digest, self.version.next())
    }

    /// The same with a new id; the old one is found for as long as `grace_ns`.
    pub(super) fn renamed(&self, id: &SessionId, grace_ns: u64) -> Self {
        Self::new(id.digest(), self.version.renamed(self.digest, grace_ns))
    }

    /// The same with a new id, as the version of a log-in.
    pub(super) fn logged_in(
        &self,
        id: &SessionId,
        grace_ns: u64,
        (before, life): (&Arc<Life<P>>, &Arc<Life<P>>),
    ) -> Self {
        let renamed = self.version.renamed(self.digest, grace_ns);
        let before = if life.is(before) { renamed.before } else { Some(before.clone()) };
        let authenticated_ns = Some(life.root.clock.exact_ns());
        let version = Version { life: life.clone(), before, authenticated_ns, ..renamed };
        Self::new(id.digest(), version)
    }
}

/// What is held on is the session, through all its versions and lives, not one of them.
impl<P: Send + Sync + 'static, T: Send + Sync + 'static> Held for Stored<P, T> {
    type Trace = Weak<dyn Any + Send + Sync>;

    fn trace(&self) -> Self::Trace {
        let root: Arc<dyn Any + Send + Sync> = self.version.life.root.clone();
        Arc::downgrade(&root)
    }

    fn address(&self) -> usize {
        Arc::as_ptr(&self.version.life.root).addr()
    }
}

impl<P, T> Version<P, T> {
    /// The same, to be changed by the caller.
    fn next(&self) -> Self {
        // Once the life has begun, the one before is no matter. One that has ended stays unsettled (L2).
        let is_settled = self.life.state() == State::Live;
        Self {
            life: self.life.clone(),
            before: self.before.clone().filter(|_| !is_settled),
            graced: self.graced.clone(),
            authenticated_ns: self.authenticated_ns,
            data: self.data.clone(),
        }
    }

    /// The same for a new id, with the digest of the old.
    fn renamed(&self, old: Digest, grace_ns: u64) -> Self {
        let mut graced: Vec<_> = Vec::new();
        if grace_ns > 0 {
            let now_ns = self.life.root.clock.exact_ns();
            graced.extend(self.graced.iter().filter(|(_, end_ns)| now_ns < *end_ns));
            graced.push((old, now_ns.saturating_add(grace_ns)));
            // Whoever changes ids so quickly has no use for the oldest.
            graced.drain(..graced.len().saturating_sub(MOST_GRACED));
        }
        Self { graced: graced.into_boxed_slice(), ..self.next() }
    }
}

/// A session, for as long as the application looks at it; a cheap handle to its data.
///
/// It shows the session as it was when it was looked up, also when that has ended or changed since. To hold
/// it keeps the data in memory.
///
/// # Examples
///
/// ```
/// use sundown::sessions::Sessions;
/// let sessions: Sessions<u64, String> = Sessions::builder().max_entries(10).build()?;
/// let id = sessions.create_for(7, "phone".into())?;
/// let session = sessions.get(&id).expect("it is live");
/// assert_eq!(session.as_str(), "phone");
/// assert_eq!(session.principal(), Some(&7));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Session<P, T>(pub(super) Arc<Version<P, T>>);

impl<P, T> Session<P, T> {
    /// Whose it is; `None` before the log-in.
    #[must_use]
    pub fn principal(&self) -> Option<&P> {
        self.0.life.principal.as_ref()
    }

    /// What names it to anyone.
    #[must_use]
    pub fn public_id(&self) -> PublicId {
        *self.0.life.public()
    }

    /// When it was created. Measured by the cache's clock, and told by the wall clock of now.
    #[must_use]
    pub fn created(&self) -> SystemTime {
        self.told(self.0.life.root.created_ns)
    }

    /// When its principal last proved who it is; `None` before the log-in.
    #[must_use]
    pub fn authenticated(&self) -> Option<SystemTime> {
        self.0.authenticated_ns.map(|at_ns| self.told(at_ns))
    }

    /// Whether its principal has proved who it is within the last `max_age`: for what needs a fresh log-in,
    /// such as a change of the password.
    #[must_use]
    pub fn is_fresh(&self, max_age: Duration) -> bool {
        self.0.authenticated_ns.is_some_and(|at_ns| self.age_ns(at_ns) <= nanos(max_age))
    }

    fn age_ns(&self, at_ns: u64) -> u64 {
        self.0.life.root.clock.exact_ns().saturating_sub(at_ns)
    }

    fn told(&self, at_ns: u64) -> SystemTime {
        time_ago(Duration::from_nanos(self.age_ns(at_ns)))
    }

    pub(super) fn lived(&self) -> Duration {
        Duration::from_nanos(self.age_ns(self.0.life.root.created_ns))
    }
}

/// The wall clock's time so long ago.
pub(super) fn time_ago(age: Duration) -> SystemTime {
    SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH)
}

impl<P, T> Clone for Session<P, T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<P, T> Deref for Session<P, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.data
    }
}

impl<P, T> fmt::Debug for Session<P, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("public_id", &self.public_id()).finish_non_exhaustive()
    }
}

/// A row of a user's device list; see [`Sessions::sessions_of`](super::Sessions::sessions_of), and the stores' method
/// of that name.
#[non_exhaustive]
pub struct SessionInfo<P, T> {
    /// What names it, for the button that ends it.
    pub public_id: PublicId,
    /// When it was created.
    pub created: SystemTime,
    /// When its principal last proved who it is.
    pub authenticated: Option<SystemTime>,
    /// When it was last used.
    pub last_used: SystemTime,
    /// When it ends if it is not used.
    pub expires_in: Expiry,
    /// Its data: the application's own words for the device.
    pub data: Session<P, T>,
}

impl<P: Clone, T> SessionInfo<P, T> {
    /// Of a session that a store keeps otherwise, under keys of its own.
    #[allow(dead_code, reason = "for the adapters of some features")]
    pub(crate) fn of_store<K>(
        life: &Life<P, K>,
        data: T,
        (idle, expires_in): (Duration, Expiry),
    ) -> Self {
        let principal = (life.principal.clone(), life.hash);
        let data = Session(Arc::new(Version {
            life: Arc::new(Life::of_key((), life.root.clone(), principal, life.begun_ns)),
            before: None,
            graced: Box::default(),
            authenticated_ns: Some(life.begun_ns),
            data: Arc::new(data),
        }));
        Self {
            public_id: data.public_id(),
            created: data.created(),
            authenticated: data.authenticated(),
            last_used: time_ago(idle),
            expires_in,
            data,
        }
    }
}

impl<P, T> Clone for SessionInfo<P, T> {
    fn clone(&self) -> Self {
        Self { data: self.data.clone(), ..*self }
    }
}

impl<P, T> fmt::Debug for SessionInfo<P, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionInfo")
            .field("public_id", &self.public_id)
            .field("created", &self.created)
            .field("authenticated", &self.authenticated)
            .field("last_used", &self.last_used)
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}

/// The end of a session; see [`Builder::on_end`](super::Builder::on_end).
#[non_exhaustive]
pub struct SessionEnd<P, T> {
    /// Whose it was.
    pub principal: Option<P>,
    /// The session as it was at its end.
    pub data: Session<P, T>,
    /// Why it ended.
    pub cause: EndCause,
    /// How long ago it was created.
    pub lived: Duration,
}

impl<P, T> fmt::Debug for SessionEnd<P, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionEnd")
            .field("data", &self.data)
            .field("cause", &self.cause)
            .field("lived", &self.lived)
            .finish_non_exhaustive()
    }
}

/// Why a session has ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum EndCause {
    /// It had lived for its whole time to live.
    Expired,
    /// It had not been used for its time to idle.
    Idle,
    /// It was the least recently used when room was needed.
    Evicted,
    /// The application ended it.
    Revoked,
    /// Its principal had as many as allowed, and this was the oldest.
    LimitReached,
    /// The cache was closed or dropped.
    Closed,
}

impl EndCause {
    pub(super) fn of(cause: RemovalCause) -> Self {
        match cause {
            RemovalCause::Expired => Self::Expired,
            RemovalCause::Idle => Self::Idle,
            RemovalCause::Evicted => Self::Evicted,
            RemovalCause::Closed => Self::Closed,
            RemovalCause::Removed | RemovalCause::Replaced | RemovalCause::Cleared => Self::Revoked,
        }
    }

    /// Whether time ended it, rather than a caller or a lack of room.
    #[must_use]
    pub fn is_timeout(self) -> bool {
        matches!(self, Self::Expired | Self::Idle)
    }
}

/// No more digests of earlier ids than these are kept for a session.
const MOST_GRACED: usize = 8;
