//! The command line, and the plan that it comes to.
//!
//! Everything that can be found wrong is found here, before the half minute begins: lifetimes that
//! scheduling noise would drown, a day with no room for the silence at its end, more memory than
//! anyone meant to spend, and a picture that could not be written.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::{Parser, ValueEnum};

use crate::picture;
use crate::traffic::Forecast;
use crate::way::Way;

/// Replays an outage: the same traffic goes, in real time, into a session store that checks expiry
/// only when it reads, and into sundown.
///
/// Draws the memory of both over one day that is squeezed into half a minute. At the end of the day
/// the traffic stops and nobody calls either store again, until every session has run out and free
/// memory has had time to go back to the operating system.
#[derive(Parser, Clone, Debug)]
#[command(
    name = "outage",
    after_help = "Exit status: 0 if sundown kept every promise, 1 if it broke one, 2 if the \
                  replay could not be run."
)]
pub(crate) struct Options {
    /// How long the replay takes, the silence at its end included
    #[arg(long, value_name = "TIME", default_value = "30s")]
    #[arg(value_parser = humantime::parse_duration)]
    duration: Duration,

    /// Draws another day of traffic
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,

    /// Visitors per second, as the mean of the day; the peak is nearly twice as high
    #[arg(long, value_name = "RATE", default_value_t = 6000.0)]
    arrivals_per_second: f64,

    /// The share of visitors that are bots, which log in once and never come again
    #[arg(long, value_name = "0..1", default_value_t = 0.6)]
    bots: f64,

    /// The median visit of a person; one in a hundred stays 16 times as long
    #[arg(long, value_name = "TIME", default_value = "2s")]
    #[arg(value_parser = humantime::parse_duration)]
    stay: Duration,

    /// The time after which an unused session is dead
    #[arg(long, value_name = "TIME", default_value = "2s")]
    #[arg(value_parser = humantime::parse_duration)]
    idle: Duration,

    /// The time after which any session is dead
    #[arg(long, value_name = "TIME", default_value = "10s")]
    #[arg(value_parser = humantime::parse_duration)]
    ttl: Duration,

    /// What each session keeps
    #[arg(long, value_name = "SIZE", default_value = "2KiB")]
    session_bytes: ByteSize,

    /// The limit of resident memory to draw; nobody is killed
    #[arg(long, value_name = "SIZE", default_value = "128MiB")]
    memory_limit: ByteSize,

    /// The expiry lag up to which sundown has kept its promise, plus what the machine adds
    #[arg(long, value_name = "TIME", default_value = "250ms")]
    #[arg(value_parser = humantime::parse_duration)]
    allowed_lag: Duration,

    /// What sundown does about free memory; `never` is a fault that the verdict must find
    #[arg(long, hide = true, value_name = "WAY", default_value = "auto")]
    give_back: Way,

    /// Where the picture goes, as .svg [default: outage.svg beside this program, under target/]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// The store that this process runs: how the replay starts its two halves
    #[arg(long, hide = true)]
    pub(crate) store: Option<Contestant>,
}

/// The two stores.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Contestant {
    CheckOnRead,
    Sundown,
}

/// Options that make sense together.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) forecast: Forecast,
    /// The day and the silence.
    pub(crate) duration: Duration,
    pub(crate) idle: Duration,
    pub(crate) ttl: Duration,
    pub(crate) session_bytes: usize,
    pub(crate) memory_limit: u64,
    pub(crate) allowed_lag: Duration,
    /// How long after the last deadline memory may take to be back at the operating system: what
    /// sundown promises, or less in a short replay.
    pub(crate) time_to_return: Duration,
    pub(crate) give_back: Way,
    pub(crate) picture: PathBuf,
}

impl Contestant {
    /// The value of `--store`.
    pub(crate) fn argument(self) -> &'static str {
        match self {
            Self::CheckOnRead => "check-on-read",
            Self::Sundown => "sundown",
        }
    }

    /// What the reader of the report calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CheckOnRead => "checks on read",
            Self::Sundown => "sundown",
        }
    }
}

impl Options {
    /// Checks the options against each other.
    ///
    /// # Errors
    ///
    /// In words for the person who typed them.
    pub(crate) fn plan(self) -> Result<Plan, String> {
        for (name, time) in [("idle", self.idle), ("ttl", self.ttl), ("stay", self.stay)] {
            if !(SHORTEST_LIFETIME..=LONGEST).contains(&time) {
                return Err(format!(
                    "--{name} must lie between {} and {}",
                    humantime::format_duration(SHORTEST_LIFETIME),
                    humantime::format_duration(LONGEST),
                ));
            }
        }
        let last_lifetime = self.idle.min(self.ttl);
        let shortest = last_lifetime + SHORTEST_RETURN + SHORTEST_DAY;
        if self.duration < shortest || self.duration > LONGEST {
            return Err(format!(
                "--duration must lie between {} and {}: it ends with a silence, in which the last \
                 sessions run out and memory goes back to the system",
                humantime::format_duration(shortest),
                humantime::format_duration(LONGEST),
            ));
        }
        let time_to_return =
            ((self.duration - last_lifetime) * 2 / 5).clamp(SHORTEST_RETURN, LONGEST_RETURN);
        let silence = last_lifetime + time_to_return;
        if !(0.0..=1.0).contains(&self.bots) {
            return Err("--bots is a share and must lie between 0 and 1".to_owned());
        }
        if !(1.0..=1e6).contains(&self.arrivals_per_second) {
            return Err("--arrivals-per-second must lie between 1 and 1000000".to_owned());
        }
        if self.memory_limit.as_u64() == 0 {
            return Err("--memory-limit must be more than nothing".to_owned());
        }
        let forecast = Forecast {
            seed: self.seed,
            day: self.duration - silence,
            arrivals_per_second: self.arrivals_per_second,
            bots: self.bots,
            stay: self.stay,
            pause: self.idle / PAUSES_PER_IDLE,
        };
        Ok(Plan {
            forecast,
            duration: self.duration,
            idle: self.idle,
            ttl: self.ttl,
            session_bytes: usize::try_from(self.session_bytes.as_u64())
                .map_err(|_| "--session-bytes is more than this machine can address")?,
            memory_limit: self.memory_limit.as_u64(),
            allowed_lag: self.allowed_lag,
            time_to_return,
            give_back: self.give_back,
            picture: self.output.map_or_else(|| picture::default("outage.svg", "--output"), Ok)?,
        })
    }
}

impl Plan {
    /// When the traffic stops.
    pub(crate) fn day(&self) -> Duration {
        self.forecast.day
    }

    /// Refuses a replay that would really cause the outage.
    pub(crate) fn check_memory(&self, most_sessions: usize) -> Result<(), String> {
        let worst = (most_sessions as u64).saturating_mul(self.session_bytes as u64);
        if worst > MEMORY_CEILING {
            return Err(format!(
                "this day could really take {}: lower --session-bytes, --arrivals-per-second or \
                 --duration (the ceiling is {})",
                ByteSize(worst),
                ByteSize(MEMORY_CEILING),
            ));
        }
        Ok(())
    }
}

/// Ten ticks of sundown's default resolution, and well above what a busy machine adds by itself.
const SHORTEST_LIFETIME: Duration = Duration::from_millis(100);

/// Enough for a few hundred visitors.
const SHORTEST_DAY: Duration = Duration::from_secs(1);

/// Beyond a day nobody is watching the progress bar.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// What sundown promises: memory is back at the system so long after the last deadline.
const LONGEST_RETURN: Duration = Duration::from_secs(10);

/// What it takes if nothing was given back just before: up to 2 s until the fall is known to be over,
/// and what the system itself takes.
const SHORTEST_RETURN: Duration = Duration::from_secs(3);

/// People pause for a quarter of the idle timeout on average, so about one pause in 55 outlasts it.
const PAUSES_PER_IDLE: u32 = 4;

/// What the half that never frees may take at most.
const MEMORY_CEILING: u64 = 4 << 30;
