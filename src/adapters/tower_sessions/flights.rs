//! The calls that are under way to the store behind, by session; in the words of whichever version the
//! parent imports as `framework`.
//!
//! Between the truth and its copy in the cache lies an await, and anything may happen in it. What must
//! not: that a copy is put in which is older than the truth.
//!
//! F1. A session has an *epoch* while calls for it are under way; a write moves it on when it begins
//!     and when it has ended. A copy is put in only by a call in whose epoch no write began.
//! F2. Looking at the epoch and putting the copy in are two steps. While a call is between them, and
//!     the epoch has moved on since it looked, the session is *doubtful*: loads pass the cache by,
//!     until the call has looked again and taken its copy out.
//! F3. Saves of one session follow one another, so that each changes what the one before it has left.
//!     Nothing else waits: no load for a save, no log-out for anything.
//!
//! There is an entry for each session with a call under way, and so no more than there are requests.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{Mutex as Queue, OwnedMutexGuard};

use super::framework::session::Id;
use crate::platform::sync::{AtomicUsize, Mutex, Ordering};

#[derive(Default)]
pub(super) struct Flights {
    sessions: Mutex<HashMap<Id, Flight>>,
    /// Calls that are putting a copy in, of whatever session.
    settling: AtomicUsize,
}

#[derive(Default)]
struct Flight {
    calls: usize,
    epoch: u64,
    /// Calls that are putting a copy in.
    settling: usize,
    is_doubtful: bool,
    saves: Arc<Queue<()>>,
}

/// A call that is under way, until this is dropped.
pub(super) struct Call<'f> {
    flights: &'f Flights,
    id: Id,
    epoch: u64,
}

impl Flights {
    /// Begins a call that reads a session.
    pub(super) fn begin(&self, id: Id) -> Call<'_> {
        let mut sessions = self.sessions.lock();
        let flight = sessions.entry(id).or_default();
        flight.calls += 1;
        Call { flights: self, id, epoch: flight.epoch }
    }

    /// Whether the cache's copy of a session may be older than the truth (F2); to be asked before the
    /// copy is read.
    pub(super) fn is_doubtful(&self, id: &Id) -> bool {
        // Acquire: with the Releases below, a load that comes after a write has returned sees the call
        // that was between its two steps when the write began, or its copy taken out.
        self.settling.load(Ordering::Acquire) > 0
            && self.sessions.lock().get(id).is_some_and(|flight| flight.is_doubtful)
    }
}

impl Call<'_> {
    /// The right to save the session, when the saves before this one have ended (F3).
    pub(super) async fn turn(&self) -> OwnedMutexGuard<()> {
        self.saves().lock_owned().await
    }

    /// The same, if no save is under way.
    pub(super) fn try_turn(&self) -> Option<OwnedMutexGuard<()>> {
        self.saves().try_lock_owned().ok()
    }

    fn saves(&self) -> Arc<Queue<()>> {
        self.with(|flight| flight.saves.clone())
    }

    /// Begins or ends a write: what other calls have read before is not to be put in any more (F1).
    pub(super) fn move_on(&mut self) {
        self.epoch = self.with(|flight| {
            flight.epoch += 1;
            flight.is_doubtful |= flight.settling > 0;
            flight.epoch
        });
    }

    /// Whether another call has written since this one began, or last moved on.
    pub(super) fn is_overtaken(&self) -> bool {
        self.with(|flight| flight.epoch) != self.epoch
    }

    /// Puts a copy in, unless a write has begun since this call did, and takes it out again if one
    /// begins meanwhile (F2).
    pub(super) fn settle(&self, put_in: impl FnOnce(), take_out: impl FnOnce()) {
        let is_in_time = self.with(|flight| {
            let is_in_time = flight.epoch == self.epoch;
            if is_in_time {
                flight.settling += 1;
                // Release: pairs with `is_doubtful`.
                self.flights.settling.fetch_add(1, Ordering::Release);
            }
            is_in_time
        });
        if !is_in_time {
            return;
        }
        put_in();
        if self.is_overtaken() {
            take_out();
        }
        self.with(|flight| {
            flight.settling -= 1;
            flight.is_doubtful &= flight.settling > 0;
        });
        // Release: the copy was taken out before.
        self.flights.settling.fetch_sub(1, Ordering::Release);
    }

    fn with<T>(&self, f: impl FnOnce(&mut Flight) -> T) -> T {
        let mut sessions = self.flights.sessions.lock();
        f(sessions.get_mut(&self.id).expect("the call is under way"))
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let mut sessions = self.flights.sessions.lock();
        let flight = sessions.get_mut(&self.id).expect("the call is under way");
        flight.calls -= 1;
        if flight.calls == 0 {
            sessions.remove(&self.id);
        }
    }
}
