//! Events for what an operator should look into, through `tracing`; with the feature `tracing`.
//!
//! There is one for each change of pressure, one for each panic of a listener, two for each reader
//! that stalls, when it begins and when it is over, one for each time that memory was given back, two
//! for each time that there are overstays, and one a minute for each kind of what the stores for web frameworks refuse; none for a session. The target of all of them is `sundown`.

use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::overstay::Overstays;
use crate::pressure::{Direction, Pressure};
use crate::removal::RemovalCause;
use crate::stats::{GivenBack, Stats};

/// An event of a change of pressure.
macro_rules! tell {
    ($level:ident, $pressure:ident, $message:literal) => {
        tracing::$level!(
            target: "sundown",
            cap = ?$pressure.cap,
            level = $pressure.level,
            entries = $pressure.entries,
            weight = $pressure.weight,
            limit = $pressure.limit,
            in_per_second = $pressure.flow.map(|flow| flow.in_per_second),
            out_per_second = $pressure.flow.map(|flow| flow.out_per_second),
            seconds_to_full = $pressure.time_to_full.map(|left| left.as_secs_f64()),
            $message,
        )
    };
}

/// A listener that tells of each of its panics, with an event of level `ERROR`, and then panics on.
///
/// The cache goes on as with any listener that panics: it counts the panic and delivers the next
/// event as usual. The event has the removal's `cause`; neither key, value nor what the panic says.
///
/// **Locking:** what the subscriber takes.
///
/// # Examples
///
/// ```
/// use sundown::{Cache, tracing::telling_of_panics};
///
/// let cache = Cache::builder()
///     .max_entries(10)
///     .on_removal(telling_of_panics(|_id: u64, user: String, _cause| {
///         assert!(user.is_ascii(), "panics for some");
///     }))
///     .build()?;
/// cache.insert(1, "ada".to_owned())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn telling_of_panics<K, V>(
    listener: impl Fn(K, V, RemovalCause) + Send + Sync + 'static,
) -> impl Fn(K, V, RemovalCause) + Send + Sync + 'static {
    move |key, value, cause| {
        // The listener is called again after a panic in any case: the cache does so.
        let outcome = catch_unwind(AssertUnwindSafe(|| listener(key, value, cause)));
        if let Err(payload) = outcome {
            tracing::error!(target: "sundown", ?cause, "a removal listener has panicked");
            resume_unwind(payload);
        }
    }
}

/// A callback for [`on_pressure`](crate::Builder::on_pressure) that tells of each change, with an
/// event of level `WARN` for a rise and of level `INFO` for a fall, and then calls `callback`.
///
/// The event has the fields `cap`, `level`, `entries`, `weight` and `limit`, and where they are known
/// `in_per_second`, `out_per_second` and `seconds_to_full`. If `callback` panics, that is told by an
/// event of level `ERROR`, and counted by the cache as usual.
///
/// **Locking:** what the subscriber takes.
///
/// # Examples
///
/// ```
/// use sundown::{Cache, Pressure, tracing::telling_of_pressure};
///
/// let cache = Cache::<u64, u64>::builder()
///     .max_entries(100_000)
///     .on_pressure(Pressure::LEVELS, telling_of_pressure(|_| {}))
///     .build()?;
/// # Ok::<(), sundown::BuildError>(())
/// ```
pub fn telling_of_pressure(
    callback: impl Fn(Pressure) + Send + Sync + 'static,
) -> impl Fn(Pressure) + Send + Sync + 'static {
    move |pressure| {
        match pressure.direction {
            Direction::Rising => tell!(warn, pressure, "the session store is filling up"),
            Direction::Falling => tell!(info, pressure, "the session store has room again"),
        }
        // The callback is called again after a panic in any case: the cache does so.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| callback(pressure))) {
            tracing::error!(target: "sundown", "a callback for pressure has panicked");
            resume_unwind(payload);
        }
    }
}

/// Tells of readers that stall: that keep a removed session from being freed for longer than they
/// should.
///
/// What stalls is a closure given to `read`, `update`, `retain` or `for_each`, or a listener that
/// does not return. While it lasts, the sessions behind it stay in memory.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use sundown::{Cache, tracing::StallWatch};
///
/// let cache = Cache::<u64, u64>::builder().max_entries(10).build()?;
/// let mut watch = StallWatch::new(Duration::from_secs(5));
/// watch.look(&cache.stats()); // every second or so
/// # Ok::<(), sundown::BuildError>(())
/// ```
#[derive(Debug)]
pub struct StallWatch {
    patience: Duration,
    is_stalled: bool,
}

impl StallWatch {
    /// Watches for sessions that are held back for longer than `patience`.
    #[must_use]
    pub fn new(patience: Duration) -> Self {
        Self { patience, is_stalled: false }
    }

    /// Looks at a cache's figures; tells of the beginning of a stall with one event of level `WARN`,
    /// and of its end with one of level `INFO`.
    ///
    /// **Locking:** what the subscriber takes.
    ///
    /// # Examples
    ///
    /// See [`StallWatch`].
    pub fn look(&mut self, stats: &Stats) {
        let retired = &stats.retired;
        let is_stalled = retired.count > 0 && retired.oldest > self.patience;
        if is_stalled && !self.is_stalled {
            tracing::warn!(
                target: "sundown",
                sessions = retired.count,
                weight = retired.weight,
                oldest_seconds = retired.oldest.as_secs_f64(),
                "a reader or a listener holds removed sessions back",
            );
        } else if self.is_stalled && !is_stalled {
            tracing::info!(target: "sundown", "removed sessions are freed again");
        }
        self.is_stalled = is_stalled;
    }
}

/// Tells of [overstays](crate::Builder::track_overstays): sessions that left the cache and that the
/// application holds, and where in its source the handles were taken.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use sundown::{Cache, Tracked, tracing::OverstayWatch};
///
/// let cache = Cache::<u64, Tracked<String>>::builder()
///     .max_entries(10)
///     .track_overstays(Duration::from_secs(60))
///     .build()?;
/// let mut watch = OverstayWatch::default();
/// watch.look(&cache.overstays()); // every ten seconds or so
/// # Ok::<(), sundown::BuildError>(())
/// ```
#[derive(Debug, Default)]
pub struct OverstayWatch {
    /// The most there were since there were none.
    told: u64,
}

impl OverstayWatch {
    /// Looks at a cache's overstays; tells with one event of level `WARN` that there are some, with
    /// another one whenever they have doubled, and with one of level `INFO` that there are none any more.
    ///
    /// The event has the fields `sessions`, `weight`, `oldest_seconds` and `sites`, which names up to eight
    /// places, each with the number of its handles; of sessions kept as `Arc` none.
    ///
    /// **Locking:** what the subscriber takes.
    ///
    /// # Examples
    ///
    /// See [`OverstayWatch`].
    pub fn look(&mut self, overstays: &Overstays) {
        let count = overstays.count;
        if count > 0 && count >= self.told.saturating_mul(2) {
            self.told = count;
            let most = overstays.holders.iter().take(MOST_SITES);
            let sites: Vec<_> =
                most.map(|holder| format!("{} ({})", holder.site, holder.count)).collect();
            tracing::warn!(
                target: "sundown",
                sessions = count,
                weight = overstays.weight,
                oldest_seconds = overstays.oldest.as_secs_f64(),
                sites = sites.join(", "),
                "the application holds sessions that have left",
            );
        } else if count == 0 && self.told > 0 {
            self.told = 0;
            tracing::info!(target: "sundown", "the application holds no sessions that have left");
        }
    }
}

/// As many places as a line of a log can bear; those with the most handles come first.
const MOST_SITES: usize = 8;

/// Tells of free memory that was [given back](crate::Builder::give_back) to the operating system.
///
/// Under [`GiveBack::Auto`](crate::GiveBack::Auto) the figures are the process's, so one watch on one
/// of its caches tells everything.
///
/// # Examples
///
/// ```
/// use sundown::{Cache, tracing::GiveBackWatch};
///
/// let cache = Cache::<u64, u64>::builder().max_entries(10).build()?;
/// let mut watch = GiveBackWatch::default();
/// watch.look(&cache.stats()); // every second or so
/// # Ok::<(), sundown::BuildError>(())
/// ```
#[derive(Debug, Default)]
pub struct GiveBackWatch {
    last: Option<GivenBack>,
}

impl GiveBackWatch {
    /// Looks at a cache's figures; tells with one event of level `INFO` that memory was given back
    /// since the last look, and with one of level `WARN` that it failed. The first look tells nothing.
    ///
    /// The event has the fields `times` and, of the last time, `took_seconds` and `bytes`, by which
    /// the process's resident memory fell; an event of a failure has `times` alone.
    ///
    /// **Locking:** what the subscriber takes.
    ///
    /// # Examples
    ///
    /// See [`GiveBackWatch`].
    pub fn look(&mut self, stats: &Stats) {
        let now = stats.given_back;
        let last = self.last.replace(now).unwrap_or(now);
        let (times, failures) =
            (now.count.saturating_sub(last.count), now.failures.saturating_sub(last.failures));
        if failures > 0 {
            tracing::warn!(
                target: "sundown",
                times = failures,
                "free memory could not be given back to the system",
            );
        }
        if times > 0 {
            tracing::info!(
                target: "sundown",
                times,
                took_seconds = now.last_took.as_secs_f64(),
                bytes = now.last_bytes,
                "free memory was given back to the system",
            );
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
