//! The public face: a handle hashes once, picks a shard and delegates.
//!
//! User handles are counted apart from the reaper's share of the core, so that the last one to go
//! can end the reaper, and a listener's [`WeakCache`] is none.

mod build;
mod contest;
mod core;
mod fill;
mod flight;
mod gather;
mod look;
mod memory;
mod observe;
mod overstays;
mod pass;
mod readmit;
mod remove;
mod walk;
mod write;

#[cfg(all(test, sundown_loom))]
mod loom_tests;
#[cfg(all(test, not(sundown_loom)))]
pub(crate) mod tests;

use ::core::fmt;

use self::core::Core;
use crate::builder::Builder;
use crate::platform::hasher::RandomState;
use crate::platform::sync::{Arc, Ordering, Weak};
pub use fill::Fill;

/// A session cache from which every session is gone when its time is up.
///
/// A value of this type is a handle: clones are cheap and share one cache, from any thread. Dropping
/// the last handle unlinks everything, waits for the reaper if it is at this cache, and has run every
/// listener and destructor before it returns. In a listener or a destructor, of this cache or another one,
/// it does not wait for the reaper, which then does the rest. With the last cache of the process the
/// reaper's thread ends, and is joined. So where the listener may take long, drop the last handle where a
/// thread may wait: in an async service inside `spawn_blocking`.
///
/// A session may hold a handle, of this cache or of another one; it goes when the session does.
///
/// A `static` is never dropped: call [`close`](Self::close) before `main` returns. Else no listener
/// hears of the sessions that are left, and the reaper may still free some, on its own thread, while
/// the exit handlers of the program's libraries take down what a destructor needs.
///
/// See the [crate's documentation](crate) for what the cache promises.
///
/// # Forks
///
/// A process that forks its workers should do so first and build its caches in them: a fork takes no
/// thread along but the one that called it, so a cache that was built before has no reaper in the
/// child, and listeners and destructors run in both processes, for the copies of each.
///
/// A child of a parent whose other threads were not inside the cache can use it, call
/// [`reap`](Self::reap), close and drop it. If some were reading, what the child removes may stay in
/// its memory until the last handle is dropped, and what they were inside of for good. If some were
/// writing, a lock may be taken for ever: an insertion, a removal or `close` may hang. Reads never do,
/// nor does dropping the last handle: where a lock is taken it frees nothing.
///
/// # Locking
///
/// Reads (`get`, `read`, `peek`, `contains_key`, `touch`, `expires_in`) take no lock, and wait for no
/// other thread. Everything else holds the lock of one shard for a short time, and of no two at once.
/// Where closures race for a key, what puts a session in may wait for a call's turn with that key, for a
/// second at most ([`update`](Self::update)). No user code runs under a lock: a call that finds an entry
/// of its key's hash lets go of the lock, compares the keys, and takes it again.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use sundown::Cache;
///
/// let sessions = Cache::builder()
///     .max_entries(100_000)
///     .time_to_idle(Duration::from_secs(30 * 60))
///     .build()?;
/// sessions.insert("3f2a", "ada")?;
/// assert_eq!(sessions.get("3f2a"), Some("ada"));
/// assert!(sessions.discard("3f2a"));
/// assert_eq!(sessions.get("3f2a"), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Cache<K, V, S = RandomState> {
    core: Arc<Core<K, V, S>>,
}

impl<K, V> Cache<K, V> {
    /// Starts to set a cache up.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = sundown::Cache::builder().max_entries(10).build()?;
    /// cache.insert("id", "session")?;
    /// assert_eq!(cache.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder() -> Builder<K, V> {
        Builder::new()
    }
}

impl<K, V, S> Cache<K, V, S> {
    /// A handle that does not keep the cache alive: what a listener keeps when it wants to call
    /// back.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = sundown::Cache::<u8, u8>::builder().max_entries(10).build()?;
    /// let weak = cache.downgrade();
    /// assert!(weak.upgrade().is_some());
    /// drop(cache);
    /// assert!(weak.upgrade().is_none());
    /// # Ok::<(), sundown::BuildError>(())
    /// ```
    #[must_use]
    pub fn downgrade(&self) -> WeakCache<K, V, S> {
        WeakCache { core: Arc::downgrade(&self.core) }
    }
}

impl<K, V, S> Clone for Cache<K, V, S> {
    fn clone(&self) -> Self {
        // Relaxed: as with `Arc`, whoever clones has a handle already.
        let handles = self.core.handles.fetch_add(1, Ordering::Relaxed);
        assert!(handles < usize::MAX / 2, "handles are being leaked");
        Self { core: self.core.clone() }
    }
}

impl<K, V, S> Drop for Cache<K, V, S> {
    fn drop(&mut self) {
        // AcqRel: what other handles did comes before the end, and the end after all of it.
        let is_last = self.core.handles.fetch_sub(1, Ordering::AcqRel) == 1;
        if is_last && !self.core.retire_core() {
            ::core::mem::forget(self.core.clone());
        }
    }
}

impl<K, V, S> fmt::Debug for Cache<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("entries", &self.core.shared.budget.entries())
            .field("weight", &self.core.shared.budget.weight())
            .field("shards", &self.core.shards.len())
            .finish_non_exhaustive()
    }
}

/// A handle that does not keep its cache alive; made by [`Cache::downgrade`].
///
/// # Examples
///
/// A listener that logs a user's other session out:
///
/// ```
/// use std::sync::OnceLock;
/// use sundown::{Cache, WeakCache};
///
/// static SESSIONS: OnceLock<WeakCache<u32, u32>> = OnceLock::new();
/// let cache = Cache::builder()
///     .max_entries(10)
///     .on_removal(|_, partner: u32, _| {
///         if let Some(cache) = SESSIONS.get().and_then(WeakCache::upgrade) {
///             cache.discard(&partner);
///         }
///     })
///     .build()?;
/// SESSIONS.set(cache.downgrade()).unwrap();
/// cache.insert(1, 2)?;
/// assert!(cache.discard(&1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct WeakCache<K, V, S = RandomState> {
    core: Weak<Core<K, V, S>>,
}

impl<K, V, S> WeakCache<K, V, S> {
    /// A handle, unless the last one is gone.
    ///
    /// **Locking:** none. The cache lives for as long as the handle that this gives.
    #[must_use]
    pub fn upgrade(&self) -> Option<Cache<K, V, S>> {
        let core = self.core.upgrade()?;
        // AcqRel, Relaxed: never from zero, for then the end has begun; pairs with `Cache::drop`.
        core.handles
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |handles| {
                (handles > 0).then_some(handles + 1)
            })
            .ok()?;
        Some(Cache { core })
    }
}

impl<K, V, S> Clone for WeakCache<K, V, S> {
    fn clone(&self) -> Self {
        Self { core: self.core.clone() }
    }
}

impl<K, V, S> fmt::Debug for WeakCache<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakCache { .. }")
    }
}
