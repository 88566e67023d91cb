//! One day of visitors, drawn from a seed.
//!
//! The faults that this crate exists for need three things at once, and a plain load test has none
//! of them: arrivals that swell and ebb over a day, visits whose length has a long tail, and bots
//! that log in once and are never seen again. All three come from one `ChaCha8` stream, so a seed
//! gives the same events on every machine, and both stores are sent exactly the same ones.
//!
//! The whole day is drawn before it starts: its memory is then a constant that can be subtracted,
//! and no time is spent on logarithms while latencies are being judged.

use std::f64::consts::TAU;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Bernoulli, Distribution, Exp, LogNormal, StandardUniform};

/// What the day looks like.
#[derive(Clone, Debug)]
pub(crate) struct Forecast {
    pub(crate) seed: u64,
    /// How long visitors arrive for; the rate swells and ebbs once in this time.
    pub(crate) day: Duration,
    /// The mean over the day; the peak is nearly twice as high.
    pub(crate) arrivals_per_second: f64,
    /// The share of visitors that come once and never again.
    pub(crate) bots: f64,
    /// The median visit of a person.
    pub(crate) stay: Duration,
    /// The mean pause between two requests of a person.
    pub(crate) pause: Duration,
}

/// What a visitor does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Logs in for the first time.
    Arrive,
    /// Sends a request with the session it has, and logs in again if that is gone.
    Visit,
    /// Logs out.
    Leave,
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    /// Nanoseconds since the day began.
    pub(crate) at: u64,
    pub(crate) visitor: u32,
    pub(crate) action: Action,
}

/// A day of requests, in the order of time.
#[derive(Debug)]
pub(crate) struct Traffic {
    pub(crate) events: Vec<Event>,
    pub(crate) visitors: usize,
}

impl Traffic {
    /// Draws the day.
    ///
    /// # Errors
    ///
    /// If it would have more than [`EVENT_LIMIT`] events.
    pub(crate) fn draw(forecast: &Forecast) -> Result<Self, String> {
        let mut random = ChaCha8Rng::seed_from_u64(forecast.seed);
        let laws = Laws::new(forecast)?;
        let day = forecast.day.as_secs_f64();
        let mut traffic = Self { events: Vec::new(), visitors: 0 };
        let mut now = laws.gap_at_peak.sample(&mut random);
        while now < day {
            // Thinning: arrivals are drawn at the peak rate throughout, and kept with the ratio of
            // the current rate to it, which gives an exact Poisson process with a moving rate.
            let chance: f64 = StandardUniform.sample(&mut random);
            if chance * PEAK_TO_MEAN < swell(now / day) {
                traffic.add_visitor(now, day, &laws, &mut random)?;
            }
            now += laws.gap_at_peak.sample(&mut random);
        }
        traffic.events.sort_by_key(|event| (event.at, event.visitor));
        traffic.events.shrink_to_fit();
        Ok(traffic)
    }

    /// A hash of all events, so that two processes can tell whether they drew the same day.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.events.iter().fold(0xcbf2_9ce4_8422_2325, |hash, event| {
            [event.at, u64::from(event.visitor), event.action as u64]
                .iter()
                .fold(hash, |hash, word| (hash ^ word).wrapping_mul(0x0100_0000_01b3))
        })
    }

    /// How many sessions the day can open at most: whoever visits may have to log in again.
    pub(crate) fn most_sessions(&self) -> usize {
        self.events.iter().filter(|event| event.action != Action::Leave).count()
    }

    fn add_visitor(
        &mut self,
        arrival: f64,
        day: f64,
        laws: &Laws,
        random: &mut ChaCha8Rng,
    ) -> Result<(), String> {
        let visitor = u32::try_from(self.visitors).map_err(|_| too_many())?;
        self.visitors += 1;
        self.add(arrival, visitor, Action::Arrive)?;
        if laws.is_bot.sample(random) {
            return Ok(());
        }
        let leave = arrival + laws.stay.sample(random);
        let mut now = arrival + laws.pause.sample(random);
        while now < leave.min(day) {
            self.add(now, visitor, Action::Visit)?;
            now += laws.pause.sample(random);
        }
        // Most people close the tab; only a few log out.
        if laws.logs_out.sample(random) && leave < day {
            self.add(leave, visitor, Action::Leave)?;
        }
        Ok(())
    }

    fn add(&mut self, seconds: f64, visitor: u32, action: Action) -> Result<(), String> {
        if self.events.len() == EVENT_LIMIT {
            return Err(too_many());
        }
        let at = Duration::from_secs_f64(seconds).as_nanos() as u64;
        self.events.push(Event { at, visitor, action });
        Ok(())
    }
}

/// The distributions behind a [`Forecast`].
struct Laws {
    gap_at_peak: Exp<f64>,
    is_bot: Bernoulli,
    stay: LogNormal<f64>,
    pause: Exp<f64>,
    logs_out: Bernoulli,
}

impl Laws {
    fn new(forecast: &Forecast) -> Result<Self, String> {
        let rate_at_peak = forecast.arrivals_per_second * PEAK_TO_MEAN;
        Ok(Self {
            gap_at_peak: Exp::new(rate_at_peak).map_err(|error| error.to_string())?,
            is_bot: Bernoulli::new(forecast.bots).map_err(|error| error.to_string())?,
            stay: LogNormal::new(forecast.stay.as_secs_f64().ln(), STAY_SIGMA)
                .map_err(|error| error.to_string())?,
            pause: Exp::new(1.0 / forecast.pause.as_secs_f64())
                .map_err(|error| error.to_string())?,
            logs_out: Bernoulli::new(LOG_OUT_SHARE).map_err(|error| error.to_string())?,
        })
    }
}

/// The rate of arrivals as a multiple of the mean, at a point of the day from 0 to 1.
fn swell(point: f64) -> f64 {
    1.0 - (PEAK_TO_MEAN - 1.0) * (TAU * point).cos()
}

fn too_many() -> String {
    format!("this day has more than {EVENT_LIMIT} requests: lower the duration or the arrivals")
}

/// At noon; at midnight a tenth of the mean is left.
const PEAK_TO_MEAN: f64 = 1.9;

/// A long tail: one person in a hundred stays 16 times as long as the median.
const STAY_SIGMA: f64 = 1.2;

/// The share of people who log out instead of closing the tab.
const LOG_OUT_SHARE: f64 = 0.15;

/// 10 million events of 16 bytes: what two processes can draw in about a second and hold at ease.
const EVENT_LIMIT: usize = 10_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn day(seed: u64) -> Traffic {
        let second = Duration::from_secs(1);
        let (day, stay, pause) = (30 * second, 2 * second, second / 2);
        Traffic::draw(&Forecast { seed, day, arrivals_per_second: 1e3, bots: 0.6, stay, pause })
            .expect("this day is small")
    }

    #[test]
    fn seed_decides_the_day() {
        assert_eq!(day(1).fingerprint(), day(1).fingerprint());
        assert_ne!(day(1).fingerprint(), day(2).fingerprint());
    }

    #[test]
    fn day_has_a_peak_and_the_right_number_of_visitors() {
        let Traffic { events, visitors } = day(3);
        assert!(events.is_sorted_by_key(|event| event.at));
        assert!((29_000..31_000).contains(&visitors), "{visitors}");
        let arrivals_in = |second: u64| {
            let is_in = |event: &&Event| event.at / 1_000_000_000 == second;
            events.iter().filter(|event| event.action == Action::Arrive).filter(is_in).count()
        };
        assert!(arrivals_in(15) > 8 * arrivals_in(0), "no peak at noon");
    }
}
