//! One lock's worth of the cache: where index, ledger and garbage change together.
//!
//! ```text
//!   readers ──────────► index ◄──┐
//!                                │ writer
//!   lock ──► State { ledger, writer, garbage, counters }
//! ```
//!
//! M1. Under the lock, the ledger's tokens are exactly the index's entries, each entry knows its
//!     record's number, and `weight` is the sum of their weights.
//! M2. `inserted` = entries + garbage that waits + what drainers took; every unlinking is booked
//!     under one cause.
//! M3. No hold of the lock does more than [`BITE`] entries' work, `audit` and rebuilding the table
//!     apart. No user code runs under it.
//! M4. `look_ns` is at most the time at which something in here wants attention; whoever lowers it
//!     rings the alarm as soon as the lock is given back.
//! M5. What a shard has published in [`Bounds`] is what it says (V1, V2).
//! M6. A session keeps its record's number until it is unlinked, whatever replaces its value. So a walk
//!     in the order of numbers comes to each session that is in throughout exactly once.

mod audit;
mod bounds;
mod compare;
mod dispose;
mod drain;
mod evict;
mod fills;
mod hold;
mod reap;
mod turn;
mod walk;
mod write;

pub(crate) use bounds::Bounds;
pub(crate) use compare::Overtaken;
pub(crate) use dispose::{Detour, Disposal, Listener};
pub(crate) use drain::{Drained, Drainer};
pub(crate) use evict::Kept;
pub(crate) use hold::Hold;
pub(crate) use reap::Visit;
pub(crate) use turn::Turn;
pub(crate) use write::{Mode, NotPut, Outcome, Since, Snag};

use crate::budget::{Budget, Load};
use crate::index::{Index, Linked, OldTable, Unlinked, Writer};
use crate::ledger::{Ledger, RecordId};
use crate::platform::clock::{Clock, NEVER_NS};
use crate::platform::sync::{Arc, AtomicBool, AtomicU64, Bell, Mutex, MutexGuard};
use crate::reaper::Alarm;
use crate::removal::RemovalCause;
use crate::retire::Garbage;
use fills::Fills;
use turn::Claims;

pub(crate) struct Shard<K, V> {
    index: Index<K, V>,
    state: Mutex<State<K, V>>,
    /// Entries taken apart by drainers, and their weight. Written by whoever has the drainer's
    /// token.
    dropped: AtomicU64,
    dropped_weight: AtomicU64,
    /// Whether the last hold on an entry that waits for it was released, and no drainer has looked
    /// since.
    is_released: AtomicBool,
    /// Rings under `state` when a claim has ended.
    turn_ended: Bell,
    /// Which shard this is.
    number: usize,
}

/// Whether sessions may be put in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Gate {
    Open,
    /// Under some hashes there are claims, or fills under way.
    Watched,
    /// Never again.
    Closed,
}

struct State<K, V> {
    writer: Writer,
    ledger: Ledger<Linked<K, V>>,
    garbage: Garbage<K, V>,
    gate: Gate,
    claims: Claims,
    fills: Fills,
    weight: u64,
    inserted: u64,
    removals: [u64; RemovalCause::COUNT],
    /// When somebody should visit, as far as anybody has been told.
    look_ns: u64,
    /// Whether the reaper has found garbage here that a drainer has in hand (D2).
    is_drainer_awaited: bool,
    /// When to give back what a shrunken shard no longer needs.
    settle_ns: u64,
    /// The shard's own copy of what it has published of its deadlines.
    earliest_ns: u64,
}

/// What all shards of a cache share.
pub(crate) struct Shared<K, V> {
    pub(crate) clock: Clock,
    pub(crate) budget: Budget,
    pub(crate) disposal: Disposal<K, V>,
    pub(crate) resolution_ns: u64,
    /// How much garbage a shard gathers before writers help.
    pub(crate) batch_entries: usize,
    /// What weighs more counts as several entries there; where weights are bytes.
    pub(crate) heavy_weight: u64,
    /// What weighs more is looked at when it is retired: the same, or 0 where it is noted when sessions
    /// leave.
    pub(crate) heeded_weight: u64,
    pub(crate) bounds: Bounds,
    pub(crate) alarm: Arc<Alarm>,
}

/// What a call on a shard leaves its caller to do, once that holds no lock and no room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum After {
    Nothing,
    /// Help to free its garbage: a batch is full and sealed, or the reaper falls behind.
    Help,
}

impl<K, V> Shard<K, V> {
    pub(crate) fn new(
        number: usize,
        expected_entries: usize,
        resolution_ns: u64,
        keeps_recency: bool,
        has_listener: bool,
    ) -> Self {
        let (index, writer) = Index::new(expected_entries);
        Self {
            index,
            state: Mutex::new(State {
                writer,
                ledger: Ledger::new(resolution_ns, keeps_recency),
                garbage: Garbage::new(has_listener),
                gate: Gate::Open,
                claims: Claims::default(),
                fills: Fills::default(),
                weight: 0,
                inserted: 0,
                removals: [0; RemovalCause::COUNT],
                look_ns: NEVER_NS,
                is_drainer_awaited: false,
                settle_ns: NEVER_NS,
                earliest_ns: NEVER_NS,
            }),
            dropped: AtomicU64::new(0),
            dropped_weight: AtomicU64::new(0),
            is_released: AtomicBool::new(false),
            turn_ended: Bell::new(),
            number,
        }
    }

    /// For readers.
    #[inline]
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    #[inline]
    pub(crate) fn index(&self) -> &Index<K, V> {
        &self.index
    }

    /// Whether its lock is free at this moment.
    pub(crate) fn is_free(&self) -> bool {
        self.state.try_lock().is_some()
    }

    /// Takes the lock and remembers what has been told so far.
    fn open<'s>(&'s self, shared: &'s Shared<K, V>) -> Session<'s, K, V> {
        Session::over(self, shared, self.state.lock())
    }
}

impl<K, V> Shared<K, V> {
    /// Does what few caches want done when a session is retired.
    #[cold]
    fn heed(&self, garbage: &mut Garbage<K, V>, unlinked: &Unlinked<K, V>, now_ns: u64) {
        if unlinked.weight() > self.heavy_weight {
            garbage.surcharge(unlinked.weight() / self.heavy_weight);
        }
        if self.disposal.watch().is_some() {
            unlinked.note_time(now_ns);
        }
    }
}

/// One hold of a shard's lock.
struct Session<'s, K, V> {
    shard: &'s Shard<K, V>,
    shared: &'s Shared<K, V>,
    state: MutexGuard<'s, State<K, V>>,
    told_ns: u64,
}

impl<'s, K, V> Session<'s, K, V> {
    fn over(
        shard: &'s Shard<K, V>,
        shared: &'s Shared<K, V>,
        state: MutexGuard<'s, State<K, V>>,
    ) -> Self {
        let told_ns = state.look_ns;
        Self { shard, shared, state, told_ns }
    }

    fn look_by(&mut self, at_ns: u64) {
        self.state.look_ns = self.state.look_ns.min(at_ns);
    }

    /// Notes a deadline that was filed just now.
    fn note_deadline(&mut self, deadline_ns: u64) {
        if deadline_ns < self.state.earliest_ns {
            self.publish_earliest(deadline_ns);
            self.shared.bounds.note_lowered();
        }
    }

    fn publish_earliest(&mut self, earliest_ns: u64) {
        self.state.earliest_ns = earliest_ns;
        self.shared.bounds.publish_earliest(self.shard.number, earliest_ns);
    }

    /// Takes a killed entry out of index and ledger and retires it. The caller gives its room back, and
    /// has prefetched the entry's chunk if it can.
    fn unlink(&mut self, id: RecordId, cause: RemovalCause, now_ns: u64) -> Load {
        let state = &mut *self.state;
        let linked = state.ledger.remove(id);
        let load = Load { entries: 1, weight: linked.weight() };
        let unlinked = self.shard.index.unlink(&mut state.writer, linked, cause);
        self.retire(unlinked, cause, now_ns);
        self.settle_later(now_ns);
        load
    }

    /// Books a removal and adds the entry to the garbage.
    fn retire(&mut self, unlinked: Unlinked<K, V>, cause: RemovalCause, now_ns: u64) {
        let state = &mut *self.state;
        state.weight = state.weight.wrapping_sub(unlinked.weight());
        state.removals[cause.code()] += 1;
        if unlinked.weight() > self.shared.heeded_weight {
            self.shared.heed(&mut state.garbage, &unlinked, now_ns);
        }
        if state.garbage.push(unlinked, now_ns) {
            self.look_by(now_ns.saturating_add(self.shared.resolution_ns));
        }
    }

    fn retire_table(&mut self, table: Option<OldTable<K, V>>, now_ns: u64) {
        let Some(table) = table else { return };
        if self.state.garbage.push_table(table, now_ns) {
            self.look_by(now_ns.saturating_add(self.shared.resolution_ns));
        }
    }

    /// Sees to it that what a shrunken shard no longer needs goes back when it is quiet.
    fn settle_later(&mut self, now_ns: u64) {
        let state = &mut *self.state;
        if state.settle_ns == NEVER_NS
            && (self.shard.index.has_slack(&state.writer) || state.ledger.has_slack())
        {
            state.settle_ns = now_ns.saturating_add(SETTLE_NS);
            self.look_by(now_ns.saturating_add(SETTLE_NS));
        }
    }

    /// Ends the hold of the lock after an insertion. Insertions alone make no garbage, but what they
    /// put in expires: where the reaper falls behind, some of them help.
    fn close_put(self) -> After {
        let is_behind = self.state.garbage.sealed_len() >= MOST_SEALED * self.shared.batch_entries
            && self.state.inserted % HELPED_BY == 0;
        let after = self.close();
        if is_behind { After::Help } else { after }
    }

    /// Ends the hold of the lock, and rings the alarm if something wants attention sooner (M4).
    fn close(mut self) -> After {
        let is_full = self.state.garbage.open_load() >= self.shared.batch_entries;
        let has_full_batch = is_full && self.state.garbage.seal();
        let Self { shard, shared, state, told_ns } = self;
        let look_ns = state.look_ns;
        if look_ns < told_ns {
            let (bounds, number) = (&shared.bounds, shard.number);
            bounds.publish_look(number, look_ns.min(bounds.look_ns(number)));
        }
        drop(state);
        if look_ns < told_ns {
            shared.alarm.ring_by(look_ns);
        }
        if has_full_batch { After::Help } else { After::Nothing }
    }
}

/// How many full batches may wait before insertions help, too: one of so many.
const MOST_SEALED: usize = 8;
const HELPED_BY: u64 = 16;
/// How many waits for memory are made to overlap: about as many as a processor has under way.
const FETCHED: usize = 16;
/// As much work as one hold of the lock does.
pub(crate) const BITE: usize = 128;
/// A quarter of a second: tables are fitted when a fall is over, not at each step of it.
const SETTLE_NS: u64 = 250_000_000;

#[cfg(all(test, sundown_loom))]
mod loom_tests;
