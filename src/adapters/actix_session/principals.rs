//! Whose sessions are.

use super::framework::storage::SessionKey;
use super::store::SundownActixStore;
use super::{SessionId, SessionState};
pub use crate::adapters::setup::StoreBuilder;
use crate::adapters::setup::principal_methods;
use crate::builder::Builder;
use crate::error::BuildError;
use crate::sessions::{PublicId, SessionInfo, SessionStats};

impl SundownActixStore {
    /// Begins to set a store up that knows whose its sessions are, on a cache of its own as with
    /// [`new`](Self::new).
    ///
    /// # Examples
    ///
    /// Three devices a user, of those that actix-identity has logged in:
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use sundown::Cache;
    /// use sundown::actix_session_0_11::{SundownActixStore, principal_of};
    /// use sundown::sessions::OnLimit;
    /// # use actix_session_0_11 as actix_session;
    /// use actix_session::storage::SessionStore;
    ///
    /// # pollster::block_on(async {
    /// let store = SundownActixStore::builder(Cache::builder().max_entries(100_000))
    ///     .principal(principal_of::actix_identity)
    ///     .max_per_principal(3, OnLimit::RevokeOldest)
    ///     .build()?;
    /// for _ in 0..4 {
    ///     let state = HashMap::from([("actix_identity.user_id".to_owned(), "\"ada\"".to_owned())]);
    ///     store.save(state, &time::Duration::minutes(30)).await?;
    /// }
    /// assert_eq!(store.sessions_of("ada").len(), 3);
    /// assert_eq!(store.revoke_all("ada"), 3);
    /// assert!(store.cache().is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn builder(
        cache: Builder<SessionId, SessionState>,
    ) -> StoreBuilder<SessionId, SessionState, Self> {
        StoreBuilder::new(cache, Self::set_up)
    }

    fn set_up(setup: StoreBuilder<SessionId, SessionState, Self>) -> Result<Self, BuildError> {
        let StoreBuilder { cache, principal, limit, anonymous, .. } = setup;
        let store = Self::of(cache, principal.map(|rule| (rule, limit)))?;
        match anonymous {
            Some((share, rule)) => store.anonymous_up_to(share, rule),
            None => Ok(store),
        }
    }
}

principal_methods!(SundownActixStore, SessionKey, SessionState, (SessionId::of));

/// Principals as the usual crates keep them in a session; for [`StoreBuilder::principal`].
pub mod principal_of {
    use super::SessionState;

    /// The user that [actix-identity] has logged in.
    ///
    /// By actix-identity's usual key of the session's state, `actix_identity.user_id`; for another one, see
    /// [`actix_identity_at`].
    ///
    /// [actix-identity]: https://docs.rs/actix-identity
    #[must_use]
    pub fn actix_identity(state: &SessionState) -> Option<String> {
        user_at(state, "actix_identity.user_id")
    }

    /// The same for a service that has given actix-identity another `id_key`.
    pub fn actix_identity_at(id_key: &'static str) -> impl Fn(&SessionState) -> Option<String> {
        move |state| user_at(state, id_key)
    }

    fn user_at(state: &SessionState, id_key: &str) -> Option<String> {
        serde_json::from_str(state.get(id_key)?).ok()
    }
}
