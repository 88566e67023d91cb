//! Reads beside plain maps: one process, rounds interleaved, medians of ratios.
//!
//! `cargo run --release -- --sessions 1000000 --threads 1,2`

use std::hash::BuildHasher;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use clap::Parser;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, Zipf};

type Key = u128;
type Value = Arc<[u8; 64]>;

/// Measures reads of sundown beside dashmap.
#[derive(Parser)]
struct Options {
    /// Live sessions.
    #[arg(long, default_value_t = 1_000_000)]
    sessions: usize,
    /// Thread counts to measure.
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    threads: Vec<usize>,
    /// The exponent of the Zipf distribution of keys; 0 for uniform.
    #[arg(long, default_value_t = 0.99)]
    zipf: f64,
    /// Interleaved rounds.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// How long each measurement runs, in milliseconds.
    #[arg(long, default_value_t = 500)]
    millis: u64,
}

trait Peer: Send + Sync {
    fn name(&self) -> &'static str;
    fn get(&self, key: &Key) -> Option<Value>;
}

struct Sundown(sundown::Cache<Key, Value>);
struct DashMap(dashmap::DashMap<Key, Value, ahash::RandomState>);

impl Peer for Sundown {
    fn name(&self) -> &'static str {
        "sundown"
    }
    fn get(&self, key: &Key) -> Option<Value> {
        self.0.get(key)
    }
}

impl Peer for DashMap {
    fn name(&self) -> &'static str {
        "dashmap"
    }
    fn get(&self, key: &Key) -> Option<Value> {
        self.0.get(key).map(|value| value.clone())
    }
}

fn main() {
    let options = Options::parse();
    let keys: Vec<Key> = {
        let mut random = SmallRng::seed_from_u64(1);
        (0..options.sessions).map(|_| random.random()).collect()
    };
    let draws = draws(&options, &keys);
    let cache = sundown::Cache::builder()
        .max_entries(options.sessions)
        .time_to_live(Duration::from_secs(8 * 3600))
        .time_to_idle(Duration::from_secs(1800))
        .build()
        .expect("the settings are valid");
    let map = dashmap::DashMap::with_hasher(ahash::RandomState::new());
    for key in &keys {
        cache.insert(*key, Arc::new([0; 64])).expect("there is room");
        map.insert(*key, Arc::new([0; 64]));
    }
    let peers: [Box<dyn Peer>; 2] = [Box::new(Sundown(cache)), Box::new(DashMap(map))];
    for &threads in &options.threads {
        let mut rates: Vec<Vec<f64>> = vec![Vec::new(); peers.len()];
        for _ in 0..options.rounds {
            for (peer, rates) in peers.iter().zip(&mut rates) {
                rates.push(measure(&**peer, &draws, threads, options.millis));
            }
        }
        for (peer, peer_rates) in peers.iter().zip(&rates) {
            let mut ratios: Vec<f64> =
                rates[0].iter().zip(peer_rates).map(|(ours, theirs)| ours / theirs).collect();
            println!(
                "{threads} threads  {:8}  {:6.2} Mops/s  sundown is {:.2}x ({:.2} to {:.2})",
                peer.name(),
                median(&mut peer_rates.clone()) / 1e6,
                median(&mut ratios),
                ratios.first().copied().unwrap_or_default(),
                ratios.last().copied().unwrap_or_default(),
            );
        }
    }
}

/// A long row of keys, drawn ahead so that drawing is not measured.
fn draws(options: &Options, keys: &[Key]) -> Vec<Key> {
    let mut random = SmallRng::seed_from_u64(2);
    let scramble = ahash::RandomState::with_seeds(1, 2, 3, 4);
    let zipf = Zipf::new(keys.len() as f64, options.zipf.max(1e-9)).expect("a valid exponent");
    (0..1 << 21)
        .map(|_| {
            let rank = zipf.sample(&mut random) as u64;
            keys[(scramble.hash_one(rank) % keys.len() as u64) as usize]
        })
        .collect()
}

fn measure(peer: &dyn Peer, draws: &[Key], threads: usize, millis: u64) -> f64 {
    let barrier = Barrier::new(threads);
    let rates: f64 = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let barrier = &barrier;
                scope.spawn(move || {
                    let mut at = thread * draws.len() / threads;
                    barrier.wait();
                    let start = Instant::now();
                    let mut reads = 0_u64;
                    while start.elapsed() < Duration::from_millis(millis) {
                        for _ in 0..1_024 {
                            std::hint::black_box(peer.get(&draws[at]));
                            at = (at + 1) % draws.len();
                        }
                        reads += 1_024;
                    }
                    reads as f64 / start.elapsed().as_secs_f64()
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("a reader does not panic")).sum()
    });
    rates
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
