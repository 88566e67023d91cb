//! Whose sessions are, in the words of whichever version the parent imports as `framework`.

use super::framework::session::{Id, Record};
use super::store::SundownStore;
use crate::adapters::lifespan::wall_ns;
pub use crate::adapters::setup::StoreBuilder;
use crate::adapters::setup::principal_methods;
use crate::builder::Builder;
use crate::error::BuildError;
use crate::sessions::{PublicId, SessionInfo, SessionStats};

impl SundownStore {
    /// Begins to set a store up that knows whose its sessions are, on a cache of its own as with
    /// [`new`](Self::new).
    ///
    /// # Examples
    ///
    /// Three devices a user, and "log out everywhere":
    ///
    /// ```
    #[doc = example_imports!()]
    /// use std::sync::Arc;
    /// use sundown::sessions::OnLimit;
    /// use tower_sessions::Session;
    ///
    /// # pollster::block_on(async {
    /// let store = SundownStore::builder(Cache::builder().max_entries(100_000))
    ///     .principal(|record| record.data.get("user")?.as_str().map(str::to_owned))
    ///     .max_per_principal(3, OnLimit::RevokeOldest)
    ///     .build()?;
    /// for device in ["phone", "laptop", "tablet", "desk"] {
    ///     let session = Session::new(None, Arc::new(store.clone()), None);
    ///     session.insert("user", "ada").await?;
    ///     session.insert("device", device).await?;
    ///     session.save().await?;
    /// }
    /// let devices = store.sessions_of("ada");
    /// assert_eq!(devices.len(), 3);
    /// assert_eq!(devices[0].data.data["device"], "laptop");
    /// assert_eq!(store.revoke_all("ada"), 3);
    /// assert!(store.cache().is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn builder(cache: Builder<Id, Record>) -> StoreBuilder<Id, Record, Self> {
        StoreBuilder::new(cache, Self::set_up)
    }

    fn set_up(setup: StoreBuilder<Id, Record, Self>) -> Result<Self, BuildError> {
        let StoreBuilder { cache, principal, limit, anonymous, .. } = setup;
        let store = Self::by(cache, wall_ns, principal.map(|rule| (rule, limit)))?;
        match anonymous {
            Some((share, rule)) => store.anonymous_up_to(share, rule),
            None => Ok(store),
        }
    }
}

principal_methods!(SundownStore, Id, Record, (|id: &Id| Some(*id)));

/// Principals as the usual crates keep them in a session; for [`StoreBuilder::principal`].
pub mod principal_of {
    use super::Record;

    /// The user that [axum-login] has logged in: the id of its `AuthUser`, as text. A text or a number is itself,
    /// anything else is its JSON.
    ///
    /// By axum-login's usual key of the session's data, `axum-login.data`; for another one, see [`axum_login_at`].
    ///
    /// [axum-login]: https://docs.rs/axum-login
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_imports!()]
    #[doc = concat!("use sundown::", module_name!(), "::principal_of;")]
    /// use sundown::sessions::OnLimit;
    ///
    /// let store = SundownStore::builder(Cache::builder().max_entries(100_000))
    ///     .principal(principal_of::axum_login)
    ///     .max_per_principal(3, OnLimit::RevokeOldest)
    ///     .build()?;
    /// assert_eq!(store.revoke_all("7"), 0);
    /// # Ok::<(), sundown::BuildError>(())
    /// ```
    #[must_use]
    pub fn axum_login(record: &Record) -> Option<String> {
        user_at(record, "axum-login.data")
    }

    /// The same for a service that has given axum-login another `data_key`.
    pub fn axum_login_at(data_key: &'static str) -> impl Fn(&Record) -> Option<String> {
        move |record| user_at(record, data_key)
    }

    fn user_at(record: &Record, data_key: &str) -> Option<String> {
        match record.data.get(data_key)?.get("user_id")? {
            serde_json::Value::Null => None,
            serde_json::Value::String(name) => Some(name.clone()),
            other => Some(other.to_string()),
        }
    }
}
