//! Principals' sessions on all instances: ids, log-ins and new ids over the tier.
//!
//! A session is kept under its public id, which stays; what proves an id is in the value, as a digest. So a new id is
//! a save like any other, and there is no instant at which neither is known.
//!
//! N1. An id is served while its digest is the session's, or for as long as its grace lasts.
//! N2. Only who has the session's id, and not one in its grace, gives it a new one; of several at once one does.

use core::fmt;
use core::ops::Deref;
use core::time::Duration;

use super::backend::Backend;
use super::draft::{Codec, Draft};
use super::error::{Conflict, Error, Source};
use super::kept::Kept;
use super::key::Key;
use super::loaded::Loaded;
use super::options::TieredOptions;
use super::tiered::Tiered;
use crate::builder::Builder;
use crate::error::BuildError;
use crate::lifetime::Lifetime;
use crate::platform::sync::Arc;
use crate::sessions::{OnAuthenticate, PublicId, SessionId};

/// Sessions of principals that several processes share: as [`Sessions`](crate::sessions::Sessions), over a
/// [`Backend`].
///
/// A principal is told from others by what it displays. Clones are handles of the same sessions. Neither `Debug` nor
/// any error prints an id, a principal or a session.
///
/// # Errors
///
/// [`Error`], as of [`Tiered`]. Whatever was not confirmed is an error; a log-out as well.
///
/// # Examples
///
/// ```no_run
/// # #[cfg(feature = "redis-1")]
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use sundown::Cache;
/// use sundown::fleet::{TieredOptions, TieredSessions};
/// use sundown::redis_1::{RedisBackend, RedisOptions};
/// use sundown::sessions::OnLimit;
///
/// let options = RedisOptions::default().namespace("shop");
/// let redis = RedisBackend::connect("redis://127.0.0.1/", options).await?;
/// let builder = Cache::builder()
///     .max_entries(100_000) // in this process
///     .time_to_live(Duration::from_secs(8 * 3600))
///     .time_to_idle(Duration::from_secs(1800));
/// let sessions = TieredSessions::<u64, String>::new(
///     builder,
///     redis,
///     |user, basket| serde_json::to_vec(&(user, basket)).map_err(|error| std::sync::Arc::new(error) as _),
///     |bytes| serde_json::from_slice(bytes).ok(),
///     TieredOptions::default().max_per_principal(3, OnLimit::RevokeOldest),
/// )?;
///
/// let id = sessions.create("an empty basket".to_owned()).await?; // a visitor
/// let id = sessions.authenticate(&id, 7).await?.expect("it is live"); // logs in: a new id
/// sessions.update(&id, |basket| format!("{basket}, and a pear")).await?;
/// let session = sessions.get(&id).await?.expect("on any instance");
/// assert_eq!(session.principal(), Some(&7));
/// sessions.revoke_all(&7).await?; // on all of them
/// # Ok(())
/// # }
/// ```
pub struct TieredSessions<P, T>
where
    P: Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    tiered: Tiered<Kept<P, T>>,
    grace: Duration,
    on_authenticate: OnAuthenticate,
}

/// A session as it was at some moment: a cheap handle, which derefs to the data.
pub struct TieredSession<P, T> {
    loaded: Loaded<Kept<P, T>>,
}

impl<P, T> TieredSession<P, T> {
    /// Whose it is; nobody's before a log-in.
    #[must_use]
    pub fn principal(&self) -> Option<&P> {
        self.loaded.principal.as_deref()
    }

    /// Names it in device lists and logs, whatever its id.
    #[must_use]
    pub fn public_id(&self) -> PublicId {
        self.loaded.public
    }

    /// How long ago it began.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.loaded.age()
    }

    /// Whether it was logged in so short a time ago, as for a change of the password.
    #[must_use]
    pub fn is_fresh(&self, max_age: Duration) -> bool {
        self.loaded.authenticated.is_some_and(|at| self.age().saturating_sub(at) <= max_age)
    }
}

impl<P, T> TieredSessions<P, T>
where
    P: fmt::Display + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    /// In front of `backend`, with a near cache as the builder says; its lifetimes are those of all sessions.
    ///
    /// A session is turned into bytes by `encode`, and back by `decode`; of which `decode` makes nothing is no session.
    ///
    /// # Errors
    ///
    /// As [`Builder::build`](crate::Builder::build).
    pub fn new(
        builder: Builder<Key, Loaded<Kept<P, T>>>,
        backend: impl Backend,
        encode: impl Fn(Option<&P>, &T) -> Result<Vec<u8>, Source> + Send + Sync + 'static,
        decode: impl Fn(&[u8]) -> Option<(Option<P>, T)> + Send + Sync + 'static,
        options: TieredOptions,
    ) -> Result<Self, BuildError> {
        let codec = Codec::new(
            move |kept: &Kept<P, T>| {
                let payload = encode(kept.principal.as_deref(), &kept.data)?;
                Ok(kept.encode(&payload))
            },
            move |bytes| {
                let (kept, payload) = Kept::decode(bytes)?;
                let (principal, data) = decode(payload)?;
                Some(kept.with(principal.map(Arc::new), Arc::new(data)))
            },
        );
        let tiered = Tiered::new(builder, backend, codec, options)?;
        Ok(Self { tiered, grace: Duration::ZERO, on_authenticate: OnAuthenticate::default() })
    }

    /// For how long a session is still found by the id before; see
    /// [`rotation_grace`](crate::sessions::Builder::rotation_grace). By default not at all.
    #[must_use]
    pub fn rotation_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// What a log-in does to the time to live; by default it begins anew.
    #[must_use]
    pub fn on_authenticate(mut self, on_authenticate: OnAuthenticate) -> Self {
        self.on_authenticate = on_authenticate;
        self
    }

    /// Begins a session that is nobody's.
    ///
    /// # Errors
    ///
    /// As [`Tiered::create`].
    pub async fn create(&self, data: T) -> Result<SessionId, Error> {
        self.begin(None, data).await
    }

    /// Begins a session of a principal's: a log-in without a session before.
    ///
    /// # Errors
    ///
    /// As [`Tiered::create`].
    pub async fn create_for(&self, principal: P, data: T) -> Result<SessionId, Error> {
        self.begin(Some(principal), data).await
    }

    async fn begin(&self, principal: Option<P>, data: T) -> Result<SessionId, Error> {
        let id = SessionId::draw();
        let authenticated = principal.is_some().then_some(Duration::ZERO);
        let name = principal.as_ref().map(ToString::to_string);
        let principal = principal.map(Arc::new);
        let (digest, data) = (id.digest(), Arc::new(data));
        let public = id.public_id();
        let kept = Kept { public, digest, graced: None, authenticated, principal, data };
        let draft = Draft::new(kept);
        let draft = match name {
            Some(name) => draft.of(name),
            None => draft.of_nobody(),
        };
        self.tiered.create(&key_of(&public), draft).await?;
        Ok(id)
    }

    /// Gives the session of an id; a use of it.
    ///
    /// # Errors
    ///
    /// As [`Tiered::load`].
    pub async fn get(&self, id: &SessionId) -> Result<Option<TieredSession<P, T>>, Error> {
        let loaded = self.tiered.load(&key_of(&id.public_id())).await?;
        let is_served =
            |loaded: &Loaded<Kept<P, T>>| loaded.is_served(&id.digest(), || loaded.age());
        Ok(loaded.filter(is_served).map(|loaded| TieredSession { loaded }))
    }

    /// Changes a session's data, again if another request is first; false if it has ended.
    ///
    /// # Errors
    ///
    /// As [`Tiered::save_with`].
    pub async fn update(&self, id: &SessionId, mut f: impl FnMut(&T) -> T) -> Result<bool, Error> {
        let Some(session) = self.get(id).await? else { return Ok(false) };
        let (digest, loaded) = (id.digest(), session.loaded);
        let next = |kept: &Kept<P, T>, f: &mut dyn FnMut(&T) -> T| {
            let data = Arc::new(f(&kept.data));
            Kept { data, ..kept.clone() }
        };
        let draft = Draft::new(next(&loaded, &mut f));
        let (age, mut is_over) = (loaded.age(), false);
        let again = |others: Conflict<'_, Kept<P, T>>| {
            is_over = !others.current.is_served(&digest, || age);
            (!is_over).then(|| next(others.current, &mut f))
        };
        let saved = self.tiered.save_with(&key_of(&id.public_id()), &loaded, draft, again).await;
        if is_over { Ok(false) } else { Ok(saved?.is_some()) }
    }

    /// Gives a session a new id; none if it has ended, or has a new one by now (N2).
    ///
    /// # Errors
    ///
    /// As [`Tiered::save_with`].
    pub async fn rotate(&self, id: &SessionId) -> Result<Option<SessionId>, Error> {
        self.renew(id, None).await
    }

    /// Logs a principal in: the session is its, under a new id; none if it has ended, or has a new one by now.
    ///
    /// # Errors
    ///
    /// As [`Tiered::save_with`]; [`Error::LimitReached`] if the principal has as many sessions as it may.
    pub async fn authenticate(
        &self,
        id: &SessionId,
        principal: P,
    ) -> Result<Option<SessionId>, Error> {
        self.renew(id, Some(Arc::new(principal))).await
    }

    async fn renew(
        &self,
        id: &SessionId,
        principal: Option<Arc<P>>,
    ) -> Result<Option<SessionId>, Error> {
        let public = id.public_id();
        let Some(session) = self.get(id).await? else { return Ok(None) };
        let (old, new) = (id.digest(), SessionId::with_public(public));
        let (loaded, digest) = (session.loaded, new.digest());
        if !loaded.digest.is(&old) {
            return Ok(None);
        }
        let restarts =
            principal.is_some() && self.on_authenticate == OnAuthenticate::RestartAbsolute;
        let age = if restarts { Duration::ZERO } else { loaded.age() };
        let next = |kept: &Kept<P, T>| {
            let graced = (!self.grace.is_zero()).then_some((old, age + self.grace));
            let authenticated = if principal.is_some() { Some(age) } else { kept.authenticated };
            let principal = principal.clone().or_else(|| kept.principal.clone());
            Kept { digest, graced, authenticated, principal, ..kept.clone() }
        };
        let mut draft = Draft::new(next(&loaded));
        if let Some(principal) = &principal {
            draft = draft.of(principal.to_string());
        }
        if restarts {
            draft = draft.aged(Duration::ZERO).lifetime(Lifetime::default());
        }
        let mut is_over = false;
        let again = |others: Conflict<'_, Kept<P, T>>| {
            is_over = !others.current.digest.is(&old);
            (!is_over).then(|| next(others.current))
        };
        let saved = self.tiered.save_with(&key_of(&public), &loaded, draft, again).await;
        if is_over { Ok(None) } else { Ok(saved?.map(|_| new)) }
    }

    /// Ends the session of an id on all instances; false if there is none.
    ///
    /// # Errors
    ///
    /// As [`Tiered::delete`].
    pub async fn revoke(&self, id: &SessionId) -> Result<bool, Error> {
        if self.get(id).await?.is_none() {
            return Ok(false);
        }
        self.tiered.delete(&key_of(&id.public_id())).await
    }

    /// Ends all of a principal's sessions that were begun before the call, on all instances; gives how many.
    ///
    /// # Errors
    ///
    /// As [`Tiered::revoke_all`].
    pub async fn revoke_all(&self, principal: &P) -> Result<usize, Error> {
        self.tiered.revoke_all(principal.to_string()).await
    }

    /// The same for all but the one of this id.
    ///
    /// # Errors
    ///
    /// As [`Tiered::revoke_others`].
    pub async fn revoke_others(&self, principal: &P, id: &SessionId) -> Result<usize, Error> {
        self.tiered.revoke_others(principal.to_string(), &key_of(&id.public_id())).await
    }

    /// Ends the session that a device list shows under `public_id`; false if it is not the principal's.
    ///
    /// # Errors
    ///
    /// As [`Tiered::revoke_public`].
    pub async fn revoke_public(&self, principal: &P, public_id: &PublicId) -> Result<bool, Error> {
        self.tiered.revoke_public(principal.to_string(), &key_of(public_id)).await
    }

    /// A principal's live sessions on all instances, the oldest first: a device list. Not a use of them.
    ///
    /// # Errors
    ///
    /// As [`Tiered::sessions_of`].
    pub async fn sessions_of(&self, principal: &P) -> Result<Vec<TieredSession<P, T>>, Error> {
        let listed = self.tiered.sessions_of(principal.to_string()).await?;
        let sessions = listed.into_iter();
        Ok(sessions.map(|(_, loaded)| TieredSession { loaded }).collect())
    }

    /// The tier, for its [`stats`](Tiered::stats) and its near cache.
    #[must_use]
    pub fn tiered(&self) -> &Tiered<Kept<P, T>> {
        &self.tiered
    }
}

impl<P, T> Deref for TieredSession<P, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.loaded.data
    }
}

impl<P, T> Clone for TieredSession<P, T> {
    fn clone(&self) -> Self {
        Self { loaded: self.loaded.clone() }
    }
}

impl<P, T> fmt::Debug for TieredSession<P, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TieredSession")
            .field("public_id", &self.public_id())
            .finish_non_exhaustive()
    }
}

impl<P, T> Clone for TieredSessions<P, T>
where
    P: Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    fn clone(&self) -> Self {
        let (tiered, grace) = (self.tiered.clone(), self.grace);
        Self { tiered, grace, on_authenticate: self.on_authenticate }
    }
}

impl<P, T> fmt::Debug for TieredSessions<P, T>
where
    P: Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TieredSessions").field("tiered", &self.tiered).finish_non_exhaustive()
    }
}

fn key_of(public: &PublicId) -> Key {
    Key::of(public.bytes())
}
