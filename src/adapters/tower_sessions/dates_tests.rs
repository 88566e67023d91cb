//! Dates, clocks and timeouts.

use super::*;

#[test]
fn a_session_ends_at_its_expiry_date() {
    let clock = ManualClock::new();
    let store = store(&clock);
    let mut record = created(&store, MINUTE);
    clock.advance(MINUTE - Duration::from_secs(5));
    assert!(is_live(&store, &record.id));
    // Ten minutes from the real now, which has hardly moved; so 10 minutes from here.
    record.expiry_date += 9 * MINUTE;
    block_on(store.save(&record)).unwrap();
    clock.advance(10 * MINUTE - Duration::from_secs(5));
    assert!(is_live(&store, &record.id));
    clock.advance(Duration::from_secs(5));
    assert!(!is_live(&store, &record.id));
    leaves_out(&store, &record);
    block_on(store.delete_expired()).unwrap();
    assert_eq!(store.cache().len(), 0);
}

thread_local! {
    static WALL_NS: Cell<i128> = const { Cell::new(0) };
}

/// A store whose wall clock the test sets.
fn store_by_the_wall(builder: Builder<Id, Record>, wall_ns: i128) -> SundownStore {
    WALL_NS.set(wall_ns);
    SundownStore::by_wall(builder, || WALL_NS.get()).unwrap()
}

#[test]
fn a_step_of_the_wall_clock_moves_no_deadline() {
    let now = record(Duration::ZERO);
    let now_ns = now.expiry_date.unix_timestamp_nanos();
    for step_s in [-86_400, -30, 30, 86_400] {
        let clock = ManualClock::new();
        let store = store_by_the_wall(builder(&clock), now_ns);
        let mut record = Record { expiry_date: now.expiry_date + MINUTE, ..now.clone() };
        block_on(store.create(&mut record)).unwrap();
        WALL_NS.set(now_ns + step_s * SECOND_NS);
        clock.advance(MINUTE - Duration::from_nanos(1));
        assert!(is_live(&store, &record.id), "lost by a step of {step_s} s");
        clock.advance(Duration::from_nanos(1));
        assert!(!is_live(&store, &record.id), "kept by a step of {step_s} s");
    }
}

#[test]
fn a_session_saved_after_a_step_goes_by_the_new_wall_clock() {
    let now = record(Duration::ZERO);
    let now_ns = now.expiry_date.unix_timestamp_nanos();
    let clock = ManualClock::new();
    let store = store_by_the_wall(builder(&clock), now_ns);
    let mut record = Record { expiry_date: now.expiry_date + MINUTE, ..now };
    block_on(store.create(&mut record)).unwrap();
    WALL_NS.set(now_ns + 3_600 * SECOND_NS);
    record.expiry_date += HOUR;
    block_on(store.save(&record)).unwrap();
    clock.advance(MINUTE - Duration::from_nanos(1));
    assert!(is_live(&store, &record.id));
    clock.advance(Duration::from_nanos(1));
    assert!(!is_live(&store, &record.id));
}

#[test]
fn a_step_of_the_wall_clock_moves_no_absolute_deadline_either() {
    let now = record(Duration::ZERO);
    let now_ns = now.expiry_date.unix_timestamp_nanos();
    for step_s in [-86_400, 86_400] {
        let clock = ManualClock::new();
        let store = store_by_the_wall(builder(&clock).time_to_live(HOUR), now_ns);
        let mut record = Record { expiry_date: now.expiry_date + 2 * HOUR, ..now.clone() };
        block_on(store.create(&mut record)).unwrap();
        clock.advance(HOUR / 2);
        WALL_NS.set(now_ns + (1_800 + step_s) * SECOND_NS);
        block_on(store.delete(&record.id)).unwrap();
        record.id = Id::default();
        record.expiry_date = now.expiry_date + Duration::from_secs(2 * 86_400);
        block_on(store.create(&mut record)).unwrap();
        clock.advance(HOUR / 2 - Duration::from_millis(1));
        assert!(is_live(&store, &record.id), "lost by a step of {step_s} s");
        clock.advance(Duration::from_millis(1));
        assert!(!is_live(&store, &record.id), "kept by a step of {step_s} s");
    }
}

#[test]
fn the_time_to_live_caps_the_expiry_date_from_creation_on() {
    let clock = ManualClock::new();
    let store = SundownStore::new(builder(&clock).time_to_live(HOUR)).unwrap();
    let mut record = created(&store, 24 * HOUR);
    for _ in 0..5 {
        clock.advance(10 * MINUTE);
        // As after `Session::clear`: what the record knows of its creation is gone too.
        record.data.clear();
        block_on(store.save(&record)).unwrap();
    }
    clock.advance(10 * MINUTE - Duration::from_millis(1));
    assert!(is_live(&store, &record.id));
    clock.advance(Duration::from_millis(1));
    assert!(!is_live(&store, &record.id));
}

#[test]
fn cycling_the_id_does_not_reset_the_absolute_deadline() {
    let clock = ManualClock::new();
    let store = SundownStore::new(builder(&clock).time_to_live(HOUR)).unwrap();
    let first = session(&store, None);
    block_on(first.insert("user", "ada")).unwrap();
    block_on(first.save()).unwrap();
    let mut id = first.id().unwrap();
    for _ in 0..5 {
        clock.advance(10 * MINUTE);
        let request = session(&store, Some(id));
        block_on(request.cycle_id()).unwrap();
        block_on(request.save()).unwrap();
        assert_ne!(request.id(), Some(id));
        assert!(!is_live(&store, &id), "the old id still works");
        id = request.id().unwrap();
        assert_eq!(block_on(request.get("user")).unwrap(), Some("ada".to_owned()));
    }
    let slow = session(&store, Some(id));
    assert!(block_on(slow.get::<String>("user")).unwrap().is_some());
    clock.advance(10 * MINUTE);
    assert!(!is_live(&store, &id), "cycling has bought time");
    block_on(slow.cycle_id()).unwrap();
    block_on(slow.save()).unwrap();
    assert!(!is_live(&store, &slow.id().unwrap()), "it begins a second life");
}

#[test]
fn the_time_to_idle_starts_anew_with_each_load() {
    let clock = ManualClock::new();
    let store = SundownStore::new(builder(&clock).time_to_idle(10 * MINUTE)).unwrap();
    let record = created(&store, HOUR);
    for _ in 0..4 {
        clock.advance(9 * MINUTE);
        assert!(is_live(&store, &record.id));
    }
    clock.advance(10 * MINUTE);
    assert!(!is_live(&store, &record.id));
}

#[test]
fn an_expiry_date_in_the_past_ends_the_session() {
    let store = store(&ManualClock::new());
    let mut live = created(&store, HOUR);
    live.expiry_date -= 2 * HOUR;
    block_on(store.save(&live)).unwrap();
    assert!(!is_live(&store, &live.id));
    let id = live.id;
    block_on(store.create(&mut live)).unwrap();
    assert!(live.id != id && !is_live(&store, &live.id) && store.cache().is_empty());
}

#[test]
fn no_date_is_an_error() {
    let store = store(&ManualClock::new());
    let now = record(Duration::ZERO).expiry_date;
    let theirs = |span: Duration| (now + span) - now;
    let epoch = now - Duration::from_nanos(now.unix_timestamp_nanos() as u64);
    let over = [
        Expiry::OnInactivity(theirs(Duration::ZERO)),
        Expiry::OnInactivity(-theirs(HOUR)),
        Expiry::AtDateTime(epoch),
    ];
    let far = [
        Expiry::AtDateTime(now.replace_year(9999).unwrap()),
        Expiry::OnInactivity(theirs(HOUR) * 24 * 366 * 20),
        Expiry::OnInactivity(theirs(HOUR).saturating_mul(i32::MAX).saturating_mul(i32::MAX)),
    ];
    for (expiry, is_far) in over.map(|it| (it, false)).into_iter().chain(far.map(|it| (it, true))) {
        let new = Session::new(None, Arc::new(store.clone()), Some(expiry));
        block_on(new.insert("user", "ada")).unwrap();
        block_on(new.save()).unwrap();
        assert_eq!(is_live(&store, &new.id().unwrap()), is_far, "created with {expiry:?}");
        let old = created(&store, HOUR);
        let again = Session::new(Some(old.id), Arc::new(store.clone()), Some(expiry));
        block_on(again.insert("user", "ada")).unwrap();
        block_on(again.save()).unwrap();
        assert_eq!(is_live(&store, &old.id), is_far, "saved with {expiry:?}");
    }
}

#[test]
fn a_far_date_counts_as_the_longest_lifetime() {
    let clock = ManualClock::new();
    let store = store(&clock);
    let mut record = record(HOUR);
    record.expiry_date = record.expiry_date.replace_year(9999).unwrap();
    block_on(store.create(&mut record)).unwrap();
    clock.advance(LONGEST - Duration::from_nanos(1));
    assert!(is_live(&store, &record.id));
    clock.advance(Duration::from_nanos(1));
    assert!(!is_live(&store, &record.id));
}

#[test]
fn a_birth_in_the_future_buys_no_time() {
    let clock = ManualClock::new();
    let store = SundownStore::new(builder(&clock).time_to_live(HOUR)).unwrap();
    let mut record = record(24 * HOUR);
    record.data.insert(BIRTH_KEY.into(), u64::MAX.into());
    block_on(store.create(&mut record)).unwrap();
    assert!(record.data[BIRTH_KEY].as_u64() < Some(u64::MAX));
    clock.advance(HOUR);
    assert!(!is_live(&store, &record.id));
}

#[test]
fn the_absolute_timeout_begins_anew_at_log_in_where_the_application_says_so() {
    for is_said in [false, true] {
        let clock = ManualClock::new();
        let store = SundownStore::new(builder(&clock).time_to_live(8 * HOUR)).unwrap();
        let visitor = session(&store, None);
        block_on(visitor.insert("cart", 7)).unwrap();
        visitor.set_expiry(Some(Expiry::OnInactivity((24 * HOUR).try_into().unwrap())));
        block_on(visitor.save()).unwrap();
        clock.advance(8 * HOUR - MINUTE);
        let login = request(&store, visitor.id().unwrap());
        login.set_expiry(visitor.expiry());
        block_on(login.cycle_id()).unwrap();
        block_on(login.insert("user", "ada")).unwrap();
        if is_said {
            block_on(restart_absolute_timeout(&login)).unwrap();
        }
        block_on(login.save()).unwrap();
        clock.advance(MINUTE);
        assert_eq!(is_logged_in(&store, &login), is_said);
        if is_said {
            // A session that one request keeps for long does not restart it with every save.
            let stay = request(&store, login.id().unwrap());
            stay.set_expiry(visitor.expiry());
            block_on(restart_absolute_timeout(&stay)).unwrap();
            block_on(stay.save()).unwrap();
            for step in 0..15 {
                clock.advance(HOUR / 2);
                block_on(stay.insert("step", step)).unwrap();
                block_on(stay.save()).unwrap();
            }
            clock.advance(HOUR / 2 - MINUTE);
            assert!(is_logged_in(&store, &stay));
            clock.advance(MINUTE);
            assert!(!is_logged_in(&store, &stay));
        }
    }
}

#[test]
fn clearing_the_data_restarts_the_absolute_timeout_with_a_new_id_only() {
    let clock = ManualClock::new();
    let store = SundownStore::new(builder(&clock).time_to_live(HOUR)).unwrap();
    for has_new_id in [false, true] {
        let id = logged_in(&store);
        clock.advance(HOUR / 2);
        let cleared = request(&store, id);
        block_on(cleared.clear());
        if has_new_id {
            block_on(cleared.cycle_id()).unwrap();
        }
        block_on(cleared.insert("lang", "en")).unwrap();
        block_on(cleared.save()).unwrap();
        let id = cleared.id().unwrap();
        clock.advance(HOUR / 2 - Duration::from_millis(1));
        assert!(is_live(&store, &id));
        clock.advance(Duration::from_millis(1));
        assert_eq!(is_live(&store, &id), has_new_id);
        clock.advance(HOUR);
    }
}
