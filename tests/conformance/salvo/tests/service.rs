//! A real server, and a real client that keeps its cookie.

#[path = "../../shared/client.rs"]
mod client;

use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use client::Client;
use salvo::conn::{Acceptor, Listener, TcpListener};
use salvo::prelude::*;
use salvo::session::{SessionDepotExt, SessionHandler};
use sundown::Cache;
use sundown::saysion_0_2::SundownSaysionStore;
use tokio::sync::Notify;

/// Lets a slow request tell that it has loaded its session, and wait until it may go on.
#[derive(Default)]
struct Gate {
    has_loaded: Notify,
    may_save: Notify,
}

#[handler]
async fn login(depot: &mut Depot) {
    depot.session_mut().expect("there is one").insert("user", "ada").expect("it is JSON");
}

#[handler]
async fn user(depot: &mut Depot, response: &mut Response) {
    let name = depot.session().and_then(|session| session.get::<String>("user"));
    response.render(Text::Plain(name.unwrap_or_default()));
}

#[handler]
async fn renew(depot: &mut Depot) {
    depot.session_mut().expect("there is one").regenerate();
}

#[handler]
async fn logout(depot: &mut Depot) {
    depot.session_mut().expect("there is one").destroy();
}

struct Slow(Arc<Gate>);

#[async_trait]
impl Handler for Slow {
    async fn handle(&self, _: &mut Request, depot: &mut Depot, _: &mut Response, _: &mut FlowCtrl) {
        self.0.has_loaded.notify_one();
        self.0.may_save.notified().await;
        depot.session_mut().expect("there is one").insert("cart", 7).expect("it is JSON");
    }
}

fn start(store: SundownSaysionStore, ttl: Duration) -> (SocketAddr, Arc<Gate>) {
    let gate = Arc::<Gate>::default();
    let sessions = SessionHandler::builder(store, &[7; 64]).cookie_name("id");
    let sessions = sessions.session_ttl(Some(ttl)).build().unwrap();
    let router = Router::new()
        .hoop(sessions)
        .push(Router::with_path("login").get(login))
        .push(Router::with_path("user").get(user))
        .push(Router::with_path("renew").get(renew))
        .push(Router::with_path("logout").get(logout))
        .push(Router::with_path("slow").get(Slow(gate.clone())));
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(2).enable_all().build().unwrap().block_on(async {
            let acceptor = TcpListener::new("127.0.0.1:0").bind().await;
            let address = acceptor.holdings()[0].local_addr.clone().into_std().unwrap();
            tell.send(address).unwrap();
            Server::new(acceptor).serve(router).await;
        });
    });
    (told.recv().unwrap(), gate)
}

fn client(address: SocketAddr) -> Client {
    Client { address, name: "id", cookie: None }
}

#[test]
fn sessions_last_until_they_are_logged_out() {
    let store = SundownSaysionStore::new(Cache::builder().max_entries(1_000)).unwrap();
    let (address, gate) = start(store.clone(), Duration::from_secs(3_600));
    let waits = tokio::runtime::Builder::new_current_thread().build().unwrap();
    client::plays(
        &client(address),
        || waits.block_on(gate.has_loaded.notified()),
        || gate.may_save.notify_one(),
    );
    store.cache().audit().unwrap();
}

#[test]
fn sessions_are_gone_on_time_in_an_idle_service() {
    let store = SundownSaysionStore::new(Cache::builder().max_entries(1_000)).unwrap();
    let (address, _gate) = start(store.clone(), Duration::from_secs(1));
    for _ in 0..10 {
        assert_eq!(client(address).get("/login").0, 200);
    }
    let begun = Instant::now();
    while !store.cache().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{} are left", store.cache().len());
        thread::sleep(Duration::from_millis(10));
    }
}
