//! What a post does, drawn from the seed: the same calls in the same order on every machine.
//!
//! A post works in spells of one mood each. Only where the clock cuts the last spell of a round off,
//! and how the posts' calls mix, is left to the machine.

use crate::dice::Dice;
use crate::session::{Life, NEVER};

/// What prevails for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mood {
    /// Mostly reads, as on any day.
    Browse,
    /// A burst: log-ins upon log-ins.
    Storm,
    /// Sessions are replaced, updated, given other lives and logged out.
    Churn,
}

/// A mood, and for how many calls it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Spell {
    pub(crate) mood: Mood,
    pub(crate) calls: u64,
    pub(crate) opening: Opening,
}

/// What a spell begins with: a call that goes through everything is rare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Opening {
    Nothing,
    ForEach,
    Retain,
    Clear,
}

/// One call of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Get,
    Read,
    Peek,
    ContainsKey,
    Touch,
    ExpiresIn,
    Insert(Life, usize),
    InsertIfAbsent(Life, usize),
    Replace(Life, usize),
    Update,
    /// Only for the post's own keys.
    SetLifetime(Life),
    Remove,
    RemoveIf,
    Discard,
}

/// One post's traffic.
#[derive(Clone, Debug)]
pub(crate) struct Traffic {
    dice: Dice,
    post: u64,
    posts: u64,
    longest_life: u64,
}

impl Traffic {
    /// The traffic of the post with that number, out of `posts`.
    pub(crate) fn new(seed: u64, post: usize, posts: usize, longest_life: u64) -> Self {
        let dice = Dice::new(seed, post as u64);
        Self { dice, post: post as u64, posts: posts as u64, longest_life }
    }

    pub(crate) fn spell(&mut self) -> Spell {
        let (mood, most_calls) = match self.dice.below(10) {
            0..5 => (Mood::Browse, 100_000),
            5..7 => (Mood::Storm, 50_000),
            _ => (Mood::Churn, 50_000),
        };
        let opening = match self.dice.below(200) {
            0..4 => Opening::ForEach,
            4..8 => Opening::Retain,
            8..10 => Opening::Clear,
            _ => Opening::Nothing,
        };
        Spell { mood, calls: self.dice.magnitude(100, most_calls), opening }
    }

    pub(crate) fn call(&mut self, mood: Mood) -> (u64, Call) {
        let chance = self.dice.below(100);
        let call = match mood {
            Mood::Browse => match chance {
                0..35 => Call::Read,
                35..65 => Call::Get,
                65..70 => Call::Peek,
                70..74 => Call::ContainsKey,
                74..80 => Call::Touch,
                80..82 => Call::ExpiresIn,
                82..97 => self.insertion(),
                _ => Call::Discard,
            },
            Mood::Storm if chance < 95 => self.insertion(),
            Mood::Storm => Call::Read,
            Mood::Churn => match chance {
                0..25 => self.insertion(),
                25..35 => Call::InsertIfAbsent(self.life(), self.body()),
                35..45 => Call::Replace(self.life(), self.body()),
                45..60 => Call::Update,
                60..70 => Call::SetLifetime(self.life()),
                70..78 => Call::Remove,
                78..84 => Call::RemoveIf,
                84..92 => Call::Discard,
                _ => Call::Read,
            },
        };
        (self.key(call), call)
    }

    fn insertion(&mut self) -> Call {
        Call::Insert(self.life(), self.body())
    }

    /// Mixed lifetimes: absolute, sliding and both, from too short to be seen to the longest.
    fn life(&mut self) -> Life {
        let (longest, kind) = (self.longest_life, self.dice.below(3));
        let mut span = || self.dice.magnitude(SHORTEST_LIFE, longest);
        match kind {
            0 => Life { live: span(), idle: NEVER },
            1 => Life { live: NEVER, idle: span() },
            _ => Life { live: span(), idle: span() },
        }
    }

    fn body(&mut self) -> usize {
        self.dice.magnitude(64, 4_096) as usize
    }

    /// Half of the keys are everybody's, half the post's own; a few are asked for all the time. To
    /// look at another's key moves nothing.
    fn key(&mut self, call: Call) -> u64 {
        let place = match call {
            Call::Peek | Call::ContainsKey => self.dice.below(self.posts + 1),
            Call::SetLifetime(_) => self.post + 1,
            _ if self.dice.once_in(2) => EVERYBODYS,
            _ => self.post + 1,
        };
        let number = self.dice.below(KEYS);
        let number = if self.dice.once_in(4) { number % HOT_KEYS } else { number };
        key(place, number)
    }
}

/// The key with that number in a place: 0 is everybody's, then come the posts'.
pub(crate) fn key(place: u64, number: u64) -> u64 {
    place << 32 | number
}

/// Whether only one post moves the deadlines of that key.
pub(crate) fn place_of(key: u64) -> u64 {
    key >> 32
}

/// Where keys are that every post writes.
pub(crate) const EVERYBODYS: u64 = 0;

/// A millisecond: less than a tick of the wheel.
const SHORTEST_LIFE: u64 = 1_000_000;

/// In each place; all together more than the cache has room for.
const KEYS: u64 = 1 << 17;

/// A quarter of all calls go to these.
const HOT_KEYS: u64 = 256;
