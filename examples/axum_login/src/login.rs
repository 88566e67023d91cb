//! Log in, see a page, log out. Whoever names a name is logged in by it: passwords are not the point.

use axum::Form;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;
use tower_sessions::Session;
use tower_sessions::session::Error;

const USER: &str = "user";

/// The longest name: a session's size must not be left to whoever sends a form.
const MOST_NAME_BYTES: usize = 64;

#[derive(Deserialize)]
pub(crate) struct Login {
    name: String,
}

pub(crate) async fn page(session: Session) -> Result<Html<String>, Failure> {
    let Some(user) = session.get::<String>(USER).await? else {
        return Ok(Html(LOGGED_OUT.to_owned()));
    };
    Ok(Html(LOGGED_IN.replace("{user}", &escaped(&user))))
}

pub(crate) async fn log_in(
    session: Session,
    Form(login): Form<Login>,
) -> Result<Response, Failure> {
    let name = login.name.trim();
    if name.is_empty() || name.len() > MOST_NAME_BYTES {
        return Ok((StatusCode::BAD_REQUEST, "name: 1 to 64 bytes").into_response());
    }
    // A new id, so that nobody who knew the one from before is logged in with the user.
    session.cycle_id().await?;
    session.insert(USER, name).await?;
    Ok(Redirect::to("/").into_response())
}

pub(crate) async fn log_out(session: Session) -> Result<Redirect, Failure> {
    session.flush().await?;
    Ok(Redirect::to("/"))
}

/// What went wrong with the session; the user is told no more than that.
pub(crate) struct Failure(Error);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        eprintln!("session: {}", self.0);
        (StatusCode::INTERNAL_SERVER_ERROR, "your session could not be saved").into_response()
    }
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
