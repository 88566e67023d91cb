//! A user's devices: the list on the page, and the buttons that log them out.

use axum::Form;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::USER_AGENT;
use axum::response::Redirect;
use serde::Deserialize;
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
pub(crate) async fn list(login: &Login, session: &Session, user: &str) -> Result<String, Failure> {
    let devices = login.sessions.devices(user, session.id()).await?;
    let rows = devices.into_iter().map(|device| {
        let name = escaped(device.name.as_deref().unwrap_or("an unknown browser"));
        let since = device.age.as_secs() / 60;
        let button = if device.is_own {
            "this one".to_owned()
        } else {
            format!(
                "<form method=\"post\" action=\"/logout-device\">\
                 <button name=\"device\" value=\"{}\">Log out</button></form>",
                device.public_id
            )
        };
        format!("<li>{name}, logged in {since} min ago {button}</li>\n")
    });
    Ok(format!(
        "<h2>Your devices</h2><ul>\n{}</ul>\n\
         <form method=\"post\" action=\"/logout-others\"><button>Log out everywhere else</button></form>\n\
         <form method=\"post\" action=\"/logout-everywhere\"><button>Log out everywhere</button></form>\n",
        rows.collect::<String>()
    ))
}

pub(crate) async fn log_out_others(
    State(login): State<Login>,
    session: Session,
) -> Result<Redirect, Failure> {
    let user: Option<String> = session.get(USER).await?;
    if let (Some(user), Some(id)) = (user, session.id()) {
        login.sessions.end_others(&user, &id).await?;
    }
    Ok(Redirect::to("/"))
}

pub(crate) async fn log_out_everywhere(
    State(login): State<Login>,
    session: Session,
) -> Result<Redirect, Failure> {
    if let Some(user) = session.get::<String>(USER).await? {
        login.sessions.end_all(&user).await?;
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
    if let Some(user) = user {
        login.sessions.end_one(&user, &which.device).await?;
    }
    Ok(Redirect::to("/"))
}
