//! The touch word: everything about an entry that readers and the writer contend for.
//!
//! ```text
//! bit  63     62       61 .. 44          43 .. 0
//!     | DEAD | ORPHAN | holds (18 bits) | last use in ms, from the entry's phase |
//! ```
//!
//! A word is a value; who may replace it by which other one is said in [`entry`](super::entry).

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Word(pub(super) u64);

impl Word {
    #[inline]
    pub(super) fn is_dead(self) -> bool {
        self.0 & DEAD != 0
    }

    pub(super) fn dead(self) -> Self {
        Self(self.0 | DEAD)
    }

    #[inline]
    pub(super) fn holds(self) -> u64 {
        (self.0 & HOLDS) >> HOLDS_SHIFT
    }

    #[inline]
    pub(super) fn used_ms(self) -> u64 {
        self.0 & USED
    }

    #[inline]
    pub(super) fn used_later(self, by_ms: u64) -> Self {
        Self(self.0 + by_ms)
    }

    #[inline]
    pub(super) fn with_one_more_hold(self) -> Self {
        assert!(self.holds() < MOST_HOLDS, "over {MOST_HOLDS} closures run inside one session");
        Self(self.0 + ONE_HOLD)
    }
}

const DEAD: u64 = 1 << 63;
pub(super) const ORPHAN: u64 = 1 << 62;
const HOLDS_SHIFT: u32 = 44;
pub(super) const ONE_HOLD: u64 = 1 << HOLDS_SHIFT;
const MOST_HOLDS: u64 = (1 << 18) - 1;
const HOLDS: u64 = MOST_HOLDS << HOLDS_SHIFT;
/// 2^44 ms are 557 years; the clock stops before (C3).
const USED: u64 = ONE_HOLD - 1;
