//! Anonymous sessions and those of users who are logged in, in one cache.

use std::collections::HashMap;
use std::sync::Mutex;

use super::*;
use crate::cache::tests::reap_all;
use crate::removal::RemovalCause;

fn capped(store: SundownStore) -> SundownStore {
    store.anonymous(|record| !record.data.contains_key("user")).unwrap()
}

fn visit(store: &SundownStore) -> Id {
    created(store, HOUR).id
}

#[test]
fn a_storm_of_visitors_evicts_no_one_who_is_logged_in() {
    const USERS: usize = 400;
    let clock = ManualClock::new();
    let own = capped(store(&clock));
    let big = SundownStore::new(builder(&clock).max_entries(100_000)).unwrap();
    let front = capped(SundownStore::in_front_of(builder(&clock), big.clone()).unwrap());
    for store in [own, front] {
        let users: Vec<Id> = (0..USERS).map(|_| logged_in(&store)).collect();
        clock.advance(MINUTE);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5_000 {
                        visit(&store);
                        assert!(store.cache().len() <= 1_000);
                    }
                });
            }
        });
        let cached = users.iter().filter(|id| store.cache().contains_key(id)).count();
        assert_eq!(cached, USERS, "evicted");
        store.cache().reap();
        let visitors = store.cache().len() - USERS;
        assert!((450..=500).contains(&visitors), "{visitors}");
        assert_eq!(store.cache().stats().rejections.full, 0);
        store.cache().audit().unwrap();
    }
    // What the cache in front has evicted is in the store behind all the same.
    assert_eq!(big.cache().len(), 20_000 + USERS);
}

#[test]
fn the_least_recently_used_visitor_makes_room() {
    let clock = ManualClock::new();
    let store = capped(SundownStore::new(builder(&clock).max_entries(8)).unwrap());
    let mut visitors = Vec::new();
    for _ in 0..4 {
        visitors.push(visit(&store));
        clock.advance(MINUTE / 10);
    }
    assert!(is_live(&store, &visitors[0]), "a use");
    clock.advance(MINUTE / 10);
    visitors.push(visit(&store));
    let live: Vec<bool> = visitors.iter().map(|id| store.cache().contains_key(id)).collect();
    assert_eq!(live, [true, false, true, true, true]);
}

#[test]
fn a_log_in_counts_at_once_with_and_without_a_new_id() {
    for has_new_id in [false, true] {
        let clock = ManualClock::new();
        let store = capped(SundownStore::new(builder(&clock).max_entries(20)).unwrap());
        let logins: Vec<Session> = (0..8)
            .map(|_| {
                let login = request(&store, visit(&store));
                if has_new_id {
                    block_on(login.cycle_id()).unwrap();
                }
                block_on(login.insert("user", "ada")).unwrap();
                block_on(login.save()).unwrap();
                login
            })
            .collect();
        clock.advance(MINUTE);
        for _ in 0..100 {
            visit(&store);
        }
        assert!(logins.iter().all(|login| is_logged_in(&store, login)), "new id: {has_new_id}");
        // A log-out that leaves the session makes a visitor of it.
        let out = request(&store, logins[0].id().unwrap());
        block_on(out.remove_value("user")).unwrap();
        block_on(out.save()).unwrap();
        clock.advance(MINUTE);
        for _ in 0..100 {
            visit(&store);
        }
        assert!(!is_live(&store, &out.id().unwrap()));
        assert!(logins[1..].iter().all(|login| is_logged_in(&store, login)));
    }
}

#[test]
fn a_log_in_finds_room_in_a_full_cache_that_rejects() {
    for has_new_id in [false, true] {
        let clock = ManualClock::new();
        let builder = builder(&clock).max_entries(4).on_full(OnFull::Reject);
        let store = capped(SundownStore::new(builder).unwrap());
        let users = [logged_in(&store), logged_in(&store)];
        let visitors = [visit(&store), visit(&store)];
        for id in visitors {
            let login = request(&store, id);
            if has_new_id {
                block_on(login.cycle_id()).unwrap();
            }
            block_on(login.insert("user", "bob")).unwrap();
            block_on(login.save()).unwrap();
            assert!(is_logged_in(&store, &login));
        }
        // Now all are logged in, and none makes room.
        refuses(block_on(store.create(&mut record(HOUR))), Refusal::NotTaken(Reason::Full));
        assert!(users.iter().all(|id| is_live(&store, id)) && store.cache().len() == 4);
    }
}

#[test]
fn a_log_out_is_final_and_the_absolute_timeout_holds_over_a_log_in() {
    let clock = ManualClock::new();
    let store = capped(SundownStore::new(builder(&clock).time_to_live(HOUR)).unwrap());
    let id = visit(&store);
    clock.advance(HOUR / 2);
    let (login, slow) = (request(&store, id), request(&store, id));
    block_on(login.insert("user", "ada")).unwrap();
    block_on(login.save()).unwrap();
    block_on(slow.insert("theme", "dark")).unwrap();
    block_on(slow.save()).unwrap();
    assert_eq!(get(&request(&store, id), "user"), Some("ada".into()));
    let late = request(&store, id);
    clock.advance(HOUR / 2);
    assert!(!is_live(&store, &id), "the log-in has bought time");

    let id = logged_in(&store);
    let slow = request(&store, id);
    block_on(request(&store, id).flush()).unwrap();
    block_on(slow.cycle_id()).unwrap();
    block_on(slow.save()).unwrap();
    block_on(late.save()).unwrap();
    assert!(!is_logged_in(&store, &slow) && !is_logged_in(&store, &late));
}

#[test]
fn the_listener_is_told_of_evictions_and_of_each_session_once() {
    let events: Arc<Mutex<Vec<(Id, RemovalCause)>>> = Arc::default();
    let hears = events.clone();
    let builder = builder(&ManualClock::new()).max_entries(4);
    let builder = builder.on_removal(move |id, _, cause| hears.lock().unwrap().push((id, cause)));
    let store = capped(SundownStore::new(builder).unwrap());
    let visitors = [(); 5].map(|()| visit(&store));
    block_on(store.delete(&visitors[4])).unwrap();
    reap_all(store.cache());
    let mut expected: HashMap<_, _> =
        visitors[..3].iter().map(|&id| (id, RemovalCause::Evicted)).collect();
    expected.insert(visitors[4], RemovalCause::Removed);
    let events = events.lock().unwrap();
    assert_eq!(events.len(), expected.len());
    assert_eq!(events.iter().copied().collect::<HashMap<_, _>>(), expected);
}

#[test]
fn a_share_holds_for_weights_too() {
    let clock = ManualClock::new();
    let builder = builder(&clock).max_entries(1_000).max_weight(100);
    let builder = builder.weigher(|_, record| record.data.len() as u64);
    let store = capped(SundownStore::new(builder).unwrap());
    let users: Vec<Id> = (0..20).map(|_| logged_in(&store)).collect();
    clock.advance(MINUTE);
    for _ in 0..100 {
        let visitor = request(&store, visit(&store));
        for n in 0..4 {
            block_on(visitor.insert(&n.to_string(), n)).unwrap();
            block_on(visitor.save()).unwrap();
        }
    }
    assert!(users.iter().all(|id| is_live(&store, id)));
    let weight = store.cache().weight();
    assert!((40 + 40..=40 + 50).contains(&weight), "{weight}");
}

#[test]
fn what_has_logged_in_since_is_not_evicted() {
    let clock = ManualClock::new();
    let store = capped(SundownStore::new(builder(&clock).max_entries(8)).unwrap());
    let id = visit(&store);
    // As between an eviction and the removal that follows it: the store has not classified it yet.
    let log_in = |record: &Record| {
        let mut record = record.clone();
        record.data.insert("user".into(), "ada".into());
        record
    };
    assert!(store.cache().update(&id, log_in).unwrap());
    clock.advance(MINUTE);
    for _ in 0..100 {
        visit(&store);
    }
    assert!(store.cache().contains_key(&id));
}
