//! What ends sessions, for good.

use core::hash::{BuildHasher, Hash};

use super::Sessions;
use super::id::{PublicId, SessionId};
use super::life::Life;
use crate::platform::sync::Arc;

impl<P, T> Sessions<P, T>
where
    P: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    /// Ends a session; false if it had ended. When it returns, the session is served no more.
    ///
    /// **Locking and complexity:** as [`Cache::remove_if`](crate::Cache::remove_if), and its principal's part of the index.
    pub fn revoke(&self, id: &SessionId) -> bool {
        loop {
            let Some(session) = self.peek(id) else { return false };
            if self.inner.revoke(&session.0.life) {
                return true;
            }
            // It has ended meanwhile, or goes on as another principal's.
        }
    }

    /// Ends all sessions of a principal; gives how many. When it returns, none of those that were begun
    /// before the call is served any more, by whatever id.
    ///
    /// **Locking:** the principal's part of the index, and each session's shard in turn. **Complexity:**
    /// linear in the principal's sessions.
    pub fn revoke_all(&self, principal: &P) -> usize {
        self.revoke_of(principal, |_| false)
    }

    /// Ends all sessions of a principal but the one of `id`; gives how many.
    ///
    /// **Locking and complexity:** as [`revoke_all`](Self::revoke_all).
    pub fn revoke_others(&self, principal: &P, id: &SessionId) -> usize {
        let kept = self.peek(id).map(|session| session.0.life.clone());
        self.revoke_of(principal, |life| kept.as_ref().is_some_and(|kept| kept.is(life)))
    }

    fn revoke_of(&self, principal: &P, is_kept: impl Fn(&Life<P>) -> bool) -> usize {
        let inner = &*self.inner;
        let hash = inner.hasher.hash_one(principal);
        let ended = inner.principals.end_all(hash, principal, is_kept);
        let discard = |(life, is_own): &&(Arc<Life<P>>, bool)| inner.discard(life) && *is_own;
        let revoked = ended.iter().filter(discard).count();
        inner.book.revoked.add(revoked as u64);
        revoked
    }

    /// Ends the session that a user's device list shows under `public_id`; false if it is not the principal's.
    ///
    /// **Locking and complexity:** as [`revoke`](Self::revoke).
    pub fn revoke_public(&self, principal: &P, public_id: &PublicId) -> bool {
        let Some(stored) = self.inner.cache.peek(public_id) else { return false };
        let life = &stored.version.life;
        life.principal.as_ref() == Some(principal) && self.inner.revoke(life)
    }

    /// Ends all sessions, of everyone; gives how many.
    ///
    /// **Locking and complexity:** as [`Cache::retain`](crate::Cache::retain).
    pub fn revoke_everyone(&self) -> usize {
        let revoked = self.inner.cache.retain(|_, _| false);
        // What was over, and a reader may still have found.
        self.inner.cache.clear();
        self.inner.book.revoked.add(revoked as u64);
        revoked
    }
}
