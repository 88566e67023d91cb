//! Seven entries and what tells them apart, in one cache line.
//!
//! ```text
//! byte  0     1     2     3     4     5     6     7          8 .. 63
//!     | tag | tag | tag | tag | tag | tag | tag | overflow | 7 pointers |
//! ```
//!
//! A tag is a byte of the key's hash, never zero; zero says that the lane is free. `overflow` counts
//! the keys that found this chunk full and went past it, as in F14 \[1\]: a search ends at the first
//! chunk that nobody has gone past, and a removal counts down along its path, so churn leaves no
//! tombstones. A count that reaches 255 sticks until the next rebuild.
//!
//! \[1\] Facebook, folly/container/F14.md. We differ in the lanes (7 for 14), in counting in the same
//!     word as the tags, so that one load gives a reader both, and in keeping lanes where they are.

use crate::index::entry::Entry;
use crate::platform::sync::{AtomicPtr, AtomicU64};

#[repr(C, align(64))]
pub(super) struct Chunk<K, V> {
    pub(super) control: AtomicU64,
    pub(super) lanes: [AtomicPtr<Entry<K, V>>; LANES],
}

impl<K, V> Chunk<K, V> {
    pub(super) fn empty() -> Self {
        Self {
            control: AtomicU64::new(0),
            lanes: core::array::from_fn(|_| AtomicPtr::new(core::ptr::null_mut())),
        }
    }
}

/// A chunk's first word, as it was when somebody loaded it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Control(pub(super) u64);

impl Control {
    /// The lanes that carry `tag`.
    #[inline]
    pub(super) fn lanes_with(self, tag: u8) -> LaneSet {
        let differing = self.0 ^ (ONES * u64::from(tag));
        LaneSet(zero_bytes(differing))
    }

    /// The lowest free lane.
    pub(super) fn free_lane(self) -> Option<usize> {
        LaneSet(zero_bytes(self.0)).next()
    }

    /// Whether some key has gone past this chunk.
    #[inline]
    pub(super) fn is_overflown(self) -> bool {
        self.0 >> OVERFLOW_SHIFT != 0
    }

    pub(super) fn overflow(self) -> u8 {
        (self.0 >> OVERFLOW_SHIFT) as u8
    }

    pub(super) fn tag(self, lane: usize) -> u8 {
        (self.0 >> (8 * lane)) as u8
    }

    pub(super) fn with_tag(self, lane: usize, tag: u8) -> Self {
        Self(self.0 & !(0xff << (8 * lane)) | u64::from(tag) << (8 * lane))
    }

    pub(super) fn with_one_more_past(self) -> Self {
        if self.overflow() == STUCK { self } else { Self(self.0 + (1 << OVERFLOW_SHIFT)) }
    }

    pub(super) fn with_one_fewer_past(self) -> Self {
        if self.overflow() == STUCK { self } else { Self(self.0 - (1 << OVERFLOW_SHIFT)) }
    }
}

/// A set of lanes, one bit to a byte.
pub(super) struct LaneSet(u64);

impl Iterator for LaneSet {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let lane = self.0.trailing_zeros() as usize / 8;
        self.0 &= self.0 - 1;
        Some(lane)
    }
}

/// The tag of a hash: its low byte, squeezed into 1 to 255. The high bits pick the chunk.
#[inline]
pub(super) fn tag_of(hash: u32) -> u8 {
    (((hash & 0xff) * 255) >> 8) as u8 + 1
}

/// The top bit of each of the seven tag bytes that is zero, and no other bit.
#[inline]
fn zero_bytes(word: u64) -> u64 {
    // No carry crosses a byte here, unlike in the shorter formula with a subtraction.
    let low_bits = (word & LOW_BITS) + LOW_BITS;
    !(low_bits | word) & TAG_TOPS
}

pub(super) const LANES: usize = 7;
/// An overflow count that is no longer exact.
const STUCK: u8 = u8::MAX;
const OVERFLOW_SHIFT: u32 = 56;
const ONES: u64 = 0x0101_0101_0101_0101;
const LOW_BITS: u64 = 0x7f7f_7f7f_7f7f_7f7f;
const TAG_TOPS: u64 = 0x0080_8080_8080_8080;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_found_in_exactly_their_lanes() {
        for pattern in 0..3_u64.pow(7) {
            let mut control = Control(0xff << 56);
            let mut tags = [0_u8; LANES];
            let mut rest = pattern;
            for (lane, tag) in tags.iter_mut().enumerate() {
                *tag = [0, 1, 0x80][(rest % 3) as usize];
                rest /= 3;
                control = control.with_tag(lane, *tag);
            }
            for tag in [1, 0x80, 0x81, 0xff] {
                let found: Vec<_> = control.lanes_with(tag).collect();
                let expected: Vec<_> = (0..LANES).filter(|&lane| tags[lane] == tag).collect();
                assert_eq!(found, expected);
            }
            assert_eq!(control.free_lane(), tags.iter().position(|&tag| tag == 0));
            assert_eq!(control.overflow(), 0xff);
        }
    }

    #[test]
    fn each_tag_but_zero_stands_for_one_low_byte_or_two() {
        let mut bytes = [0; 256];
        (0..=255).for_each(|low| bytes[usize::from(tag_of(low))] += 1);
        assert_eq!(bytes[0], 0, "zero says that a lane is free");
        assert!(bytes[1..].iter().all(|&count| count == 1 || count == 2), "{bytes:?}");
        assert!((0..=255).all(|low| tag_of(low | 0xabcd_ef00) == tag_of(low)));
    }

    #[test]
    fn overflow_sticks_at_its_end_and_no_tag_is_zero() {
        let mut control = Control(0);
        for _ in 0..300 {
            control = control.with_one_more_past();
        }
        assert_eq!(control.overflow(), 255);
        assert_eq!(control.with_one_fewer_past().overflow(), 255);
        assert!((0..=255_u32).all(|hash| tag_of(hash) != 0));
        assert!(!Control(0).with_one_more_past().with_one_fewer_past().is_overflown());
    }
}
