//! What each request has loaded, and that it has deleted a moment ago: what the interfaces of
//! actix-session and poem do not say.
//!
//! Their middleware keeps the key that it loads by until the response, and passes it when it changes or
//! deletes the session. So while a request is under way, the place of its key's text in memory is its
//! name. A request that ends without either leaves a note behind, until another key lies in the same
//! place.
//!
//! A new key is a deletion and then, without an await between them that waits, the creation: the next
//! call of the store on that thread. So is, at times, another request's creation after a log-out. What
//! is inferred is therefore little: that the room is free for it; and, if the session had been ended
//! by another request while this one was under way, that what it held does not come along.

use core::hash::Hash;
use std::cell::Cell;
use std::thread::LocalKey;

use super::descent::{Revision, aside};
use crate::builder::Builder;
use crate::cache::Cache;
use crate::error::BuildError;
use crate::platform::clock::{Clock, MILLI_NS};

/// A key whose last deletion each thread notes.
pub(super) trait Noting: Copy + Eq + Hash + Send + Sync + 'static {
    fn last_deletion() -> &'static LocalKey<LastDeletion<Self>>;
}

/// A thread's note.
pub(super) type LastDeletion<K> = Cell<Option<Noted<K>>>;

pub(super) struct Seen<K, L = Revision> {
    /// By the place of the key's text.
    loads: Cache<usize, (K, L)>,
    clock: Clock,
}

/// A deletion that was the last call on this thread.
#[derive(Clone, Copy)]
pub(super) enum Deletion<K> {
    /// Of a session that was live.
    OfLive(K),
    /// Of one that the request had loaded, and another one has ended.
    OfEnded(Revision),
}

#[derive(Clone, Copy)]
pub(super) struct Noted<K> {
    /// The store's.
    place: usize,
    at_ns: u64,
    deletion: Deletion<K>,
}

impl<K, L> Seen<K, L>
where
    K: Clone + Eq + Send + Sync + 'static,
    L: Clone + Send + Sync + 'static,
{
    pub(super) fn of<V>(builder: &Builder<K, V>) -> Result<Self, BuildError> {
        Ok(Self { loads: aside(builder, MOST_LOADS)?, clock: builder.clock.clone() })
    }

    /// Notes what the request whose key has this text has loaded.
    pub(super) fn note(&self, text: &str, key: K, loaded: L) {
        let _refused = self.loads.insert(place_of(text), (key, loaded));
    }

    /// What the request whose key has this text has loaded; it has ended or will load no more.
    pub(super) fn take(&self, text: &str, key: &K) -> Option<L> {
        let place = place_of(text);
        let (of, loaded) = self.loads.peek(&place)?;
        self.loads.discard(&place);
        (of == *key).then_some(loaded)
    }
}

impl<K: Noting> Seen<K> {
    /// Notes what this thread's last call was.
    pub(super) fn note_deletion(&self, key: K, was_live: bool, seen: Option<Revision>) {
        let deletion = match seen {
            _ if was_live => Deletion::OfLive(key),
            Some(revision) => Deletion::OfEnded(revision),
            None => return,
        };
        let (place, at_ns) = (self.place(), self.clock.exact_ns());
        K::last_deletion().set(Some(Noted { place, at_ns, deletion }));
    }

    /// Another call has come.
    pub(super) fn forget_deletion(&self) {
        K::last_deletion().set(None);
    }

    /// The deletion that was this thread's last call, a moment ago.
    pub(super) fn take_deletion(&self) -> Option<Deletion<K>> {
        let noted = K::last_deletion().take()?;
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

fn place_of(text: &str) -> usize {
    text.as_ptr().addr()
}

/// How many requests can be under way.
const MOST_LOADS: usize = 65_536;

/// Between two calls that follow each other; a client's next request takes longer.
const MOMENT_NS: u64 = 20 * MILLI_NS;
