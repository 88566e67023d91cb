//! The store's rules, on the manual clock; compiled once against each version.

#[allow(clippy::duplicate_mod, reason = "one source, compiled against each version")]
#[path = "anonymous_tests.rs"]
mod anonymous_tests;
#[allow(clippy::duplicate_mod, reason = "one source, compiled against each version")]
#[path = "dates_tests.rs"]
mod dates_tests;
#[allow(clippy::duplicate_mod, reason = "one source, compiled against each version")]
#[path = "ids_tests.rs"]
mod ids_tests;
#[allow(clippy::duplicate_mod, reason = "one source, compiled against each version")]
#[path = "principals_tests.rs"]
mod principals_tests;
#[allow(clippy::duplicate_mod, reason = "one source, compiled against each version")]
#[path = "saves_tests.rs"]
mod saves_tests;

use std::cell::Cell;
use std::sync::{Arc, Barrier, OnceLock};
use std::thread;
use std::time::Duration;

use pollster::block_on;

use super::super::framework::{Expiry, Session};
use super::super::restart_absolute_timeout;
use super::*;
use crate::adapters::descent::MEMORY_AGE;
use crate::error::Reason;
use crate::lifetime::LONGEST;
use crate::platform::clock::ManualClock;
use crate::reaper::Reaper;
use crate::removal::OnFull;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const SECOND_NS: i128 = 1_000_000_000;

fn builder(clock: &ManualClock) -> Builder<Id, Record> {
    Cache::builder().max_entries(1_000).clock(clock.clone()).reaper(Reaper::Manual)
}

fn store(clock: &ManualClock) -> SundownStore {
    SundownStore::new(builder(clock)).unwrap()
}

/// A record that ends so long after now.
fn record(left: Duration) -> Record {
    let session = Session::new(None, Arc::new(store(&ManualClock::new())), None);
    let now = session.expiry_date() - session.expiry_age();
    Record { id: Id::default(), data: [("n".into(), 1.into())].into(), expiry_date: now + left }
}

fn created(store: &impl SessionStore, left: Duration) -> Record {
    let mut record = record(left);
    block_on(store.create(&mut record)).unwrap();
    record
}

fn session(store: &SundownStore, id: Option<Id>) -> Session {
    Session::new(id, Arc::new(store.clone()), Some(Expiry::OnInactivity(HOUR.try_into().unwrap())))
}

#[track_caller]
fn refuses(outcome: Result<()>, refusal: Refusal) {
    let error = outcome.expect_err("this must be refused");
    assert_eq!(error.to_string(), Error::from(refusal).to_string());
}

/// A save of what has ended is no error, brings nothing back, and is counted.
#[track_caller]
fn leaves_out(store: &SundownStore, record: &Record) {
    let before = store.cache().stats().rejections.absent;
    block_on(store.save(record)).expect("it is no error");
    assert!(!is_live(store, &record.id));
    assert_eq!(store.cache().stats().rejections.absent, before + 1);
}

fn is_live(store: &impl SessionStore, id: &Id) -> bool {
    block_on(store.load(id)).unwrap().is_some()
}

#[test]
fn what_is_created_is_loaded_as_it_was() {
    let store = store(&ManualClock::new());
    let record = created(&store, HOUR);
    assert_eq!(block_on(store.load(&record.id)).unwrap(), Some(record));
}

#[test]
fn create_never_overwrites_a_live_id() {
    const THREADS: usize = 8;
    let store = store(&ManualClock::new());
    let (barrier, first) = (Barrier::new(THREADS), record(HOUR));
    let ids: Vec<Id> = thread::scope(|scope| {
        let creators: Vec<_> = (0..THREADS)
            .map(|n| {
                let (store, barrier, mut record) = (&store, &barrier, first.clone());
                record.data.insert("n".into(), n.into());
                scope.spawn(move || {
                    barrier.wait();
                    block_on(store.create(&mut record)).unwrap();
                    (record, n)
                })
            })
            .collect();
        let created = creators.into_iter().map(|creator| creator.join().unwrap());
        created
            .map(|(record, n)| {
                let loaded = block_on(store.load(&record.id)).unwrap().expect("it was created");
                assert_eq!(loaded.data["n"], n, "another session's data under this id");
                record.id
            })
            .collect()
    });
    assert!(!ids.contains(&first.id), "an id that the store has not drawn");
    assert_eq!(store.cache().len(), THREADS);
}

#[test]
fn bad_input_is_refused_and_nothing_is_lost() {
    use crate::error::Reason::{Closed, Full, TooHeavy};
    let builder = builder(&ManualClock::new()).max_weight(3).on_full(OnFull::Reject);
    let store = SundownStore::new(builder.weigher(|_, record| record.data.len() as u64)).unwrap();
    let good = created(&store, HOUR);
    let altered = |alter: &dyn Fn(&mut Record)| {
        let mut record = good.clone();
        alter(&mut record);
        record
    };
    let corrupt = altered(&|record| {
        record.data.insert(BIRTH_KEY.into(), "yesterday".into());
    });
    let heavy = altered(&|record| record.data.extend((0..9).map(|n| (n.to_string(), n.into()))));
    let refused = [(corrupt, Refusal::NoBirth), (heavy, Refusal::NotTaken(TooHeavy))];
    for (record, refusal) in refused {
        refuses(block_on(store.save(&record)), refusal);
        let mut new = Record { id: Id::default(), ..record };
        refuses(block_on(store.create(&mut new)), refusal);
        assert_eq!(block_on(store.load(&good.id)).unwrap().as_ref(), Some(&good), "{refusal}");
        assert_eq!(store.cache().len(), 1, "{refusal}");
    }
    created(&store, HOUR);
    created(&store, HOUR);
    refuses(block_on(store.create(&mut record(HOUR))), Refusal::NotTaken(Full));
    assert_eq!(store.cache().len(), 3);
    store.cache().close();
    refuses(block_on(store.create(&mut record(HOUR))), Refusal::NotTaken(Closed));
}

#[test]
fn nothing_prints_an_id_or_a_record() {
    let store = store(&ManualClock::new());
    let mut record = record(HOUR);
    record.data.insert("password".into(), "hunter2".into());
    block_on(store.create(&mut record)).unwrap();
    let live = format!("{store:?} {store:#?}");
    block_on(store.delete(&record.id)).unwrap();
    store.cache().close();
    let error = block_on(store.create(&mut record)).unwrap_err();
    let printed = format!("{live} {error} {error:?}");
    for secret in [record.id.to_string(), record.id.0.to_string(), "hunter2".into()] {
        assert!(!printed.contains(&secret), "{printed}");
    }
}

#[test]
fn a_cap_on_weight_alone_is_one_in_bytes() {
    let unbounded = || Cache::builder().clock(ManualClock::new()).reaper(Reaper::Manual);
    let too_heavy = Refusal::NotTaken(crate::error::Reason::TooHeavy);
    let store = SundownStore::new(unbounded().max_weight(10_000)).unwrap();
    let mut record = created(&store, HOUR);
    let told = store.cache().read(&record.id, record_bytes).unwrap() + size_of::<Id>() as u64;
    let overhead = store.cache().weight() - told;
    assert!((80..=120).contains(&overhead), "{overhead} bytes");
    record.data.insert("text".into(), "x".repeat(1_000).into());
    block_on(store.save(&record)).unwrap();
    let told = store.cache().read(&record.id, record_bytes).unwrap() + size_of::<Id>() as u64;
    assert_eq!(store.cache().weight(), told + overhead);
    record.data.insert("text".into(), "x".repeat(10_000).into());
    refuses(block_on(store.save(&record)), too_heavy);

    // A weigher of the caller replaces it.
    let store = SundownStore::new(unbounded().max_weight(10_000).weigher(|_, _| 7)).unwrap();
    created(&store, HOUR);
    assert_eq!(store.cache().weight(), 7);
    // And without a cap on weight, sessions are counted.
    let store = SundownStore::new(unbounded().max_entries(10)).unwrap();
    created(&store, HOUR);
    assert_eq!(store.cache().weight(), 1);
}

/// A session of a user who is logged in, with a basket.
fn logged_in(store: &SundownStore) -> Id {
    let login = session(store, None);
    block_on(login.insert("user", "ada")).unwrap();
    block_on(login.insert("cart", 7)).unwrap();
    block_on(login.save()).unwrap();
    login.id().unwrap()
}

/// A request that has loaded its session.
fn request(store: &SundownStore, id: Id) -> Session {
    let session = session(store, Some(id));
    block_on(session.get_value("user")).unwrap();
    session
}

fn get(session: &Session, name: &str) -> Option<serde_json::Value> {
    block_on(session.get_value(name)).unwrap()
}

fn is_logged_in(store: &SundownStore, request: &Session) -> bool {
    let Some(id) = request.id() else { return false };
    block_on(store.load(&id)).unwrap().is_some_and(|record| record.data.contains_key("user"))
}
