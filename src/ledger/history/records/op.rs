//! What may happen to a ledger, and how four bytes become one such thing.

use crate::ledger::history::Word;
use crate::ledger::history::aim::Aim;

/// When a session is to end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Due {
    At(Aim),
    Never,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    Insert {
        due: Due,
    },
    /// So many at once, one tick apart, so that slots and pages fill up.
    InsertRun {
        due: Due,
        count: u8,
    },
    /// Used now; the deadline may move on. Nobody tells the ledger.
    Touch {
        which: u8,
        due: Due,
    },
    /// A new lifetime: the ledger is told.
    Refile {
        which: u8,
        due: Due,
    },
    /// Another session takes the record over, with a use now or with the old one's.
    Swap {
        which: u8,
        due: Due,
        is_use: bool,
    },
    Remove {
        which: u8,
    },
    RemoveRun {
        which: u8,
        count: u8,
    },
    Reap {
        to: Aim,
        is_exact: bool,
        bite: usize,
    },
    ReapAt {
        which: u8,
        by: i8,
        is_exact: bool,
    },
    /// Sleeps until the ledger wants to be looked at.
    Sleep {
        bite: usize,
    },
    Evict {
        count: u8,
        bite: usize,
    },
    /// Evicts another one than the session that somebody needs.
    Spare {
        which: u8,
    },
    Trim,
}

impl Op {
    pub(super) fn decode([kind, which, near, slots]: Word) -> Self {
        let aim = Aim::decode(near, slots);
        let due = if near == 255 { Due::Never } else { Due::At(aim) };
        let is_exact = which % 2 == 0;
        let bite = if slots < 128 { 128 } else { usize::from(slots % 8) };
        match kind {
            0..50 => Self::Insert { due },
            50..56 => Self::InsertRun { due, count: which },
            56..90 => Self::Touch { which, due },
            90..110 => Self::Refile { which, due },
            110..125 => Self::Swap { which, due, is_use: kind % 2 == 0 },
            125..145 => Self::Remove { which },
            145..150 => Self::RemoveRun { which, count: slots / 2 },
            150..165 => Self::Reap { to: aim, is_exact, bite: if near < 64 { bite } else { 128 } },
            165..180 => Self::ReapAt { which, by: (near % 3) as i8 - 1, is_exact },
            180..205 => Self::Sleep { bite },
            205..230 => Self::Evict { count: 1 + which % 8, bite },
            230..245 => Self::Spare { which },
            245..=255 => Self::Trim,
        }
    }
}
