//! In front of a store of the tests' own, which pauses, fails, is given up and reorders at every await.

#[allow(clippy::duplicate_mod, reason = "one source, compiled against each version")]
#[path = "db_tests.rs"]
mod db_tests;
#[allow(clippy::duplicate_mod, reason = "one source, compiled against each version")]
#[path = "history_tests.rs"]
mod history_tests;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use pollster::block_on;

use self::db_tests::{Db, Fault, Write};
use super::super::framework::SessionStore;
use super::super::framework::session::{Id, Record};
use super::super::framework::session_store::{Error, Result};
use super::super::framework::{Expiry, Session};
use super::{SundownStore, wall_ns};
use crate::builder::Builder;
use crate::cache::Cache;
use crate::platform::clock::ManualClock;
use crate::reaper::Reaper;
use crate::removal::OnFull;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

fn builder(clock: &ManualClock) -> Builder<Id, Record> {
    Cache::builder().max_entries(1_000).clock(clock.clone()).reaper(Reaper::Manual)
}

fn in_front(builder: Builder<Id, Record>) -> (SundownStore, Db) {
    let db = Db::default();
    (SundownStore::in_front_of(builder, db.clone()).unwrap(), db)
}

fn session(store: &SundownStore, id: Option<Id>) -> Session {
    let expiry = Expiry::OnInactivity((24 * HOUR).try_into().unwrap());
    Session::new(id, Arc::new(store.clone()), Some(expiry))
}

fn logged_in(store: &SundownStore) -> Id {
    let login = session(store, None);
    block_on(login.insert("user", "ada")).unwrap();
    block_on(login.insert("v", 0)).unwrap();
    block_on(login.save()).unwrap();
    login.id().unwrap()
}

/// Again while another test's reader hides what was removed by hand.
fn heard<T>(call: impl Fn() -> Result<T>) -> T {
    loop {
        match call() {
            Ok(found) => return found,
            Err(error) => assert!(error.to_string().contains("by hand"), "{error}"),
        }
        thread::yield_now();
    }
}

fn load(store: &SundownStore, id: &Id) -> Option<Record> {
    heard(|| block_on(store.load(id)))
}

fn v_of(record: &Record) -> u64 {
    record.data["v"].as_u64().unwrap()
}

/// A copy with another value, by a request that has loaded it.
fn changed(store: &SundownStore, id: &Id, v: u64) -> Record {
    let mut record = load(store, id).expect("it is live");
    record.data.insert("v".into(), v.into());
    record
}

/// A call that was begun and waits.
fn begun<'f, T>(future: impl Future<Output = T> + 'f) -> Pin<Box<dyn Future<Output = T> + 'f>> {
    let mut future: Pin<Box<dyn Future<Output = T> + 'f>> = Box::pin(future);
    assert!(poll(&mut future).is_none(), "it does not wait");
    future
}

fn poll<T>(future: &mut Pin<Box<dyn Future<Output = T> + '_>>) -> Option<T> {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

fn next_fault(db: &Db, fault: Fault) {
    db.0.lock().unwrap().faults.push_back(fault);
}

const SLOW: Fault = Fault { waits_before: 0, waits_after: 1, fails: None, is_sent: false };
const STUCK: Fault = Fault { waits_before: 1, waits_after: 0, fails: None, is_sent: false };

#[test]
fn the_absolute_timeout_holds_for_what_is_never_saved_again() {
    let clock = ManualClock::new();
    let (store, db) = in_front(builder(&clock).time_to_live(MINUTE));
    let id = logged_in(&store);
    assert!(db.row(&id).unwrap().data.contains_key("sundown.created"));
    clock.advance(MINUTE);
    assert_eq!(load(&store, &id), None);
    assert!(db.row(&id).is_none(), "ended here, and not there");
    // Also for what was evicted, and over a restart.
    let id = logged_in(&store);
    clock.advance(MINUTE / 2);
    let later = || wall_ns() + (MINUTE + MINUTE / 2).as_nanos() as i128;
    let builder = builder(&clock).time_to_live(MINUTE);
    let again = SundownStore::in_front_by_wall(builder, Arc::new(db.clone()), later).unwrap();
    assert!(load(&again, &id).is_some());
    clock.advance(MINUTE / 2);
    assert_eq!(load(&again, &id), None);
}

#[test]
fn a_copy_that_the_cache_refuses_is_a_miss_and_no_error() {
    let clock = ManualClock::new();
    let full = builder(&clock).max_entries(1).on_full(OnFull::Reject);
    let light = builder(&clock).max_weight(1).weigher(|_, record| record.data.len() as u64);
    for builder in [full, light, builder(&clock)] {
        let (store, db) = in_front(builder);
        let ids = [logged_in(&store), logged_in(&store)];
        for id in ids {
            assert_eq!(v_of(&load(&store, &id).unwrap()), 0);
            block_on(store.save(&changed(&store, &id, 1))).unwrap();
            assert_eq!((v_of(&load(&store, &id).unwrap()), v_of(&db.row(&id).unwrap())), (1, 1));
        }
        store.cache().close();
        assert!(ids.iter().all(|id| load(&store, id).is_some()));
    }
    let (store, db) = in_front(builder(&clock).time_to_live(HOUR));
    let id = logged_in(&store);
    store.cache().close();
    let mut row = db.row(&id).unwrap();
    row.data.insert("sundown.created".into(), "yesterday".into());
    db.commit(&Write::Save(row));
    assert!(load(&store, &id).is_some(), "its birth is corrupt");
}

#[test]
fn a_log_out_stands_in_the_store_behind_too() {
    let (store, db) = in_front(builder(&ManualClock::new()));
    let id = logged_in(&store);
    let late = changed(&store, &id, 1);
    let slow = session(&store, Some(id));
    block_on(slow.get_value("user")).unwrap();
    block_on(store.delete(&id)).unwrap();
    block_on(store.save(&late)).unwrap();
    assert_eq!((load(&store, &id), db.row(&id)), (None, None));
    assert_eq!(store.cache().stats().rejections.absent, 1);
    block_on(slow.cycle_id()).unwrap();
    block_on(slow.save()).unwrap();
    let new = load(&store, &slow.id().unwrap());
    assert!(new.is_none_or(|record| !record.data.contains_key("user")));
    // What is only there is logged out there, and for copies as well.
    let id = logged_in(&store);
    let late = changed(&store, &id, 1);
    let again = SundownStore::in_front_of(builder(&ManualClock::new()), db.clone()).unwrap();
    block_on(again.delete(&id)).unwrap();
    block_on(again.save(&late)).unwrap();
    assert_eq!((load(&again, &id), db.row(&id)), (None, None));
}

#[test]
fn a_slow_load_does_not_put_an_old_copy_over_a_new_one() {
    for is_evicted in [false, true] {
        let clock = ManualClock::new();
        let (store, db) = in_front(builder(&clock));
        let id = logged_in(&store);
        let new = changed(&store, &id, 2);
        store.behind.as_ref().unwrap().take_out(&id, store.cache());
        next_fault(&db, SLOW);
        let mut slow = begun(store.load(&id));
        block_on(store.save(&new)).unwrap();
        if is_evicted {
            store.behind.as_ref().unwrap().take_out(&id, store.cache());
        }
        assert!(poll(&mut slow).is_some());
        assert_eq!(v_of(&load(&store, &id).unwrap()), 2);
    }
}

#[test]
fn a_load_that_a_log_out_overtakes_shows_and_keeps_nothing() {
    let (store, db) = in_front(builder(&ManualClock::new()));
    let id = logged_in(&store);
    store.behind.as_ref().unwrap().take_out(&id, store.cache());
    next_fault(&db, SLOW);
    let mut slow = begun(store.load(&id));
    block_on(store.delete(&id)).unwrap();
    assert_eq!(poll(&mut slow).unwrap().unwrap(), None);
    assert_eq!(load(&store, &id), None);
}

#[test]
fn a_save_that_fails_or_is_given_up_leaves_nothing_uncommitted_in_the_cache() {
    for fault in
        [SLOW, STUCK, Fault { fails: Some(false), ..STUCK }, Fault { fails: Some(true), ..SLOW }]
    {
        for is_given_up in [true, false] {
            let (store, db) = in_front(builder(&ManualClock::new()));
            let id = logged_in(&store);
            let new = changed(&store, &id, 3);
            next_fault(&db, fault);
            let mut save = begun(store.save(&new));
            if !is_given_up {
                while poll(&mut save).is_none() {}
            }
            drop(save);
            let now = v_of(&load(&store, &id).unwrap());
            assert_eq!(now, v_of(&db.row(&id).unwrap()), "{fault:?}, given up: {is_given_up}");
        }
    }
}

#[test]
fn a_save_that_a_log_out_overtakes_does_not_stay_in_the_store_behind() {
    for is_given_up in [false, true] {
        let (store, db) = in_front(builder(&ManualClock::new()));
        let id = logged_in(&store);
        let late = changed(&store, &id, 1);
        next_fault(&db, Fault { is_sent: true, ..STUCK });
        let mut save = begun(store.save(&late));
        block_on(store.delete(&id)).unwrap();
        if is_given_up {
            drop(save);
            db.land();
            assert!(db.row(&id).is_some(), "it has come after all");
        } else {
            poll(&mut save).expect("it is done").unwrap();
            assert!(db.row(&id).is_none());
        }
        assert_eq!(load(&store, &id), None);
        assert!(db.row(&id).is_none());
    }
}

#[test]
fn what_ended_in_the_cache_has_ended() {
    let clock = ManualClock::new();
    type End<'a> = &'a dyn Fn(&SundownStore, &Id);
    let end: [End<'_>; 4] = [
        &|_, _| clock.advance(10 * MINUTE),
        &|store, id| assert!(store.cache().discard(id)),
        &|store, _| assert_eq!(store.cache().retain(|_, _| false), 1),
        &|store, _| store.cache().clear(),
    ];
    for end in end {
        let (store, db) = in_front(builder(&clock).time_to_idle(10 * MINUTE));
        let id = logged_in(&store);
        let late = changed(&store, &id, 1);
        end(&store, &id);
        heard(|| block_on(store.save(&late)));
        assert_eq!(load(&store, &id), None);
        assert!(db.row(&id).is_none(), "ended here, and not there");
        // A session like any other afterwards.
        assert!(load(&store, &logged_in(&store)).is_some());
    }
    // Also if no one asks for it: the next call deletes it.
    let (store, db) = in_front(builder(&clock));
    let id = logged_in(&store);
    store.cache().discard(&id);
    assert!(load(&store, &Id::default()).is_none(), "it is known by now");
    logged_in(&store);
    assert!(db.row(&id).is_none());
}

/// Its event has not come, for the listener is still at the one before it: nobody knows that it has ended.
#[test]
fn what_was_removed_by_hand_is_not_found_behind_while_a_listener_hides_it() {
    let (enters, entered) = mpsc::channel();
    let (leave, leaves) = mpsc::channel::<()>();
    let first = Mutex::new(Some((enters, leaves)));
    let listener = move |_, _, _| {
        let first = first.lock().unwrap().take();
        if let Some((enters, leaves)) = first {
            enters.send(()).unwrap();
            let _told = leaves.recv_timeout(Duration::from_secs(60));
        }
    };
    let builder = builder(&ManualClock::new()).shards(1).on_removal(listener);
    let (store, db) = in_front(builder);
    let [first, ended, logged_out, held] = [(); 4].map(|()| logged_in(&store));
    let late = changed(&store, &ended, 1);
    for id in [first, ended, logged_out] {
        assert!(store.cache().discard(&id));
    }
    thread::scope(|scope| {
        scope.spawn(|| {
            while store.cache().stats().retired.count > 0 {
                store.cache().reap();
            }
        });
        entered.recv().unwrap();
        assert!(block_on(store.load(&ended)).is_err() && block_on(store.save(&late)).is_err());
        assert!(load(&store, &held).is_some(), "what the cache has is served");
        block_on(store.delete(&logged_out)).expect("a log-out is done");
        assert_eq!(block_on(store.load(&logged_out)).unwrap(), None);
        drop(leave);
    });
    assert_eq!(load(&store, &ended), None);
    assert!(db.row(&ended).is_none() && db.row(&logged_out).is_none());
    assert!(load(&store, &held).is_some());
}

#[test]
fn a_session_in_use_outlives_its_eviction() {
    let clock = ManualClock::new();
    let (store, db) = in_front(builder(&clock).max_entries(1).time_to_idle(8 * MINUTE));
    let id = logged_in(&store);
    let before = db.0.lock().unwrap().writes;
    for _ in 0..20 {
        clock.advance(2 * MINUTE);
        assert!(load(&store, &id).is_some());
    }
    let told = db.0.lock().unwrap().writes - before;
    assert_eq!(told, 20, "a use each quarter of the idle time");
    for _ in 0..50 {
        clock.advance(Duration::from_secs(1));
        assert!(load(&store, &id).is_some());
    }
    assert_eq!(db.0.lock().unwrap().writes - before, told, "uses in between cost nothing");
    logged_in(&store);
    assert!(!store.cache().contains_key(&id), "it is not evicted");
    clock.advance(7 * MINUTE);
    assert!(load(&store, &id).is_some());
    logged_in(&store);
    clock.advance(8 * MINUTE);
    assert_eq!(load(&store, &id), None);
}

#[test]
fn deletions_of_what_never_was_leave_no_trace() {
    let (store, db) = in_front(builder(&ManualClock::new()));
    let id = logged_in(&store);
    let late = changed(&store, &id, 1);
    next_fault(&db, Fault { is_sent: true, ..STUCK });
    drop(begun(store.save(&late)));
    block_on(store.delete(&id)).unwrap();
    for n in 0..70_000 {
        block_on(store.delete(&Id(n))).unwrap();
    }
    db.land();
    assert_eq!(load(&store, &id), None);
}

#[test]
fn a_deletion_that_fails_is_told_and_stands_all_the_same() {
    let (store, db) = in_front(builder(&ManualClock::new()));
    let id = logged_in(&store);
    next_fault(&db, Fault { fails: Some(false), ..Fault::default() });
    assert!(block_on(store.delete(&id)).is_err());
    next_fault(&db, Fault { fails: Some(false), ..Fault::default() });
    assert_eq!(load(&store, &id), None);
    assert_eq!(load(&store, &id), None);
    assert!(db.row(&id).is_none(), "it was tried again");
}

#[test]
fn requests_side_by_side_lose_nothing_in_front_of_a_store_either() {
    let (store, db) = in_front(builder(&ManualClock::new()).max_entries(1));
    let id = logged_in(&store);
    for is_evicted in [false, true] {
        let load = |name: &str| {
            let mut copy = block_on(store.load(&id)).unwrap().unwrap();
            copy.data.insert(name.into(), 1.into());
            copy
        };
        let (mut one, two) = (load("cart"), load("theme"));
        one.data.remove("user");
        if is_evicted {
            logged_in(&store);
        }
        block_on(store.save(&one)).unwrap();
        block_on(store.save(&two)).unwrap();
        let row = db.row(&id).unwrap();
        let has = |name| row.data.contains_key(name);
        assert!(has("cart") && has("theme") && !has("user"));
        let mut back = block_on(store.load(&id)).unwrap().unwrap();
        back.data.insert("user".into(), "ada".into());
        back.data.remove("cart");
        block_on(store.save(&back)).unwrap();
    }
}
