//! One session: key, value, deadlines and the *touch word*, in one allocation.
//!
//! ```text
//! bit  63     62       61 .. 44          43 .. 0
//!     | DEAD | ORPHAN | holds (18 bits) | last use in ms, from the entry's phase |
//! ```
//!
//! Readers move the last use and take holds by compare-and-swap on the word; the writer kills an
//! entry by setting DEAD with a compare-and-swap on the very word that it judged by. Whoever wins
//! decides, so no session dies on the strength of a last use that a returned read had moved.
//!
//! ```text
//! Fresh ──link──► Linked ──kill, unlink──► Unlinked ──grace──► not held: taken apart
//!                    │                         │                held: ORPHAN, by its last hold
//!                    └────────── readers ──────┘
//! ```
//!
//! N1. DEAD is set once, by the writer under its shard's lock, and never cleared. A dead entry's
//!     last use does not move and it takes no new holds.
//! N2. A last use never goes back. It counts whole milliseconds from `phase_ns`, the part of its
//!     birth below a millisecond: so the first is exact and each later one less than 1 ms early.
//! N3. An entry is freed once it is unlinked, its grace is over, and no hold is left.
//! N4. `link` is null, or, before death and until retirement, the entry that superseded this one
//!     under the same key, or, tagged, the next in a chain of retired ones.
//! N5. Whoever changes lifetimes stores the touch first, then min(old, new) as absolute deadline,
//!     then the idle time, then the new absolute deadline; whoever judges loads the absolute
//!     deadline first, then the idle time, then the word. So no judgement mixes them into an
//!     earlier death or a longer life than old and new allow.

#![allow(unsafe_code, reason = "entries are shared with readers that hold no lock")]

use core::ops::Deref;
use core::ptr::{NonNull, null_mut};

use crate::ledger::RecordId;
use crate::lifetime::Spans;
use crate::platform::clock::{COARSE_MARGIN_NS, Clock, MILLI_NS, NEVER_NS};
use crate::platform::sync::{AtomicPtr, AtomicU32, AtomicU64, Ordering, Pin};
use crate::removal::RemovalCause;

/// What a read needs comes first, so that it spans as few cache lines as may be.
#[repr(C)]
pub(crate) struct Entry<K, V> {
    hash: u32,
    /// Set before the entry is published, then constant.
    phase_ns: AtomicU32,
    word: AtomicU64,
    key: K,
    value: V,
    absolute_ns: AtomicU64,
    idle_ns: AtomicU64,
    link: AtomicPtr<Entry<K, V>>,
    weight: u64,
    /// The record's number while linked, the cause's code afterwards. Only ever touched by whoever
    /// holds the shard's lock or owns the unlinked entry.
    record: AtomicU32,
}

/// What a reader wants of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Use {
    /// To look, leaving no trace.
    Peek,
    /// To use it: its idle time starts anew.
    Touch,
    /// To use it and keep it beyond the pin.
    TouchAndHold,
    /// To keep it beyond the pin, without using it.
    Hold,
}

/// What a reader found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Look {
    Live,
    Due,
    Dead,
}

/// Where a reader of a dead entry goes on.
pub(crate) enum After<'p, K, V> {
    /// The key was removed: a miss.
    Nowhere,
    /// The key lives on in this entry.
    Successor(&'p Entry<K, V>),
    /// The index has moved on meanwhile: look again.
    Again,
}

/// When a session ends, as judged from one load of its word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Judgement {
    word: Word,
    absolute_ns: u64,
    idle_until_ns: u64,
}

impl Judgement {
    #[inline]
    pub(crate) fn deadline_ns(self) -> u64 {
        self.absolute_ns.min(self.idle_until_ns)
    }

    /// Why it is over, if it is over at `now_ns`.
    pub(crate) fn cause_at(self, now_ns: u64) -> Option<RemovalCause> {
        (self.deadline_ns() <= now_ns).then_some(if self.absolute_ns <= self.idle_until_ns {
            RemovalCause::Expired
        } else {
            RemovalCause::Idle
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Word(u64);

impl Word {
    #[inline]
    fn is_dead(self) -> bool {
        self.0 & DEAD != 0
    }

    #[inline]
    fn holds(self) -> u64 {
        (self.0 & HOLDS) >> HOLDS_SHIFT
    }

    #[inline]
    fn used_ms(self) -> u64 {
        self.0 & USED
    }

    #[inline]
    fn used_at(self, used_ms: u64) -> Self {
        Self(self.0 & !USED | used_ms)
    }

    #[inline]
    fn with_one_more_hold(self) -> Self {
        assert!(self.holds() < MOST_HOLDS, "over {MOST_HOLDS} closures run inside one session");
        Self(self.0 + ONE_HOLD)
    }
}

impl<K, V> Entry<K, V> {
    #[inline]
    pub(crate) fn key(&self) -> &K {
        &self.key
    }

    #[inline]
    pub(crate) fn value(&self) -> &V {
        &self.value
    }

    #[inline]
    pub(crate) fn hash(&self) -> u32 {
        self.hash
    }

    pub(crate) fn weight(&self) -> u64 {
        self.weight
    }

    /// The number of this entry's record; for the holder of the shard's lock.
    pub(crate) fn record(&self) -> RecordId {
        // Relaxed: only ever accessed under the shard's lock.
        RecordId::from_raw(self.record.load(Ordering::Relaxed))
    }

    pub(crate) fn set_record(&self, record: RecordId) {
        // Relaxed: as in `record`.
        self.record.store(record.raw(), Ordering::Relaxed);
    }

    /// The last use in whole milliseconds of the clock.
    pub(crate) fn used_ms(&self) -> u64 {
        // Relaxed: who acts on it does so by a compare-and-swap on the word.
        Word(self.word.load(Ordering::Relaxed)).used_ms()
    }

    pub(crate) fn is_dead(&self) -> bool {
        // Relaxed: for the holder of the shard's lock, who alone kills.
        Word(self.word.load(Ordering::Relaxed)).is_dead()
    }

    #[inline]
    pub(crate) fn judge(&self) -> Judgement {
        // Acquire, all: in this order the loads undo the order of the stores in `set_lifetime`
        // (N5); the last one also pairs with the kill, so that a dead entry's successor is seen.
        let absolute_ns = self.absolute_ns.load(Ordering::Acquire);
        let idle_ns = self.idle_ns.load(Ordering::Acquire);
        let word = Word(self.word.load(Ordering::Acquire));
        let idle_until_ns = self.used_ns(word).saturating_add(idle_ns);
        Judgement { word, absolute_ns, idle_until_ns }
    }

    #[inline]
    fn used_ns(&self, word: Word) -> u64 {
        word.used_ms() * MILLI_NS + self.phase_ns()
    }

    #[inline]
    fn phase_ns(&self) -> u64 {
        // Relaxed: published with the entry.
        u64::from(self.phase_ns.load(Ordering::Relaxed))
    }

    /// The word after a use at `now_ns`.
    #[inline]
    fn used_by(&self, word: Word, now_ns: u64) -> Word {
        if now_ns < self.used_ns(word) + MILLI_NS {
            return word;
        }
        word.used_at((now_ns - self.phase_ns()) / MILLI_NS)
    }

    /// Decides whether a reader may have this session, and if so leaves its trace.
    ///
    /// `coarse_ns` is the reader's sample of the coarse clock; where the deadline is near, the exact
    /// clock decides. Takes no lock; a compare-and-swap is repeated only if another succeeded.
    #[inline]
    pub(crate) fn look(&self, coarse_ns: u64, clock: &Clock, wish: Use) -> Look {
        loop {
            let judgement = self.judge();
            if judgement.word.is_dead() {
                return Look::Dead;
            }
            let mut now_ns = coarse_ns;
            if judgement.deadline_ns() <= coarse_ns + COARSE_MARGIN_NS {
                now_ns = clock.exact_ns();
                if judgement.deadline_ns() <= now_ns {
                    return Look::Due;
                }
            }
            let after = match wish {
                Use::Peek => judgement.word,
                Use::Touch => self.used_by(judgement.word, now_ns),
                Use::Hold => judgement.word.with_one_more_hold(),
                Use::TouchAndHold => self.used_by(judgement.word, now_ns).with_one_more_hold(),
            };
            if after == judgement.word || self.swap_word(judgement.word, after) {
                return Look::Live;
            }
        }
    }

    #[inline]
    fn swap_word(&self, before: Word, after: Word) -> bool {
        // AcqRel: the writer's kill publishes the successor to readers that find DEAD, and orders
        // itself after every touch that it overwrites; a hold pairs with `Held::release`.
        self.word.compare_exchange(before.0, after.0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Kills the entry whatever its state; tells why it was over already, if it was.
    ///
    /// For the holder of the shard's lock, on an entry that is not dead.
    pub(crate) fn kill(&self, now_ns: u64) -> Option<RemovalCause> {
        loop {
            let judgement = self.judge();
            if self.swap_word(judgement.word, Word(judgement.word.0 | DEAD)) {
                return judgement.cause_at(now_ns);
            }
        }
    }

    /// Kills the entry if it is over at `now_ns`; else tells its deadline.
    pub(crate) fn kill_if_due(&self, now_ns: u64) -> Result<RemovalCause, u64> {
        loop {
            let judgement = self.judge();
            let Some(cause) = judgement.cause_at(now_ns) else {
                return Err(judgement.deadline_ns());
            };
            if self.swap_word(judgement.word, Word(judgement.word.0 | DEAD)) {
                return Ok(cause);
            }
        }
    }

    /// Kills the entry if its last use is still in the millisecond `used_ms`.
    ///
    /// On success tells why it was over already, if it was over at `now_ns`.
    pub(crate) fn kill_if_unused_since(
        &self,
        used_ms: u64,
        now_ns: u64,
    ) -> Option<Option<RemovalCause>> {
        loop {
            let judgement = self.judge();
            if judgement.word.used_ms() > used_ms {
                return None;
            }
            if self.swap_word(judgement.word, Word(judgement.word.0 | DEAD)) {
                return Some(judgement.cause_at(now_ns));
            }
        }
    }

    /// Kills the entry in favour of `heir`, which takes its last use and its deadlines over.
    ///
    /// For the holder of the shard's lock, on an entry that is not dead.
    fn kill_and_bequeath(&self, heir: &Fresh<K, V>, now_ns: u64) -> Option<RemovalCause> {
        loop {
            let judgement = self.judge();
            heir.inherit(self, judgement);
            if self.swap_word(judgement.word, Word(judgement.word.0 | DEAD)) {
                return judgement.cause_at(now_ns);
            }
        }
    }

    /// Measures new lifetimes from `now_ns`; the holder of the shard's lock has found it live.
    pub(crate) fn set_lifetime(&self, spans: Spans, now_ns: u64) {
        loop {
            // Relaxed: the compare-and-swap decides.
            let word = Word(self.word.load(Ordering::Relaxed));
            let after = self.used_by(word, now_ns);
            if after == word || self.swap_word(word, after) {
                break;
            }
        }
        let new_ns = after_ns(now_ns, spans.live_ns);
        // Relaxed: only the holder of the lock stores it.
        let old_ns = self.absolute_ns.load(Ordering::Relaxed);
        // Release, all: N5, paired with the loads in `judge`.
        self.absolute_ns.store(old_ns.min(new_ns), Ordering::Release);
        self.idle_ns.store(spans.idle_ns, Ordering::Release);
        self.absolute_ns.store(new_ns, Ordering::Release);
    }

    /// Where a reader that found this entry dead goes on.
    pub(crate) fn after<'p>(&self, _pin: &'p Pin) -> After<'p, K, V> {
        // Acquire: pairs with the stores in `Index::supersede` (what the successor holds) and in
        // `Chain::push` (that the index has moved on).
        let link = self.link.load(Ordering::Acquire);
        if is_tagged(link) {
            return After::Again;
        }
        NonNull::new(link).map_or(After::Nowhere, |successor| {
            // SAFETY: the successor was linked when this entry died, which was after the pin was
            // taken, since the reader found this entry through the index under the same pin. So it
            // cannot have been freed before the pin ends (N3).
            After::Successor(unsafe { successor.as_ref() })
        })
    }
}

/// An entry that nobody else can see yet.
pub(crate) struct Fresh<K, V>(NonNull<Entry<K, V>>);

impl<K, V> Fresh<K, V> {
    pub(crate) fn new(key: K, value: V, hash: u32, weight: u64) -> Self {
        Self(NonNull::from(Box::leak(Box::new(Entry {
            word: AtomicU64::new(0),
            absolute_ns: AtomicU64::new(NEVER_NS),
            idle_ns: AtomicU64::new(NEVER_NS),
            link: AtomicPtr::new(null_mut()),
            hash,
            phase_ns: AtomicU32::new(0),
            record: AtomicU32::new(0),
            weight,
            value,
            key,
        }))))
    }

    fn entry(&self) -> &Entry<K, V> {
        // SAFETY: this token owns the entry until it is consumed; all that changes is atomic.
        unsafe { self.0.as_ref() }
    }

    /// Starts the session's life.
    pub(crate) fn begin(&self, now_ns: u64, spans: Spans) {
        let entry = self.entry();
        // Relaxed, all: the entry is published later.
        entry.phase_ns.store((now_ns % MILLI_NS) as u32, Ordering::Relaxed);
        entry.word.store(now_ns / MILLI_NS, Ordering::Relaxed);
        entry.absolute_ns.store(after_ns(now_ns, spans.live_ns), Ordering::Relaxed);
        entry.idle_ns.store(spans.idle_ns, Ordering::Relaxed);
    }

    fn inherit(&self, from: &Entry<K, V>, judgement: Judgement) {
        let entry = self.entry();
        // Relaxed, all: the entry is published later, and what it takes over is only ever stored
        // by the holder of the lock, who calls this.
        entry.phase_ns.store(from.phase_ns.load(Ordering::Relaxed), Ordering::Relaxed);
        entry.word.store(judgement.word.used_ms(), Ordering::Relaxed);
        entry.absolute_ns.store(judgement.absolute_ns, Ordering::Relaxed);
        entry.idle_ns.store(from.idle_ns.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    pub(crate) fn key(&self) -> &K {
        &self.entry().key
    }

    pub(crate) fn hash(&self) -> u32 {
        self.entry().hash
    }

    pub(crate) fn weight(&self) -> u64 {
        self.entry().weight
    }

    pub(crate) fn into_parts(self) -> (K, V) {
        let Entry { key, value, .. } = *self.into_box();
        (key, value)
    }

    fn into_box(self) -> Box<Entry<K, V>> {
        // SAFETY: the pointer came from a Box, and this token owns it.
        let entry = unsafe { Box::from_raw(self.0.as_ptr()) };
        core::mem::forget(self);
        entry
    }

    /// Gives the entry to the index, which publishes it.
    pub(super) fn into_linked(self) -> Linked<K, V> {
        let linked = Linked(self.0);
        core::mem::forget(self);
        linked
    }
}

impl<K, V> Drop for Fresh<K, V> {
    fn drop(&mut self) {
        // SAFETY: the pointer came from a Box; the token was not consumed, so it owns it.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// The entry that takes a place over, and why the one before it was over already, if it was.
pub(crate) type Heir<K, V> = (Linked<K, V>, Option<RemovalCause>);

/// How a replacement treats the entry in its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Succession {
    /// It goes, live or not.
    Always,
    /// It goes only if its time is up.
    IfDue,
    /// It goes and leaves its last use and its deadlines to its successor.
    Inherit,
}

impl<K, V> Linked<K, V> {
    /// Kills this entry in favour of `fresh`; readers that find it dead go on there.
    ///
    /// Tells why it was over already, if it was; hands `fresh` back if it stays. The caller puts
    /// the heir into the index next.
    pub(super) fn hand_over(
        &self,
        fresh: Fresh<K, V>,
        succession: Succession,
        now_ns: u64,
    ) -> Result<Heir<K, V>, Fresh<K, V>> {
        // Release: pairs with the load in `after`; nobody follows it before DEAD is set.
        self.link.store(fresh.0.as_ptr(), Ordering::Release);
        let due = match succession {
            Succession::Always => self.kill(now_ns),
            Succession::Inherit => self.kill_and_bequeath(&fresh, now_ns),
            Succession::IfDue => match self.kill_if_due(now_ns) {
                Ok(cause) => Some(cause),
                Err(_) => {
                    // Relaxed: nobody looks at the link of a live entry.
                    self.link.store(null_mut(), Ordering::Relaxed);
                    return Err(fresh);
                }
            },
        };
        Ok((fresh.into_linked(), due))
    }
}

/// The one token for an entry that the index holds: while it exists, the entry does.
pub(crate) struct Linked<K, V>(NonNull<Entry<K, V>>);

impl<K, V> Linked<K, V> {
    pub(super) fn as_ptr(&self) -> *mut Entry<K, V> {
        self.0.as_ptr()
    }

    pub(crate) fn is(&self, entry: &Entry<K, V>) -> bool {
        core::ptr::eq(self.0.as_ptr(), entry)
    }

    /// Takes a hold without a use; for the holder of the shard's lock. `None` if it is due.
    pub(crate) fn hold(&self, now_ns: u64) -> Option<Held<K, V>> {
        loop {
            let judgement = self.judge();
            if judgement.cause_at(now_ns).is_some() {
                return None;
            }
            if self.swap_word(judgement.word, judgement.word.with_one_more_hold()) {
                return Some(Held(self.0));
            }
        }
    }

    /// The dead entry that the index no longer holds, for whatever `cause`.
    pub(super) fn into_unlinked(self, cause: RemovalCause) -> Unlinked<K, V> {
        debug_assert!(Word(self.word.load(Ordering::Relaxed)).is_dead(), "N1: killed first");
        // Relaxed: from here on only the owner of the token accesses it.
        self.record.store(cause.code() as u32, Ordering::Relaxed);
        Unlinked(self.0)
    }

    /// Like [`into_unlinked`](Self::into_unlinked), for an entry whose successor has its place.
    pub(crate) fn into_superseded(self, cause: RemovalCause) -> Unlinked<K, V> {
        // Relaxed: the caller, under the lock, has stored it.
        let link = self.link.load(Ordering::Relaxed);
        assert!(!link.is_null() && !is_tagged(link), "N4: only a superseded entry left its place");
        self.into_unlinked(cause)
    }
}

impl<K, V> Deref for Linked<K, V> {
    type Target = Entry<K, V>;

    fn deref(&self) -> &Entry<K, V> {
        // SAFETY: an entry is freed only through its `Unlinked` token, which only consuming this
        // one makes. Nobody has it mutably: all that changes in it is atomic.
        unsafe { self.0.as_ref() }
    }
}

// SAFETY: the token is a pointer to an entry that other threads read and one thread at a time, the
// holder of the shard's lock, changes; it hands out `&K` and `&V` (hence Sync) and finally owns both
// (hence Send).
unsafe impl<K: Send + Sync, V: Send + Sync> Send for Linked<K, V> {}
// SAFETY: as above; a shared token gives shared access only.
unsafe impl<K: Send + Sync, V: Send + Sync> Sync for Linked<K, V> {}

/// A hold: keeps one entry from being freed, and nothing else, for as long as a closure runs.
pub(crate) struct Held<K, V>(NonNull<Entry<K, V>>);

impl<K, V> Held<K, V> {
    /// The hold that a look with [`Use::Hold`] or [`Use::TouchAndHold`] has just taken.
    ///
    /// # Safety
    ///
    /// Such a look at `entry` has returned [`Look::Live`], and no other `Held` stands for it.
    pub(super) unsafe fn of(entry: &Entry<K, V>) -> Self {
        Self(NonNull::from(entry))
    }

    /// Ends the hold. True if it was the last on an entry that waits for nothing else: then the
    /// caller sees to it that the shard's garbage is drained.
    pub(crate) fn release(self) -> bool {
        // Release: pairs with the Acquire in `Unlinked::is_free`, so that the closure's reads come
        // before the destructor.
        let before = Word(self.word.fetch_sub(ONE_HOLD, Ordering::Release));
        before.holds() == 1 && before.0 & ORPHAN != 0
    }
}

impl<K, V> Deref for Held<K, V> {
    type Target = Entry<K, V>;

    fn deref(&self) -> &Entry<K, V> {
        // SAFETY: the hold that this token stands for keeps the entry from being freed (N3).
        unsafe { self.0.as_ref() }
    }
}

/// An entry that has left the index; readers and closures may still be inside.
pub(crate) struct Unlinked<K, V>(NonNull<Entry<K, V>>);

/// What an entry was made of, and how it ended.
pub(crate) struct Removed<K, V> {
    pub(crate) key: K,
    pub(crate) value: V,
    pub(crate) cause: RemovalCause,
    pub(crate) deadline_ns: u64,
    pub(crate) weight: u64,
}

impl<K, V> Unlinked<K, V> {
    fn entry(&self) -> &Entry<K, V> {
        // SAFETY: the entry is freed only by `take`, which consumes the token.
        unsafe { self.0.as_ref() }
    }

    pub(crate) fn hash(&self) -> u32 {
        self.entry().hash
    }

    pub(crate) fn weight(&self) -> u64 {
        self.entry().weight
    }

    /// Whether no hold is left. If one is, the last to be released reports it.
    pub(crate) fn is_free(&self) -> bool {
        // Acquire: pairs with `Held::release`. Release is not needed: nothing is published.
        Word(self.entry().word.fetch_or(ORPHAN, Ordering::Acquire)).holds() == 0
    }

    /// Takes the entry apart.
    ///
    /// # Safety
    ///
    /// [`is_free`](Self::is_free) has returned true, and every pin that was held when the entry was
    /// unlinked has ended (N3).
    pub(crate) unsafe fn take(self) -> Removed<K, V> {
        // SAFETY: the pointer came from a Box in `Fresh::into_linked`. By the caller's promise no
        // reader and no hold is left; the index forgot it, and this is its only token.
        let entry = unsafe { Box::from_raw(self.0.as_ptr()) };
        let deadline_ns = entry.judge().deadline_ns();
        // Relaxed: this is the only owner.
        let code = entry.record.load(Ordering::Relaxed) as usize;
        let Entry { key, value, weight, .. } = *entry;
        Removed { key, value, cause: RemovalCause::from_code(code), deadline_ns, weight }
    }
}

// SAFETY: the token owns the entry's end: it is sent to the thread that drops key and value (hence
// Send), while readers on other threads may still have references (hence Sync).
unsafe impl<K: Send + Sync, V: Send + Sync> Send for Unlinked<K, V> {}

/// Unlinked entries in the order in which they left, linked through themselves: no allocation.
pub(crate) struct Chain<K, V> {
    head: *mut Entry<K, V>,
    tail: *mut Entry<K, V>,
    len: usize,
}

impl<K, V> Chain<K, V> {
    pub(crate) const fn new() -> Self {
        Self { head: null_mut(), tail: null_mut(), len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn push(&mut self, unlinked: Unlinked<K, V>) {
        let entry = unlinked.0.as_ptr();
        // Release: tells readers in `after` that the index has moved on.
        unlinked.entry().link.store(tagged(null_mut()), Ordering::Release);
        if let Some(tail) = NonNull::new(self.tail) {
            // SAFETY: the chain owns the tokens of its entries, so the tail exists.
            let tail = unsafe { tail.as_ref() };
            // Release: as above; a tag stays a tag.
            tail.link.store(tagged(entry), Ordering::Release);
        } else {
            self.head = entry;
        }
        self.tail = entry;
        self.len += 1;
    }

    pub(crate) fn pop(&mut self) -> Option<Unlinked<K, V>> {
        let head = NonNull::new(self.head)?;
        // SAFETY: the chain owns the tokens of its entries, so the head exists.
        let entry = unsafe { head.as_ref() };
        // Relaxed: the owner of the chain has stored it, or was given it by who did.
        self.head = untagged(entry.link.load(Ordering::Relaxed));
        if self.head.is_null() {
            self.tail = null_mut();
        }
        self.len -= 1;
        Some(Unlinked(head))
    }
}

// SAFETY: a chain is its tokens; see `Unlinked`.
unsafe impl<K: Send + Sync, V: Send + Sync> Send for Chain<K, V> {}

fn after_ns(now_ns: u64, span_ns: u64) -> u64 {
    now_ns.saturating_add(span_ns)
}

fn tagged<T>(pointer: *mut T) -> *mut T {
    pointer.map_addr(|address| address | TAG)
}

fn untagged<T>(pointer: *mut T) -> *mut T {
    pointer.map_addr(|address| address & !TAG)
}

fn is_tagged<T>(pointer: *mut T) -> bool {
    pointer.addr() & TAG != 0
}

/// Entries are aligned to more than a byte.
const TAG: usize = 1;
const DEAD: u64 = 1 << 63;
const ORPHAN: u64 = 1 << 62;
const HOLDS_SHIFT: u32 = 44;
const ONE_HOLD: u64 = 1 << HOLDS_SHIFT;
const MOST_HOLDS: u64 = (1 << 18) - 1;
const HOLDS: u64 = MOST_HOLDS << HOLDS_SHIFT;
/// 2^44 ms are 557 years; the clock stops before (C3).
const USED: u64 = ONE_HOLD - 1;
