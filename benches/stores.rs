//! What a request costs a store for tower-sessions: a load, a save, a new id; beside what the cache
//! alone takes to clone and to replace a record.

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use pollster::block_on;
use sundown::tower_sessions_0_15::SundownStore;
use sundown::{Cache, Lifetime};
use tower_sessions_core_0_15::SessionStore;
use tower_sessions_core_0_15::session::{Id, Record};

const SESSIONS: usize = 10_000;

fn store() -> (SundownStore, Vec<Id>) {
    let builder = Cache::builder().max_entries(2 * SESSIONS);
    let builder = builder.time_to_live(Duration::from_secs(8 * 3_600));
    let store = SundownStore::new(builder).expect("the settings are valid");
    let create = |n: usize| {
        let expiry_date = std::time::SystemTime::now() + Duration::from_secs(3_600);
        let data = [("user", n), ("cart", n), ("theme", 1)];
        let data = data.map(|(name, value)| (name.to_owned(), value.into())).into();
        let mut record = Record { id: Id::default(), data, expiry_date: expiry_date.into() };
        block_on(store.create(&mut record)).expect("there is room");
        record.id
    };
    let ids = (0..SESSIONS).map(create).collect();
    (store, ids)
}

fn stores(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("stores");
    let (store, ids) = store();
    let mut turn = 0;
    let mut next = || {
        turn += 1;
        ids[turn * 7_919 % ids.len()]
    };
    group.bench_function("the cache's clone", |bencher| {
        bencher.iter(|| store.cache().read(&next(), Record::clone));
    });
    group.bench_function("load", |bencher| bencher.iter(|| block_on(store.load(&next()))));
    group.bench_function("the cache's clone and replace", |bencher| {
        bencher.iter(|| {
            let record = store.cache().read(&next(), Record::clone).expect("it is live");
            store.cache().replace(record.id, record, Lifetime::default())
        });
    });
    let load = |id| block_on(store.load(&id)).ok().flatten().expect("it is live");
    group.bench_function("load and save unchanged", |bencher| {
        bencher.iter(|| block_on(store.save(&load(next()))));
    });
    let mut value = 0;
    group.bench_function("load, change and save", |bencher| {
        bencher.iter(|| {
            let mut record = load(next());
            value += 1;
            record.data.insert("cart".to_owned(), value.into());
            block_on(store.save(&record))
        });
    });
    group.bench_function("load and change side by side, save both", |bencher| {
        bencher.iter(|| {
            let id = next();
            let (mut one, mut two) = (load(id), load(id));
            value += 1;
            one.data.insert("cart".to_owned(), value.into());
            two.data.insert("theme".to_owned(), value.into());
            block_on(store.save(&one)).and(block_on(store.save(&two)))
        });
    });
    let mut id = next();
    group.bench_function("load, delete and create: a new id", |bencher| {
        bencher.iter(|| {
            let mut record = load(id);
            block_on(store.delete(&id)).and(block_on(store.create(&mut record))).expect("room");
            id = record.id;
        });
    });
    group.finish();
}

criterion_group!(benches, stores);
criterion_main!(benches);
