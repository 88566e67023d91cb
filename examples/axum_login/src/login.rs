//! Log in, see a page, log out.

use axum::Form;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Redirect, Response};
use sundown::tower_sessions_0_15::restart_absolute_timeout;
use tower_sessions::Session;
use tower_sessions::session::Error;
use tower_sessions::session_store;

use crate::devices::{self, DEVICE};
use crate::pages::{self, USER};
use crate::{Login, pages::Login as Asked};

pub(crate) async fn page(
    State(login): State<Login>,
    session: Session,
) -> Result<Html<String>, Failure> {
    let Some(user) = session.get::<String>(USER).await? else {
        return Ok(Html(pages::page(None, "")));
    };
    login.online.see(&user);
    let online = pages::escaped(&login.online.names().join(", "));
    let more =
        format!("{}<p>Online: {online}</p>\n", devices::list(&login, &session, &user).await?);
    Ok(Html(pages::page(Some(&user), &more)))
}

pub(crate) async fn log_in(
    session: Session,
    headers: HeaderMap,
    Form(asked): Form<Asked>,
) -> Result<Response, Failure> {
    let name = match asked.name() {
        Ok(name) => name,
        Err(fault) => return Ok((StatusCode::BAD_REQUEST, fault).into_response()),
    };
    // A new id, so that nobody who knew the one from before is logged in with the user.
    session.cycle_id().await?;
    session.insert(USER, name).await?;
    session.insert(DEVICE, devices::device(&headers)).await?;
    // The absolute timeout counts from here, not from the visitor's first page.
    restart_absolute_timeout(&session).await?;
    // Here, so that the user is told if there is no room; the middleware would not say why.
    session.save().await?;
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

impl From<session_store::Error> for Failure {
    fn from(error: session_store::Error) -> Self {
        Self(Error::Store(error))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        eprintln!("session: {}", self.0);
        (StatusCode::INTERNAL_SERVER_ERROR, "your session could not be saved").into_response()
    }
}
