//! Log-outs that race requests which write, through a real server: none is answered with an error,
//! and no one is logged in again.

#[path = "shared/http.rs"]
mod http;

use std::net::SocketAddr;
use std::thread;

use ::tower_sessions_0_15::{MemoryStore, Session, SessionManagerLayer, SessionStore};
use axum::Router;
use axum::routing::get;
use sundown::Cache;
use sundown::tower_sessions_0_15::SundownStore;

async fn log_in(session: Session) {
    session.cycle_id().await.unwrap();
    session.insert("user", "ada").await.unwrap();
}

async fn write(session: Session) -> String {
    let count: u64 = session.get("count").await.unwrap().unwrap_or_default();
    tokio::task::yield_now().await;
    session.insert("count", count + 1).await.unwrap();
    user(session).await
}

async fn user(session: Session) -> String {
    session.get("user").await.unwrap().unwrap_or_default()
}

async fn flush(session: Session) {
    session.flush().await.unwrap();
}

async fn flush_and_tell(session: Session) {
    session.flush().await.unwrap();
    session.insert("flash", "bye").await.unwrap();
}

async fn clear(session: Session) {
    session.get_value("user").await.unwrap();
    session.clear().await;
}

async fn remove(session: Session) {
    session.remove_value("user").await.unwrap();
}

async fn cycle(session: Session) {
    session.cycle_id().await.unwrap();
}

fn service(store: impl SessionStore + Clone) -> SocketAddr {
    let app = Router::new()
        .route("/log-in", get(log_in))
        .route("/write", get(write))
        .route("/user", get(user))
        .route("/flush", get(flush))
        .route("/flush-and-tell", get(flush_and_tell))
        .route("/clear", get(clear))
        .route("/remove", get(remove))
        .route("/cycle", get(cycle))
        .layer(SessionManagerLayer::new(store).with_secure(false));
    http::serve(app)
}

const ROUNDS: usize = 20;
const WRITERS: usize = 20;

/// Five ways out, twenty rounds each, with twenty requests that write and one that changes the id.
fn race(address: SocketAddr) {
    for out in ["/flush", "/flush-and-tell", "/clear", "/remove", "/cycle"] {
        for round in 0..ROUNDS {
            let login = http::get(address, "/log-in", None);
            let cookie = login.cookie.expect("a session");
            let cookies: Vec<String> = thread::scope(|scope| {
                let others = (0..WRITERS).map(|n| {
                    // What has another id by now is not there to be cleared: only a deletion goes after it.
                    let is_cycled = n == round && out.starts_with("/flush");
                    let path = if is_cycled { "/cycle" } else { "/write" };
                    let cookie = &cookie;
                    scope.spawn(move || (http::get(address, path, Some(cookie)), path))
                });
                let others: Vec<_> = others.collect();
                let reply = http::get(address, out, Some(&cookie));
                assert_eq!(reply.status, 200, "{out}");
                let replies = others.into_iter().map(|other| other.join().unwrap());
                let replies = replies.map(|(reply, path)| {
                    assert_eq!(reply.status, 200, "{path} beside {out}");
                    reply.cookie
                });
                replies.chain([reply.cookie, Some(cookie.clone())]).flatten().collect()
            });
            let is_log_out = out != "/cycle";
            for cookie in cookies.iter().filter(|_| is_log_out) {
                let user = http::get(address, "/user", Some(cookie));
                assert_eq!((user.status, &*user.body), (200, ""), "back after {out}");
            }
        }
    }
}

#[test]
fn a_log_out_that_races_requests_is_final_and_no_request_fails() {
    race(service(SundownStore::new(Cache::builder().max_entries(10_000)).unwrap()));
}

#[test]
fn nor_in_front_of_another_store() {
    let builder = Cache::builder().max_entries(10_000);
    race(service(SundownStore::in_front_of(builder, MemoryStore::default()).unwrap()));
}

#[test]
fn requests_side_by_side_lose_nothing() {
    async fn put(axum::extract::Path(name): axum::extract::Path<String>, session: Session) {
        session.get_value("user").await.unwrap();
        tokio::task::yield_now().await;
        session.insert(&name, 1).await.unwrap();
    }
    async fn has(
        axum::extract::Path(name): axum::extract::Path<String>,
        session: Session,
    ) -> String {
        session.get_value(&name).await.unwrap().is_some().to_string()
    }
    let store = SundownStore::new(Cache::builder().max_entries(10_000)).unwrap();
    let app = Router::new()
        .route("/log-in", get(log_in))
        .route("/put/{name}", get(put))
        .route("/has/{name}", get(has))
        .layer(SessionManagerLayer::new(store).with_secure(false));
    let address = http::serve(app);
    let cookie = http::get(address, "/log-in", None).cookie.expect("a session");
    thread::scope(|scope| {
        for n in 0..200 {
            let cookie = &cookie;
            scope.spawn(move || http::get(address, &format!("/put/{n}"), Some(cookie)));
        }
    });
    for n in 0..200 {
        let reply = http::get(address, &format!("/has/{n}"), Some(&cookie));
        assert_eq!(reply.body, "true", "{n} is lost");
    }
}
