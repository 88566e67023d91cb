//! New ids, log-outs, and what each request then finds.

use super::*;

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
