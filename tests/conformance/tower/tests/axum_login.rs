//! axum-login 0.18, over tower-sessions 0.14: log in and out, devices and revocation, by a real client.

#[path = "shared/http.rs"]
mod http;

use std::convert::Infallible;
use std::net::SocketAddr;

use ::tower_sessions_0_14::SessionManagerLayer;
use axum::Router;
use axum::routing::get;
use axum_login::{AuthManagerLayerBuilder, AuthUser, AuthnBackend, UserId};
use sundown::Cache;
use sundown::sessions::OnLimit;
use sundown::tower_sessions_0_14::{SundownStore, principal_of};

#[derive(Clone, Debug)]
struct User(u64);

impl AuthUser for User {
    type Id = u64;

    fn id(&self) -> u64 {
        self.0
    }

    fn session_auth_hash(&self) -> &[u8] {
        b"hash"
    }
}

#[derive(Clone)]
struct Users;

impl AuthnBackend for Users {
    type User = User;
    type Credentials = u64;
    type Error = Infallible;

    async fn authenticate(&self, id: u64) -> Result<Option<User>, Infallible> {
        Ok(Some(User(id)))
    }

    async fn get_user(&self, id: &UserId<Self>) -> Result<Option<User>, Infallible> {
        Ok(Some(User(*id)))
    }
}

type AuthSession = axum_login::AuthSession<Users>;

async fn visit(session: ::tower_sessions_0_14::Session) {
    session.insert("cart", 7).await.unwrap();
}

async fn log_in(mut auth: AuthSession) {
    let user = auth.authenticate(7).await.unwrap().expect("all may come in");
    auth.login(&user).await.unwrap();
}

async fn user(auth: AuthSession) -> String {
    let cart = auth.session.get::<u64>("cart").await.unwrap();
    format!("{:?} {cart:?}", auth.user.map(|user| user.0))
}

async fn log_out(mut auth: AuthSession) {
    auth.logout().await.unwrap();
}

/// The service, on a port of its own.
fn serve(store: &SundownStore) -> SocketAddr {
    let sessions = SessionManagerLayer::new(store.clone()).with_secure(false);
    let app = Router::new()
        .route("/visit", get(visit))
        .route("/log-in", get(log_in))
        .route("/user", get(user))
        .route("/log-out", get(log_out))
        .layer(AuthManagerLayerBuilder::new(Users, sessions).build());
    http::serve(app)
}

#[test]
fn a_user_logs_in_and_out() {
    let store = SundownStore::new(Cache::builder().max_entries(1_000)).unwrap();
    let address = serve(&store);
    let visitor = http::get(address, "/visit", None).cookie.expect("a session");
    assert_eq!(http::get(address, "/user", Some(&visitor)).body, "None Some(7)");
    let cookie = http::get(address, "/log-in", Some(&visitor)).cookie.expect("a new id");
    assert_ne!(cookie, visitor);
    assert_eq!(http::get(address, "/user", Some(&cookie)).body, "Some(7) Some(7)");
    assert_eq!(http::get(address, "/user", Some(&visitor)).body, "None None");
    assert_eq!(http::get(address, "/log-out", Some(&cookie)).status, 200);
    assert_eq!(http::get(address, "/user", Some(&cookie)).body, "None None");
    // The cookie of a session that has ended locks no one out.
    let again = http::get(address, "/log-in", Some(&cookie)).cookie.expect("a new session");
    assert_eq!(http::get(address, "/user", Some(&again)).body, "Some(7) None");
    assert_eq!(store.cache().len(), 1);
}

#[test]
fn a_user_has_three_devices_and_is_logged_out_everywhere() {
    let store = SundownStore::builder(Cache::builder().max_entries(1_000))
        .principal(principal_of::axum_login)
        .max_per_principal(3, OnLimit::RevokeOldest)
        .build()
        .unwrap();
    let address = serve(&store);
    let is_in =
        |cookie: &String| http::get(address, "/user", Some(cookie)).body.contains("Some(7)");
    let log_in = || {
        let visitor = http::get(address, "/visit", None).cookie.expect("a session");
        http::get(address, "/log-in", Some(&visitor)).cookie.expect("a new id")
    };
    let logged_in: Vec<String> = (0..4).map(|_| log_in()).collect();
    let user = |cookie: &String| http::get(address, "/user", Some(cookie)).body;
    let users: Vec<String> = logged_in.iter().map(user).collect();
    assert_eq!(users, ["None None", "Some(7) Some(7)", "Some(7) Some(7)", "Some(7) Some(7)"]);
    assert_eq!(store.sessions_of("7").len(), 3);
    assert_eq!(store.revoke_all("7"), 3);
    assert!(!logged_in.iter().any(is_in));
    assert_eq!(store.session_stats().principals, 0);
    assert_eq!(http::get(address, "/log-out", Some(&log_in())).status, 200);
    assert!(store.sessions_of("7").is_empty());
}
