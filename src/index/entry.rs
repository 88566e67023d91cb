//! One session: key, value, deadlines and the touch [`word`](super::word), in one allocation.
//!
//! Readers move the last use and take holds by compare-and-swap on the word; the writer kills an
//! entry by setting DEAD with a compare-and-swap on the very word that it judged by. Whoever wins
//! decides, so no session dies on the strength of a last use that a returned read had moved.
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
//!     deadline first, then the idle time, then the absolute deadline again, of which the lesser
//!     counts, then the word. So no judgement mixes them into an earlier death or a longer life than
//!     old and new allow: with the new idle time comes the new absolute deadline, or a lesser one.

#![allow(unsafe_code, reason = "entries are shared with readers that hold no lock")]

use core::ptr::NonNull;

use crate::index::prefetch::{fetch_entry, fetch_line};
use crate::index::word::Word;
use crate::ledger::RecordId;
use crate::lifetime::{Course, Spans};
use crate::platform::clock::{COARSE_MARGIN_NS, Clock, MILLI_NS, NEVER_NS};
use crate::platform::sync::{AtomicPtr, AtomicU32, AtomicU64, Ordering, Pin};
use crate::removal::RemovalCause;

/// What a read needs comes first, so that it spans as few cache lines as may be.
#[repr(C)]
pub(crate) struct Entry<K, V> {
    pub(super) hash: u32,
    /// Set before the entry is published, then constant.
    pub(super) phase_ns: AtomicU32,
    pub(super) word: AtomicU64,
    pub(super) key: K,
    pub(super) value: V,
    pub(super) absolute_ns: AtomicU64,
    pub(super) idle_ns: AtomicU64,
    pub(super) link: AtomicPtr<Entry<K, V>>,
    pub(super) weight: u64,
    /// The record's number while linked, the cause's code afterwards. Only ever touched by whoever
    /// holds the shard's lock or owns the unlinked entry.
    pub(super) record: AtomicU32,
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
    pub(super) word: Word,
    pub(super) absolute_ns: u64,
    used_ns: u64,
    idle_until_ns: u64,
}

impl Judgement {
    #[inline]
    pub(crate) fn deadline_ns(self) -> u64 {
        self.absolute_ns.min(self.idle_until_ns)
    }

    /// The word after a use at `now_ns` (N2).
    #[inline]
    fn used_by(self, now_ns: u64) -> Word {
        self.word.used_later(now_ns.saturating_sub(self.used_ns) / MILLI_NS)
    }

    /// Why it is over, if it is over at `now_ns`.
    #[inline]
    pub(crate) fn cause_at(self, now_ns: u64) -> Option<RemovalCause> {
        (self.deadline_ns() <= now_ns).then_some(if self.absolute_ns <= self.idle_until_ns {
            RemovalCause::Expired
        } else {
            RemovalCause::Idle
        })
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

    /// Has the processor fetch the entry, while the caller does something else.
    #[inline]
    pub(crate) fn prefetch(&self) {
        fetch_entry(self);
    }

    /// Like [`prefetch`](Self::prefetch), for a caller who asks for no more than its last use.
    #[inline]
    pub(crate) fn prefetch_word(&self) {
        fetch_line(core::ptr::from_ref(&self.word).addr());
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
        // Relaxed: for the holder of the shard's lock, who alone kills; to others it is a hint.
        Word(self.word.load(Ordering::Relaxed)).is_dead()
    }

    #[inline]
    pub(crate) fn judge(&self) -> Judgement {
        // Acquire, all: in this order the loads undo the order of the stores in `set_lifetime`
        // (N5); the last one also pairs with the kill, so that a dead entry's successor is seen.
        let before_ns = self.absolute_ns.load(Ordering::Acquire);
        let idle_ns = self.idle_ns.load(Ordering::Acquire);
        let absolute_ns = before_ns.min(self.absolute_ns.load(Ordering::Acquire));
        let word = Word(self.word.load(Ordering::Acquire));
        // Relaxed: published with the entry.
        let phase_ns = u64::from(self.phase_ns.load(Ordering::Relaxed));
        let used_ns = word.used_ms() * MILLI_NS + phase_ns;
        Judgement { word, absolute_ns, used_ns, idle_until_ns: used_ns.saturating_add(idle_ns) }
    }

    /// When it was last used, to the millisecond.
    pub(crate) fn last_used_ns(&self) -> u64 {
        self.judge().used_ns
    }

    /// When it was last used, and both its lifetimes.
    pub(crate) fn course(&self) -> Course {
        let Judgement { absolute_ns, used_ns, idle_until_ns, .. } = self.judge();
        let idle_ns = match idle_until_ns {
            NEVER_NS => NEVER_NS,
            idle_until_ns => idle_until_ns - used_ns,
        };
        Course { used_ns, absolute_ns, idle_ns }
    }

    /// Decides whether a reader may have this session, and if so leaves its trace.
    ///
    /// The coarse clock tells the time, and where the deadline is near, the exact one decides. It
    /// is sampled once the entry is known, so that it runs while the entry's lines are on their way.
    /// Takes no lock; a compare-and-swap is repeated only if another succeeded.
    #[inline]
    pub(crate) fn look(&self, clock: &Clock, wish: Use) -> Look {
        let mut judgement = self.judge();
        let coarse_ns = clock.coarse_ns();
        loop {
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
                Use::Touch => judgement.used_by(now_ns),
                Use::Hold => judgement.word.with_one_more_hold(),
                Use::TouchAndHold => judgement.used_by(now_ns).with_one_more_hold(),
            };
            if after == judgement.word || self.swap_word(judgement.word, after) {
                return Look::Live;
            }
            judgement = self.judge();
        }
    }

    #[inline]
    pub(super) fn swap_word(&self, before: Word, after: Word) -> bool {
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
            if self.swap_word(judgement.word, judgement.word.dead()) {
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
            if self.swap_word(judgement.word, judgement.word.dead()) {
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
            if self.swap_word(judgement.word, judgement.word.dead()) {
                return Some(judgement.cause_at(now_ns));
            }
        }
    }

    /// Measures new lifetimes from `now_ns`; the holder of the shard's lock has found it live.
    pub(crate) fn set_lifetime(&self, spans: Spans, now_ns: u64) {
        loop {
            let before = self.judge();
            let after = before.used_by(now_ns);
            if after == before.word || self.swap_word(before.word, after) {
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

/// When a span that begins now ends; sums saturate to never.
pub(super) fn after_ns(now_ns: u64, span_ns: u64) -> u64 {
    now_ns.saturating_add(span_ns)
}

/// Marks a link as one of a chain of retired entries (N4).
pub(super) fn tagged<T>(pointer: *mut T) -> *mut T {
    pointer.map_addr(|address| address | TAG)
}

pub(super) fn untagged<T>(pointer: *mut T) -> *mut T {
    pointer.map_addr(|address| address & !TAG)
}

pub(super) fn is_tagged<T>(pointer: *mut T) -> bool {
    pointer.addr() & TAG != 0
}

/// Entries are aligned to more than a byte.
const TAG: usize = 1;

#[cfg(all(test, sundown_loom))]
mod loom_tests;
