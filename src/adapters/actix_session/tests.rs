//! The store's rules, on the manual clock.

use std::sync::{Arc, OnceLock};

use pollster::block_on;
use time::Duration;

use super::framework::storage::{LoadError, SessionStore};
use super::*;
use crate::builder::Builder;
use crate::cache::Cache;
use crate::error::Reason;
use crate::lifetime::LONGEST;
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
    let key = block_on(store.save(late.clone(), &HOUR)).unwrap();
    assert!(!is_live(&store, &key), "it begins a second life");
    late.insert(BIRTH_KEY.into(), u64::MAX.to_string());
    let key = block_on(store.save(late, &(24 * HOUR))).unwrap();
    clock.advance(after(HOUR));
    assert!(!is_live(&store, &key), "a birth in the future has bought time");
}

#[test]
fn the_absolute_timeout_begins_anew_at_log_in_where_the_application_says_so() {
    let clock = ManualClock::new();
    for is_said in [false, true] {
        let store = SundownActixStore::new(builder(&clock).time_to_live(after(8 * HOUR))).unwrap();
        let key = block_on(store.save(state("visitor"), &(24 * HOUR))).unwrap();
        clock.advance(after(8 * HOUR - MINUTE));
        let mut login = Request::of(&store, &key);
        if is_said {
            // As `restart_absolute_timeout`, by `Session::insert`.
            login.set(BIRTH_KEY, &format!("\"{RESTART}\""));
        }
        block_on(store.delete(&login.key)).unwrap();
        let key = block_on(store.save(login.state, &(24 * HOUR))).unwrap();
        clock.advance(after(MINUTE));
        assert_eq!(is_live(&store, &key), is_said);
        clock.advance(after(8 * HOUR - MINUTE - MINUTE));
        assert_eq!(is_live(&store, &key), is_said);
        clock.advance(after(MINUTE));
        assert!(!is_live(&store, &key));
    }
}

#[test]
fn an_update_of_what_was_logged_out_is_refused() {
    let store = store(&ManualClock::new());
    let key = saved(&store, HOUR);
    block_on(store.delete(&key)).unwrap();
    let late = block_on(store.update(same(&key), state("ada"), &HOUR));
    assert_eq!(refusal(late), Refusal::LoggedOut);
    block_on(store.update_ttl(&key, &HOUR)).unwrap();
    assert!(!is_live(&store, &key) && store.cache().is_empty());
    assert_eq!(store.cache().stats().rejections.absent, 1);
    // Nor does it help to log others out that never were.
    for _ in 0..70_000 {
        block_on(store.delete(&generate_session_key())).unwrap();
    }
    let late = block_on(store.update(key, state("ada"), &HOUR));
    assert_eq!(refusal(late), Refusal::LoggedOut);
}

#[test]
fn an_update_of_what_ran_out_or_was_evicted_gets_a_new_key() {
    let clock = ManualClock::new();
    let builder = builder(&clock).max_entries(2).time_to_idle(after(10 * MINUTE));
    let store = SundownActixStore::new(builder).unwrap();
    let end: [&dyn Fn(); 3] =
        [&|| clock.advance(after(MINUTE)), &|| clock.advance(after(10 * MINUTE)), &|| {
            clock.advance(after(MINUTE / 2));
            let _others = [saved(&store, HOUR), saved(&store, HOUR)];
        }];
    for (end, ttl) in end.into_iter().zip([MINUTE, HOUR, HOUR]) {
        let old = saved(&store, ttl);
        end();
        assert!(!is_live(&store, &old));
        let new = block_on(store.update(same(&old), state("bob"), &HOUR)).unwrap();
        assert!(new.as_ref() != old.as_ref() && !is_live(&store, &old));
        assert_eq!(block_on(store.load(&new)).unwrap(), Some(state("bob")));
    }
    // As actix-session's own test of its Redis store: a key that never was.
    let never = generate_session_key();
    let new = block_on(store.update(same(&never), SessionState::new(), &Duration::SECOND)).unwrap();
    assert_ne!(new.as_ref(), never.as_ref());
}

#[test]
fn a_new_key_does_not_outlive_the_absolute_deadline_either() {
    let clock = ManualClock::new();
    let store = SundownActixStore::new(builder(&clock).time_to_live(after(HOUR))).unwrap();
    let key = saved(&store, 24 * HOUR);
    let late = block_on(store.load(&key)).unwrap().unwrap();
    clock.advance(after(HOUR));
    let key = block_on(store.update(key, late, &HOUR)).unwrap();
    assert!(!is_live(&store, &key));
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
    assert_eq!(refusal(late), Refusal::LoggedOut);
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
    let refused =
        [(corrupt, HOUR, Refusal::NoBirth), (heavy, HOUR, Refusal::NotTaken(Reason::TooHeavy))];
    for (state, ttl, why) in refused {
        assert_eq!(refusal(block_on(store.save(state.clone(), &ttl))), why);
        assert_eq!(refusal(block_on(store.update(same(&key), state, &ttl))), why);
        assert!(is_live(&store, &key) && store.cache().len() == 1, "{why}");
    }
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
        let key = block_on(store.save(state("ada"), &ttl)).unwrap();
        assert!(!is_live(&store, &key));
        let key = saved(&store, HOUR);
        block_on(store.update(same(&key), state("ada"), &ttl)).unwrap();
        assert!(!is_live(&store, &key));
        let key = saved(&store, HOUR);
        block_on(store.update_ttl(&key, &ttl)).unwrap();
        assert!(!is_live(&store, &key));
    }
}

#[test]
fn an_overlong_lifetime_counts_as_the_longest() {
    for ttl in [Duration::MAX, Duration::days(3_661)] {
        let clock = ManualClock::new();
        let store = store(&clock);
        let created = saved(&store, ttl);
        let updated = saved(&store, HOUR);
        let updated = block_on(store.update(updated, state("bob"), &ttl)).unwrap();
        let prolonged = saved(&store, HOUR);
        block_on(store.update_ttl(&prolonged, &ttl)).unwrap();
        clock.advance(LONGEST - std::time::Duration::from_nanos(1));
        let keys = [created, updated, prolonged];
        assert!(keys.iter().all(|key| is_live(&store, key)));
        clock.advance(std::time::Duration::from_nanos(1));
        assert!(!keys.iter().any(|key| is_live(&store, key)));
    }
}

/// As the middleware does it: the key that it loads by is the one that it updates.
struct Request {
    key: SessionKey,
    state: SessionState,
}

impl Request {
    fn of(store: &SundownActixStore, key: &SessionKey) -> Self {
        let key = same(key);
        let loaded = block_on(store.load(&key)).unwrap().expect("it is live");
        // Moved into a map of the middleware's own.
        let mut state = SessionState::new();
        state.extend(loaded);
        Self { key, state }
    }

    fn set(&mut self, name: &str, json: &str) {
        self.state.insert(name.to_owned(), json.to_owned());
    }

    fn update(self, store: &SundownActixStore) -> Result<SessionKey, UpdateError> {
        block_on(store.update(self.key, self.state, &HOUR))
    }

    /// As after `Session::renew`.
    fn renew(self, store: &SundownActixStore) -> Result<SessionKey, SaveError> {
        block_on(store.delete(&self.key)).unwrap();
        block_on(store.save(self.state, &HOUR))
    }
}

#[test]
fn requests_side_by_side_lose_nothing_and_bring_nothing_back() {
    let store = store(&ManualClock::new());
    let key = saved(&store, HOUR);
    let (mut one, mut two) = (Request::of(&store, &key), Request::of(&store, &key));
    one.set("cart", "8");
    two.set("theme", "\"dark\"");
    one.update(&store).unwrap();
    two.update(&store).unwrap();
    let now = Request::of(&store, &key).state;
    assert_eq!((&*now["cart"], &*now["theme"]), ("8", "\"dark\""));

    let (mut out, mut other) = (Request::of(&store, &key), Request::of(&store, &key));
    out.state.remove("user");
    other.set("theme", "\"light\"");
    out.update(&store).unwrap();
    other.update(&store).unwrap();
    let now = Request::of(&store, &key).state;
    assert_eq!((now.get("user"), &*now["theme"]), (None, "\"light\""));
}

#[test]
fn a_log_out_is_final_also_for_a_request_that_renews_the_key() {
    let store = store(&ManualClock::new());
    let key = saved(&store, HOUR);
    let (mut slow, out) = (Request::of(&store, &key), Request::of(&store, &key));
    slow.set("theme", "1");
    block_on(store.delete(&out.key)).unwrap();
    let new = slow.renew(&store).unwrap();
    let state = Request::of(&store, &new).state;
    assert_eq!(state, SessionState::from([("theme".to_owned(), "1".to_owned())]));
    // The next request on this thread is another one.
    let key = saved(&store, HOUR);
    assert_eq!(Request::of(&store, &key).state, self::state("ada"));
}

#[test]
fn a_new_key_keeps_the_sessions_room_in_a_full_cache_that_rejects() {
    let builder = builder(&ManualClock::new()).max_entries(2).on_full(OnFull::Reject);
    let store = SundownActixStore::new(builder).unwrap();
    let (key, _other) = (saved(&store, HOUR), saved(&store, HOUR));
    let login = Request::of(&store, &key);
    block_on(store.delete(&login.key)).unwrap();
    // Another worker.
    std::thread::scope(|scope| {
        let thief = || refusal(block_on(store.save(state("bob"), &HOUR)));
        assert_eq!(scope.spawn(thief).join().unwrap(), Refusal::NotTaken(Reason::Full));
    });
    let new = block_on(store.save(login.state, &HOUR)).unwrap();
    assert!(is_live(&store, &new));
    assert_eq!(store.cache().stats().rejections.full, 1);
}

#[test]
fn a_session_that_grew_too_heavy_for_a_new_key_stays_what_it_was() {
    let builder = builder(&ManualClock::new()).max_weight(3);
    let store = SundownActixStore::new(builder.weigher(|_, state| state.len() as u64)).unwrap();
    let heavy = |request: &mut Request| {
        for n in 0..9 {
            request.set(&n.to_string(), "0");
        }
    };
    let key = saved(&store, HOUR);
    let mut login = Request::of(&store, &key);
    heavy(&mut login);
    assert_eq!(refusal(login.renew(&store)), Refusal::NotTaken(Reason::TooHeavy));
    assert_eq!(Request::of(&store, &key).state, state("ada"));
    // A log-out stays one, whatever comes next on the thread.
    let mut out = Request::of(&store, &key);
    out.state.clear();
    heavy(&mut out);
    assert_eq!(refusal(out.renew(&store)), Refusal::NotTaken(Reason::TooHeavy));
    assert!(!is_live(&store, &key));
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

    // A weigher of the caller replaces it.
    let own = unbounded().max_weight(10_000).weigher(|_, _| 7);
    let store = SundownActixStore::new(own).unwrap();
    saved(&store, HOUR);
    assert_eq!(store.cache().weight(), 7);
    // And without a cap on weight, sessions are counted.
    let store = SundownActixStore::new(unbounded().max_entries(10)).unwrap();
    saved(&store, HOUR);
    assert_eq!(store.cache().weight(), 1);
}

#[test]
fn a_storm_of_visitors_evicts_no_one_who_is_logged_in() {
    let clock = ManualClock::new();
    let store = store(&clock).anonymous(|state| !state.contains_key("user")).unwrap();
    // Some log in as they come, some later, with and without a new key.
    let logins = (0..300).map(|n| {
        if n % 3 == 0 {
            return saved(&store, HOUR);
        }
        let visitor = block_on(store.save(SessionState::new(), &HOUR)).unwrap();
        let mut login = Request::of(&store, &visitor);
        login.set("user", "\"ada\"");
        if n % 3 == 1 { login.renew(&store).unwrap() } else { login.update(&store).unwrap() }
    });
    let logins: Vec<SessionKey> = logins.collect();
    clock.advance(after(MINUTE));
    for _ in 0..20_000 {
        let visitor = block_on(store.save(SessionState::new(), &HOUR)).unwrap();
        block_on(store.update_ttl(&visitor, &HOUR)).unwrap();
        assert!(store.cache().len() <= 1_000);
    }
    assert!(logins.iter().all(|key| is_live(&store, key)));
    assert!((700..=800).contains(&store.cache().len()), "{}", store.cache().len());
    store.cache().audit().unwrap();
}

mod principals {
    use super::super::principal_of;
    use super::*;
    use crate::cache::tests::reap_all;
    use crate::sessions::OnLimit;

    fn with(limit: (usize, OnLimit)) -> SundownActixStore {
        on(&ManualClock::new(), limit)
    }

    fn on(clock: &ManualClock, limit: (usize, OnLimit)) -> SundownActixStore {
        SundownActixStore::builder(builder(clock))
            .principal(principal_of::actix_identity_at("user"))
            .max_per_principal(limit.0, limit.1)
            .build()
            .unwrap()
    }

    fn changed(store: &SundownActixStore, key: &SessionKey, state: SessionState) -> SessionKey {
        block_on(store.update(same(key), state, &HOUR)).unwrap()
    }

    #[test]
    fn the_limit_holds_and_a_new_key_keeps_the_place() {
        let clock = ManualClock::new();
        let store = on(&clock, (2, OnLimit::RevokeOldest));
        let first = saved(&store, HOUR);
        clock.advance(after(MINUTE));
        let second = saved(&store, HOUR);
        clock.advance(after(MINUTE));
        let shown = store.sessions_of("ada")[0].public_id;
        // `renew`: the middleware deletes and saves.
        let loaded = block_on(store.load(&first)).unwrap().unwrap();
        block_on(store.delete(&first)).unwrap();
        let renewed = block_on(store.save(loaded, &HOUR)).unwrap();
        assert_eq!(store.sessions_of("ada")[0].public_id, shown);
        saved(&store, HOUR);
        assert!(!is_live(&store, &renewed) && is_live(&store, &second));
        assert_eq!(store.keeper.check_roster(), 2);

        let store = with((1, OnLimit::Refuse));
        let key = saved(&store, HOUR);
        let refused = block_on(store.save(state("ada"), &HOUR));
        assert_eq!(refusal(refused), Refusal::LimitReached);
        assert!(is_live(&store, &key));
    }

    #[test]
    fn a_session_becomes_another_users_in_place() {
        let store = with((3, OnLimit::Refuse));
        let key = saved(&store, HOUR);
        block_on(store.load(&key)).unwrap();
        let key = changed(&store, &key, state("eve"));
        assert_eq!((store.sessions_of("ada").len(), store.sessions_of("eve").len()), (0, 1));
        block_on(store.load(&key)).unwrap();
        let key = changed(&store, &key, SessionState::new());
        assert!(store.sessions_of("eve").is_empty() && is_live(&store, &key));
        assert_eq!(store.keeper.check_roster(), 0);
    }

    #[test]
    fn what_was_revoked_is_not_brought_back_by_a_late_update() {
        let store = with((3, OnLimit::Refuse));
        for has_run_out in [false, true] {
            let key = saved(&store, HOUR);
            let mut late = block_on(store.load(&key)).unwrap().unwrap();
            late.insert("n".to_owned(), "1".to_owned());
            if has_run_out {
                // Neither in the list nor deleted when the user's sessions are ended.
                store.cache().discard(&SessionId::of(&key).unwrap());
                reap_all(store.cache());
            }
            assert_eq!(store.revoke_all("ada"), usize::from(!has_run_out));
            let refused = block_on(store.update(same(&key), late, &HOUR));
            assert_eq!(refusal(refused), Refusal::LoggedOut, "{has_run_out}");
            assert_eq!(store.keeper.check_roster(), 0);
        }
    }

    #[test]
    fn everyone_else_is_logged_out() {
        let store = with((5, OnLimit::Refuse));
        let keys: Vec<_> = (0..3).map(|_| saved(&store, HOUR)).collect();
        assert_eq!(store.revoke_others("ada", &keys[1]), 2);
        assert!(is_live(&store, &keys[1]) && !is_live(&store, &keys[0]));
        let malformed = SessionKey::try_from("not of this store".to_owned()).unwrap();
        assert_eq!(store.revoke_others("ada", &malformed), 1);
        assert_eq!(store.keeper.check_roster(), 0);
    }
}
