//! Saves: late ones, and those of requests side by side.

use super::*;

#[test]
fn a_late_save_does_not_bring_a_session_back() {
    let clock = ManualClock::new();
    let store = SundownStore::new(builder(&clock).max_entries(2)).unwrap();
    let deleted = created(&store, HOUR);
    block_on(store.delete(&deleted.id)).unwrap();
    let (expired, evicted) = (created(&store, MINUTE), created(&store, HOUR));
    clock.advance(MINUTE);
    for _ in 0..2 {
        created(&store, HOUR);
    }
    for late in [deleted, expired, evicted, record(HOUR)] {
        leaves_out(&store, &late);
    }
}

#[test]
fn a_slow_request_does_not_log_the_user_in_again() {
    let store = store(&ManualClock::new());
    let login = session(&store, None);
    block_on(login.insert("user", "ada")).unwrap();
    block_on(login.save()).unwrap();
    let (slow, logout) = (session(&store, login.id()), session(&store, login.id()));
    block_on(slow.insert("cart", 7)).unwrap();
    block_on(logout.flush()).unwrap();
    block_on(slow.save()).unwrap();
    assert!(!is_live(&store, &login.id().unwrap()));
    // Nor does one that never loaded it, with an id that the store did not make.
    let forged = session(&store, Some(Id::default()));
    block_on(forged.clear());
    block_on(forged.save()).unwrap();
    assert!(store.cache().is_empty());
}

/// A store whose session is deleted in the very middle of the next save: after every look at what
/// is live, before anything is put in.
fn store_that_deletes_in_the_middle() -> (SundownStore, Record, Arc<OnceLock<SundownStore>>) {
    let deleter: Arc<OnceLock<SundownStore>> = Arc::default();
    let inner = deleter.clone();
    let builder = builder(&ManualClock::new()).weigher(move |id, _| {
        if let Some(store) = inner.get() {
            block_on(store.delete(id)).unwrap();
        }
        1
    });
    let store = SundownStore::new(builder).unwrap();
    let record = created(&store, HOUR);
    (store, record, deleter)
}

#[test]
fn a_save_that_a_deletion_overtakes_does_not_bring_the_session_back() {
    let (store, record, deleter) = store_that_deletes_in_the_middle();
    deleter.set(store.clone()).unwrap();
    leaves_out(&store, &record);
    assert!(store.cache().is_empty(), "hidden, but kept");
}

#[test]
fn what_ended_during_a_request_is_no_error_and_does_not_come_back() {
    let clock = ManualClock::new();
    let make = || {
        let builder = builder(&clock).max_entries(2).time_to_idle(10 * MINUTE);
        SundownStore::new(builder).unwrap()
    };
    type End<'a> = &'a dyn Fn(&SundownStore, &Session);
    let end: [End<'_>; 4] = [
        &|_, _| clock.advance(10 * MINUTE),
        &|_, _| clock.advance(2 * HOUR),
        &|store, _| {
            clock.advance(MINUTE);
            let _others = [created(store, HOUR), created(store, HOUR)];
        },
        &|store, slow| block_on(store.delete(&slow.id().unwrap())).unwrap(),
    ];
    for end in end {
        let store = make();
        let slow = request(&store, logged_in(&store));
        end(&store, &slow);
        block_on(slow.insert("cart", 8)).unwrap();
        block_on(slow.save()).expect("it is no error");
        assert!(!is_logged_in(&store, &slow));
    }
}

#[test]
fn requests_side_by_side_lose_nothing_and_bring_nothing_back() {
    for time_to_live in [false, true] {
        let builder = builder(&ManualClock::new());
        let builder = if time_to_live { builder.time_to_live(HOUR) } else { builder };
        let store = SundownStore::new(builder).unwrap();
        let id = logged_in(&store);
        let (one, two) = (request(&store, id), request(&store, id));
        block_on(one.insert("cart", 8)).unwrap();
        block_on(two.insert("theme", "dark")).unwrap();
        block_on(one.save()).unwrap();
        block_on(two.save()).unwrap();
        let now = request(&store, id);
        assert_eq!((get(&now, "cart"), get(&now, "theme")), (Some(8.into()), Some("dark".into())));

        let (out, other) = (request(&store, id), request(&store, id));
        block_on(out.remove_value("user")).unwrap();
        block_on(other.insert("theme", "light")).unwrap();
        block_on(out.save()).unwrap();
        block_on(other.save()).unwrap();
        let now = request(&store, id);
        assert_eq!((get(&now, "user"), get(&now, "theme")), (None, Some("light".into())));
        assert_eq!(store.cache().len(), 1);
    }
}

#[test]
fn a_request_that_saves_twice_knows_what_it_has_saved() {
    let store = store(&ManualClock::new());
    let id = logged_in(&store);
    let (one, two) = (request(&store, id), request(&store, id));
    block_on(one.insert("step", 1)).unwrap();
    block_on(one.save()).unwrap();
    block_on(two.insert("theme", "dark")).unwrap();
    block_on(two.save()).unwrap();
    block_on(one.remove_value("step")).unwrap();
    block_on(one.save()).unwrap();
    let now = request(&store, id);
    assert_eq!((get(&now, "step"), get(&now, "theme")), (None, Some("dark".into())));

    // Also if it has cleared it in between.
    let again = request(&store, id);
    block_on(again.insert("step", 2)).unwrap();
    block_on(again.save()).unwrap();
    block_on(again.clear());
    block_on(again.insert("theme", "light")).unwrap();
    block_on(again.save()).unwrap();
    let now = request(&store, id);
    assert_eq!((get(&now, "step"), get(&now, "user")), (None, None));

    // Nor does the second save undo what another request has done after the first.
    let login = request(&store, id);
    block_on(login.insert("user", "bob")).unwrap();
    block_on(login.save()).unwrap();
    let out = request(&store, id);
    block_on(out.remove_value("user")).unwrap();
    block_on(out.save()).unwrap();
    block_on(login.insert("cart", 9)).unwrap();
    block_on(login.save()).unwrap();
    let now = request(&store, id);
    assert_eq!((get(&now, "user"), get(&now, "cart")), (None, Some(9.into())));
}

#[test]
fn copies_that_lie_in_one_place_one_after_the_other_are_not_taken_for_one() {
    let store = store(&ManualClock::new());
    let id = created(&store, HOUR).id;
    let load = || block_on(store.load(&id)).unwrap().unwrap();
    let copies = [(load(), "cart"), (load(), "theme")];
    for (mut copy, name) in copies {
        copy.data.insert(name.into(), 1.into());
        block_on(store.save(&copy)).unwrap();
    }
    let names = ["n", "cart", "theme"];
    assert!(names.iter().all(|&name| load().data.contains_key(name)));
}

#[test]
fn a_copy_whose_base_is_forgotten_is_refused_rather_than_guessed_at() {
    let clock = ManualClock::new();
    let store = SundownStore::new(builder(&clock).time_to_live(24 * HOUR)).unwrap();
    let mut record = created(&store, 24 * HOUR);
    let (mut slow, id) = (record.clone(), record.id);
    record.data.insert("theme".into(), 1.into());
    block_on(store.save(&record)).unwrap();
    clock.advance(MEMORY_AGE);
    slow.data.insert("cart".into(), 1.into());
    refuses(block_on(store.save(&slow)), Refusal::Conflict);
    assert!(!block_on(store.load(&id)).unwrap().unwrap().data.contains_key("cart"));
    // What a request has made itself replaces the session: `Session::clear` without a load.
    let fresh = session(&store, Some(id));
    block_on(fresh.clear());
    block_on(fresh.save()).unwrap();
    assert!(!block_on(store.load(&id)).unwrap().unwrap().data.contains_key("theme"));
}
