//! What the end of a session costs, from deadline to freed.

use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use sundown::{Cache, ManualClock, Reaper};

mod keys;

const SESSIONS: u64 = 100_000;

fn expiry(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("expiry");
    group.throughput(criterion::Throughput::Elements(SESSIONS));
    group.sample_size(20);
    group.bench_function("reap a storm", |bencher| {
        bencher.iter_batched(
            || {
                let clock = ManualClock::new();
                let cache = Cache::builder()
                    .max_entries(SESSIONS as usize)
                    .time_to_live(Duration::from_secs(60))
                    .clock(clock.clone())
                    .reaper(Reaper::Manual)
                    .build()
                    .expect("the settings are valid");
                for rank in 0..SESSIONS {
                    cache.insert(keys::key(rank), rank).expect("there is room");
                }
                clock.advance(Duration::from_secs(60));
                cache
            },
            |cache| {
                assert_eq!(cache.reap() as u64, SESSIONS);
                cache
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, expiry);
criterion_main!(benches);
