//! Sessions of one kind: how many begin, how long they live, and how many live at once.

use std::time::Duration;

use crate::figures::count;
use crate::log::Log;
use crate::poisson::percentile;
use crate::rate::Rate;

/// Sessions of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) name: &'static str,
    pub(crate) rate: Rate,
    pub(crate) lifetime: Duration,
    /// Data of each.
    pub(crate) bytes: u64,
    /// Concurrent sessions, on average.
    pub(crate) mean: f64,
    /// The same at the peak: what the percentile is taken of.
    pub(crate) peak_mean: f64,
    pub(crate) log: Option<Log>,
    pub(crate) is_anonymous: bool,
}

impl Stream {
    /// Sessions by a rate, by a log, or by both: then whichever has more at its peak.
    ///
    /// By a rate, the mean is that of Little's law. A log has its highest number; as another day may
    /// have another, that is taken as a mean.
    ///
    /// # Errors
    ///
    /// There are more than anyone can have.
    pub(crate) fn new(
        rate: Option<Rate>,
        lifetime: Duration,
        bytes: u64,
        log: Option<Log>,
    ) -> Result<Self, String> {
        let by_rate = rate.map(|rate| rate.per_second() * lifetime.as_secs_f64());
        if by_rate.is_some_and(|mean| mean > MOST_SESSIONS) {
            return Err(format!(
                "{:.1e} concurrent sessions are over the limit of {}: is the unit right?",
                by_rate.unwrap_or_default(),
                count(MOST_SESSIONS as u64),
            ));
        }
        let peak = log.as_ref().map_or(0.0, |log| log.peak as f64);
        let (mean, peak_mean) = match (by_rate, &log) {
            (Some(mean), _) => (mean, mean.max(peak)),
            (None, Some(log)) => (log.mean, peak),
            (None, None) => (0.0, 0.0),
        };
        let by_log = log.as_ref().map(|log| (log.rate(), log.mean_lifetime));
        let (rate, lifetime) = match (rate, by_log) {
            (Some(rate), _) => (rate, lifetime),
            (None, Some(of_log)) => of_log,
            (None, None) => (Rate::of_seconds(0.0), lifetime),
        };
        let (name, is_anonymous) = ("logged in", false);
        Ok(Self { name, rate, lifetime, bytes, mean, peak_mean, log, is_anonymous })
    }

    /// The same of visitors who do not log in.
    pub(crate) fn of_anonymous(self) -> Self {
        Self { name: "anonymous", is_anonymous: true, ..self }
    }

    /// How many sessions live at once on each of `instances`, over which they are spread evenly: the
    /// 99.9th percentile.
    pub(crate) fn planned(&self, instances: u64) -> u64 {
        planned(self.peak_mean / instances as f64)
    }
}

/// The percentile that plans are for, of a Poisson distribution of this mean; at least one session.
pub(crate) fn planned(mean: f64) -> u64 {
    percentile(mean, PERCENTILE).max(1)
}

const PERCENTILE: f64 = 0.999;

/// Beyond it, a wrong unit is likelier than so many people.
const MOST_SESSIONS: f64 = 1e9;

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
