//! When the absolute timeout begins, in the words of whichever version the parent imports as
//! `framework`.

use super::framework::Session;
use super::framework::session::Error;
use crate::adapters::lifespan::{BIRTH_KEY, RESTART};

/// Begins a session's absolute timeout anew with its next save, as at log-in.
///
/// The time to live of a [`SundownStore`](super::SundownStore)'s cache counts from the session's
/// creation, and goes on over `cycle_id`, so that changing the id buys no time. A user who has proved an
/// identity has begun a new session, though it may have the basket of the old one: the standards count the
/// absolute timeout from there. So call this where the application logs a user in, beside `cycle_id`,
/// and again where the user proves it again. Without it, a visitor who came 7:59 h ago and logs in now
/// is logged out in a minute, at a time to live of 8 h.
///
/// `Session::clear` alone does not restart it. `flush`, or `clear` and then `cycle_id`, ends the session:
/// what is saved after it is a new one. Only the first save of this request restarts it. In a cache
/// without a time to live it does nothing.
///
/// # Errors
///
/// As `Session::insert`: the store's, if the session has to be loaded first.
///
/// # Examples
///
/// ```
#[doc = example_imports!()]
/// use std::{sync::Arc, time::Duration};
/// use tower_sessions::Session;
///
/// # pollster::block_on(async {
/// let hour = Duration::from_secs(3600);
/// let clock = sundown::ManualClock::new();
/// let builder = Cache::builder().max_entries(100_000).time_to_live(8 * hour);
/// let store = SundownStore::new(builder.clock(clock.clone()))?;
/// let session = Session::new(None, Arc::new(store.clone()), None);
/// session.insert("lang", "en").await?;
/// session.save().await?;
///
/// clock.advance(7 * hour);
/// session.cycle_id().await?;
/// session.insert("user", "ada").await?;
/// restart_absolute_timeout(&session).await?;
/// session.save().await?;
///
/// clock.advance(7 * hour);
/// assert!(store.cache().contains_key(&session.id().unwrap()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub async fn restart_absolute_timeout(session: &Session) -> Result<(), Error> {
    session.insert(BIRTH_KEY, RESTART).await
}
