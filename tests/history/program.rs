//! What the threads of a run are to do: drawn from a seed.

use super::model::{Entrance, Limits, Ms, NEVER, Span};
use sundown::{OnFull, Reaper};

/// One call. Weights count only where the cache weighs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    Insert {
        key: u8,
        weight: u64,
    },
    Offer {
        entrance: Entrance,
        key: u8,
        weight: u64,
        span: Span,
    },
    Update {
        key: u8,
        weight: u64,
    },
    Get(u8),
    Read(u8),
    Peek(u8),
    ContainsKey(u8),
    Touch(u8),
    ExpiresIn(u8),
    Remove(u8),
    Discard(u8),
    RemoveIf {
        key: u8,
        is_even: bool,
    },
    Retain {
        is_even: bool,
    },
    ForEach,
    SetLifetime {
        key: u8,
        span: Span,
    },
    Stats,
    Audit,
    Reap,
    Clear,
    Close,
    /// By the first thread only.
    Advance(Ms),
}

/// What the cache is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) limits: Limits,
    pub(crate) shards: usize,
    pub(crate) reaper: Reaper,
    pub(crate) keys: u8,
    /// All keys have one hash.
    pub(crate) is_colliding: bool,
    /// The listener calls the cache.
    pub(crate) is_calling_back: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) setup: Setup,
    /// Before there are any threads.
    pub(crate) prologue: Vec<Act>,
    pub(crate) threads: Vec<Vec<Act>>,
}

/// How large programs are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub(crate) threads: (u64, u64),
    pub(crate) acts: (u64, u64),
    pub(crate) keys: (u64, u64),
}

/// splitmix64: small, and the same everywhere.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `limit`.
    fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit
    }

    fn within(&mut self, (least, most): (u64, u64)) -> u64 {
        least + self.below(most - least + 1)
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    fn span(&mut self) -> Span {
        let lifetimes = [None, None, Some(1), Some(2), Some(4), Some(NEVER)];
        Span { live_ms: self.pick(&lifetimes), idle_ms: self.pick(&lifetimes) }
    }
}

impl Program {
    pub(crate) fn draw(seed: u64, scale: Scale) -> Self {
        let mut dice = Dice(seed);
        let setup = Setup::draw(&mut dice, scale);
        let threads = dice.within(scale.threads);
        let threads = (0..threads).map(|thread| {
            let acts = dice.within(scale.acts);
            (0..acts).map(|_| Act::draw(&mut dice, &setup, thread == 0)).collect()
        });
        Self { setup, prologue: Vec::new(), threads: threads.collect() }
    }
}

impl Setup {
    fn draw(dice: &mut Dice, scale: Scale) -> Self {
        let keys = dice.within(scale.keys) as u8;
        let cap = dice.within((1, u64::from(keys)));
        let is_weighed = dice.chance(30);
        let limits = Limits {
            max_entries: (!is_weighed || dice.chance(50)).then_some(cap as usize),
            max_weight: is_weighed.then_some(2 * cap + 2),
            on_full: if dice.chance(75) { OnFull::Evict } else { OnFull::Reject },
            live_ms: dice.pick(&[NEVER, 2, 4, 8]),
            idle_ms: dice.pick(&[NEVER, 1, 3]),
        };
        Self {
            limits,
            shards: dice.pick(&[1, 1, 2]),
            reaper: if dice.chance(30) { Reaper::Thread } else { Reaper::Manual },
            keys,
            is_colliding: dice.chance(25),
            is_calling_back: dice.chance(30),
        }
    }
}

impl Act {
    fn draw(dice: &mut Dice, setup: &Setup, is_first: bool) -> Self {
        let key = dice.below(u64::from(setup.keys)) as u8;
        let weight = if dice.chance(3) { 100 } else { dice.within((1, 3)) };
        if is_first && dice.chance(45) {
            return if dice.chance(65) { Self::Advance(dice.within((1, 3))) } else { Self::Reap };
        }
        match dice.below(100) {
            0..24 => Self::Insert { key, weight },
            24..30 => Self::Offer { entrance: Entrance::Any, key, weight, span: dice.span() },
            30..36 => Self::Offer { entrance: Entrance::IfAbsent, key, weight, span: dice.span() },
            36..40 => Self::Offer { entrance: Entrance::Replace, key, weight, span: dice.span() },
            40..46 => Self::Update { key, weight },
            46..56 => Self::Get(key),
            56..64 => Self::Read(key),
            64..67 => Self::Peek(key),
            67..69 => Self::ContainsKey(key),
            69..72 => Self::Touch(key),
            72..75 => Self::ExpiresIn(key),
            75..80 => Self::Remove(key),
            80..83 => Self::Discard(key),
            83..87 => Self::RemoveIf { key, is_even: dice.chance(50) },
            87..89 => Self::Retain { is_even: dice.chance(50) },
            89..91 => Self::ForEach,
            91..94 => Self::SetLifetime { key, span: dice.span() },
            94 => Self::Stats,
            95 => Self::Audit,
            96..98 => Self::Reap,
            98 => Self::Clear,
            _ if dice.chance(40) => Self::Close,
            _ => Self::Get(key),
        }
    }
}
