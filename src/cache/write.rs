//! Insertions and updates of single sessions.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};

use super::Cache;
use super::contest::Contest;
use super::gather::{FollowUps, Gathered, MOST_WAITS};
use crate::budget::Room;
use crate::error::{Reason, Rejected};
use crate::index::{Fresh, Use};
use crate::lifetime::{Lifetime, Spans};
use crate::platform::sync::{Ordering, pin};
use crate::shard::{After, Hold, Mode, NotPut, Overtaken, Shard, Snag};

impl<K, V, S> Cache<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    /// Puts a session in, in place of the key's old one if there is one.
    ///
    /// If there is no room, what is due is reaped, and then the least recently used sessions are
    /// evicted, but for the one to be replaced; or the session is handed back, with
    /// [`OnFull::Reject`](crate::OnFull::Reject). A live session can always be replaced by one that
    /// is not heavier.
    ///
    /// **Locking:** the key's shard; it waits for a call of another thread that has a *turn* with the
    /// key (see [`update`](Self::update)), for a second at most. Where room is needed and the coldest session may be in another
    /// shard, also a lock that one thread at a time gathers room under, and one other shard at a time;
    /// with many evictions a millisecond that is the rare case. **Complexity:** constant on average;
    /// an eviction examines at most 16,384 records, and none after a millisecond's search, and one
    /// insertion in a while grows the shard's table (under a millisecond at the default number of
    /// shards).
    ///
    /// # Errors
    ///
    /// [`Rejected`] hands key and value back: [`Reason::Full`], [`Reason::TooHeavy`] or
    /// [`Reason::Closed`].
    ///
    /// # Panics
    ///
    /// If `Hash`, `Eq` or the weigher does; then key and value are dropped and nothing has changed.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = sundown::Cache::builder().max_entries(10).build()?;
    /// cache.insert("id", 1)?;
    /// cache.insert("id", 2)?;
    /// assert_eq!(cache.get("id"), Some(2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn insert(&self, key: K, value: V) -> Result<(), Rejected<K, V>> {
        self.put(key, value, self.core.spans, Mode::Always)
    }

    /// Like [`insert`](Self::insert), with lifetimes of the session's own.
    ///
    /// **Locking, complexity, errors and panics:** as [`insert`](Self::insert).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use sundown::{Cache, Lifetime, ManualClock, Reaper};
    /// let clock = ManualClock::new();
    /// let cache = Cache::builder().max_entries(10).clock(clock.clone()).reaper(Reaper::Manual)
    ///     .build()?;
    /// cache.insert_for("id", 1, Lifetime::default().live(Duration::from_secs(5)))?;
    /// clock.advance(Duration::from_secs(5));
    /// assert_eq!(cache.get("id"), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn insert_for(&self, key: K, value: V, lifetime: Lifetime) -> Result<(), Rejected<K, V>> {
        self.put(key, value, lifetime.resolve(self.core.spans), Mode::Always)
    }

    /// Puts a session in only if the key has no live one; atomic.
    ///
    /// **Locking, complexity and panics:** as [`insert`](Self::insert).
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert), and [`Reason::Occupied`].
    ///
    /// # Examples
    ///
    /// ```
    /// use sundown::{Cache, Lifetime, Reason};
    /// let cache = Cache::builder().max_entries(10).build()?;
    /// cache.insert_if_absent("id", 1, Lifetime::default())?;
    /// let refused = cache.insert_if_absent("id", 2, Lifetime::default()).unwrap_err();
    /// assert_eq!(refused.reason, Reason::Occupied);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn insert_if_absent(
        &self,
        key: K,
        value: V,
        lifetime: Lifetime,
    ) -> Result<(), Rejected<K, V>> {
        self.put(key, value, lifetime.resolve(self.core.spans), Mode::IfAbsent)
    }

    /// Puts a session in only if the key has a live one; atomic. Lifetimes start anew.
    ///
    /// **Locking, complexity and panics:** as [`insert`](Self::insert).
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert), and [`Reason::Absent`].
    ///
    /// # Examples
    ///
    /// ```
    /// use sundown::{Cache, Lifetime, Reason};
    /// let cache = Cache::builder().max_entries(10).build()?;
    /// let refused = cache.replace("id", 1, Lifetime::default()).unwrap_err();
    /// assert_eq!(refused.reason, Reason::Absent);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn replace(&self, key: K, value: V, lifetime: Lifetime) -> Result<(), Rejected<K, V>> {
        self.put(key, value, lifetime.resolve(self.core.spans), Mode::IfPresent)
    }

    /// Whether a session is light enough for this cache, if it were empty.
    ///
    /// **Locking:** none. **Complexity:** constant. **Panics:** if the weigher does.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = sundown::Cache::builder().max_weight(10).weigher(|_, bytes: &Vec<u8>| bytes.len() as u64)
    ///     .build()?;
    /// assert!(cache.admits(&"id", &vec![0; 10]) && !cache.admits(&"id", &vec![0; 11]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn admits(&self, key: &K, value: &V) -> bool {
        let weight = self.core.weigh(key, value);
        self.core.withdraw(value);
        self.core.shared.budget.admits(weight)
    }

    pub(super) fn put(
        &self,
        key: K,
        value: V,
        spans: Spans,
        mode: Mode<'_, K, V>,
    ) -> Result<(), Rejected<K, V>> {
        let hash = self.core.hash(&key);
        let shard = self.core.shard(hash);
        shard.index().prefetch(hash.index);
        let weight = self.core.weigh(&key, &value);
        let fresh = Fresh::new(key, value, hash.index, weight);
        match self.settle_in(fresh, shard, spans, mode) {
            Ok(()) => Ok(()),
            Err((fresh, Some(reason))) => {
                // Relaxed: a figure.
                self.core.rejected[reason.code()].fetch_add(1, Ordering::Relaxed);
                let (key, value) = fresh.into_parts();
                self.core.withdraw(&value);
                Err(Rejected::new(key, value, reason))
            }
            Err((_, None)) => unreachable!("only an update loses its session"),
        }
    }

    /// Counts a session that a store has not put in, as if the cache had handed it back.
    #[allow(dead_code, reason = "for the adapters, which are features")]
    pub(crate) fn count_rejection(&self, reason: Reason) {
        // Relaxed: a figure.
        self.core.rejected[reason.code()].fetch_add(1, Ordering::Relaxed);
    }

    /// Puts an entry in, gathering room as often as it takes. Gives it back with the reason, or
    /// with none if the session that it should update is gone, or the fill superseded.
    pub(super) fn settle_in(
        &self,
        fresh: Fresh<K, V>,
        shard: &Shard<K, V>,
        spans: Spans,
        mode: Mode<'_, K, V>,
    ) -> Result<(), (Fresh<K, V>, Option<Reason>)> {
        let mut follow_ups = FollowUps::default();
        let outcome = self.try_settle_in(fresh, shard, spans, mode, &mut follow_ups);
        self.core.attend_to(follow_ups);
        outcome
    }

    fn try_settle_in(
        &self,
        mut fresh: Fresh<K, V>,
        shard: &Shard<K, V>,
        spans: Spans,
        mode: Mode<'_, K, V>,
        follow_ups: &mut FollowUps,
    ) -> Result<(), (Fresh<K, V>, Option<Reason>)> {
        let core = &*self.core;
        let budget = &core.shared.budget;
        if !budget.admits(fresh.weight()) {
            return Err((fresh, Some(Reason::TooHeavy)));
        }
        let (mut room, mut waits) = (Room::none(budget), MOST_WAITS);
        let (mut gives_way, mut contest) = (true, None);
        loop {
            match shard.put(&core.shared, fresh, spans, (mode, gives_way), &mut room) {
                Ok(after) => {
                    drop(room);
                    // Others wait for its turn, but not for what it frees.
                    drop(contest);
                    if after == After::Help {
                        core.help([shard]);
                    }
                    return Ok(());
                }
                Err(NotPut { fresh: back, snag, after }) => match snag {
                    Snag::Refused(reason) => return Err((back, Some(reason))),
                    Snag::Lost | Snag::Superseded => return Err((back, None)),
                    Snag::Overtaken => {
                        // Others may have what it has reserved while it waits.
                        room = Room::none(budget);
                        Contest::lose(&mut contest, core, shard, back.hash());
                        fresh = back;
                    }
                    Snag::Claimed => {
                        // Others may have what it has reserved while it waits.
                        room = Room::none(budget);
                        shard.wait_for_turns(back.hash());
                        (fresh, gives_way) = (back, false);
                    }
                    Snag::NeedsRoom(need, spared) => {
                        let number = shard.number();
                        follow_ups.note(number, after);
                        let spared = spared.map(|id| (number, id));
                        match core.gather(&mut room, need, spared, (follow_ups, &mut waits)) {
                            Gathered::Room | Gathered::LookAgain => fresh = back,
                            Gathered::Nothing => return Err((back, Some(Reason::Full))),
                        }
                    }
                },
            }
        }
    }

    /// Puts what `f` makes of a key's session in its place; false if the key has none.
    ///
    /// Optimistic: the closure runs outside every lock, and again if the session was replaced
    /// meanwhile. Deadlines and last use carry over; it is not itself a use. It counts as one
    /// insertion, and as one removal with the cause [`Replaced`](crate::RemovalCause::Replaced).
    ///
    /// A call that has been overtaken twice, and for over a millisecond, takes a *turn*: until it
    /// returns, other threads' insertions and updates of the key wait, so that it is not overtaken
    /// again. They wait for a second at most, so a closure that takes longer may run more often; and
    /// not at all inside a closure that has a turn itself, a listener, a destructor or a `clone`. So
    /// closures may update each other's keys.
    ///
    /// **Locking, complexity:** as [`insert`](Self::insert).
    ///
    /// # Errors
    ///
    /// [`Rejected`] hands a clone of the key and the new value back: [`Reason::TooHeavy`],
    /// [`Reason::Full`] or [`Reason::Closed`]. The old session stays.
    ///
    /// # Panics
    ///
    /// If `Hash`, `Eq`, the key's `clone`, the weigher or the closure does; nothing has changed.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = sundown::Cache::builder().max_entries(10).build()?;
    /// cache.insert("id", 1)?;
    /// assert!(cache.update("id", |visits| visits + 1)?);
    /// assert_eq!(cache.get("id"), Some(2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn update<Q>(&self, key: &Q, mut f: impl FnMut(&V) -> V) -> Result<bool, Rejected<K, V>>
    where
        K: Borrow<Q> + Clone,
        Q: Hash + Eq + ?Sized,
    {
        self.update_if(key, |value| Some(f(value)))
    }

    /// Like [`update`](Self::update), if `f` makes something of the key's session; false if it does not.
    ///
    /// **Locking, complexity, errors and panics:** as [`update`](Self::update).
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = sundown::Cache::builder().max_entries(10).build()?;
    /// cache.insert("id", 1)?;
    /// assert!(!cache.update_if("id", |visits| (*visits > 1).then_some(0))?);
    /// assert_eq!(cache.get("id"), Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn update_if<Q>(
        &self,
        key: &Q,
        mut f: impl FnMut(&V) -> Option<V>,
    ) -> Result<bool, Rejected<K, V>>
    where
        K: Borrow<Q> + Clone,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.core.hash(key);
        let mut contest = None;
        loop {
            let Some(hold) = self.hold_without_use(key) else { return Ok(false) };
            let Some(new_value) = f(hold.value()) else { return Ok(false) };
            let new_key = hold.key().clone();
            let weight = self.core.weigh(&new_key, &new_value);
            let fresh = Fresh::new(new_key, new_value, hash.index, weight);
            let shard = hold.shard();
            match self.settle_in(fresh, shard, self.core.spans, Mode::Update(&hold)) {
                Ok(()) => return Ok(true),
                // Somebody else was faster: look again.
                Err((fresh, None)) => {
                    self.core.withdraw(&fresh.into_parts().1);
                    drop(hold);
                    Contest::lose(&mut contest, &self.core, shard, hash.index);
                }
                Err((fresh, Some(reason))) => {
                    // Relaxed: a figure.
                    self.core.rejected[reason.code()].fetch_add(1, Ordering::Relaxed);
                    let (key, value) = fresh.into_parts();
                    self.core.withdraw(&value);
                    return Err(Rejected::new(key, value, reason));
                }
            }
        }
    }

    pub(super) fn hold_without_use<Q>(&self, key: &Q) -> Option<Hold<'_, K, V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let probe = self.probe(key);
        probe.hold(&pin(), key, Use::Hold)
    }

    /// Measures a session's lifetimes anew, from now; false if the key has no live session.
    ///
    /// Re-authentication, for instance, moves both timers. Counts as a use.
    ///
    /// **Locking:** the key's shard. **Complexity:** constant. **Panics:** if `Hash` or `Eq` does,
    /// and nothing has changed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use sundown::{Cache, Expiry, Lifetime, ManualClock, Reaper};
    /// let clock = ManualClock::new();
    /// let cache = Cache::builder().max_entries(10).clock(clock).reaper(Reaper::Manual).build()?;
    /// cache.insert("id", ())?;
    /// assert!(cache.set_lifetime("id", Lifetime::default().live(Duration::from_secs(9))));
    /// assert_eq!(cache.expires_in("id"), Some(Expiry::In(Duration::from_secs(9))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_lifetime<Q>(&self, key: &Q, lifetime: Lifetime) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let core = &*self.core;
        let hash = core.hash(key);
        let shard = core.shard(hash);
        let same_key = |other: &K| other.borrow() == key;
        let spans = lifetime.resolve(core.spans);
        let mut contest = None;
        loop {
            match shard.set_lifetime(&core.shared, hash.index, same_key, spans) {
                Ok((is_live, after)) => {
                    drop(contest);
                    core.follow_up(shard, after);
                    return is_live;
                }
                Err(Overtaken) => Contest::lose(&mut contest, core, shard, hash.index),
            }
        }
    }
}
