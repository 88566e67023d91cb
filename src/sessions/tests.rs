//! Tests of sessions, on a clock that they move themselves.

use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Barrier, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::error::BuildError;
use crate::platform::clock::ManualClock;
use crate::reaper::Reaper;
use crate::removal::OnFull;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

type Few = Sessions<&'static str, u64>;

fn manual<P, T>() -> (ManualClock, Builder<P, T>)
where
    P: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    let clock = ManualClock::new();
    let builder = Sessions::builder().max_entries(1_000).clock(clock.clone());
    (clock, builder.reaper(Reaper::Manual))
}

/// What `on_end` was told, in order.
type Told<P> = Arc<Mutex<Vec<(Option<P>, EndCause, Duration)>>>;

fn told<P: Clone + Send + Sync + 'static, T: Send + Sync + 'static>(
    builder: Builder<P, T>,
) -> (Told<P>, Builder<P, T>) {
    let told = Told::default();
    let own = told.clone();
    let builder = builder.on_end(move |end| {
        let end = (end.principal, end.cause, end.lived);
        own.lock().unwrap_or_else(PoisonError::into_inner).push(end);
    });
    (told, builder)
}

/// Reaps until no garbage is left: another test's reader may be in the way.
fn reap_all<P, T>(sessions: &Sessions<P, T>)
where
    P: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    for _ in 0..10_000 {
        sessions.reap();
        if sessions.stats().engine.retired.count == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("garbage stays");
}

fn wait_for_the_reaper<P, T>(sessions: &Sessions<P, T>)
where
    P: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    let until = std::time::Instant::now() + 30 * SECOND;
    while sessions.stats().engine.retired.count > 0 {
        assert!(std::time::Instant::now() < until, "garbage stays");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn log_in_changes_the_id_and_keeps_the_data() {
    let (clock, builder) = manual();
    let (told, builder) = told(builder.time_to_live(10 * MINUTE).time_to_idle(5 * MINUTE));
    let sessions: Few = builder.build().unwrap();
    let visitor = sessions.create(7).unwrap();
    let session = sessions.get(&visitor).unwrap();
    assert_eq!((session.principal(), session.authenticated()), (None, None));
    assert!(!session.is_fresh(10 * MINUTE));
    clock.advance(4 * MINUTE);
    let id = sessions.authenticate(&visitor, "ada").unwrap();
    assert!(sessions.get(&visitor).is_none() && sessions.peek(&visitor).is_none());
    let session = sessions.get(&id).unwrap();
    assert_eq!((*session, session.principal()), (7, Some(&"ada")));
    assert_eq!(session.public_id(), visitor.public_id());
    assert!(session.is_fresh(Duration::ZERO));
    clock.advance(2 * MINUTE);
    assert!(session.is_fresh(2 * MINUTE) && !session.is_fresh(2 * MINUTE - SECOND));
    let age = session.created().elapsed().unwrap();
    assert!((6 * MINUTE..7 * MINUTE).contains(&age), "{age:?}");
    assert_eq!(sessions.stats().unknown_ids, 2);
    // The absolute timeout has begun anew at the log-in, four minutes after the creation.
    for _ in 0..3 {
        assert!(sessions.get(&id).is_some());
        clock.advance(150 * SECOND);
    }
    assert!(sessions.get(&id).is_some());
    clock.advance(30 * SECOND);
    assert!(sessions.get(&id).is_none());
    reap_all(&sessions);
    assert_eq!(*told.lock().unwrap(), [(Some("ada"), EndCause::Expired, 14 * MINUTE)]);
    assert_eq!(sessions.stats().principals, 0);
    sessions.audit().unwrap();
}

#[test]
fn log_in_may_keep_the_absolute_timeout() {
    let (clock, builder) = manual();
    let builder = builder.time_to_live(10 * MINUTE).on_authenticate(OnAuthenticate::KeepAbsolute);
    let sessions: Few = builder.build().unwrap();
    let visitor = sessions.create(7).unwrap();
    clock.advance(9 * MINUTE);
    let id = sessions.authenticate(&visitor, "ada").unwrap();
    clock.advance(MINUTE - SECOND);
    assert!(sessions.get(&id).is_some());
    clock.advance(SECOND);
    assert!(sessions.get(&id).is_none());
}

#[test]
fn the_oldest_of_a_principal_ends_at_the_limit() {
    let (clock, builder) = manual();
    let (told, builder) = told(builder.max_per_principal(2, OnLimit::RevokeOldest));
    let sessions: Few = builder.build().unwrap();
    let ids: Vec<_> = (0..4)
        .map(|number| {
            clock.advance(SECOND);
            sessions.create_for("ada", number).unwrap()
        })
        .collect();
    let other = sessions.create_for("bob", 9).unwrap();
    let live: Vec<_> = ids.iter().map(|id| sessions.get(id).is_some()).collect();
    assert_eq!(live, [false, false, true, true]);
    let listed = sessions.sessions_of(&"ada");
    assert_eq!(listed.iter().map(|info| *info.data).collect::<Vec<_>>(), [2, 3]);
    // A log-in counts as well, and its session is not the one to end.
    let visitor = sessions.create(4).unwrap();
    let id = sessions.authenticate(&visitor, "ada").unwrap();
    assert!(sessions.get(&id).is_some() && sessions.get(&other).is_some());
    assert_eq!(sessions.sessions_of(&"ada").len(), 2);
    // One more log-in of the same principal is no session more.
    let id = sessions.authenticate(&id, "ada").unwrap();
    assert_eq!(sessions.sessions_of(&"ada").len(), 2);
    reap_all(&sessions);
    let causes: Vec<_> = told.lock().unwrap().iter().map(|end| (end.0, end.1)).collect();
    assert_eq!(causes, [(Some("ada"), EndCause::LimitReached); 3]);
    let stats = sessions.stats();
    assert_eq!((stats.ended_by_limit, stats.with_principal, stats.principals), (3, 3, 2));
    assert!(sessions.revoke(&id));
    sessions.audit().unwrap();
}

#[test]
fn newcomer_is_refused_at_the_limit_and_nothing_is_lost() {
    let (clock, builder) = manual();
    let builder = builder.max_per_principal(1, OnLimit::Refuse).time_to_live(MINUTE);
    let sessions: Few = builder.build().unwrap();
    let first = sessions.create_for("ada", 1).unwrap();
    let refused = sessions.create_for("ada", 2).unwrap_err();
    assert_eq!((refused.reason(), refused.into_inner()), (Refusal::LimitReached, 2));
    let visitor = sessions.create(3).unwrap();
    assert_eq!(sessions.authenticate(&visitor, "ada").unwrap_err(), Refusal::LimitReached);
    assert_eq!(sessions.get(&visitor).unwrap().principal(), None);
    assert!(sessions.get(&first).is_some());
    assert_eq!(sessions.stats().refused_by_limit, 2);
    // What has expired does not count, also before it has been reaped.
    clock.advance(MINUTE);
    assert_eq!(sessions.sessions_of(&"ada").len(), 0);
    sessions.create_for("ada", 4).unwrap();
    reap_all(&sessions);
    sessions.audit().unwrap();
}

#[test]
fn too_heavy_a_newcomer_ends_nobody() {
    let (_, builder) = manual();
    let builder = builder
        .max_weight(10)
        .weigher(|principal, data: &u64| *data + u64::from(principal.is_some()))
        .max_per_principal(1, OnLimit::RevokeOldest);
    let sessions: Few = builder.build().unwrap();
    let first = sessions.create_for("ada", 5).unwrap();
    assert_eq!(sessions.create_for("ada", 10).unwrap_err().reason(), Refusal::TooHeavy);
    assert_eq!(sessions.update(&first, |_| 10).unwrap_err().into_inner(), 10);
    assert_eq!(*sessions.get(&first).unwrap(), 5);
    assert!(sessions.update(&first, |data| data + 4).unwrap());
    assert_eq!(*sessions.get(&first).unwrap(), 9);
}

#[test]
fn revocation_ends_what_it_says_and_nothing_else() {
    let (_, builder) = manual();
    let (told, builder) = told(builder.rotation_grace(SECOND).time_to_live(MINUTE));
    let sessions: Few = builder.build().unwrap();
    let ids: Vec<_> = (0..5).map(|number| sessions.create_for("ada", number).unwrap()).collect();
    let (bob, nobody) = (sessions.create_for("bob", 9).unwrap(), sessions.create(8).unwrap());
    assert!(sessions.revoke(&ids[0]) && !sessions.revoke(&ids[0]));
    let shown = sessions.get(&ids[1]).unwrap().public_id();
    assert!(!sessions.revoke_public(&"bob", &shown), "it is not his");
    assert!(sessions.revoke_public(&"ada", &shown) && !sessions.revoke_public(&"ada", &shown));
    let renewed = sessions.rotate(&ids[2]).unwrap();
    assert!(sessions.get(&ids[2]).is_some(), "it has its grace");
    assert_eq!(sessions.revoke_others(&"ada", &ids[3]), 2);
    assert!(sessions.get(&ids[2]).is_none() && sessions.get(&renewed).is_none());
    assert!(sessions.get(&ids[3]).is_some());
    assert_eq!((sessions.revoke_all(&"ada"), sessions.revoke_all(&"ada")), (1, 0));
    assert!(sessions.get(&bob).is_some() && sessions.get(&nobody).is_some());
    assert_eq!(sessions.revoke_everyone(), 2);
    assert!(sessions.get(&bob).is_none() && sessions.get(&nobody).is_none());
    reap_all(&sessions);
    let told = told.lock().unwrap();
    assert!(told.len() == 7 && told.iter().all(|end| end.1 == EndCause::Revoked), "{told:?}");
    assert_eq!((sessions.stats().revoked, sessions.stats().principals), (7, 0));
    sessions.audit().unwrap();
}

#[test]
fn rotation_in_a_full_cache_that_rejects_keeps_room_deadline_and_data() {
    let (clock, builder) = manual();
    let builder = builder
        .max_entries(2)
        .on_full(OnFull::Reject)
        .time_to_live(MINUTE)
        .rotation_grace(10 * SECOND);
    let sessions: Few = builder.build().unwrap();
    let (first, _second) = (sessions.create(1).unwrap(), sessions.create(2).unwrap());
    assert_eq!(sessions.create(3).unwrap_err().reason(), Refusal::Full);
    clock.advance(30 * SECOND);
    let new = sessions.rotate(&first).unwrap();
    assert_ne!(new, first);
    assert_eq!(sessions.len(), 2);
    for id in [&first, &new] {
        assert_eq!(*sessions.get(id).unwrap(), 1);
    }
    clock.advance(10 * SECOND - Duration::from_nanos(1));
    assert!(sessions.get(&first).is_some());
    clock.advance(Duration::from_nanos(1));
    assert!(sessions.get(&first).is_none(), "never again");
    assert!(sessions.update(&new, |data| data + 4).unwrap());
    assert!(!sessions.update(&first, |_| 0).unwrap() && sessions.rotate(&first).is_none());
    assert!(sessions.authenticate(&first, "eve").is_err() && !sessions.revoke(&first));
    clock.advance(20 * SECOND - Duration::from_nanos(1));
    assert_eq!(*sessions.get(&new).unwrap(), 5);
    clock.advance(Duration::from_nanos(1));
    assert!(sessions.get(&new).is_none(), "its deadline is that of its creation");
}

#[test]
fn each_id_has_its_own_grace_and_leads_to_no_other() {
    let (clock, builder) = manual();
    let builder = builder.rotation_grace(10 * SECOND).time_to_live(MINUTE);
    let sessions: Few = builder.build().unwrap();
    let first = sessions.create(1).unwrap();
    let second = sessions.rotate(&first).unwrap();
    clock.advance(6 * SECOND);
    assert!(sessions.rotate(&first).is_none() && sessions.authenticate(&first, "eve").is_err());
    let third = sessions.authenticate(&second, "ada").unwrap();
    for id in [&first, &second, &third] {
        assert!(sessions.get(id).is_some());
    }
    clock.advance(4 * SECOND);
    assert!(sessions.get(&first).is_none() && sessions.get(&second).is_some());
    clock.advance(6 * SECOND);
    assert!(sessions.get(&second).is_none() && sessions.get(&third).is_some());
    assert_eq!(sessions.len(), 1);
}

#[test]
fn a_guess_is_no_use_of_the_session() {
    let (clock, builder) = manual();
    let sessions: Few = builder.time_to_idle(MINUTE).build().unwrap();
    let id = sessions.create(1).unwrap();
    let guess = SessionId::with_public(id.public_id());
    clock.advance(40 * SECOND);
    assert!(sessions.get(&guess).is_none() && sessions.rotate(&guess).is_none());
    assert!(!sessions.revoke(&guess) && sessions.authenticate(&guess, "eve").is_err());
    clock.advance(20 * SECOND);
    assert!(sessions.get(&id).is_none(), "nobody has used it");
    assert!(sessions.stats().unknown_ids >= 4);
}

#[test]
fn ids_are_read_as_they_are_written_and_are_all_different() {
    let sessions: Few = manual().1.max_entries(5_000).build().unwrap();
    let mut seen = std::collections::HashSet::new();
    let mut ones = [0_u32; 256];
    for number in 0..2_000 {
        let id = sessions.create(number).unwrap();
        let text = id.to_string();
        assert_eq!(text.len(), 43);
        assert!(text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_'));
        assert_eq!(text.parse::<SessionId>().unwrap(), id);
        assert_eq!(id.public_id().to_string().parse::<PublicId>().unwrap(), id.public_id());
        assert!(seen.insert(text.clone()) && !format!("{id:?} {sessions:?}").contains(&text[22..]));
        let mut bytes = [0; 32];
        URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).unwrap();
        (0..256).for_each(|bit| ones[bit] += u32::from(bytes[bit / 8] >> (bit % 8) & 1));
    }
    // Eight standard deviations.
    assert!(ones.iter().all(|count| (821..1_179).contains(count)), "{ones:?}");
    let wrong = ["", "a", "é", &"a".repeat(42), &"a".repeat(44), &"=".repeat(43), &"/".repeat(43)];
    for text in wrong {
        assert!(text.parse::<SessionId>().is_err() && text.parse::<PublicId>().is_err(), "{text}");
    }
}

#[test]
fn what_cannot_work_is_a_clear_error() {
    let few = || manual::<&str, u64>().1.time_to_live(MINUTE).time_to_idle(10 * SECOND);
    let refused = |builder: Builder<&'static str, u64>| builder.build().unwrap_err();
    let zero = refused(few().max_per_principal(0, OnLimit::Refuse));
    assert!(matches!(zero, BuildError::ZeroPrincipalLimit), "{zero}");
    let grace = refused(few().rotation_grace(10 * SECOND));
    assert!(matches!(grace, BuildError::OverlongGrace(_)), "{grace}");
    assert!(few().rotation_grace(9 * SECOND).build().is_ok());
    let sessions = few().build().unwrap();
    let id = sessions.create(1).unwrap();
    sessions.close();
    assert_eq!(sessions.create(2).unwrap_err().reason(), Refusal::Closed);
    assert_eq!(sessions.authenticate(&id, "ada").unwrap_err(), Refusal::Ended);
}

#[test]
fn a_hundred_thousand_principals_are_gone_without_a_call() {
    let sessions: Sessions<u64, [u8; 16]> = Sessions::builder()
        .max_entries(200_000)
        .time_to_live(Duration::from_millis(500))
        .build()
        .unwrap();
    for principal in 0..100_000 {
        sessions.create_for(principal, [0; 16]).unwrap();
    }
    let until = std::time::Instant::now() + 60 * SECOND;
    while sessions.stats().principals > 0 {
        assert!(std::time::Instant::now() < until, "{:?}", sessions.stats());
        std::thread::sleep(Duration::from_millis(20));
    }
    let stats = sessions.stats();
    assert_eq!((stats.with_principal, stats.engine.expired), (0, 100_000));
    let tables = || sessions.inner.principals.capacity();
    assert!(tables() < 1_000, "{} places stay", tables());
}

#[test]
fn the_limit_holds_however_many_log_in_at_once() {
    let sessions: Sessions<u64, usize> = Sessions::builder()
        .max_entries(10_000)
        .max_per_principal(3, OnLimit::RevokeOldest)
        .build()
        .unwrap();
    let (is_over, ids) = (AtomicBool::new(false), Mutex::new(Vec::<SessionId>::new()));
    let most = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let (sessions, ids) = (&sessions, &ids);
                scope.spawn(move || {
                    for number in 0..2_000 {
                        let id = match number % 2 {
                            0 => sessions.create_for(1, thread).unwrap(),
                            _ => {
                                let visitor = sessions.create(thread).unwrap();
                                match sessions.authenticate(&visitor, 1) {
                                    Ok(id) => id,
                                    // It was the oldest before it was in.
                                    Err(Refusal::Ended) => continue,
                                    Err(refusal) => panic!("{refusal}"),
                                }
                            }
                        };
                        let mut ids = ids.lock().unwrap();
                        ids.push(id);
                        let from = ids.len().saturating_sub(16);
                        ids.drain(..from);
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                most.fetch_max(
                    sessions.sessions_of(&1).len(),
                    std::sync::atomic::Ordering::Relaxed,
                );
                let ids = ids.lock().unwrap().clone();
                // What is found twice was there in between, and all that are were there at once.
                let found = |id: &&SessionId| sessions.peek(id).is_some();
                let first: Vec<_> = ids.iter().filter(found).collect();
                let live = first.into_iter().filter(found).count();
                assert!(live <= 3, "{live} at a time");
            }
        });
        for thread in threads {
            thread.join().unwrap();
        }
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(most.into_inner() <= 3);
    assert_eq!(sessions.sessions_of(&1).len(), 3);
    sessions.audit().unwrap();
}

/// Revocation against everything that gives a session another id, life or value.
#[test]
fn revocation_is_final_beside_log_ins_rotations_and_updates() {
    let sessions: Sessions<u64, u64> = Sessions::builder()
        .max_entries(10_000)
        .time_to_live(MINUTE)
        .rotation_grace(10 * SECOND)
        .build()
        .unwrap();
    for round in 0..1_000 {
        let visitor = sessions.create(0).unwrap();
        let first = sessions.create_for(7, 0).unwrap();
        let (start, ids) = (Barrier::new(4), Mutex::new(vec![visitor.clone(), first.clone()]));
        let note = |id: Option<SessionId>| ids.lock().unwrap().extend(id);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                note(sessions.rotate(&first));
                note(sessions.authenticate(&first, 8).ok());
                note(sessions.authenticate(&first, 7).ok());
            });
            scope.spawn(|| {
                start.wait();
                note(sessions.authenticate(&visitor, 7).ok());
                _ = sessions.update(&first, |data| data + 1);
                note(sessions.rotate(&visitor));
            });
            let revoke = scope.spawn(|| {
                start.wait();
                let revoked = sessions.revoke_all(&7);
                (revoked, sessions.sessions_of(&7).len())
            });
            start.wait();
            if round % 2 == 0 {
                sessions.revoke(&first);
            }
            _ = revoke.join().unwrap();
        });
        // What was begun as another's, or after the revocation, may be there; a second one ends it for good.
        sessions.revoke_all(&7);
        sessions.revoke_all(&8);
        sessions.revoke(&visitor);
        for id in ids.into_inner().unwrap() {
            assert!(sessions.get(&id).is_none(), "round {round}: it is back");
        }
        if round % 2 == 0 {
            assert!(sessions.sessions_of(&8).is_empty() && sessions.sessions_of(&7).is_empty());
        }
    }
    wait_for_the_reaper(&sessions);
    assert_eq!((sessions.len(), sessions.stats().principals), (0, 0));
    sessions.audit().unwrap();
}

#[test]
fn two_rotations_at_once_leave_one_session() {
    for grace in [Duration::ZERO, SECOND] {
        let builder = Sessions::<u64, u64>::builder().max_entries(100).time_to_live(MINUTE);
        let sessions = builder.rotation_grace(grace).build().unwrap();
        for _ in 0..500 {
            let id = sessions.create_for(1, 0).unwrap();
            let start = Barrier::new(2);
            let rotate = || {
                start.wait();
                sessions.rotate(&id)
            };
            let (one, other) = std::thread::scope(|scope| {
                let one = scope.spawn(rotate);
                let other = rotate();
                (one.join().unwrap(), other)
            });
            assert!(one.is_some() || other.is_some());
            if grace.is_zero() {
                assert!(one.is_none() || other.is_none());
            }
            assert_eq!(sessions.sessions_of(&1).len(), 1);
            assert_eq!(sessions.revoke_all(&1), 1);
        }
    }
}

/// One that comes while another one is at it returns no sooner than the sessions are over.
#[test]
fn a_second_revocation_waits_for_the_first_ones_ends() {
    let sessions = Sessions::<u64, u64>::builder().max_entries(10_000).build().unwrap();
    for _ in 0..20 {
        let ids: Vec<_> = (0..2_000).map(|_| sessions.create_for(7, 0).unwrap()).collect();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    sessions.revoke_all(&7);
                    assert!(ids.iter().all(|id| sessions.peek(id).is_none()), "S3");
                });
            }
        });
    }
}

#[test]
fn the_end_of_one_may_revoke_the_others() {
    let slot = Arc::new(Mutex::new(None::<(Sessions<u64, u64>, Vec<SessionId>)>));
    let own = slot.clone();
    let sessions = Sessions::<u64, u64>::builder()
        .max_entries(10_000)
        .on_end(move |_| {
            let others = own.lock().unwrap().clone();
            if let Some((sessions, ids)) = others {
                ids.iter().for_each(|id| _ = sessions.revoke(id));
            }
        })
        .build()
        .unwrap();
    let ids: Vec<_> = (0..1_000).map(|_| sessions.create_for(7, 0).unwrap()).collect();
    *slot.lock().unwrap() = Some((sessions.clone(), ids[900..].to_vec()));
    sessions.revoke_all(&7);
    slot.lock().unwrap().take();
    assert!(ids.iter().all(|id| sessions.peek(id).is_none()));
}

/// Data's destructor, and `on_end`, may call the sessions.
#[test]
fn user_code_may_call_the_sessions() {
    struct Caller(Sessions<u64, Option<Self>>, u64);
    impl Drop for Caller {
        fn drop(&mut self) {
            self.0.revoke_all(&(self.1 + 1));
            let _listed = self.0.sessions_of(&self.1);
        }
    }
    let slot = Arc::new(Mutex::new(None::<Sessions<u64, Option<Caller>>>));
    let own = slot.clone();
    let sessions = Sessions::<u64, Option<Caller>>::builder()
        .max_entries(8)
        .max_per_principal(1, OnLimit::RevokeOldest)
        .on_end(move |end| {
            let sessions = own.lock().unwrap().clone();
            if let (Some(sessions), Some(principal)) = (sessions, end.principal) {
                let _listed = sessions.sessions_of(&principal);
                sessions.revoke_all(&(principal + 1));
            }
        })
        .build()
        .unwrap();
    *slot.lock().unwrap() = Some(sessions.clone());
    for number in 0..5_000 {
        let data = Some(Caller(sessions.clone(), number % 20));
        sessions.create_for(number % 20, data).unwrap();
    }
    slot.lock().unwrap().take();
    sessions.revoke_everyone();
    wait_for_the_reaper(&sessions);
    assert_eq!((sessions.len(), sessions.stats().principals), (0, 0));
    sessions.audit().unwrap();
}

#[test]
fn what_has_ended_and_is_held_on_is_told() {
    let (clock, builder) = manual();
    let sessions: Few = builder.time_to_live(MINUTE).track_overstays(SECOND).build().unwrap();
    let visitor = sessions.create(1).unwrap();
    // A look from before the log-in, and one from before an update, are of the same session.
    let held = sessions.get(&visitor).unwrap();
    let id = sessions.authenticate(&visitor, "ada").unwrap();
    assert!(sessions.update(&id, |data| data + 1).unwrap());
    reap_all(&sessions);
    clock.advance(10 * SECOND);
    assert_eq!(sessions.overstays().count, 0, "it is in");
    assert!(sessions.revoke(&id));
    reap_all(&sessions);
    assert_eq!(sessions.overstays().count, 0, "not yet");
    clock.advance(2 * SECOND);
    assert_eq!(sessions.stats().engine.overstays.count, 1);
    drop(held);
    assert_eq!(sessions.overstays().count, 0);
}

#[test]
fn a_panic_of_the_weigher_leaves_no_place_taken() {
    let (_, builder) = manual::<u64, u64>();
    let calls = Arc::new(AtomicUsize::new(0));
    let weighed = calls.clone();
    let sessions = builder
        .max_weight(1_000)
        .weigher(move |_, _| {
            let number = weighed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            assert!(number % 4 != 1, "a fault of the user's");
            1
        })
        .max_per_principal(1, OnLimit::Refuse)
        .build()
        .unwrap();
    let attempt = |create: &dyn Fn() -> SessionId| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(create)).ok()
    };
    // The second time that it is weighed, which is when it is put in.
    assert!(attempt(&|| sessions.create_for(1, 0).unwrap()).is_none());
    assert_eq!((sessions.stats().principals, sessions.len()), (0, 0));
    let visitor = sessions.create(0).unwrap();
    calls.store(1, std::sync::atomic::Ordering::Relaxed);
    assert!(attempt(&|| sessions.authenticate(&visitor, 1).unwrap()).is_none());
    assert_eq!((sessions.stats().principals, sessions.len()), (0, 1));
    assert!(sessions.authenticate(&visitor, 1).is_ok(), "there is a place");
    sessions.audit().unwrap();
}
