//! actix-identity: log in and out, devices and revocation, by a real client.

use std::net::SocketAddr;

use actix_identity::{Identity, IdentityMiddleware};
use actix_session::SessionMiddleware;
use actix_web::cookie::{Cookie, Key};
use actix_web::dev::ServerHandle;
use actix_web::web::get;
use actix_web::{App, HttpMessage as _, HttpRequest, HttpResponse, HttpServer};
use sundown::Cache;
use sundown::actix_session_0_11::{SundownActixStore, principal_of};
use sundown::sessions::OnLimit;

async fn log_in(request: HttpRequest) -> HttpResponse {
    Identity::login(&request.extensions(), "ada".to_owned()).unwrap();
    HttpResponse::Ok().finish()
}

async fn user(user: Option<Identity>) -> String {
    user.map(|user| user.id().unwrap()).unwrap_or_default()
}

async fn log_out(user: Identity) -> HttpResponse {
    user.logout();
    HttpResponse::Ok().finish()
}

/// The service on a port of its own, and how to stop it.
fn serve(store: &SundownActixStore) -> (SocketAddr, ServerHandle) {
    let (shared, secret) = (store.clone(), Key::generate());
    let server = HttpServer::new(move || {
        let sessions = SessionMiddleware::builder(shared.clone(), secret.clone());
        App::new()
            .wrap(IdentityMiddleware::default())
            .wrap(sessions.cookie_secure(false).build())
            .route("/log-in", get().to(log_in))
            .route("/user", get().to(user))
            .route("/log-out", get().to(log_out))
    });
    let server = server.workers(2).bind(("127.0.0.1", 0)).unwrap();
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    (address, handle)
}

/// The status, the body and the session's cookie.
async fn ask(
    address: SocketAddr,
    path: &str,
    cookie: Option<&Cookie<'static>>,
) -> (u16, String, Option<Cookie<'static>>) {
    let mut request = awc::Client::new().get(format!("http://{address}{path}"));
    if let Some(cookie) = cookie {
        request = request.cookie(cookie.clone());
    }
    let mut reply = request.send().await.unwrap();
    let body = String::from_utf8(reply.body().await.unwrap().to_vec()).unwrap();
    let cookie = reply.cookie("id").map(|cookie| cookie.into_owned());
    (reply.status().as_u16(), body, cookie)
}

#[actix_web::test]
async fn a_user_logs_in_and_out() {
    let store = SundownActixStore::new(Cache::builder().max_entries(1_000)).unwrap();
    let (address, handle) = serve(&store);
    let ask = async |path: &str, cookie: Option<&Cookie<'static>>| ask(address, path, cookie).await;
    let (_, _, cookie) = ask("/log-in", None).await;
    let cookie = cookie.expect("a session");
    assert_eq!(ask("/user", Some(&cookie)).await.1, "ada");
    let (_, _, renewed) = ask("/log-in", Some(&cookie)).await;
    let renewed = renewed.expect("a new key");
    assert_eq!(ask("/user", Some(&cookie)).await.1, "");
    assert_eq!(ask("/user", Some(&renewed)).await.1, "ada");
    assert_eq!(ask("/log-out", Some(&renewed)).await.0, 200);
    assert_eq!(ask("/user", Some(&renewed)).await.1, "");
    assert!(store.cache().is_empty());
    handle.stop(false).await;
}

#[actix_web::test]
async fn a_user_has_three_devices_and_is_logged_out_everywhere() {
    let store = SundownActixStore::builder(Cache::builder().max_entries(1_000))
        .principal(principal_of::actix_identity)
        .max_per_principal(3, OnLimit::RevokeOldest)
        .build()
        .unwrap();
    let (address, handle) = serve(&store);
    let ask = async |path: &str, cookie: Option<&Cookie<'static>>| ask(address, path, cookie).await;
    let mut logged_in = Vec::new();
    for _ in 0..4 {
        logged_in.push(ask("/log-in", None).await.2.expect("a session"));
    }
    // A new key is no further device.
    let renewed = ask("/log-in", Some(&logged_in[3])).await.2.expect("a new key");
    logged_in[3] = renewed;
    let mut users = Vec::new();
    for cookie in &logged_in {
        users.push(ask("/user", Some(cookie)).await.1);
    }
    assert_eq!(users, ["", "ada", "ada", "ada"]);
    assert_eq!(store.sessions_of("ada").len(), 3);
    assert_eq!(store.revoke_all("ada"), 3);
    for cookie in &logged_in {
        assert_eq!(ask("/user", Some(cookie)).await.1, "");
    }
    assert_eq!(store.session_stats().principals, 0);
    handle.stop(false).await;
}
