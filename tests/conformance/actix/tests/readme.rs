//! The README's lines for actix-web compile.

#[path = "../../tower/tests/shared/readme.rs"]
mod readme;

use actix_session::SessionMiddleware;
use actix_web::cookie::Key;
use actix_web::{App, HttpServer};
use sundown::{BuildError, Cache, actix_session_0_11};

#[rustfmt::skip]
fn serve(secret: Key) -> Result<(), BuildError> {
    // As in the README:
    let store = actix_session_0_11::SundownActixStore::new(Cache::builder().max_entries(1_000_000))?;
    let server = HttpServer::new(move || {
        App::new().wrap(SessionMiddleware::new(store.clone(), secret.clone()))
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
