//! What one key's session does, call by call: the model's rules, one key at a time.
//!
//! The model (`tests/common/model.rs`) says what each call answers. What it cannot say of one key
//! alone is said here:
//!
//! - **H1** A session that was evicted went at some instant inside an insertion, of whatever key,
//!   for which the cap had no room; one that was reaped, at some instant at which it was due. No
//!   caller made that step: it may be put anywhere it fits.
//! - **H2** A session has left before the listener is told of its end: no later call may need it.
//! - **H3** Each session ends for the cause that the listener was told, and a key's sessions end in
//!   the order in which it was told.
//! - **H4** Calls that change a key go by times that never go back: they read the clock under a lock.
//!   Reads go by any time between their beginning and their end, and so may leave a later last use
//!   behind than the call that comes next goes by. A last use never goes back.
//! - **H5** A walk shows a key that is in throughout, under whatever value. It shows no value twice, and
//!   a key again only if it was replaced or had left before.

use super::model::{Entrance, Limits, Model, Ms, NEVER, Session, Updated};
use super::record::{Call, End, What};
use std::collections::HashMap;
use sundown::{OnFull, Reason, RemovalCause};

/// A key's state between two calls.
#[derive(Clone, Debug)]
pub(crate) struct State {
    model: Model,
    /// When the listener was told of the last end so far (H3).
    told: u64,
}

/// What tells two states apart.
pub(crate) type Print = (Option<Session>, Ms, bool, u64);

/// What is known beside the calls on the key.
#[derive(Debug)]
pub(crate) struct Known<'h> {
    pub(crate) max_weight: Option<u64>,
    pub(crate) times_ms: &'h [Ms],
    /// By serial.
    pub(crate) ends: HashMap<u32, End>,
}

impl State {
    /// No session yet. The capacity is the whole cache's: see H1.
    pub(crate) fn new(limits: Limits) -> Self {
        let limits =
            Limits { max_entries: None, max_weight: None, on_full: OnFull::Evict, ..limits };
        Self { model: Model::new(limits), told: 0 }
    }

    pub(crate) fn print(&self) -> Print {
        (self.session().copied(), self.model.now, self.model.closed, self.told)
    }

    pub(crate) fn session(&self) -> Option<&Session> {
        self.model.coldest_first.first()
    }

    /// The states after a call that answered as it did; none if it could not have.
    pub(crate) fn after(&self, call: &Call, known: &Known<'_>) -> Vec<Self> {
        let outlived = self.session().and_then(|session| known.ends.get(&session.serial));
        if outlived.is_some_and(|end| end.told < call.invoked) {
            return Vec::new(); // H2
        }
        let reads = matches!(
            call.what,
            What::Look { .. }
                | What::Presence { .. }
                | What::Expiry(_)
                | What::Walk { shown: None | Some((_, false)) }
                | What::RemoveIf { is_removed: false, .. }
                | What::Update { result: Ok(false), .. }
        );
        let earliest_ms = if reads { call.from_ms } else { call.from_ms.max(self.model.now) };
        let times = known.times_ms.iter().filter(|&&ms| earliest_ms <= ms && ms <= call.to_ms);
        let mut states = Vec::new();
        for &now_ms in times {
            let mut next = self.clone();
            next.model.now = now_ms;
            let fits =
                if reads { next.has_read(call) } else { next.has_changed(call, known.max_weight) };
            if reads {
                next.model.now = self.model.now; // H4
            }
            if fits && next.settle_ends(known) {
                states.push(next);
            }
        }
        if let What::Walk { shown: Some((serial, true)) } = call.what {
            // Another call may have been faster at removing it.
            let seen = Call { what: What::Walk { shown: Some((serial, false)) }, ..call.clone() };
            states.extend(self.after(&seen, known));
        }
        states
    }

    fn has_read(&mut self, call: &Call) -> bool {
        let live = self.model.find(call.key).map(|session| session.serial);
        match call.what {
            What::Look { is_use, shown } => {
                if is_use {
                    self.model.touch(call.key);
                }
                shown == live
            }
            What::Presence { is_use, is_there } => {
                if is_use {
                    self.model.touch(call.key);
                }
                is_there == live.is_some()
            }
            What::Expiry(left) => {
                left == self.model.find(call.key).map(|session| match session.deadline() {
                    NEVER => NEVER,
                    deadline => deadline - self.model.now,
                })
            }
            What::Walk { shown } => shown.map(|(serial, _)| serial) == live,
            // The last that the closure said yes to was gone when it came to that.
            What::RemoveIf { seen, .. } => {
                seen.and_then(|(serial, is_doomed)| (!is_doomed).then_some(serial)) == live
            }
            What::Update { .. } => live.is_none(),
            _ => unreachable!("{call:?} is no read"),
        }
    }

    fn has_changed(&mut self, call: &Call, max_weight: Option<u64>) -> bool {
        let key = call.key;
        let live = self.model.find(key).map(|session| session.serial);
        match call.what {
            What::Offer { weight, refused: Some(Reason::TooHeavy), .. }
            | What::Update { weight, result: Err(Reason::TooHeavy), .. } => {
                max_weight.is_some_and(|most| weight > most)
            }
            // H1: whether the cap had no room is for the whole history to say.
            What::Offer { refused: Some(Reason::Full), .. }
            | What::Update { result: Err(Reason::Full), .. } => true,
            What::Offer { entrance, serial, span, refused, .. } => {
                let entrance = if self.model.closed { Entrance::Any } else { entrance };
                self.model.insert(entrance, (key, serial, 1), span).err() == refused
            }
            What::Update { result: Err(reason), .. } => {
                reason == Reason::Closed && self.model.closed
            }
            What::Update { serial, seen, .. } => {
                !self.model.closed
                    && seen == live
                    && self.model.update(key, serial, 1) == Updated::Yes
            }
            What::Remove(removed) => self.model.remove(key) == removed,
            What::Discard(is_removed) => self.model.remove(key).is_some() == is_removed,
            What::RemoveIf { seen, .. } => {
                seen.map(|(serial, _)| serial) == live && self.model.remove(key).is_some()
            }
            What::Walk { shown } => {
                shown.map(|(serial, _)| serial) == live && self.model.remove(key).is_some()
            }
            What::SetLifetime { span, is_set } => self.model.set_lifetime(key, span) == is_set,
            What::Clear => {
                self.model.clear(RemovalCause::Cleared);
                true
            }
            What::Bar => {
                self.model.closed = true;
                true
            }
            What::Close => {
                self.model.clear(RemovalCause::Closed);
                self.model.closed
            }
            _ => unreachable!("{call:?} changes nothing"),
        }
    }

    /// The state after a step that no caller made (H1): eviction, if some insertion `may_evict`, or
    /// reaping, if the clock did not stand before the deadline at the latest possible time.
    pub(crate) fn after_step_of_its_own(
        &self,
        latest_ms: Ms,
        may_evict: bool,
        known: &Known<'_>,
    ) -> Option<Self> {
        let session = self.session()?;
        let end = known.ends.get(&session.serial)?;
        let mut next = self.clone();
        match end.cause {
            RemovalCause::Evicted if may_evict => next.model.now = 0,
            RemovalCause::Expired | RemovalCause::Idle => {
                let due_ms = session.deadline();
                if due_ms > latest_ms.min(end.told_ms) {
                    return None;
                }
                next.model.now = due_ms;
            }
            _ => return None,
        }
        // The cause is told from the session alone: before its deadline it is what is said here.
        next.model.clear(RemovalCause::Evicted);
        next.model.now = next.model.now.max(self.model.now);
        next.settle_ends(known).then_some(next)
    }

    /// H3, for what has just ended.
    fn settle_ends(&mut self, known: &Known<'_>) -> bool {
        for (_, serial, cause) in std::mem::take(&mut self.model.events) {
            let Some(end) = known.ends.get(&serial) else { return false };
            if end.cause != cause || end.told <= self.told {
                return false;
            }
            self.told = end.told;
        }
        true
    }
}
