//! The store's rules, on the manual clock.

use std::sync::OnceLock;

use pollster::block_on;

use super::*;
use crate::error::Reason;
use crate::platform::clock::ManualClock;
use crate::reaper::Reaper;
use crate::removal::OnFull;

const MINUTE: Duration = Duration::MINUTE;
const HOUR: Duration = Duration::HOUR;

fn builder(clock: &ManualClock) -> Builder<SessionId, SessionState> {
    Cache::builder().max_entries(1_000).clock(clock.clone()).reaper(Reaper::Manual)
}

fn store(clock: &ManualClock) -> SundownActixStore {
    SundownActixStore::new(builder(clock)).unwrap()
}

fn state(user: &str) -> SessionState {
    SessionState::from([("user".to_owned(), format!("\"{user}\""))])
}

fn saved(store: &SundownActixStore, ttl: Duration) -> SessionKey {
    block_on(store.save(state("ada"), &ttl)).unwrap()
}

fn same(key: &SessionKey) -> SessionKey {
    key.as_ref().to_owned().try_into().unwrap()
}

fn is_live(store: &SundownActixStore, key: &SessionKey) -> bool {
    block_on(store.load(key)).unwrap().is_some()
}

fn after(span: Duration) -> std::time::Duration {
    span.try_into().unwrap()
}

/// The refusal at the bottom of an error of actix-session's.
#[track_caller]
fn refusal<T: fmt::Debug>(outcome: Result<T, impl std::error::Error>) -> Refusal {
    let error = outcome.expect_err("this must be refused");
    let source = std::error::Error::source(&error).expect("it says why");
    *source.downcast_ref::<Refusal>().expect("it is ours")
}

#[test]
fn what_is_saved_is_loaded_as_it_was_by_every_clone() {
    let store = store(&ManualClock::new());
    let key = saved(&store, HOUR);
    assert_eq!(block_on(store.clone().load(&key)).unwrap(), Some(state("ada")));
    let key = block_on(store.clone().update(key, state("bob"), &HOUR)).unwrap();
    assert_eq!(block_on(store.load(&key)).unwrap(), Some(state("bob")));
    assert_eq!(store.cache().len(), 1);
}

#[test]
fn a_session_ends_with_the_lifetime_that_it_was_given_last() {
    let clock = ManualClock::new();
    let store = store(&clock);
    let key = saved(&store, MINUTE);
    clock.advance(after(MINUTE / 2));
    let key = block_on(store.update(key, state("bob"), &MINUTE)).unwrap();
    clock.advance(after(MINUTE / 2));
    block_on(store.update_ttl(&key, &MINUTE)).unwrap();
    clock.advance(after(MINUTE) - std::time::Duration::from_nanos(1));
    assert!(is_live(&store, &key));
    clock.advance(std::time::Duration::from_nanos(1));
    assert!(!is_live(&store, &key));
    assert_eq!(store.cache().reap(), 1);
}

#[test]
fn renewing_the_key_does_not_reset_the_absolute_deadline() {
    let clock = ManualClock::new();
    let store = SundownActixStore::new(builder(&clock).time_to_live(after(HOUR))).unwrap();
    let mut key = saved(&store, 24 * HOUR);
    for _ in 0..2 {
        clock.advance(after(10 * MINUTE));
        // As the middleware does after `Session::renew`.
        let state = block_on(store.load(&key)).unwrap().unwrap();
        block_on(store.delete(&key)).unwrap();
        key = block_on(store.save(state, &(24 * HOUR))).unwrap();
        clock.advance(after(10 * MINUTE));
        block_on(store.update_ttl(&key, &(24 * HOUR))).unwrap();
        // And after `Session::clear`.
        key = block_on(store.update(key, SessionState::new(), &(24 * HOUR))).unwrap();
    }
    clock.advance(after(20 * MINUTE) - std::time::Duration::from_millis(1));
    let mut late = block_on(store.load(&key)).unwrap().expect("its hour is not over");
    clock.advance(std::time::Duration::from_millis(1));
    assert!(!is_live(&store, &key), "renewal has bought time");
    assert_eq!(refusal(block_on(store.save(late.clone(), &HOUR))), Refusal::LivedOut);
    late.insert(BIRTH_KEY.into(), u64::MAX.to_string());
    let key = block_on(store.save(late, &(24 * HOUR))).unwrap();
    clock.advance(after(HOUR));
    assert!(!is_live(&store, &key), "a birth in the future has bought time");
}

#[test]
fn a_late_update_does_not_bring_a_session_back() {
    let clock = ManualClock::new();
    let store = store(&clock);
    let (logged_out, expired) = (saved(&store, HOUR), saved(&store, MINUTE));
    block_on(store.delete(&logged_out)).unwrap();
    clock.advance(after(MINUTE));
    for key in [logged_out, expired] {
        let late = block_on(store.update(same(&key), state("ada"), &HOUR));
        assert_eq!(refusal(late), Refusal::Ended);
        block_on(store.update_ttl(&key, &HOUR)).unwrap();
        assert!(!is_live(&store, &key));
    }
    store.cache().reap();
    assert!(store.cache().is_empty(), "a session under another key");
}

#[test]
fn an_update_that_a_logout_overtakes_does_not_log_the_user_in_again() {
    // Logs the user out in the middle of the update: after every look at what is live.
    let logout: Arc<OnceLock<SundownActixStore>> = Arc::default();
    let inner = logout.clone();
    let builder = builder(&ManualClock::new()).weigher(move |key: &SessionId, _| {
        if let Some(store) = inner.get() {
            block_on(store.delete(&key.secret().to_owned().try_into().unwrap())).unwrap();
        }
        1
    });
    let store = SundownActixStore::new(builder).unwrap();
    let key = saved(&store, HOUR);
    logout.set(store.clone()).unwrap();
    let late = block_on(store.update(same(&key), state("ada"), &HOUR));
    assert_eq!(refusal(late), Refusal::Ended);
    assert!(!is_live(&store, &key) && store.cache().is_empty());
}

#[test]
fn a_key_of_another_form_is_reported_and_never_used() {
    let store = store(&ManualClock::new());
    let wrong = ["", "short", &"é".repeat(32), &"+".repeat(64), &"a".repeat(65), &"a".repeat(4064)];
    for wrong in wrong {
        let key: SessionKey = wrong.to_owned().try_into().unwrap();
        let loaded = block_on(store.load(&key));
        assert!(matches!(loaded, Err(LoadError::Deserialization(_))));
        assert_eq!(refusal(loaded), Refusal::Malformed);
        block_on(store.update_ttl(&key, &HOUR)).unwrap();
        block_on(store.delete(&key)).unwrap();
        let key = block_on(store.update(key, state("ada"), &HOUR)).unwrap();
        assert!(key.as_ref() != wrong && is_live(&store, &key));
    }
}

#[test]
fn bad_input_is_refused_and_nothing_is_lost() {
    let builder = builder(&ManualClock::new()).max_weight(3).on_full(OnFull::Reject);
    let store = SundownActixStore::new(builder.weigher(|_, state| state.len() as u64)).unwrap();
    let key = saved(&store, HOUR);
    let corrupt = SessionState::from([(BIRTH_KEY.to_owned(), "yesterday".to_owned())]);
    let heavy: SessionState = (0..9).map(|n| (n.to_string(), String::new())).collect();
    let refused = [
        (state("bob"), Duration::MAX, Refusal::Overlong),
        (state("bob"), Duration::days(3_661), Refusal::Overlong),
        (corrupt, HOUR, Refusal::NoBirth),
        (heavy, HOUR, Refusal::NotTaken(Reason::TooHeavy)),
    ];
    for (state, ttl, why) in refused {
        assert_eq!(refusal(block_on(store.save(state.clone(), &ttl))), why);
        assert_eq!(refusal(block_on(store.update(same(&key), state, &ttl))), why);
        assert!(is_live(&store, &key) && store.cache().len() == 1, "{why}");
    }
    assert!(block_on(store.update_ttl(&key, &Duration::MAX)).is_err() && is_live(&store, &key));
    saved(&store, HOUR);
    saved(&store, HOUR);
    let full = block_on(store.save(state("bob"), &HOUR));
    assert_eq!(refusal(full), Refusal::NotTaken(Reason::Full));
    store.cache().close();
    let closed = block_on(store.save(state("bob"), &HOUR));
    assert_eq!(refusal(closed), Refusal::NotTaken(Reason::Closed));
}

#[test]
fn a_lifetime_that_is_not_positive_ends_the_session() {
    let store = store(&ManualClock::new());
    for ttl in [Duration::ZERO, -HOUR, Duration::MIN] {
        assert_eq!(refusal(block_on(store.save(state("ada"), &ttl))), Refusal::Past);
        let key = saved(&store, HOUR);
        let late = block_on(store.update(same(&key), state("ada"), &ttl));
        assert_eq!(refusal(late), Refusal::Past);
        assert!(!is_live(&store, &key));
        let key = saved(&store, HOUR);
        assert!(block_on(store.update_ttl(&key, &ttl)).is_err() && !is_live(&store, &key));
    }
}

#[test]
fn nothing_prints_a_key_or_a_session() {
    let store = store(&ManualClock::new());
    let key = block_on(store.save(state("hunter2"), &HOUR)).unwrap();
    let inner = SessionId::of(&key).unwrap();
    let live = format!("{store:?} {inner:?}");
    block_on(store.delete(&key)).unwrap();
    let late = block_on(store.update(same(&key), state("hunter2"), &HOUR)).unwrap_err();
    let wrong: SessionKey = format!("{}!", key.as_ref()).try_into().unwrap();
    let malformed = block_on(store.load(&wrong)).unwrap_err();
    let printed = format!("{live} {late} {late:?} {malformed} {malformed:?}");
    assert!(!printed.contains(key.as_ref()) && !printed.contains("hunter2"), "{printed}");
}

#[test]
fn a_cap_on_weight_alone_is_one_in_bytes() {
    let unbounded = || Cache::builder().clock(ManualClock::new()).reaper(Reaper::Manual);
    let store = SundownActixStore::new(unbounded().max_weight(10_000)).unwrap();
    saved(&store, HOUR);
    let state = state("ada");
    let inline = (size_of::<SessionId>() + size_of::<SessionState>()) as u64;
    let owned = state_bytes(&state) - size_of::<SessionState>() as u64;
    let overhead = store.cache().weight() - inline - owned;
    assert!((80..=120).contains(&overhead), "{overhead} bytes");
    let heavy = SessionState::from([("text".to_owned(), "x".repeat(10_000))]);
    let refused = refusal(block_on(store.save(heavy, &HOUR)));
    assert_eq!(refused, Refusal::NotTaken(Reason::TooHeavy));

    // Whoever says what weighs how much is asked.
    let own = unbounded().max_weight(10_000).weigher(|_, _| 7);
    let store = SundownActixStore::new(own).unwrap();
    saved(&store, HOUR);
    assert_eq!(store.cache().weight(), 7);
    // And without a cap on weight, sessions are counted.
    let store = SundownActixStore::new(unbounded().max_entries(10)).unwrap();
    saved(&store, HOUR);
    assert_eq!(store.cache().weight(), 1);
}
