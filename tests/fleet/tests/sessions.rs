//! Principals' sessions over two instances.

mod stage;

use std::sync::Arc;
use std::time::Duration;

use stage::server::Server;
use stage::{LONG, options, pause, redis_options, until};
use sundown::Cache;
use sundown::fleet::{Error, TieredOptions, TieredSessions};
use sundown::redis_1::RedisBackend;
use sundown::sessions::{OnAuthenticate, OnLimit, SessionId};

type Sessions = TieredSessions<u64, String>;

async fn sessions(server: &Server, options: TieredOptions, live: Duration) -> Sessions {
    let backend = RedisBackend::connect(&server.url(), redis_options()).await.unwrap();
    let builder = Cache::builder().max_entries(1_000).time_to_live(live).time_to_idle(LONG);
    let sessions = Sessions::new(
        builder,
        backend,
        |user, data| serde_json::to_vec(&(user, data)).map_err(|error| Arc::new(error) as _),
        |bytes| serde_json::from_slice(bytes).ok(),
        options.timeout(Duration::from_secs(3)),
    );
    let sessions = sessions.unwrap();
    until(|| sessions.tiered().stats().connected).await;
    sessions
}

async fn pair(server: &Server) -> (Sessions, Sessions) {
    (sessions(server, options(), LONG).await, sessions(server, options(), LONG).await)
}

async fn data(sessions: &Sessions, id: &SessionId) -> Option<String> {
    sessions.get(id).await.unwrap().map(|session| (*session).clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_in_gives_a_new_id_and_is_known_everywhere() {
    let server = Server::start().await;
    let (one, other) = pair(&server).await;
    let visitor = one.create("basket".into()).await.unwrap();
    let session = other.get(&visitor).await.unwrap().unwrap();
    assert!(session.principal().is_none() && !session.is_fresh(LONG));
    let public = session.public_id();
    let id = other.authenticate(&visitor, 7).await.unwrap().unwrap();
    assert!(id != visitor && id.public_id() == public);
    assert!(other.get(&visitor).await.unwrap().is_none(), "the visitor's id is none any more");
    pause(20).await;
    assert!(one.get(&visitor).await.unwrap().is_none());
    let session = one.get(&id).await.unwrap().unwrap();
    assert_eq!((session.principal(), session.as_str()), (Some(&7), "basket"));
    assert!(session.is_fresh(Duration::from_secs(5)) && session.age() < Duration::from_secs(5));
    let listed = one.sessions_of(&7).await.unwrap();
    assert_eq!(listed.iter().map(|session| session.public_id()).collect::<Vec<_>>(), [public]);
    // Who knows the public half alone is not in.
    let guessed: SessionId =
        format!("{}{}", &visitor.to_string()[..22], &id.to_string()[22..]).parse().unwrap();
    assert!(guessed == id || one.get(&guessed).await.unwrap().is_none());
    assert!(one.revoke_public(&8, &public).await.is_ok_and(|is_theirs| !is_theirs));
    assert!(one.revoke_public(&7, &public).await.unwrap());
    pause(20).await;
    assert!(other.get(&id).await.unwrap().is_none());
    assert!(!format!("{one:?}{session:?}").contains(&id.to_string()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_rotate_one_does_and_no_update_is_lost() {
    let server = Server::start().await;
    let (one, other) = pair(&server).await;
    let id = one.create_for(7, String::new()).await.unwrap();
    let mut tasks = Vec::new();
    for n in 0..40 {
        let (sessions, id) = (if n % 2 == 0 { one.clone() } else { other.clone() }, id.clone());
        tasks.push(tokio::spawn(async move {
            sessions.update(&id, |text| format!("{text}x")).await.unwrap()
        }));
    }
    for task in tasks {
        assert!(task.await.unwrap());
    }
    pause(20).await;
    assert_eq!(data(&other, &id).await.unwrap().len(), 40);
    let mut tasks = Vec::new();
    for n in 0..20 {
        let (sessions, id) = (if n % 2 == 0 { one.clone() } else { other.clone() }, id.clone());
        tasks.push(tokio::spawn(async move { sessions.rotate(&id).await.unwrap() }));
    }
    let mut new = Vec::new();
    for task in tasks {
        new.extend(task.await.unwrap());
    }
    let [new] = &new[..] else { panic!("{} new ids", new.len()) };
    pause(20).await;
    for sessions in [&one, &other] {
        assert!(sessions.get(&id).await.unwrap().is_none());
        assert_eq!(data(sessions, new).await.unwrap().len(), 40);
    }
    assert!(!one.update(&id, |_| panic!("it is none")).await.unwrap());
    assert!(!one.revoke(&id).await.unwrap() && one.revoke(new).await.unwrap());
    assert!(one.rotate(new).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grace_is_as_long_as_it_says_and_ends_with_the_session() {
    let server = Server::start().await;
    let (one, other) = pair(&server).await;
    let (one, other) = (one.rotation_grace(Duration::from_millis(400)), other);
    let old = one.create_for(7, "a".into()).await.unwrap();
    let new = one.rotate(&old).await.unwrap().unwrap();
    pause(20).await;
    assert!(data(&other, &old).await.is_some() && data(&other, &new).await.is_some());
    assert!(other.update(&old, |_| "b".into()).await.unwrap(), "requests of one page");
    assert!(
        other.rotate(&old).await.unwrap().is_none()
            && one.authenticate(&old, 8).await.unwrap().is_none()
    );
    pause(420).await;
    for sessions in [&one, &other] {
        assert!(sessions.get(&old).await.unwrap().is_none());
        assert_eq!(data(sessions, &new).await.as_deref(), Some("b"));
    }
    let newer = one.rotate(&new).await.unwrap().unwrap();
    assert_eq!(other.revoke_all(&7).await.unwrap(), 1);
    pause(20).await;
    for id in [&old, &new, &newer] {
        assert!(one.get(id).await.unwrap().is_none() && other.get(id).await.unwrap().is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_and_revocations_hold_over_both() {
    let server = Server::start().await;
    let limited = |on_limit| options().max_per_principal(2, on_limit);
    let one = sessions(&server, limited(OnLimit::RevokeOldest), LONG).await;
    let strict = sessions(&server, limited(OnLimit::Refuse), LONG).await;
    let first = one.create_for(7, "first".into()).await.unwrap();
    let visitor = strict.create("second".into()).await.unwrap();
    let second = strict.authenticate(&visitor, 7).await.unwrap().unwrap();
    assert!(matches!(strict.create_for(7, "third".into()).await, Err(Error::LimitReached)));
    let other = strict.create("third".into()).await.unwrap();
    assert!(matches!(strict.authenticate(&other, 7).await, Err(Error::LimitReached)));
    assert!(data(&strict, &other).await.is_some(), "a visitor still");
    let third = one.create_for(7, "third".into()).await.unwrap();
    pause(20).await;
    assert!(strict.get(&first).await.unwrap().is_none());
    assert_eq!(strict.revoke_others(&7, &third).await.unwrap(), 1);
    pause(20).await;
    assert!(one.get(&second).await.unwrap().is_none() && one.get(&third).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_in_begins_the_absolute_timeout_anew_and_a_new_id_does_not() {
    let server = Server::start().await;
    let live = Duration::from_millis(900);
    let one = sessions(&server, options(), live).await;
    let keeping = sessions(&server, options(), live).await;
    let keeping = keeping.on_authenticate(OnAuthenticate::KeepAbsolute);
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(one.create("basket".into()).await.unwrap());
    }
    pause(500).await;
    let logged_in = one.authenticate(&ids[0], 7).await.unwrap().unwrap();
    let kept = keeping.authenticate(&ids[1], 7).await.unwrap().unwrap();
    let rotated = one.rotate(&ids[2]).await.unwrap().unwrap();
    pause(500).await;
    assert!(one.get(&logged_in).await.unwrap().is_some());
    assert!(one.get(&kept).await.unwrap().is_none() && one.get(&rotated).await.unwrap().is_none());
    pause(500).await;
    assert!(one.get(&logged_in).await.unwrap().is_none());
    assert_eq!(server.keys().await, 0, "nothing is left");
}
