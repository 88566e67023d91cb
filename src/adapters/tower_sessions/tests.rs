//! The store's rules, on the manual clock; compiled once against each version.

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
    leaves_out(&store, &record);
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
    block_on(slow.save()).unwrap();
    assert!(!is_live(&store, &slow.id().unwrap()), "it begins a second life");
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
        leaves_out(&store, &late);
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
    block_on(slow.save()).unwrap();
    assert!(!is_live(&store, &login.id().unwrap()));
    // Nor does one that never loaded it, with an id that the store did not make.
    let forged = session(&store, Some(Id::default()));
    block_on(forged.clear());
    block_on(forged.save()).unwrap();
    assert!(store.cache().is_empty());
}

/// A store whose session is deleted in the very middle of the next save: after every look at what
/// is live, before anything is put in.
fn store_that_deletes_in_the_middle() -> (SundownStore, Record, Arc<OnceLock<SundownStore>>) {
    let deleter: Arc<OnceLock<SundownStore>> = Arc::default();
    let inner = deleter.clone();
    let builder = builder(&ManualClock::new()).weigher(move |id, _| {
        if let Some(store) = inner.get() {
            block_on(store.delete(id)).unwrap();
        }
        1
    });
    let store = SundownStore::new(builder).unwrap();
    let record = created(&store, HOUR);
    (store, record, deleter)
}

#[test]
fn a_save_that_a_deletion_overtakes_does_not_bring_the_session_back() {
    let (store, record, deleter) = store_that_deletes_in_the_middle();
    deleter.set(store.clone()).unwrap();
    leaves_out(&store, &record);
    assert!(store.cache().is_empty(), "hidden, but kept");
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
fn an_expiry_date_in_the_past_ends_the_session() {
    let store = store(&ManualClock::new());
    let mut live = created(&store, HOUR);
    live.expiry_date -= 2 * HOUR;
    block_on(store.save(&live)).unwrap();
    assert!(!is_live(&store, &live.id));
    let id = live.id;
    block_on(store.create(&mut live)).unwrap();
    assert!(live.id != id && !is_live(&store, &live.id) && store.cache().is_empty());
}

#[test]
fn no_date_is_an_error() {
    let store = store(&ManualClock::new());
    let now = record(Duration::ZERO).expiry_date;
    let theirs = |span: Duration| (now + span) - now;
    let epoch = now - Duration::from_nanos(now.unix_timestamp_nanos() as u64);
    let over = [
        Expiry::OnInactivity(theirs(Duration::ZERO)),
        Expiry::OnInactivity(-theirs(HOUR)),
        Expiry::AtDateTime(epoch),
    ];
    let far = [
        Expiry::AtDateTime(now.replace_year(9999).unwrap()),
        Expiry::OnInactivity(theirs(HOUR) * 24 * 366 * 20),
        Expiry::OnInactivity(theirs(HOUR).saturating_mul(i32::MAX).saturating_mul(i32::MAX)),
    ];
    for (expiry, is_far) in over.map(|it| (it, false)).into_iter().chain(far.map(|it| (it, true))) {
        let new = Session::new(None, Arc::new(store.clone()), Some(expiry));
        block_on(new.insert("user", "ada")).unwrap();
        block_on(new.save()).unwrap();
        assert_eq!(is_live(&store, &new.id().unwrap()), is_far, "created with {expiry:?}");
        let old = created(&store, HOUR);
        let again = Session::new(Some(old.id), Arc::new(store.clone()), Some(expiry));
        block_on(again.insert("user", "ada")).unwrap();
        block_on(again.save()).unwrap();
        assert_eq!(is_live(&store, &old.id), is_far, "saved with {expiry:?}");
    }
}

#[test]
fn a_far_date_counts_as_the_longest_lifetime() {
    let clock = ManualClock::new();
    let store = store(&clock);
    let mut record = record(HOUR);
    record.expiry_date = record.expiry_date.replace_year(9999).unwrap();
    block_on(store.create(&mut record)).unwrap();
    clock.advance(LONGEST - Duration::from_nanos(1));
    assert!(is_live(&store, &record.id));
    clock.advance(Duration::from_nanos(1));
    assert!(!is_live(&store, &record.id));
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

    // Whoever says what weighs how much is asked.
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

#[test]
fn a_flash_message_after_a_log_out_does_not_let_a_slow_request_log_the_user_in_again() {
    let store = store(&ManualClock::new());
    let id = logged_in(&store);
    let (slow, out) = (request(&store, id), request(&store, id));
    block_on(slow.insert("cart", 8)).unwrap();
    block_on(out.flush()).unwrap();
    block_on(out.insert("flash", "bye")).unwrap();
    block_on(out.save()).unwrap();
    block_on(slow.save()).unwrap();
    assert!(out.id() != Some(id) && !is_live(&store, &id));
    assert!(!is_logged_in(&store, &out) && !is_logged_in(&store, &slow));
    assert_eq!(get(&request(&store, out.id().unwrap()), "flash"), Some("bye".into()));
}

#[test]
fn a_planted_id_never_becomes_a_session() {
    let store = store(&ManualClock::new());
    let planted = Id::default();
    let plant = |play: &dyn Fn(&Session)| {
        let request = session(&store, Some(planted));
        play(&request);
        block_on(request.save()).unwrap();
        assert!(!is_live(&store, &planted));
    };
    plant(&|request| block_on(request.insert("user", "ada")).unwrap());
    plant(&|request| {
        block_on(request.flush()).unwrap();
        block_on(request.insert("user", "ada")).unwrap();
    });
    plant(&|request| {
        block_on(request.clear());
        block_on(request.insert("user", "ada")).unwrap();
    });
    plant(&|request| {
        block_on(request.cycle_id()).unwrap();
        block_on(request.insert("user", "ada")).unwrap();
    });
    plant(&|request| block_on(request.delete()).unwrap());
    let mut record = Record { id: planted, ..record(HOUR) };
    block_on(store.create(&mut record)).unwrap();
    assert!(record.id != planted && !is_live(&store, &planted) && is_live(&store, &record.id));
}

#[test]
fn the_owner_of_a_stale_cookie_gets_a_new_session_and_no_error() {
    let store = store(&ManualClock::new());
    let stale = Id::default();
    let play: [&dyn Fn(&Session); 4] = [
        &|request| block_on(request.clear()),
        &|request| drop(block_on(request.remove_value("user")).unwrap()),
        &|request| block_on(request.delete()).unwrap(),
        &|request| block_on(request.flush()).unwrap(),
    ];
    for play in play {
        let request = session(&store, Some(stale));
        play(&request);
        block_on(request.save()).expect("it is no error");
        let next = session(&store, Some(stale));
        block_on(next.insert("user", "ada")).unwrap();
        block_on(next.save()).unwrap();
        assert!(next.id() != Some(stale) && is_logged_in(&store, &next));
    }
}

#[test]
fn what_ended_during_a_request_is_no_error_and_does_not_come_back() {
    let clock = ManualClock::new();
    let make = || {
        let builder = builder(&clock).max_entries(2).time_to_idle(10 * MINUTE);
        SundownStore::new(builder).unwrap()
    };
    type End<'a> = &'a dyn Fn(&SundownStore, &Session);
    let end: [End<'_>; 4] = [
        &|_, _| clock.advance(10 * MINUTE),
        &|_, _| clock.advance(2 * HOUR),
        &|store, _| {
            clock.advance(MINUTE);
            let _others = [created(store, HOUR), created(store, HOUR)];
        },
        &|store, slow| block_on(store.delete(&slow.id().unwrap())).unwrap(),
    ];
    for end in end {
        let store = make();
        let slow = request(&store, logged_in(&store));
        end(&store, &slow);
        block_on(slow.insert("cart", 8)).unwrap();
        block_on(slow.save()).expect("it is no error");
        assert!(!is_logged_in(&store, &slow));
    }
}

#[test]
fn a_log_out_is_final_also_for_a_request_that_gives_the_session_a_new_id() {
    let store = store(&ManualClock::new());
    for is_flushed_first in [true, false] {
        let id = logged_in(&store);
        let (slow, out) = (request(&store, id), request(&store, id));
        let cycle = || {
            block_on(slow.insert("theme", "dark")).unwrap();
            block_on(slow.cycle_id()).unwrap();
        };
        if is_flushed_first {
            block_on(out.flush()).unwrap();
            cycle();
        } else {
            cycle();
            block_on(out.flush()).unwrap();
        }
        block_on(slow.save()).unwrap();
        assert!(!is_logged_in(&store, &slow), "flushed first: {is_flushed_first}");
        assert_eq!(get(&slow, "cart"), None, "what was logged out");
        assert_eq!(get(&slow, "theme"), Some("dark".into()), "what the request has put in");
    }
}

#[test]
fn a_log_out_ends_what_the_session_has_become_by_then() {
    let store = store(&ManualClock::new());
    let id = logged_in(&store);
    let (out, other) = (request(&store, id), request(&store, id));
    block_on(other.cycle_id()).unwrap();
    block_on(other.save()).unwrap();
    assert!(is_logged_in(&store, &other));
    let third = request(&store, other.id().unwrap());
    block_on(third.cycle_id()).unwrap();
    block_on(third.save()).unwrap();
    assert!(is_logged_in(&store, &third));
    block_on(out.flush()).unwrap();
    assert!(!is_logged_in(&store, &other) && !is_logged_in(&store, &third));
    assert!(store.cache().is_empty());
}

#[test]
fn two_log_ins_at_once_leave_one_session_that_is_logged_in() {
    let store = store(&ManualClock::new());
    let visitor = session(&store, None);
    block_on(visitor.insert("lang", "en")).unwrap();
    block_on(visitor.save()).unwrap();
    let (one, two) =
        (request(&store, visitor.id().unwrap()), request(&store, visitor.id().unwrap()));
    for login in [&one, &two] {
        block_on(login.cycle_id()).unwrap();
        block_on(login.insert("user", "ada")).unwrap();
    }
    for login in [&one, &two] {
        block_on(login.save()).unwrap();
        assert!(is_logged_in(&store, login));
    }
}

#[test]
fn requests_side_by_side_lose_nothing_and_bring_nothing_back() {
    for time_to_live in [false, true] {
        let builder = builder(&ManualClock::new());
        let builder = if time_to_live { builder.time_to_live(HOUR) } else { builder };
        let store = SundownStore::new(builder).unwrap();
        let id = logged_in(&store);
        let (one, two) = (request(&store, id), request(&store, id));
        block_on(one.insert("cart", 8)).unwrap();
        block_on(two.insert("theme", "dark")).unwrap();
        block_on(one.save()).unwrap();
        block_on(two.save()).unwrap();
        let now = request(&store, id);
        assert_eq!((get(&now, "cart"), get(&now, "theme")), (Some(8.into()), Some("dark".into())));

        let (out, other) = (request(&store, id), request(&store, id));
        block_on(out.remove_value("user")).unwrap();
        block_on(other.insert("theme", "light")).unwrap();
        block_on(out.save()).unwrap();
        block_on(other.save()).unwrap();
        let now = request(&store, id);
        assert_eq!((get(&now, "user"), get(&now, "theme")), (None, Some("light".into())));
        assert_eq!(store.cache().len(), 1);
    }
}

#[test]
fn a_request_that_saves_twice_knows_what_it_has_saved() {
    let store = store(&ManualClock::new());
    let id = logged_in(&store);
    let (one, two) = (request(&store, id), request(&store, id));
    block_on(one.insert("step", 1)).unwrap();
    block_on(one.save()).unwrap();
    block_on(two.insert("theme", "dark")).unwrap();
    block_on(two.save()).unwrap();
    block_on(one.remove_value("step")).unwrap();
    block_on(one.save()).unwrap();
    let now = request(&store, id);
    assert_eq!((get(&now, "step"), get(&now, "theme")), (None, Some("dark".into())));

    // Also if it has cleared it in between.
    let again = request(&store, id);
    block_on(again.insert("step", 2)).unwrap();
    block_on(again.save()).unwrap();
    block_on(again.clear());
    block_on(again.insert("theme", "light")).unwrap();
    block_on(again.save()).unwrap();
    let now = request(&store, id);
    assert_eq!((get(&now, "step"), get(&now, "user")), (None, None));

    // Nor does the second save undo what another request has done after the first.
    let login = request(&store, id);
    block_on(login.insert("user", "bob")).unwrap();
    block_on(login.save()).unwrap();
    let out = request(&store, id);
    block_on(out.remove_value("user")).unwrap();
    block_on(out.save()).unwrap();
    block_on(login.insert("cart", 9)).unwrap();
    block_on(login.save()).unwrap();
    let now = request(&store, id);
    assert_eq!((get(&now, "user"), get(&now, "cart")), (None, Some(9.into())));
}

#[test]
fn copies_that_lie_in_one_place_one_after_the_other_are_not_taken_for_one() {
    let store = store(&ManualClock::new());
    let id = created(&store, HOUR).id;
    let load = || block_on(store.load(&id)).unwrap().unwrap();
    let copies = [(load(), "cart"), (load(), "theme")];
    for (mut copy, name) in copies {
        copy.data.insert(name.into(), 1.into());
        block_on(store.save(&copy)).unwrap();
    }
    let names = ["n", "cart", "theme"];
    assert!(names.iter().all(|&name| load().data.contains_key(name)));
}

#[test]
fn a_copy_whose_base_is_forgotten_is_refused_rather_than_guessed_at() {
    let clock = ManualClock::new();
    let store = SundownStore::new(builder(&clock).time_to_live(24 * HOUR)).unwrap();
    let mut record = created(&store, 24 * HOUR);
    let (mut slow, id) = (record.clone(), record.id);
    record.data.insert("theme".into(), 1.into());
    block_on(store.save(&record)).unwrap();
    clock.advance(MEMORY_AGE);
    slow.data.insert("cart".into(), 1.into());
    refuses(block_on(store.save(&slow)), Refusal::Conflict);
    assert!(!block_on(store.load(&id)).unwrap().unwrap().data.contains_key("cart"));
    // What a request has made itself replaces the session: `Session::clear` without a load.
    let fresh = session(&store, Some(id));
    block_on(fresh.clear());
    block_on(fresh.save()).unwrap();
    assert!(!block_on(store.load(&id)).unwrap().unwrap().data.contains_key("theme"));
}

#[test]
fn deletions_of_what_never_was_displace_no_log_out() {
    let store = store(&ManualClock::new());
    let id = logged_in(&store);
    let (slow, out) = (request(&store, id), request(&store, id));
    block_on(out.flush()).unwrap();
    for n in 0..70_000 {
        block_on(store.delete(&Id(n))).unwrap();
    }
    block_on(slow.cycle_id()).unwrap();
    block_on(slow.save()).unwrap();
    assert!(!is_logged_in(&store, &slow));
}

#[test]
fn a_new_id_keeps_the_sessions_room_in_a_full_cache_that_rejects() {
    let clock = ManualClock::new();
    let builder = builder(&clock).max_entries(2).on_full(OnFull::Reject);
    let store = SundownStore::new(builder).unwrap();
    let login = request(&store, logged_in(&store));
    created(&store, HOUR);
    block_on(login.cycle_id()).unwrap();
    refuses(block_on(store.create(&mut record(HOUR))), Refusal::NotTaken(Reason::Full));
    block_on(login.save()).unwrap();
    assert!(is_logged_in(&store, &login));
    assert_eq!(store.cache().stats().rejections.full, 1);
    // The room of a log-out is free soon.
    block_on(request(&store, login.id().unwrap()).flush()).unwrap();
    clock.advance(Duration::from_secs(10));
    created(&store, HOUR);
}

#[test]
fn a_session_that_grew_too_heavy_for_a_new_id_stays_what_it_was() {
    for on_full in [OnFull::Evict, OnFull::Reject] {
        let builder = builder(&ManualClock::new()).max_weight(8).on_full(on_full);
        let store =
            SundownStore::new(builder.weigher(|_, record| record.data.len() as u64)).unwrap();
        let id = logged_in(&store);
        let heavy = |request: &Session| {
            for n in 0..9 {
                block_on(request.insert(&n.to_string(), n)).unwrap();
            }
        };
        let login = request(&store, id);
        block_on(login.cycle_id()).unwrap();
        heavy(&login);
        assert!(block_on(login.save()).is_err());
        let old = request(&store, id);
        assert!(is_logged_in(&store, &old), "{on_full:?}");
        // It is a session like any other again.
        block_on(old.cycle_id()).unwrap();
        block_on(old.save()).unwrap();
        assert!(is_logged_in(&store, &old));
        // But a log-out does not come back because what follows it is too heavy.
        let out = request(&store, old.id().unwrap());
        let id = old.id().unwrap();
        block_on(out.flush()).unwrap();
        heavy(&out);
        assert!(block_on(out.save()).is_err());
        assert!(!is_live(&store, &id), "{on_full:?}");
    }
}

#[test]
fn the_absolute_timeout_begins_anew_at_log_in_where_the_application_says_so() {
    for is_said in [false, true] {
        let clock = ManualClock::new();
        let store = SundownStore::new(builder(&clock).time_to_live(8 * HOUR)).unwrap();
        let visitor = session(&store, None);
        block_on(visitor.insert("cart", 7)).unwrap();
        visitor.set_expiry(Some(Expiry::OnInactivity((24 * HOUR).try_into().unwrap())));
        block_on(visitor.save()).unwrap();
        clock.advance(8 * HOUR - MINUTE);
        let login = request(&store, visitor.id().unwrap());
        login.set_expiry(visitor.expiry());
        block_on(login.cycle_id()).unwrap();
        block_on(login.insert("user", "ada")).unwrap();
        if is_said {
            block_on(restart_absolute_timeout(&login)).unwrap();
        }
        block_on(login.save()).unwrap();
        clock.advance(MINUTE);
        assert_eq!(is_logged_in(&store, &login), is_said);
        if is_said {
            // A session that one request keeps for long does not restart it with every save.
            let stay = request(&store, login.id().unwrap());
            stay.set_expiry(visitor.expiry());
            block_on(restart_absolute_timeout(&stay)).unwrap();
            block_on(stay.save()).unwrap();
            for step in 0..15 {
                clock.advance(HOUR / 2);
                block_on(stay.insert("step", step)).unwrap();
                block_on(stay.save()).unwrap();
            }
            clock.advance(HOUR / 2 - MINUTE);
            assert!(is_logged_in(&store, &stay));
            clock.advance(MINUTE);
            assert!(!is_logged_in(&store, &stay));
        }
    }
}

#[test]
fn clearing_the_data_restarts_the_absolute_timeout_with_a_new_id_only() {
    let clock = ManualClock::new();
    let store = SundownStore::new(builder(&clock).time_to_live(HOUR)).unwrap();
    for has_new_id in [false, true] {
        let id = logged_in(&store);
        clock.advance(HOUR / 2);
        let cleared = request(&store, id);
        block_on(cleared.clear());
        if has_new_id {
            block_on(cleared.cycle_id()).unwrap();
        }
        block_on(cleared.insert("lang", "en")).unwrap();
        block_on(cleared.save()).unwrap();
        let id = cleared.id().unwrap();
        clock.advance(HOUR / 2 - Duration::from_millis(1));
        assert!(is_live(&store, &id));
        clock.advance(Duration::from_millis(1));
        assert_eq!(is_live(&store, &id), has_new_id);
        clock.advance(HOUR);
    }
}

#[test]
fn a_save_that_a_new_id_overtakes_is_done_to_what_the_session_has_become() {
    let own = store(&ManualClock::new());
    let builder = || builder(&ManualClock::new()).max_entries(100);
    let front = SundownStore::in_front_of(builder(), store(&ManualClock::new())).unwrap();
    for store in [own, front] {
        let id = logged_in(&store);
        let (one, out, cycled) = (request(&store, id), request(&store, id), request(&store, id));
        let (unseen, gone) = (session(&store, Some(id)), request(&store, id));
        block_on(cycled.cycle_id()).unwrap();
        block_on(cycled.save()).unwrap();
        block_on(one.insert("theme", "dark")).unwrap();
        block_on(one.save()).unwrap();
        let now = || request(&store, cycled.id().unwrap());
        assert_eq!(get(&now(), "theme"), Some("dark".into()));
        block_on(out.remove_value("user")).unwrap();
        block_on(out.save()).unwrap();
        assert_eq!((get(&now(), "user"), get(&now(), "cart")), (None, Some(7.into())));
        assert_eq!(now().id(), cycled.id());
        assert!(!is_live(&store, &id));
        // Of a session that a request clears without a look at it nothing is left.
        block_on(unseen.clear());
        block_on(unseen.insert("user", "eve")).unwrap();
        block_on(unseen.save()).unwrap();
        assert!(!is_live(&store, &cycled.id().unwrap()) && !is_live(&store, &id));
        block_on(gone.save()).unwrap();
        assert!(!is_live(&store, &id));
    }
}

#[test]
fn what_is_removed_while_a_new_id_is_under_way_does_not_go_along() {
    let store = store(&ManualClock::new());
    let id = logged_in(&store);
    let (out, cycled) = (request(&store, id), request(&store, id));
    block_on(cycled.cycle_id()).unwrap();
    block_on(out.remove_value("user")).unwrap();
    block_on(out.save()).unwrap();
    block_on(cycled.save()).unwrap();
    let now = request(&store, cycled.id().unwrap());
    assert_eq!((get(&now, "user"), get(&now, "cart")), (None, Some(7.into())));
}

#[test]
fn a_log_out_of_what_a_session_was_before_is_final_for_what_it_has_become() {
    let store = store(&ManualClock::new());
    let id = logged_in(&store);
    let (late, out, cycled) = (request(&store, id), request(&store, id), request(&store, id));
    block_on(cycled.cycle_id()).unwrap();
    block_on(cycled.save()).unwrap();
    block_on(late.insert("user", "bob")).unwrap();
    block_on(late.save()).unwrap();
    assert_eq!(get(&request(&store, cycled.id().unwrap()), "user"), Some("bob".into()));
    block_on(out.flush()).unwrap();
    block_on(late.cycle_id()).unwrap();
    block_on(late.save()).unwrap();
    assert!(!is_logged_in(&store, &late) && !is_logged_in(&store, &cycled));
}
