//! Removals of single sessions.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};

use super::Cache;
use super::contest::Contest;
use crate::shard::{Hold, Outcome, Overtaken};

impl<K, V, S> Cache<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    /// Removes a key's session and gives a clone of it.
    ///
    /// The session itself goes to the listener, or is dropped, once no reader is inside. Use
    /// [`discard`](Self::discard) where the value is not needed.
    ///
    /// **Locking:** the key's shard. **Complexity:** constant.
    ///
    /// # Panics
    ///
    /// If `Hash` or `Eq` does, and nothing has changed; if `clone` does, and the session is removed.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = sundown::Cache::builder().max_entries(10).build()?;
    /// cache.insert("id", 7)?;
    /// assert_eq!(cache.remove("id"), Some(7));
    /// assert_eq!(cache.remove("id"), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        // In no closure, as in `get`.
        Some(self.take_out(key)?.value().clone())
    }

    /// Removes a key's session; false if it had none.
    ///
    /// **Locking:** the key's shard. **Complexity:** constant. **Panics:** if `Hash` or `Eq` does,
    /// and nothing has changed.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = sundown::Cache::builder().max_entries(10).build()?;
    /// cache.insert("id", 7)?;
    /// assert!(cache.discard("id") && !cache.discard("id"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn discard<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.take_out(key).is_some()
    }

    /// The session, out of the index, on hold.
    fn take_out<Q>(&self, key: &Q) -> Option<Hold<'_, K, V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let core = &*self.core;
        let hash = core.hash(key);
        let shard = core.shard(hash);
        let same_key = |other: &K| other.borrow() == key;
        let mut contest = None;
        let (hold, after) = loop {
            match shard.remove(&core.shared, hash.index, same_key) {
                Ok(removed) => break removed,
                Err(Overtaken) => Contest::lose(&mut contest, core, shard, hash.index),
            }
        };
        drop(contest);
        core.follow_up(shard, after);
        hold
    }

    /// Removes a key's session if `f` says so; false if it does not, or if the key has none.
    ///
    /// Atomic: what is removed is what the closure was shown. It runs outside every lock, and again
    /// if the session was replaced meanwhile; if it is overtaken again and again, in its turn with the
    /// key, as with [`update`](Self::update). Not a use of the session.
    ///
    /// **Locking:** the key's shard. **Complexity:** constant. **Panics:** if `Hash`, `Eq` or the
    /// closure does, and nothing has changed.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = sundown::Cache::builder().max_entries(10).build()?;
    /// cache.insert("id", 7)?;
    /// assert!(!cache.remove_if("id", |_, session| *session > 7));
    /// assert!(cache.remove_if("id", |_, session| *session == 7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn remove_if<Q>(&self, key: &Q, mut f: impl FnMut(&K, &V) -> bool) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut contest = None;
        loop {
            let Some(hold) = self.hold_without_use(key) else {
                // One whose time is up may yet be found by a reader that took its sample of the clock before.
                match self.remove_over(key, &mut contest) {
                    true => return false,
                    false => continue,
                }
            };
            if !f(hold.key(), hold.value()) {
                return false;
            }
            let (shard, hash) = (hold.shard(), hold.hash());
            let (outcome, after) = shard.remove_held(&self.core.shared, &hold);
            drop(hold);
            self.core.follow_up(shard, after);
            match outcome {
                Outcome::Removed => return true,
                Outcome::Over => return false,
                Outcome::Lost => Contest::lose(&mut contest, &self.core, shard, hash),
            }
        }
    }

    /// Removes a key's session if its time is up; false if it has a live one.
    fn remove_over<'c, Q>(&'c self, key: &Q, contest: &mut Option<Contest<'c, K, V>>) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let core = &*self.core;
        let hash = core.hash(key);
        let shard = core.shard(hash);
        let same_key = |other: &K| other.borrow() == key;
        loop {
            match shard.remove_over(&core.shared, hash.index, same_key) {
                Ok((is_gone, after)) => {
                    core.follow_up(shard, after);
                    return is_gone;
                }
                Err(Overtaken) => Contest::lose(contest, core, shard, hash.index),
            }
        }
    }
}
