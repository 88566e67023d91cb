//! What may happen to an index, and how four bytes become one such thing.

use crate::index::{Succession, Use};

/// What one step is decoded from.
pub(crate) type Word = [u8; 4];

/// A key that chooses its own hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Key {
    pub(super) home: u8,
    pub(super) tag: u8,
    pub(super) number: u16,
}

impl Key {
    pub(super) fn hash(self) -> u32 {
        u32::from(self.home) << 24 | u32::from(self.tag)
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    /// Links the key, or has it supersede the entry that is in.
    Put {
        key: Key,
        succession: Succession,
        lives_ms: u64,
    },
    /// Links so many keys with one hash.
    PutRun {
        key: Key,
        count: u8,
    },
    Remove {
        key: Key,
    },
    RemoveRun {
        key: Key,
        count: u8,
    },
    LookUp {
        key: Key,
        wish: Use,
    },
    Hold {
        key: Key,
    },
    Release {
        which: u8,
    },
    /// Copies the table into one with room for so many more.
    Rebuild {
        more: usize,
    },
    Fit,
    Wait {
        ms: u64,
    },
}

impl Op {
    pub(super) fn decode([kind, place, number, more]: Word) -> Self {
        // Few keys, so that they are met again; sometimes others.
        let key = Key {
            home: [0, 0, 0x80, place & 0xf0][usize::from(place % 4)],
            tag: [0, 0, 1, 255][usize::from(place / 4 % 4)],
            number: u16::from(if number < 200 { number % 4 } else { number }),
        };
        let successions = [Succession::Always, Succession::IfDue, Succession::Inherit];
        let wishes = [Use::Peek, Use::Touch];
        match kind {
            0..86 => Self::Put {
                key,
                succession: successions[usize::from(kind % 3)],
                lives_ms: if more < 192 { u64::MAX } else { u64::from(more / 4) },
            },
            86..100 => Self::PutRun { key, count: more },
            100..140 => Self::Remove { key },
            140..160 => Self::RemoveRun { key, count: more },
            160..190 => Self::LookUp { key, wish: wishes[usize::from(kind % 2)] },
            190..205 => Self::Hold { key },
            205..220 => Self::Release { which: number },
            220..230 => Self::Rebuild { more: usize::from(number) * usize::from(more % 8) },
            230..245 => Self::Fit,
            245..=255 => Self::Wait { ms: u64::from(more) },
        }
    }
}
