//! How a store is set up that knows whose its sessions are, and the methods that it has then.

use core::fmt;

use super::anonymous::DEFAULT_SHARE;
use super::roster::PrincipalOf;
use crate::builder::Builder;
use crate::error::BuildError;
use crate::sessions::OnLimit;

/// Sets a store up; made by its `builder`, such as `SundownStore::builder`.
///
/// `K` and `R` are the framework's ids and sessions, `S` is the store.
#[must_use = "a builder does nothing until `build` is called"]
pub struct StoreBuilder<K, R, S> {
    pub(super) cache: Builder<K, R>,
    pub(super) principal: Option<Box<PrincipalOf<R>>>,
    pub(super) limit: Option<(usize, OnLimit)>,
    pub(super) anonymous: Option<(f64, Box<IsAnonymous<R>>)>,
    make: fn(Self) -> Result<S, BuildError>,
}

pub(super) type IsAnonymous<R> = dyn Fn(&R) -> bool + Send + Sync;

impl<K, R, S> StoreBuilder<K, R, S> {
    pub(super) fn new(cache: Builder<K, R>, make: fn(Self) -> Result<S, BuildError>) -> Self {
        Self { cache, principal: None, limit: None, anonymous: None, make }
    }

    /// Tells the store whose its sessions are: `principal` reads out of a session the user that is logged in, by
    /// name or number; `None` where nobody is.
    ///
    /// Ready for the usual crates are `principal_of::axum_login` and `principal_of::actix_identity`, beside the
    /// stores. The closure is called with each save, outside all locks; it should be quick, and depend on
    /// nothing but the session. A session becomes a user's with the save, and a
    /// name of over 1,024 bytes is an error of that save.
    pub fn principal(
        mut self,
        principal: impl Fn(&R) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.principal = Some(Box::new(principal));
        self
    }

    /// Caps the live sessions of each [principal](Self::principal), at every instant: a log-in too many ends the
    /// one that logged in first, in the same step, or is refused.
    ///
    /// A refused log-in is an error of the save, of which the session stays as it was. Frameworks save with the
    /// response, and answer with status 500; so where the log-in may be
    /// [refused](OnLimit::Refuse), save in the handler and tell the user. A framework changes an id by a deletion and a creation:
    /// another log-in may take the place in between.
    pub fn max_per_principal(mut self, sessions: usize, on_limit: OnLimit) -> Self {
        self.limit = Some((sessions, on_limit));
        self
    }

    /// Lets anonymous sessions take half of the cache at most; as the store's own method of this name.
    pub fn anonymous(self, is_anonymous: impl Fn(&R) -> bool + Send + Sync + 'static) -> Self {
        self.anonymous_up_to(DEFAULT_SHARE, is_anonymous)
    }

    /// The same with another share than half: a tenth is 0.1.
    pub fn anonymous_up_to(
        mut self,
        share: f64,
        is_anonymous: impl Fn(&R) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.anonymous = Some((share, Box::new(is_anonymous)));
        self
    }

    /// Makes the store.
    ///
    /// # Errors
    ///
    /// As [`Builder::build`](crate::Builder::build); [`BuildError::ZeroPrincipalLimit`], and
    /// [`BuildError::NoPrincipal`] for a limit without a [`principal`](Self::principal).
    pub fn build(self) -> Result<S, BuildError> {
        match self.limit {
            Some((0, _)) => Err(BuildError::ZeroPrincipalLimit),
            Some(_) if self.principal.is_none() => Err(BuildError::NoPrincipal),
            _ => (self.make)(self),
        }
    }
}

impl<K, R, S> fmt::Debug for StoreBuilder<K, R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreBuilder")
            .field("has_principal", &self.principal.is_some())
            .field("limit", &self.limit)
            .field("is_anonymous_capped", &self.anonymous.is_some())
            .finish_non_exhaustive()
    }
}

/// The methods of a store whose `keeper` knows whose its sessions are.
macro_rules! principal_methods {
    ($store:ty, $key:ty, $session:ty, ($($as_key:tt)*)) => {
        impl $store {
            /// Ends all sessions of a principal, as named by the [rule](StoreBuilder::principal); gives how many.
            ///
            /// When it returns, none of those that were begun before the call is served any more, by whatever
            /// id; a request that has loaded one before can neither save it nor carry it over to a new id.
            /// For an hour, neither can a request that has loaded a session of the principal's which was evicted or
            /// ran out before its response: it may have been among those. Its user logs in again. Without a rule it
            /// ends none.
            ///
            /// **Locking:** the principal's part of the index, and each session's shard in turn.
            /// **Complexity:** linear in the principal's sessions.
            pub fn revoke_all(&self, principal: &str) -> usize {
                self.keeper.revoke_all(principal, None)
            }

            /// Ends all sessions of a principal but the one with this id; gives how many. For the button "log out
            /// everywhere else", and for a change of the password.
            ///
            /// **Locking and complexity:** as [`revoke_all`](Self::revoke_all).
            pub fn revoke_others(&self, principal: &str, kept: &$key) -> usize {
                self.keeper.revoke_all(principal, ($($as_key)*)(kept).as_ref())
            }

            /// Ends the session that a user's device list shows under `public_id`; false if it is not the
            /// principal's.
            ///
            /// **Locking and complexity:** as [`revoke_all`](Self::revoke_all).
            pub fn revoke_public(&self, principal: &str, public_id: &PublicId) -> bool {
                self.keeper.revoke_public(principal, public_id)
            }

            /// The live sessions of a principal, the oldest log-in first: a device list.
            ///
            /// A session keeps its public id, and the time of its log-in, through changes of its id. Not a
            /// use of the sessions. Empty without a [rule](StoreBuilder::principal).
            ///
            /// **Locking:** the principal's part of the index. **Complexity:** linear in the principal's
            /// sessions, each of which is cloned, and to sort them.
            #[must_use]
            pub fn sessions_of(&self, principal: &str) -> Vec<SessionInfo<String, $session>> {
                self.keeper.sessions_of(principal)
            }

            /// Figures since the beginning, and of now: the cache's, the index's, and of log-ins and revocations.
            ///
            /// **Locking:** each shard in turn, each part of the index. **Complexity:** that of
            /// [`Cache::stats`](crate::Cache::stats).
            #[must_use]
            pub fn session_stats(&self) -> SessionStats {
                self.keeper.stats()
            }
        }
    };
}

pub(super) use principal_methods;

/// What the stores of all frameworks have in common that several processes share.
#[cfg(feature = "fleet")]
macro_rules! device_methods {
    ($store:ty, $id:ty, $shared:ty, $key_of:ident) => {
        impl $store {
            /// A principal's live sessions on all instances, the oldest first: a device list.
            ///
            /// Each is named by the hash of its id, which may be shown: no session can be made of it. Not a use of them.
            ///
            /// # Errors
            ///
            /// As [`Tiered::sessions_of`](crate::fleet::Tiered::sessions_of).
            pub async fn sessions_of(
                &self,
                principal: &str,
            ) -> core::result::Result<
                Vec<(crate::fleet::Key, crate::fleet::Loaded<$shared>)>,
                crate::fleet::Error,
            > {
                self.tiered.sessions_of(principal).await
            }

            /// The name of a session in its user's device list.
            #[must_use]
            pub fn public_id(id: &$id) -> crate::fleet::Key {
                $key_of(id)
            }

            /// Ends the session that a user's device list shows under `public_id`, on all instances; false if it is not
            /// the principal's.
            ///
            /// # Errors
            ///
            /// As [`Tiered::revoke_public`](crate::fleet::Tiered::revoke_public).
            pub async fn revoke_public(
                &self,
                principal: &str,
                public_id: &crate::fleet::Key,
            ) -> core::result::Result<bool, crate::fleet::Error> {
                self.tiered.revoke_public(principal, public_id).await
            }

            /// Ends all sessions of a principal on all instances; gives how many.
            ///
            /// # Errors
            ///
            /// As [`Tiered::revoke_all`](crate::fleet::Tiered::revoke_all).
            pub async fn revoke_all(
                &self,
                principal: &str,
            ) -> core::result::Result<usize, crate::fleet::Error> {
                self.tiered.revoke_all(principal).await
            }

            /// The same for all but one.
            ///
            /// # Errors
            ///
            /// As [`Tiered::revoke_others`](crate::fleet::Tiered::revoke_others).
            pub async fn revoke_others(
                &self,
                principal: &str,
                but: &$id,
            ) -> core::result::Result<usize, crate::fleet::Error> {
                self.tiered.revoke_others(principal, &$key_of(but)).await
            }

            /// The figures of this instance.
            #[must_use]
            pub fn tiered_stats(&self) -> crate::fleet::TieredStats {
                self.tiered.stats()
            }

            /// The sessions themselves, by their [`public_id`](Self::public_id).
            #[must_use]
            pub fn sessions(&self) -> &crate::fleet::Tiered<$shared> {
                &self.tiered
            }
        }
    };
}

#[cfg(feature = "fleet")]
pub(super) use device_methods;
