//! Reads and writes, in the mixes that other caches publish.
//!
//! No draw is used twice by the same store: each round has new ones, drawn before it, the same for
//! all; and a round ends when they are used up, if time does not end it first. A row that came round
//! again would find in the store what it had left there: rare ids would be hits, and nothing would
//! have to leave for them.

use std::io;
use std::sync::Arc;

use clap::Args;

use super::{Common, Contestant, peers_of, rate_rows};
use crate::measure::{Progress, interleave_with, throughput};
use crate::peers::{Peer, Settings};
use crate::report::Journal;
use crate::workload::{BATCH, DRAWS, Key, Operation, Popularity, Shares, Verb, operations};

/// Which mixes.
#[derive(Args, Clone, Default)]
pub struct Options {
    /// Only mixes whose name contains this.
    #[arg(long)]
    only: Option<String>,
}

type Session = Arc<[u8; 64]>;

/// A published benchmark.
struct Mix {
    name: &'static str,
    /// How many sessions the store must hold.
    capacity: usize,
    /// How many different ids there are.
    ids: usize,
    popularity: Popularity,
    /// What each thread does; the threads take turns in choosing.
    roles: &'static [Shares],
    /// How many ids are inserted before the start.
    prefilled: usize,
    /// How many threads, if the benchmark says so.
    threads: Option<usize>,
    /// Whether it makes no sense in a store that keeps everything.
    evicts: bool,
}

pub(super) fn run(common: &Common, options: &Options, journal: &mut Journal) -> io::Result<()> {
    let only = options.only.as_deref().unwrap_or_default();
    for mut mix in mixes().into_iter().filter(|mix| mix.name.contains(only)) {
        let shrink = common.pick(50, 1);
        for size in [&mut mix.capacity, &mut mix.ids, &mut mix.prefilled] {
            *size = if *size > 1_000 { (*size / shrink).max(1_000) } else { *size };
        }
        measure(common, &mix, journal)?;
    }
    Ok(())
}

fn measure(common: &Common, mix: &Mix, journal: &mut Journal) -> io::Result<()> {
    let able: Vec<Peer> =
        Peer::CACHES_AND_MAPS.into_iter().filter(|peer| peer.evicts() || !mix.evicts).collect();
    let contestants: Vec<_> =
        common.peers(&able).into_iter().map(|peer| prefilled(peer, mix)).collect();
    if contestants.is_empty() {
        return Ok(());
    }
    if mix.evicts {
        warm_up(&contestants, mix);
    }
    let micros = common.time().as_micros() as usize;
    let mut draw = rows(mix, (micros * DRAWS_A_MICRO).max(DRAWS));
    let threads =
        mix.threads.map_or_else(|| common.threads(&[1, 2, 4, 8]), |threads| vec![threads]);
    for threads in threads {
        let rates =
            interleave_with(&contestants, common.rounds(7), &mut draw, |contestant, rows| {
                throughput(threads, common.time(), &Progress::default(), |thread, batch| {
                    let row = &rows[thread % rows.len()];
                    let operations = row.chunks(BATCH).nth(batch).unwrap_or_default();
                    let hits = contestant.store.run(operations, || Arc::new([0; 64]));
                    (operations.len(), hits)
                })
            });
        let case = [
            ("mix", mix.name.to_owned()),
            ("capacity", mix.capacity.to_string()),
            ("threads", threads.to_string()),
        ];
        journal.record(rate_rows("mixed", &case, peers_of(&contestants), &rates, true))?;
    }
    Ok(())
}

fn prefilled(peer: Peer, mix: &Mix) -> Contestant<u128, Session> {
    let contestant = Contestant::new(peer, &Settings::service(mix.capacity));
    for n in 0..mix.prefilled {
        contestant.store.insert(u128::nth(n), Arc::new([0; 64]));
    }
    contestant.store.settle();
    contestant
}

/// Has stores choose what to keep: afterwards the popular ids are in there, and no longer those
/// that were there first. It fills in misses, whatever the mix does, for where only a tenth inserts
/// the choice would take ten times as long.
fn warm_up(contestants: &[Contestant<u128, Session>], mix: &Mix) {
    let fill: Shares = &[(Verb::Fill, 1)];
    let row = operations(fill, mix.popularity, mix.ids, FILLS_A_PLACE * mix.capacity, 0);
    for contestant in contestants {
        for operations in row.chunks(BATCH) {
            contestant.store.run(operations, || Arc::new([0; 64]));
        }
        contestant.store.settle();
    }
}

/// Draws the operations of a round, a row for each role, and others each time.
fn rows(mix: &Mix, count: usize) -> impl FnMut() -> Vec<Vec<Operation<u128>>> {
    let count = count.min(MOST_DRAWS / mix.roles.len());
    let mut seeds = 1..;
    move || {
        let seeded = mix.roles.iter().zip(&mut seeds);
        seeded
            .map(|(shares, seed)| operations(shares, mix.popularity, mix.ids, count, seed))
            .collect()
    }
}

/// More than two cores do in a store that evicts; where more is done, rounds are shorter.
const DRAWS_A_MICRO: usize = 16;
/// What fits into 512 MiB.
const MOST_DRAWS: usize = (512 << 20) / size_of::<Operation<u128>>();
/// So many draws are of about as many ids as there are places, or of more: eight million of two
/// million by zipf 0.99 are of 1.03 million.
const FILLS_A_PLACE: usize = 8;

fn mixes() -> Vec<Mix> {
    let mut mixes = Vec::from(sessions());
    mixes.extend(caffeine());
    mixes.extend(tiny_ufo());
    mixes.extend(quick_cache());
    mixes.extend(conc_map_bench());
    mixes
}

/// Nine reads and an insertion, over twice as many ids as there is room for.
fn sessions() -> [Mix; 1] {
    [Mix {
        name: "90/10 with eviction",
        capacity: 1_000_000,
        ids: 2_000_000,
        popularity: Popularity::Zipf(0.99),
        roles: &[&[(Verb::Get, 9), (Verb::Insert, 1)]],
        prefilled: 1_000_000,
        threads: None,
        evicts: true,
    }]
}

/// GetPutBenchmark: 32,768 scrambled zipfian draws over a third as many items, twice the room.
fn caffeine() -> [Mix; 3] {
    let mix = |name, roles| Mix {
        name,
        capacity: 65_536,
        ids: 10_922,
        popularity: Popularity::Zipf(0.99),
        roles,
        prefilled: 10_922,
        threads: Some(8),
        evicts: false,
    };
    const READ: Shares = &[(Verb::Get, 1)];
    const WRITE: Shares = &[(Verb::Insert, 1)];
    [
        mix("Caffeine 8R", &[READ]),
        mix("Caffeine 6R+2W", &[READ, READ, READ, WRITE]),
        mix("Caffeine 8W", &[WRITE]),
    ]
}

/// bench_perf: reads of a hundred items, and misses filled in over ten times the room.
fn tiny_ufo() -> [Mix; 2] {
    let mix = |name, capacity, ids, exponent, roles, evicts| Mix {
        name,
        capacity,
        ids,
        popularity: Popularity::Zipf(exponent),
        roles,
        prefilled: ids.min(capacity),
        threads: None,
        evicts,
    };
    [
        mix("TinyUFO read", 110, 100, 1.03, &[&[(Verb::Get, 1)]], false),
        mix("TinyUFO mixed", 1_000, 10_000, 1.3, &[&[(Verb::Fill, 1)]], true),
    ]
}

/// Its criterion benchmark: misses are filled in, room for a tenth.
fn quick_cache() -> [Mix; 2] {
    let mix = |name, exponent| Mix {
        name,
        capacity: 100_000,
        ids: 1_000_000,
        popularity: Popularity::Zipf(exponent),
        roles: &[&[(Verb::Fill, 1)]],
        prefilled: 100_000,
        threads: None,
        evicts: true,
    };
    [mix("quick_cache zipf 0.5", 0.5), mix("quick_cache zipf 0.75", 0.75)]
}

/// conc-map-bench: uniform ids, three quarters of them there at the start. RapidGrow starts empty;
/// measured for a time, it ends where its insertions and removals balance.
fn conc_map_bench() -> [Mix; 3] {
    const IDS: usize = 1 << 20;
    let mix = |name, roles, prefilled| Mix {
        name,
        capacity: IDS,
        ids: IDS,
        popularity: Popularity::Uniform,
        roles,
        prefilled,
        threads: None,
        evicts: false,
    };
    [
        mix(
            "conc-map-bench ReadHeavy",
            &[&[(Verb::Get, 98), (Verb::Insert, 1), (Verb::Remove, 1)]],
            IDS / 4 * 3,
        ),
        mix(
            "conc-map-bench Exchange",
            &[&[(Verb::Get, 10), (Verb::Insert, 40), (Verb::Remove, 40), (Verb::Update, 10)]],
            IDS / 4 * 3,
        ),
        mix(
            "conc-map-bench RapidGrow",
            &[&[(Verb::Get, 5), (Verb::Insert, 80), (Verb::Remove, 5), (Verb::Update, 10)]],
            0,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_rounds_and_no_two_roles_have_the_same_draws() {
        let [.., mix] = caffeine();
        let mix = Mix { roles: &[&[(Verb::Get, 1)], &[(Verb::Get, 1)]], ..mix };
        let mut draw = rows(&mix, 1_000);
        let drawn: Vec<_> = [draw(), draw()].into_iter().flatten().collect();
        for (one, row) in drawn.iter().enumerate() {
            assert_eq!(row.len(), 1_000);
            for other in &drawn[..one] {
                let alike = row.iter().zip(other).filter(|(one, other)| one.key == other.key);
                assert!(alike.count() < 500);
            }
        }
    }

    #[test]
    fn a_warm_store_holds_what_is_popular_and_not_what_was_there_first() {
        let [_, mixed] = tiny_ufo();
        let contestant = prefilled(Peer::Sundown, &mixed);
        warm_up(std::slice::from_ref(&contestant), &mixed);
        let first = (0..mixed.prefilled).filter(|&n| contestant.store.get(&u128::nth(n)).is_some());
        assert!(first.count() < mixed.prefilled / 2);
        let popular = mixed.popularity.sample(mixed.ids, 1_000, 9);
        let popular =
            popular.into_iter().filter(|&n| contestant.store.get(&u128::nth(n)).is_some());
        assert!(popular.count() > 800);
    }
}
