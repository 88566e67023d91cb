//! Garbage: unlinked entries and old tables that wait for their readers.
//!
//! `crossbeam-epoch` alone gives no bound: a deferred destructor sits in its thread's bag until that
//! thread happens to flush. So the collector owns nothing here. Garbage stays in batches that the
//! *cache* owns; all that is deferred is the note that a batch's ticket is ripe.
//!
//! ```text
//! unlink ──► open ──seal──► sealed ──ticket ripe──► taken: dropped, or handed to the listener
//!                                                  └─ held ──last hold released──► taken
//! ```
//!
//! R1. Entries are taken in the order in which they were unlinked, so events of one key come in the
//!     order of its removals. Only an entry that a closure holds stays behind, and with it, if there
//!     is a listener to tell the order to, later ones of the same key. What a drainer does not get
//!     to goes back to where it was taken from, before all that came later.
//! R2. At most one drainer at a time holds the token.
//! R3. Whatever is taken was unlinked before its ticket was taken, and the ticket is ripe; or no
//!     reader can exist any more.
//! R4. `pushed` entries were ever unlinked here: those in `open`, `sealed` and `held`, and `taken`.
//! R5. `sealed_len` is the number of entries in `sealed`.

mod ripe;

use std::collections::VecDeque;

use crate::error::{Broken, ensure};
use crate::index::{Chain, OldTable, Unlinked};
use crate::platform::sync::Ticket;
pub(crate) use ripe::{AT_ONCE, Ripe};

/// One shard's garbage; lives in its lock.
pub(crate) struct Garbage<K, V> {
    open: Batch<K, V>,
    /// How many entries more the open batch counts as, for its weight.
    open_surcharge: usize,
    sealed: VecDeque<(Ticket, Batch<K, V>)>,
    /// How many entries the sealed batches have.
    sealed_len: usize,
    held: Vec<Queue<K, V>>,
    /// Whether events of one key must come in order, because there is a listener.
    is_ordered: bool,
    /// Whether some thread has the drainer's token.
    is_draining: bool,
    /// When the oldest of what a drainer has in hand was unlinked.
    in_hand_since_ns: Option<u64>,
    pushed: u64,
    /// Wraps around, as does what is subtracted from it.
    pushed_weight: u64,
    taken: u64,
}

struct Batch<K, V> {
    entries: Chain<K, V>,
    tables: Vec<OldTable<K, V>>,
    since_ns: u64,
}

/// A held entry, and behind it those that must wait for it.
struct Queue<K, V> {
    hash: u32,
    since_ns: u64,
    entries: VecDeque<Unlinked<K, V>>,
}

/// Whether readers may still exist.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Readers {
    /// Wait for the tickets.
    Possible,
    /// The last handle is gone: nobody can be inside any more.
    Gone,
}

impl<K, V> Batch<K, V> {
    fn new() -> Self {
        Self { entries: Chain::new(), tables: Vec::new(), since_ns: 0 }
    }

    fn is_empty(&self) -> bool {
        self.entries.len() == 0 && self.tables.is_empty()
    }
}

impl<K, V> Garbage<K, V> {
    pub(crate) fn new(is_ordered: bool) -> Self {
        Self {
            open: Batch::new(),
            open_surcharge: 0,
            sealed: VecDeque::new(),
            sealed_len: 0,
            held: Vec::new(),
            is_ordered,
            is_draining: false,
            in_hand_since_ns: None,
            pushed: 0,
            pushed_weight: 0,
            taken: 0,
        }
    }

    /// Takes an unlinked entry; true if it is the first in an empty batch, so that somebody must be
    /// told to come.
    pub(crate) fn push(&mut self, unlinked: Unlinked<K, V>, now_ns: u64) -> bool {
        let is_first = self.note_time(now_ns);
        self.pushed += 1;
        self.pushed_weight = self.pushed_weight.wrapping_add(unlinked.weight());
        self.open.entries.push(unlinked);
        is_first
    }

    /// Takes a table that was replaced; like [`push`](Self::push).
    pub(crate) fn push_table(&mut self, table: OldTable<K, V>, now_ns: u64) -> bool {
        let is_first = self.note_time(now_ns);
        self.open.tables.push(table);
        is_first
    }

    fn note_time(&mut self, now_ns: u64) -> bool {
        let is_first = self.open.is_empty();
        if is_first {
            self.open.since_ns = now_ns;
        }
        is_first
    }

    /// Has the open batch count as so many entries more: one in it is heavy.
    pub(crate) fn surcharge(&mut self, entries: u64) {
        let entries = usize::try_from(entries).unwrap_or(usize::MAX / 2);
        self.open_surcharge = self.open_surcharge.saturating_add(entries).min(usize::MAX / 2);
    }

    /// How many entries wait in the open batch, and how many more they count as.
    pub(crate) fn open_load(&self) -> usize {
        self.open.entries.len() + self.open_surcharge
    }

    /// Closes the open batch, so that the next ticket deferred covers it. False if it is empty.
    pub(crate) fn seal(&mut self) -> bool {
        if self.open.is_empty() {
            return false;
        }
        let batch = core::mem::replace(&mut self.open, Batch::new());
        self.open_surcharge = 0;
        self.sealed_len += batch.entries.len();
        self.sealed.push_back((Ticket::take(), batch));
        true
    }

    /// How many entries wait for a ticket or a drainer.
    pub(crate) fn sealed_len(&self) -> usize {
        self.sealed_len
    }

    /// Whether anything waits, other than for closures.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.open.is_empty() || !self.sealed.is_empty()
    }

    /// Whether something waits for a ticket or a drainer.
    pub(crate) fn needs_draining(&self) -> bool {
        !self.sealed.is_empty()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining
    }

    /// Takes the drainer's token (R2).
    pub(crate) fn try_start_draining(&mut self) -> bool {
        !core::mem::replace(&mut self.is_draining, true)
    }

    /// Takes entries that nobody reads any more, going through `limit` at most; `None`, and the
    /// token goes back, if there are none. Those that must wait behind a held one may be all that
    /// it went through; then what it gives is empty.
    pub(crate) fn take_ripe(&mut self, limit: usize, readers: Readers) -> Option<Ripe<K, V>> {
        debug_assert!(self.is_draining, "R2: only the drainer takes");
        let mut ripe = Ripe::none(self.is_ordered);
        self.take_released(&mut ripe, limit);
        let mut queued = 0;
        while ripe.len() + queued < limit {
            let Some((ticket, batch)) = self.sealed.front_mut() else { break };
            if readers == Readers::Possible && !ticket.is_ripe() {
                break;
            }
            ripe.tables.append(&mut batch.tables);
            ripe.since_ns = ripe.since_ns.min(batch.since_ns);
            let has_queues = self.is_ordered && !self.held.is_empty();
            if !has_queues && ripe.len() + batch.entries.len() <= limit {
                // Nobody looks at the entries under the lock: each would be a cache miss.
                self.taken += batch.entries.len() as u64;
                self.sealed_len -= batch.entries.len();
                ripe.entries.append(&mut batch.entries);
            }
            while ripe.len() + queued < limit {
                let Some(unlinked) = batch.entries.pop() else { break };
                self.sealed_len -= 1;
                let queue_of = |queue: &&mut Queue<K, V>| queue.hash == unlinked.hash();
                let behind = self.is_ordered.then(|| self.held.iter_mut().find(queue_of));
                match behind.flatten() {
                    Some(queue) => {
                        queue.entries.push_back(unlinked);
                        queued += 1;
                    }
                    None => {
                        ripe.entries.push(unlinked);
                        self.taken += 1;
                    }
                }
            }
            if batch.entries.len() == 0 {
                self.sealed.pop_front();
            }
        }
        if ripe.is_empty() && queued == 0 {
            self.is_draining = false;
            if self.sealed.is_empty() {
                self.sealed = VecDeque::new();
            }
            return None;
        }
        self.in_hand_since_ns = Some(ripe.since_ns);
        Some(ripe)
    }

    /// Moves what closures have let go of into `ripe`.
    fn take_released(&mut self, ripe: &mut Ripe<K, V>, limit: usize) {
        let taken = &mut self.taken;
        self.held.retain_mut(|queue| {
            while ripe.len() < limit {
                // Asking marks the front, so that its last hold reports itself.
                if !queue.entries.front().is_some_and(Unlinked::is_free) {
                    break;
                }
                ripe.free.extend(queue.entries.pop_front());
                ripe.since_ns = ripe.since_ns.min(queue.since_ns);
                *taken += 1;
            }
            !queue.entries.is_empty()
        });
    }

    /// Takes back what a drainer found held, and what it did not get to. Its token comes back as
    /// well.
    pub(crate) fn put_back(&mut self, mut ripe: Ripe<K, V>) {
        debug_assert!(self.is_draining && ripe.tables.is_empty(), "R2: a drainer had it");
        (self.is_draining, self.in_hand_since_ns) = (false, None);
        self.taken -= (ripe.len() + ripe.stuck.len()) as u64;
        // What is left of those that were held goes back in front of those that waited behind them.
        while let Some(unlinked) = ripe.free.pop_back() {
            self.queue_for(&unlinked, ripe.since_ns).push_front(unlinked);
        }
        for unlinked in ripe.stuck {
            self.queue_for(&unlinked, ripe.since_ns).push_back(unlinked);
        }
        if ripe.entries.len() > 0 {
            self.sealed_len += ripe.entries.len();
            let batch =
                Batch { entries: ripe.entries, tables: Vec::new(), since_ns: ripe.since_ns };
            self.sealed.push_front((Ticket::RIPE, batch));
        }
    }

    /// Where a held entry waits, or who waited behind it: with a listener, its key's queue.
    fn queue_for(
        &mut self,
        unlinked: &Unlinked<K, V>,
        since_ns: u64,
    ) -> &mut VecDeque<Unlinked<K, V>> {
        let hash = unlinked.hash();
        let queue_of = |queue: &Queue<K, V>| queue.hash == hash;
        let known = self.is_ordered.then(|| self.held.iter().position(queue_of));
        let place = known.flatten().unwrap_or_else(|| {
            let entries = VecDeque::with_capacity(1);
            self.held.push(Queue { hash, since_ns, entries });
            self.held.len() - 1
        });
        &mut self.held[place].entries
    }

    /// Entries ever unlinked here, and their weight.
    pub(crate) fn pushed(&self) -> (u64, u64) {
        (self.pushed, self.pushed_weight)
    }

    /// When the oldest of what waits for its ticket or a drainer was unlinked.
    pub(crate) fn waiting_since_ns(&self) -> Option<u64> {
        let sealed = self.sealed.front().map(|(_, batch)| batch.since_ns);
        sealed.or_else(|| (!self.open.is_empty()).then_some(self.open.since_ns))
    }

    /// When the oldest of what waits here was unlinked, for closures and what a drainer has in hand
    /// included.
    pub(crate) fn oldest_ns(&self) -> Option<u64> {
        let held = self.held.iter().map(|queue| queue.since_ns).min();
        [self.waiting_since_ns(), held, self.in_hand_since_ns].into_iter().flatten().min()
    }

    /// How many closures are known to keep an entry from being freed, and whether a drainer has some in
    /// hand.
    #[allow(dead_code, reason = "for the checks of users' tests, which are a feature")]
    pub(crate) fn held_up(&self) -> (usize, bool) {
        (self.held.len(), self.in_hand_since_ns.is_some())
    }

    /// Gives back what growth has left behind.
    pub(crate) fn trim(&mut self) {
        self.held.shrink_to_fit();
    }

    pub(crate) fn bytes(&self) -> usize {
        let batches = self.sealed.iter().map(|(_, batch)| batch).chain([&self.open]);
        let tables = batches.flat_map(|batch| &batch.tables).map(OldTable::bytes).sum::<usize>();
        self.sealed.capacity() * size_of::<(Ticket, Batch<K, V>)>()
            + self.held.capacity() * size_of::<Queue<K, V>>()
            + tables
    }

    /// Checks R4, given how many of those taken have been `dropped`; counts those that have not.
    pub(crate) fn check(&self, dropped: u64) -> Result<u64, Broken> {
        let sealed: usize = self.sealed.iter().map(|(_, batch)| batch.entries.len()).sum();
        ensure!("R5", sealed == self.sealed_len, "{sealed} sealed, counted {}", self.sealed_len);
        let held: usize = self.held.iter().map(|queue| queue.entries.len()).sum();
        let waiting = (self.open.entries.len() + sealed + held) as u64;
        let sum = waiting + self.taken;
        ensure!("R4", sum == self.pushed, "{waiting} wait, {} taken, {}", self.taken, self.pushed);
        ensure!("R4", dropped <= self.taken, "{dropped} dropped of {} taken", self.taken);
        ensure!("R2", self.is_draining || dropped == self.taken, "taken, but nobody drains");
        Ok(waiting + self.taken - dropped)
    }
}

#[cfg(all(test, sundown_loom))]
mod loom_tests;
#[cfg(all(test, not(sundown_loom)))]
mod tests;
