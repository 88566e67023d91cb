//! What it costs to know who holds a session: a handle taken and let go, as an `Arc`, as a `Tracked`
//! that nobody tracks, and as one whose places are noted; and what it costs a cache that tracks.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use sundown::{Cache, Handle, Tracked};

const MINUTE: Duration = Duration::from_secs(60);

fn plain<V: Send + Sync + 'static>() -> Cache<u64, V> {
    Cache::builder().max_entries(100_000).build().expect("the settings are valid")
}

fn tracking<V: Handle>() -> Cache<u64, V> {
    let builder = Cache::builder().max_entries(100_000).track_overstays(MINUTE);
    builder.build().expect("the settings are valid")
}

fn session() -> Tracked<[u8; 64]> {
    Tracked::new([0; 64])
}

fn clone_and_drop(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("clone and drop");
    let arc = Arc::new([0_u8; 64]);
    group.bench_function("Arc", |bencher| bencher.iter(|| drop(black_box(arc.clone()))));
    let outside = session();
    group.bench_function("Tracked, made outside", |bencher| {
        bencher.iter(|| drop(black_box(outside.clone())));
    });
    let cache = plain();
    cache.insert(1, session()).expect("there is room");
    let untracked = cache.get(&1).expect("it is in");
    group.bench_function("Tracked, in a cache that does not track", |bencher| {
        bencher.iter(|| drop(black_box(untracked.clone())));
    });
    let cache = tracking();
    cache.insert(1, session()).expect("there is room");
    let tracked = cache.get(&1).expect("it is in");
    group.bench_function("Tracked, places noted", |bencher| {
        bencher.iter(|| drop(black_box(tracked.clone())));
    });
    // As if held from seven other places.
    let held = [cache.get(&1), cache.get(&1), cache.get(&1)];
    let more = [cache.peek(&1), cache.peek(&1), cache.peek(&1)];
    group.bench_function("Tracked, the eighth place", |bencher| {
        bencher.iter(|| drop(black_box(tracked.clone())));
    });
    drop((held, more));
    group.finish();
}

fn caches(criterion: &mut Criterion) {
    measure(criterion, "Arc", plain(), || Arc::new([0_u8; 64]));
    measure(criterion, "Arc, tracking", tracking(), || Arc::new([0_u8; 64]));
    measure(criterion, "Tracked", plain(), session);
    measure(criterion, "Tracked, tracking", tracking(), session);
}

fn measure<V: Clone + Send + Sync + 'static>(
    criterion: &mut Criterion,
    name: &str,
    cache: Cache<u64, V>,
    make: impl Fn() -> V,
) {
    for key in 0..10_000 {
        cache.insert(key, make()).expect("there is room");
    }
    let mut keys = (0..10_000).cycle();
    let mut next = || keys.next().expect("a cycle does not end");
    let mut group = criterion.benchmark_group("caches");
    group.bench_function(BenchmarkId::new("get", name), |bencher| {
        bencher.iter(|| black_box(cache.get(&next())));
    });
    group.bench_function(BenchmarkId::new("insert that replaces", name), |bencher| {
        bencher.iter_batched(
            || (next(), make()),
            |(key, session)| cache.insert(key, session).is_ok(),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, clone_and_drop, caches);
criterion_main!(benches);
