//! What goes over all sessions.

use std::hash::{BuildHasher, Hash};

use super::Cache;
use super::contest::Contest;
use crate::index::Held;
use crate::ledger::RecordId;
use crate::platform::sync::{DrainGuard, is_pinned, nap};
use crate::removal::RemovalCause;
use crate::shard::{Outcome, Shard};

impl<K, V, S> Cache<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    /// Removes all sessions for which `f` says no; gives how many it removed. The reaper frees them;
    /// without a reaper's thread, the next [`reap`](Self::reap).
    ///
    /// A session that is in throughout is judged, with the value that it has when its turn comes; one
    /// that comes or goes meanwhile may be. None is judged twice with the same value: a second time
    /// only if its value was replaced after `f` said no and before it was removed. None is shown
    /// whose time is up. The closure runs outside every lock, on sessions held 128 at a time; it may
    /// call the cache. Not a use of the sessions. If it is overtaken again and again, it takes a turn
    /// with the key, as [`update`](Self::update) does. [Fills](Self::begin_fill) under way are superseded.
    ///
    /// **Locking:** one shard at a time, for 128 sessions' work. **Complexity:** linear.
    ///
    /// # Panics
    ///
    /// If the closure does; what it has decided on until then stays decided.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = sundown::Cache::builder().max_entries(10).build()?;
    /// cache.insert("user-1", "ada")?;
    /// cache.insert("user-2", "bob")?;
    /// assert_eq!(cache.retain(|_, name| *name != "bob"), 1);
    /// assert_eq!(cache.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn retain(&self, mut f: impl FnMut(&K, &V) -> bool) -> usize {
        let mut removed = 0;
        self.core.shards.iter().for_each(|shard| shard.supersede_all_fills());
        self.walk(|shard, id, held| {
            let mut contest = None;
            let mut successor;
            let mut entry = held;
            loop {
                if f(entry.key(), entry.value()) {
                    return;
                }
                // The garbage is left to the reaper, for it may be that of many.
                let (outcome, _) = shard.remove_held(&self.core.shared, entry);
                self.core.tell_of_pressure();
                match outcome {
                    Outcome::Removed => return removed += 1,
                    Outcome::Over => return,
                    Outcome::Lost => {
                        let hash = entry.hash();
                        Contest::lose(&mut contest, &self.core, shard, hash);
                    }
                }
                successor = shard.hold_record(&self.core.shared, id);
                let Some(hold) = &successor else { return };
                entry = hold;
            }
        });
        removed
    }

    /// Shows all sessions to `f`.
    ///
    /// A session that is in throughout is shown exactly once, with the value that it has when its turn
    /// comes; one that comes or goes meanwhile at most once; none is shown whose time is up. The
    /// closure runs outside every lock, on sessions held 128 at a time; it may call the cache. Not a
    /// use of the sessions.
    ///
    /// **Locking:** one shard at a time, for 128 sessions' work. **Complexity:** linear.
    /// **Panics:** if the closure does.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = sundown::Cache::builder().max_entries(10).build()?;
    /// cache.insert(1, 10)?;
    /// cache.insert(2, 20)?;
    /// let mut sum = 0;
    /// cache.for_each(|_, value| sum += value);
    /// assert_eq!(sum, 30);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn for_each(&self, mut f: impl FnMut(&K, &V)) {
        self.walk(|_, _, held| f(held.key(), held.value()));
    }

    /// Goes over all live sessions, holding a bite at a time. What has taken the place of a held one
    /// before its turn comes is visited instead (M6).
    pub(super) fn walk(&self, mut visit: impl FnMut(&Shard<K, V>, RecordId, &Held<K, V>)) {
        let core = &*self.core;
        for shard in &core.shards {
            let mut from = Some(0);
            while let Some(next) = from {
                let mut holds = Vec::new();
                from = shard.hold_bite(&core.shared, next, &mut holds);
                for &(id, ref held) in &holds {
                    // Its time may have come since the bite was taken.
                    let now_ns = core.shared.clock.exact_ns();
                    if held.is_dead() {
                        if let Some(successor) = shard.hold_record(&core.shared, id) {
                            visit(shard, id, &successor);
                        }
                    } else if held.judge().cause_at(now_ns).is_none() {
                        visit(shard, id, held);
                    }
                }
            }
        }
    }

    /// Removes all sessions that are in when it comes to them. The reaper frees them; without a reaper's
    /// thread, the next [`reap`](Self::reap).
    ///
    /// **Locking:** one shard at a time, for 128 sessions' work. **Complexity:** linear.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = sundown::Cache::builder().max_entries(10).build()?;
    /// cache.insert("id", 7)?;
    /// cache.clear();
    /// assert!(cache.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn clear(&self) {
        self.core.unlink_all(RemovalCause::Cleared);
    }

    /// Unlinks all sessions whose exact deadline has passed and frees them, now, on this thread;
    /// gives how many it unlinked.
    ///
    /// With [`Reaper::Manual`](crate::Reaper::Manual) this is what frees sessions; with a reaper's
    /// thread nobody needs to call it. It does not wait for readers: what one is still inside is
    /// freed by a later call. Called from inside a listener or a destructor of this cache, it leaves
    /// the freeing to the drain that it was called from.
    ///
    /// **Locking:** one shard at a time, for 128 sessions' work. **Complexity:** linear in what is
    /// due.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use sundown::{Cache, ManualClock, Reaper};
    /// let clock = ManualClock::new();
    /// let cache = Cache::builder().max_entries(10).clock(clock.clone()).reaper(Reaper::Manual)
    ///     .time_to_live(Duration::from_secs(60)).build()?;
    /// cache.insert("id", ())?;
    /// clock.advance(Duration::from_secs(60));
    /// assert_eq!(cache.reap(), 1);
    /// assert_eq!(cache.stats().dropped, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reap(&self) -> usize {
        self.core.reap_now()
    }

    /// Removes all sessions for good: later reads miss, and insertions are
    /// [`Closed`](crate::Reason::Closed).
    ///
    /// Waits until everything that no closure holds is freed and its events are delivered; but not
    /// when called from inside a `clone`, or a listener or destructor of any cache, which might wait
    /// for each other, nor in a [forked](Cache#forks) child.
    ///
    /// **Locking:** one shard at a time, for 128 sessions' work. **Complexity:** linear.
    ///
    /// # Examples
    ///
    /// ```
    /// use sundown::{Cache, Reason};
    /// let cache = Cache::builder().max_entries(10).build()?;
    /// cache.insert("id", 7)?;
    /// cache.close();
    /// assert_eq!(cache.get("id"), None);
    /// assert_eq!(cache.insert("id", 8).unwrap_err().reason, Reason::Closed);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn close(&self) {
        let core = &*self.core;
        core.shut();
        loop {
            for shard in &core.shards {
                shard.seal();
            }
            core.free_garbage();
            // In a forked child readers that do not exist may be in the way for ever.
            let must_not_wait =
                is_pinned() || DrainGuard::is_any_active() || core.home.is_elsewhere();
            if must_not_wait || !core.shards.iter().any(|shard| shard.is_dirty()) {
                return;
            }
            nap();
        }
    }
}
