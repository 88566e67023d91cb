//! What can be seen from outside: device lists, figures, the audit.

use core::hash::{BuildHasher, Hash};
use core::time::Duration;

use super::life::Life;
use super::session::{Session, SessionInfo, time_ago};
use super::{Inner, Sessions};
use crate::error::AuditError;
use crate::overstay::Overstays;
use crate::platform::sync::{Arc, AtomicU64, Ordering};
use crate::stats::{Audit, Stats};

/// Figures that the cache does not keep.
#[derive(Default)]
pub(crate) struct Book {
    pub(crate) unknown_ids: Count,
    pub(crate) rotated: Count,
    pub(crate) authenticated: Count,
    pub(crate) refused_by_limit: Count,
    pub(crate) ended_by_limit: Count,
    pub(crate) revoked: Count,
}

/// One figure.
#[derive(Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: u64) {
        // Relaxed: a figure.
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        // Relaxed: a figure.
        self.0.load(Ordering::Relaxed)
    }
}

impl Book {
    /// With those of the cache and of the index: how many principals have sessions, and how many those are.
    pub(crate) fn stats(
        &self,
        engine: Stats,
        (principals, with_principal): (usize, usize),
    ) -> SessionStats {
        SessionStats {
            engine,
            principals,
            with_principal,
            unknown_ids: self.unknown_ids.get(),
            rotated: self.rotated.get(),
            authenticated: self.authenticated.get(),
            refused_by_limit: self.refused_by_limit.get(),
            ended_by_limit: self.ended_by_limit.get(),
            revoked: self.revoked.get(),
        }
    }
}

/// Figures of [`Sessions`], or of a store's sessions.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionStats {
    /// The cache's. Ends by [`Sessions::revoke`] and its kind, and by the limit, are its `removed`; new ids, log-ins
    /// and updates its `replaced`.
    pub engine: Stats,
    /// How many principals have a session.
    pub principals: usize,
    /// How many sessions have a principal.
    pub with_principal: usize,
    /// Look-ups of an id that has no session: wrong, ended or made up.
    pub unknown_ids: u64,
    /// New ids by [`Sessions::rotate`], or of a store's sessions.
    pub rotated: u64,
    /// Log-ins by [`Sessions::authenticate`]; of a store, sessions that became a principal's.
    pub authenticated: u64,
    /// Newcomers that were refused for their principal's limit.
    pub refused_by_limit: u64,
    /// Sessions that were ended for their principal's limit.
    pub ended_by_limit: u64,
    /// Sessions that the application ended.
    pub revoked: u64,
}

impl<P, T> Sessions<P, T>
where
    P: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    /// The sessions of a principal, oldest first: a device list.
    ///
    /// Lists no session that is not served, and all that are there throughout. Not a use of them.
    ///
    /// **Locking:** the principal's part of the index. **Complexity:** linear in the principal's
    /// sessions, and to sort them.
    #[must_use]
    pub fn sessions_of(&self, principal: &P) -> Vec<SessionInfo<P, T>> {
        let inner = &*self.inner;
        let lives = inner.principals.of(inner.hasher.hash_one(principal), principal);
        let mut infos: Vec<_> = lives.iter().filter_map(|life| inner.info(life)).collect();
        infos.sort_by_key(|info| info.data.0.life.begun_ns);
        infos
    }

    /// Figures since the beginning, and of now.
    ///
    /// **Locking:** each shard in turn, each part of the index. **Complexity:** that of
    /// [`Cache::stats`](crate::Cache::stats).
    #[must_use]
    pub fn stats(&self) -> SessionStats {
        let inner = &*self.inner;
        inner.book.stats(inner.cache.stats(), inner.principals.len())
    }

    /// The sessions that have ended and are still held on; see [`Builder::track_overstays`](super::Builder::track_overstays).
    ///
    /// **Locking and complexity:** as [`Cache::overstays`](crate::Cache::overstays).
    #[must_use]
    pub fn overstays(&self) -> Overstays {
        self.inner.cache.overstays()
    }

    /// Walks everything and checks every invariant, the cache's and the index's: for your own tests, while no
    /// other call is under way.
    ///
    /// **Locking:** each shard in turn, each part of the index: not for production. **Complexity:**
    /// linear.
    ///
    /// # Errors
    ///
    /// An [`AuditError`] names the invariant that is broken: a fault of this crate.
    pub fn audit(&self) -> Result<Audit, AuditError> {
        let inner = &*self.inner;
        let broken = |what: &str| AuditError { shard: None, broken: what.to_owned() };
        let audit = inner.cache.audit()?;
        let mut is_right = true;
        let mut listed = 0;
        let see = |life: &Arc<Life<P>>| {
            // What has left the cache leaves the list when the cache tells of it.
            if let Some(stored) = inner.cache.peek(life.public()) {
                listed += 1;
                is_right &= stored.version.life.is(life);
            }
        };
        inner.principals.check(see).map_err(broken)?;
        let mut live = 0;
        inner.cache.for_each(|_, stored| {
            live += usize::from(stored.version.life.principal.is_some());
        });
        if !is_right || listed != live {
            return Err(broken("S1: a principal's sessions are not those in the cache"));
        }
        Ok(audit)
    }

    /// How many sessions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.cache.len()
    }

    /// Whether there is no session.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Frees what has expired, without a reaper's thread; as [`Cache::reap`](crate::Cache::reap).
    pub fn reap(&self) -> usize {
        self.inner.cache.reap()
    }

    /// Ends all sessions, and takes none in any more; as [`Cache::close`](crate::Cache::close).
    pub fn close(&self) {
        self.inner.cache.close();
    }
}

impl<P, T> Inner<P, T>
where
    P: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    fn info(&self, life: &Arc<Life<P>>) -> Option<SessionInfo<P, T>> {
        let stored = self.cache.peek(life.public())?;
        let is_it = stored.version.life.is(life) && stored.is_served();
        let data = Session(stored.version);
        is_it.then_some(())?;
        Some(SessionInfo {
            public_id: *life.public(),
            created: data.created(),
            authenticated: data.authenticated(),
            last_used: time_ago(self.cache.idle_for(life.public()).unwrap_or(Duration::ZERO)),
            expires_in: self.cache.expires_in(life.public())?,
            data,
        })
    }
}
