//! Random programs of requests against one session, in the verbs of `Session`; an oracle knows who
//! has logged out when.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use pollster::block_on;
use proptest::prelude::*;

use super::super::framework::session::Id;
use super::super::framework::{Expiry, Session};
use super::SundownStore;
use crate::cache::Cache;
use crate::platform::clock::ManualClock;
use crate::reaper::Reaper;

const HOUR: Duration = Duration::from_secs(3_600);

/// What a request does next.
#[derive(Clone, Copy, Debug)]
enum Verb {
    /// A user proves who it is: a value that no other log-in has.
    LogIn,
    RemoveUser,
    InsertOwn,
    RemoveOwn,
    Get,
    Clear,
    Flush,
    Delete,
    Cycle,
    Save,
    /// The response is sent; the next request comes with this one's cookie.
    Next,
}

const ALL: [Verb; 11] = [
    Verb::LogIn,
    Verb::RemoveUser,
    Verb::InsertOwn,
    Verb::RemoveOwn,
    Verb::Get,
    Verb::Clear,
    Verb::Flush,
    Verb::Delete,
    Verb::Cycle,
    Verb::Save,
    Verb::Next,
];

/// Those that end nothing.
const MILD: [Verb; 5] = [Verb::InsertOwn, Verb::RemoveOwn, Verb::Get, Verb::Save, Verb::Next];

fn programs(verbs: &'static [Verb]) -> impl Strategy<Value = Vec<(usize, Verb)>> {
    proptest::collection::vec((0..REQUESTS, proptest::sample::select(verbs)), 1..40)
}

const REQUESTS: usize = 3;

struct Request {
    session: Session,
    /// The id that it was deleted under before it gets another one.
    cycled: Option<Id>,
    has_loaded: bool,
    /// Log-ins that it has removed from its copy, and not saved since.
    removed: Vec<u64>,
    has_cleared_unseen: bool,
    /// Whether its copy is of its own making.
    is_anew: bool,
    own: Option<u64>,
}

/// What should be, from what was seen.
#[derive(Default)]
struct Oracle {
    /// The log-ins that each session was ever seen with.
    held: HashMap<Id, HashSet<u64>>,
    deletions: HashMap<Id, usize>,
    /// What took the place of a deleted session.
    successors: HashMap<Id, Id>,
    dead: HashSet<u64>,
}

impl Oracle {
    /// A request has logged out of a session: whatever log-in that was seen in it is over, also in
    /// what it has become.
    fn log_out(&mut self, id: Id) {
        *self.deletions.entry(id).or_default() += 1;
        let mut next = Some(id);
        while let Some(id) = next {
            self.dead.extend(self.held.get(&id).into_iter().flatten());
            next = self.successors.remove(&id);
        }
    }
}

struct Stage {
    store: SundownStore,
    requests: Vec<Request>,
    oracle: Oracle,
    logins: u64,
}

impl Stage {
    fn new(is_anonymous_told: bool) -> Self {
        let builder = Cache::builder().max_entries(1_000).time_to_live(24 * HOUR);
        let builder = builder.clock(ManualClock::new()).reaper(Reaper::Manual);
        let store = SundownStore::new(builder).unwrap();
        let store = match is_anonymous_told {
            true => store.anonymous(|record| !record.data.contains_key("user")).unwrap(),
            false => store,
        };
        let mut stage = Self { store, requests: Vec::new(), oracle: Oracle::default(), logins: 0 };
        let first = stage.request(None);
        block_on(first.session.insert("user", 0)).unwrap();
        block_on(first.session.save()).unwrap();
        let id = first.session.id();
        stage.requests = (0..REQUESTS).map(|_| stage.request(id)).collect();
        stage.look();
        stage
    }

    fn request(&self, id: Option<Id>) -> Request {
        let expiry = Expiry::OnInactivity(HOUR.try_into().unwrap());
        let session = Session::new(id, Arc::new(self.store.clone()), Some(expiry));
        Request {
            session,
            cycled: None,
            has_loaded: false,
            removed: Vec::new(),
            has_cleared_unseen: false,
            is_anew: false,
            own: None,
        }
    }

    /// The live sessions with the log-ins in them; and none of them is over.
    fn look(&mut self) -> HashMap<Id, Option<u64>> {
        let mut live = HashMap::new();
        self.store.cache().for_each(|id, record| {
            live.insert(*id, record.data.get("user").and_then(|user| user.as_u64()));
        });
        for (&id, &user) in &live {
            if let Some(user) = user {
                self.oracle.held.entry(id).or_default().insert(user);
                assert!(!self.oracle.dead.contains(&user), "log-in {user} is back");
            }
        }
        live
    }

    fn play(&mut self, number: usize, verb: Verb) {
        let name = format!("own-{number}");
        let live = self.look();
        let request = &mut self.requests[number];
        let session = request.session.clone();
        let id = session.id();
        match verb {
            Verb::LogIn => {
                self.logins += 1;
                block_on(session.insert("user", self.logins)).unwrap();
            }
            Verb::RemoveUser => {
                let user = block_on(session.remove_value("user")).unwrap();
                request.removed.extend(user.and_then(|user| user.as_u64()));
            }
            Verb::InsertOwn => {
                self.logins += 1;
                block_on(session.insert(&name, self.logins)).unwrap();
                request.own = Some(self.logins);
            }
            Verb::RemoveOwn => {
                block_on(session.remove_value(&name)).unwrap();
                request.own = None;
            }
            Verb::Get => drop(block_on(session.get_value("user")).unwrap()),
            Verb::Clear => {
                if request.has_loaded {
                    let user = block_on(session.get_value("user")).unwrap();
                    request.removed.extend(user.and_then(|user| user.as_u64()));
                } else {
                    request.has_cleared_unseen = id.is_some();
                    request.is_anew = true;
                }
                block_on(session.clear());
                request.has_loaded |= id.is_some();
                request.own = None;
            }
            Verb::Flush | Verb::Delete => self.log_out(number, verb),
            Verb::Cycle => {
                block_on(session.cycle_id()).unwrap();
                // What it loads only now and does not find it does not delete either.
                let has_copy = request.has_loaded || id.is_some_and(|id| live.contains_key(&id));
                if let Some(id) = id.filter(|_| has_copy) {
                    *self.oracle.deletions.entry(id).or_default() += 1;
                    let request = &mut self.requests[number];
                    request.cycled = (!request.is_anew).then_some(id);
                    // It may have been a log-out, of what the session has become.
                    if let Some(successor) = self.oracle.successors.remove(&id) {
                        self.oracle.log_out(successor);
                    }
                }
            }
            Verb::Save => self.save(number, &live),
            Verb::Next => self.requests[number] = self.request(id),
        }
        let request = &mut self.requests[number];
        request.has_loaded |=
            !matches!(verb, Verb::Clear | Verb::Flush | Verb::Delete | Verb::Next);
        self.look();
    }

    fn log_out(&mut self, number: usize, verb: Verb) {
        let request = &mut self.requests[number];
        let id = request.session.id();
        request.is_anew |= !request.has_loaded;
        match verb {
            Verb::Flush => block_on(request.session.flush()).unwrap(),
            _ => block_on(request.session.delete()).unwrap(),
        }
        if let Some(id) = id {
            if matches!(verb, Verb::Flush) {
                request.cycled = None;
            }
            self.oracle.log_out(id);
        }
    }

    fn save(&mut self, number: usize, live: &HashMap<Id, Option<u64>>) {
        let request = &mut self.requests[number];
        let before = request.session.id();
        block_on(request.session.save()).expect("it is no error");
        let after = request.session.id().expect("it has one by now");
        match before {
            Some(id) if id == after => {
                if self.oracle.deletions.get(&id) == Some(&1) && !live.contains_key(&id) {
                    // It was given another id: what it has become is without them.
                    self.oracle.dead.extend(request.removed.drain(..));
                    // If it was cleared unseen, that is logged out.
                    let successor = self.oracle.successors.get(&id).copied();
                    if let Some(successor) = successor.filter(|_| request.has_cleared_unseen) {
                        self.oracle.log_out(successor);
                    }
                }
                if let Some(&user) = live.get(&id) {
                    self.oracle.dead.extend(request.removed.drain(..));
                    if request.has_cleared_unseen {
                        self.oracle.dead.extend(user);
                        request.has_cleared_unseen = false;
                    }
                }
            }
            _ => {
                let cycled = request.cycled.take();
                request.removed.clear();
                request.has_cleared_unseen = false;
                if let Some(old) = cycled {
                    let is_first = self.oracle.deletions.get(&old) == Some(&1);
                    if is_first && !self.oracle.successors.contains_key(&old) {
                        self.oracle.successors.insert(old, after);
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(2_000),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_program_of_requests_brings_a_log_in_back(program in programs(&ALL), told: bool) {
        let mut stage = Stage::new(told);
        for (number, verb) in program {
            stage.play(number, verb);
        }
        stage.store.cache().audit().unwrap();
    }

    #[test]
    fn no_program_of_requests_loses_a_change(program in programs(&MILD), told: bool) {
        let mut stage = Stage::new(told);
        // What each has saved last under its own name, which the others leave alone.
        let mut saved = [None; REQUESTS];
        for (number, verb) in program {
            // The next request begins with what is there.
            if let Verb::Next = verb {
                stage.play(number, verb);
                stage.requests[number].own = saved[number];
                continue;
            }
            stage.play(number, verb);
            if let Verb::Save = verb {
                saved[number] = stage.requests[number].own;
            }
            let mut found = [None; REQUESTS];
            stage.store.cache().for_each(|_, record| {
                for (number, own) in found.iter_mut().enumerate() {
                    *own = record.data.get(&format!("own-{number}")).and_then(|own| own.as_u64());
                }
                assert_eq!(record.data.get("user"), Some(&0.into()), "who is logged in");
            });
            assert_eq!(found, saved);
        }
        assert_eq!(stage.store.cache().len(), 1);
    }
}
