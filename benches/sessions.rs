//! What sessions cost over the cache: a look-up, a log-in, a new id, the end of all of a user's.
//!
//! `cargo bench --features sessions --bench sessions`

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use sha2::{Digest as _, Sha256};
use sundown::Cache;
use sundown::sessions::{OnLimit, SessionId, Sessions};

const SESSIONS: u64 = 1_000_000;

fn look_ups(criterion: &mut Criterion) {
    let sessions: Sessions<u64, [u64; 8]> = Sessions::builder()
        .max_entries(SESSIONS as usize)
        .time_to_idle(Duration::from_secs(1_800))
        .time_to_live(Duration::from_secs(43_200))
        .build()
        .expect("it builds");
    let ids: Vec<SessionId> = (0..SESSIONS)
        .map(|number| sessions.create_for(number, [number; 8]).expect("there is room"))
        .collect();
    let cache: Cache<u128, Arc<[u64; 8]>> = Cache::builder()
        .max_entries(SESSIONS as usize)
        .time_to_idle(Duration::from_secs(1_800))
        .time_to_live(Duration::from_secs(43_200))
        .build()
        .expect("it builds");
    let keys: Vec<u128> = (1..=u128::from(SESSIONS))
        .map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c))
        .collect();
    for (number, key) in keys.iter().enumerate() {
        cache.insert(*key, Arc::new([number as u64; 8])).expect("there is room");
    }
    let mut group = criterion.benchmark_group("look-up");
    for (name, span) in [("hot", 1_000), ("cold", SESSIONS as usize)] {
        let mut at = 0;
        let mut next = move || {
            at = (at + 7_919) % span;
            at
        };
        group.bench_function(format!("cache, {name}"), |bencher| {
            bencher.iter(|| black_box(cache.get(&keys[next()])));
        });
        group.bench_function(format!("sessions, {name}"), |bencher| {
            bencher.iter(|| black_box(sessions.get(&ids[next()])));
        });
    }
    group.bench_function("SHA-256 of 16 bytes", |bencher| {
        let bytes = [7_u8; 16];
        bencher.iter(|| black_box(Sha256::digest(black_box(bytes))));
    });
    group.finish();
}

fn changes(criterion: &mut Criterion) {
    let sessions: Sessions<u64, u64> = Sessions::builder()
        .max_entries(10_000_000)
        .time_to_live(Duration::from_secs(43_200))
        .max_per_principal(10, OnLimit::RevokeOldest)
        .build()
        .expect("it builds");
    let mut group = criterion.benchmark_group("change");
    let mut principal = 0;
    group.bench_function("create_for", |bencher| {
        bencher.iter(|| {
            principal = (principal + 1) % 100_000;
            black_box(sessions.create_for(principal, 0).expect("there is room"))
        });
    });
    group.bench_function("rotate", |bencher| {
        let mut id = sessions.create(0).expect("there is room");
        bencher.iter(|| id = sessions.rotate(&id).expect("it is live"));
    });
    group.bench_function("authenticate", |bencher| {
        bencher.iter_batched(
            || sessions.create(0).expect("there is room"),
            |id| {
                principal = (principal + 1) % 100_000;
                black_box(sessions.authenticate(&id, principal).expect("it is live"))
            },
            BatchSize::SmallInput,
        );
    });
    group.bench_function("revoke_all of ten", |bencher| {
        bencher.iter_batched(
            || (0..10).for_each(|_| _ = sessions.create_for(u64::MAX, 0)),
            |()| black_box(sessions.revoke_all(&u64::MAX)),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, look_ups, changes);
criterion_main!(benches);
