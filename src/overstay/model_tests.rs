//! Random histories beside a list that is too plain to be wrong.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::cache::tests::reap_all;
use crate::{Cache, Lifetime, ManualClock, OnFull, Reaper};

#[derive(Clone, Debug)]
enum Op {
    /// Puts a new session in, and keeps a handle or not.
    Insert {
        key: u8,
        keep: bool,
    },
    /// Puts a session in that a handle is held of.
    InsertHeld {
        key: u8,
        handle: usize,
    },
    Get {
        key: u8,
    },
    Remove {
        key: u8,
    },
    Update {
        key: u8,
        same: bool,
    },
    Live {
        key: u8,
        seconds: u64,
    },
    Pass {
        seconds: u64,
    },
    CloneHandle {
        handle: usize,
    },
    DropHandle {
        handle: usize,
    },
    Clear,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let key = 0..4_u8;
    let op = prop_oneof![
        3 => (key.clone(), any::<bool>()).prop_map(|(key, keep)| Op::Insert { key, keep }),
        2 => (key.clone(), any::<usize>()).prop_map(|(key, handle)| Op::InsertHeld { key, handle }),
        3 => key.clone().prop_map(|key| Op::Get { key }),
        2 => key.clone().prop_map(|key| Op::Remove { key }),
        2 => (key.clone(), any::<bool>()).prop_map(|(key, same)| Op::Update { key, same }),
        1 => (key, 1..4_u64).prop_map(|(key, seconds)| Op::Live { key, seconds }),
        2 => (1..4_u64).prop_map(|seconds| Op::Pass { seconds }),
        2 => any::<usize>().prop_map(|handle| Op::CloneHandle { handle }),
        4 => any::<usize>().prop_map(|handle| Op::DropHandle { handle }),
        1 => Just(Op::Clear),
    ];
    proptest::collection::vec(op, 1..60)
}

/// What a handle holds: the session's number, which the model goes by.
trait Kind: Handle + Clone {
    fn make(number: u64) -> Self;
    fn number(&self) -> u64;
}

impl Kind for std::sync::Arc<u64> {
    fn make(number: u64) -> Self {
        Self::new(number)
    }

    fn number(&self) -> u64 {
        **self
    }
}

impl Kind for Tracked<u64> {
    fn make(number: u64) -> Self {
        Self::new(number)
    }

    fn number(&self) -> u64 {
        **self
    }
}

#[derive(Default)]
struct Model {
    now_s: u64,
    made: u64,
    /// Key, session, deadline.
    live: Vec<(u8, u64, u64)>,
    /// Session, when it last left.
    left: Vec<(u64, u64)>,
}

impl Model {
    fn leave(&mut self, gone: impl Fn(&(u8, u64, u64)) -> bool) {
        let now_s = self.now_s;
        for row in self.live.extract_if_(gone) {
            self.left.retain(|&(session, _)| session != row.1);
            self.left.push((row.1, row.2.min(now_s)));
        }
    }

    fn put(&mut self, key: u8, session: u64) {
        let now_s = self.now_s;
        self.leave(|row| row.0 == key && row.2 <= now_s);
        self.leave(|row| row.0 == key);
        if self.live.len() == CAPACITY {
            // As with `OnFull::Reject`.
            return;
        }
        self.live.push((key, session, u64::MAX));
    }

    /// How many are held on since at least [`AFTER_S`], and since when.
    fn overstays(&self, held: &[u64]) -> (u64, u64) {
        let is_live = |session| self.live.iter().any(|row| row.1 == session);
        let stays = self.left.iter().filter(|(session, left_s)| {
            held.contains(session) && !is_live(*session) && self.now_s - left_s >= AFTER_S
        });
        let oldest_s = stays.clone().map(|(_, left_s)| self.now_s - left_s).max();
        (stays.count() as u64, oldest_s.unwrap_or(0))
    }
}

trait ExtractIf<T> {
    fn extract_if_(&mut self, is_out: impl Fn(&T) -> bool) -> Vec<T>;
}

impl<T> ExtractIf<T> for Vec<T> {
    fn extract_if_(&mut self, is_out: impl Fn(&T) -> bool) -> Self {
        let (out, stay) = std::mem::take(self).into_iter().partition(|row| is_out(row));
        *self = stay;
        out
    }
}

const CAPACITY: usize = 3;
const AFTER_S: u64 = 2;

fn agrees<V: Kind>(ops: &[Op]) {
    let clock = ManualClock::new();
    let cache: Cache<u8, V> = Cache::builder()
        .max_entries(CAPACITY)
        .on_full(OnFull::Reject)
        .clock(clock.clone())
        .reaper(Reaper::Manual)
        .track_overstays(Duration::from_secs(AFTER_S))
        .build()
        .expect("the settings are valid");
    let (mut model, mut handles) = (Model::default(), Vec::<V>::new());
    for op in ops {
        step(op, &clock, &cache, &mut model, &mut handles);
        reap_all(&cache);
        let held: Vec<u64> = handles.iter().map(V::number).collect();
        let (told, figures) = (cache.overstays(), cache.stats().overstays);
        let (count, oldest_s) = model.overstays(&held);
        assert_eq!((told.count, told.oldest), (count, Duration::from_secs(oldest_s)), "{op:?}");
        assert_eq!((figures.count, figures.oldest), (told.count, told.oldest));
        let is_told = |handle: &&V| {
            let is_left = model
                .left
                .iter()
                .any(|row| row.0 == handle.number() && model.now_s - row.1 >= AFTER_S);
            is_left && !model.live.iter().any(|row| row.1 == handle.number())
        };
        let of_overstays = handles.iter().filter(is_told).count() as u64;
        let places: u64 = told.holders.iter().map(|holder| holder.count).sum();
        assert!(told.holders.is_empty() || places == of_overstays, "{told:?}");
        cache.audit().expect("every invariant holds");
    }
    drop(handles);
    assert_eq!(cache.overstays(), Overstays::default());
}

fn step<V: Kind>(
    op: &Op,
    clock: &ManualClock,
    cache: &Cache<u8, V>,
    model: &mut Model,
    handles: &mut Vec<V>,
) {
    let pick = |handle: usize| (!handles.is_empty()).then(|| handle % handles.len());
    match *op {
        Op::Insert { key, keep } => {
            model.made += 1;
            let session = V::make(model.made);
            if keep {
                handles.push(session.clone());
            }
            let _ = cache.insert(key, session);
            model.put(key, model.made);
        }
        Op::InsertHeld { key, handle } => {
            let Some(at) = pick(handle) else { return };
            let _ = cache.insert(key, handles[at].clone());
            model.put(key, handles[at].number());
        }
        Op::Get { key } => handles.extend(cache.get(&key)),
        Op::Remove { key } => {
            cache.discard(&key);
            model.leave(|row| row.0 == key);
        }
        Op::Update { key, same } => {
            let made = model.made + 1;
            let change = |old: &V| if same { old.clone() } else { V::make(made) };
            if cache.update(&key, change).expect("an update needs no room") && !same {
                model.made += 1;
                let row = model.live.iter().position(|row| row.0 == key).expect("it is in");
                let (_, session, deadline_s) = model.live[row];
                model.live[row] = (key, made, deadline_s);
                model.left.retain(|row| row.0 != session);
                model.left.push((session, model.now_s));
            }
        }
        Op::Live { key, seconds } => {
            let lifetime = Lifetime::default().live(Duration::from_secs(seconds));
            if cache.set_lifetime(&key, lifetime) {
                let row = model.live.iter_mut().find(|row| row.0 == key).expect("it is in");
                row.2 = model.now_s + seconds;
            }
        }
        Op::Pass { seconds } => {
            // Each second on its own, so that what expires leaves at its deadline.
            for _ in 0..seconds {
                clock.advance(Duration::from_secs(1));
                cache.reap();
                model.now_s += 1;
                let now_s = model.now_s;
                model.leave(|row| row.2 <= now_s);
            }
        }
        Op::CloneHandle { handle } => {
            let Some(at) = pick(handle) else { return };
            handles.push(handles[at].clone());
        }
        Op::DropHandle { handle } => {
            let Some(at) = pick(handle) else { return };
            handles.swap_remove(at);
        }
        Op::Clear => {
            cache.clear();
            model.leave(|_| true);
        }
    }
}

proptest! {
    #[test]
    fn an_arcs_overstays_are_those_of_a_plain_list(ops in ops()) {
        agrees::<std::sync::Arc<u64>>(&ops);
    }

    #[test]
    fn a_tracked_sessions_overstays_are_those_of_a_plain_list(ops in ops()) {
        agrees::<Tracked<u64>>(&ops);
    }
}
