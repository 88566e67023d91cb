//! Whose sessions they are, over all instances.

use super::backend::Listed;
use super::error::Error;
use super::key::Key;
use super::tiered::Tiered;

impl<V: Send + Sync + 'static> Tiered<V> {
    /// A principal's live sessions on all instances, the oldest first. Not a use of them.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] if the backend has no index of principals.
    pub async fn sessions_of(&self, principal: impl AsRef<[u8]>) -> Result<Vec<Listed>, Error> {
        let principal = Key::of_principal(principal);
        let inner = self.inner();
        inner.ask(inner.by(), inner.backend.sessions_of(&principal)).await
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
