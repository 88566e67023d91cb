//! Random histories of calls, faults and evictions.

use proptest::prelude::*;

use super::*;

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
