//! What may happen to a wheel, and how four bytes become one such thing.

use crate::ledger::history::Word;
use crate::ledger::history::aim::Aim;

#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    File {
        at: Aim,
    },
    Unfile {
        which: u8,
    },
    Refile {
        which: u8,
        at: Aim,
    },
    /// The true key moves on, and nobody tells the wheel.
    Touch {
        which: u8,
        at: Aim,
    },
    /// Goes to a moment and looks at so many records.
    Go {
        to: Aim,
        is_exact: bool,
        bite: usize,
    },
    /// Goes to a record's true key, or a little before or after it.
    GoTo {
        which: u8,
        by: i8,
        is_exact: bool,
    },
    /// Sleeps until the wheel wants to be looked at.
    Sleep {
        bite: usize,
    },
    /// Takes the first few out, or leaves them and passes over one record meanwhile.
    First {
        count: u8,
        spared: Option<u8>,
    },
    /// Empties upper slots ahead of time.
    Settle {
        bite: usize,
    },
    Trim,
}

impl Op {
    pub(super) fn decode([kind, which, near, slots]: Word) -> Self {
        let at = Aim::decode(near, slots);
        let is_exact = kind % 2 == 0;
        let bite = if which < 128 { usize::MAX } else { usize::from(which % 8) };
        match kind {
            0..80 => Self::File { at },
            80..100 => Self::Unfile { which },
            100..120 => Self::Refile { which, at },
            120..150 => Self::Touch { which, at },
            150..165 => Self::Go { to: at, is_exact, bite },
            165..190 => Self::GoTo { which, by: (near % 3) as i8 - 1, is_exact },
            190..220 => Self::Sleep { bite },
            220..240 => Self::First { count: near % 8, spared: is_exact.then_some(which) },
            240..250 => Self::Settle { bite },
            250..=255 => Self::Trim,
        }
    }
}
