//! The store's rules, on the manual clock; compiled once against each version.

use std::cell::Cell;
use std::sync::{Arc, Barrier, OnceLock};
use std::thread;
use std::time::Duration;

use pollster::block_on;

use super::super::framework::{CachingSessionStore, Expiry, Session};
use super::*;
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
    assert_eq!(ids.iter().filter(|&&id| id == first.id).count(), 1);
    assert_eq!(store.cache().len(), THREADS);
}

#[test]
fn create_in_front_of_a_store_keeps_the_id_or_fails() {
    let store = SundownStore::caching(builder(&ManualClock::new())).unwrap();
    let first = created(&store, HOUR);
    let mut second = record(HOUR);
    second.id = first.id;
    second.data.clear();
    refuses(block_on(store.create(&mut second)), Refusal::Taken);
    assert_eq!(block_on(store.load(&first.id)).unwrap(), Some(first));
}

#[test]
fn a_session_ends_at_its_expiry_date() {
    let clock = ManualClock::new();
    let store = store(&clock);
    let mut record = created(&store, MINUTE);
    clock.advance(MINUTE - Duration::from_secs(5));
    assert!(is_live(&store, &record.id));
    // Ten minutes from the real now, which has hardly moved; so 10 minutes from here.
    record.expiry_date += 9 * MINUTE;
    block_on(store.save(&record)).unwrap();
    clock.advance(10 * MINUTE - Duration::from_secs(5));
    assert!(is_live(&store, &record.id));
    clock.advance(Duration::from_secs(5));
    assert!(!is_live(&store, &record.id));
    refuses(block_on(store.save(&record)), Refusal::Ended);
    block_on(store.delete_expired()).unwrap();
    assert_eq!(store.cache().len(), 0);
}

thread_local! {
    static WALL_NS: Cell<i128> = const { Cell::new(0) };
}

/// A store whose wall clock the test sets.
fn store_by_the_wall(builder: Builder<Id, Record>, wall_ns: i128) -> SundownStore {
    WALL_NS.set(wall_ns);
    SundownStore::by_wall(builder, || WALL_NS.get()).unwrap()
}

#[test]
fn a_step_of_the_wall_clock_moves_no_deadline() {
    let now = record(Duration::ZERO);
    let now_ns = now.expiry_date.unix_timestamp_nanos();
    for step_s in [-86_400, -30, 30, 86_400] {
        let clock = ManualClock::new();
        let store = store_by_the_wall(builder(&clock), now_ns);
        let mut record = Record { expiry_date: now.expiry_date + MINUTE, ..now.clone() };
        block_on(store.create(&mut record)).unwrap();
        WALL_NS.set(now_ns + step_s * SECOND_NS);
        clock.advance(MINUTE - Duration::from_nanos(1));
        assert!(is_live(&store, &record.id), "lost by a step of {step_s} s");
        clock.advance(Duration::from_nanos(1));
        assert!(!is_live(&store, &record.id), "kept by a step of {step_s} s");
    }
}

#[test]
fn a_session_saved_after_a_step_goes_by_the_new_wall_clock() {
    let now = record(Duration::ZERO);
    let now_ns = now.expiry_date.unix_timestamp_nanos();
    let clock = ManualClock::new();
    let store = store_by_the_wall(builder(&clock), now_ns);
    let mut record = Record { expiry_date: now.expiry_date + MINUTE, ..now };
    block_on(store.create(&mut record)).unwrap();
    WALL_NS.set(now_ns + 3_600 * SECOND_NS);
    record.expiry_date += HOUR;
    block_on(store.save(&record)).unwrap();
    clock.advance(MINUTE - Duration::from_nanos(1));
    assert!(is_live(&store, &record.id));
    clock.advance(Duration::from_nanos(1));
    assert!(!is_live(&store, &record.id));
}

#[test]
fn a_step_of_the_wall_clock_moves_no_absolute_deadline_either() {
    let now = record(Duration::ZERO);
    let now_ns = now.expiry_date.unix_timestamp_nanos();
    for step_s in [-86_400, 86_400] {
        let clock = ManualClock::new();
        let store = store_by_the_wall(builder(&clock).time_to_live(HOUR), now_ns);
        let mut record = Record { expiry_date: now.expiry_date + 2 * HOUR, ..now.clone() };
        block_on(store.create(&mut record)).unwrap();
        clock.advance(HOUR / 2);
        WALL_NS.set(now_ns + (1_800 + step_s) * SECOND_NS);
        block_on(store.delete(&record.id)).unwrap();
        record.id = Id::default();
        record.expiry_date = now.expiry_date + Duration::from_secs(2 * 86_400);
        block_on(store.create(&mut record)).unwrap();
        clock.advance(HOUR / 2 - Duration::from_millis(1));
        assert!(is_live(&store, &record.id), "lost by a step of {step_s} s");
        clock.advance(Duration::from_millis(1));
        assert!(!is_live(&store, &record.id), "kept by a step of {step_s} s");
    }
}

#[test]
fn the_time_to_live_caps_the_expiry_date_from_creation_on() {
    let clock = ManualClock::new();
    let store = SundownStore::new(builder(&clock).time_to_live(HOUR)).unwrap();
    let mut record = created(&store, 24 * HOUR);
    for _ in 0..5 {
        clock.advance(10 * MINUTE);
        // As after `Session::clear`: what the record knows of its creation is gone too.
        record.data.clear();
        block_on(store.save(&record)).unwrap();
    }
    clock.advance(10 * MINUTE - Duration::from_millis(1));
    assert!(is_live(&store, &record.id));
    clock.advance(Duration::from_millis(1));
    assert!(!is_live(&store, &record.id));
}

#[test]
fn cycling_the_id_does_not_reset_the_absolute_deadline() {
    let clock = ManualClock::new();
    let store = SundownStore::new(builder(&clock).time_to_live(HOUR)).unwrap();
    let first = session(&store, None);
    block_on(first.insert("user", "ada")).unwrap();
    block_on(first.save()).unwrap();
    let mut id = first.id().unwrap();
    for _ in 0..5 {
        clock.advance(10 * MINUTE);
        let request = session(&store, Some(id));
        block_on(request.cycle_id()).unwrap();
        block_on(request.save()).unwrap();
        assert_ne!(request.id(), Some(id));
        assert!(!is_live(&store, &id), "the old id still works");
        id = request.id().unwrap();
        assert_eq!(block_on(request.get("user")).unwrap(), Some("ada".to_owned()));
    }
    let slow = session(&store, Some(id));
    assert!(block_on(slow.get::<String>("user")).unwrap().is_some());
    clock.advance(10 * MINUTE);
    assert!(!is_live(&store, &id), "cycling has bought time");
    block_on(slow.cycle_id()).unwrap();
    let late = block_on(slow.save()).unwrap_err();
    assert_eq!(late.to_string(), Error::from(Refusal::LivedOut).to_string());
}

#[test]
fn the_time_to_idle_starts_anew_with_each_load() {
    let clock = ManualClock::new();
    let store = SundownStore::new(builder(&clock).time_to_idle(10 * MINUTE)).unwrap();
    let record = created(&store, HOUR);
    for _ in 0..4 {
        clock.advance(9 * MINUTE);
        assert!(is_live(&store, &record.id));
    }
    clock.advance(10 * MINUTE);
    assert!(!is_live(&store, &record.id));
}

#[test]
fn a_late_save_does_not_bring_a_session_back() {
    let clock = ManualClock::new();
    let store = SundownStore::new(builder(&clock).max_entries(2)).unwrap();
    let deleted = created(&store, HOUR);
    block_on(store.delete(&deleted.id)).unwrap();
    let (expired, evicted) = (created(&store, MINUTE), created(&store, HOUR));
    clock.advance(MINUTE);
    for _ in 0..2 {
        created(&store, HOUR);
    }
    for late in [deleted, expired, evicted, record(HOUR)] {
        refuses(block_on(store.save(&late)), Refusal::Ended);
        assert!(!is_live(&store, &late.id));
    }
}

#[test]
fn a_slow_request_does_not_log_the_user_in_again() {
    let store = store(&ManualClock::new());
    let login = session(&store, None);
    block_on(login.insert("user", "ada")).unwrap();
    block_on(login.save()).unwrap();
    let (slow, logout) = (session(&store, login.id()), session(&store, login.id()));
    block_on(slow.insert("cart", 7)).unwrap();
    block_on(logout.flush()).unwrap();
    assert!(block_on(slow.save()).is_err());
    assert!(!is_live(&store, &login.id().unwrap()));
    // Nor does one that never loaded it, with an id that the store did not make.
    let forged = session(&store, Some(Id::default()));
    block_on(forged.clear());
    assert!(block_on(forged.save()).is_err());
    assert!(store.cache().is_empty());
}

/// A store whose session is deleted in the very middle of the next save: after every look at what
/// is live, before anything is put in.
fn store_that_deletes_in_the_middle(
    make: fn(Builder<Id, Record>) -> std::result::Result<SundownStore, BuildError>,
) -> (SundownStore, Record, Arc<OnceLock<SundownStore>>) {
    let deleter: Arc<OnceLock<SundownStore>> = Arc::default();
    let inner = deleter.clone();
    let builder = builder(&ManualClock::new()).weigher(move |id, _| {
        if let Some(store) = inner.get() {
            block_on(store.delete(id)).unwrap();
        }
        1
    });
    let store = make(builder).unwrap();
    let record = created(&store, HOUR);
    (store, record, deleter)
}

#[test]
fn a_save_that_a_deletion_overtakes_does_not_bring_the_session_back() {
    for make in [SundownStore::new, SundownStore::caching] {
        let (store, record, deleter) = store_that_deletes_in_the_middle(make);
        deleter.set(store.clone()).unwrap();
        refuses(block_on(store.save(&record)), Refusal::Ended);
        assert!(!is_live(&store, &record.id));
        assert!(store.cache().is_empty(), "hidden, but kept");
    }
}

#[test]
fn what_a_cache_has_deleted_stays_deleted() {
    let clock = ManualClock::new();
    let store = SundownStore::caching(builder(&clock)).unwrap();
    let (known, unknown) = (created(&store, 3 * HOUR), record(3 * HOUR));
    for record in [&known, &unknown] {
        block_on(store.delete(&record.id)).unwrap();
        for _ in 0..3 {
            refuses(block_on(store.save(record)), Refusal::Ended);
            assert!(!is_live(&store, &record.id));
            clock.advance(TOMBSTONE_AGE / 4);
        }
        clock.advance(TOMBSTONE_AGE);
    }
    // The limit of its memory: what was deleted over an hour ago.
    block_on(store.save(&known)).unwrap();
    block_on(store.delete_expired()).unwrap();
    assert_eq!(store.tombstones.map(|tombstones| tombstones.len()), Some(0));
}

#[test]
fn a_load_does_not_show_what_a_save_under_way_has_put_back() {
    let store = SundownStore::caching(builder(&ManualClock::new())).unwrap();
    let record = created(&store, HOUR);
    block_on(store.delete(&record.id)).unwrap();
    // As a save does before it looks for a tombstone.
    store.sessions.insert(record.id, record.clone()).unwrap();
    assert!(!is_live(&store, &record.id));
}

#[test]
fn a_cache_fills_from_the_store_behind_it() {
    let clock = ManualClock::new();
    let behind = store(&clock);
    let cache = SundownStore::caching(builder(&clock).max_entries(1)).unwrap();
    let both = CachingSessionStore::new(cache.clone(), behind.clone());
    let (mut one, two) = (created(&both, HOUR), created(&both, HOUR));
    assert_eq!(block_on(both.load(&one.id)).unwrap(), Some(one.clone()));
    assert!(is_live(&cache, &one.id) && !is_live(&cache, &two.id));
    one.data.insert("n".into(), 2.into());
    block_on(both.save(&one)).unwrap();
    assert_eq!(block_on(behind.load(&one.id)).unwrap(), Some(one.clone()));
    block_on(both.delete(&one.id)).unwrap();
    assert!(!is_live(&both, &one.id) && is_live(&both, &two.id));
    assert!(block_on(both.save(&one)).is_err());
    assert!(!is_live(&both, &one.id));
}

#[test]
fn a_cache_does_not_show_what_it_could_not_renew() {
    let cache = SundownStore::caching(
        builder(&ManualClock::new())
            .max_weight(10)
            .weigher(|_, record: &Record| record.data.len() as u64),
    )
    .unwrap();
    let mut record = created(&cache, HOUR);
    record.data.extend((0..11).map(|n| (n.to_string(), n.into())));
    let too_heavy = Refusal::NotTaken(crate::error::Reason::TooHeavy);
    refuses(block_on(cache.save(&record)), too_heavy);
    assert!(!is_live(&cache, &record.id), "the store behind has a newer one");
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
    let overlong =
        altered(&|record| record.expiry_date = record.expiry_date.replace_year(9999).unwrap());
    let corrupt = altered(&|record| {
        record.data.insert(BIRTH_KEY.into(), "yesterday".into());
    });
    let heavy = altered(&|record| record.data.extend((0..9).map(|n| (n.to_string(), n.into()))));
    let refused = [
        (overlong, Refusal::Overlong),
        (corrupt, Refusal::NoBirth),
        (heavy, Refusal::NotTaken(TooHeavy)),
    ];
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
fn an_expiry_date_in_the_past_ends_the_session() {
    for make in [SundownStore::new, SundownStore::caching] {
        let store = make(builder(&ManualClock::new())).unwrap();
        let mut live = created(&store, HOUR);
        live.expiry_date -= 2 * HOUR;
        refuses(block_on(store.save(&live)), Refusal::Past);
        assert!(!is_live(&store, &live.id));
        refuses(block_on(store.create(&mut live)), Refusal::Past);
        assert!(store.cache().is_empty());
    }
}

#[test]
fn a_birth_in_the_future_buys_no_time() {
    let clock = ManualClock::new();
    let store = SundownStore::new(builder(&clock).time_to_live(HOUR)).unwrap();
    let mut record = record(24 * HOUR);
    record.data.insert(BIRTH_KEY.into(), u64::MAX.into());
    block_on(store.create(&mut record)).unwrap();
    assert!(record.data[BIRTH_KEY].as_u64() < Some(u64::MAX));
    clock.advance(HOUR);
    assert!(!is_live(&store, &record.id));
}

#[test]
fn nothing_prints_an_id_or_a_record() {
    let store = store(&ManualClock::new());
    let mut record = record(HOUR);
    record.data.insert("password".into(), "hunter2".into());
    block_on(store.create(&mut record)).unwrap();
    let live = format!("{store:?} {store:#?}");
    block_on(store.delete(&record.id)).unwrap();
    let error = block_on(store.save(&record)).unwrap_err();
    let printed = format!("{live} {error} {error:?}");
    for secret in [record.id.to_string(), record.id.0.to_string(), "hunter2".into()] {
        assert!(!printed.contains(&secret), "{printed}");
    }
}

#[test]
fn a_cap_on_weight_alone_is_one_in_bytes() {
    let unbounded = || Cache::builder().clock(ManualClock::new()).reaper(Reaper::Manual);
    let too_heavy = Refusal::NotTaken(crate::error::Reason::TooHeavy);
    for make in [SundownStore::new, SundownStore::caching] {
        let store = make(unbounded().max_weight(10_000)).unwrap();
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

        // Whoever says what weighs how much is asked.
        let store = make(unbounded().max_weight(10_000).weigher(|_, _| 7)).unwrap();
        created(&store, HOUR);
        assert_eq!(store.cache().weight(), 7);
        // And without a cap on weight, sessions are counted.
        let store = make(unbounded().max_entries(10)).unwrap();
        created(&store, HOUR);
        assert_eq!(store.cache().weight(), 1);
    }
}
