//! The two contestants, behind one small face.
//!
//! [`CheckOnRead`] is what the services in the outage reports ran: a map behind a lock that looks
//! at a session's age when somebody asks for it. It is correct, and nobody is ever served late. Its
//! fault is that a session which nobody asks for again is never looked at again either.
//! tower-sessions' `MemoryStore` is of this kind (it does not even remove what it finds too old), and
//! so is, once the calls stop, any cache that expires only while it is called, such as moka.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sundown::{Cache, GivenBack, OnFull};

use crate::way::Way;
use crate::witness::{Session, SessionId};

/// What the service does with its session store.
pub(crate) trait Store {
    /// Files a new session.
    fn log_in(&self, id: SessionId, session: Session) -> Result<(), String>;

    /// Shows a live session and counts as its use; says whether there was one.
    fn visit(&self, id: SessionId, show: impl FnMut(&Session)) -> bool;

    /// Ends a session before its time.
    fn log_out(&self, id: SessionId);

    /// What the store itself finds wrong, in the middle of the traffic.
    fn complaints(&self) -> Vec<String>;

    /// What the store itself finds wrong once every session has run out.
    fn final_complaints(&self, sessions: u64) -> Vec<String>;

    /// The worst expiry lag that the store reports, if it keeps count.
    fn reported_lag(&self) -> Option<Duration>;

    /// What the store did to give memory back to the operating system.
    fn given_back(&self) -> GivenBack {
        GivenBack::default()
    }
}

/// Checks expiry when it reads, and only then.
pub(crate) struct CheckOnRead {
    held: Mutex<HashMap<SessionId, Held>>,
    idle: Duration,
    ttl: Duration,
}

struct Held {
    session: Session,
    created: Instant,
    used: Instant,
}

impl CheckOnRead {
    pub(crate) fn new(idle: Duration, ttl: Duration) -> Self {
        Self { held: Mutex::default(), idle, ttl }
    }

    fn with<R>(&self, work: impl FnOnce(&mut HashMap<SessionId, Held>) -> R) -> R {
        work(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Store for CheckOnRead {
    fn log_in(&self, id: SessionId, session: Session) -> Result<(), String> {
        let now = Instant::now();
        self.with(|held| held.insert(id, Held { session, created: now, used: now }));
        Ok(())
    }

    fn visit(&self, id: SessionId, mut show: impl FnMut(&Session)) -> bool {
        self.with(|held| {
            let now = Instant::now();
            let Some(found) = held.get_mut(&id) else { return false };
            if now - found.created >= self.ttl || now - found.used >= self.idle {
                held.remove(&id);
                return false;
            }
            found.used = now;
            show(&found.session);
            true
        })
    }

    fn log_out(&self, id: SessionId) {
        self.with(|held| held.remove(&id));
    }

    fn complaints(&self) -> Vec<String> {
        Vec::new()
    }

    fn final_complaints(&self, _sessions: u64) -> Vec<String> {
        Vec::new()
    }

    fn reported_lag(&self) -> Option<Duration> {
        None
    }
}

/// sundown, with nothing but its lifetimes set, unless a fault is wanted.
pub(crate) struct Sundown(Cache<SessionId, Session>);

impl Sundown {
    /// Capacity is not what is compared here, so there is room for every session of the day, and a
    /// session that were refused all the same would be an error rather than a quiet eviction.
    pub(crate) fn new(
        idle: Duration,
        ttl: Duration,
        most_sessions: usize,
        way: Way,
    ) -> Result<Self, String> {
        Cache::builder()
            .max_entries(most_sessions)
            .on_full(OnFull::Reject)
            .time_to_idle(idle)
            .time_to_live(ttl)
            .give_back(way.into())
            .build()
            .map(Self)
            .map_err(|error| error.to_string())
    }
}

impl Store for Sundown {
    fn log_in(&self, id: SessionId, session: Session) -> Result<(), String> {
        self.0.insert(id, session).map_err(|rejected| rejected.reason.to_string())
    }

    fn visit(&self, id: SessionId, show: impl FnMut(&Session)) -> bool {
        self.0.read(&id, show).is_some()
    }

    fn log_out(&self, id: SessionId) {
        self.0.discard(&id);
    }

    fn complaints(&self) -> Vec<String> {
        let audit = self.0.audit().err().map(|error| format!("audit: {error}"));
        let stats = self.0.stats();
        audit
            .into_iter()
            .chain(not_zero("evicted", stats.evicted))
            .chain(not_zero("rejected", stats.rejected))
            .collect()
    }

    fn final_complaints(&self, sessions: u64) -> Vec<String> {
        let mut complaints = self.complaints();
        let stats = self.0.stats();
        complaints.extend(not_zero("entries", stats.entries as u64));
        complaints.extend(not_zero("overdue", stats.overdue));
        complaints.extend(not_zero("retired", stats.retired.count));
        complaints.extend(not_zero("drop_panics", stats.drop_panics));
        let by_cause = stats.expired + stats.idle + stats.removed;
        for (count, name) in [
            (stats.inserted, "inserted"),
            (stats.dropped, "dropped"),
            (by_cause, "expired + idle + removed"),
        ] {
            if count != sessions {
                complaints.push(format!("{sessions} sessions, but {name} is {count}"));
            }
        }
        complaints
    }

    fn reported_lag(&self) -> Option<Duration> {
        Some(self.0.stats().expiry_lag.max)
    }

    fn given_back(&self) -> GivenBack {
        self.0.stats().given_back
    }
}

fn not_zero(name: &str, count: u64) -> Option<String> {
    (count != 0).then(|| format!("{name} is {count}, not 0"))
}
