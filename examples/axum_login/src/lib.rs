//! A login on axum whose sessions are kept by sundown, and what an operator wants to see of them.
//!
//! ```text
//!   main      command line, recorder of the metrics, listener
//!   lib       the store with its limits, the routes
//!   login     log in, see a page, log out
//!   pages     what is shown; shared with the other example
//!   status    a sample each second, sent to the page that draws it (status.html)
//!   verdict   is it the session store?
//! ```

mod login;
#[path = "../../login/pages.rs"]
mod pages;
mod status;
mod verdict;

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use metrics_exporter_prometheus::PrometheusHandle;
use sundown::metrics::{Publisher, publish_process};
use sundown::tower_sessions_0_15::SundownStore;
use sundown::{BuildError, Cache, Clock, ProcessMemory};
use tower_sessions::{Expiry, SessionManagerLayer};

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
    /// How many bytes they may take, with all that the cache needs for them.
    pub bytes: u64,
}

/// The store of the sessions, on the machine's clock or on a test's.
///
/// # Errors
///
/// Says which limit cannot be.
pub fn store(limits: Limits, clock: impl Into<Clock>) -> Result<SundownStore, BuildError> {
    SundownStore::new(
        Cache::builder()
            .max_entries(limits.sessions)
            .max_weight(limits.bytes)
            .time_to_idle(limits.idle)
            .time_to_live(limits.live)
            .clock(clock),
    )
}

/// The service. Must be called on a runtime, for it looks at the store once a second from then on.
/// Of the machine's memory it knows what `memory` tells: [`ProcessMemory::read`], or a test's.
///
/// `/metrics` and `/status` are for operators: serve them where only they come to.
pub fn app(
    store: &SundownStore,
    recorder: PrometheusHandle,
    memory: fn() -> ProcessMemory,
) -> Router {
    let sessions = SessionManagerLayer::new(store.clone())
        // The cookie lasts as long as the browser is open; when the session ends, the cache decides.
        .with_expiry(Expiry::OnSessionEnd)
        // Only because this example speaks plain HTTP: leave it out behind TLS.
        .with_secure(false);
    let board = Board::watching(store.cache(), memory);
    let publisher = Publisher::new("sessions");
    let scrape = Scrape { store: store.clone(), publisher, memory, recorder };
    let people = Router::new()
        .route("/", get(login::page))
        .route("/login", post(login::log_in))
        .route("/logout", post(login::log_out))
        .layer(sessions);
    let operators = Router::new()
        .route("/metrics", get(metrics).with_state(scrape))
        .route("/status", get(status::page))
        .route("/status/events", get(status::events).with_state(board));
    people.merge(operators)
}

#[derive(Clone)]
struct Scrape {
    store: SundownStore,
    publisher: Publisher,
    memory: fn() -> ProcessMemory,
    recorder: PrometheusHandle,
}

async fn metrics(State(scrape): State<Scrape>) -> String {
    scrape.publisher.publish(&scrape.store.cache().stats());
    publish_process(&(scrape.memory)());
    scrape.recorder.render()
}
