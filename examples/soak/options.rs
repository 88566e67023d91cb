//! The command line, and the plan that it comes to.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Duration;

use clap::Parser;

use crate::picture;
use crate::way::Way;

/// Soaks a cache: full load for as long as you like, and a look at every check whether anything was
/// left behind.
///
/// Each round is busy first; then nobody calls until every session has run out, and what is left in
/// memory is held against the first round. Ctrl-C ends the soak after the round's quiet part, with
/// table and picture; a second one ends it at once.
#[derive(Parser, Clone, Debug)]
#[command(
    name = "soak",
    after_help = "Exit status: 0 if every promise was kept, 1 if one was broken, 2 if the soak could \
                  not be run."
)]
pub(crate) struct Options {
    /// How long the soak takes, as in 20m or 8h
    #[arg(long, value_name = "TIME", default_value = "20m")]
    #[arg(value_parser = humantime::parse_duration)]
    duration: Duration,

    /// Threads at full load, beside the few that stall, travel and build caches [default: the
    /// machine's cores]
    #[arg(long, value_name = "NUMBER")]
    threads: Option<usize>,

    /// How long a round takes, its quiet part and the checks at its end included
    #[arg(long, value_name = "TIME", default_value = "1m")]
    #[arg(value_parser = humantime::parse_duration)]
    check_every: Duration,

    /// Draws other traffic
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,

    /// What the cache does about free memory; `never` is a fault that the verdict must find
    #[arg(long, hide = true, value_name = "WAY", default_value = "auto")]
    give_back: Way,

    /// Where the picture goes, as .svg [default: soak.svg beside this program, under target/]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Options that make sense together.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) threads: usize,
    pub(crate) check_every: Duration,
    /// The longest lifetime of any session that is left to run out.
    pub(crate) longest_life: Duration,
    pub(crate) seed: u64,
    pub(crate) give_back: Way,
    pub(crate) picture: PathBuf,
}

impl Options {
    /// Checks the options against each other.
    ///
    /// # Errors
    ///
    /// In words for the person who typed them.
    pub(crate) fn plan(self) -> Result<Plan, String> {
        let Self { duration, threads, check_every, seed, give_back, out } = self;
        if !(SHORTEST_ROUND..=LONGEST_ROUND).contains(&check_every) {
            return Err(format!(
                "--check-every must lie between {} and {}",
                humantime::format_duration(SHORTEST_ROUND),
                humantime::format_duration(LONGEST_ROUND),
            ));
        }
        if duration < LEAST_ROUNDS * check_every || duration > LONGEST {
            return Err(format!(
                "--duration must lie between {} and {}: the first of its rounds, each as long as \
                 --check-every, is what the others are held against",
                humantime::format_duration(LEAST_ROUNDS * check_every),
                humantime::format_duration(LONGEST),
            ));
        }
        let threads =
            threads.unwrap_or_else(|| available_parallelism().map_or(2, NonZeroUsize::get));
        if !(1..=MOST_THREADS).contains(&threads) {
            return Err(format!("--threads must lie between 1 and {MOST_THREADS}"));
        }
        Ok(Plan {
            rounds: (duration.as_millis() / check_every.as_millis()) as usize,
            threads,
            check_every,
            longest_life: (check_every / LIVES_PER_ROUND).min(LONGEST_LIFE),
            seed,
            give_back,
            picture: out.map_or_else(|| picture::default("soak.svg", "--out"), Ok)?,
        })
    }
}

impl Plan {
    /// How long the whole soak takes, unless the machine is too busy for it.
    pub(crate) fn duration(&self) -> Duration {
        self.check_every * self.rounds as u32
    }

    /// How long everybody is quiet before the cache is asked anything.
    pub(crate) fn silence(&self) -> Duration {
        self.longest_life + TIME_TO_GIVE_BACK
    }
}

/// Half of it is busy.
const SHORTEST_ROUND: Duration = Duration::from_secs(3);

const LONGEST_ROUND: Duration = Duration::from_secs(3600);

/// A month, and about as many rounds as a table and a picture can stand.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// One to hold the others against, and one other.
const LEAST_ROUNDS: u32 = 2;

/// More would only take turns.
const MOST_THREADS: usize = 64;

/// The quiet part lasts as long as the longest life, and should be a small part of the round.
const LIVES_PER_ROUND: u32 = 6;

/// With ten million deadlines an hour, longer lives would only mean fewer sessions to a second.
const LONGEST_LIFE: Duration = Duration::from_secs(8);

/// The second that sundown has to give memory back after the last session has run out.
const TIME_TO_GIVE_BACK: Duration = Duration::from_secs(1);
