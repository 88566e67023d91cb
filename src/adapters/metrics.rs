//! A cache's figures for Prometheus, through the `metrics` facade; with the feature `metrics`.
//!
//! Names begin with `sundown_`, are in base units, and end in `_total` where they only grow. The one
//! label common to a cache's figures is its name, which the service chooses; the process's memory has
//! none. No label ever carries an id.

use core::fmt;
use std::time::Duration;

use metrics::{SharedString, Unit, counter, describe_counter, describe_gauge, gauge};

use crate::platform::memory::ProcessMemory;
use crate::stats::Stats;

/// Publishes [`Stats`] of one cache through the [`metrics`](https://docs.rs/metrics/0.24) facade,
/// whatever exporter is behind it.
///
/// Call [`publish`](Self::publish) every few seconds, or before each scrape. It sets every figure
/// each time, also those that have not moved, so that an exporter which forgets idle metrics keeps
/// them.
///
/// | metric | is |
/// | --- | --- |
/// | `sundown_sessions`, `sundown_weight` | live sessions and their weight |
/// | `sundown_sessions_limit`, `sundown_weight_limit` | the caps that are set |
/// | `sundown_created_total` | sessions taken in, replacements and updates included |
/// | `sundown_removed_total` | sessions that left, by `cause` |
/// | `sundown_rejected_total` | sessions handed back, by `reason` |
/// | `sundown_dropped_total` | sessions destroyed or handed to the listener |
/// | `sundown_retired_sessions`, `sundown_retired_weight`, `sundown_retired_oldest_seconds` | sessions unlinked but not yet dropped |
/// | `sundown_overstays`, `sundown_overstays_weight`, `sundown_overstays_oldest_seconds` | sessions that left and that the application holds, where the cache [tracks](crate::Builder::track_overstays) them; else 0 |
/// | `sundown_overdue_sessions` | sessions linked past their deadline: should be 0 |
/// | `sundown_expiry_lag_seconds` | how long after their deadline sessions were freed, by `quantile` |
/// | `sundown_expiry_lag_max_seconds` | the longest of these times |
/// | `sundown_overhead_bytes` | what the cache holds beside keys and values |
/// | `sundown_hits_total`, `sundown_misses_total` | reads that found a session, or none |
/// | `sundown_evicted_inexact_total` | evictions that may not have taken the coldest session |
/// | `sundown_listener_panics_total`, `sundown_drop_panics_total`, `sundown_pressure_panics_total` | panics of your code |
/// | `sundown_reaper_wakeups_total` | how often the reaper has woken |
/// | `sundown_given_back_total`, `sundown_given_back_failures_total` | how often free memory was [given back](crate::Builder::give_back), and how often that failed |
/// | `sundown_given_back_last_seconds`, `sundown_given_back_last_bytes` | how long the last time took, and by how much resident memory fell; 0 before the first |
///
/// Under [`GiveBack::Auto`](crate::GiveBack::Auto) what was given back is the process's: every cache
/// has the same figures. Take the maximum over the caches, not the sum.
///
/// The memory of the process and of its container is published by [`publish_process`]. An instance of a fleet has
/// figures of its own; see `publish_tier`, with the feature `fleet`.
///
/// # Examples
///
/// ```
/// use sundown::{Cache, metrics::Publisher};
///
/// let cache = Cache::builder().max_entries(100_000).build()?;
/// cache.insert("id", "session")?;
/// let publisher = Publisher::new("sessions");
/// publisher.publish(&cache.stats()); // every few seconds
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Publisher {
    cache: SharedString,
}

impl Publisher {
    /// Publishes under the label `cache="name"`, and describes the metrics to the recorder that is
    /// installed by now.
    ///
    /// **Locking:** what the recorder takes.
    ///
    /// # Examples
    ///
    /// ```
    /// let publisher = sundown::metrics::Publisher::new("sessions");
    /// assert_eq!(format!("{publisher:?}"), "Publisher(\"sessions\")");
    /// ```
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        describe();
        Self { cache: SharedString::from(name.into()) }
    }

    /// Publishes every figure. `stats` must be of one cache always: totals never go back.
    ///
    /// **Locking:** what the recorder takes. **Complexity:** constant, some forty metrics.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = sundown::Cache::<u64, u64>::builder().max_entries(10).build()?;
    /// sundown::metrics::Publisher::new("sessions").publish(&cache.stats());
    /// # Ok::<(), sundown::BuildError>(())
    /// ```
    pub fn publish(&self, stats: &Stats) {
        self.publish_levels(stats);
        self.publish_totals(stats);
    }

    fn publish_levels(&self, stats: &Stats) {
        let (retired, lag, given_back) = (&stats.retired, &stats.expiry_lag, &stats.given_back);
        let overstays = &stats.overstays;
        let limits = [
            ("sundown_sessions_limit", stats.max_entries.map(|entries| entries as u64)),
            ("sundown_weight_limit", stats.max_weight),
        ];
        for (name, limit) in limits {
            if let Some(limit) = limit {
                self.set(name, limit as f64);
            }
        }
        self.set("sundown_sessions", stats.entries as f64);
        self.set("sundown_weight", stats.weight as f64);
        self.set("sundown_retired_sessions", retired.count as f64);
        self.set("sundown_retired_weight", retired.weight as f64);
        self.set("sundown_retired_oldest_seconds", retired.oldest.as_secs_f64());
        self.set("sundown_overstays", overstays.count as f64);
        self.set("sundown_overstays_weight", overstays.weight as f64);
        self.set("sundown_overstays_oldest_seconds", overstays.oldest.as_secs_f64());
        self.set("sundown_overdue_sessions", stats.overdue as f64);
        self.set("sundown_overhead_bytes", stats.overhead_bytes as f64);
        self.set("sundown_expiry_lag_max_seconds", lag.max.as_secs_f64());
        self.set("sundown_given_back_last_seconds", given_back.last_took.as_secs_f64());
        self.set("sundown_given_back_last_bytes", given_back.last_bytes as f64);
        let quantiles: [(&'static str, Duration); 3] =
            [("0.5", lag.p50), ("0.99", lag.p99), ("0.999", lag.p999)];
        for (quantile, lag) in quantiles {
            let labels = [("cache", self.cache.clone()), ("quantile", quantile.into())];
            gauge!("sundown_expiry_lag_seconds", &labels).set(lag.as_secs_f64());
        }
    }

    fn publish_totals(&self, stats: &Stats) {
        let causes: [(&'static str, u64); 7] = [
            ("expired", stats.expired),
            ("idle", stats.idle),
            ("evicted", stats.evicted),
            ("removed", stats.removed),
            ("replaced", stats.replaced),
            ("cleared", stats.cleared),
            ("closed", stats.closed),
        ];
        for (cause, count) in causes {
            let labels = [("cache", self.cache.clone()), ("cause", cause.into())];
            counter!("sundown_removed_total", &labels).absolute(count);
        }
        let rejections = &stats.rejections;
        let reasons: [(&'static str, u64); 5] = [
            ("full", rejections.full),
            ("too_heavy", rejections.too_heavy),
            ("occupied", rejections.occupied),
            ("absent", rejections.absent),
            ("closed", rejections.closed),
        ];
        for (reason, count) in reasons {
            let labels = [("cache", self.cache.clone()), ("reason", reason.into())];
            counter!("sundown_rejected_total", &labels).absolute(count);
        }
        let totals = [
            ("sundown_created_total", stats.inserted),
            ("sundown_dropped_total", stats.dropped),
            ("sundown_hits_total", stats.hits),
            ("sundown_misses_total", stats.misses),
            ("sundown_evicted_inexact_total", stats.evicted_inexact),
            ("sundown_listener_panics_total", stats.listener_panics),
            ("sundown_drop_panics_total", stats.drop_panics),
            ("sundown_pressure_panics_total", stats.pressure_panics),
            ("sundown_reaper_wakeups_total", stats.reaper_wakeups),
            ("sundown_given_back_total", stats.given_back.count),
            ("sundown_given_back_failures_total", stats.given_back.failures),
        ];
        for (name, count) in totals {
            counter!(name, "cache" => self.cache.clone()).absolute(count);
        }
    }

    fn set(&self, name: &'static str, level: f64) {
        gauge!(name, "cache" => self.cache.clone()).set(level);
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Publisher").field(&&*self.cache).finish()
    }
}

/// Publishes the memory of the process and of its container, beside which a cache's weight is seen.
///
/// Call it once for the process, as often as [`Publisher::publish`], however many caches there are.
/// Its metrics have no label. A figure that the platform does not tell is not published, nor is a
/// limit that is not set. [`Publisher::new`] describes them.
///
/// | metric | is |
/// | --- | --- |
/// | `sundown_process_resident_bytes` | physical memory that the process occupies |
/// | `sundown_container_memory_bytes` | what counts towards the container's limit: its working set |
/// | `sundown_container_memory_limit_bytes` | the limit past which the kernel kills |
///
/// **Locking:** what the recorder takes. **Complexity:** constant, three metrics.
///
/// # Examples
///
/// ```
/// sundown::metrics::publish_process(&sundown::ProcessMemory::read()); // every few seconds
/// ```
pub fn publish_process(memory: &ProcessMemory) {
    let figures = [
        ("sundown_process_resident_bytes", memory.resident_bytes),
        ("sundown_container_memory_bytes", memory.container_bytes),
        ("sundown_container_memory_limit_bytes", memory.limit_bytes),
    ];
    for (name, bytes) in figures {
        if let Some(bytes) = bytes {
            gauge!(name).set(bytes as f64);
        }
    }
}

fn describe() {
    for (name, unit, text) in LEVELS {
        describe_gauge!(name, unit, text);
    }
    for (name, text) in TOTALS {
        describe_counter!(name, Unit::Count, text);
    }
}

const LEVELS: [(&str, Unit, &str); 19] = [
    ("sundown_sessions", Unit::Count, "Live sessions"),
    ("sundown_weight", Unit::Count, "Weight of the live sessions, in the weigher's unit"),
    ("sundown_sessions_limit", Unit::Count, "The cap on live sessions"),
    ("sundown_weight_limit", Unit::Count, "The cap on their weight"),
    ("sundown_retired_sessions", Unit::Count, "Sessions unlinked but not yet dropped"),
    ("sundown_retired_weight", Unit::Count, "Weight of the sessions not yet dropped"),
    ("sundown_retired_oldest_seconds", Unit::Seconds, "How long the oldest has been unlinked"),
    ("sundown_overstays", Unit::Count, "Sessions that left and that the application holds"),
    ("sundown_overstays_weight", Unit::Count, "Weight of these sessions when they left"),
    ("sundown_overstays_oldest_seconds", Unit::Seconds, "How long ago the first of them left"),
    ("sundown_overdue_sessions", Unit::Count, "Sessions linked past their deadline: should be 0"),
    ("sundown_overhead_bytes", Unit::Bytes, "What the cache holds beside keys and values"),
    ("sundown_expiry_lag_seconds", Unit::Seconds, "From deadline to destructor, by quantile"),
    ("sundown_expiry_lag_max_seconds", Unit::Seconds, "From deadline to destructor, at most"),
    ("sundown_given_back_last_seconds", Unit::Seconds, "How long memory was last given back for"),
    ("sundown_given_back_last_bytes", Unit::Bytes, "By how much resident memory fell meanwhile"),
    ("sundown_process_resident_bytes", Unit::Bytes, "Physical memory that the process occupies"),
    ("sundown_container_memory_bytes", Unit::Bytes, "What counts towards the container's limit"),
    ("sundown_container_memory_limit_bytes", Unit::Bytes, "Past it, the kernel kills"),
];

const TOTALS: [(&str, &str); 13] = [
    ("sundown_created_total", "Sessions taken in, replacements and updates included"),
    ("sundown_removed_total", "Sessions that left, by cause"),
    ("sundown_rejected_total", "Sessions handed back, by reason"),
    ("sundown_dropped_total", "Sessions destroyed or handed to the listener"),
    ("sundown_hits_total", "Reads that found a live session"),
    ("sundown_misses_total", "Reads that found none"),
    ("sundown_evicted_inexact_total", "Evictions that may not have taken the coldest session"),
    ("sundown_listener_panics_total", "Panics of the listener"),
    ("sundown_drop_panics_total", "Panics of destructors"),
    ("sundown_pressure_panics_total", "Panics of who is told of pressure"),
    ("sundown_reaper_wakeups_total", "How often the reaper has woken"),
    ("sundown_given_back_total", "How often free memory was given back to the system"),
    ("sundown_given_back_failures_total", "How often giving memory back has failed"),
];

#[cfg(feature = "fleet")]
mod tier;

#[cfg(test)]
mod tests;
