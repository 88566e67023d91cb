//! The sessions of one principal on all instances: device lists and revocation.

use super::framework::session::Id;
use super::framework::session_store::Result;
use super::shared::{Shared, key_of};
use super::tiered::TieredStore;
use crate::fleet::{Key, Loaded};

impl TieredStore {
    /// A principal's live sessions on all instances, the oldest first: a device list.
    ///
    /// Each is named by the hash of its id, which may be shown: no session can be made of it. Not a use of them.
    ///
    /// # Errors
    ///
    /// As [`Tiered::sessions_of`](crate::fleet::Tiered::sessions_of).
    pub async fn sessions_of(&self, principal: &str) -> Result<Vec<(Key, Loaded<Shared>)>> {
        Ok(self.tiered.sessions_of(principal).await?)
    }

    /// The name of a session in its user's device list.
    #[must_use]
    pub fn public_id(id: &Id) -> Key {
        key_of(id)
    }

    /// Ends the session that a user's device list shows under `public_id`, on all instances; false if it is not
    /// the principal's.
    ///
    /// # Errors
    ///
    /// As [`Tiered::revoke_public`](crate::fleet::Tiered::revoke_public).
    pub async fn revoke_public(&self, principal: &str, public_id: &Key) -> Result<bool> {
        Ok(self.tiered.revoke_public(principal, public_id).await?)
    }

    /// Ends all sessions of a principal on all instances; gives how many.
    ///
    /// # Errors
    ///
    /// As [`Tiered::revoke_all`](crate::fleet::Tiered::revoke_all).
    pub async fn revoke_all(&self, principal: &str) -> Result<usize> {
        Ok(self.tiered.revoke_all(principal).await?)
    }

    /// The same for all but one.
    ///
    /// # Errors
    ///
    /// As [`Tiered::revoke_others`](crate::fleet::Tiered::revoke_others).
    pub async fn revoke_others(&self, principal: &str, but: &Id) -> Result<usize> {
        Ok(self.tiered.revoke_others(principal, &key_of(but)).await?)
    }
}
