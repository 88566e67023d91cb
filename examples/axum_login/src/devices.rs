//! A user's devices: the list on the page, and the buttons that log them out.

use std::time::SystemTime;

use axum::Form;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::USER_AGENT;
use axum::response::Redirect;
use serde::Deserialize;
use sundown::sessions::PublicId;
use tower_sessions::Session;

use crate::Login;
use crate::login::Failure;
use crate::pages::{USER, escaped};

/// Where a session has the words by which its user knows the device.
pub(crate) const DEVICE: &str = "device";

/// A session's size must not be left to a browser.
const MOST_DEVICE_BYTES: usize = 120;

/// What the browser calls itself.
pub(crate) fn device(headers: &HeaderMap) -> String {
    let name = headers.get(USER_AGENT).and_then(|name| name.to_str().ok());
    name.unwrap_or("an unknown browser").chars().take(MOST_DEVICE_BYTES).collect()
}

/// The list, for the page of a user whose request has this session.
pub(crate) fn list(login: &Login, session: &Session, user: &str) -> String {
    let own = session.id();
    let rows = login.store.sessions_of(user).into_iter().map(|info| {
        let device = info.data.data.get(DEVICE).and_then(|device| device.as_str());
        let device = escaped(device.unwrap_or("an unknown browser"));
        let (since, used) = (ago(info.authenticated), ago(Some(info.last_used)));
        let button = if Some(info.data.id) == own {
            "this one".to_owned()
        } else {
            format!(
                "<form method=\"post\" action=\"/logout-device\">\
                 <button name=\"device\" value=\"{}\">Log out</button></form>",
                info.public_id
            )
        };
        format!("<li>{device}, logged in {since}, last seen {used} {button}</li>\n")
    });
    format!(
        "<h2>Your devices</h2><ul>\n{}</ul>\n\
         <form method=\"post\" action=\"/logout-others\"><button>Log out everywhere else</button></form>\n\
         <form method=\"post\" action=\"/logout-everywhere\"><button>Log out everywhere</button></form>\n",
        rows.collect::<String>()
    )
}

fn ago(time: Option<SystemTime>) -> String {
    let since = time.and_then(|time| time.elapsed().ok()).unwrap_or_default();
    format!("{} min ago", since.as_secs() / 60)
}

pub(crate) async fn log_out_others(
    State(login): State<Login>,
    session: Session,
) -> Result<Redirect, Failure> {
    let user: Option<String> = session.get(USER).await?;
    if let (Some(user), Some(id)) = (user, session.id()) {
        login.store.revoke_others(&user, &id);
    }
    Ok(Redirect::to("/"))
}

pub(crate) async fn log_out_everywhere(
    State(login): State<Login>,
    session: Session,
) -> Result<Redirect, Failure> {
    if let Some(user) = session.get::<String>(USER).await? {
        login.store.revoke_all(&user);
    }
    Ok(Redirect::to("/"))
}

#[derive(Deserialize)]
pub(crate) struct Which {
    device: String,
}

pub(crate) async fn log_out_device(
    State(login): State<Login>,
    session: Session,
    Form(which): Form<Which>,
) -> Result<Redirect, Failure> {
    let user: Option<String> = session.get(USER).await?;
    if let (Some(user), Ok(device)) = (user, which.device.parse::<PublicId>()) {
        login.store.revoke_public(&user, &device);
    }
    Ok(Redirect::to("/"))
}
