//! A login on axum whose sessions are kept by sundown, and what an operator wants to see of them.
//!
//! ```text
//!   main      command line, recorder of the metrics, listener
//!   lib       the limits, the routes
//!   sessions  the store: of this process alone, or of all instances over one Redis
//!   login     log in, see a page, log out
//!   devices   a user's devices, and "log out everywhere else"
//!   online    who is online: a feature beside the sessions, which forgets to let go if asked to
//!   pages     what is shown; shared with the other example
//!   status    a sample each second, sent to the page that draws it (status.html)
//!   verdict   is it the session store?
//! ```

mod devices;
mod login;
mod online;
#[path = "../../login/pages.rs"]
mod pages;
mod sessions;
mod status;
mod verdict;

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use metrics_exporter_prometheus::PrometheusHandle;
use sundown::metrics::{Publisher, publish_process};
use sundown::snapshot::SnapshotError;
use sundown::{BuildError, Clock, ProcessMemory};
use tower_sessions::{Expiry, SessionManagerLayer, SessionStore};

use crate::online::Online;
use crate::sessions::Sessions;
use crate::status::Board;

/// What the sessions may take, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a session lives unused.
    pub idle: Duration,
    /// How long a session lives at all, however much it is used.
    pub live: Duration,
    /// How many sessions there may be.
    pub sessions: usize,
    /// How many bytes they may take, with all that the cache needs for them; of a process alone.
    pub bytes: u64,
    /// How many a user may have, if that is limited: one more ends the oldest.
    pub per_user: Option<usize>,
}

/// The sessions, and who is online.
#[derive(Clone)]
pub struct Login {
    sessions: Sessions,
    online: Online,
}

impl Login {
    /// Sets both up, on the machine's clock or on a test's. If `overstays`, the feature that shows who is online
    /// forgets to let go of what it was given.
    ///
    /// # Errors
    ///
    /// Says which limit cannot be.
    pub fn new(
        limits: Limits,
        overstays: bool,
        clock: impl Into<Clock>,
    ) -> Result<Self, BuildError> {
        let clock = clock.into();
        let online = Online::new((limits.sessions, limits.idle), overstays, clock.clone())?;
        Ok(Self { sessions: Sessions::alone(limits, clock, None)?, online })
    }

    /// The same with the sessions of a [snapshot](Self::snapshot), and prints what became of it.
    ///
    /// # Errors
    ///
    /// Says which limit cannot be.
    pub fn restored(limits: Limits, overstays: bool, snapshot: &Path) -> Result<Self, BuildError> {
        let clock = Clock::default();
        let online = Online::new((limits.sessions, limits.idle), overstays, clock.clone())?;
        Ok(Self { sessions: Sessions::alone(limits, clock, Some(snapshot))?, online })
    }

    /// Writes the sessions for the next process, when no request is under way any more.
    ///
    /// # Errors
    ///
    /// Says what the disk did not do.
    pub fn snapshot(&self, path: &Path) -> Result<(), SnapshotError> {
        self.sessions.snapshot(path)
    }

    /// The same as one of several instances, whose sessions are in the Redis or Valkey at `url`.
    ///
    /// # Errors
    ///
    /// Says which limit cannot be, or why the server cannot be used.
    pub async fn over(url: &str, limits: Limits, overstays: bool) -> Result<Self, Box<dyn Error>> {
        let online = Online::new((limits.sessions, limits.idle), overstays, Clock::default())?;
        Ok(Self { sessions: Sessions::over(url, limits).await?, online })
    }
}

/// The service. Must be called on a runtime, for it looks at the store once a second from then on.
/// Of the machine's memory it knows what `memory` tells: [`ProcessMemory::read`], or a test's.
///
/// `/metrics` and `/status` are for operators: serve them where only they come to.
pub fn app(login: Login, recorder: PrometheusHandle, memory: fn() -> ProcessMemory) -> Router {
    let board = Board::watching(&login, memory);
    let publishers = [Publisher::new("sessions"), Publisher::new("online")];
    let scrape = Scrape { login: login.clone(), publishers, memory, recorder };
    let people = Router::new()
        .route("/", get(login::page))
        .route("/login", post(login::log_in))
        .route("/logout", post(login::log_out))
        .route("/logout-device", post(devices::log_out_device))
        .route("/logout-others", post(devices::log_out_others))
        .route("/logout-everywhere", post(devices::log_out_everywhere))
        .with_state(login.clone());
    let people = match login.sessions {
        Sessions::Alone(store) => people.layer(layer(store)),
        Sessions::Shared(store) => people.layer(layer(store)),
    };
    let operators = Router::new()
        .route("/metrics", get(metrics).with_state(scrape))
        .route("/status", get(status::page))
        .route("/status/events", get(status::events).with_state(board));
    people.merge(operators)
}

fn layer<S: SessionStore>(store: S) -> SessionManagerLayer<S> {
    SessionManagerLayer::new(store)
        // The cookie lasts as long as the browser is open; when the session ends, the cache decides.
        .with_expiry(Expiry::OnSessionEnd)
        // Only because this example speaks plain HTTP: leave it out behind TLS.
        .with_secure(false)
}

#[derive(Clone)]
struct Scrape {
    login: Login,
    publishers: [Publisher; 2],
    memory: fn() -> ProcessMemory,
    recorder: PrometheusHandle,
}

async fn metrics(State(scrape): State<Scrape>) -> String {
    let [sessions, online] = &scrape.publishers;
    let (stats, tier) = scrape.login.sessions.stats();
    sessions.publish(&stats);
    if let Some(tier) = tier {
        sessions.publish_tier(&tier);
    }
    online.publish(&scrape.login.online.visits().stats());
    publish_process(&(scrape.memory)());
    scrape.recorder.render()
}
