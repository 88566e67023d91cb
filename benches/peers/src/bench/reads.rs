//! Reads of a full store.

use std::io;
use std::sync::Arc;

use clap::Args;

use super::{Common, Contestant, groups, peers_of, rate_rows};
use crate::measure::{Rate, Spread, interleave, throughput};
use crate::peers::{Peer, Settings};
use crate::report::{Journal, Row};
use crate::workload::{BATCH, DRAWS, Key, KeyKind, Popularity, draws, piece};

/// What is read.
#[derive(Args, Clone, Default)]
pub struct Options {
    /// The kinds of keys.
    #[arg(long, value_enum, value_delimiter = ',')]
    keys: Option<Vec<KeyKind>>,
    /// The exponents of the Zipf distributions; 0 is uniform.
    #[arg(long, value_delimiter = ',')]
    zipf: Option<Vec<f64>>,
}

type Session = Arc<[u8; 64]>;

/// What each size cost, for the factor of growth.
struct Cost {
    case: (&'static str, Popularity, usize),
    sessions: usize,
    peer: Peer,
    rates: Vec<Rate>,
}

pub(super) fn run(common: &Common, options: &Options, journal: &mut Journal) -> io::Result<()> {
    let default = [KeyKind::U128, KeyKind::String];
    let kinds = options.keys.clone().unwrap_or_else(|| default.to_vec());
    let mut costs = Vec::new();
    for kind in kinds {
        for sessions in common.sessions(&[2_000], &[1_000, 10_000, 20_000, 1_000_000, 10_000_000]) {
            match kind {
                KeyKind::U128 => reads::<u128>(common, options, sessions, &mut costs, journal)?,
                KeyKind::String => reads::<String>(common, options, sessions, &mut costs, journal)?,
            }
        }
    }
    let rows = growth(&costs);
    if rows.is_empty() { Ok(()) } else { journal.record(rows) }
}

fn reads<K: Key>(
    common: &Common,
    options: &Options,
    sessions: usize,
    costs: &mut Vec<Cost>,
    journal: &mut Journal,
) -> io::Result<()> {
    let popularities: Vec<Popularity> = match &options.zipf {
        Some(exponents) => exponents.iter().map(|&exponent| popularity(exponent)).collect(),
        None => vec![Popularity::Zipf(0.99), Popularity::Uniform],
    };
    let peers = common.peers(&Peer::CACHES_AND_MAPS);
    for (group, peers) in groups::<K>(&peers, sessions, VALUE_BYTES).iter().enumerate() {
        let contestants: Vec<_> = peers.iter().map(|&peer| full::<K>(peer, sessions)).collect();
        for &popularity in &popularities {
            // A row that misses most sessions would have those it hits stay in a large cache. Half as
            // many draws as there are uniform sessions reach two fifths of them.
            let row: Vec<K> = draws(popularity, sessions, DRAWS.max(sessions / 2), 1);
            for threads in common.threads(&[1, 2, 4, 8]) {
                let rates = interleave(&contestants, common.rounds(7), |contestant| {
                    throughput(threads, common.time(), &contestant.progress, |_, batch| {
                        (BATCH, contestant.store.read(piece(&row, batch)))
                    })
                });
                let case = [
                    ("keys", K::NAME.to_owned()),
                    ("popularity", popularity.to_string()),
                    ("sessions", sessions.to_string()),
                    ("threads", threads.to_string()),
                ];
                journal.record(rate_rows(
                    "reads",
                    &case,
                    peers_of(&contestants),
                    &rates,
                    group == 0,
                ))?;
                for (contestant, rates) in
                    contestants.iter().zip(rates).skip(usize::from(group > 0))
                {
                    let case = (K::NAME, popularity, threads);
                    costs.push(Cost { case, sessions, peer: contestant.peer, rates });
                }
            }
        }
    }
    Ok(())
}

fn popularity(exponent: f64) -> Popularity {
    if exponent == 0.0 { Popularity::Uniform } else { Popularity::Zipf(exponent) }
}

fn full<K: Key>(peer: Peer, sessions: usize) -> Contestant<K, Session> {
    let contestant = Contestant::new(peer, &Settings::service(sessions));
    for n in 0..sessions {
        contestant.store.insert(K::nth(n), Arc::new([0; 64]));
    }
    contestant.store.settle();
    contestant
}

/// How much dearer a read is in the largest store than in one of about ten thousand.
fn growth(costs: &[Cost]) -> Vec<Row> {
    let Some(largest) = costs.iter().map(|cost| cost.sessions).max() else { return Vec::new() };
    let small = |cost: &&Cost| cost.sessions == SMALL;
    let mut rows = Vec::new();
    for cost in costs.iter().filter(small).filter(|_| largest > SMALL) {
        let large = costs.iter().find(|large| {
            large.sessions == largest && large.case == cost.case && large.peer == cost.peer
        });
        let Some(large) = large else { continue };
        let factors = cost.rates.iter().zip(&large.rates);
        let factors = factors.map(|(small, large)| small.per_second / large.per_second);
        let case = [
            ("keys", cost.case.0.to_owned()),
            ("popularity", cost.case.1.to_string()),
            ("threads", cost.case.2.to_string()),
            ("from", SMALL.to_string()),
            ("to", largest.to_string()),
        ];
        rows.push(
            Row::new("growth", &case, cost.peer).figure("times as dear", Spread::of(factors)),
        );
    }
    rows
}

/// An `Arc`, its counts and the 64 bytes behind it.
const VALUE_BYTES: usize = 88;
/// Fits into the nearer caches; where the factor of growth starts.
const SMALL: usize = 10_000;
