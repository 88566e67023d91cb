//! Writes: fresh insertions, replacements, evictions, a session's whole life, nine reads to a write.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use sundown::Cache;

mod keys;

const SESSIONS: usize = 100_000;

fn full() -> Cache<u128, u64> {
    let cache = Cache::builder()
        .max_entries(SESSIONS)
        .time_to_live(Duration::from_secs(8 * 3600))
        .time_to_idle(Duration::from_secs(1800))
        .build()
        .expect("the settings are valid");
    for rank in 0..SESSIONS as u64 {
        cache.insert(keys::key(rank), rank).expect("there is room");
    }
    cache
}

fn writes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mixed");
    let cache = full();
    let draws = keys::zipf(2 * SESSIONS, 0.99);
    let mut draws = draws.iter().cycle();
    let mut next = || draws.next().expect("a cycle does not end");
    let mut fresh = SESSIONS as u64;
    group.bench_function("insert, evicting", |bencher| {
        bencher.iter(|| {
            fresh += 1;
            cache.insert(keys::key(fresh), fresh).expect("there is room")
        });
    });
    group.bench_function("insert, replacing", |bencher| {
        bencher.iter(|| cache.insert(keys::key(fresh), fresh).expect("there is room"));
    });
    let mut turn = 0_u32;
    group.bench_function("9 reads to a write", |bencher| {
        bencher.iter(|| {
            turn += 1;
            let key = next();
            if turn % 10 == 0 {
                cache.insert(*key, 0).expect("there is room");
            } else {
                black_box(cache.get(key));
            }
        });
    });
    group.bench_function("a life: log in, 10 reads, log out", |bencher| {
        bencher.iter(|| {
            fresh += 1;
            let key = keys::key(fresh);
            cache.insert(key, fresh).expect("there is room");
            for _ in 0..10 {
                black_box(cache.get(&key));
            }
            cache.discard(&key)
        });
    });
    group.finish();
}

criterion_group!(benches, writes);
criterion_main!(benches);
