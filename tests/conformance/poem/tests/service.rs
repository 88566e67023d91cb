//! A real server, and a real client that keeps its cookie.

#[path = "../../shared/client.rs"]
mod client;

use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use client::Client;
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::session::{CookieConfig, ServerSession, Session};
use poem::web::Data;
use poem::{EndpointExt, Route, Server, get, handler};
use sundown::Cache;
use sundown::poem_3::SundownPoemStorage;
use tokio::sync::Notify;

/// Lets a slow request tell that it has loaded its session, and wait until it may go on.
#[derive(Default)]
struct Gate {
    has_loaded: Notify,
    may_save: Notify,
}

#[handler]
fn login(session: &Session) {
    session.set("user", "ada");
}

#[handler]
fn user(session: &Session) -> String {
    session.get("user").unwrap_or_default()
}

#[handler]
fn renew(session: &Session) {
    session.renew();
}

#[handler]
fn logout(session: &Session) {
    session.purge();
}

#[handler]
async fn slow(session: &Session, gate: Data<&Arc<Gate>>) {
    gate.has_loaded.notify_one();
    gate.may_save.notified().await;
    session.set("cart", 7);
}

fn start(storage: SundownPoemStorage, max_age: Duration) -> (SocketAddr, Arc<Gate>) {
    let gate = Arc::<Gate>::default();
    let config = CookieConfig::default().secure(false).max_age(max_age);
    let app = Route::new()
        .at("/login", get(login))
        .at("/user", get(user))
        .at("/renew", get(renew))
        .at("/logout", get(logout))
        .at("/slow", get(slow))
        .with(ServerSession::new(config, storage))
        .data(gate.clone());
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(2).enable_all().build().unwrap().block_on(async {
            let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await.unwrap();
            tell.send(*acceptor.local_addr()[0].as_socket_addr().unwrap()).unwrap();
            Server::new_with_acceptor(acceptor).run(app).await.unwrap();
        });
    });
    (told.recv().unwrap(), gate)
}

fn client(address: SocketAddr) -> Client {
    Client { address, name: "poem-session", cookie: None }
}

#[test]
fn sessions_last_until_they_are_logged_out() {
    let storage = SundownPoemStorage::new(Cache::builder().max_entries(1_000)).unwrap();
    let (address, gate) = start(storage.clone(), Duration::from_secs(3_600));
    let waits = tokio::runtime::Builder::new_current_thread().build().unwrap();
    client::plays(
        &client(address),
        || waits.block_on(gate.has_loaded.notified()),
        || gate.may_save.notify_one(),
    );
    storage.cache().audit().unwrap();
}

#[test]
fn sessions_are_gone_on_time_in_an_idle_service() {
    let storage = SundownPoemStorage::new(Cache::builder().max_entries(1_000)).unwrap();
    let (address, _gate) = start(storage.clone(), Duration::from_secs(1));
    for _ in 0..10 {
        assert_eq!(client(address).get("/login").0, 200);
    }
    let begun = Instant::now();
    while !storage.cache().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{} are left", storage.cache().len());
        thread::sleep(Duration::from_millis(10));
    }
}
