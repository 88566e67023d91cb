//! Which sessions are whose, and no more of them than allowed.
//!
//! ```text
//!   hash of the principal ──► shard ──lock──► table: principal ──► its lives, oldest first or not
//! ```
//!
//! A principal's lives stand in one shard, and all that changes them is done under its lock: to count, to
//! end the oldest and to enter a new one is one step. The lock is held for as long as that takes, which is
//! constant, but for the search of the oldest among as many as are allowed. No call of the cache but look-ups is made
//! under it, and of user code only the principal's `Eq`.
//!
//! S1. A life is in the table from before its entry is in the cache until that has left it: removed by a call that
//!     has ended the life first, or by the cache, which tells of each end exactly once. A principal without
//!     lives has no place in the table.
//! S2. A principal has at most as many lives in the table as the limit, whenever the lock is free. So a newcomer has no
//!     place until the entry of the one that was ended for it has left the cache.
//! S9. `place` is a life's place among its principal's, or [`NOWHERE`].

use hashbrown::HashTable;

use super::OnLimit;
use super::life::{Ending, Life, NOWHERE, State};
use crate::platform::sync::{Arc, Mutex, Ordering};

pub(crate) struct Principals<P, K = ()> {
    shards: Box<[Mutex<Shard<P, K>>]>,
    limit: Option<(usize, OnLimit)>,
}

/// Why a life was not entered.
pub(crate) enum NoPlace<P, K = ()> {
    /// Its principal has as many as allowed.
    Refused,
    /// These have been ended, `by_limit` of them by this call: there is a place when their entries have left the
    /// cache, and they the table.
    Leaving { leaving: Vec<Arc<Life<P, K>>>, by_limit: u64 },
}

struct Shard<P, K> {
    table: HashTable<Lives<P, K>>,
    /// How many lives there are in all.
    lives: usize,
}

/// The lives of one principal, of which it has at least one.
enum Lives<P, K> {
    One(Arc<Life<P, K>>),
    #[allow(
        clippy::box_collection,
        reason = "most principals have one: a place in the table is small"
    )]
    Many(Box<Vec<Arc<Life<P, K>>>>),
}

impl<P, K> Lives<P, K> {
    fn as_slice(&self) -> &[Arc<Life<P, K>>] {
        match self {
            Self::One(life) => core::slice::from_ref(life),
            Self::Many(lives) => lives,
        }
    }

    fn push(&mut self, life: Arc<Life<P, K>>) {
        if let Self::One(first) = self {
            *self = Self::Many(Box::new(vec![first.clone()]));
        }
        if let Self::Many(lives) = self {
            // Relaxed: the lock orders it.
            life.place.store(lives.len() as u32, Ordering::Relaxed);
            lives.push(life);
        }
    }

    /// Takes the life at `place` out; false if none is left.
    fn remove(&mut self, place: usize) -> bool {
        let Self::Many(lives) = self else { return false };
        lives.swap_remove(place);
        if let Some(moved) = lives.get(place) {
            // Relaxed: the lock orders it.
            moved.place.store(place as u32, Ordering::Relaxed);
        }
        if let [last] = &lives[..] {
            *self = Self::One(last.clone());
        } else if lives.len() < lives.capacity() / 4 {
            lives.shrink_to(lives.len() * 2);
        }
        true
    }
}

impl<P: Eq, K> Principals<P, K> {
    pub(crate) fn new(limit: Option<(usize, OnLimit)>) -> Self {
        let shard = || Mutex::new(Shard { table: HashTable::new(), lives: 0 });
        Self { shards: (0..SHARDS).map(|_| shard()).collect(), limit }
    }

    fn shard(&self, hash: u64) -> &Mutex<Shard<P, K>> {
        // The table goes by the low and the top bits.
        &self.shards[(hash >> 32) as usize % SHARDS]
    }

    /// Enters a life, if its principal has a place for it (S2). `is_over` tells of a live one that the cache has
    /// not told of yet.
    ///
    /// # Errors
    ///
    /// There is no place, or not yet.
    pub(crate) fn try_enter(
        &self,
        life: &Arc<Life<P, K>>,
        is_over: impl Fn(&Life<P, K>) -> bool,
    ) -> Result<(), NoPlace<P, K>> {
        let Some(principal) = &life.principal else { return Ok(()) };
        let mut shard = self.shard(life.hash).lock();
        let has_place = |shard: &Shard<P, K>, (limit, _): (usize, OnLimit)| {
            shard.lives_of(life.hash, principal).len() < limit
        };
        if let Some(limit) = self.limit.filter(|&limit| !has_place(&shard, limit)) {
            shard.remove_where(life.hash, principal, |life| life.state() == State::Superseded);
            // A reader may still find one whose time is up: it leaves like any other.
            for life in shard.lives_of(life.hash, principal) {
                let _ended = life.state() == State::Live && is_over(life) && life.end(Ending::Over);
            }
            if !has_place(&shard, limit) {
                return Err(shard.make_place(life.hash, principal, limit));
            }
        }
        shard.insert(life.clone());
        Ok(())
    }

    /// Takes a life out, if it is in. Its entry has left the cache, or is another life's.
    pub(crate) fn leave(&self, life: &Arc<Life<P, K>>) {
        if life.principal.is_some() {
            self.shard(life.hash).lock().remove(life);
        }
    }

    /// The cache has told of a life's end. Gives the state that it had.
    pub(crate) fn forget(&self, life: &Arc<Life<P, K>>) -> State {
        if life.principal.is_none() {
            return life.leave();
        }
        let mut shard = self.shard(life.hash).lock();
        shard.remove(life);
        life.leave()
    }

    /// Ends all of a principal's lives but those that `is_kept`. Gives those whose entries have to leave the cache,
    /// each with whether this call has ended it: another one may have and not come to the rest.
    pub(crate) fn end_all(
        &self,
        hash: u64,
        principal: &P,
        is_kept: impl Fn(&Life<P, K>) -> bool,
    ) -> Vec<(Arc<Life<P, K>>, bool)> {
        let shard = self.shard(hash).lock();
        let lives = shard.lives_of(hash, principal).iter().filter(|life| !is_kept(life));
        lives.map(|life| (life.clone(), life.end(Ending::Revoked))).collect()
    }

    /// A principal's lives that are pending or live.
    pub(crate) fn of(&self, hash: u64, principal: &P) -> Vec<Arc<Life<P, K>>> {
        let shard = self.shard(hash).lock();
        let lives = shard.lives_of(hash, principal).iter();
        lives.filter(|life| life.state().counts()).cloned().collect()
    }

    /// How many principals have a session, and how many those are.
    pub(crate) fn len(&self) -> (usize, usize) {
        self.shards.iter().fold((0, 0), |(principals, lives), shard| {
            let shard = shard.lock();
            (principals + shard.table.len(), lives + shard.lives)
        })
    }

    /// How many principals the tables have room for.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().table.capacity()).sum()
    }

    /// Shows all lives that are in, and checks S9; tells what is wrong.
    pub(crate) fn check(&self, mut see: impl FnMut(&Arc<Life<P, K>>)) -> Result<(), &'static str> {
        for (number, shard) in self.shards.iter().enumerate() {
            let all: Vec<Arc<Life<P, K>>> = {
                let shard = shard.lock();
                let mut all = Vec::with_capacity(shard.lives);
                for lives in &shard.table {
                    for (place, life) in lives.as_slice().iter().enumerate() {
                        // Relaxed: the lock orders it.
                        if life.place.load(Ordering::Relaxed) as usize != place {
                            return Err("S9: a life is not where it says");
                        }
                        if (life.hash >> 32) as usize % SHARDS != number {
                            return Err("S9: a life is in a shard that is not its own");
                        }
                        all.push(life.clone());
                    }
                }
                if all.len() != shard.lives {
                    return Err("S9: lives are counted wrongly");
                }
                all
            };
            all.iter().for_each(&mut see);
        }
        Ok(())
    }
}

fn is_of<P: Eq, K>(principal: &P) -> impl Fn(&Lives<P, K>) -> bool {
    move |lives| lives.as_slice()[0].principal.as_ref() == Some(principal)
}

impl<P: Eq, K> Shard<P, K> {
    fn lives_of(&self, hash: u64, principal: &P) -> &[Arc<Life<P, K>>] {
        self.table.find(hash, is_of(principal)).map(Lives::as_slice).unwrap_or_default()
    }

    /// Ends the oldest life of a principal, if the limit says so and none is about to leave.
    fn make_place(
        &self,
        hash: u64,
        principal: &P,
        (_, on_limit): (usize, OnLimit),
    ) -> NoPlace<P, K> {
        let lives = self.lives_of(hash, principal);
        let leaving = || lives.iter().filter(|life| !life.state().counts()).cloned();
        let mut by_limit = 0;
        if on_limit == OnLimit::RevokeOldest && leaving().next().is_none() {
            let oldest = lives.iter().min_by_key(|life| life.begun_ns);
            let is_ended = oldest.is_some_and(|oldest| oldest.end(Ending::LimitReached));
            by_limit = u64::from(is_ended);
        }
        let leaving: Vec<_> = leaving().collect();
        if leaving.is_empty() { NoPlace::Refused } else { NoPlace::Leaving { leaving, by_limit } }
    }

    fn insert(&mut self, life: Arc<Life<P, K>>) {
        let principal = life.principal.as_ref().expect("only those with a principal are in");
        // First the principal's `Eq`, which may panic.
        let known = self.table.find_mut(life.hash, is_of(principal));
        self.lives += 1;
        if let Some(lives) = known {
            lives.push(life);
            return;
        }
        // Relaxed: the lock orders it.
        life.place.store(0, Ordering::Relaxed);
        let hash = life.hash;
        self.table.insert_unique(hash, Lives::One(life), |lives| lives.as_slice()[0].hash);
    }

    fn remove(&mut self, life: &Arc<Life<P, K>>) {
        // Relaxed: the lock orders it.
        let place = life.place.swap(NOWHERE, Ordering::Relaxed);
        if place == NOWHERE {
            return;
        }
        let is_it = |lives: &Lives<P, K>| {
            lives.as_slice().get(place as usize).is_some_and(|other| Arc::ptr_eq(other, life))
        };
        let Ok(mut lives) = self.table.find_entry(life.hash, is_it) else { return };
        self.lives -= 1;
        if !lives.get_mut().remove(place as usize) {
            lives.remove();
            self.shrink();
        }
    }

    /// Takes out all lives of a principal for which `is_it` says so.
    fn remove_where(&mut self, hash: u64, principal: &P, is_it: impl Fn(&Life<P, K>) -> bool) {
        let found = self.lives_of(hash, principal).iter().filter(|life| is_it(life));
        let found: Vec<_> = found.cloned().collect();
        found.iter().for_each(|life| self.remove(life));
    }

    fn shrink(&mut self) {
        if self.table.len() < self.table.capacity() / 4 {
            self.table.shrink_to(self.table.len() * 2, |lives| lives.as_slice()[0].hash);
        }
    }
}

/// Enough that threads that log principals in do not meet.
const SHARDS: usize = 64;
