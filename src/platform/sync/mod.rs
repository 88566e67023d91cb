//! The only door to atomics, locks, threads, epochs and the model checker.
//!
//! There are three sides, which offer the same names:
//!
//! - the machine, which is what a release build runs on;
//! - loom, by `--cfg sundown_loom`; together with `--cfg crossbeam_loom` the real `crossbeam-epoch`
//!   then runs under it too. It tries every interleaving and every ordering of a small model;
//! - shuttle, by `--cfg sundown_shuttle`. It tries random interleavings of the whole cache with as
//!   many threads as one likes, but knows sequential consistency only; `crossbeam-epoch` runs under
//!   it in steps that nobody can interrupt.
//!
//! # Epochs
//!
//! The process has one collector of our own, shared by all caches, apart from crossbeam's default
//! one: a guard that some other crate forgets must not keep our sessions. A [`Pin`] never leaves
//! the crate, and no user code but `Eq` and `V::clone` runs under one. The collector owns no entry:
//! all that is ever deferred to it is the note that a *ticket* is ripe.
//!
//! E1. A ticket is *ripe* once every pin that was held when the ticket was taken has ended, and
//!     with it every smaller ticket is ripe.
//! E2. Whoever sees a ticket ripe sees everything that those pins did.

pub(crate) use imp::*;
// Set once and read without waiting; the model checkers need not know of it.
pub(crate) use std::sync::OnceLock;

use core::cell::Cell;
use core::marker::PhantomData;

use crossbeam_epoch::{Collector, Guard, LocalHandle};

use crate::platform::stripe::{Claim, Stripe};

#[cfg(all(sundown_loom, not(crossbeam_loom)))]
compile_error!("--cfg sundown_loom without --cfg crossbeam_loom reports false violations");
#[cfg(all(sundown_loom, sundown_shuttle))]
compile_error!("--cfg sundown_loom and --cfg sundown_shuttle exclude each other");

#[cfg(not(any(sundown_loom, sundown_shuttle)))]
mod machine;
#[cfg(not(any(sundown_loom, sundown_shuttle)))]
use machine as imp;

#[cfg(sundown_loom)]
mod under_loom;
#[cfg(sundown_loom)]
use under_loom as imp;

#[cfg(sundown_shuttle)]
mod under_shuttle;
#[cfg(sundown_shuttle)]
use under_shuttle as imp;

/// The one collector, and the tickets that it makes ripe.
struct Domain {
    collector: Collector,
    issued: AtomicU64,
    /// The greatest ticket that a note was deferred for.
    deferred: AtomicU64,
    /// Notes deferred so far.
    notes: AtomicU64,
    /// How many memberships have ended. Whoever comes across one is left with its 2 KB.
    ended: AtomicU64,
    /// Shared with the notes, some of which may outlive all else.
    ripe: Arc<Ripe>,
}

#[derive(Default)]
struct Ripe {
    /// The greatest ticket that is ripe.
    ticket: AtomicU64,
    /// Notes that have come due so far.
    notes: AtomicU64,
}

impl Ripe {
    fn raise(&self, ticket: Ticket) {
        // AcqRel: pairs with the Acquire in is_ripe (E2), also by way of later notes.
        #[cfg(not(sundown_tsan))]
        self.ticket.fetch_max(ticket.0, Ordering::AcqRel);
        // ThreadSanitizer does not see a maximum. A note that comes after that of a later ticket has
        // nothing to say: it is covered (E1).
        #[cfg(sundown_tsan)]
        let _covered = self.ticket.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |ripe| {
            (ripe < ticket.0).then_some(ticket.0)
        });
    }
}

impl Domain {
    fn new() -> Self {
        Self {
            collector: Collector::new(),
            issued: AtomicU64::new(0),
            deferred: AtomicU64::new(0),
            notes: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            ripe: Arc::new(Ripe::default()),
        }
    }
}

/// A thread's membership of the domain.
struct Member {
    handle: LocalHandle,
    claim: Claim,
    /// The caches whose garbage this thread is getting rid of, one inside the other; 0 for none.
    draining: Cell<[usize; MOST_NESTED]>,
    /// How many turns this thread has, or stands in line for.
    turns: Cell<u32>,
    /// Outermost pins so far, as crossbeam counts them too.
    pins: Cell<u32>,
    /// How many of the collector's queue nodes this thread has emptied since it last flushed.
    emptied: Cell<u32>,
    /// How many memberships had ended when it last looked.
    ended: Cell<u64>,
}

impl Member {
    fn join() -> Self {
        Self {
            handle: domain().collector.register(),
            claim: Claim::take(),
            draining: Cell::new([0; MOST_NESTED]),
            turns: Cell::new(0),
            pins: Cell::new(0),
            emptied: Cell::new(0),
            ended: Cell::new(0),
        }
    }

    #[inline(always)]
    fn pin(&self) -> Pin {
        let is_outermost = !self.handle.is_pinned();
        let guard = self.handle.pin();
        if is_outermost {
            let pins = self.pins.get();
            self.pins.set(pins.wrapping_add(1));
            if pins % PINS_PER_COLLECTION == 0 {
                self.tidy(&guard);
            }
        }
        Pin { guard, stripe: self.claim.stripe(), not_send: PhantomData }
    }

    /// Flushes if much has come together in this thread's bag.
    #[cold]
    fn tidy(&self, guard: &Guard) {
        // Relaxed: a hint; what it misses now it finds the next time.
        let ended = domain().ended.load(Ordering::Relaxed);
        if self.ended.replace(ended) != ended || self.emptied.get() >= MOST_EMPTIED {
            self.flush(guard);
        }
    }

    /// Gives the collector what waits in this thread's bag, in a node of 2 KB that is allocated for
    /// it, and runs the notes that have come due.
    #[cold]
    fn flush(&self, guard: &Guard) {
        if self.emptied.replace(0) > 0 {
            guard.defer(note_emptied);
        }
        guard.flush();
    }
}

// Under a model checker threads end where there is no collector any more.
#[cfg(not(any(sundown_loom, sundown_shuttle)))]
impl Drop for Member {
    fn drop(&mut self) {
        // Relaxed: see `tidy`.
        domain().ended.fetch_add(1, Ordering::Relaxed);
        // Goes into the last bag, which is given to the collector with the handle.
        self.handle.pin().defer(note_emptied);
    }
}

/// Runs where a bag is taken from the collector's queue: each holds one such note, or a ticket's.
fn note_emptied() {
    // Nor a thread where notes run: there all flush.
    #[cfg(not(any(sundown_loom, sundown_shuttle)))]
    with_member(|member| member.emptied.set(member.emptied.get() + 1));
}

/// The pin of a thread whose membership has ended before the thread itself. It has a new one for as
/// long as the pin lasts, but no stripe of its own: that goes back at once.
#[cold]
fn pin_anyway() -> Pin {
    Pin { stripe: Stripe::SHARED, ..Member::join().pin() }
}

/// Keeps every entry that its holder can reach from being freed.
pub(crate) struct Pin {
    guard: Guard,
    stripe: Stripe,
    /// A pin belongs to the thread that took it.
    not_send: PhantomData<*mut ()>,
}

/// Pins the current thread: 6 ns, no lock, no waiting.
#[inline]
pub(crate) fn pin() -> Pin {
    with_member(Member::pin).unwrap_or_else(pin_anyway)
}

/// Whether the current thread is inside a pin, which it must not wait for.
pub(crate) fn is_pinned() -> bool {
    with_member(|member| member.handle.is_pinned()).unwrap_or(true)
}

impl Pin {
    /// The stripe that the current thread counts on.
    #[inline]
    pub(crate) fn stripe(&self) -> Stripe {
        self.stripe
    }
}

/// A place in the order of grace periods (E1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Ticket(u64);

impl Ticket {
    /// One that has been ripe since the beginning.
    pub(crate) const RIPE: Self = Self(0);

    /// Takes the next ticket. It turns ripe only if it, or a later one, is deferred.
    pub(crate) fn take() -> Self {
        // AcqRel: a later ticket is taken after whatever was unlinked before an earlier one, so
        // that its grace covers both (E1).
        Self(domain().issued.fetch_add(1, Ordering::AcqRel) + 1)
    }

    /// Has the collector note when all tickets taken so far are ripe. The note waits in this
    /// thread's bag until it next turns the epoch, which whoever defers one has to do.
    ///
    /// Does nothing if that is under way, or if [`MOST_NOTES`] are: a note takes 2 KB, and while a
    /// reader is stuck none comes due. Whoever waits for a ticket calls again.
    pub(crate) fn defer() {
        let domain = domain();
        // Relaxed, all four: a note too many or, until the next call, too few. The caller's own
        // tickets are before it in program order.
        let is_covered =
            domain.deferred.load(Ordering::Relaxed) >= domain.issued.load(Ordering::Relaxed);
        let due_notes = domain.ripe.notes.load(Ordering::Relaxed);
        if is_covered || domain.notes.load(Ordering::Relaxed) >= due_notes + MOST_NOTES {
            return;
        }
        let pin = pin();
        let ticket = Self::take();
        // Relaxed, both: as above.
        domain.deferred.fetch_max(ticket.0, Ordering::Relaxed);
        domain.notes.fetch_add(1, Ordering::Relaxed);
        let ripe = domain.ripe.clone();
        pin.guard.defer(move || {
            ripe.raise(ticket);
            // Relaxed: as above.
            ripe.notes.fetch_add(1, Ordering::Relaxed);
            note_emptied();
        });
    }

    /// Like [`defer`](Self::defer), but does nothing while any note is under way: for whoever comes
    /// again. To make room for the 2 KB of a note, glibc's allocator merges all the small chunks that
    /// it was given back.
    pub(crate) fn defer_unless_under_way() {
        let domain = domain();
        // Relaxed, both: a hint, as in `defer`.
        let due_notes = domain.ripe.notes.load(Ordering::Relaxed);
        if domain.notes.load(Ordering::Relaxed) <= due_notes {
            Self::defer();
        }
    }

    #[inline]
    pub(crate) fn is_ripe(self) -> bool {
        // Acquire: pairs with the note in defer (E2).
        domain().ripe.ticket.load(Ordering::Acquire) >= self.0
    }
}

/// Gives the collector what this thread has deferred, moves the epoch on, if nobody is in the way,
/// and runs the notes that have come due.
pub(crate) fn turn_epoch() {
    let pin = pin();
    if with_member(|member| member.flush(&pin.guard)).is_none() {
        pin.guard.flush();
    }
}

/// Moves the epoch on until all tickets deferred so far are ripe, as long as that takes no longer
/// than the pins of readers do: a few microseconds.
///
/// Whoever defers a note had better run it: a reader whose turn comes meanwhile is left with an
/// emptied node of the collector's queue.
pub(crate) fn ripen() {
    // Relaxed: the caller's own tickets are before it in program order.
    let ticket = Ticket(domain().deferred.load(Ordering::Relaxed));
    for turn in 0..MOST_TURNS {
        turn_epoch();
        if ticket.is_ripe() {
            return;
        }
        for _ in 0..turn {
            core::hint::spin_loop();
        }
    }
}

/// Marks the current thread as one that runs a cache's listeners and destructors, so that what they
/// call does not do the same in turn. Another cache's they may.
pub(crate) struct DrainGuard {
    cache: usize,
    /// It marks the thread that it was made on.
    not_send: PhantomData<*mut ()>,
}

impl DrainGuard {
    /// `None` if the thread is marked already, or for too many caches. `cache` is an address that
    /// tells it from others.
    pub(crate) fn enter(cache: usize) -> Option<Self> {
        debug_assert!(cache != 0, "0 is no cache");
        let is_marked = with_member(|member| {
            let mut draining = member.draining.get();
            let free = draining.iter().position(|&other| other == 0)?;
            if draining.contains(&cache) {
                return None;
            }
            draining[free] = cache;
            member.draining.set(draining);
            Some(())
        });
        // A thread that is ending cannot be marked; it leaves draining to others.
        is_marked.flatten().map(|()| Self { cache, not_send: PhantomData })
    }

    /// Whether the thread is marked for this cache, or cannot be.
    pub(crate) fn is_active(cache: usize) -> bool {
        let is_barred = |draining: [usize; MOST_NESTED]| {
            draining.contains(&cache) || draining.iter().all(|&other| other != 0)
        };
        with_member(|member| is_barred(member.draining.get())).unwrap_or(true)
    }

    /// Whether the thread is marked for any cache, or cannot be.
    pub(crate) fn is_any_active() -> bool {
        with_member(|member| member.draining.get() != [0; MOST_NESTED]).unwrap_or(true)
    }
}

impl Drop for DrainGuard {
    fn drop(&mut self) {
        with_member(|member| {
            let draining = member.draining.get();
            member.draining.set(draining.map(|other| if other == self.cache { 0 } else { other }));
        });
    }
}

/// Marks the current thread as one that has a turn, for which others wait.
pub(crate) struct TurnMark(PhantomData<*mut ()>);

impl TurnMark {
    pub(crate) fn set() -> Self {
        with_member(|member| member.turns.set(member.turns.get() + 1));
        Self(PhantomData)
    }
}

impl Drop for TurnMark {
    fn drop(&mut self) {
        with_member(|member| member.turns.set(member.turns.get().saturating_sub(1)));
    }
}

/// Whether nobody waits for the current thread, so that it may wait for a turn.
pub(crate) fn may_wait() -> bool {
    let is_free = |member: &Member| member.turns.get() == 0 && !member.handle.is_pinned();
    with_member(is_free).unwrap_or(false) && !DrainGuard::is_any_active()
}

/// Whether this is built for models, which are of few entries.
pub(crate) const IS_MODEL: bool = cfg!(sundown_loom);
/// Whether this is built for runs that have to repeat: no time passes but by manual clocks.
pub(crate) const REPEATS: bool = cfg!(any(sundown_loom, sundown_shuttle));
/// How many caches' listeners may run inside one another on a thread.
const MOST_NESTED: usize = 8;
/// Notes under way at most, in the whole process.
const MOST_NOTES: u64 = 16;
/// At every 128th pin crossbeam has the pinning thread take up to 8 old notes from the collector's
/// queue, and leaves each emptied node (2 KB) in that thread's own bag, until 64 have come together
/// or the thread ends. Flushing earlier keeps readers from holding on to 128 KB each.
const PINS_PER_COLLECTION: u32 = 128;
/// Flushing allocates, which a reader had better not: glibc's allocator was seen to merge freed
/// chunks for 170 ms first. So it waits until this many nodes have come together.
const MOST_EMPTIED: u32 = if cfg!(any(sundown_loom, sundown_shuttle)) { 0 } else { 4 };
/// Two turns are what a note takes when nobody is in the way.
const MOST_TURNS: u32 = if cfg!(any(sundown_loom, sundown_shuttle)) { 2 } else { 32 };
