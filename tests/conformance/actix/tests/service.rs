//! A real server with several workers, and a real client that keeps its cookie.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix_session::storage::generate_session_key;
use actix_session::{Session, SessionMiddleware};
use actix_web::cookie::{Cookie, Key};
use actix_web::web::{Data, get};
use actix_web::{App, HttpResponse, HttpServer, dev::ServerHandle};
use sundown::Cache;
use sundown::actix_session_0_11::SundownActixStore;
use tokio::sync::Notify;

const WORKERS: usize = 4;

/// Lets a slow request tell that it has loaded its session, and wait until it may go on.
#[derive(Default)]
struct Gate {
    has_loaded: Notify,
    may_save: Notify,
}

async fn login(session: Session) -> actix_web::Result<HttpResponse> {
    session.insert("user", "ada")?;
    Ok(HttpResponse::Ok().finish())
}

async fn user(session: Session) -> actix_web::Result<String> {
    Ok(session.get("user")?.unwrap_or_default())
}

async fn renew(session: Session) -> HttpResponse {
    session.renew();
    HttpResponse::Ok().finish()
}

async fn logout(session: Session) -> HttpResponse {
    session.purge();
    HttpResponse::Ok().finish()
}

async fn slow(session: Session, gate: Data<Gate>) -> actix_web::Result<HttpResponse> {
    gate.has_loaded.notify_one();
    gate.may_save.notified().await;
    session.insert("cart", 7)?;
    Ok(HttpResponse::Ok().finish())
}

struct Service {
    address: SocketAddr,
    handle: ServerHandle,
    store: SundownActixStore,
    gate: Data<Gate>,
    factory_calls: Arc<AtomicUsize>,
    secret: Key,
}

async fn start() -> Service {
    let store = SundownActixStore::new(Cache::builder().max_entries(1_000)).unwrap();
    let (gate, secret) = (Data::new(Gate::default()), Key::generate());
    let factory_calls = Arc::<AtomicUsize>::default();
    let (shared, count) = ((store.clone(), gate.clone(), secret.clone()), factory_calls.clone());
    let server = HttpServer::new(move || {
        count.fetch_add(1, Ordering::SeqCst);
        let (store, gate, secret) = shared.clone();
        let sessions = SessionMiddleware::builder(store, secret).cookie_secure(false).build();
        App::new()
            .app_data(gate)
            .wrap(sessions)
            .route("/login", get().to(login))
            .route("/user", get().to(user))
            .route("/renew", get().to(renew))
            .route("/logout", get().to(logout))
            .route("/slow", get().to(slow))
    });
    let server = server.workers(WORKERS).bind(("127.0.0.1", 0)).unwrap();
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    Service { address, handle, store, gate, factory_calls, secret }
}

impl Service {
    /// A request on a connection of its own, so that any worker may get it.
    async fn get(&self, path: &str, cookie: Option<&Cookie<'static>>) -> Reply {
        let mut request = awc::Client::new().get(format!("http://{}{path}", self.address));
        if let Some(cookie) = cookie {
            request = request.cookie(cookie.clone());
        }
        let mut response = request.send().await.unwrap();
        let body = String::from_utf8(response.body().await.unwrap().to_vec()).unwrap();
        let cookie = response.cookie("id").map(|cookie| cookie.into_owned());
        Reply { status: response.status().as_u16(), body, cookie }
    }
}

struct Reply {
    status: u16,
    body: String,
    cookie: Option<Cookie<'static>>,
}

#[actix_web::test]
async fn all_workers_share_one_cache() {
    let service = start().await;
    let cookie = service.get("/login", None).await.cookie.expect("a session");
    for _ in 0..10 * WORKERS {
        assert_eq!(service.get("/user", Some(&cookie)).await.body, "ada");
    }
    assert_eq!(service.factory_calls.load(Ordering::SeqCst), WORKERS);
    assert_eq!(service.store.cache().len(), 1);
    let renewed = service.get("/renew", Some(&cookie)).await.cookie.expect("a new key");
    assert_eq!(service.get("/user", Some(&cookie)).await.body, "");
    assert_eq!(service.get("/user", Some(&renewed)).await.body, "ada");
    service.handle.stop(false).await;
}

#[actix_web::test]
async fn an_update_that_a_logout_overtakes_does_not_log_the_user_in_again() {
    let service = start().await;
    let cookie = service.get("/login", None).await.cookie.expect("a session");
    let slow = service.get("/slow", Some(&cookie));
    let overtake = async {
        service.gate.has_loaded.notified().await;
        assert_eq!(service.get("/logout", Some(&cookie)).await.status, 200);
        service.gate.may_save.notify_one();
    };
    let (slow, ()) = futures_util::join!(slow, overtake);
    assert_eq!(slow.status, 500);
    assert!(slow.cookie.is_none(), "the slow request got a session");
    assert_eq!(service.get("/user", Some(&cookie)).await.body, "");
    assert!(service.store.cache().is_empty());
    service.handle.stop(false).await;
}

#[actix_web::test]
async fn a_key_that_another_store_made_does_not_lock_its_owner_out() {
    let service = start().await;
    let mut jar = actix_web::cookie::CookieJar::new();
    for value in ["{\"user\":\"\\\"mallory\\\"\"}".to_owned(), generate_session_key().into()] {
        jar.private_mut(&service.secret).add(Cookie::new("id", value));
        let foreign = jar.get("id").unwrap().clone().into_owned();
        assert_eq!(service.get("/user", Some(&foreign)).await.body, "");
        assert_eq!(service.get("/logout", Some(&foreign)).await.status, 200);
        let cookie = service.get("/login", Some(&foreign)).await.cookie.expect("a session");
        assert_eq!(service.get("/user", Some(&cookie)).await.body, "ada");
    }
    service.handle.stop(false).await;
}
