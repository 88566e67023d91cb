//! The store's rules, on the manual clock, in the order in which salvo's middleware calls it.

use std::time::Duration;

use pollster::block_on;

use super::*;
use crate::platform::clock::ManualClock;
use crate::reaper::Reaper;
use crate::removal::OnFull;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

fn builder(clock: &ManualClock) -> Builder<SessionId, SessionState> {
    Cache::builder().max_entries(1_000).clock(clock.clone()).reaper(Reaper::Manual)
}

fn store(clock: &ManualClock) -> SundownSaysionStore {
    SundownSaysionStore::new(builder(clock)).unwrap()
}

/// As the middleware: what it does not find is a new session, and both get their expiry.
fn begin(store: &SundownSaysionStore, cookie: &str) -> Session {
    let loaded = block_on(store.load_session(cookie.to_owned())).expect("it is no error");
    let mut session = loaded.and_then(Session::validate).unwrap_or_default();
    session.expire_in(HOUR);
    session
}

fn end(store: &SundownSaysionStore, session: Session) -> Option<String> {
    block_on(store.store_session(session)).expect("it is no error")
}

fn logged_in(store: &SundownSaysionStore) -> String {
    let mut session = begin(store, "");
    session.insert("user", "ada").unwrap();
    end(store, session).expect("a new session has a cookie")
}

fn is_live(store: &SundownSaysionStore, cookie: &str) -> bool {
    block_on(store.load_session(cookie.to_owned())).unwrap().is_some()
}

fn get(store: &SundownSaysionStore, cookie: &str, name: &str) -> Option<String> {
    block_on(store.load_session(cookie.to_owned())).unwrap().and_then(|session| session.get(name))
}

#[test]
fn what_is_stored_is_loaded_and_the_mark_is_not_kept() {
    let store = store(&ManualClock::new());
    let cookie = logged_in(&store);
    assert_eq!(get(&store, &cookie, "user").as_deref(), Some("ada"));
    let session = begin(&store, &cookie);
    assert!(!session.data_changed() && session.expiry().is_some());
    assert_eq!(end(&store, session), None);
    store.cache().for_each(|_, state| assert_eq!(state.data.len(), 1));
    assert_eq!(store.cache().len(), 1);
}

#[test]
fn a_session_ends_at_its_expiry_or_by_the_caches_timeouts() {
    let clock = ManualClock::new();
    let idle = SundownSaysionStore::new(builder(&clock).time_to_idle(10 * MINUTE)).unwrap();
    for (store, left) in [(store(&clock), HOUR), (idle, 10 * MINUTE)] {
        let cookie = logged_in(&store);
        clock.advance(left - Duration::from_secs(5));
        assert!(!store.cache().is_empty());
        clock.advance(Duration::from_secs(5));
        assert!(!is_live(&store, &cookie));
        assert_eq!(store.cache().reap(), 1);
    }
}

#[test]
fn a_new_id_ends_the_former_one_and_buys_no_time() {
    let clock = ManualClock::new();
    let store = SundownSaysionStore::new(builder(&clock).time_to_live(HOUR)).unwrap();
    let mut cookie = logged_in(&store);
    for _ in 0..5 {
        clock.advance(10 * MINUTE);
        let mut session = begin(&store, &cookie);
        session.regenerate();
        let new = end(&store, session).expect("it has a cookie");
        assert!(!is_live(&store, &cookie), "the former id still works");
        assert_eq!(get(&store, &new, "user").as_deref(), Some("ada"));
        cookie = new;
    }
    clock.advance(10 * MINUTE - Duration::from_millis(1));
    let mut login = begin(&store, &cookie);
    let other = logged_in(&store);
    assert!(is_live(&store, &cookie));
    restart_absolute_timeout(&mut login);
    login.regenerate();
    let login = end(&store, login).unwrap();
    clock.advance(Duration::from_millis(1));
    assert!(is_live(&store, &login), "it has begun anew");
    clock.advance(HOUR - Duration::from_millis(1));
    assert!(!is_live(&store, &login) && !is_live(&store, &other));
}

#[test]
fn a_stale_or_planted_cookie_is_no_error_and_never_becomes_a_session() {
    let store = store(&ManualClock::new());
    let planted = Session::new().into_cookie_value().unwrap();
    for planted in [planted, "é".into(), "short".into(), String::new()] {
        let mut session = begin(&store, &planted);
        session.insert("user", "ada").unwrap();
        let cookie = end(&store, session).unwrap();
        assert!(cookie != planted && !is_live(&store, &planted));
        let mut gone = begin(&store, &planted);
        gone.destroy();
        block_on(store.destroy_session(gone)).unwrap();
    }
    assert_eq!(store.cache().len(), 4);
}

#[test]
fn a_log_out_is_final() {
    let store = store(&ManualClock::new());
    let cookie = logged_in(&store);
    let (mut late, mut renewed) = (begin(&store, &cookie), begin(&store, &cookie));
    let mut before = begin(&store, &cookie);
    late.insert("cart", 7).unwrap();
    renewed.insert("theme", "dark").unwrap();
    renewed.regenerate();
    before.regenerate();
    let before = end(&store, before).unwrap();
    let out = begin(&store, &cookie);
    assert!(out.is_empty(), "it has another id by now");
    // The log-out of a request that had loaded it ends what it has become.
    let mut out = begin(&store, &before);
    let twin = begin(&store, &before);
    out.destroy();
    block_on(store.destroy_session(out)).unwrap();
    assert!(!is_live(&store, &before));
    assert_eq!(end(&store, late), None);
    assert_eq!(end(&store, twin), None);
    assert!(store.cache().is_empty());
    let renewed = end(&store, renewed).unwrap();
    assert_eq!(get(&store, &renewed, "user"), None);
    assert_eq!(get(&store, &renewed, "theme").as_deref(), Some("dark"));
}

#[test]
fn a_late_save_goes_to_what_the_session_has_become() {
    let store = store(&ManualClock::new());
    let cookie = logged_in(&store);
    let (mut late, mut login) = (begin(&store, &cookie), begin(&store, &cookie));
    login.regenerate();
    let new = end(&store, login).unwrap();
    late.insert("theme", "dark").unwrap();
    end(&store, late);
    assert!(!is_live(&store, &cookie));
    assert_eq!(get(&store, &new, "theme").as_deref(), Some("dark"));
}

#[test]
fn what_ran_out_or_was_evicted_or_cleared_during_a_request_does_not_come_back() {
    let clock = ManualClock::new();
    let store = SundownSaysionStore::new(builder(&clock).max_entries(1)).unwrap();
    let ends: [&dyn Fn(); 3] = [&|| clock.advance(HOUR), &|| drop(logged_in(&store)), &|| {
        block_on(store.clear_store()).unwrap()
    }];
    for end_it in ends {
        let cookie = logged_in(&store);
        let mut late = begin(&store, &cookie);
        end_it();
        late.insert("cart", 7).unwrap();
        assert_eq!(end(&store, late), None);
        assert!(!is_live(&store, &cookie));
    }
}

#[test]
fn requests_side_by_side_lose_nothing_and_bring_nothing_back() {
    let store = store(&ManualClock::new());
    let cookie = logged_in(&store);
    let [mut one, mut two, mut out] = [(); 3].map(|()| begin(&store, &cookie));
    one.insert("cart", 8).unwrap();
    two.insert("theme", "dark").unwrap();
    out.remove("user");
    for session in [one, out, two] {
        end(&store, session);
    }
    assert_eq!(get(&store, &cookie, "user"), None);
    assert_eq!(get(&store, &cookie, "theme").as_deref(), Some("dark"));
    let now = block_on(store.load_session(cookie)).unwrap().unwrap();
    assert_eq!(now.get::<u64>("cart"), Some(8));
}

#[test]
fn a_new_id_keeps_the_sessions_room_and_a_full_cache_says_so() {
    let full = builder(&ManualClock::new()).max_entries(2).on_full(OnFull::Reject);
    let store = SundownSaysionStore::new(full).unwrap();
    let (cookie, _other) = (logged_in(&store), logged_in(&store));
    let mut login = begin(&store, &cookie);
    login.regenerate();
    let login = end(&store, login).unwrap();
    assert_eq!(get(&store, &login, "user").as_deref(), Some("ada"));
    let error = block_on(store.store_session(begin(&store, ""))).unwrap_err();
    assert!(error.to_string().contains("full"), "{error}");
    assert_eq!(store.cache().stats().rejections.full, 1);
}

#[test]
fn nothing_prints_an_id_or_a_session() {
    let store = store(&ManualClock::new());
    let cookie = logged_in(&store);
    let session = begin(&store, &cookie);
    let id = SessionId::of(session.id()).unwrap();
    let state = store.cache().get(&id).unwrap();
    let printed = format!("{store:?} {id:?} {state:?}");
    assert!(!printed.contains(session.id()) && !printed.contains("ada"), "{printed}");
}
