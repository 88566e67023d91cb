//! Sessions: who is logged in, on which devices and since when; end them all now; at most three each.
//!
//! A [`Cache`] frees entries on time. A service thinks in sessions, which have an id that is a secret, often
//! a *principal*, whose they are, and which end by log-out, by a limit, or all at once. [`Sessions`] is a
//! cache whose entries are sessions:
//!
//! ```text
//!   SessionId = public half ‖ secret half
//!                    │            └── digest ──► compared
//!                    ▼                              │
//!                  cache ──► version { life, digest, data }
//!                                       │
//!          principals ──► lives ────────┘   served while the life is
//! ```
//!
//! A session's entry keeps its key, the public half of the id, for as long as it lives. A new id, a log-in and an update
//! each put another *version* in the entry's place, as one step of the cache: with its room, its deadlines
//! and its last use, in a full cache too, and so that each look-up finds the one or the other. What all
//! versions share is the *life*, whose state decides whether any of them is served. Whoever ends a
//! session ends its life; a save that comes later changes nothing any more.
//!
//! | promise | kept by |
//! | --- | --- |
//! | no session that has ended is listed, and none that lives is missing | `principals` (S1) |
//! | never more of a principal's than allowed | `principals` (S2) |
//! | revocation is final | `life` (L1, L2) |
//! | a new id loses nothing | one update of the cache |
//! | ids are secrets | `id` (D1) |
//! | nobody brings an id of his own | ids are drawn here, and misses counted |
//!
//! # Standards
//!
//! | requirement | served by |
//! | --- | --- |
//! | ASVS 5.0 7.2.2 dynamically generated session tokens | every id is drawn for its session |
//! | ASVS 7.2.3 at least 128 bits of entropy | 128 bits from the system's generator in the secret half |
//! | ASVS 7.2.4 a new token on authentication, the old one ends | [`Sessions::authenticate`]; at once, unless there is a [grace](Builder::rotation_grace) |
//! | ASVS 7.3.1 inactivity timeout, 7.3.2 absolute lifetime | [`Builder::time_to_idle`], [`Builder::time_to_live`] |
//! | ASVS 7.4.1 no use after termination | [`Sessions::revoke`] |
//! | ASVS 7.4.2 all sessions end when an account is disabled | [`Sessions::revoke_all`] |
//! | ASVS 7.4.3 other sessions can be ended after a change of credentials | [`Sessions::revoke_others`] |
//! | ASVS 7.4.4 log-out visible; 7.5.1, 7.5.3 re-authentication before what is sensitive | the application's, by [`Session::is_fresh`] |
//! | ASVS 7.4.5 administrators can end sessions | [`Sessions::revoke_all`], [`Sessions::revoke_everyone`] |
//! | ASVS 7.5.2 users see and end their sessions | [`Sessions::sessions_of`], [`Sessions::revoke_public`] |
//! | ASVS 7.1.2 a limit of parallel sessions | [`Builder::max_per_principal`] |
//! | NIST SP 800-63B-4 timeouts of AAL1 to AAL3 | [`Builder::assurance_level`] |

mod builder;
mod change;
pub(crate) mod id;
pub(crate) mod life;
mod observe;
pub(crate) mod principals;
mod refused;
mod revoke;
mod session;
pub(crate) mod travel;

use core::fmt;
use core::hash::{BuildHasher, Hash};

pub use builder::Builder;
pub use id::{InvalidId, PublicId, SessionId};
pub(crate) use observe::Book;
pub use observe::SessionStats;
pub use refused::{Refusal, Refused};
pub use session::{EndCause, Session, SessionEnd, SessionInfo};

use crate::cache::Cache;
use crate::platform::clock::Clock;
use crate::platform::hasher::RandomState;
use crate::platform::sync::Arc;
use life::{Ending, Life, State};
use principals::{NoPlace, Principals};
use session::Stored;

/// Sessions of principals `P` with data `T`: a cheap handle, to be cloned into every task.
///
/// # Examples
///
/// ```
/// use sundown::sessions::{OnLimit, Sessions};
/// let sessions: Sessions<&str, &str> =
///     Sessions::builder().max_entries(100).max_per_principal(3, OnLimit::RevokeOldest).build()?;
///
/// let visitor = sessions.create("basket")?;
/// let id = sessions.authenticate(&visitor, "ada")?;
/// assert!(sessions.get(&visitor).is_none(), "a log-in is a new id");
/// let session = sessions.get(&id).expect("it is live");
/// assert_eq!((*session, session.principal()), ("basket", Some(&"ada")));
/// assert_eq!(sessions.revoke_all(&"ada"), 1);
/// assert!(sessions.get(&id).is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Sessions<P, T>
where
    P: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    inner: Arc<Inner<P, T>>,
}

struct Inner<P, T>
where
    P: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    cache: Cache<PublicId, Stored<P, T>>,
    principals: Arc<Principals<P>>,
    hasher: RandomState,
    clock: Clock,
    grace_ns: u64,
    on_authenticate: OnAuthenticate,
    book: Book,
}

/// What becomes of one session too many of a principal's; see [`Builder::max_per_principal`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum OnLimit {
    /// The oldest is ended in the same step.
    RevokeOldest,
    /// The newcomer is refused.
    Refuse,
}

/// What a log-in does to the time to live; see [`Builder::on_authenticate`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum OnAuthenticate {
    /// It goes on.
    KeepAbsolute,
    /// It begins anew, for the standards count from the authentication; the default.
    #[default]
    RestartAbsolute,
}

impl<P, T> Sessions<P, T>
where
    P: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    /// Begins to set sessions up.
    pub fn builder() -> Builder<P, T> {
        Builder::new()
    }

    /// Gives the session of an id, and counts as a use of it; `None` if there is none.
    ///
    /// **Locking:** none. **Complexity:** constant: a look-up and a SHA-256.
    #[must_use]
    pub fn get(&self, id: &SessionId) -> Option<Session<P, T>> {
        // Digested inside, so that it is done while the entry's lines are on their way.
        let is_its_own = |stored: &Stored<P, T>| stored.is_of(&id.digest());
        self.known(self.inner.cache.get_if(&id.public_id(), is_its_own))
    }

    /// Gives the session of an id without counting as a use of it.
    ///
    /// **Locking:** none. **Complexity:** constant.
    #[must_use]
    pub fn peek(&self, id: &SessionId) -> Option<Session<P, T>> {
        let digest = id.digest();
        let stored = self.inner.cache.peek(&id.public_id());
        self.known(stored.filter(|stored| stored.is_of(&digest)))
    }

    /// The cache below.
    #[allow(dead_code, reason = "for the adapters of other features")]
    pub(crate) fn cache(&self) -> &Cache<PublicId, Stored<P, T>> {
        &self.inner.cache
    }

    fn known(&self, stored: Option<Stored<P, T>>) -> Option<Session<P, T>> {
        if stored.is_none() {
            self.inner.book.unknown_ids.add(1);
        }
        stored.map(|stored| Session(stored.version))
    }
}

impl<P, T> Inner<P, T>
where
    P: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    fn hashed(&self, principal: Option<P>) -> (Option<P>, u64) {
        let hash = principal.as_ref().map_or(0, |principal| self.hasher.hash_one(principal));
        (principal, hash)
    }

    /// Enters a life among its principal's, and ends those that have to end for it.
    fn enter<'i>(&'i self, life: &Arc<Life<P>>) -> Result<Place<'i, P>, Refusal> {
        let is_over = |life: &Life<P>| self.cache.expires_in(life.public()).is_none();
        loop {
            match self.principals.try_enter(life, is_over) {
                Ok(()) => return Ok(Place { of: Some((&self.principals, life.clone())) }),
                Err(NoPlace::Refused) => {
                    self.book.refused_by_limit.add(1);
                    return Err(Refusal::LimitReached);
                }
                Err(NoPlace::Leaving { leaving, by_limit }) => {
                    self.book.ended_by_limit.add(by_limit);
                    leaving.iter().for_each(|life| _ = self.discard(life));
                }
            }
        }
    }

    /// Removes the entry of a life that has ended, also if a log-in is about to go on with it; false if it
    /// had none any more. Its place among its principal's is free.
    fn discard(&self, life: &Arc<Life<P>>) -> bool {
        let is_removed = self.cache.remove_if(life.public(), |_, stored| {
            let version = &*stored.version;
            let is_before = version.before.as_ref().is_some_and(|before| before.is(life));
            // One that has gone on is the new principal's to end.
            version.life.is(life) || is_before && life.state() != State::Superseded
        });
        self.principals.leave(life);
        is_removed
    }

    /// Ends a life by the application's wish; true if it has, before its time was up.
    fn revoke(&self, life: &Arc<Life<P>>) -> bool {
        // Also if another call has ended it and has not come to this: then it is over when this one returns.
        let is_ended = life.end(Ending::Revoked);
        let is_revoked = self.discard(life) && is_ended;
        if is_revoked {
            self.book.revoked.add(1);
        }
        is_revoked
    }
}

/// A life's place among its principal's, until its entry is in the cache: given back if that does not come to be,
/// also by a panic of the weigher.
struct Place<'i, P: Eq> {
    of: Option<(&'i Principals<P>, Arc<Life<P>>)>,
}

impl<P: Eq> Place<'_, P> {
    /// The entry is in the cache.
    fn keep(mut self) {
        self.of = None;
    }
}

impl<P: Eq> Drop for Place<'_, P> {
    fn drop(&mut self) {
        if let Some((principals, life)) = self.of.take() {
            principals.leave(&life);
        }
    }
}

impl<P, T> Clone for Sessions<P, T>
where
    P: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<P, T> fmt::Debug for Sessions<P, T>
where
    P: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(all(test, sundown_loom))]
mod loom_tests;
#[cfg(all(test, not(any(sundown_loom, sundown_shuttle))))]
mod tests;
