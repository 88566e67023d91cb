//! Sessions without a framework's: `cargo run --example plain`, then log in with
//! `curl -i -d ada http://127.0.0.1:3000/login` and send the cookie back.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use sundown::sessions::{OnLimit, Session, Sessions};

/// Whose a session is: a name. What it has: the browser's name for itself.
pub type Users = Sessions<String, String>;

fn session(users: &Users, headers: &HeaderMap) -> Option<Session<String, String>> {
    let cookies = headers.get(header::COOKIE)?.to_str().ok()?;
    let id = cookies.split("; ").find_map(|cookie| cookie.strip_prefix("id=")?.parse().ok())?;
    users.get(&id)
}

async fn page(State(users): State<Users>, headers: HeaderMap) -> Result<String, StatusCode> {
    let session = session(&users, &headers).ok_or(StatusCode::UNAUTHORIZED)?;
    let user = session.principal().ok_or(StatusCode::UNAUTHORIZED)?;
    let devices = users.sessions_of(user);
    let devices: String = devices.iter().map(|info| format!("- {}\n", &*info.data)).collect();
    Ok(format!("Hello {user}, you are logged in on\n{devices}"))
}

async fn log_in(
    State(users): State<Users>,
    headers: HeaderMap,
    name: String,
) -> Result<impl IntoResponse, StatusCode> {
    let device = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    let created = users.create_for(name, device.unwrap_or("something").to_owned());
    let id = created.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok([(header::SET_COOKIE, format!("id={id}; HttpOnly; Secure; SameSite=Lax; Path=/"))])
}

async fn log_out_everywhere(State(users): State<Users>, headers: HeaderMap) -> String {
    let session = session(&users, &headers);
    let user = session.as_ref().and_then(|session| session.principal());
    format!("{} logged out\n", user.map_or(0, |user| users.revoke_all(user)))
}

/// The service; three sessions each, the oldest goes.
pub fn app() -> Result<Router, sundown::BuildError> {
    let users = Users::builder().max_entries(100_000).time_to_idle(Duration::from_secs(1_800));
    let users = users.max_per_principal(3, OnLimit::RevokeOldest).build()?;
    let app = Router::new().route("/", get(page)).route("/login", post(log_in));
    Ok(app.route("/logout-everywhere", post(log_out_everywhere)).with_state(users))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    Ok(axum::serve(listener, app()?).await?)
}
