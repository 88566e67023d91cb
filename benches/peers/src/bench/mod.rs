//! What is asked: one question a file.

mod blocked;
mod expire_cost;
mod inserts;
mod lag;
mod life;
mod memory;
mod mixed;
mod reads;
mod stops;
mod storm;
mod traces;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::measure::{Progress, Rate, Spread, rounds};
use crate::peers::{AnyStore, Peer, Settings};
use crate::report::{self, Journal, Row};
use crate::workload::Key;

/// What most questions share.
#[derive(Args, Clone)]
pub struct Common {
    /// Scale sizes and times down, for a smoke test.
    #[arg(long, global = true)]
    quick: bool,
    /// Append what is measured to this file, as JSON lines.
    #[arg(long, global = true, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Whom to measure; the first one is what the others are compared with.
    #[arg(long, global = true, value_enum, value_delimiter = ',')]
    peers: Option<Vec<Peer>>,
    /// How many interleaved rounds, or trials.
    #[arg(long, global = true)]
    rounds: Option<usize>,
    /// How long each measurement of throughput runs, in milliseconds.
    #[arg(long, global = true)]
    millis: Option<u64>,
    /// How many threads work at once.
    #[arg(long, global = true, value_delimiter = ',')]
    threads: Option<Vec<usize>>,
    /// How many sessions live, where that is asked for.
    #[arg(long, global = true, value_delimiter = ',')]
    sessions: Option<Vec<usize>>,
}

impl Common {
    fn pick<T>(&self, quick: T, full: T) -> T {
        if self.quick { quick } else { full }
    }

    /// The chosen ones among those who can be asked this.
    fn peers(&self, able: &[Peer]) -> Vec<Peer> {
        match &self.peers {
            Some(chosen) => chosen.iter().copied().filter(|peer| able.contains(peer)).collect(),
            None => able.to_vec(),
        }
    }

    fn rounds(&self, full: usize) -> usize {
        self.rounds.unwrap_or(self.pick(1, full)).max(1)
    }

    fn time(&self) -> Duration {
        Duration::from_millis(self.millis.unwrap_or(self.pick(5, 300)))
    }

    fn threads(&self, full: &[usize]) -> Vec<usize> {
        self.threads.clone().unwrap_or_else(|| self.pick(&[2][..], full).to_vec())
    }

    fn sessions(&self, quick: &[usize], full: &[usize]) -> Vec<usize> {
        self.sessions.clone().unwrap_or_else(|| self.pick(quick, full).to_vec())
    }
}

/// The questions.
#[derive(Subcommand, Clone)]
pub enum Command {
    /// Reads of a full store, by popularity and size.
    Reads(reads::Options),
    /// Reads and writes, in the mixes that other caches publish.
    Mixed(mixed::Options),
    /// Real traffic, from cold: look-ups, and insertions of what is missing.
    Traces(traces::Options),
    /// Insertions that evict.
    Inserts,
    /// Whole lives of sessions: create, ten touches, log out or expire.
    Life,
    /// Requested heap over key and value, with everything switched on.
    Memory(memory::Options),
    /// Deadline to destructor, with nobody calling.
    Lag(lag::Options),
    /// Reads while a million sessions expire at once.
    Storm,
    /// Processor time of expiring, and of having nothing to do.
    ExpireCost,
    /// The longest stop of any one operation, by its own processor time.
    Stops,
    /// Readers of a shard whose writer is stopped inside the lock.
    Blocked,
    /// All of the above.
    All,
    /// Writes tables and plots from files of JSON lines.
    Report {
        /// Files that `--json` has written.
        #[arg(required = true)]
        lines: Vec<PathBuf>,
        /// The Markdown to write; plots go to `plots/` beside it.
        #[arg(long, default_value = "../RESULTS.md")]
        results: PathBuf,
    },
}

impl Command {
    /// Asks the question.
    ///
    /// # Errors
    ///
    /// If the answer cannot be written down, or breaks a promise that no noise can break.
    pub fn run(&self, common: &Common, journal: &mut Journal) -> io::Result<()> {
        match self {
            Self::Reads(options) => reads::run(common, options, journal),
            Self::Mixed(options) => mixed::run(common, options, journal),
            Self::Traces(options) => traces::run(common, options, journal),
            Self::Inserts => inserts::run(common, journal),
            Self::Life => life::run(common, journal),
            Self::Memory(options) => memory::run(common, options, journal),
            Self::Lag(options) => lag::run(common, options, journal),
            Self::Storm => storm::run(common, journal),
            Self::ExpireCost => expire_cost::run(common, journal),
            Self::Stops => stops::run(common, journal),
            Self::Blocked => blocked::run(common, journal),
            Self::All => Self::all().iter().try_for_each(|command| command.run(common, journal)),
            Self::Report { lines, results } => report::write(lines, results),
        }
    }

    fn all() -> [Self; 11] {
        [
            Self::Reads(reads::Options::default()),
            Self::Mixed(mixed::Options::default()),
            Self::Traces(traces::Options::default()),
            Self::Inserts,
            Self::Life,
            Self::Lag(lag::Options::default()),
            Self::Storm,
            Self::ExpireCost,
            Self::Stops,
            Self::Blocked,
            Self::Memory(memory::Options::default()),
        ]
    }
}

/// A store that takes part, under which name, and how far it has come in its workload.
struct Contestant<K, V> {
    peer: Peer,
    store: AnyStore<K, V>,
    progress: Progress,
}

impl<K: Key, V: Clone + Send + Sync + 'static> Contestant<K, V> {
    fn new(peer: Peer, settings: &Settings) -> Self {
        Self { peer, store: peer.build(settings), progress: Progress::default() }
    }
}

fn peers_of<K, V>(contestants: &[Contestant<K, V>]) -> impl Iterator<Item = Peer> {
    contestants.iter().map(|contestant| contestant.peer)
}

/// Splits peers into groups whose stores fit into memory together. Each group has the first peer,
/// for whose sake all others are there.
fn groups<K: Key>(peers: &[Peer], sessions: usize, value_bytes: usize) -> Vec<Vec<Peer>> {
    let budget = report::available_bytes().map_or(usize::MAX, |bytes| bytes as usize / 4 * 3);
    let bytes = |peer: Peer| {
        sessions * (peer.planned_bytes() + size_of::<K>() + K::HEAP_BYTES + value_bytes)
    };
    let Some((&first, others)) = peers.split_first() else { return Vec::new() };
    let mut groups = vec![vec![first]];
    let mut used = bytes(first);
    for &peer in others {
        if used + bytes(peer) > budget && groups[groups.len() - 1].len() > 1 {
            groups.push(vec![first]);
            used = bytes(first);
        }
        used += bytes(peer);
        let last = groups.len() - 1;
        groups[last].push(peer);
    }
    groups
}

/// One row a contestant, compared with the first; the first of later groups is left out, for it has
/// been told of.
fn rate_rows(
    bench: &str,
    case: &[(&str, String)],
    peers: impl IntoIterator<Item = Peer>,
    rates: &[Vec<Rate>],
    is_first_group: bool,
) -> Vec<Row> {
    let ours = rounds::mops(&rates[0]);
    let mut rows = Vec::new();
    for (turn, (peer, rates)) in peers.into_iter().zip(rates).enumerate() {
        if turn == 0 && !is_first_group {
            continue;
        }
        let theirs = rounds::mops(rates);
        let ratio = (turn > 0).then(|| Spread::of_ratios(&ours, &theirs)).flatten();
        rows.push(
            Row::new(bench, case, peer)
                .compared("Mops/s", Spread::of(theirs), ratio)
                .figure("hits %", rounds::hits(rates)),
        );
    }
    rows
}
