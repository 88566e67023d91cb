//! Sessions that have left and are held on: what is told of them, and what the reaper does for them.

use std::hash::{BuildHasher, Hash};

use super::Cache;
use super::core::Core;
use crate::overstay::{Overstays, Watch};
use crate::platform::sync::Arc;

impl<K, V, S> Cache<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    /// The sessions that left a while ago and are still held by the application, and where in its source
    /// the handles were taken.
    ///
    /// None unless the cache [tracks](crate::Builder::track_overstays) them, which also says how long a
    /// while is. A session is none any more from the moment at which its last handle goes.
    ///
    /// **Locking:** 32 locks in turn, each for 128 sessions at a time. **Complexity:** linear in the
    /// sessions that have left and are held, none for those in the cache.
    ///
    /// # Examples
    ///
    /// See [`Overstays`].
    #[must_use]
    pub fn overstays(&self) -> Overstays {
        let core = &*self.core;
        let watch = core.shared.disposal.watch();
        watch.map(|watch| watch.overstays(core.shared.clock.exact_ns())).unwrap_or_default()
    }

    /// How many sessions closures keep from being freed, and whether a listener or a destructor runs.
    #[allow(dead_code, reason = "for the checks of users' tests, which are a feature")]
    pub(crate) fn held_up(&self) -> (usize, bool) {
        let shards = self.core.shards.iter().map(|shard| shard.held_up());
        shards.fold((0, false), |(held, is_busy), shard| (held + shard.0, is_busy || shard.1))
    }

    /// Whether a thread reaps, so that nobody has to by hand.
    #[allow(dead_code, reason = "for the checks of users' tests, which are a feature")]
    pub(crate) fn has_reaper(&self) -> bool {
        self.core.shared.alarm.is_attended()
    }

    /// Who keeps the roll, if somebody does.
    #[allow(dead_code, reason = "for the checks of users' tests, which are a feature")]
    pub(crate) fn watch(&self) -> Option<Arc<dyn Watch<V>>> {
        self.core.shared.disposal.watch().cloned()
    }
}

impl<K, V, S> Core<K, V, S> {
    /// Takes note that a value which was weighed has not been put in.
    #[cold]
    pub(super) fn withdraw(&self, value: &V) {
        if let Some(watch) = self.shared.disposal.watch() {
            watch.withdraw(value);
        }
    }

    /// Lets go of traces of what is gone, and has the reaper come again if some are left.
    pub(super) fn look_to_overstays(&self) {
        let Some(watch) = self.shared.disposal.watch() else { return };
        if let Some(look_ns) = watch.look(self.shared.clock.exact_ns()) {
            self.shared.alarm.lower(look_ns);
        }
    }
}
