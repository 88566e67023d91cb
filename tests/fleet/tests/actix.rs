//! What requests on two instances do to a session, in actix-session's words.

mod stage;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use actix_session::storage::{SessionKey, SessionStore, generate_session_key};
use stage::server::Server;
use stage::{LONG, options, pause, redis_options, until};
use sundown::Cache;
use sundown::actix_session_0_11::{SessionState, SundownActixStore, TieredActixStore};
use sundown::redis_1::RedisBackend;
use time::Duration as Ttl;

async fn store(server: &Server, live: Duration) -> TieredActixStore {
    let backend = RedisBackend::connect(&server.url(), redis_options()).await.unwrap();
    let builder = Cache::builder().max_entries(1_000).time_to_live(live).time_to_idle(LONG);
    let patient = options().timeout(Duration::from_secs(3));
    let store = SundownActixStore::tiered_with(builder, backend, patient).unwrap();
    let store = store.principal(|state: &SessionState| state.get("user").cloned());
    until(|| store.tiered_stats().connected).await;
    store
}

fn state<const N: usize>(pairs: [(&str, &str); N]) -> SessionState {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), format!("\"{value}\""))).collect()
}

/// A request, as the middleware makes it one: it keeps the key that it has loaded by.
struct Request<'s> {
    store: &'s TieredActixStore,
    key: SessionKey,
    state: SessionState,
}

impl<'s> Request<'s> {
    async fn begin(store: &'s TieredActixStore, key: &SessionKey) -> Option<Self> {
        let key: SessionKey = key.as_ref().to_owned().try_into().unwrap();
        let loaded = store.load(&key).await.unwrap()?;
        // Into a map of its own.
        let state: HashMap<_, _> = loaded.into_iter().collect();
        Some(Self { store, key, state })
    }

    fn set(&mut self, name: &str, value: &str) {
        self.state.extend(state([(name, value)]));
    }

    async fn update(self) -> Option<SessionKey> {
        self.store.update(self.key, self.state, &Ttl::HOUR).await.ok()
    }

    async fn renew(self) -> SessionKey {
        self.store.delete(&self.key).await.unwrap();
        self.store.save(self.state, &Ttl::HOUR).await.unwrap()
    }

    async fn purge(self) {
        self.store.delete(&self.key).await.unwrap();
    }
}

async fn get(store: &TieredActixStore, key: &SessionKey, name: &str) -> Option<String> {
    let state = store.load(key).await.unwrap()?;
    state.get(name).map(|value| value.trim_matches('"').to_owned())
}

async fn until_seen(store: &TieredActixStore, key: &SessionKey, name: &str, value: Option<&str>) {
    let since = Instant::now();
    while get(store, key, name).await.as_deref() != value {
        assert!(since.elapsed() < Duration::from_millis(500), "{name} is not {value:?}");
        pause(1).await;
    }
}

#[tokio::test]
async fn requests_side_by_side_on_two_instances_lose_nothing() {
    let server = Server::start().await;
    let (one, other) = (store(&server, LONG).await, store(&server, LONG).await);
    let key = one.save(state([("user", "ada")]), &Ttl::HOUR).await.unwrap();
    assert_eq!(get(&other, &key, "user").await.as_deref(), Some("ada"));
    let mut here = Request::begin(&one, &key).await.unwrap();
    let mut there = Request::begin(&other, &key).await.unwrap();
    here.set("basket", "a pear");
    here.state.remove("user");
    there.set("theme", "dark");
    assert!(here.update().await.is_some() && there.update().await.is_some());
    for store in [&one, &other] {
        until_seen(store, &key, "theme", Some("dark")).await;
        assert_eq!(get(store, &key, "basket").await.as_deref(), Some("a pear"));
        assert_eq!(get(store, &key, "user").await, None, "a log-out of the user stays");
    }
    // A request may clear it.
    let mut clears = Request::begin(&one, &key).await.unwrap();
    clears.state.clear();
    clears.set("n", "1");
    clears.update().await.unwrap();
    until_seen(&other, &key, "theme", None).await;
    assert_eq!(get(&other, &key, "n").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_log_out_on_one_instance_is_final_on_the_other() {
    let server = Server::start().await;
    let (one, other) = (store(&server, LONG).await, store(&server, LONG).await);
    let key = one.save(state([("user", "ada")]), &Ttl::HOUR).await.unwrap();
    let mut late = Request::begin(&other, &key).await.unwrap();
    late.set("basket", "a pear");
    let mut rotating = Request::begin(&other, &key).await.unwrap();
    rotating.set("own", "mine");
    Request::begin(&one, &key).await.unwrap().purge().await;
    assert!(late.update().await.is_none(), "refused");
    assert!(one.load(&key).await.unwrap().is_none());
    let new = rotating.renew().await;
    assert_eq!(get(&other, &new, "user").await, None, "nothing of it goes along");
    assert_eq!(get(&other, &new, "own").await.as_deref(), Some("mine"));
    pause(20).await;
    assert!(other.load(&key).await.unwrap().is_none());
    assert!(other.sessions_of("\"ada\"").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_new_key_loses_nothing_and_a_log_out_with_the_old_one_ends_it() {
    let server = Server::start().await;
    let (one, other) = (store(&server, LONG).await, store(&server, LONG).await);
    let old = one.save(state([("user", "ada")]), &Ttl::HOUR).await.unwrap();
    let mut session = Request::begin(&one, &old).await.unwrap();
    session.set("basket", "a pear");
    let new = session.renew().await;
    assert!(new.as_ref() != old.as_ref() && one.load(&old).await.unwrap().is_none());
    assert_eq!(get(&other, &new, "user").await.as_deref(), Some("ada"));
    assert_eq!(get(&other, &new, "basket").await.as_deref(), Some("a pear"));
    assert_eq!(other.sessions_of("\"ada\"").await.unwrap().len(), 1);
    other.delete(&old).await.unwrap();
    pause(20).await;
    assert!(one.load(&new).await.unwrap().is_none() && other.load(&new).await.unwrap().is_none());
}

/// The next call on the thread after a log-out may be another visitor's.
#[tokio::test]
async fn a_visitor_after_a_log_out_is_another_session() {
    let server = Server::start().await;
    let one = store(&server, Duration::from_millis(900)).await;
    let key = one.save(state([("user", "ada"), ("lang", "en")]), &Ttl::HOUR).await.unwrap();
    pause(600).await;
    Request::begin(&one, &key).await.unwrap().purge().await;
    let visitor = one.save(state([("lang", "en")]), &Ttl::HOUR).await.unwrap();
    one.delete(&key).await.unwrap();
    assert!(get(&one, &visitor, "lang").await.is_some(), "not ended by her second log-out");
    pause(400).await;
    assert!(get(&one, &visitor, "lang").await.is_some(), "as old as it is");
}

#[tokio::test]
async fn the_absolute_timeout_goes_on_under_a_new_key() {
    let server = Server::start().await;
    let live = Duration::from_millis(900);
    let (one, other) = (store(&server, live).await, store(&server, live).await);
    let kept = one.save(state([("user", "ada")]), &Ttl::HOUR).await.unwrap();
    let begun = one.save(state([("user", "bob")]), &Ttl::HOUR).await.unwrap();
    pause(500).await;
    let kept = Request::begin(&other, &kept).await.unwrap().renew().await;
    let mut log_in = Request::begin(&one, &begun).await.unwrap();
    // As `restart_absolute_timeout` does.
    log_in.set("sundown.created", "now");
    log_in.update().await.unwrap();
    assert!(get(&one, &kept, "user").await.is_some());
    pause(450).await;
    assert!(one.load(&kept).await.unwrap().is_none() && other.load(&kept).await.unwrap().is_none());
    assert!(get(&other, &begun, "user").await.is_some(), "begun anew");
    assert_eq!(get(&other, &begun, "sundown.created").await, None, "the mark is not kept");
    assert_eq!(one.revoke_all("\"bob\"").await.unwrap(), 1);
    assert!(one.load(&begun).await.unwrap().is_none());
}

#[tokio::test]
async fn lifetimes_are_the_middlewares_and_cost_little() {
    let server = Server::start().await;
    let one = store(&server, LONG).await;
    let key = one.save(state([("user", "ada")]), &Ttl::milliseconds(600)).await.unwrap();
    let saves = |raw: String| -> u64 {
        let line = raw.lines().find(|line| line.starts_with("cmdstat_evalsha:")).unwrap();
        line.split([':', '=', ',']).nth(2).unwrap().parse().unwrap()
    };
    let calls = async || {
        let mut info = redis::cmd("INFO");
        info.arg("commandstats");
        saves(info.query_async(&mut server.raw().await).await.unwrap())
    };
    assert!(one.load(&key).await.unwrap().is_some());
    let (before, stats) = (calls().await, one.tiered_stats());
    for _ in 0..200 {
        one.update_ttl(&key, &Ttl::milliseconds(600)).await.unwrap();
    }
    assert_eq!(one.tiered_stats().l2_loads, stats.l2_loads);
    assert!(calls().await - before < 20, "canaries, and a save now and then");
    pause(300).await;
    one.update_ttl(&key, &Ttl::milliseconds(600)).await.unwrap();
    pause(400).await;
    assert!(one.load(&key).await.unwrap().is_some(), "prolonged");
    pause(300).await;
    assert!(one.load(&key).await.unwrap().is_none());
    one.update_ttl(&key, &Ttl::HOUR).await.unwrap();
    assert!(one.load(&key).await.unwrap().is_none());
    let over = one.save(state([("user", "ada")]), &Ttl::ZERO).await.unwrap();
    assert!(one.load(&over).await.unwrap().is_none());
}

#[tokio::test]
async fn keys_that_it_has_not_drawn_are_none() {
    let server = Server::start().await;
    let one = store(&server, LONG).await;
    let planted = generate_session_key();
    let text = planted.as_ref().to_owned();
    assert!(one.load(&planted).await.unwrap().is_none());
    let new = one.update(planted, state([("n", "1")]), &Ttl::HOUR).await.unwrap();
    assert_ne!(new.as_ref(), text);
    assert_eq!(get(&one, &new, "n").await.as_deref(), Some("1"));
    let short: SessionKey = "short".to_owned().try_into().unwrap();
    assert!(one.load(&short).await.is_err());
    assert!(!format!("{one:?}").contains(new.as_ref()));
}
