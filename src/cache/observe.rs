//! What can be seen from outside: counts, figures, the audit.

use std::hash::{BuildHasher, Hash};

use super::Cache;
use crate::error::AuditError;
use crate::memory::Giver;
use crate::platform::sync::Ordering;
use crate::stats::{Audit, Rejections, Stats};

impl<K, V, S> Cache<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    /// How many sessions are linked.
    ///
    /// Never more than [`max_entries`](crate::Builder::max_entries). A session whose time is up
    /// counts until the next tick of the reaper. **Locking:** none. **Complexity:** constant.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = sundown::Cache::builder().max_entries(10).build()?;
    /// cache.insert("id", 7)?;
    /// assert_eq!(cache.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.core.shared.budget.entries() as usize
    }

    /// Whether no session is linked. **Locking:** none. **Complexity:** constant.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = sundown::Cache::<u8, u8>::builder().max_entries(10).build()?;
    /// assert!(cache.is_empty());
    /// # Ok::<(), sundown::BuildError>(())
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sum of the linked sessions' weights, in the weigher's unit; without a weigher their
    /// number.
    ///
    /// Never more than [`max_weight`](crate::Builder::max_weight). Each weighs what it did when it
    /// was inserted or updated, however its value has grown in place since; see
    /// [the weigher](crate::Builder::weigher). **Locking:** none. **Complexity:**
    /// constant.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = sundown::Cache::builder()
    ///     .max_weight(100)
    ///     .weigher(|_: &&str, value: &String| value.len() as u64)
    ///     .build()?;
    /// cache.insert("id", String::from("four"))?;
    /// assert_eq!(cache.weight(), 4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.core.shared.budget.weight()
    }

    /// The cache in figures; cheap enough for every second.
    ///
    /// **Locking:** each shard in turn, for a few counters. **Complexity:** linear in the shards, and
    /// where they are [tracked](crate::Builder::track_overstays), in the sessions that have left and are
    /// held.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = sundown::Cache::builder().max_entries(10).build()?;
    /// cache.insert("id", 7)?;
    /// cache.get("id");
    /// let stats = cache.stats();
    /// assert_eq!((stats.inserted, stats.hits, stats.overdue), (1, 1, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn stats(&self) -> Stats {
        let core = &*self.core;
        let budget = &core.shared.budget;
        let (hits, misses) = core.tally.sums();
        // Relaxed: figures.
        let rejections = core.rejected.each_ref().map(|count| count.load(Ordering::Relaxed));
        let [listener_panics, drop_panics, pressure_panics] = core.shared.disposal.panics();
        let mut stats = Stats {
            // From the budget: the shards are not all read at one instant, and their sum might
            // exceed a cap that was never exceeded.
            entries: budget.entries() as usize,
            weight: budget.weight(),
            max_entries: budget.max_entries().map(|entries| entries as usize),
            max_weight: budget.max_weight(),
            rejected: rejections.iter().sum(),
            rejections: Rejections::of(rejections),
            // Relaxed, all: figures.
            evicted_inexact: core.inexact.load(Ordering::Relaxed),
            reaper_wakeups: core.wakeups.load(Ordering::Relaxed),
            hits,
            misses,
            listener_panics,
            drop_panics,
            pressure_panics,
            expiry_lag: core.shared.disposal.lag().lag(),
            given_back: core.giver.as_ref().map(Giver::given_back).unwrap_or_default(),
            ..Stats::default()
        };
        let now_ns = core.shared.clock.exact_ns();
        for shard in &core.shards {
            shard.add_figures(&core.shared, now_ns, &mut stats);
        }
        // After the shards: what leaves them meanwhile is here.
        if let Some(watch) = core.shared.disposal.watch() {
            stats.overstays = watch.figures(now_ns);
        }
        stats.overhead_bytes += self.fixed_bytes() as u64;
        stats
    }

    /// What the cache holds apart from its shards' contents.
    fn fixed_bytes(&self) -> usize {
        let core = &*self.core;
        size_of_val(core)
            + size_of_val(&*core.shards)
            + core.shared.bounds.bytes()
            + core.tally.bytes()
            + core.shared.disposal.lag().bytes()
            + core.shared.budget.news_bytes()
            + core.coldness.lock().bytes()
            + core.shared.disposal.watch().map_or(0, |watch| watch.bytes())
    }

    /// Walks everything and checks every invariant: the garbage-collection check for your own test
    /// suite.
    ///
    /// Within each shard sessions inserted = live + retired + dropped, exactly, and everything is
    /// where it must be to be freed on time.
    ///
    /// **Locking:** each shard in turn, for as long as walking it takes: not for production.
    /// **Complexity:** linear.
    ///
    /// # Errors
    ///
    /// An [`AuditError`] names the invariant that is broken: a fault of this crate.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = sundown::Cache::builder().max_entries(10).build()?;
    /// cache.insert("id", 7)?;
    /// cache.discard("id");
    /// let audit = cache.audit()?;
    /// assert_eq!(audit.inserted, audit.entries as u64 + audit.retired + audit.dropped);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn audit(&self) -> Result<Audit, AuditError> {
        let mut audit = Audit::default();
        for (number, shard) in self.core.shards.iter().enumerate() {
            shard
                .audit(&self.core.shared, &mut audit)
                .map_err(|broken| AuditError { shard: Some(number), broken })?;
        }
        Ok(audit)
    }
}
