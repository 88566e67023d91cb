//! A login on actix-web whose sessions are kept by sundown.

use std::time::Duration;

use actix_session::config::{BrowserSession, CookieContentSecurity};
use actix_session::{Session, SessionGetError, SessionInsertError, SessionMiddleware};
use actix_web::HttpResponse;
use actix_web::cookie::Key;
use actix_web::http::header::{ContentType, LOCATION};
use actix_web::web::{self, Form};
use serde::Deserialize;
use sundown::actix_session_0_11::SundownActixStore;
use sundown::{BuildError, Cache, Clock};

const USER: &str = "user";

/// The longest name: a session's size must not be left to whoever sends a form.
const MOST_NAME_BYTES: usize = 64;

/// What the sessions may take, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a session lives unused.
    pub idle: Duration,
    /// How long a session lives at all, however much it is used.
    pub live: Duration,
    /// How many sessions there may be.
    pub sessions: usize,
}

/// The store of the sessions, on the machine's clock or on a test's. Make one for all workers.
///
/// # Errors
///
/// Says which limit cannot be.
pub fn store(limits: Limits, clock: impl Into<Clock>) -> Result<SundownActixStore, BuildError> {
    SundownActixStore::new(
        Cache::builder()
            .max_entries(limits.sessions)
            .time_to_idle(limits.idle)
            .time_to_live(limits.live)
            .clock(clock),
    )
}

/// The sessions of one worker. `live` is the store's: the middleware must not end them earlier.
pub fn sessions(
    store: SundownActixStore,
    secret: Key,
    live: Duration,
) -> SessionMiddleware<SundownActixStore> {
    let live = i64::try_from(live.as_secs()).unwrap_or(i64::MAX);
    // The cookie lasts as long as the browser is open; when the session ends, the cache decides.
    let lifecycle =
        BrowserSession::default().state_ttl(actix_web::cookie::time::Duration::seconds(live));
    SessionMiddleware::builder(store, secret)
        .session_lifecycle(lifecycle)
        .cookie_content_security(CookieContentSecurity::Private)
        // Only because this example speaks plain HTTP: leave it out behind TLS.
        .cookie_secure(false)
        .build()
}

/// The pages.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/", web::get().to(page))
        .route("/login", web::post().to(log_in))
        .route("/logout", web::post().to(log_out));
}

#[derive(Deserialize)]
struct Login {
    name: String,
}

async fn page(session: Session) -> Result<HttpResponse, SessionGetError> {
    let html = match session.get::<String>(USER)? {
        Some(user) => LOGGED_IN.replace("{user}", &escaped(&user)),
        None => LOGGED_OUT.to_owned(),
    };
    Ok(HttpResponse::Ok().content_type(ContentType::html()).body(html))
}

/// Whoever names a name is logged in by it: passwords are not the point.
async fn log_in(session: Session, login: Form<Login>) -> Result<HttpResponse, SessionInsertError> {
    let name = login.name.trim();
    if name.is_empty() || name.len() > MOST_NAME_BYTES {
        return Ok(HttpResponse::BadRequest().body("name: 1 to 64 bytes"));
    }
    // A new key, so that nobody who knew the one from before is logged in with the user.
    session.renew();
    session.insert(USER, name)?;
    Ok(home())
}

async fn log_out(session: Session) -> HttpResponse {
    session.purge();
    home()
}

fn home() -> HttpResponse {
    HttpResponse::SeeOther().insert_header((LOCATION, "/")).finish()
}

fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            _ => html.push(c),
        }
    }
    html
}

const LOGGED_OUT: &str = r#"<!doctype html><html lang="en"><meta charset="utf-8"><title>Log in</title>
<form method="post" action="/login"><label>Name <input name="name" required maxlength="64" autofocus></label>
<button>Log in</button></form></html>
"#;

const LOGGED_IN: &str = r#"<!doctype html><html lang="en"><meta charset="utf-8"><title>Welcome</title>
<p>Hello, {user}.</p>
<form method="post" action="/logout"><button>Log out</button></form></html>
"#;
