//! The figures of an instance of a fleet.

use ::metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

use super::Publisher;
use crate::fleet::TieredStats;

impl Publisher {
    /// Publishes the figures of an instance of a [`fleet`](crate::fleet), under the same label; beside
    /// [`publish`](Self::publish), which tells of the near cache's sessions and memory.
    ///
    /// | metric | is |
    /// | --- | --- |
    /// | `sundown_tier_connected` | 1 while the stream is proven and the near cache used, else 0 |
    /// | `sundown_tier_refusing` | 1 while calls are refused since others have failed, else 0 |
    /// | `sundown_tier_lag_seconds` | from a change to its message: the last proof, there and back |
    /// | `sundown_tier_hits_total`, `sundown_tier_loads_total` | loads answered by the near cache, and by the backend |
    /// | `sundown_tier_bypassed_total` | those of the latter while the near cache was bypassed |
    /// | `sundown_tier_stale_total` | loads answered with what may be out of date |
    /// | `sundown_tier_touches_total` | uses that were told to the backend |
    /// | `sundown_tier_invalidations_total` | messages of the stream |
    /// | `sundown_tier_gaps_total` | how often the stream was lost |
    /// | `sundown_tier_conflicts_total` | saves that found another revision than they were based on |
    /// | `sundown_tier_timeouts_total` | calls that have taken too long |
    /// | `sundown_tier_refused_total` | calls that the backend has refused |
    /// | `sundown_tier_undecodable_total` | sessions whose bytes could not be read |
    ///
    /// **Locking:** what the recorder takes. **Complexity:** constant.
    ///
    /// # Examples
    ///
    /// ```
    /// use sundown::{fleet::TieredStats, metrics::Publisher};
    /// Publisher::new("sessions").publish_tier(&TieredStats::default()); // every few seconds
    /// ```
    pub fn publish_tier(&self, stats: &TieredStats) {
        for (name, unit, text) in LEVELS {
            describe_gauge!(name, unit, text);
        }
        for (name, text) in TOTALS {
            describe_counter!(name, Unit::Count, text);
        }
        let levels = [
            f64::from(u8::from(stats.connected)),
            f64::from(u8::from(stats.breaker_open)),
            stats.lag.as_secs_f64(),
        ];
        for ((name, ..), level) in LEVELS.into_iter().zip(levels) {
            gauge!(name, "cache" => self.cache.clone()).set(level);
        }
        let totals = [
            stats.l1_hits,
            stats.l2_loads,
            stats.bypassed,
            stats.stale,
            stats.touches,
            stats.invalidations,
            stats.gaps,
            stats.conflicts,
            stats.timeouts,
            stats.refused,
            stats.undecodable,
        ];
        for ((name, _), total) in TOTALS.into_iter().zip(totals) {
            counter!(name, "cache" => self.cache.clone()).absolute(total);
        }
    }
}

const LEVELS: [(&str, Unit, &str); 3] = [
    ("sundown_tier_connected", Unit::Count, "1 while the near cache is used"),
    ("sundown_tier_refusing", Unit::Count, "1 while calls are refused since others have failed"),
    ("sundown_tier_lag_seconds", Unit::Seconds, "From a change to its message, there and back"),
];

const TOTALS: [(&str, &str); 11] = [
    ("sundown_tier_hits_total", "Loads that the near cache has answered"),
    ("sundown_tier_loads_total", "Loads that the backend was asked for"),
    ("sundown_tier_bypassed_total", "Those of them while the near cache was bypassed"),
    ("sundown_tier_stale_total", "Loads answered with what may be out of date"),
    ("sundown_tier_touches_total", "Uses that were told to the backend"),
    ("sundown_tier_invalidations_total", "Messages of the stream"),
    ("sundown_tier_gaps_total", "How often the stream was lost"),
    ("sundown_tier_conflicts_total", "Saves that found another revision"),
    ("sundown_tier_timeouts_total", "Calls that have taken too long"),
    ("sundown_tier_refused_total", "Calls that the backend has refused"),
    ("sundown_tier_undecodable_total", "Sessions whose bytes could not be read"),
];
