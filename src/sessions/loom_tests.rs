//! Models of lives and of the index, with a cell that stands for the session's entry in the cache: one
//! step of the cache is one hold of its lock.

use super::OnLimit;
use super::id::{PublicId, SessionId};
use super::life::{Ending, Life, Root, State};
use super::principals::{NoPlace, Principals};
use crate::platform::clock::{Clock, ManualClock};
use crate::platform::loom_tests::Depth::{Complete, Preemptions};
use crate::platform::loom_tests::{Seen, check, race};
use crate::platform::sync::{Arc, Mutex};

/// A version: the life that it names, and the one before.
type Version = (Arc<Life<u32>>, Option<Arc<Life<u32>>>);

struct Scene {
    entry: Mutex<Option<Version>>,
    principals: Principals<u32>,
    /// Loom does not see what orders the end of an `Arc`: the lives stay until the scene is over.
    lives: std::sync::Mutex<Vec<Arc<Life<u32>>>>,
}

fn life(public: PublicId, principal: Option<u32>, created_ns: u64) -> Arc<Life<u32>> {
    let clock = Clock::from(ManualClock::new());
    let hash = principal.map_or(0, u64::from);
    Arc::new(Life::new(Arc::new(Root { public, clock, created_ns }), (principal, hash)))
}

impl Scene {
    /// A session of `principal`.
    fn new(limit: Option<(usize, OnLimit)>, principal: Option<u32>) -> (Arc<Self>, Arc<Life<u32>>) {
        let first = life(SessionId::draw().public_id(), principal, 0);
        let principals = Principals::new(limit);
        assert!(principals.try_enter(&first, |_| false).is_ok() && first.begin(None));
        let entry = Mutex::new(Some((first.clone(), None)));
        let lives = std::sync::Mutex::new(vec![first.clone()]);
        (Arc::new(Self { entry, principals, lives }), first)
    }

    /// The life of the version that is served.
    fn served(&self) -> Option<Arc<Life<u32>>> {
        let entry = self.entry.lock();
        let (life, before) = entry.as_ref()?;
        // Settled, or asked.
        (before.is_none() || life.is_served(before.as_deref())).then(|| life.clone())
    }

    fn discard(&self, ended: &Arc<Life<u32>>) -> bool {
        let mut entry = self.entry.lock();
        let is_it = entry.as_ref().is_some_and(|(life, before)| {
            let is_before = before.as_ref().is_some_and(|before| before.is(ended));
            life.is(ended) || is_before && ended.state() != State::Superseded
        });
        if is_it {
            *entry = None;
        }
        drop(entry);
        self.principals.leave(ended);
        is_it
    }

    /// A log-in of `principal`, step by step as `Sessions::authenticate` takes them.
    fn log_in(&self, before: &Arc<Life<u32>>, principal: u32) -> bool {
        let next =
            Arc::new(Life::new(before.root.clone(), (Some(principal), u64::from(principal))));
        self.lives.lock().expect("nobody panics").push(next.clone());
        assert!(self.principals.try_enter(&next, |_| false).is_ok());
        let is_bound = {
            let mut entry = self.entry.lock();
            let is_it = entry.as_ref().is_some_and(|(life, older)| {
                let is_served = older.is_none() || life.is_served(older.as_deref());
                life.is(before) && is_served && next.state().counts()
            });
            if is_it {
                *entry = Some((next.clone(), Some(before.clone())));
            }
            is_it
        };
        if !is_bound {
            self.principals.leave(&next);
            return false;
        }
        let has_begun = next.begin(Some(before));
        self.principals.leave(before);
        if !has_begun {
            next.end(Ending::Revoked);
            self.discard(&next);
        }
        has_begun
    }
}

/// L1, L2: the end of a session and its log-in. It goes on, or has ended for good; never both, never neither.
#[test]
fn loom_end_of_a_session_against_its_log_in() {
    let seen = Seen::new(["it ended before the log-in", "it went on"]);
    let notes = seen.clone();
    check(Preemptions(3), Complete, move || {
        let (scene, first) = Scene::new(None, Some(1));
        let (other, ended) = (scene.clone(), first.clone());
        let end = move || {
            let has_ended = ended.end(Ending::Revoked);
            // As `Inner::revoke` does, also where the life was not this call's to end.
            other.discard(&ended);
            if has_ended {
                assert!(other.served().is_none(), "S3: it is served after its end");
            }
            has_ended
        };
        let (is_in, [has_ended]) = race(|| scene.log_in(&first, 2), [Box::new(end)]);
        assert_ne!(is_in, has_ended, "L1: one of the two comes first");
        assert_eq!(scene.served().is_some(), is_in, "S3");
        assert_eq!(scene.principals.len(), if is_in { (1, 1) } else { (0, 0) }, "S1");
        assert!(scene.principals.of(1, &1).is_empty(), "S1: it is no longer the first one's");
        notes.note(usize::from(is_in));
    });
    seen.assert_all();
}

/// S3: all sessions of a principal end while one more becomes the principal's.
#[test]
fn loom_end_of_all_sessions_against_a_log_in() {
    let seen = Seen::new(["the log-in came later", "it was ended"]);
    let notes = seen.clone();
    check(Preemptions(3), Complete, move || {
        let (scene, first) = Scene::new(None, None);
        let other = scene.clone();
        let end_all = move || {
            let ended = other.principals.end_all(2, &2, |_| false);
            ended.iter().for_each(|(life, _)| _ = other.discard(life));
            let is_ended = ended.iter().any(|(_, is_own)| *is_own);
            let served = other.served();
            let is_back = served.is_some_and(|life| ended.iter().any(|(ended, _)| ended.is(&life)));
            assert!(!is_back, "S3: one is served after the end of all");
            is_ended
        };
        let (is_in, [is_ended]) = race(|| scene.log_in(&first, 2), [Box::new(end_all)]);
        assert!(!(is_in && is_ended) || scene.served().is_none(), "S3: it came back");
        let listed = scene.principals.len();
        assert_eq!(listed, if is_in && !is_ended { (1, 1) } else { (0, 0) }, "S1");
        notes.note(usize::from(is_ended));
    });
    seen.assert_all();
}

/// S2: two newcomers and a place for one, which has been taken before. As the cache, a cell for each session's
/// entry.
#[test]
fn loom_limit_against_limit() {
    for on_limit in [OnLimit::RevokeOldest, OnLimit::Refuse] {
        check(Preemptions(3), Complete, move || {
            let principals = Arc::new(Principals::new(Some((1, on_limit))));
            let lives: Vec<_> =
                (0..3).map(|at| life(SessionId::draw().public_id(), Some(7), at)).collect();
            let entries = Arc::new(Mutex::new([false; 3]));
            let log_in = |number: usize| {
                let (principals, entries, lives) =
                    (principals.clone(), entries.clone(), lives.clone());
                move || {
                    let discard = |life: &Arc<Life<u32>>| {
                        entries.lock()[life.root.created_ns as usize] = false;
                        principals.leave(life);
                    };
                    loop {
                        match principals.try_enter(&lives[number], |_| false) {
                            Ok(()) => break,
                            Err(NoPlace::Refused) => {
                                assert_eq!(on_limit, OnLimit::Refuse, "S2: the oldest can go");
                                return false;
                            }
                            Err(NoPlace::Leaving { leaving, .. }) => {
                                leaving.iter().for_each(discard);
                            }
                        }
                    }
                    let mut all = entries.lock();
                    all[number] = true;
                    // One that was ended before its entry was in is nobody's: its id is not known yet.
                    let known = (0..3).filter(|&at| all[at] && lives[at].state().counts());
                    assert!(known.count() <= 1, "S2: more than one is served");
                    assert!(!all[0] || number == 0, "S2: the first is served still");
                    drop(all);
                    if !lives[number].begin(None) {
                        discard(&lives[number]);
                        return false;
                    }
                    true
                }
            };
            assert!(log_in(0)());
            let (one, [other]) = race(log_in(1), [Box::new(log_in(2))]);
            assert!(on_limit == OnLimit::RevokeOldest || !one && !other, "S2");
            let count = entries.lock().iter().filter(|&&is_in| is_in).count();
            assert_eq!((count, principals.len()), (1, (1, 1)));
            principals.check(|_| ()).expect("S9");
        });
    }
}

/// The cache tells of an end before the session is begun, or while it is ended by a call.
#[test]
fn loom_end_by_the_cache_against_the_beginning_and_a_call() {
    check(Preemptions(3), Complete, || {
        let principals = Arc::new(Principals::new(None));
        let own = life(SessionId::draw().public_id(), Some(7), 0);
        assert!(principals.try_enter(&own, |_| false).is_ok());
        let forget = {
            let (principals, own) = (principals.clone(), own.clone());
            move || {
                principals.forget(&own);
                true
            }
        };
        let (has_begun, [_]) =
            race(|| own.begin(None) && own.end(Ending::Revoked), [Box::new(forget)]);
        _ = has_begun;
        assert_eq!(principals.len(), (0, 0), "S1: a place stays");
        assert!(!own.is_served(None), "L3");
    });
}
