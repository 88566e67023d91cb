//! Whose the sessions of a store are: the principals' index of a framework's store.
//!
//! A framework's session shows in its data whose it is, once a request has logged a user in. So a store may be
//! given a rule that reads the *principal* out of a session. The roster keeps a [`Life`] for each session that has
//! one, in two tables: by principal ([`Principals`], which also keeps the limit), and by the cache's key.
//!
//! ```text
//!   principal ──► lives, oldest first or not          S1, S2
//!                   ▲
//!         key ──► place { now, is_changing }          Q1
//! ```
//!
//! Q1. The place of a key names the life of the session that the cache has under it. One call at a time changes
//!     whose a session is: it takes the place's *turn* before it changes the cache, and gives it back after.
//!     Meanwhile the session is of the life that the place names or of the one that the call brings.
//! Q2. A life is among its principal's before the cache has its session, and until that has left the cache or is
//!     another principal's. So no more sessions of a principal are in the cache than its limit allows.
//! Q3. Revocation ends the lives first, and then removes what the cache has under their keys. A call that has its turn
//!     finds the session gone, or finds that its life has ended and removes the session itself.
//! Q4. A session that was deleted may be on its way to a new id. When it was deleted is remembered, and when
//!     its principal, or it alone, was revoked last: what is created from a session that was deleted before that
//!     takes nothing of it along. Its life is entered before this is looked up, and a revocation is noted before
//!     it looks for lives; so one of the two sees the other. What is created from a copy of a session that is
//!     not known to have been deleted takes nothing along either if its principal was revoked within the
//!     hour: that session may have been evicted, or have run out, a moment before.
//! Q5. The cache tells of the end of each session, once. If it has a live session under the key by then, that was put
//!     back, and its own end is yet to come.

mod revocations;
#[cfg(all(
    feature = "snapshot",
    any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15")
))]
pub(super) mod travel;

use core::hash::{BuildHasher, Hash};
use std::collections::HashMap;
use std::sync::OnceLock;

use self::revocations::Revocations;
use super::keeper::Kept;
use super::refusal::Refusal;
use crate::builder::Builder;
use crate::cache::{Cache, WeakCache};
use crate::error::BuildError;
use crate::platform::clock::Clock;
use crate::platform::hasher::RandomState;
use crate::platform::sync::{Arc, Mutex, thread};
use crate::removal::RemovalCause;
use crate::sessions::life::{Life, Root};
use crate::sessions::principals::{NoPlace, Principals};
use crate::sessions::{OnLimit, PublicId};

/// Reads a session's principal.
pub(super) type PrincipalOf<R> = dyn Fn(&R) -> Option<String> + Send + Sync;

/// A store's session as one principal's.
pub(super) type Member<K> = Life<String, K>;

pub(super) struct Roster<R: Kept> {
    rule: Box<PrincipalOf<R>>,
    principals: Principals<String, R::Key>,
    places: Box<[Mutex<Places<R::Key>>]>,
    revocations: Revocations<R::Key>,
    hasher: RandomState,
    clock: Clock,
    cache: OnceLock<WeakCache<R::Key, R>>,
}

/// Lives whose sessions have to leave the cache, each with whether this call has ended it.
pub(super) type Ended<K> = Vec<(Arc<Member<K>>, bool)>;

type Places<K> = HashMap<K, Place<K>>;

struct Place<K> {
    now: Option<Arc<Member<K>>>,
    is_changing: bool,
}

impl<R: Kept> Roster<R> {
    /// For the cache that is to be built; its listener hears of everything as before.
    pub(super) fn of(
        builder: &mut Builder<R::Key, R>,
        rule: Box<PrincipalOf<R>>,
        limit: Option<(usize, OnLimit)>,
    ) -> Result<Arc<Self>, BuildError> {
        let roster = Arc::new(Self {
            rule,
            principals: Principals::new(limit),
            places: (0..SHARDS).map(|_| Mutex::default()).collect(),
            revocations: Revocations::of(builder)?,
            hasher: RandomState::new(),
            clock: builder.clock.clone(),
            cache: OnceLock::new(),
        });
        let (hears, listener) = (roster.clone(), builder.listener.take());
        builder.listener = Some(Box::new(move |key, session, cause| {
            if cause != RemovalCause::Replaced {
                hears.hear(&key);
            }
            if let Some(listener) = &listener {
                listener(key, session, cause);
            }
        }));
        Ok(roster)
    }

    /// Names the cache that was built.
    pub(super) fn attach(&self, cache: &Cache<R::Key, R>) {
        let _first = self.cache.set(cache.downgrade());
    }

    /// A session's principal by the rule.
    pub(super) fn principal_of(&self, session: &R) -> Result<Option<String>, Refusal> {
        match (self.rule)(session) {
            Some(principal) if principal.len() > MOST_PRINCIPAL_BYTES => {
                Err(Refusal::LongPrincipal)
            }
            principal => Ok(principal),
        }
    }

    /// The principals, and how this roster hashes one.
    pub(super) fn principals(&self, principal: &str) -> (&Principals<String, R::Key>, u64) {
        (&self.principals, self.hasher.hash_one(principal))
    }

    /// How many principals have sessions, and how many those are.
    pub(super) fn len(&self) -> (usize, usize) {
        self.principals.len()
    }

    fn places(&self, key: &R::Key) -> &Mutex<Places<R::Key>> {
        &self.places[(self.hasher.hash_one(key) >> 32) as usize % SHARDS]
    }

    fn is_live(&self, key: &R::Key) -> bool {
        self.cache.get().is_some_and(|cache| cache.contains_key(key))
    }

    /// Takes a key's turn, if its session is about to become another principal's (Q1); none if it is not.
    ///
    /// What it takes along of the session that it was made from is `origin`'s.
    pub(super) fn take_turn(
        &self,
        key: &R::Key,
        principal: Option<String>,
        origin: Option<&R::Key>,
    ) -> Result<Option<Turn<'_, R>>, Refusal> {
        for _ in 0..MOST_WAITS {
            match self.try_turn(key, principal.as_ref()) {
                Ok(None) => {}
                Ok(Some(turn)) => return Ok(Some(turn.with(principal, origin))),
                Err(SameAsNow) => return Ok(None),
            }
            thread::yield_now();
        }
        Err(Refusal::Conflict)
    }

    /// None while another call has the turn.
    fn try_turn(
        &self,
        key: &R::Key,
        principal: Option<&String>,
    ) -> Result<Option<Turn<'_, R>>, SameAsNow> {
        let mut places = self.places(key).lock();
        let place = places.get_mut(key);
        let now = place.as_ref().and_then(|place| place.now.clone());
        let is_same = now.as_ref().and_then(|now| now.principal.as_ref()) == principal;
        match place {
            Some(place) if place.is_changing => return Ok(None),
            _ if is_same => return Err(SameAsNow),
            Some(place) => place.is_changing = true,
            None => {
                places.insert(key.clone(), Place { now: None, is_changing: true });
            }
        }
        Ok(Some(Turn {
            roster: self,
            key: key.clone(),
            now,
            next: None,
            taken_ns: self.clock.exact_ns(),
            is_open: true,
            has_entered: false,
        }))
    }

    /// Notes that a session is about to be deleted (Q4).
    pub(super) fn depart(&self, key: &R::Key) {
        if let Some(life) = self.life_of(key) {
            self.revocations.depart(key, life);
        }
    }

    pub(super) fn life_of(&self, key: &R::Key) -> Option<Arc<Member<R::Key>>> {
        self.places(key).lock().get(key)?.now.clone()
    }

    /// Whether what is under a life's key may be of this life (Q1).
    pub(super) fn may_have(&self, life: &Member<R::Key>) -> bool {
        let places = self.places(&life.key).lock();
        places.get(&life.key).is_some_and(|place| {
            place.is_changing || place.now.as_ref().is_some_and(|now| now.is(life))
        })
    }

    /// Whether a session that was deleted has been revoked since (Q4).
    pub(super) fn was_revoked(&self, departed: &R::Key) -> bool {
        self.revocations.have(departed)
    }

    /// Whether the principal of this copy of a session was revoked lately.
    pub(super) fn was_revoked_lately(&self, copy: &R) -> bool {
        (self.rule)(copy).is_some_and(|principal| self.revocations.have_lately(&principal))
    }

    /// Names the session that a key has, or had lately.
    pub(super) fn public_of(&self, key: &R::Key) -> Option<PublicId> {
        let life = self.life_of(key).or_else(|| self.revocations.departed(key))?;
        Some(life.root.public)
    }

    /// Ends all of a principal's lives, but the session `kept`. Gives those whose sessions have to leave the
    /// cache, each with whether this call has ended it.
    pub(super) fn revoke_all(&self, principal: &str, kept: Option<PublicId>) -> Ended<R::Key> {
        let is_kept = |life: &Member<R::Key>| Some(life.root.public) == kept;
        let (principals, hash) = self.principals(principal);
        let principal = principal.to_owned();
        self.revocations.note(&principal, kept, || principals.end_all(hash, &principal, is_kept))
    }

    /// The same for one session.
    pub(super) fn revoke_one(&self, principal: &str, public: &PublicId) -> Ended<R::Key> {
        let (principals, hash) = self.principals(principal);
        self.revocations.note_one(*public);
        principals.end_all(hash, &principal.to_owned(), |life| life.root.public != *public)
    }

    /// A session has left the cache, by a call that knows it.
    pub(super) fn leave(&self, key: &R::Key) {
        let mut places = self.places(key).lock();
        let Some(place) = places.get_mut(key) else { return };
        let now = place.now.take();
        if !place.is_changing {
            places.remove(key);
            shrink(&mut places);
        }
        drop(places);
        if let Some(now) = now {
            self.principals.forget(&now);
        }
    }

    /// The cache tells of a session's end (Q5).
    fn hear(&self, key: &R::Key) {
        let is_known = self.places(key).lock().contains_key(key);
        if is_known && !self.is_live(key) {
            self.leave(key);
        }
    }

    /// Frees what is over by now, for caches without a reaper's thread.
    #[cfg(any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15"))]
    pub(super) fn reap(&self) {
        self.revocations.reap();
    }
}

/// A session is to stay whose it is.
struct SameAsNow;

/// A call's turn to change whose a session is (Q1): given back as it was unless it is [kept](Self::keep).
pub(super) struct Turn<'r, R: Kept> {
    roster: &'r Roster<R>,
    key: R::Key,
    now: Option<Arc<Member<R::Key>>>,
    /// None of a session that is to be no principal's.
    next: Option<Arc<Member<R::Key>>>,
    /// When it was taken.
    taken_ns: u64,
    is_open: bool,
    has_entered: bool,
}

impl<R: Kept> Turn<'_, R> {
    fn with(mut self, principal: Option<String>, origin: Option<&R::Key>) -> Self {
        let roster = self.roster;
        let Some(principal) = principal else { return self };
        let departed = origin.and_then(|origin| roster.revocations.departed(origin));
        let before = self.now.clone().or(departed);
        let begun_ns = match &before {
            Some(before) if before.principal.as_ref() == Some(&principal) => before.begun_ns,
            _ => self.taken_ns,
        };
        let root = match before {
            Some(before) => before.root.clone(),
            None => {
                let (public, clock) = (PublicId::draw(), roster.clock.clone());
                Arc::new(Root { public, clock, created_ns: self.taken_ns })
            }
        };
        let hash = roster.hasher.hash_one(principal.as_str());
        let life = Member::of_key(self.key.clone(), root, (Some(principal), hash), begun_ns);
        self.next = Some(Arc::new(life));
        self
    }

    /// Whether it is to make the session this principal's.
    pub(super) fn is_for(&self, principal: Option<&String>) -> bool {
        self.next.as_ref().and_then(|next| next.principal.as_ref()) == principal
    }

    /// Whether it makes the session a principal's that it was not.
    pub(super) fn is_log_in(&self) -> bool {
        self.next.as_ref().is_some_and(|next| next.begun_ns == self.taken_ns)
    }

    /// Enters the new life among its principal's, if that has a place for it (Q2).
    pub(super) fn try_enter(&mut self) -> Result<(), NoPlace<String, R::Key>> {
        let Some(next) = &self.next else { return Ok(()) };
        let is_over = |life: &Member<R::Key>| !self.roster.is_live(&life.key);
        self.roster.principals.try_enter(next, is_over)?;
        self.has_entered = true;
        Ok(())
    }

    /// The cache has the session as the new principal's. False if that was revoked meanwhile (Q3).
    pub(super) fn keep(mut self) -> bool {
        let next = self.next.take();
        self.give_back(|place| place.now.clone_from(&next));
        if let Some(before) = &self.now {
            self.roster.principals.forget(before);
        }
        let has_begun = next.as_ref().is_none_or(|next| next.begin(None));
        // The cache may have told of its end when nothing was known of it.
        if next.is_some() && !self.roster.is_live(&self.key) {
            self.roster.leave(&self.key);
        }
        has_begun
    }

    fn give_back(&mut self, change: impl FnOnce(&mut Place<R::Key>)) {
        let mut places = self.roster.places(&self.key).lock();
        let place = places.get_mut(&self.key).expect("a place stays while it is changing");
        change(place);
        place.is_changing = false;
        self.is_open = false;
        if place.now.is_none() {
            places.remove(&self.key);
            shrink(&mut places);
        }
    }
}

impl<R: Kept> Drop for Turn<'_, R> {
    fn drop(&mut self) {
        if self.is_open {
            self.give_back(|_| {});
        }
        if let Some(next) = self.next.take().filter(|_| self.has_entered) {
            self.roster.principals.forget(&next);
        }
    }
}

fn shrink<K: Hash + Eq>(places: &mut Places<K>) {
    if places.len() < places.capacity() / 4 {
        places.shrink_to(places.len() * 2);
    }
}

/// Enough that threads that log users in do not meet.
const SHARDS: usize = 64;

/// A principal is a user's name or number, not a document.
pub(super) const MOST_PRINCIPAL_BYTES: usize = 1_024;

/// How often a call lets another one finish that is changing whose the same session is.
const MOST_WAITS: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    impl<R: Kept> Roster<R> {
        pub(in crate::adapters) fn room(&self) -> usize {
            let places = self.places.iter().map(|places| places.lock().capacity());
            self.principals.capacity() + places.sum::<usize>()
        }

        /// Checks that the two tables have the same lives, while no call is under way.
        pub(in crate::adapters) fn check(&self) -> Result<usize, &'static str> {
            let mut listed = Vec::new();
            self.principals.check(|life| listed.push(life.clone()))?;
            for life in &listed {
                if !self.life_of(&life.key).is_some_and(|now| now.is(life)) {
                    return Err("Q1: a life is not in the place of its key");
                }
            }
            let placed: usize = self.places.iter().map(|places| places.lock().len()).sum();
            if placed != listed.len() {
                return Err("Q1: a place has no life");
            }
            Ok(placed)
        }
    }
}
