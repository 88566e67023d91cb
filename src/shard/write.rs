//! What callers change: put, remove, lifetimes.

use super::compare::Overtaken;
use super::hold::Hold;
use super::{After, Gate, Session, Shard, Shared};
use crate::budget::{Load, Room};
use crate::error::Reason;
use crate::index::{Fresh, Held, Linked, Succession};
use crate::ledger::RecordId;
use crate::lifetime::Spans;
use crate::platform::clock::{MILLI_NS, NEVER_NS};
use crate::removal::RemovalCause;

/// On what condition a session is put in.
pub(crate) enum Mode<'a, K, V> {
    /// Whatever is there.
    Always,
    /// Only if the key has no live session.
    IfAbsent,
    /// Only if the key has a live session.
    IfPresent,
    /// Only if the key has no session, and there is room: as one that was in use before.
    Restored(&'a Since),
    /// Only if the fill of this number has not been superseded (J3).
    Fill(u64),
    /// Only if the key's session is this one, whose deadlines and last use it takes over.
    Update(&'a Held<K, V>),
}

/// When a session was last used that is restored, from which its lifetimes are measured.
pub(crate) struct Since {
    pub(crate) used_ns: u64,
    /// None that is restored was used before this.
    pub(crate) least_ns: u64,
}

// By hand: a derive would ask the same of `K` and `V`.
impl<K, V> Clone for Mode<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Mode<'_, K, V> {}

/// A session that was not put in, and why.
pub(crate) struct NotPut<K, V> {
    pub(crate) fresh: Fresh<K, V>,
    pub(crate) snag: Snag,
    /// Others may have been evicted for it.
    pub(crate) after: After,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Snag {
    /// It cannot be.
    Refused(Reason),
    /// It can be as soon as there is room. The session that it would replace is not to be evicted
    /// for it.
    NeedsRoom(Load, Option<RecordId>),
    /// The session to be updated is no longer the key's, or is over.
    Lost,
    /// The fill came too late.
    Superseded,
    /// Another call has a turn with the key (F1).
    Claimed,
    /// It has to be compared with entries that have come in just now.
    Overtaken,
}

/// What became of a session that was to be removed as it was judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    Removed,
    /// Its time was up.
    Over,
    /// It had been replaced or unlinked before.
    Lost,
}

/// The entry that is in the way of a new one.
struct Incumbent {
    id: RecordId,
    weight: u64,
}

impl<K: Eq, V> Shard<K, V> {
    /// Puts a session in, if `mode` allows it and `room` and the budget together have the room, or the
    /// shard can make some. One that `gives_way` is not put in under a hash that is claimed.
    pub(crate) fn put(
        &self,
        shared: &Shared<K, V>,
        fresh: Fresh<K, V>,
        spans: Spans,
        (mode, gives_way): (Mode<'_, K, V>, bool),
        room: &mut Room<'_>,
    ) -> Result<After, NotPut<K, V>> {
        let opened = match mode {
            // Linked or dead: it need not be found.
            Mode::Update(held) => {
                let session = self.open(shared);
                let id = (!held.is_dead()).then(|| held.record());
                Ok((session, id))
            }
            _ => self
                .open_at(shared, fresh.hash(), |key| key == fresh.key())
                .map(|(session, hold)| (session, hold.map(|hold| hold.record()))),
        };
        let Ok((mut session, id)) = opened else {
            return Err(NotPut { fresh, snag: Snag::Overtaken, after: After::Nothing });
        };
        let wanted = Load { entries: 1, weight: fresh.weight() };
        if id.is_none() && !shared.budget.has_room(wanted) {
            session.fetch_next_place();
        }
        let now_ns = shared.clock.exact_ns();
        let (snag, incumbent) = session.examine((fresh.hash(), id), (mode, gives_way), now_ns);
        if let Some(snag) = snag {
            return Err(NotPut { fresh, snag, after: After::Nothing });
        }
        let had = incumbent
            .as_ref()
            .map_or(Load::default(), |incumbent| Load { entries: 1, weight: incumbent.weight });
        let need = wanted.beyond(had);
        // Who is in the way could be the coldest, and is not to be evicted for its own heir.
        let may_evict = incumbent.is_none() && !matches!(mode, Mode::Restored(_));
        let is_covered =
            room.try_cover(need) || may_evict && session.evict_here(need, room, now_ns);
        if !is_covered {
            let snag = match mode {
                Mode::Restored(_) => Snag::Refused(Reason::Full),
                _ => Snag::NeedsRoom(need, incumbent.map(|incumbent| incumbent.id)),
            };
            return Err(NotPut { fresh, snag, after: session.close() });
        }
        match incumbent {
            None => session.link(fresh, spans, mode, now_ns),
            Some(incumbent) => {
                let replaced = session.replace(incumbent.id, fresh, spans, mode, now_ns);
                if let Err(fresh) = replaced {
                    let snag = Snag::Refused(Reason::Occupied);
                    return Err(NotPut { fresh, snag, after: After::Nothing });
                }
            }
        }
        room.spend(need);
        shared.budget.release(had.beyond(wanted));
        Ok(session.close_put())
    }
}

impl<K, V> Session<'_, K, V> {
    /// Judges the entry that is in the way of a new one, and what speaks against that.
    fn examine(
        &mut self,
        (hash, id): (u32, Option<RecordId>),
        (mode, gives_way): (Mode<'_, K, V>, bool),
        now_ns: u64,
    ) -> (Option<Snag>, Option<Incumbent>) {
        if self.state.gate != Gate::Open {
            if let Some(snag) = self.watch(hash, mode, gives_way) {
                return (Some(snag), None);
            }
        }
        let state = &*self.state;
        let entry = id.map(|id| state.ledger.get(id));
        let is_live = || entry.is_some_and(|entry| entry.judge().cause_at(now_ns).is_none());
        let snag = match mode {
            Mode::Restored(_) if id.is_some() => Some(Snag::Refused(Reason::Occupied)),
            Mode::IfAbsent if is_live() => Some(Snag::Refused(Reason::Occupied)),
            Mode::IfPresent if !is_live() => Some(Snag::Refused(Reason::Absent)),
            Mode::Update(_) if !is_live() => Some(Snag::Lost),
            Mode::Fill(number) if !state.has_fill(number) => Some(Snag::Superseded),
            _ => None,
        };
        let weigh = |(id, entry): (_, &Linked<K, V>)| Incumbent { id, weight: entry.weight() };
        (snag, id.zip(entry).map(weigh))
    }

    /// What speaks against a new session where the gate is not open; fills of its key come too late.
    #[cold]
    fn watch(&mut self, hash: u32, mode: Mode<'_, K, V>, gives_way: bool) -> Option<Snag> {
        let state = &mut *self.state;
        if state.gate == Gate::Closed {
            return Some(Snag::Refused(Reason::Closed));
        }
        if gives_way && state.is_claimed(hash) {
            return Some(Snag::Claimed);
        }
        let own = if let Mode::Fill(number) = mode { Some(number) } else { None };
        state.supersede_fills(hash, own);
        None
    }
}

impl<K, V> Session<'_, K, V> {
    fn link(&mut self, fresh: Fresh<K, V>, spans: Spans, mode: Mode<'_, K, V>, now_ns: u64) {
        let (begun_ns, least_ns) = match mode {
            Mode::Restored(&Since { used_ns, least_ns }) => (used_ns, least_ns.min(used_ns)),
            _ => (now_ns, now_ns),
        };
        fresh.begin(begun_ns, spans);
        let state = &mut *self.state;
        let (linked, old_table) = self.shard.index.link(&mut state.writer, fresh);
        state.inserted += 1;
        state.weight += linked.weight();
        let deadline_ns = spans.deadline_ns(begun_ns);
        let used_ms = (begun_ns / MILLI_NS, least_ns / MILLI_NS);
        let (id, look_ns) = state.ledger.insert_from(linked, deadline_ns, used_ms);
        state.ledger.get(id).set_record(id);
        self.look_by(look_ns);
        self.note_deadline(deadline_ns);
        self.retire_table(old_table, now_ns);
    }

    /// Puts a session in another one's place; hands it back if that is live after all and stays.
    fn replace(
        &mut self,
        id: RecordId,
        fresh: Fresh<K, V>,
        spans: Spans,
        mode: Mode<'_, K, V>,
        now_ns: u64,
    ) -> Result<(), Fresh<K, V>> {
        let succession = match mode {
            Mode::IfAbsent => Succession::IfDue,
            Mode::Update(_) => Succession::Inherit,
            Mode::Always | Mode::IfPresent | Mode::Fill(_) => Succession::Always,
            Mode::Restored(_) => unreachable!("it was refused: the key has a session"),
        };
        fresh.begin(now_ns, spans);
        let state = &mut *self.state;
        let token = state.ledger.get_mut(id);
        let (heir, due) =
            self.shard.index.supersede(&mut state.writer, token, fresh, succession, now_ns)?;
        heir.set_record(id);
        state.inserted += 1;
        // Wrapping: the old one's weight is still in, and goes below.
        state.weight = state.weight.wrapping_add(heir.weight());
        let old = core::mem::replace(token, heir);
        let deadline_ns = spans.deadline_ns(now_ns);
        // One that inherits has the old one's deadline.
        if succession != Succession::Inherit && deadline_ns < old.judge().deadline_ns() {
            let look_ns = state.ledger.refile(id, deadline_ns);
            self.look_by(look_ns);
            self.note_deadline(deadline_ns);
        }
        let cause = due.unwrap_or(RemovalCause::Replaced);
        self.retire(old.into_superseded(cause), cause, now_ns);
        Ok(())
    }

    /// Kills the entry of a record and takes it out; tells why it was over already, if it was.
    fn take_out(&mut self, id: RecordId, cause: RemovalCause) -> Option<RemovalCause> {
        let now_ns = self.shared.clock.exact_ns();
        let due = self.state.ledger.get(id).kill(now_ns);
        let load = self.unlink(id, due.unwrap_or(cause), now_ns);
        self.shared.budget.release(load);
        due
    }
}

impl<K, V> Shard<K, V> {
    /// Removes a key's session; gives a hold on it if it was live. What is due goes with its true
    /// cause.
    pub(crate) fn remove<'s>(
        &'s self,
        shared: &'s Shared<K, V>,
        hash: u32,
        same_key: impl Fn(&K) -> bool,
    ) -> Result<(Option<Hold<'s, K, V>>, After), Overtaken> {
        let (mut session, hold) = self.open_at(shared, hash, same_key)?;
        if session.state.gate != Gate::Open {
            session.state.supersede_fills(hash, None);
        }
        let Some(hold) = hold else { return Ok((None, session.close())) };
        let is_over = session.take_out(hold.record(), RemovalCause::Removed).is_some();
        let after = session.close();
        Ok(((!is_over).then_some(hold), after))
    }

    /// Removes a key's session if its time is up; false if it has a live one.
    pub(crate) fn remove_over(
        &self,
        shared: &Shared<K, V>,
        hash: u32,
        same_key: impl Fn(&K) -> bool,
    ) -> Result<(bool, After), Overtaken> {
        let (mut session, hold) = self.open_at(shared, hash, same_key)?;
        if session.state.gate != Gate::Open {
            session.state.supersede_fills(hash, None);
        }
        let Some(hold) = hold else { return Ok((true, session.close())) };
        let is_over = hold.judge().cause_at(shared.clock.exact_ns()).is_some();
        if is_over {
            let _due = session.take_out(hold.record(), RemovalCause::Removed);
        }
        let after = session.close();
        Ok((is_over, after))
    }

    /// Removes this very entry, and no other one of its key.
    pub(crate) fn remove_held(&self, shared: &Shared<K, V>, held: &Held<K, V>) -> (Outcome, After) {
        let mut session = self.open(shared);
        if session.state.gate != Gate::Open {
            session.state.supersede_fills(held.hash(), None);
        }
        let outcome = if held.is_dead() {
            Outcome::Lost
        } else if session.take_out(held.record(), RemovalCause::Removed).is_some() {
            Outcome::Over
        } else {
            Outcome::Removed
        };
        (outcome, session.close())
    }

    /// Measures a session's lifetimes anew from now; false if the key has no live one.
    pub(crate) fn set_lifetime(
        &self,
        shared: &Shared<K, V>,
        hash: u32,
        same_key: impl Fn(&K) -> bool,
        spans: Spans,
    ) -> Result<(bool, After), Overtaken> {
        let (mut session, hold) = self.open_at(shared, hash, same_key)?;
        let now_ns = shared.clock.exact_ns();
        let state = &mut *session.state;
        let Some(entry) = hold else { return Ok((false, session.close())) };
        let judgement = entry.judge();
        if judgement.cause_at(now_ns).is_some() {
            return Ok((false, session.close()));
        }
        entry.set_lifetime(spans, now_ns);
        let (id, deadline_ns) = (entry.record(), entry.judge().deadline_ns());
        if deadline_ns < judgement.deadline_ns() {
            let look_ns = state.ledger.refile(id, deadline_ns);
            session.look_by(look_ns);
            session.note_deadline(deadline_ns);
        }
        Ok((true, session.close()))
    }
}

const _: () = assert!(NEVER_NS == u64::MAX, "saturating sums come to never");
