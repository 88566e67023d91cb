//! A login on actix-web whose sessions are kept by sundown.

#[path = "../../login/pages.rs"]
mod pages;

use std::time::Duration;

use actix_session::config::{BrowserSession, CookieContentSecurity};
use actix_session::{Session, SessionGetError, SessionInsertError, SessionMiddleware};
use actix_web::HttpResponse;
use actix_web::cookie::Key;
use actix_web::http::header::{ContentType, LOCATION};
use actix_web::web::{self, Form};
use sundown::actix_session_0_11::{SundownActixStore, restart_absolute_timeout};
use sundown::{BuildError, Cache, Clock};

use crate::pages::{Login, USER};

/// What the sessions may take, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a session lives unused.
    pub idle: Duration,
    /// How long a session lives at all, however much it is used.
    pub live: Duration,
    /// How many sessions there may be.
    pub sessions: usize,
    /// How many bytes they may take, with all that the cache needs for them.
    pub bytes: u64,
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
            .max_weight(limits.bytes)
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

async fn page(session: Session) -> Result<HttpResponse, SessionGetError> {
    let user: Option<String> = session.get(USER)?;
    Ok(HttpResponse::Ok().content_type(ContentType::html()).body(pages::page(user.as_deref(), "")))
}

async fn log_in(session: Session, login: Form<Login>) -> Result<HttpResponse, SessionInsertError> {
    let name = match login.name() {
        Ok(name) => name,
        Err(fault) => return Ok(HttpResponse::BadRequest().body(fault)),
    };
    // A new key, so that nobody who knew the one from before is logged in with the user.
    session.renew();
    session.insert(USER, name)?;
    // The absolute timeout counts from here, not from the visitor's first page.
    restart_absolute_timeout(&session)?;
    Ok(home())
}

async fn log_out(session: Session) -> HttpResponse {
    session.purge();
    home()
}

fn home() -> HttpResponse {
    HttpResponse::SeeOther().insert_header((LOCATION, "/")).finish()
}
