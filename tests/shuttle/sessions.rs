//! Threads that log a few users in, change their sessions and end them: limits and revocations hold in each
//! schedule.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sundown::sessions::{OnLimit, SessionId, Sessions};
use sundown::{ManualClock, Reaper};

use crate::history::program::Dice;

const PRINCIPALS: u64 = 2;
const LIMIT: usize = 2;
const ACTS: u64 = 6;

/// What the threads know of sessions: their ids, each with the session's number and principal.
#[derive(Default)]
struct Known {
    ids: Vec<(usize, u8, SessionId)>,
    next: usize,
    /// Those that must not be served any more.
    dead: HashSet<usize>,
}

#[derive(Clone)]
struct Stage {
    sessions: Sessions<u8, u8>,
    known: Arc<Mutex<Known>>,
}

/// One run, drawn from these dice.
pub(crate) fn run(mut dice: Dice) {
    let grace = Duration::from_secs(5 * (dice.roll() % 2));
    let sessions = Sessions::builder()
        .max_entries(100)
        .shards(1)
        .clock(ManualClock::new())
        .reaper(Reaper::Manual)
        .max_per_principal(LIMIT, OnLimit::RevokeOldest)
        .rotation_grace(grace)
        .build()
        .expect("the settings are valid");
    let stage = Stage { sessions, known: Arc::default() };
    let threads: Vec<_> = (0..2 + dice.roll() % 2)
        .map(|_| {
            let (stage, mut dice) = (stage.clone(), Dice(dice.roll()));
            shuttle::thread::spawn(move || {
                (0..1 + dice.roll() % ACTS).for_each(|_| stage.act(&mut dice))
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no call panics"));
    let known = stage.known();
    for (number, _, id) in &known.ids {
        assert!(!known.dead.contains(number) || stage.sessions.get(id).is_none(), "served again");
    }
    drop(known);
    stage.sessions.audit().expect("the index has what the cache has");
    stage.sessions.revoke_everyone();
    for _ in 0..crate::PATIENCE {
        stage.sessions.reap();
        if stage.sessions.stats().engine.retired.count == 0 {
            break;
        }
        crate::wait();
    }
    let stats = stage.sessions.stats();
    assert_eq!((stats.engine.entries, stats.principals, stats.with_principal), (0, 0, 0));
}

impl Stage {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().expect("no thread panics under it")
    }

    fn learn(&self, principal: u8, id: SessionId) {
        let mut known = self.known();
        known.next += 1;
        let number = known.next;
        known.ids.push((number, principal, id));
    }

    fn pick(&self, dice: &mut Dice) -> Option<(usize, u8, SessionId)> {
        let (known, roll) = (self.known(), dice.roll() as usize);
        (!known.ids.is_empty()).then(|| known.ids[roll % known.ids.len()].clone())
    }

    fn act(&self, dice: &mut Dice) {
        let principal = (dice.roll() % PRINCIPALS) as u8;
        match dice.roll() % 8 {
            0 | 1 => {
                let id = self.sessions.create_for(principal, 0).expect("there is room");
                self.learn(principal, id);
            }
            2 => {
                let visitor = self.sessions.create(0).expect("there is room");
                // Its user may be logged out everywhere meanwhile.
                if let Ok(id) = self.sessions.authenticate(&visitor, principal) {
                    assert!(
                        self.sessions
                            .get(&visitor)
                            .is_none_or(|session| { session.principal() == Some(&principal) })
                    );
                    self.learn(principal, id);
                }
            }
            3 => {
                let Some((number, principal, id)) = self.pick(dice) else { return };
                if let Some(new) = self.sessions.rotate(&id) {
                    self.known().ids.push((number, principal, new));
                }
            }
            4 => {
                let Some((.., id)) = self.pick(dice) else { return };
                let _ended = self.sessions.update(&id, |data| data.wrapping_add(1));
            }
            5 => {
                let Some((number, _, id)) = self.pick(dice) else { return };
                if self.sessions.revoke(&id) {
                    self.known().dead.insert(number);
                }
            }
            6 => {
                let own = |&&(_, whose, _): &&(usize, u8, SessionId)| whose == principal;
                let before: Vec<_> = self.known().ids.iter().filter(own).cloned().collect();
                self.sessions.revoke_all(&principal);
                let is_served =
                    |(.., id): &(usize, u8, SessionId)| self.sessions.peek(id).is_some();
                assert!(!before.iter().any(is_served), "served after its revocation");
                self.known().dead.extend(before.iter().map(|(number, ..)| *number));
            }
            _ => {
                let listed = self.sessions.sessions_of(&principal).len();
                assert!(listed <= LIMIT, "{listed} sessions at a limit of {LIMIT}");
            }
        }
    }
}
