//! One call after the other, until every verb has been called in every way that matters.

use crate::rig::{Place, Value};
use crate::stage::{IDLE, Stage};
use std::time::Duration;
use sundown::Lifetime;

/// One call of a verb.
pub(crate) struct Turn {
    pub(crate) name: &'static str,
    pub(crate) call: fn(&Stage),
    /// It calls the cache from inside a closure, so that one panic may follow upon changes.
    pub(crate) is_nested: bool,
}

fn turn(name: &'static str, call: fn(&Stage)) -> Turn {
    Turn { name, call, is_nested: false }
}

fn nested(name: &'static str, call: fn(&Stage)) -> Turn {
    Turn { name, call, is_nested: true }
}

fn live(ms: u64) -> Lifetime {
    Lifetime::default().live(Duration::from_millis(ms))
}

/// All turns. The clock moves a millisecond before each.
pub(crate) fn turns() -> Vec<Turn> {
    [insertions(), reads(), updates(), removals(), expiry(), crowding(), endings()]
        .into_iter()
        .flatten()
        .collect()
}

fn insertions() -> Vec<Turn> {
    vec![
        turn("insert 0", |stage| stage.offer(0, 1, 1)),
        turn("insert 1", |stage| stage.offer(1, 2, 2)),
        turn("insert 2", |stage| stage.offer(2, 3, 1)),
        turn("insert over 1", |stage| stage.offer(1, 4, 3)),
        turn("insert_for", |stage| stage.offer_for(3, 5, live(20_000))),
        turn("insert_if_absent, occupied", |stage| {
            let (key, value) = stage.pair(0, 6, 1);
            let _ = stage.cache.insert_if_absent(key, value, Lifetime::default());
        }),
        turn("insert_if_absent, absent", |stage| {
            let (key, value) = stage.pair(4, 7, 1);
            let _ = stage.cache.insert_if_absent(key, value, live(9_000));
        }),
        turn("replace, present", |stage| {
            let (key, value) = stage.pair(2, 8, 2);
            let _ = stage.cache.replace(key, value, live(8_000));
        }),
        turn("replace, absent", |stage| {
            let (key, value) = stage.pair(99, 9, 2);
            let _ = stage.cache.replace(key, value, Lifetime::default());
        }),
        turn("insert, too heavy", |stage| stage.offer(5, 10, 99)),
    ]
}

fn reads() -> Vec<Turn> {
    vec![
        turn("get", |stage| drop(stage.cache.get(&stage.id(0)))),
        turn("get, absent", |stage| drop(stage.cache.get(&stage.id(98)))),
        turn("read", |stage| {
            stage.cache.read(&stage.id(1), |_| stage.rig.reach(Place::Read));
        }),
        nested("read what is removed meanwhile", |stage| {
            stage.cache.read(&stage.id(3), |_| {
                stage.cache.discard(&stage.id(3));
                stage.cache.reap();
                stage.rig.reach(Place::Read);
            });
        }),
        turn("peek", |stage| drop(stage.cache.peek(&stage.id(2)))),
        turn("contains_key", |stage| {
            stage.cache.contains_key(&stage.id(2));
        }),
        turn("touch", |stage| {
            stage.cache.touch(&stage.id(4));
        }),
        turn("expires_in", |stage| {
            stage.cache.expires_in(&stage.id(4));
        }),
        turn("set_lifetime, shorter", |stage| {
            stage.cache.set_lifetime(&stage.id(0), live(300));
        }),
        turn("set_lifetime, longer", |stage| {
            stage.cache.set_lifetime(&stage.id(0), live(30_000));
        }),
    ]
}

/// The next value of an update's closure.
fn heavier(stage: &Stage, old: &Value) -> Value {
    stage.rig.reach(Place::Update);
    Value::new(&stage.rig, old.label + 100, old.weight + 1)
}

fn updates() -> Vec<Turn> {
    vec![
        turn("update", |stage| {
            let _ = stage.cache.update(&stage.id(2), |old| heavier(stage, old));
        }),
        turn("update, absent", |stage| {
            let _ = stage.cache.update(&stage.id(97), |old| heavier(stage, old));
        }),
        turn("update, too heavy", |stage| {
            let _ = stage.cache.update(&stage.id(1), |old| {
                stage.rig.reach(Place::Update);
                Value::new(&stage.rig, old.label, 99)
            });
        }),
        nested("update that loses a race", |stage| {
            let mut runs = 0;
            let _ = stage.cache.update(&stage.id(1), |old| {
                runs += 1;
                if runs == 1 {
                    stage.put(1, 20, 1);
                }
                heavier(stage, old)
            });
        }),
        nested("update of what is removed meanwhile", |stage| {
            let _ = stage.cache.update(&stage.id(4), |old| {
                stage.cache.discard(&stage.id(4));
                heavier(stage, old)
            });
        }),
    ]
}

fn removals() -> Vec<Turn> {
    vec![
        turn("remove", |stage| drop(stage.cache.remove(&stage.id(0)))),
        turn("remove, absent", |stage| drop(stage.cache.remove(&stage.id(96)))),
        turn("insert 0 anew", |stage| stage.offer(0, 30, 1)),
        turn("discard", |stage| {
            stage.cache.discard(&stage.id(2));
        }),
        turn("insert 2 anew", |stage| stage.offer(2, 31, 1)),
        turn("remove_if, no", |stage| {
            stage.cache.remove_if(&stage.id(2), |_, _| {
                stage.rig.reach(Place::RemoveIf);
                false
            });
        }),
        nested("remove_if of what is replaced meanwhile", |stage| {
            let mut runs = 0;
            stage.cache.remove_if(&stage.id(2), |_, _| {
                runs += 1;
                if runs == 1 {
                    stage.put(2, 32, 2);
                }
                stage.rig.reach(Place::RemoveIf);
                true
            });
        }),
        turn("insert 5", |stage| stage.offer(5, 33, 1)),
        turn("insert 6", |stage| stage.offer(6, 34, 1)),
        turn("retain", |stage| {
            stage.cache.retain(|key, _| {
                stage.rig.reach(Place::Retain);
                key.id.number % 2 == 0
            });
        }),
        turn("for_each", |stage| stage.cache.for_each(|_, _| stage.rig.reach(Place::ForEach))),
        turn("reap garbage", |stage| {
            stage.cache.reap();
        }),
    ]
}

fn expiry() -> Vec<Turn> {
    vec![
        turn("insert for 3 ms", |stage| stage.offer_for(7, 40, live(3))),
        turn("insert for 4 ms", |stage| stage.offer_for(8, 41, live(4))),
        turn("wait", |stage| stage.advance(1)),
        turn("reap one that is due", |stage| {
            stage.cache.reap();
        }),
        turn("wait", |stage| stage.advance(1)),
        turn("insert over one that is due", |stage| stage.offer(8, 42, 1)),
        turn("insert for 2 ms", |stage| stage.offer_for(7, 43, live(2))),
        turn("wait", |stage| stage.advance(1)),
        turn("insert_if_absent over one that is due", |stage| {
            let (key, value) = stage.pair(7, 44, 1);
            let _ = stage.cache.insert_if_absent(key, value, live(1));
        }),
        turn("remove one that is due", |stage| drop(stage.cache.remove(&stage.id(7)))),
    ]
}

fn crowding() -> Vec<Turn> {
    let mut turns: Vec<Turn> = Vec::new();
    let crowd: [fn(&Stage); 9] = [
        |stage| stage.offer(10, 50, 2),
        |stage| stage.offer(11, 51, 2),
        |stage| stage.offer(12, 52, 2),
        |stage| stage.offer(13, 53, 3),
        |stage| stage.offer(14, 54, 3),
        |stage| stage.offer(15, 55, 3),
        |stage| stage.offer(16, 56, 1),
        |stage| stage.offer(17, 57, 1),
        |stage| stage.offer(18, 58, 1),
    ];
    turns.extend(crowd.into_iter().map(|call| turn("insert into a crowd", call)));
    turns.extend([
        turn("insert a heavy one", |stage| stage.offer(19, 59, 12)),
        turn("replace by a heavier one", |stage| stage.offer(18, 60, 6)),
        turn("update to a heavier one", |stage| {
            let _ = stage.cache.update(&stage.id(18), |old| heavier(stage, old));
        }),
        turn("update to a lighter one", |stage| {
            let _ = stage.cache.update(&stage.id(18), |old| {
                stage.rig.reach(Place::Update);
                Value::new(&stage.rig, old.label, 1)
            });
        }),
        turn("wait", |stage| stage.clock.advance(IDLE)),
        turn("insert among many that are due", |stage| stage.offer(20, 61, 20)),
        turn("wait", |stage| stage.clock.advance(IDLE)),
        turn("reap the idle", |stage| {
            stage.cache.reap();
        }),
    ]);
    turns
}

fn endings() -> Vec<Turn> {
    vec![
        turn("insert before clear", |stage| stage.offer(1, 70, 1)),
        turn("insert another before clear", |stage| stage.offer(2, 71, 1)),
        turn("clear", |stage| stage.cache.clear()),
        turn("reap what was cleared", |stage| {
            stage.cache.reap();
        }),
        turn("insert after clear", |stage| stage.offer(1, 72, 1)),
    ]
}
