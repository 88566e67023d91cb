//! In front of a store of the tests' own, which pauses, fails, is given up and reorders at every await.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use pollster::block_on;
use proptest::prelude::*;

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

/// Rows as a database has them, and what it is to do to the calls.
#[derive(Clone, Default)]
struct Db(Arc<Mutex<Rows>>);

#[derive(Default)]
struct Rows {
    rows: HashMap<Id, Record>,
    /// What was committed, in its order: values of `v`.
    log: Vec<u64>,
    faults: VecDeque<Fault>,
    /// Writes whose caller has gone, and which may still come.
    in_the_air: Vec<Write>,
    writes: usize,
}

#[derive(Clone, Debug)]
enum Write {
    Save(Record),
    Delete(Id),
}

/// What happens to a call.
#[derive(Clone, Copy, Default, Debug)]
struct Fault {
    waits_before: u8,
    waits_after: u8,
    /// Fails before it has an effect, or after.
    fails: Option<bool>,
    /// Whether a write that is given up may come later.
    is_sent: bool,
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Db")
    }
}

async fn wait(times: u8) {
    for _ in 0..times {
        let mut has_waited = false;
        std::future::poll_fn(|_| {
            let is_ready = std::mem::replace(&mut has_waited, true);
            if is_ready { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// A write on its way: it may arrive though its caller has gone.
struct OnItsWay<'d> {
    db: &'d Db,
    write: Option<Write>,
}

impl Drop for OnItsWay<'_> {
    fn drop(&mut self) {
        if let Some(write) = self.write.take() {
            self.db.0.lock().unwrap().in_the_air.push(write);
        }
    }
}

impl Db {
    fn fault(&self) -> Fault {
        self.0.lock().unwrap().faults.pop_front().unwrap_or_default()
    }

    fn row(&self, id: &Id) -> Option<Record> {
        self.0.lock().unwrap().rows.get(id).cloned()
    }

    fn commit(&self, write: &Write) {
        let mut rows = self.0.lock().unwrap();
        rows.writes += 1;
        match write {
            Write::Save(record) => {
                rows.log.extend(record.data.get("v").and_then(|v| v.as_u64()));
                rows.rows.insert(record.id, record.clone());
            }
            Write::Delete(id) => drop(rows.rows.remove(id)),
        }
    }

    fn land(&self) {
        let write = self.0.lock().unwrap().in_the_air.pop();
        if let Some(write) = write {
            self.commit(&write);
        }
    }

    async fn write(&self, write: Write) -> Result<()> {
        let fault = self.fault();
        let mut sent = OnItsWay { db: self, write: fault.is_sent.then(|| write.clone()) };
        wait(fault.waits_before).await;
        sent.write = None;
        if fault.fails == Some(false) {
            return Err(Error::Backend("refused".into()));
        }
        self.commit(&write);
        wait(fault.waits_after).await;
        if fault.fails == Some(true) {
            return Err(Error::Backend("lost".into()));
        }
        Ok(())
    }
}

#[async_trait]
impl SessionStore for Db {
    async fn create(&self, record: &mut Record) -> Result<()> {
        self.write(Write::Save(record.clone())).await
    }

    async fn save(&self, record: &Record) -> Result<()> {
        self.write(Write::Save(record.clone())).await
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        let fault = self.fault();
        wait(fault.waits_before).await;
        let row = self.row(id);
        wait(fault.waits_after).await;
        if fault.fails.is_some() { Err(Error::Backend("lost".into())) } else { Ok(row) }
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        self.write(Write::Delete(*id)).await
    }
}

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

fn load(store: &SundownStore, id: &Id) -> Option<Record> {
    block_on(store.load(id)).expect("it is no error")
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
        block_on(store.save(&late)).unwrap();
        assert_eq!(load(&store, &id), None);
        assert!(db.row(&id).is_none(), "ended here, and not there");
        // A session like any other afterwards.
        assert!(load(&store, &logged_in(&store)).is_some());
    }
    // Also if no one asks for it: the next call deletes it.
    let (store, db) = in_front(builder(&clock));
    let id = logged_in(&store);
    store.cache().discard(&id);
    store.cache().reap();
    logged_in(&store);
    assert!(db.row(&id).is_none());
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

/// What the history does next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Load,
    Save,
    Delete,
    /// Another session takes the copy's place.
    Evict,
    Discard,
    /// A call goes on.
    Poll(usize),
    /// Its request is given up.
    GiveUp(usize),
    /// A write arrives whose request was given up.
    Land,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Load),
        3 => Just(Step::Save),
        1 => Just(Step::Delete),
        1 => Just(Step::Evict),
        1 => Just(Step::Discard),
        10 => (0..6_usize).prop_map(Step::Poll),
        1 => (0..6_usize).prop_map(Step::GiveUp),
        1 => Just(Step::Land),
    ];
    proptest::collection::vec(step, 1..80)
}

fn faults() -> impl Strategy<Value = Vec<Fault>> {
    let fails = prop_oneof![6 => Just(None), 1 => any::<bool>().prop_map(Some)];
    let fault = (0..3_u8, 0..3_u8, fails, any::<bool>()).prop_map(
        |(waits_before, waits_after, fails, is_sent)| Fault {
            waits_before,
            waits_after,
            fails,
            is_sent,
        },
    );
    proptest::collection::vec(fault, 0..60)
}

enum Done {
    Loaded { floor: usize, was_over: bool, found: Result<Option<Record>> },
    Saved { v: u64, outcome: Result<()> },
    Deleted(Result<()>),
}

struct History {
    store: SundownStore,
    db: Db,
    id: Id,
    calls: Vec<Pin<Box<dyn Future<Output = Done>>>>,
    /// Copies that requests hold.
    copies: Vec<Record>,
    next_v: u64,
    /// Where in the log the latest save stands that has returned.
    floor: usize,
    is_over: bool,
}

impl History {
    fn new(faults: Vec<Fault>) -> Self {
        let (store, db) = in_front(builder(&ManualClock::new()).max_entries(1));
        let id = logged_in(&store);
        let copies = vec![load(&store, &id).unwrap()];
        db.0.lock().unwrap().faults = faults.into();
        Self { store, db, id, calls: Vec::new(), copies, next_v: 0, floor: 0, is_over: false }
    }

    fn step(&mut self, step: Step) {
        let (store, id, before) = (self.store.clone(), self.id, self.calls.len());
        match step {
            Step::Load => {
                let (floor, was_over) = (self.floor, self.is_over);
                self.calls.push(Box::pin(async move {
                    Done::Loaded { floor, was_over, found: store.load(&id).await }
                }));
            }
            Step::Save => {
                self.next_v += 1;
                let v = self.next_v;
                let mut copy = self.copies[v as usize % self.copies.len()].clone();
                copy.data.insert("v".into(), v.into());
                self.calls.push(Box::pin(async move {
                    Done::Saved { v, outcome: store.save(&copy).await }
                }));
            }
            Step::Delete => {
                self.calls.push(Box::pin(async move { Done::Deleted(store.delete(&id).await) }));
            }
            Step::Evict => {
                let other = Record { id: Id::default(), ..self.copies[0].clone() };
                store.cache().insert(other.id, other).unwrap();
            }
            Step::Discard => self.is_over |= store.cache().discard(&id),
            Step::Poll(number) => self.poll(number),
            Step::GiveUp(number) if number < self.calls.len() => {
                drop(self.calls.swap_remove(number));
            }
            Step::GiveUp(_) => {}
            Step::Land => self.db.land(),
        }
        if self.calls.len() > before {
            self.poll(before);
        }
        let cached = self.store.cache().peek(&id).map(|record| v_of(&record));
        let log = &self.db.0.lock().unwrap().log;
        assert!(cached.is_none_or(|v| log.contains(&v)), "{cached:?} was never committed");
    }

    fn poll(&mut self, number: usize) {
        let Some(call) = self.calls.get_mut(number) else { return };
        let Some(done) = poll(call) else { return };
        drop(self.calls.swap_remove(number));
        let place = |v: u64| self.db.0.lock().unwrap().log.iter().rposition(|&it| it == v);
        match done {
            Done::Loaded { floor, was_over, found: Ok(Some(record)) } => {
                assert!(!was_over, "it is back");
                let at = place(v_of(&record)).expect("it was committed");
                assert!(at >= floor, "{} is stale", v_of(&record));
                self.copies.push(record);
            }
            Done::Saved { v, outcome: Ok(()) } => {
                self.floor = self.floor.max(place(v).unwrap_or(0));
            }
            Done::Deleted(Ok(())) => self.is_over = true,
            Done::Loaded { .. } | Done::Saved { .. } | Done::Deleted(Err(_)) => {}
        }
    }

    fn end(mut self) {
        self.db.0.lock().unwrap().faults.clear();
        for _ in 0..1_000 {
            if self.calls.is_empty() {
                break;
            }
            for number in 0..self.calls.len() {
                self.step(Step::Poll(number));
            }
        }
        assert!(self.calls.is_empty(), "a call never ends");
        while !self.db.0.lock().unwrap().in_the_air.is_empty() {
            self.step(Step::Land);
        }
        for _ in 0..2 {
            self.step(Step::Load);
            while !self.calls.is_empty() {
                self.step(Step::Poll(0));
            }
        }
        if self.is_over {
            assert!(self.db.row(&self.id).is_none(), "it is still behind");
        }
        self.store.cache().audit().unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(2_000),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_history_shows_what_is_stale_or_over(steps in steps(), faults in faults()) {
        let mut history = History::new(faults);
        for step in steps {
            history.step(step);
        }
        history.end();
    }
}
