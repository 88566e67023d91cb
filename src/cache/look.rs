//! Reads: no lock, no waiting.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::time::Duration;

use super::core::Core;
use super::{Cache, WeakCache};
use crate::index::{Entry, Use};
use crate::lifetime::Expiry;
use crate::platform::clock::NEVER_NS;
use crate::platform::sync::{Pin, pin};
use crate::shard::{Hold, Shard};

impl<K, V, S> Cache<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    /// Gives a clone of a key's session and counts as a use of it.
    ///
    /// `None` if the key has no session, or one whose time is up, even if it is still in memory.
    /// The clone is made while the reader is pinned, so `V::clone` should be short: keep sessions in
    /// an `Arc`, or call [`read`](Self::read). A [`Tracked`](crate::Tracked) session notes the caller's line.
    ///
    /// **Locking:** none. **Complexity:** constant; two cache lines for a hit.
    ///
    /// # Panics
    ///
    /// If `Hash`, `Eq` or `clone` does; the cache stays whole.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = sundown::Cache::builder().max_entries(10).build()?;
    /// cache.insert(String::from("id"), 7)?;
    /// assert_eq!(cache.get("id"), Some(7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        let probe = self.probe(key);
        let pin = pin();
        let entry = probe.look_up(&pin, key, Use::Touch);
        self.count(&pin, entry.is_some());
        // In no closure: a value may note who clones it, and that is to be the caller.
        Some(entry?.value().clone())
    }

    /// Gives a clone of a key's session if `f` says so, and only then counts as a use of it.
    ///
    /// For sessions that have to prove more than their key. The closure is called while the reader is
    /// pinned, like `clone`: it should be short, and it may be called again if the session is replaced
    /// meanwhile.
    ///
    /// **Locking:** none. **Complexity:** constant. **Panics:** if `Hash`, `Eq`, `clone` or the closure
    /// does; the cache stays whole.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = sundown::Cache::builder().max_entries(10).build()?;
    /// cache.insert("id", ("secret", 7))?;
    /// assert_eq!(cache.get_if("id", |session| session.0 == "guess"), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_if<Q>(&self, key: &Q, f: impl Fn(&V) -> bool) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        let Probe { core, shard, hash } = self.probe(key);
        let (pin, look) = (pin(), (&core.shared.clock, Use::Touch));
        let same_key = |other: &K| other.borrow() == key;
        let entry = shard.index().look_up_if(&pin, hash, same_key, f, look);
        self.count(&pin, entry.is_some());
        entry.map(|entry| entry.value().clone())
    }

    /// Calls `f` with a key's session, without cloning it, and counts as a use of it.
    ///
    /// While the closure runs, this one session is kept from being freed, and nothing else: it may
    /// take its time, call the cache, and panic. Its time may run out meanwhile; then the reaper frees it
    /// when the closure has ended, or the next [`reap`](Self::reap).
    ///
    /// **Locking:** none. **Complexity:** constant.
    ///
    /// # Panics
    ///
    /// If `Hash`, `Eq` or the closure does; the cache stays whole. If over 262,143 closures run
    /// inside one session.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = sundown::Cache::builder().max_entries(10).build()?;
    /// cache.insert("id", vec![1, 2, 3])?;
    /// assert_eq!(cache.read("id", |session| session.len()), Some(3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read<Q, R>(&self, key: &Q, f: impl FnOnce(&V) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let probe = self.probe(key);
        let hold = {
            let pin = pin();
            let hold = probe.hold(&pin, key, Use::TouchAndHold);
            self.count(&pin, hold.is_some());
            hold?
        };
        Some(f(hold.value()))
    }

    /// Gives a clone of a key's session without counting as a use of it.
    ///
    /// **Locking:** none. **Complexity:** constant. **Panics:** as [`get`](Self::get).
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = sundown::Cache::builder().max_entries(10).build()?;
    /// cache.insert("id", 7)?;
    /// assert_eq!(cache.peek("id"), Some(7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn peek<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        let probe = self.probe(key);
        let pin = pin();
        // In no closure, as in `get`.
        Some(probe.look_up(&pin, key, Use::Peek)?.value().clone())
    }

    /// Whether a key has a live session; does not count as a use of it.
    ///
    /// **Locking:** none. **Complexity:** constant. **Panics:** if `Hash` or `Eq` does.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = sundown::Cache::builder().max_entries(10).build()?;
    /// cache.insert("id", ())?;
    /// assert!(cache.contains_key("id") && !cache.contains_key("other"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn contains_key<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let probe = self.probe(key);
        probe.look_up(&pin(), key, Use::Peek).is_some()
    }

    /// Counts as a use of a key's session: its idle time starts anew. False if it has none.
    ///
    /// **Locking:** none. **Complexity:** constant. **Panics:** if `Hash` or `Eq` does.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = sundown::Cache::builder().max_entries(10).build()?;
    /// cache.insert("id", ())?;
    /// assert!(cache.touch("id") && !cache.touch("other"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn touch<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let probe = self.probe(key);
        let pin = pin();
        let is_live = probe.look_up(&pin, key, Use::Touch).is_some();
        self.count(&pin, is_live);
        is_live
    }

    /// How long a key's session has left if nobody uses it; `None` if it has none.
    ///
    /// Does not count as a use. **Locking:** none. **Complexity:** constant. **Panics:** if `Hash`
    /// or `Eq` does.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use sundown::{Cache, Expiry, ManualClock, Reaper};
    /// let clock = ManualClock::new();
    /// let cache = Cache::builder().max_entries(10).clock(clock.clone()).reaper(Reaper::Manual)
    ///     .time_to_idle(Duration::from_secs(60)).build()?;
    /// cache.insert("id", ())?;
    /// clock.advance(Duration::from_secs(20));
    /// assert_eq!(cache.expires_in("id"), Some(Expiry::In(Duration::from_secs(40))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn expires_in<Q>(&self, key: &Q) -> Option<Expiry>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let probe = self.probe(key);
        let pin = pin();
        let deadline_ns = probe.look_up(&pin, key, Use::Peek)?.judge().deadline_ns();
        if deadline_ns == NEVER_NS {
            return Some(Expiry::Never);
        }
        let left_ns = deadline_ns.checked_sub(self.core.shared.clock.exact_ns())?;
        (left_ns > 0).then(|| Expiry::In(Duration::from_nanos(left_ns)))
    }

    /// How long ago a key's session was last used; `None` if it has none.
    ///
    /// A use is recorded to the millisecond; an insertion is one. Does not count as a use itself.
    /// **Locking:** none. **Complexity:** constant. **Panics:** if `Hash` or `Eq` does.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use sundown::{Cache, ManualClock, Reaper};
    /// let clock = ManualClock::new();
    /// let cache = Cache::builder().max_entries(10).clock(clock.clone()).reaper(Reaper::Manual)
    ///     .build()?;
    /// cache.insert("id", ())?;
    /// clock.advance(Duration::from_secs(20));
    /// assert_eq!(cache.idle_for("id"), Some(Duration::from_secs(20)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn idle_for<Q>(&self, key: &Q) -> Option<Duration>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let probe = self.probe(key);
        let pin = pin();
        let used_ns = probe.look_up(&pin, key, Use::Peek)?.last_used_ns();
        let now_ns = self.core.shared.clock.exact_ns();
        Some(Duration::from_nanos(now_ns.saturating_sub(used_ns)))
    }

    /// Begins a look-up: hashes, and has the chunk fetched while the caller pins.
    #[inline]
    pub(super) fn probe<Q>(&self, key: &Q) -> Probe<'_, K, V, S>
    where
        Q: Hash + ?Sized,
    {
        self.core.probe(key)
    }

    #[inline]
    fn count(&self, pin: &Pin, is_hit: bool) {
        if is_hit {
            self.core.tally.hit(pin.stripe());
        } else {
            self.core.tally.miss(pin.stripe());
        }
    }
}

impl<K, V, S: BuildHasher> Core<K, V, S> {
    #[inline]
    fn probe<Q>(&self, key: &Q) -> Probe<'_, K, V, S>
    where
        Q: Hash + ?Sized,
    {
        let hash = self.hash(key);
        let shard = self.shard(hash);
        shard.index().prefetch(hash.index);
        Probe { core: self, shard, hash: hash.index }
    }
}

impl<K, V, S: BuildHasher> WeakCache<K, V, S> {
    /// As [`Cache::contains_key`]; for a listener, which must not make a handle for a moment that may turn
    /// out to be the last one.
    #[allow(dead_code, reason = "for the adapters of some features")]
    pub(crate) fn contains_key<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let Some(core) = self.core.upgrade() else { return false };
        core.probe(key).look_up(&pin(), key, Use::Peek).is_some()
    }
}

/// A look-up under way, before the pin.
pub(super) struct Probe<'c, K, V, S> {
    core: &'c Core<K, V, S>,
    shard: &'c Shard<K, V>,
    hash: u32,
}

impl<'c, K, V, S> Probe<'c, K, V, S> {
    /// Finds a key's live session and leaves the trace of `wish` on it.
    #[inline]
    fn look_up<'p, Q>(&self, pin: &'p Pin, key: &Q, wish: Use) -> Option<&'p Entry<K, V>>
    where
        'c: 'p,
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let look = (&self.core.shared.clock, wish);
        let shard = self.shard;
        shard.index().look_up(pin, self.hash, |other| other.borrow() == key, look)
    }

    /// Like [`look_up`](Self::look_up), for longer than the pin.
    pub(super) fn hold<Q>(&self, pin: &Pin, key: &Q, wish: Use) -> Option<Hold<'c, K, V>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let (core, shard) = (self.core, self.shard);
        let look = (&core.shared.clock, wish);
        let held = shard.index().hold(pin, self.hash, |other| other.borrow() == key, look)?;
        Some(Hold::new(shard, &core.shared, held))
    }
}
