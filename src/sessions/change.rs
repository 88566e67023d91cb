//! What begins sessions and changes them.

use core::hash::Hash;

use super::id::{PublicId, SessionId};
use super::life::{Ending, Life, Root};
use super::refused::{Refusal, Refused};
use super::session::{Session, Stored, Version};
use super::{OnAuthenticate, Sessions};
use crate::error::Rejected;
use crate::lifetime::Lifetime;
use crate::platform::sync::Arc;

impl<P, T> Sessions<P, T>
where
    P: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    /// Creates a session of nobody's.
    ///
    /// **Locking and complexity:** as [`Cache::insert`](crate::Cache::insert).
    ///
    /// # Errors
    ///
    /// [`Refused`] hands the data back.
    pub fn create(&self, data: T) -> Result<SessionId, Refused<T>> {
        self.put(None, data)
    }

    /// Creates a session of a principal's, who has just proved who it is.
    ///
    /// **Locking:** as [`Cache::insert`](crate::Cache::insert), and before that the principal's part of the index. `P`'s `Eq` is
    /// called under that lock, and must not call these sessions. **Complexity:** constant.
    ///
    /// # Errors
    ///
    /// [`Refused`] hands the data back.
    pub fn create_for(&self, principal: P, data: T) -> Result<SessionId, Refused<T>> {
        self.put(Some(principal), data)
    }

    fn put(&self, principal: Option<P>, data: T) -> Result<SessionId, Refused<T>> {
        let inner = &*self.inner;
        let id = SessionId::draw();
        let now_ns = inner.clock.exact_ns();
        let authenticated_ns = principal.is_some().then_some(now_ns);
        let principal = inner.hashed(principal);
        let (public, clock) = (id.public_id(), inner.clock.clone());
        let root = Arc::new(Root { public, clock, created_ns: now_ns });
        let life = Arc::new(Life::new(root, principal));
        let version = Version {
            life: life.clone(),
            before: None,
            graced: Box::default(),
            authenticated_ns,
            data: Arc::new(data),
        };
        let stored = Stored::new(id.digest(), version);
        // What the cache would refuse whatever leaves is refused before anything does.
        if !inner.cache.admits(&id.public_id(), &stored) {
            return Err(refused(stored, Refusal::TooHeavy));
        }
        let place = match inner.enter(&life) {
            Ok(place) => place,
            Err(reason) => return Err(refused(stored, reason)),
        };
        if let Err(rejected) = inner.cache.insert(id.public_id(), stored) {
            return Err(refused(rejected.value, Refusal::of(rejected.reason)));
        }
        place.keep();
        if !life.begin(None) {
            // Revoked before it was born.
            inner.discard(&life);
        }
        Ok(id)
    }

    /// Gives a session a new id; `None` if it has ended, or this is no longer its newest id. Deadlines, data and
    /// last use carry over.
    ///
    /// The old id finds the session for the [grace](super::Builder::rotation_grace), if there is one. It is good for no
    /// other id: whoever has learned it cannot stay in.
    ///
    /// **Locking and complexity:** as [`Cache::update`](crate::Cache::update).
    pub fn rotate(&self, id: &SessionId) -> Option<SessionId> {
        let new = SessionId::with_public(id.public_id());
        let digest = id.digest();
        let is_done = self.change(id, |stored| {
            let is_newest = stored.is_newest_of(&digest);
            is_newest.then(|| stored.renamed(&new, self.inner.grace_ns))
        });
        // Nothing is refused: it weighs what it did. Only a closed cache has none.
        if !is_done.unwrap_or(false) {
            return None;
        }
        self.inner.book.rotated.add(1);
        Some(new)
    }

    /// Puts what `f` makes of a session's data in its place; false if it has ended.
    ///
    /// The closure runs outside every lock, and again if another call has changed the session meanwhile.
    /// Not a use of the session.
    ///
    /// **Locking and complexity:** as [`Cache::update`](crate::Cache::update).
    ///
    /// # Errors
    ///
    /// [`Refused`] hands the new data back, if it is too heavy; the session keeps the old.
    pub fn update(&self, id: &SessionId, mut f: impl FnMut(&T) -> T) -> Result<bool, Refused<T>> {
        let changed = self.change(id, |stored| Some(stored.with_data(f(&stored.version.data))));
        changed.map_err(|rejected| refused(rejected.value, Refusal::of(rejected.reason)))
    }

    /// Puts another version in the place of an id's session; false if it has ended.
    fn change(
        &self,
        id: &SessionId,
        mut f: impl FnMut(&Stored<P, T>) -> Option<Stored<P, T>>,
    ) -> Result<bool, Rejected<PublicId, Stored<P, T>>> {
        let digest = id.digest();
        let mut is_known = false;
        let changed = self.inner.cache.update_if(&id.public_id(), |stored| {
            is_known = stored.is_of(&digest);
            is_known.then(|| f(stored)).flatten()
        });
        if !is_known {
            let _none = self.known(None);
        }
        changed
    }

    /// Logs a principal in: binds a session to it and gives it a new id, in one step. The principal has just proved
    /// who it is.
    ///
    /// The time to live begins anew, or not; see [`Builder::on_authenticate`](super::Builder::on_authenticate). A use of the session. A session
    /// that is another principal's becomes this one's.
    ///
    /// **Locking:** as [`create_for`](Self::create_for). **Complexity:** constant.
    ///
    /// # Errors
    ///
    /// [`Refusal::Ended`], also for an id that is no longer the newest; [`Refusal::LimitReached`], or what the cache refuses the session for; it is as it was.
    pub fn authenticate(&self, id: &SessionId, principal: P) -> Result<SessionId, Refusal> {
        let inner = &*self.inner;
        let new = SessionId::with_public(id.public_id());
        let (principal, hash) = inner.hashed(Some(principal));
        loop {
            let session = self.peek_newest(id).ok_or(Refusal::Ended)?;
            let before = session.0.life.clone();
            let is_same = before.principal == principal;
            let life = match is_same {
                true => before.clone(),
                false => Arc::new(Life::new(before.root.clone(), (principal.clone(), hash))),
            };
            let place = if is_same { None } else { Some(inner.enter(&life)?) };
            if self.bind(id, &new, (&before, &life))? {
                if let Some(place) = place {
                    place.keep();
                    let has_begun = life.begin(Some(&before));
                    inner.principals.leave(&before);
                    if !has_begun {
                        // Revoked meanwhile, as the old principal's or as the new one's.
                        life.end(Ending::Revoked);
                        inner.discard(&life);
                        return Err(Refusal::Ended);
                    }
                    self.settle(&new);
                }
                match inner.on_authenticate {
                    OnAuthenticate::KeepAbsolute => inner.cache.touch(&id.public_id()),
                    OnAuthenticate::RestartAbsolute => {
                        inner.cache.set_lifetime(&id.public_id(), Lifetime::default())
                    }
                };
                inner.book.authenticated.add(1);
                return Ok(new);
            }
            // It is another principal's by now, or has ended.
        }
    }

    fn peek_newest(&self, id: &SessionId) -> Option<Session<P, T>> {
        let digest = id.digest();
        let stored = self.inner.cache.peek(&id.public_id());
        self.known(stored.filter(|stored| stored.is_newest_of(&digest)))
    }

    /// Puts the version of a new life, or of the same one, in an entry's place; false if that is no longer as it
    /// was.
    fn bind(
        &self,
        id: &SessionId,
        new: &SessionId,
        (before, life): (&Arc<Life<P>>, &Arc<Life<P>>),
    ) -> Result<bool, Refusal> {
        let inner = &*self.inner;
        let digest = id.digest();
        let bound = inner.cache.update_if(&id.public_id(), |stored| {
            let is_it = stored.is_newest_of(&digest) && stored.version.life.is(before);
            let is_wanted = life.is(before) || life.state().counts();
            (is_it && is_wanted).then(|| stored.logged_in(new, inner.grace_ns, (before, life)))
        });
        bound.map_err(|rejected| Refusal::of(rejected.reason))
    }

    /// Stores a log-in's version anew, so that look-ups need not ask its life any more. A matter of speed
    /// only: the cache may be closed by now, or the session changed.
    fn settle(&self, id: &SessionId) {
        let stored = self.change(id, |stored| Some(stored.settled()));
        drop(stored);
    }
}

/// Takes the data out of a version that nobody else has.
fn refused<P, T>(stored: Stored<P, T>, reason: Refusal) -> Refused<T> {
    let version = Arc::into_inner(stored.version).expect("it was in no cache");
    let data = Arc::into_inner(version.data).expect("it is of no other version");
    Refused::new(data, reason)
}
