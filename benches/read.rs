//! Reads of a full cache: hits by key popularity, misses, and what a closure costs over a clone.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use sundown::Cache;

mod keys;

type Sessions = Cache<u128, Arc<[u8; 64]>>;

fn full(sessions: usize) -> (Sessions, Vec<u128>) {
    let cache = Cache::builder()
        .max_entries(sessions)
        .time_to_live(Duration::from_secs(8 * 3600))
        .time_to_idle(Duration::from_secs(1800))
        .build()
        .expect("the settings are valid");
    for rank in 0..sessions {
        cache.insert(keys::key(rank as u64), Arc::new([0; 64])).expect("there is room");
    }
    (cache, keys::zipf(sessions, 0.99))
}

fn reads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read");
    for sessions in [20_000, 1_000_000] {
        let (cache, draws) = full(sessions);
        let mut draws = draws.iter().cycle();
        let mut next = || draws.next().expect("a cycle does not end");
        group.bench_function(BenchmarkId::new("get", sessions), |bencher| {
            bencher.iter(|| black_box(cache.get(next())));
        });
        group.bench_function(BenchmarkId::new("read", sessions), |bencher| {
            bencher.iter(|| cache.read(next(), |session| black_box(session[0])));
        });
        group.bench_function(BenchmarkId::new("contains_key", sessions), |bencher| {
            bencher.iter(|| black_box(cache.contains_key(next())));
        });
        group.bench_function(BenchmarkId::new("miss", sessions), |bencher| {
            bencher.iter(|| black_box(cache.get(&!next())));
        });
    }
    group.finish();
}

criterion_group!(benches, reads);
criterion_main!(benches);
