//! Who owns an entry at which stage of its life.
//!
//! ```text
//! Fresh ──link──► Linked ──kill, unlink──► Unlinked ──grace──► not held: taken apart
//!                    │                         │                held: ORPHAN, by its last hold
//!                    └────────── readers ──────┘
//! ```
//!
//! There is one token for each entry at any time, apart from its holds. An entry is freed only
//! through its `Unlinked` token (or, never published, its `Fresh` one), and that is made only by
//! consuming its `Linked` token. So whoever has a token may look at the entry, in safe code.
//!
//! K1. An entry has exactly one of `Fresh`, `Linked` and `Unlinked`.
//! K2. A `Held` stands for one of the holds that are counted in the entry's word.

#![allow(unsafe_code, reason = "tokens are pointers to entries that readers share")]

use core::ops::Deref;
use core::ptr::{NonNull, null_mut};

use crate::index::entry::{Entry, Judgement, after_ns, is_tagged};
use crate::index::prefetch::fetch_pointees;
use crate::index::word::{ONE_HOLD, ORPHAN, Word};
use crate::lifetime::Spans;
use crate::platform::clock::{MILLI_NS, NEVER_NS};
use crate::platform::sync::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use crate::removal::{Exit, RemovalCause};

/// An entry that nobody else can see yet.
pub(crate) struct Fresh<K, V>(NonNull<Entry<K, V>>);

impl<K, V> Fresh<K, V> {
    pub(crate) fn new(key: K, value: V, hash: u32, weight: u64) -> Self {
        // Written in its place, not moved there.
        Self(NonNull::from(Box::leak(Box::new_uninit()).write(Entry {
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
        })))
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
    /// Kills the entry in favour of `heir`, which takes its last use and its deadlines over.
    fn kill_and_bequeath(&self, heir: &Fresh<K, V>, now_ns: u64) -> Option<RemovalCause> {
        loop {
            let judgement = self.judge();
            heir.inherit(self, judgement);
            if self.swap_word(judgement.word, judgement.word.dead()) {
                return judgement.cause_at(now_ns);
            }
        }
    }

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

    /// Takes a hold without a use; for the holder of the shard's lock, on an entry that is not dead.
    pub(crate) fn hold(&self) -> Held<K, V> {
        // SAFETY: the token says that the entry is linked, and the caller that it is not dead.
        unsafe { Held::take(self) }
    }

    /// The dead entry that the index no longer holds, for whatever `cause`.
    pub(super) fn into_unlinked(self, cause: RemovalCause) -> Unlinked<K, V> {
        // Relaxed: only the holder of the lock kills.
        debug_assert!(Word(self.word.load(Ordering::Relaxed)).is_dead(), "N1: killed first");
        // Relaxed: from here on only the owner of the token accesses it.
        self.record.store(Exit::by(cause).raw(), Ordering::Relaxed);
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
    /// The hold that a look with `Use::Hold` or `Use::TouchAndHold` has just taken.
    ///
    /// # Safety
    ///
    /// Such a look at `entry` has returned `Look::Live`, and no other `Held` stands for it.
    pub(super) unsafe fn of(entry: &Entry<K, V>) -> Self {
        Self(NonNull::from(entry))
    }

    /// Takes a hold without a use.
    ///
    /// # Safety
    ///
    /// The caller holds the shard's lock, and the entry is not dead.
    pub(super) unsafe fn take(entry: &Entry<K, V>) -> Self {
        loop {
            // Relaxed: the compare-and-swap decides.
            let word = Word(entry.word.load(Ordering::Relaxed));
            debug_assert!(!word.is_dead(), "N1: a dead entry takes no new holds");
            if entry.swap_word(word, word.with_one_more_hold()) {
                return Self(NonNull::from(entry));
            }
        }
    }

    pub(crate) fn is(&self, entry: &Entry<K, V>) -> bool {
        core::ptr::eq(self.0.as_ptr(), entry)
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
pub(crate) struct Unlinked<K, V>(pub(super) NonNull<Entry<K, V>>);

/// What an entry was made of, and how it ended.
pub(crate) struct Removed<K, V> {
    pub(crate) key: K,
    pub(crate) value: V,
    pub(crate) exit: Exit,
    /// When its time was up, if that is how it ended.
    pub(crate) deadline_ns: u64,
    pub(crate) weight: u64,
}

impl<K, V> Unlinked<K, V> {
    pub(super) fn entry(&self) -> &Entry<K, V> {
        // SAFETY: the entry is freed only by `take`, which consumes the token.
        unsafe { self.0.as_ref() }
    }

    pub(crate) fn hash(&self) -> u32 {
        self.entry().hash
    }

    pub(crate) fn weight(&self) -> u64 {
        self.entry().weight
    }

    /// Notes when the entry was unlinked, besides why.
    pub(crate) fn note_time(&self, now_ns: u64) {
        let record = &self.entry().record;
        // Relaxed, both: only the owner of the token accesses it.
        let exit = Exit::from_raw(record.load(Ordering::Relaxed));
        record.store(exit.at(now_ns).raw(), Ordering::Relaxed);
    }

    /// Whether no hold is left. If one is, the last to be released reports it.
    pub(crate) fn is_free(&self) -> bool {
        // Acquire: pairs with `Held::release`. Release is not needed: nothing is published.
        Word(self.entry().word.fetch_or(ORPHAN, Ordering::Acquire)).holds() == 0
    }

    /// Has the processor fetch what the destructors of key and value will ask for first.
    ///
    /// # Safety
    ///
    /// As for [`take`](Self::take).
    pub(crate) unsafe fn fetch_pointees(&mut self) {
        // SAFETY: as in `take`: nobody else accesses the entry any more.
        let entry = unsafe { self.0.as_mut() };
        fetch_pointees(&mut entry.value);
        fetch_pointees(&mut entry.key);
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
        // Relaxed: this is the only owner.
        let exit = Exit::from_raw(entry.record.load(Ordering::Relaxed));
        let deadline_ns =
            if exit.cause().is_timeout() { entry.judge().deadline_ns() } else { NEVER_NS };
        let Entry { key, value, weight, .. } = *entry;
        Removed { key, value, exit, deadline_ns, weight }
    }
}

// SAFETY: the token owns the entry's end: it is sent to the thread that drops key and value (hence
// Send), while readers on other threads may still have references (hence Sync).
unsafe impl<K: Send + Sync, V: Send + Sync> Send for Unlinked<K, V> {}
