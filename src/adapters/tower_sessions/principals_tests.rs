//! Whose sessions are: the limit, revocation, device lists.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use proptest::prelude::*;

use super::super::super::principal_of;
use super::*;
use crate::cache::tests::reap_all;
use crate::sessions::{OnLimit, PublicId};

const REVOKE_OLDEST: Option<(usize, OnLimit)> = Some((3, OnLimit::RevokeOldest));
const REFUSE: Option<(usize, OnLimit)> = Some((3, OnLimit::Refuse));

fn user_of(record: &Record) -> Option<String> {
    Some(record.data.get("user")?.as_str()?.to_owned())
}

fn with(cache: Builder<Id, Record>, limit: Option<(usize, OnLimit)>) -> SundownStore {
    let mut setup = SundownStore::builder(cache).principal(user_of);
    if let Some((sessions, on_limit)) = limit {
        setup = setup.max_per_principal(sessions, on_limit);
    }
    setup.build().unwrap()
}

/// A session of a user, in a request that has sent its response.
fn log_in(store: &SundownStore, user: &str) -> Id {
    try_log_in(store, user).expect("it is taken")
}

fn try_log_in(store: &SundownStore, user: &str) -> Option<Id> {
    let session = session(store, None);
    block_on(session.insert("user", user)).unwrap();
    block_on(session.save()).ok()?;
    session.id()
}

/// What a request has loaded.
fn request(store: &SundownStore, id: Id) -> Session {
    let session = session(store, Some(id));
    let _user: Option<String> = block_on(session.get("user")).unwrap();
    session
}

fn publics(store: &SundownStore, user: &str) -> Vec<PublicId> {
    store.sessions_of(user).iter().map(|info| info.public_id).collect()
}

fn user_in(store: &SundownStore, id: Id) -> Option<String> {
    block_on(session(store, Some(id)).get("user")).unwrap()
}

#[test]
fn one_log_in_too_many_ends_the_oldest_or_is_refused() {
    let clock = ManualClock::new();
    let store = with(builder(&clock), REVOKE_OLDEST);
    let ids: Vec<Id> = (0..5)
        .map(|_| {
            clock.advance(MINUTE);
            log_in(&store, "ada")
        })
        .collect();
    let live: Vec<bool> = ids.iter().map(|id| is_live(&store, id)).collect();
    assert_eq!(live, [false, false, true, true, true]);
    assert_eq!((store.session_stats().ended_by_limit, store.keeper.check_roster()), (2, 3));

    let store = with(builder(&clock), REFUSE);
    let ids: Vec<Id> = (0..3).map(|_| log_in(&store, "ada")).collect();
    assert_eq!(try_log_in(&store, "ada"), None);
    assert!(try_log_in(&store, "eve").is_some(), "another user's");
    assert!(ids.iter().all(|id| is_live(&store, id)));
    let refused = session(&store, None);
    block_on(refused.insert("user", "ada")).unwrap();
    let error = block_on(refused.save()).unwrap_err().to_string();
    assert!(error.contains("as many sessions as allowed"), "{error}");
    assert_eq!((store.session_stats().refused_by_limit, store.keeper.check_roster()), (2, 4));
    block_on(session(&store, Some(ids[0])).flush()).unwrap();
    assert!(try_log_in(&store, "ada").is_some(), "a log-out makes place");
}

#[test]
fn a_session_whose_time_is_up_leaves_its_place() {
    let clock = ManualClock::new();
    let store = with(builder(&clock), REFUSE);
    (0..3).for_each(|_| _ = log_in(&store, "ada"));
    assert_eq!(try_log_in(&store, "ada"), None);
    clock.advance(HOUR);
    assert!(store.sessions_of("ada").is_empty(), "before the reaper has come to them");
    log_in(&store, "ada");
    reap_all(store.cache());
    assert_eq!(store.keeper.check_roster(), 1);
}

#[test]
fn a_log_in_and_a_log_out_in_place_are_noticed() {
    let clock = ManualClock::new();
    let store = with(builder(&clock), REFUSE);
    let visitor = created(&store, HOUR).id;
    assert_eq!(store.keeper.check_roster(), 0);
    let request = request(&store, visitor);
    block_on(request.insert("user", "ada")).unwrap();
    block_on(request.save()).unwrap();
    let shown = publics(&store, "ada");
    assert_eq!((shown.len(), store.keeper.check_roster()), (1, 1));
    block_on(request.insert("user", "eve")).unwrap();
    block_on(request.save()).unwrap();
    assert_eq!((store.sessions_of("ada").len(), publics(&store, "eve")), (0, shown));
    block_on(request.remove_value("user")).unwrap();
    block_on(request.save()).unwrap();
    assert!(store.sessions_of("eve").is_empty() && is_live(&store, &visitor));
    assert_eq!((store.keeper.check_roster(), store.session_stats().principals), (0, 0));

    // One too many in place: the session stays as it was.
    (0..3).for_each(|_| _ = log_in(&store, "ada"));
    block_on(request.insert("user", "ada")).unwrap();
    assert!(block_on(request.save()).is_err());
    assert_eq!((user_in(&store, visitor), store.keeper.check_roster()), (None, 3));
}

#[test]
fn a_new_id_keeps_the_place_in_the_list() {
    let clock = ManualClock::new();
    let store = with(builder(&clock), REVOKE_OLDEST);
    let first = log_in(&store, "ada");
    clock.advance(MINUTE);
    let second = log_in(&store, "ada");
    let (shown, logged_in) = (publics(&store, "ada"), store.sessions_of("ada")[0].authenticated);
    clock.advance(MINUTE);
    let request = request(&store, first);
    block_on(request.cycle_id()).unwrap();
    block_on(request.save()).unwrap();
    let renewed = request.id().unwrap();
    assert!(renewed != first && is_live(&store, &renewed));
    assert_eq!(publics(&store, "ada"), shown);
    let age = |time: Option<std::time::SystemTime>| time.unwrap().elapsed().unwrap().as_secs();
    assert_eq!(age(store.sessions_of("ada")[0].authenticated), age(logged_in) + 60);
    // It still is the oldest.
    (0..2).for_each(|_| _ = log_in(&store, "ada"));
    assert!(!is_live(&store, &renewed) && is_live(&store, &second));
    assert_eq!(store.keeper.check_roster(), 3);
}

#[test]
fn the_device_list_shows_what_it_should() {
    let clock = ManualClock::new();
    let store = with(builder(&clock), None);
    let phone = log_in(&store, "ada");
    clock.advance(MINUTE);
    log_in(&store, "ada");
    log_in(&store, "eve");
    let devices = store.sessions_of("ada");
    assert_eq!(devices.len(), 2);
    assert_eq!(devices[0].data.principal().map(String::as_str), Some("ada"));
    assert_eq!(devices[0].data.data["user"], "ada");
    let last_used = devices[0].last_used.elapsed().unwrap();
    assert!((MINUTE..MINUTE * 2).contains(&last_used), "{last_used:?}");
    let crate::Expiry::In(left) = devices[0].expires_in else { panic!("it has a deadline") };
    assert!((HOUR - MINUTE).abs_diff(left) < MINUTE / 10, "{left:?}");
    assert!(!format!("{devices:?}").contains("user"));

    assert!(!store.revoke_public("eve", &devices[0].public_id), "not hers");
    assert!(store.revoke_public("ada", &devices[0].public_id));
    assert!(!store.revoke_public("ada", &devices[0].public_id), "once");
    assert!(!is_live(&store, &phone));
    assert_eq!((store.keeper.check_roster(), store.session_stats().revoked), (2, 1));
}

#[test]
fn everyone_else_is_logged_out() {
    let store = with(builder(&ManualClock::new()), None);
    let ids: Vec<Id> = (0..4).map(|_| log_in(&store, "ada")).collect();
    let eve = log_in(&store, "eve");
    assert_eq!(store.revoke_others("ada", &ids[2]), 3);
    let live: Vec<bool> = ids.iter().map(|id| is_live(&store, id)).collect();
    assert_eq!(live, [false, false, true, false]);
    assert_eq!(store.revoke_others("ada", &Id::default()), 1, "an unknown id keeps none");
    assert!(is_live(&store, &eve));
    assert_eq!((store.revoke_all("ada"), store.revoke_all("eve")), (0, 1));
    assert_eq!(store.keeper.check_roster(), 0);
}

/// What a request does whose session is ended meanwhile.
#[test]
fn revocation_is_final_for_requests_under_way() {
    type Revoke = fn(&SundownStore, &PublicId) -> usize;
    let all: Revoke = |store, _| store.revoke_all("ada");
    let others: Revoke = |store, _| store.revoke_others("ada", &Id::default());
    let one: Revoke = |store, public| usize::from(store.revoke_public("ada", public));
    for (revoke, is_one) in [(all, false), (others, false), (one, true)] {
        let store = with(builder(&ManualClock::new()), None);
        // A late save.
        let id = log_in(&store, "ada");
        let late = request(&store, id);
        block_on(late.insert("n", 1)).unwrap();
        assert_eq!(revoke(&store, &publics(&store, "ada")[0]), 1);
        block_on(late.save()).unwrap();
        assert_eq!(user_in(&store, id), None);
        // A new id afterwards.
        block_on(late.cycle_id()).unwrap();
        block_on(late.save()).unwrap();
        assert_eq!(user_in(&store, late.id().unwrap()), None, "carried over");

        // Between the deletion and the creation.
        let id = log_in(&store, "ada");
        let (rotating, public) = (request(&store, id), publics(&store, "ada")[0]);
        block_on(rotating.insert("n", 1)).unwrap();
        block_on(rotating.cycle_id()).unwrap();
        assert_eq!(revoke(&store, &public), 0, "none is live");
        block_on(rotating.save()).unwrap();
        let id = rotating.id().unwrap();
        assert_eq!(user_in(&store, id), None, "{is_one}");
        let own: Option<u32> = block_on(session(&store, Some(id)).get("n")).unwrap();
        assert_eq!(own, Some(1), "what the request itself has put in");

        // A log-in that comes after it is not affected, nor a new id of that.
        let id = log_in(&store, "ada");
        let later = request(&store, id);
        block_on(later.cycle_id()).unwrap();
        block_on(later.save()).unwrap();
        assert_eq!(user_in(&store, later.id().unwrap()).as_deref(), Some("ada"));
        assert_eq!(store.keeper.check_roster(), 1);
    }
}

/// One that was not there to be revoked: a request still has it.
#[test]
fn revocation_is_final_for_what_had_run_out() {
    let clock = ManualClock::new();
    let store = with(builder(&clock), None);
    for is_revoked in [true, false] {
        let id = log_in(&store, "ada");
        let late = request(&store, id);
        block_on(late.insert("n", 1)).unwrap();
        clock.advance(HOUR);
        reap_all(store.cache());
        if is_revoked {
            assert_eq!(store.revoke_all("ada"), 0, "none is live");
        }
        block_on(late.cycle_id()).unwrap();
        block_on(late.save()).unwrap();
        assert_eq!(user_in(&store, late.id().unwrap()).is_none(), is_revoked);
    }
    assert!(is_live(&store, &log_in(&store, "ada")), "who logs in later is not affected");
}

#[test]
fn what_is_kept_keeps_its_new_id_that_was_under_way() {
    let store = with(builder(&ManualClock::new()), None);
    let (kept, other) = (log_in(&store, "ada"), log_in(&store, "ada"));
    let (keeps, loses) = (request(&store, kept), request(&store, other));
    block_on(keeps.cycle_id()).unwrap();
    block_on(loses.cycle_id()).unwrap();
    store.revoke_others("ada", &kept);
    block_on(keeps.save()).unwrap();
    block_on(loses.save()).unwrap();
    assert_eq!(user_in(&store, keeps.id().unwrap()).as_deref(), Some("ada"));
    assert_eq!(user_in(&store, loses.id().unwrap()), None);
    // Others are ended than those that were ended before; none of both is kept.
    block_on(keeps.cycle_id()).unwrap();
    store.revoke_others("ada", &other);
    block_on(keeps.save()).unwrap();
    assert_eq!(user_in(&store, keeps.id().unwrap()), None);
    assert_eq!(store.keeper.check_roster(), 0);
}

#[test]
fn what_is_put_back_is_listed_again_unless_it_was_revoked() {
    for is_revoked in [false, true] {
        let clock = ManualClock::new();
        let cache = builder(&clock).max_weight(4_000).on_full(OnFull::Reject);
        let store = with(cache, REFUSE);
        let id = log_in(&store, "ada");
        let request = request(&store, id);
        block_on(request.insert("blob", "x".repeat(10_000))).unwrap();
        block_on(request.cycle_id()).unwrap();
        if is_revoked {
            store.revoke_all("ada");
        }
        assert!(block_on(request.save()).is_err(), "too heavy");
        assert_eq!(is_live(&store, &id), !is_revoked, "{is_revoked}");
        assert_eq!(store.keeper.check_roster(), usize::from(!is_revoked));
        reap_all(store.cache());
        assert_eq!(store.keeper.check_roster(), usize::from(!is_revoked));
    }
}

#[test]
fn a_principal_is_a_name() {
    let store = with(builder(&ManualClock::new()), REFUSE);
    let id = log_in(&store, "ada");
    let request = request(&store, id);
    block_on(request.insert("user", "x".repeat(1 << 20))).unwrap();
    let error = block_on(request.save()).unwrap_err().to_string();
    assert!(error.contains("longer than 1,024 bytes"), "{error}");
    assert_eq!(user_in(&store, id).as_deref(), Some("ada"));
    assert_eq!(try_log_in(&store, &"x".repeat(1_025)), None);
    assert!(try_log_in(&store, &"x".repeat(1_024)).is_some());
    assert_eq!(store.keeper.check_roster(), 2);
}

#[test]
fn what_is_too_heavy_ends_no_one() {
    let store = with(builder(&ManualClock::new()).max_weight(5_000), REVOKE_OLDEST);
    let ids: Vec<Id> = (0..3).map(|_| log_in(&store, "ada")).collect();
    let heavy = session(&store, None);
    block_on(heavy.insert("user", "ada")).unwrap();
    block_on(heavy.insert("blob", "x".repeat(10_000))).unwrap();
    assert!(block_on(heavy.save()).is_err());
    assert!(ids.iter().all(|id| is_live(&store, id)));
    assert_eq!(store.keeper.check_roster(), 3);
}

#[test]
fn settings_that_make_no_sense_are_errors() {
    let setup = || SundownStore::builder(builder(&ManualClock::new()));
    let zero = setup().principal(user_of).max_per_principal(0, OnLimit::Refuse).build();
    assert!(matches!(zero, Err(BuildError::ZeroPrincipalLimit)));
    let no_rule = setup().max_per_principal(3, OnLimit::Refuse).build();
    assert!(matches!(no_rule, Err(BuildError::NoPrincipal)));
}

#[test]
fn a_rule_that_panics_leaves_all_as_it_was() {
    let panics = Arc::new(AtomicBool::new(false));
    let asked = panics.clone();
    let rule = move |record: &Record| {
        assert!(!asked.load(Ordering::Relaxed), "the rule's own panic");
        user_of(record)
    };
    let clock = ManualClock::new();
    let store = SundownStore::builder(builder(&clock))
        .principal(rule)
        .max_per_principal(3, OnLimit::Refuse)
        .build()
        .unwrap();
    let id = log_in(&store, "ada");
    let request = request(&store, id);
    block_on(request.insert("user", "eve")).unwrap();
    panics.store(true, Ordering::Relaxed);
    assert!(catch_unwind(AssertUnwindSafe(|| block_on(request.save()))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| try_log_in(&store, "ada"))).is_err());
    panics.store(false, Ordering::Relaxed);
    assert_eq!((user_in(&store, id).as_deref(), store.keeper.check_roster()), (Some("ada"), 1));
    block_on(request.save()).unwrap();
    assert_eq!(store.sessions_of("eve").len(), 1);
}

/// The weigher is asked when a session is among its principal's and not in the cache yet.
#[test]
fn a_revocation_amid_a_log_in_ends_it() {
    static STORE: OnceLock<SundownStore> = OnceLock::new();
    static REVOKES: AtomicBool = AtomicBool::new(false);
    let weigher = |_: &Id, _: &Record| {
        // What is set aside is weighed as well.
        if let Some(store) = STORE.get().filter(|_| REVOKES.swap(false, Ordering::Relaxed)) {
            store.revoke_all("ada");
            REVOKES.store(true, Ordering::Relaxed);
        }
        1
    };
    let cache = builder(&ManualClock::new()).max_weight(1_000).weigher(weigher);
    let store = STORE.get_or_init(|| with(cache, REFUSE));
    let visitor = created(store, HOUR).id;
    let in_place = request(store, visitor);
    block_on(in_place.insert("user", "ada")).unwrap();
    REVOKES.store(true, Ordering::Relaxed);
    block_on(in_place.save()).unwrap();
    assert!(!is_live(store, &visitor));
    let id = log_in(store, "ada");
    assert!(!is_live(store, &id));
    REVOKES.store(false, Ordering::Relaxed);
    assert_eq!(store.keeper.check_roster(), 0);
    assert!(is_live(store, &log_in(store, "ada")));
}

#[test]
fn principals_that_are_gone_take_no_memory() {
    let clock = ManualClock::new();
    let store = with(builder(&clock).max_entries(20_000), None);
    (0..20_000).for_each(|n| _ = log_in(&store, &format!("user {n}")));
    assert_eq!((store.session_stats().principals, store.keeper.check_roster()), (20_000, 20_000));
    clock.advance(HOUR);
    reap_all(store.cache());
    assert_eq!((store.session_stats().principals, store.keeper.check_roster()), (0, 0));
    assert!(store.keeper.roster_room() < 2_000, "{}", store.keeper.roster_room());
}

#[test]
fn evictions_and_removals_by_hand_leave_the_list() {
    let clock = ManualClock::new();
    let store = with(builder(&clock).max_entries(10), None);
    for n in 0..50 {
        clock.advance(MINUTE / 60);
        log_in(&store, ["ada", "eve"][n % 2]);
        reap_all(store.cache());
        assert_eq!(store.keeper.check_roster(), store.cache().len());
    }
    store.cache().retain(|_, record| user_of(record).as_deref() != Some("ada"));
    reap_all(store.cache());
    assert_eq!((store.sessions_of("ada").len(), store.sessions_of("eve").len()), (0, 5));
    store.cache().clear();
    reap_all(store.cache());
    assert_eq!(store.keeper.check_roster(), 0);
}

/// Their removal has not been told yet when the user is revoked: a reader is inside, so nothing is.
#[test]
fn a_revocation_reaches_sessions_that_have_just_left_by_themselves() {
    let clock = ManualClock::new();
    let store = with(Cache::builder().max_entries(3).clock(clock.clone()), None);
    for is_older_copy in [false, true] {
        let held = log_in(&store, "bob");
        let copied = log_in(&store, "ada");
        let late = request(&store, copied);
        if is_older_copy {
            let other = request(&store, copied);
            block_on(other.insert("n", 1)).unwrap();
            block_on(other.save()).unwrap();
        }
        store.cache().read(&held, |_| {
            (0..3).for_each(|_| _ = log_in(&store, "eve"));
            assert!(!is_live(&store, &copied), "it was evicted");
            store.revoke_all("ada");
            block_on(late.cycle_id()).unwrap();
            block_on(late.save()).unwrap();
            assert_eq!(store.sessions_of("ada").len(), 0);
            assert_eq!(late.id().and_then(|id| user_in(&store, id)), None);
        });
        reap_all(store.cache());
        assert_eq!(late.id().and_then(|id| user_in(&store, id)), None);
        // Who logs in anew is in, and may have a new id.
        let again = request(&store, log_in(&store, "ada"));
        block_on(again.cycle_id()).unwrap();
        block_on(again.save()).unwrap();
        assert_eq!(again.id().and_then(|id| user_in(&store, id)).as_deref(), Some("ada"));
        reap_all(store.cache());
        store.keeper.check_roster();
    }
}

#[test]
fn anonymous_visitors_are_capped_beside_it() {
    let store = SundownStore::builder(builder(&ManualClock::new()).max_entries(100))
        .principal(user_of)
        .anonymous_up_to(0.1, |record| user_of(record).is_none())
        .build()
        .unwrap();
    let ids: Vec<Id> = (0..50).map(|n| log_in(&store, &n.to_string())).collect();
    (0..500).for_each(|_| _ = created(&store, HOUR));
    assert!(ids.iter().all(|id| is_live(&store, id)));
    assert!(store.cache().len() <= 60);
    assert_eq!(store.keeper.check_roster(), 50);
}

#[test]
fn the_limit_holds_while_many_log_in_at_once() {
    const THREADS: usize = 4;
    let store = with(Cache::builder().max_entries(1_000), REVOKE_OLDEST);
    let is_over = AtomicBool::new(false);
    let most = AtomicUsize::new(0);
    thread::scope(|scope| {
        let logging_in: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    for n in 0..500 {
                        let id = log_in(&store, "ada");
                        let request = request(&store, id);
                        match n % 4 {
                            0 => block_on(request.flush()).unwrap(),
                            1 => {
                                block_on(request.cycle_id()).unwrap();
                                block_on(request.save()).unwrap();
                            }
                            2 => {
                                block_on(request.insert("user", "eve")).unwrap();
                                block_on(request.save()).unwrap();
                            }
                            _ => {}
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                most.fetch_max(store.sessions_of("ada").len(), Ordering::Relaxed);
                most.fetch_max(store.sessions_of("eve").len(), Ordering::Relaxed);
            }
        });
        logging_in.into_iter().for_each(|thread| thread.join().unwrap());
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(most.into_inner() <= 3);
    reap_all(store.cache());
    assert!((3..=6).contains(&store.keeper.check_roster()));
    store.cache().audit().unwrap();
}

/// Revocations beside requests that save, rotate and log in: each session that had been there is gone for good.
#[test]
fn what_was_revoked_stays_so_under_load() {
    let store = with(Cache::builder().max_entries(10_000), None);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    // A session that was there before a revocation, and all that requests make of it after.
                    let id = log_in(&store, "ada");
                    let old: Vec<Session> = (0..3).map(|_| request(&store, id)).collect();
                    block_on(old[1].cycle_id()).unwrap();
                    store.revoke_all("ada");
                    for request in &old {
                        block_on(request.insert("n", 1)).unwrap();
                        block_on(request.save()).unwrap();
                    }
                    block_on(old[2].cycle_id()).unwrap();
                    block_on(old[2].save()).unwrap();
                    for id in old.iter().filter_map(Session::id).chain([id]) {
                        assert_eq!(user_in(&store, id), None);
                    }
                }
            });
        }
        thread::sleep(Duration::from_millis(1_500));
        is_over.store(true, Ordering::Relaxed);
    });
    reap_all(store.cache());
    assert_eq!(store.keeper.check_roster(), 0);
}

#[test]
fn the_user_of_axum_login_is_known() {
    let mut record = record(HOUR);
    let mut user = |data: serde_json::Value| {
        record.data.insert("axum-login.data".into(), data);
        principal_of::axum_login(&record)
    };
    let id = |id: serde_json::Value| serde_json::json!({ "user_id": id, "auth_hash": [1, 2] });
    assert_eq!(user(id(7.into())).as_deref(), Some("7"));
    assert_eq!(user(id("ada".into())).as_deref(), Some("ada"));
    assert_eq!(user(id(serde_json::json!([1, "a"]))).as_deref(), Some("[1,\"a\"]"));
    assert_eq!(user(id(serde_json::Value::Null)), None);
    assert_eq!(user(serde_json::json!("else")), None);
    assert_eq!(principal_of::axum_login_at("other")(&record), None);
}

/// A step of the model test; numbers choose users and sessions.
#[derive(Clone, Copy, Debug)]
enum Step {
    LogIn(usize),
    LogInPlace(usize, usize),
    LogOutInPlace(usize),
    Flush(usize),
    Rotate(usize),
    RevokeAll(usize),
    RevokeOthers(usize),
    Wait(u64),
    Reap,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let number = 0..8_usize;
    let step = prop_oneof![
        4 => (0..3_usize).prop_map(Step::LogIn),
        2 => (number.clone(), 0..3_usize).prop_map(|(session, user)| Step::LogInPlace(session, user)),
        1 => number.clone().prop_map(Step::LogOutInPlace),
        1 => number.clone().prop_map(Step::Flush),
        2 => number.clone().prop_map(Step::Rotate),
        1 => (0..3_usize).prop_map(Step::RevokeAll),
        1 => number.prop_map(Step::RevokeOthers),
        1 => (1..40_u64).prop_map(Step::Wait),
        1 => Just(Step::Reap),
    ];
    proptest::collection::vec(step, 1..60)
}

/// A session as the model has it.
#[derive(Clone, Debug)]
struct Known {
    id: Id,
    user: Option<usize>,
    /// When it logged in, and when it ends, in minutes.
    begun: u64,
    end: u64,
}

const USERS: [&str; 3] = ["ada", "eve", "kim"];

#[derive(Default)]
struct Model {
    now: u64,
    sessions: Vec<Known>,
}

impl Model {
    fn live(&self) -> Vec<Known> {
        self.sessions.iter().filter(|known| known.end > self.now).cloned().collect()
    }

    fn choose(&self, number: usize) -> Option<Known> {
        let live = self.live();
        (!live.is_empty()).then(|| live[number % live.len()].clone())
    }

    fn remove(&mut self, ids: &[Id]) {
        self.sessions.retain(|known| !ids.contains(&known.id));
    }

    fn of(&self, user: usize) -> Vec<Known> {
        let mut of: Vec<_> =
            self.live().into_iter().filter(|known| known.user == Some(user)).collect();
        of.sort_by_key(|known| known.begun);
        of
    }

    /// Makes place for one more of a user's.
    fn make_place(&mut self, user: usize) {
        let of = self.of(user);
        if of.len() >= 3 {
            self.remove(&[of[0].id]);
        }
    }
}

fn run(steps: &[Step]) {
    let clock = ManualClock::new();
    let store = with(builder(&clock), REVOKE_OLDEST);
    let mut model = Model::default();
    let tick = |model: &mut Model, minutes: u64| {
        clock.advance(MINUTE * minutes as u32);
        model.now += minutes;
    };
    for &step in steps {
        // Log-ins come in an order.
        tick(&mut model, 1);
        match step {
            Step::LogIn(user) => {
                model.make_place(user);
                let id = log_in(&store, USERS[user]);
                let (begun, end) = (model.now, model.now + 60);
                model.sessions.push(Known { id, user: Some(user), begun, end });
            }
            Step::LogInPlace(number, user) => {
                let Some(mut known) = model.choose(number) else { continue };
                let request = request(&store, known.id);
                block_on(request.insert("user", USERS[user])).unwrap();
                block_on(request.save()).unwrap();
                if known.user != Some(user) {
                    model.make_place(user);
                    known.begun = model.now;
                }
                model.remove(&[known.id]);
                model.sessions.push(Known { user: Some(user), end: model.now + 60, ..known });
            }
            Step::LogOutInPlace(number) => {
                let Some(known) = model.choose(number) else { continue };
                let request = request(&store, known.id);
                block_on(request.remove_value("user")).unwrap();
                block_on(request.save()).unwrap();
                model.remove(&[known.id]);
                model.sessions.push(Known { user: None, end: model.now + 60, ..known });
            }
            Step::Flush(number) => {
                let Some(known) = model.choose(number) else { continue };
                block_on(request(&store, known.id).flush()).unwrap();
                model.remove(&[known.id]);
            }
            Step::Rotate(number) => {
                let Some(known) = model.choose(number) else { continue };
                let request = request(&store, known.id);
                block_on(request.cycle_id()).unwrap();
                block_on(request.save()).unwrap();
                model.remove(&[known.id]);
                let id = request.id().unwrap();
                model.sessions.push(Known { id, end: model.now + 60, ..known });
            }
            Step::RevokeAll(user) => {
                let of: Vec<Id> = model.of(user).iter().map(|known| known.id).collect();
                assert_eq!(store.revoke_all(USERS[user]), of.len());
                model.remove(&of);
            }
            Step::RevokeOthers(number) => {
                let Some(known) = model.choose(number) else { continue };
                let Some(user) = known.user else { continue };
                let of = model.of(user).into_iter().map(|other| other.id);
                let of: Vec<Id> = of.filter(|id| *id != known.id).collect();
                assert_eq!(store.revoke_others(USERS[user], &known.id), of.len());
                model.remove(&of);
            }
            Step::Wait(minutes) => tick(&mut model, minutes),
            Step::Reap => reap_all(store.cache()),
        }
        for (number, user) in USERS.iter().enumerate() {
            let ids = |record: &Record| record.id;
            let listed: Vec<Id> =
                store.sessions_of(user).iter().map(|info| ids(&info.data)).collect();
            let known: Vec<Id> = model.of(number).iter().map(|known| known.id).collect();
            assert_eq!(listed, known, "{user} after {step:?}");
        }
    }
    let live: HashMap<Id, Option<usize>> =
        model.live().into_iter().map(|known| (known.id, known.user)).collect();
    for (id, user) in live {
        assert_eq!(user_in(&store, id).as_deref(), user.map(|user| USERS[user]));
    }
    reap_all(store.cache());
    store.keeper.check_roster();
}

proptest! {
    #[test]
    fn lists_are_those_of_the_model(steps in steps()) {
        run(&steps);
    }
}
