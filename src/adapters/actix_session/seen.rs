//! What each request has loaded, and that it has deleted a moment ago: what actix-session's interface
//! does not say.
//!
//! The middleware keeps the key that it loads by until the response, and gives it to `update` and
//! `delete`. So while a request is under way, the place of its key's text in memory is its name. A
//! request that ends without either leaves a note behind, until another key lies in the same place.
//!
//! `Session::renew` is `delete` and then `save`, without an await between them that waits: the next
//! call of the store on that thread. So is, at times, another request's `save` after a log-out. What
//! is inferred is therefore little: that the room is free for it; and, if the session had been ended
//! by another request while this one was under way, that what it held does not come along.

use std::cell::Cell;

use super::SessionId;
use super::framework::storage::SessionKey;
use crate::adapters::descent::{Revision, aside};
use crate::builder::Builder;
use crate::cache::Cache;
use crate::error::BuildError;
use crate::platform::clock::{Clock, MILLI_NS};

pub(super) struct Seen {
    /// By the place of the key's text.
    loads: Cache<usize, (SessionId, Revision)>,
    clock: Clock,
}

/// A deletion that was the last call on this thread.
#[derive(Clone, Copy)]
pub(super) enum Deletion {
    /// Of a session that was live.
    OfLive(SessionId),
    /// Of one that the request had loaded, and another one has ended.
    OfEnded(Revision),
}

#[derive(Clone, Copy)]
struct Noted {
    /// The store's.
    place: usize,
    at_ns: u64,
    deletion: Deletion,
}

thread_local! {
    static LAST_DELETION: Cell<Option<Noted>> = const { Cell::new(None) };
}

impl Seen {
    pub(super) fn of<K, V>(builder: &Builder<K, V>) -> Result<Self, BuildError> {
        Ok(Self { loads: aside(builder, MOST_LOADS)?, clock: builder.clock.clone() })
    }

    /// Notes what the request with this key has loaded.
    pub(super) fn note(&self, session_key: &SessionKey, key: SessionId, revision: Revision) {
        let _refused = self.loads.insert(place_of(session_key), (key, revision));
    }

    /// What the request with this key has loaded; it has ended or will load no more.
    pub(super) fn take(&self, session_key: &SessionKey, key: &SessionId) -> Option<Revision> {
        let place = place_of(session_key);
        let (loaded, revision) = self.loads.peek(&place)?;
        self.loads.discard(&place);
        (loaded == *key).then_some(revision)
    }

    /// Notes what this thread's last call was.
    pub(super) fn note_deletion(&self, key: SessionId, was_live: bool, seen: Option<Revision>) {
        let deletion = match seen {
            _ if was_live => Deletion::OfLive(key),
            Some(revision) => Deletion::OfEnded(revision),
            None => return,
        };
        let (place, at_ns) = (self.place(), self.clock.exact_ns());
        LAST_DELETION.set(Some(Noted { place, at_ns, deletion }));
    }

    /// Another call has come.
    pub(super) fn forget_deletion(&self) {
        LAST_DELETION.set(None);
    }

    /// The deletion that was this thread's last call, a moment ago.
    pub(super) fn take_deletion(&self) -> Option<Deletion> {
        let noted = LAST_DELETION.take()?;
        let age_ns = self.clock.exact_ns().saturating_sub(noted.at_ns);
        let is_certain = match noted.deletion {
            // Little hangs on it.
            Deletion::OfLive(_) => true,
            Deletion::OfEnded(_) => age_ns < MOMENT_NS,
        };
        (noted.place == self.place() && is_certain).then_some(noted.deletion)
    }

    fn place(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }
}

fn place_of(session_key: &SessionKey) -> usize {
    session_key.as_ref().as_ptr().addr()
}

/// How many requests can be under way.
const MOST_LOADS: usize = 65_536;

/// Between two calls that follow each other; a client's next request takes longer.
const MOMENT_NS: u64 = 20 * MILLI_NS;
