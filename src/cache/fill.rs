//! Values from elsewhere: loaded once, and not put in if they come too late.

use std::borrow::Borrow;
use std::future::Future;
use std::hash::{BuildHasher, Hash};

use super::Cache;
use super::flight::{End, Lead, Part};
use crate::error::Superseded;
use crate::index::Fresh;
use crate::lifetime::Lifetime;
use crate::platform::hasher::{KeyHash, RandomState};
use crate::platform::sync::Ordering;
use crate::shard::Mode;

impl<K, V, S> Cache<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    /// Gives a key's session, and loads it if there is none: once, however many threads ask.
    ///
    /// The others wait until the load is over. If it fails, or panics, one of them loads next: an error is
    /// its own caller's. `Ok(None)` is not kept, but it is what all get who have waited for it. The
    /// lifetime begins when the load has ended.
    ///
    /// If the key is inserted, updated or removed during the load, or the cache cleared, what was loaded is not put
    /// in, and this gives what is there then: maybe `None`. What is too heavy, or has no room, is
    /// given and not kept; [`Stats::rejections`](crate::Stats::rejections) counts it.
    ///
    /// A load of the same key inside a load on its thread, or a call inside a listener, a destructor or a
    /// `clone`, does not wait, and loads for itself. Loads that ask for each other's keys wait for each other for
    /// ever, as locks would. Where what was loaded is not kept, those who waited load one after the other.
    ///
    /// **Locking:** none while it waits or loads; as [`get`](Self::get) and [`insert`](Self::insert).
    /// **Complexity:** constant.
    ///
    /// # Errors
    ///
    /// What the load fails with.
    ///
    /// # Panics
    ///
    /// If `Hash`, `Eq`, `clone`, the weigher or the load does; then the next one loads.
    ///
    /// # Examples
    ///
    /// ```
    /// use sundown::{Cache, Lifetime};
    /// let cache: Cache<String, u64> = Cache::builder().max_entries(10).build()?;
    /// let load = || Ok::<_, std::io::Error>(Some(7));
    /// assert_eq!(cache.get_or_try_insert_with("id", Lifetime::default(), load)?, Some(7));
    /// assert_eq!(cache.get("id"), Some(7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_or_try_insert_with<Q, E>(
        &self,
        key: &Q,
        lifetime: Lifetime,
        load: impl FnOnce() -> Result<Option<V>, E>,
    ) -> Result<Option<V>, E>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let hash = self.core.hash(key).whole();
        let lead = loop {
            if let Some(value) = self.get(key) {
                return Ok(Some(value));
            }
            match self.core.flights.join_blocking(hash, || key.to_owned()) {
                Part::Lead(lead) => break Some(lead),
                Part::Alone => break None,
                Part::Wait(flight) => {
                    if flight.wait() == End::Absent && flight.key.borrow() == key {
                        return Ok(None);
                    }
                }
            }
        };
        // The leader before may have put it in since.
        if let Some(value) = lead.as_ref().and_then(|_| self.peek(key)) {
            return Ok(Some(value));
        }
        let fill = self.begin_fill(key);
        let loaded = load()?;
        Ok(self.settle_load((key, lifetime), (lead, fill), loaded))
    }

    /// The same without blocking a thread, on any executor; the future may be dropped at any time, and then the
    /// next one loads. One that is neither polled nor dropped keeps the others waiting; so does a load that asks
    /// for its own key: it waits for itself.
    ///
    /// **Locking, complexity, errors and panics:** as
    /// [`get_or_try_insert_with`](Self::get_or_try_insert_with).
    ///
    /// # Examples
    ///
    /// ```
    /// # pollster::block_on(async {
    /// use sundown::{Cache, Lifetime};
    /// let cache: Cache<String, u64> = Cache::builder().max_entries(10).build()?;
    /// let load = async { Ok::<_, std::io::Error>(Some(7)) };
    /// assert_eq!(cache.get_or_try_insert_async("id", Lifetime::default(), load).await?, Some(7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn get_or_try_insert_async<Q, E>(
        &self,
        key: &Q,
        lifetime: Lifetime,
        load: impl Future<Output = Result<Option<V>, E>>,
    ) -> Result<Option<V>, E>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let hash = self.core.hash(key).whole();
        let lead = loop {
            if let Some(value) = self.get(key) {
                return Ok(Some(value));
            }
            match self.core.flights.join(hash, || key.to_owned()) {
                Part::Lead(lead) => break Some(lead),
                Part::Alone => break None,
                Part::Wait(flight) => {
                    let end = flight.clone().over().await;
                    if end == End::Absent && flight.key.borrow() == key {
                        return Ok(None);
                    }
                }
            }
        };
        // The leader before may have put it in since.
        if let Some(value) = self.peek(key) {
            return Ok(Some(value));
        }
        let fill = self.begin_fill(key);
        let loaded = load.await?;
        Ok(self.settle_load((key, lifetime), (lead, fill), loaded))
    }

    /// Puts in what was loaded, if it does not come too late; gives what there is.
    fn settle_load<Q>(
        &self,
        (key, lifetime): (&Q, Lifetime),
        (lead, fill): (Option<Lead<'_, K>>, Fill<K, V, S>),
        loaded: Option<V>,
    ) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let Some(value) = loaded else {
            // Those who have waited would find the same, unless the key was changed since.
            let is_current = self.core.shard(fill.hash).has_fill(fill.number);
            if let Some(lead) = lead.filter(|_| is_current && self.peek(key).is_none()) {
                lead.found_nothing();
            }
            return None;
        };
        match fill.complete(value, lifetime) {
            Ok(value) => Some(value),
            Err(refused) if refused.reason().is_some() => Some(refused.into_inner()),
            Err(_) => self.peek(key),
        }
    }

    /// Notes that a key's session is being fetched from elsewhere: what is fetched is put in by
    /// [`Fill::complete`] only if nobody has inserted, updated or removed the key since, nor cleared the cache.
    ///
    /// [`get_or_try_insert_with`](Self::get_or_try_insert_with) does this, and keeps others from fetching the
    /// same.
    ///
    /// **Locking:** the key's shard. **Complexity:** that of the fills under way in the shard. **Panics:** if
    /// `Hash` or the key's `clone` does.
    ///
    /// # Examples
    ///
    /// ```
    /// use sundown::{Cache, Lifetime};
    /// let cache = Cache::builder().max_entries(10).build()?;
    /// let fill = cache.begin_fill("id");
    /// assert_eq!(fill.complete(7, Lifetime::default())?, 7);
    /// assert_eq!(cache.get("id"), Some(7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn begin_fill<Q>(&self, key: &Q) -> Fill<K, V, S>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let hash = self.core.hash(key);
        let key = Some(key.to_owned());
        let number = self.core.shard(hash).begin_fill(hash.index);
        Fill { cache: self.clone(), key, hash, number }
    }
}

/// A session that is being fetched from elsewhere; made by [`Cache::begin_fill`].
///
/// To drop it gives it up. It is a handle to the cache.
#[must_use = "a fill that is dropped is given up"]
pub struct Fill<K, V, S = RandomState>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    cache: Cache<K, V, S>,
    /// Until it is complete.
    key: Option<K>,
    hash: KeyHash,
    number: u64,
}

impl<K, V, S> Fill<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    /// Whether the key was inserted, updated or removed, or the cache cleared, since the fill began.
    ///
    /// **Locking:** the key's shard. **Complexity:** that of the fills under way in the shard.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = sundown::Cache::<_, u8>::builder().max_entries(10).build()?;
    /// let fill = cache.begin_fill("id");
    /// assert!(!fill.is_superseded());
    /// cache.discard("id");
    /// assert!(fill.is_superseded());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_superseded(&self) -> bool {
        !self.cache.core.shard(self.hash).has_fill(self.number)
    }
}

impl<K, V, S> Fill<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    /// Puts the session in, and gives it; its lifetime begins now.
    ///
    /// **Locking and complexity:** as [`Cache::insert`].
    ///
    /// # Errors
    ///
    /// [`Superseded`] hands the value back: the key was changed after the fill had begun, or there is
    /// no room.
    ///
    /// # Panics
    ///
    /// If `Eq`, the value's `clone` or the weigher does; nothing has changed.
    pub fn complete(mut self, value: V, lifetime: Lifetime) -> Result<V, Superseded<V>> {
        let Some(key) = self.key.take() else { return Err(Superseded::new(value, None)) };
        let core = &*self.cache.core;
        let weight = core.weigh(&key, &value);
        let fresh = Fresh::new(key, value.clone(), self.hash.index, weight);
        let mode = Mode::Fill(self.number);
        match self.cache.settle_in(fresh, core.shard(self.hash), lifetime.resolve(core.spans), mode)
        {
            Ok(()) => Ok(value),
            Err((fresh, reason)) => {
                core.withdraw(&value);
                drop(fresh);
                if let Some(reason) = reason {
                    // Relaxed: a figure.
                    core.rejected[reason.code()].fetch_add(1, Ordering::Relaxed);
                }
                Err(Superseded::new(value, reason))
            }
        }
    }
}

impl<K, V, S> Drop for Fill<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    fn drop(&mut self) {
        self.cache.core.shard(self.hash).end_fill(self.number);
    }
}

impl<K, V, S> std::fmt::Debug for Fill<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fill").finish_non_exhaustive()
    }
}
