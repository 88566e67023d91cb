//! Who is in, and who leaves next: the bookkeeping of one shard, safe and without threads.
//!
//! Each session has a *record*: a token that stands for its entry, and a place in two wheels. One
//! wheel turns by deadline, the other by last use. Both are lazy. A touch writes only the entry; the
//! ledger learns of it when a wheel comes to the record, asks the entry for its true key and files
//! it again if that lies later. So a sliding deadline costs a read nothing, and least-recently-used
//! order needs no list that every read must lock.
//!
//! L1. Every record is filed by last use, if the ledger keeps recency at all.
//! L2. Every record whose session has a deadline is filed by deadline.
//! L3. A record is filed under a key that is at most its true one: found early, never late.
//! L4. `next_look_ns` is at most the tick at which the earliest deadline wants reaping.

#[cfg(all(test, not(sundown_loom)))]
mod eviction_tests;
#[cfg(all(any(test, fuzzing), not(sundown_loom)))]
pub(crate) mod history;
mod slab;
#[cfg(all(test, not(sundown_loom)))]
mod tests;
mod wheel;

use crate::error::{Broken, ensure};
use crate::platform::clock::NEVER_NS;
pub(crate) use slab::RecordId;
use slab::{Fit, Record, Slab};
use wheel::Wheel;

#[derive(Debug)]
pub(crate) struct Ledger<T> {
    slab: Slab<T>,
    deadlines: Wheel<DEADLINE>,
    recency: Option<Wheel<RECENCY>>,
}

/// What a search for the least recently used session came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Coldest {
    /// Nobody is in.
    Empty,
    /// This one, last used in this millisecond; nobody's last use is earlier.
    Found(RecordId, u64),
    /// The bite is used up; this is the coldest that it came across.
    Unsettled(RecordId, u64),
}

impl<T> Ledger<T> {
    pub(crate) fn new(resolution_ns: u64, keeps_recency: bool) -> Self {
        Self {
            slab: Slab::new(),
            deadlines: Wheel::new(resolution_ns, LEAD_NS.div_ceil(resolution_ns)),
            recency: keeps_recency.then(|| Wheel::new(1, 0)),
        }
    }

    /// What each session takes here, in a ledger that is well filled.
    pub(crate) const fn bytes_per_session() -> usize {
        Slab::<T>::record_bytes()
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    /// Takes a session in that is used now.
    #[cfg(all(any(test, fuzzing), not(sundown_loom)))]
    pub(crate) fn insert(&mut self, token: T, deadline_ns: u64, used_ms: u64) -> (RecordId, u64) {
        self.insert_from(token, deadline_ns, (used_ms, used_ms))
    }

    /// Takes a session in; tells when somebody should look at the deadlines, [`NEVER_NS`] if this
    /// one asks for nothing. None that comes after it was used before `least_ms` (L3). Constant time.
    pub(crate) fn insert_from(
        &mut self,
        token: T,
        deadline_ns: u64,
        (used_ms, least_ms): (u64, u64),
    ) -> (RecordId, u64) {
        let is_first = self.slab.len() == 0;
        let id = self.slab.insert(token);
        if let Some(recency) = &mut self.recency {
            if is_first {
                recency.begin_at(least_ms);
            }
            recency.file(&mut self.slab, id, used_ms);
        }
        (id, self.file_deadline(id, deadline_ns))
    }

    /// Files a record under a deadline anew, wherever it was; tells like
    /// [`insert_from`](Self::insert_from).
    pub(crate) fn refile(&mut self, id: RecordId, deadline_ns: u64) -> u64 {
        self.deadlines.unfile(&mut self.slab, id);
        self.file_deadline(id, deadline_ns)
    }

    fn file_deadline(&mut self, id: RecordId, deadline_ns: u64) -> u64 {
        if deadline_ns == NEVER_NS {
            return NEVER_NS;
        }
        self.deadlines.file_and_look(&mut self.slab, id, deadline_ns)
    }

    /// A record's session, for another one to take its place.
    ///
    /// The new one's last use must not lie before the old one's (L3). If its deadline may, the
    /// caller refiles it.
    pub(crate) fn get_mut(&mut self, id: RecordId) -> &mut T {
        &mut self.slab.get_mut(id).token
    }

    /// Lets a session go. Constant time.
    pub(crate) fn remove(&mut self, id: RecordId) -> T {
        let Record { token, links } = self.slab.remove(id);
        self.deadlines.forget(&mut self.slab, links);
        if let Some(recency) = &mut self.recency {
            recency.forget(&mut self.slab, links);
        }
        token
    }

    pub(crate) fn get(&self, id: RecordId) -> &T {
        &self.slab.get(id).token
    }

    pub(crate) fn contains(&self, id: RecordId) -> bool {
        self.slab.next_from(id.raw()).is_some_and(|(at, _)| at == id)
    }

    /// Keeps a session from being found by [`coldest`](Self::coldest), until it is shown again
    /// under the same lock (L1).
    pub(crate) fn hide_from_eviction(&mut self, id: RecordId) {
        if let Some(recency) = &mut self.recency {
            recency.unfile(&mut self.slab, id);
        }
    }

    pub(crate) fn show_to_eviction(&mut self, id: RecordId, used_ms: impl Fn(&T) -> u64) {
        let Some(recency) = &mut self.recency else { return };
        let key_ms = used_ms(&self.slab.get(id).token);
        if key_ms < recency.elapsed() {
            // The wheel has gone on without it: it is in front of all that are filed.
            recency.file_in_front(&mut self.slab, id, key_ms, used_ms);
        } else {
            recency.file(&mut self.slab, id, key_ms);
        }
    }

    /// The first session at or after record number `from`.
    pub(crate) fn next_from(&self, from: u32) -> Option<(RecordId, &T)> {
        self.slab.next_from(from)
    }

    /// Moves the deadline wheel to `now_ns`: what is due by whole ticks comes up in
    /// [`next_due`](Self::next_due), with `exact` also what may be due within the current tick.
    pub(crate) fn advance(&mut self, now_ns: u64, exact: bool) {
        self.deadlines.advance(&mut self.slab, now_ns, exact);
    }

    /// The next record to be looked at: reap it if it is due, else refile it.
    pub(crate) fn next_due(&self) -> Option<RecordId> {
        self.deadlines.next_in_backlog()
    }

    /// The sessions that [`next_due`](Self::next_due) comes to as long as nothing more urgent turns
    /// up.
    pub(crate) fn due(&self) -> impl Iterator<Item = &T> {
        Wheel::<DEADLINE>::from_record(&self.slab, self.deadlines.next_in_backlog())
    }

    /// Whether something is waiting in [`next_due`](Self::next_due) that was filed under a tick that
    /// has passed, not only what is refiled ahead of its time.
    pub(crate) fn is_due_waiting(&self) -> bool {
        self.deadlines.has_lowest_backlog()
    }

    /// When somebody should look at the deadlines again: 0 for at once, [`NEVER_NS`] for never.
    pub(crate) fn next_look_ns(&self) -> u64 {
        self.deadlines.next_look()
    }

    /// A lower bound of all deadlines.
    pub(crate) fn earliest_ns(&self) -> u64 {
        self.deadlines.lower_bound()
    }

    /// Looks for the least recently used session, at no more than `bite` records.
    ///
    /// `used_ms` tells a session's true last use.
    pub(crate) fn coldest(&mut self, bite: &mut usize, used_ms: impl Fn(&T) -> u64) -> Coldest {
        let Some(recency) = &mut self.recency else { return Coldest::Empty };
        let slab = &mut self.slab;
        let mut best: Option<(RecordId, u64)> = None;
        while let Some((id, is_first)) = recency.next_in_order(slab) {
            let key_ms = used_ms(&slab.get(id).token);
            if is_first && key_ms <= recency.elapsed() {
                self.settle_ahead(used_ms);
                return Coldest::Found(id, key_ms);
            }
            if let (0, Some((id, key_ms))) = (*bite, best) {
                return Coldest::Unsettled(id, key_ms);
            }
            *bite = bite.saturating_sub(1);
            recency.unfile(slab, id);
            recency.file(slab, id, key_ms);
            if best.is_none_or(|(_, least_ms)| key_ms < least_ms) {
                best = Some((id, key_ms));
            }
        }
        Coldest::Empty
    }

    /// The sessions that a search for the coldest will ask about, as far as that is known.
    pub(crate) fn next_coldest(&self) -> impl Iterator<Item = &T> {
        let first = self.recency.as_ref().and_then(Wheel::first_of_tick);
        Wheel::<RECENCY>::from_record(&self.slab, first).chain(self.next_settled())
    }

    /// Those that will be refiled ahead of their turn once the coldest is found.
    pub(crate) fn next_settled(&self) -> impl Iterator<Item = &T> {
        let first = self.recency.as_ref().and_then(Wheel::next_in_backlog);
        Wheel::<RECENCY>::from_record(&self.slab, first)
    }

    /// Refiles a few of those whose turn comes soon. At least as many for each eviction as come up
    /// for each in the long run, so that no eviction finds a whole slot to refile.
    fn settle_ahead(&mut self, used_ms: impl Fn(&T) -> u64) {
        let Some(recency) = &mut self.recency else { return };
        recency.set_aside_ahead(&mut self.slab);
        for _ in 0..AHEAD_RECORDS {
            let Some(id) = recency.next_in_backlog() else { return };
            let key_ms = used_ms(&self.slab.get(id).token);
            recency.unfile(&mut self.slab, id);
            recency.file(&mut self.slab, id, key_ms);
        }
    }

    /// A lower bound of all last uses, in milliseconds.
    pub(crate) fn coldest_bound_ms(&self) -> u64 {
        self.recency.as_ref().map_or(u64::MAX, Wheel::lower_bound)
    }

    /// Whether [`trim`](Self::trim) would give something back.
    pub(crate) fn has_slack(&self) -> bool {
        let fit = self.fit();
        self.slab.has_slack()
            || self.deadlines.has_slack(fit)
            || self.recency.as_ref().is_some_and(|recency| recency.has_slack(fit))
    }

    /// Gives back what growth has left behind; an empty ledger then holds no page and no level.
    pub(crate) fn trim(&mut self) {
        let fit = self.fit();
        self.slab.trim(fit);
        self.deadlines.trim(fit);
        if let Some(recency) = &mut self.recency {
            recency.trim(fit);
        }
    }

    fn fit(&self) -> Fit {
        if self.len() < MANY_RECORDS { Fit::Exact } else { Fit::Loose }
    }

    pub(crate) fn bytes(&self) -> usize {
        let recency_bytes = self.recency.as_ref().map_or(0, Wheel::bytes);
        self.slab.bytes() + self.deadlines.bytes() + recency_bytes
    }

    /// Checks every invariant of ledger, slab and wheels; `deadline_ns` and `used_ms` tell a
    /// session's true keys.
    pub(crate) fn check(
        &self,
        deadline_ns: impl Fn(&T) -> u64,
        used_ms: impl Fn(&T) -> u64,
    ) -> Result<(), Broken> {
        self.slab.check()?;
        self.deadlines.check(&self.slab, &deadline_ns)?;
        if let Some(recency) = &self.recency {
            let filed = recency.check(&self.slab, used_ms)?;
            ensure!("L1", filed == self.len(), "{filed} of {} filed by last use", self.len());
        }
        let look_ns = self.next_look_ns();
        let mut from = 0;
        while let Some((id, token)) = self.next_from(from) {
            let deadline_ns = deadline_ns(token);
            let filed = Wheel::<DEADLINE>::is_filed(&self.slab, id);
            ensure!("L2", filed || deadline_ns == NEVER_NS, "{id:?} is due but not filed");
            let tick_ns = self.deadlines.tick_end(deadline_ns);
            ensure!("L4", look_ns <= tick_ns, "looks at {look_ns}, but {id:?} is due at {tick_ns}");
            from = id.raw() + 1;
        }
        Ok(())
    }
}

/// The links of the wheel that turns by deadline.
const DEADLINE: usize = 0;
/// The links of the wheel that turns by last use.
const RECENCY: usize = 1;
/// How many records are refiled ahead of their turn for each that is found: a record comes down
/// through up to three levels on its way to being evicted.
pub(crate) const AHEAD_RECORDS: usize = 4;
/// From here on a loose fit will do: what it leaves unused is under a twentieth of what so many
/// records and their entries take.
const MANY_RECORDS: usize = 4_096;
/// Ten seconds: how long before its first deadline an upper slot is emptied. Ten million records
/// took about 3 s to refile on two slow cores.
const LEAD_NS: u64 = 10_000_000_000;
