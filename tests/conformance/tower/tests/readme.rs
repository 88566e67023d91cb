//! The README's lines for axum compile.

#[path = "shared/readme.rs"]
mod readme;

use std::time::Duration;

use ::tower_sessions_0_15::{MemoryStore, SessionManagerLayer, SessionStore};
use axum::Router;
use axum::routing::get;
use sundown::{BuildError, Cache, tower_sessions_0_15};

async fn page() {}

#[rustfmt::skip]
fn serve() -> Result<(), BuildError> {
    // As in the README:
    let store = tower_sessions_0_15::SundownStore::new(
        Cache::builder()
            .max_entries(1_000_000)
            .time_to_idle(Duration::from_secs(30 * 60)) // from the last request that has used it
            .time_to_live(Duration::from_secs(8 * 3600)), // also over `cycle_id`
    )?;
    let app = Router::new().route("/", get(page)).layer(SessionManagerLayer::new(store));
    // To here.
    let _: Router = app;
    Ok(())
}

#[rustfmt::skip]
fn serve_before(database: impl SessionStore) -> Result<(), BuildError> {
    // As in the README:
    let store = tower_sessions_0_15::SundownStore::in_front_of(
        Cache::builder().max_entries(100_000).time_to_idle(Duration::from_secs(30 * 60)),
        database,
    )?;
    // To here.
    drop(store);
    Ok(())
}

#[test]
fn the_readme_shows_what_compiles() {
    serve().unwrap();
    serve_before(MemoryStore::default()).unwrap();
    readme::shows(include_str!("readme.rs"));
}
