//! Sessions without a framework's: `cargo run --example plain`, then log in with
//! `curl -i -d name=ada http://127.0.0.1:3000/login` and send the cookie back.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Form, Router};
use sundown::sessions::{OnLimit, SessionId, Sessions};

/// Whose a session is: a name. What it has: the browser's name for itself.
pub type Users = Sessions<String, String>;

fn id(headers: &HeaderMap) -> Option<SessionId> {
    let cookies = headers.get(header::COOKIE)?.to_str().ok()?;
    cookies.split("; ").find_map(|cookie| cookie.strip_prefix("id=")?.parse().ok())
}

async fn page(State(users): State<Users>, headers: HeaderMap) -> Response {
    let session = id(&headers).and_then(|id| users.get(&id));
    let Some(user) = session.as_ref().and_then(|session| session.principal()) else {
        return (StatusCode::UNAUTHORIZED, "Log in, please.\n").into_response();
    };
    let devices = users.sessions_of(user);
    let devices: String = devices.iter().map(|info| format!("- {}\n", &*info.data)).collect();
    format!("Hello {user}, you are logged in on\n{devices}").into_response()
}

#[derive(serde::Deserialize)]
struct LogIn {
    name: String,
}

async fn log_in(
    State(users): State<Users>,
    headers: HeaderMap,
    Form(LogIn { name }): Form<LogIn>,
) -> Result<impl IntoResponse, StatusCode> {
    let device = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    let id = users
        .create_for(name, device.unwrap_or("something").to_owned())
        .map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok([(header::SET_COOKIE, format!("id={id}; HttpOnly; Secure; SameSite=Lax; Path=/"))])
}

async fn log_out_everywhere(State(users): State<Users>, headers: HeaderMap) -> String {
    let session = id(&headers).and_then(|id| users.get(&id));
    let user = session.as_ref().and_then(|session| session.principal());
    format!("{} logged out\n", user.map_or(0, |user| users.revoke_all(user)))
}

/// The service; three sessions each, the oldest goes.
pub fn app() -> Result<Router, sundown::BuildError> {
    let users = Users::builder()
        .max_entries(100_000)
        .time_to_idle(Duration::from_secs(30 * 60))
        .max_per_principal(3, OnLimit::RevokeOldest)
        .build()?;
    let app = Router::new().route("/", get(page)).route("/login", post(log_in));
    Ok(app.route("/logout-everywhere", post(log_out_everywhere)).with_state(users))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    Ok(axum::serve(listener, app()?).await?)
}
