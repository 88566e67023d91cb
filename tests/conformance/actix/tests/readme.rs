//! The README's lines for actix-web compile.

#[path = "../../tower/tests/shared/readme.rs"]
mod readme;

use std::time::Duration;

use actix_session::SessionMiddleware;
use actix_session::config::{BrowserSession, TtlExtensionPolicy};
use actix_web::cookie::Key;
use actix_web::{App, HttpServer};
use sundown::{BuildError, Cache, actix_session_0_11};

#[rustfmt::skip]
fn serve(secret: Key) -> Result<(), BuildError> {
    // As in the README:
    let store = actix_session_0_11::SundownActixStore::new(
        Cache::builder().max_entries(1_000_000).time_to_idle(Duration::from_secs(30 * 60)),
    )?;
    let on_every_request = BrowserSession::default()
        .state_ttl_extension_policy(TtlExtensionPolicy::OnEveryRequest); // else a day after the last change
    let server = HttpServer::new(move || {
        App::new().wrap(
            SessionMiddleware::builder(store.clone(), secret.clone())
                .session_lifecycle(on_every_request.clone())
                .build(),
        )
    });
    // To here.
    drop(server);
    Ok(())
}

#[test]
fn the_readme_shows_what_compiles() {
    serve(Key::generate()).unwrap();
    readme::shows(include_str!("readme.rs"));
}
