//! Whose sessions they are, over all instances.

use core::cmp::Reverse;

use super::error::Error;
use super::key::Key;
use super::loaded::Loaded;
use super::tiered::Tiered;

impl<V: Send + Sync + 'static> Tiered<V> {
    /// A principal's live sessions on all instances, the oldest first. Not a use of them.
    ///
    /// A session whose value the codec cannot read is left out. **Complexity:** one call, in which the backend
    /// sends all of the principal's sessions.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] if the backend has no index of principals.
    pub async fn sessions_of(
        &self,
        principal: impl AsRef<[u8]>,
    ) -> Result<Vec<(Key, Loaded<V>)>, Error> {
        let principal = Key::of_principal(principal);
        let inner = self.inner();
        let asked_ns = inner.near.exact_ns();
        let listed = inner.ask(inner.by(), inner.backend.sessions_of(&principal)).await?;
        let loaded = listed.into_iter().filter_map(|(key, stored)| {
            let value = inner.codec.decode(&stored.bytes)?;
            Some((key, Loaded::beside(value, stored.facts, asked_ns)))
        });
        let mut loaded: Vec<(Key, Loaded<V>)> = loaded.collect();
        loaded.sort_by_key(|(key, loaded)| (Reverse(loaded.facts().age), *key));
        Ok(loaded)
    }

    /// Ends the session that a user's device list shows under `key`; false if it is not the principal's.
    ///
    /// # Errors
    ///
    /// If the backend has not confirmed it: then it may live on.
    pub async fn revoke_public(
        &self,
        principal: impl AsRef<[u8]>,
        key: &Key,
    ) -> Result<bool, Error> {
        let inner = self.inner();
        let principal = Key::of_principal(principal);
        let stored = inner.ask(inner.by(), inner.backend.load(key, false)).await?;
        let is_theirs = stored.is_some_and(|stored| stored.facts.principal == Some(principal));
        Ok(is_theirs && self.delete(key).await?)
    }

    /// Ends all sessions of a principal that were begun before, on all instances; gives how many.
    ///
    /// # Errors
    ///
    /// If the backend has not confirmed it: then some may live on.
    pub async fn revoke_all(&self, principal: impl AsRef<[u8]>) -> Result<usize, Error> {
        self.revoke(Key::of_principal(principal), None).await
    }

    /// The same for all but one, as after a change of the password.
    ///
    /// # Errors
    ///
    /// As [`revoke_all`](Self::revoke_all).
    pub async fn revoke_others(
        &self,
        principal: impl AsRef<[u8]>,
        but: &Key,
    ) -> Result<usize, Error> {
        self.revoke(Key::of_principal(principal), Some(but)).await
    }

    async fn revoke(&self, principal: Key, but: Option<&Key>) -> Result<usize, Error> {
        let inner = self.inner();
        let ended = inner.ask(inner.by(), inner.backend.revoke_all(&principal, but)).await?;
        ended.iter().for_each(|key| inner.near.bury(key));
        Ok(ended.len())
    }
}
