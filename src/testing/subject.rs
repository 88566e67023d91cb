//! What can be checked: a cache, and what is built on one.

use std::hash::{BuildHasher, Hash};

use super::leaks::Leaks;
use crate::cache::{Cache, WeakCache};
use crate::overstay::Watch;
use crate::platform::sync::Arc;

/// What a [`LeakCheck`](super::LeakCheck) can look at: a [`Cache`]. No type outside this crate can be.
pub trait Checked: sealed::Subject {}

impl<C: sealed::Subject> Checked for C {}

pub(crate) mod sealed {
    use super::{Arc, Suspect};

    /// What is built on a cache gives that one's suspect, or one of its own.
    pub trait Subject {
        fn suspect(&self) -> Arc<dyn Suspect>;
    }
}

/// What is looked at until it has let go of everything. It keeps nothing alive.
pub trait Suspect: Send + Sync {
    /// What is left, if anything is.
    fn look(&self) -> Option<Leaks>;

    /// Frees what nobody else would.
    fn reap(&self);
}

/// A cache, by a weak handle; and its roll, which tells of those that have left also when the cache is
/// gone.
struct CacheSuspect<K, V, S> {
    cache: WeakCache<K, V, S>,
    watch: Option<Arc<dyn Watch<V>>>,
}

impl<K, V, S> sealed::Subject for Cache<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    fn suspect(&self) -> Arc<dyn Suspect> {
        Arc::new(CacheSuspect { cache: self.downgrade(), watch: self.watch() })
    }
}

impl<K, V, S> Suspect for CacheSuspect<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    fn look(&self) -> Option<Leaks> {
        let mut leaks = Leaks { tracks_overstays: self.watch.is_some(), ..Leaks::default() };
        if let Some(cache) = self.cache.upgrade() {
            let stats = cache.stats();
            (leaks.linked, leaks.retired) = (stats.entries as u64, stats.retired);
            (leaks.inside_closures, leaks.is_handing_over) = cache.held_up();
        }
        // Last: what has left the cache meanwhile is here (O1). Ages are of no use without its clock.
        leaks.overstays = self.watch.as_ref().map(|watch| watch.all_held(0)).unwrap_or_default();
        let is_clean = leaks.linked + leaks.retired.count + leaks.overstays.count == 0;
        (!is_clean).then_some(leaks)
    }

    fn reap(&self) {
        if let Some(cache) = self.cache.upgrade().filter(|cache| !cache.has_reaper()) {
            cache.reap();
        }
    }
}
