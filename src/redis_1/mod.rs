//! Redis 6 or Valkey as the truth behind a [`fleet`](crate::fleet).
//!
//! ```text
//!   {namespace}:s:{key}   a session: hash, revision, value, birth, deadline, idle time, principal
//!   {namespace}:p:{key}   a principal's sessions, by when each ends
//!   {namespace}:x:{key}   when the principal was revoked last
//!   {namespace}:y:{...}   an instance's canary, for a moment
//! ```
//!
//! Every change is one script, and every key has a time to live. All spans and ages are measured by the server's
//! clock, in scripts.
//!
//! R1. A connection is one *incarnation*, for calls and messages alike. When it is lost the near cache is told in
//!     the closure that reads from it; the next one begins from nothing.
//! R2. The stream is proven by a *canary*: a key of our own is written, and its invalidation awaited. The server
//!     sends it after those of all earlier writes. Each canary has a number. No other instance hears of it.
//! R3. A deleted session leaves a tombstone under its own key, so no creation finds the key free. A creation
//!     states, by the server's clock as it was last seen, until when it may arrive; tombstones stay for longer.
//!     FLUSHALL takes the tombstones along.
//! R4. A revocation leaves a stamp for as long as a tombstone stays. What binds a session to a principal states
//!     when it was asked, and is refused up to the stamp, or if it is late. That moment is never stated too
//!     late: the estimate takes the server's time as of the moment when its answer came.
//!     A revocation that was told as failed may still come, and then ends what has been begun since; it is
//!     refused as a creation is once it is late.
//! R5. A principal's list loses what has ended each time it is read or written, and lives as long as the last
//!     session in it.
//! R6. A session that was deleted once may be followed by one that is created in its place, as for a new id. The
//!     tombstone names it. If the old one is deleted again, by a log-out of another request, both end; if that
//!     comes first, the creation is refused.
//!
//! R7. A server that has become a replica is not the truth any more: the connection is given up, and the server
//!     looked for again, by its name or by sentinels.
//! R8. A full server refuses what begins or changes a session before anything is done, and takes what ends one:
//!     each script that ends something deletes before it writes anything else.
//!
//! # When the server fails
//!
//! A call that fails says so within its timeout, and the frameworks' stores answer with their own kind of
//! error: a request is refused, nobody is logged out. What was in the near cache is not served meanwhile, unless
//! [`max_staleness`](crate::fleet::TieredOptions::max_staleness) allows it.
//!
//! | the server | load | log-in, save | log-out, revocation | near cache | tried by |
//! |---|---|---|---|---|---|
//! | is slow or silent | `TimedOut`, then `BreakerOpen` | the same | the same | emptied once the lease ends | `calls_into_a_black_hole_end_in_time` |
//! | is gone | `Unavailable`, then `BreakerOpen` | the same | the same | emptied at once | `while_the_server_is_away_stale_copies_are_served_only_if_asked_for` |
//! | loses a connection | done, on the next one | done, once | done | emptied, and filled again | `a_killed_connection_empties_the_near_cache_and_comes_back` |
//! | restarts with its data | done, once it is up | done | done | emptied, and filled again | `a_server_that_restarts_keeps_or_loses_what_it_had` |
//! | restarts without, or is flushed | none: all are logged out | a save does nothing | done | emptied, and filled again | the same, `after_flushall_nothing_is_served` |
//! | is full (`OOM`) | done | `Refused` | done | in use | `a_full_server_refuses_log_ins_and_takes_log_outs` |
//! | is read-only (a replica) | done or `Unavailable` | `Unavailable` | `Unavailable` | not used | `a_replica_is_not_taken_for_the_truth` |
//! | lacks the replicas that it is to have | done | `Refused` | `Refused` | not used | `a_server_that_refuses_writes_is_believed` |
//! | refuses by ACL what a call needs | `Refused` | `Refused` | `Refused` | not used | `a_user_who_may_not_read_is_told_so` |
//! | refuses by ACL to track | done | done | done | not used | the same |
//! | fails over to a replica | done, once sentinels agree | done | done | emptied, and filled again | `sentinels_lead_to_the_next_master` |
//!
//! The server must not evict keys (`maxmemory-policy noeviction`, or a volatile one at the price of sessions that
//! end early). A server that restarts with an older snapshot brings back what was deleted since: use
//! `appendonly yes`, or no persistence. Standalone servers, those that a name leads to,
//! and those that [sentinels](RedisOptions::sentinels) watch; no cluster.

mod calls;
mod link;
mod names;
mod options;
mod place;
mod reply;
mod script;

use core::fmt;

use ::redis_1::RedisError;
use tokio::task::JoinHandle;

use self::link::{Incarnation, Link, outage};
pub use self::options::RedisOptions;
use crate::fleet::Error;
use crate::platform::sync::Arc;

/// Sessions in Redis or Valkey.
///
/// To drop it ends its connection.
pub struct RedisBackend {
    link: Arc<Link>,
    loop_of: JoinHandle<()>,
}

impl RedisBackend {
    /// Connects to a server, such as `redis://127.0.0.1/` or `unix:///run/redis.sock`, and keeps connected.
    ///
    /// Call it inside a tokio runtime with I/O and timers, in which its loop then runs.
    ///
    /// # Errors
    ///
    /// If the address is none, or the server does not answer, is no Redis 6 or later, or refuses the user.
    pub async fn connect(url: &str, options: RedisOptions) -> Result<Self, Error> {
        let link = Arc::new(Link::new(url, options).map_err(|error| refused(&error))?);
        let first = Incarnation::open(&link).await.map_err(|error| outage(&error))?;
        let loop_of = tokio::spawn(link::keep(link.clone(), first));
        Ok(Self { link, loop_of })
    }
}

fn refused(error: &RedisError) -> Error {
    Error::Refused(Arc::new(error.clone()))
}

impl Drop for RedisBackend {
    fn drop(&mut self) {
        self.loop_of.abort();
        self.link.close();
    }
}

impl fmt::Debug for RedisBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBackend")
            .field("is_connected", &self.link.is_connected())
            .finish_non_exhaustive()
    }
}
