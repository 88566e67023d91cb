//! What requests on two instances do to a session, in tower-sessions' words.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sundown::Cache;
use sundown::redis_1::RedisBackend;

use crate::stage::server::Server;
use crate::stage::{LONG, options, pause, redis_options, until};
use crate::store::{SundownStore, TieredStore, principal_of, restart_absolute_timeout};
use crate::tower_sessions::session::{Id, Record};
use crate::tower_sessions::{Session, SessionStore};

async fn store(server: &Server, live: Duration) -> TieredStore {
    let backend = RedisBackend::connect(&server.url(), redis_options()).await.unwrap();
    let builder = Cache::builder().max_entries(1_000).time_to_live(live).time_to_idle(LONG);
    let patient = options().timeout(Duration::from_secs(3));
    let store = SundownStore::tiered_with(builder, backend, patient).await.unwrap();
    let store = store.principal(|record: &Record| {
        record.data.get("user").and_then(|user| user.as_str()).map(str::to_owned)
    });
    let _ready_made = principal_of::axum_login;
    until(|| store.tiered_stats().connected).await;
    store
}

fn request(store: &TieredStore, id: Option<Id>) -> Session {
    Session::new(id, Arc::new(store.clone()), None)
}

async fn begin(store: &TieredStore, user: &str) -> Id {
    let session = request(store, None);
    session.insert("user", user).await.unwrap();
    session.save().await.unwrap();
    session.id().unwrap()
}

async fn get(store: &TieredStore, id: Id, name: &str) -> Option<String> {
    request(store, Some(id)).get(name).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_side_by_side_on_two_instances_lose_nothing() {
    let server = Server::start().await;
    let (one, other) = (store(&server, LONG).await, store(&server, LONG).await);
    let id = begin(&one, "ada").await;
    assert_eq!(get(&other, id, "user").await.as_deref(), Some("ada"));
    let (here, there) = (request(&one, Some(id)), request(&other, Some(id)));
    here.insert("basket", "a pear").await.unwrap();
    here.remove::<String>("user").await.unwrap();
    there.insert("theme", "dark").await.unwrap();
    here.save().await.unwrap();
    there.save().await.unwrap();
    for store in [&one, &other] {
        until_seen(store, id, "theme", Some("dark")).await;
        assert_eq!(get(store, id, "basket").await.as_deref(), Some("a pear"));
        assert_eq!(get(store, id, "user").await, None, "a log-out of the user stays");
    }
    // A request that saves again undoes nothing that came between.
    here.insert("lang", "en").await.unwrap();
    here.save().await.unwrap();
    until_seen(&other, id, "lang", Some("en")).await;
    assert_eq!(get(&other, id, "theme").await.as_deref(), Some("dark"));
    here.remove::<String>("lang").await.unwrap();
    here.save().await.unwrap();
    until_seen(&other, id, "lang", None).await;
}

async fn until_seen(store: &TieredStore, id: Id, name: &str, value: Option<&str>) {
    let since = Instant::now();
    while get(store, id, name).await.as_deref() != value {
        assert!(since.elapsed() < Duration::from_millis(500), "{name} is not {value:?}");
        pause(1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_out_on_one_instance_is_final_on_the_other() {
    let server = Server::start().await;
    let (one, other) = (store(&server, LONG).await, store(&server, LONG).await);
    let id = begin(&one, "ada").await;
    let late = request(&other, Some(id));
    late.insert("basket", "a pear").await.unwrap();
    let rotating = request(&other, Some(id));
    rotating.insert("own", "mine").await.unwrap();
    request(&one, Some(id)).flush().await.unwrap();
    late.save().await.expect("no error, and nothing done");
    assert!(one.load(&id).await.unwrap().is_none());
    rotating.cycle_id().await.unwrap();
    rotating.save().await.unwrap();
    let new = rotating.id().unwrap();
    assert_eq!(get(&other, new, "user").await, None, "nothing of it goes along");
    assert_eq!(get(&other, new, "own").await.as_deref(), Some("mine"));
    pause(20).await;
    assert!(other.load(&id).await.unwrap().is_none());
    assert!(other.sessions_of("ada").await.unwrap().is_empty());
    // Under a planted id there is no session.
    let planted = Record { id, data: Default::default(), expiry_date: ahead() };
    assert!(one.save(&planted).await.is_ok() && one.load(&id).await.unwrap().is_none());
}

fn ahead() -> time::OffsetDateTime {
    time::OffsetDateTime::now_utc() + time::Duration::hours(1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_id_loses_nothing_and_a_log_out_with_the_old_one_ends_it() {
    let server = Server::start().await;
    let (one, other) = (store(&server, LONG).await, store(&server, LONG).await);
    let old = begin(&one, "ada").await;
    let session = request(&one, Some(old));
    session.cycle_id().await.unwrap();
    session.insert("basket", "a pear").await.unwrap();
    session.save().await.unwrap();
    let new = session.id().unwrap();
    assert!(new != old && one.load(&old).await.unwrap().is_none());
    assert_eq!(get(&other, new, "user").await.as_deref(), Some("ada"));
    assert_eq!(other.sessions_of("ada").await.unwrap().len(), 1);
    request(&other, Some(old)).flush().await.unwrap();
    pause(20).await;
    assert!(one.load(&new).await.unwrap().is_none() && other.load(&new).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_absolute_timeout_goes_on_under_a_new_id() {
    let server = Server::start().await;
    let live = Duration::from_millis(900);
    let (one, other) = (store(&server, live).await, store(&server, live).await);
    let (kept, begun) = (begin(&one, "ada").await, begin(&one, "bob").await);
    pause(500).await;
    let session = request(&other, Some(kept));
    session.cycle_id().await.unwrap();
    session.save().await.unwrap();
    let kept = session.id().unwrap();
    let session = request(&one, Some(begun));
    session.insert("n", "1").await.unwrap();
    restart_absolute_timeout(&session).await.unwrap();
    session.save().await.unwrap();
    assert!(one.load(&kept).await.unwrap().is_some());
    pause(450).await;
    assert!(one.load(&kept).await.unwrap().is_none() && other.load(&kept).await.unwrap().is_none());
    assert!(other.load(&begun).await.unwrap().is_some(), "begun anew");
    assert_eq!(one.revoke_all("bob").await.unwrap(), 1);
    assert!(one.load(&begun).await.unwrap().is_none());
}

/// T7.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_never_sees_an_id() {
    let server = Server::start().await;
    let one = store(&server, LONG).await;
    let id = begin(&one, "ada").await;
    let mut raw = server.raw().await;
    let names: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut raw).await.unwrap();
    assert_eq!(names.len(), 2, "a session and a list: {names:?}");
    for name in names {
        assert!(!name.contains(&id.to_string()));
        let dump: Vec<u8> = redis::cmd("DUMP").arg(&name).query_async(&mut raw).await.unwrap();
        let has = |part: &[u8]| dump.windows(part.len()).any(|window| window == part);
        assert!(!has(id.to_string().as_bytes()) && !has(&id.0.to_be_bytes()));
    }
    assert!(!format!("{one:?}").contains(&id.to_string()));
}
