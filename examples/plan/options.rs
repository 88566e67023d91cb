//! The command line, and what of it makes sense together.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::Parser;

use crate::arguments::{percent, size, time};
use crate::formats::Format;
use crate::log::Log;
use crate::rate::Rate;
use crate::stream::Stream;

/// How much memory do the sessions need?
///
/// Says how many sessions live at once at the peak, what that takes, and which caps, limits and
/// thresholds follow.
///
/// Assumed: a session lives for its visit and then its idle time, but not longer than --live. Visits of
/// different lengths come to no more than their mean.
///
/// Assumed: arrivals are independent of each other, so that the number of concurrent sessions is
/// Poisson (M/G/infinity). The plan is for its 99.9th percentile.
///
/// Assumed: --log-ins is the rate of the busiest hour, not the day's mean.
///
/// Assumed: glibc's allocator, or one that wastes no more than mimalloc and jemalloc did in
/// benches/memory (12 %).
#[derive(Parser, Clone, Debug)]
#[command(
    name = "plan",
    after_help = "Exit status: 0 with a plan, 1 if --try found it wrong, 2 if none can be made."
)]
pub(crate) struct Options {
    /// Log-ins at the busiest time, as in 2000/min, 30/s, 100/h or 5/day
    #[arg(long, value_name = "RATE", allow_hyphen_values = true)]
    log_ins: Option<Rate>,
    /// The time after which an unused session is dead (time_to_idle)
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    #[arg(value_parser = time)]
    idle: Option<Duration>,
    /// The time after which any session is dead (time_to_live)
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    #[arg(value_parser = time)]
    live: Option<Duration>,
    /// From a session's first to its last request, on average
    #[arg(long, value_name = "TIME", default_value = "10m", allow_hyphen_values = true)]
    #[arg(value_parser = time)]
    visit: Duration,
    /// The data of a session in bytes: what your weigher says, or a store's Cache::weight a session
    #[arg(long, value_name = "SIZE", value_parser = size, allow_hyphen_values = true)]
    bytes: ByteSize,

    /// Sessions of visitors who do not log in, a stream of their own
    #[arg(long, value_name = "RATE", allow_hyphen_values = true)]
    anonymous: Option<Rate>,
    /// Their idle time [default: as --idle]
    #[arg(long, value_name = "TIME", requires = "anonymous", allow_hyphen_values = true)]
    #[arg(value_parser = time)]
    anonymous_idle: Option<Duration>,
    /// Their visit: one request, as of crawlers, by default
    #[arg(long, value_name = "TIME", default_value = "0s", allow_hyphen_values = true)]
    #[arg(value_parser = time)]
    anonymous_visit: Duration,
    /// Their data [default: as --bytes]
    #[arg(long, value_name = "SIZE", value_parser = size, requires = "anonymous", allow_hyphen_values = true)]
    anonymous_bytes: Option<ByteSize>,

    /// A log to take the sessions of --log-ins from; with both, the plan is for the larger
    #[arg(long, value_name = "FILE", requires = "format")]
    log: Option<PathBuf>,
    /// What the log holds
    #[arg(long, value_enum, requires = "log")]
    format: Option<Format>,

    /// The container's limit that an instance may have [default: one instance for all]
    #[arg(long, value_name = "SIZE", value_parser = size, allow_hyphen_values = true)]
    instance_memory: Option<ByteSize>,
    /// What an instance takes beside its sessions
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "128MiB", allow_hyphen_values = true)]
    service_memory: ByteSize,
    /// How full the caps are at the peak, and when the autoscaler adds instances
    #[arg(long, value_name = "PERCENT", default_value = "60%", value_parser = percent)]
    #[arg(allow_hyphen_values = true)]
    fill: u64,
    /// Fills a cache in this process, and compares its resident memory with the plan
    #[arg(long = "try")]
    is_trial: bool,
}

/// Options that make sense together.
#[derive(Clone, Debug)]
pub(crate) struct Demand {
    /// Those who log in, then the anonymous if there are any.
    pub(crate) streams: Vec<Stream>,
    /// How the lifetime of each stream follows from the options, in words.
    pub(crate) assumed: Vec<String>,
    pub(crate) idle: Option<Duration>,
    /// Where it is not the same.
    pub(crate) anonymous_idle: Option<Duration>,
    pub(crate) live: Option<Duration>,
    pub(crate) instance_bytes: Option<u64>,
    pub(crate) service_bytes: u64,
    pub(crate) fill_percent: u64,
    pub(crate) is_trial: bool,
}

impl Options {
    /// Checks the options against each other, and reads the log.
    ///
    /// # Errors
    ///
    /// In words for the person who typed them.
    pub(crate) fn demand(self) -> Result<Demand, String> {
        self.check_times()?;
        self.check_sizes()?;
        let log = match (self.log.clone(), self.format) {
            (Some(path), Some(format)) => Some(Log::read(path, format, self.idle, self.live)?),
            _ => None,
        };
        if self.log_ins.is_none() && log.is_none() {
            return Err(
                "how many sessions begin? --log-ins 2000/min, or --log FILE --format FORMAT"
                    .to_owned(),
            );
        }
        let (bytes, visit) = (self.bytes.as_u64(), self.visit);
        let lives = lifetime(visit, self.idle, self.live);
        let mut streams = vec![Stream::new(self.log_ins, lives, bytes, log)?];
        if let Some(rate) = self.anonymous {
            let idle = self.anonymous_idle.or(self.idle);
            let lives = lifetime(self.anonymous_visit, idle, self.live);
            let bytes = self.anonymous_bytes.map_or(bytes, |bytes| bytes.as_u64());
            streams.push(Stream::new(Some(rate), lives, bytes, None)?.of_anonymous());
        }
        Ok(Demand {
            streams,
            assumed: self.assumed(),
            idle: self.idle,
            anonymous_idle: self.anonymous.and(self.anonymous_idle),
            live: self.live,
            instance_bytes: self.instance_memory.map(|bytes| bytes.as_u64()),
            service_bytes: self.service_memory.as_u64(),
            fill_percent: self.fill,
            is_trial: self.is_trial,
        })
    }
    fn check_times(&self) -> Result<(), String> {
        if self.idle.is_none() && self.live.is_none() {
            return Err("sessions that never end need endless memory: give --idle, --live or both"
                .to_owned());
        }
        let times = [
            ("idle", self.idle),
            ("live", self.live),
            ("anonymous-idle", self.anonymous_idle),
            ("visit", Some(self.visit)),
            ("anonymous-visit", Some(self.anonymous_visit)),
        ];
        for (name, time) in times {
            let Some(time) = time else { continue };
            if time.is_zero() && !name.ends_with("visit") {
                return Err(format!("--{name} is zero: sessions would be dead at once"));
            }
            if time > LONGEST {
                return Err(format!(
                    "--{name} is longer than ten years, the most that a cache takes"
                ));
            }
        }
        for (name, idle) in [("idle", self.idle), ("anonymous-idle", self.anonymous_idle)] {
            let (Some(idle), Some(live)) = (idle, self.live) else { continue };
            if idle > live {
                let [idle, live] = [idle, live].map(humantime::format_duration);
                return Err(format!(
                    "--{name} {idle} is longer than --live {live}: no session would ever idle out"
                ));
            }
        }
        Ok(())
    }

    fn check_sizes(&self) -> Result<(), String> {
        for (name, size, why) in [
            ("bytes", Some(self.bytes), "a session without data takes no planning"),
            ("anonymous-bytes", self.anonymous_bytes, "a session without data takes no planning"),
            ("instance-memory", self.instance_memory, "nothing fits in"),
        ] {
            if size.is_some_and(|size| size.as_u64() == 0) {
                return Err(format!("--{name} is 0: {why}"));
            }
        }
        Ok(())
    }

    fn assumed(&self) -> Vec<String> {
        let words = |visit, idle: Option<Duration>| {
            let lives = humantime::format_duration(lifetime(visit, idle, self.live));
            let visit = humantime::format_duration(visit);
            let parts = match (idle, self.live) {
                (Some(idle), Some(live)) => {
                    let [idle, live] = [idle, live].map(humantime::format_duration);
                    format!("visit {visit} + idle {idle}, at most live {live}")
                }
                (Some(idle), None) => {
                    format!("visit {visit} + idle {}", humantime::format_duration(idle))
                }
                (None, _) => "live, having no idle time,".to_owned(),
            };
            format!("{parts} = {lives}")
        };
        let mut assumed = Vec::new();
        if self.log_ins.is_some() {
            assumed.push(format!("A session lives for {}.", words(self.visit, self.idle)));
        }
        if self.anonymous.is_some() {
            let idle = self.anonymous_idle.or(self.idle);
            assumed.push(format!("An anonymous one for {}.", words(self.anonymous_visit, idle)));
        }
        assumed
    }
}

/// How long a session lives whose requests come over the time of `visit`.
///
/// For visits of different lengths, the mean of `visit` gives no less than the mean lifetime, for the
/// minimum is concave.
fn lifetime(visit: Duration, idle: Option<Duration>, live: Option<Duration>) -> Duration {
    let used_up = idle.map_or(Duration::MAX, |idle| visit + idle);
    used_up.min(live.unwrap_or(Duration::MAX))
}

/// As the builder has it.
const LONGEST: Duration = Duration::from_secs(3_660 * 86_400);

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
