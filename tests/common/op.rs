//! Every public operation as a value, and how four bytes become one.
//!
//! The property tests, the fuzzer, the tests under shuttle and the soak all draw bytes and decode them
//! here, so that a failure found by one is replayed by the others. Small bytes decode to plain
//! operations, so that shrinking a byte simplifies the operation.

use super::model::{Ms, NEVER, Span};

/// How many keys there are: few, so that they collide.
pub(crate) const KEYS: u8 = 16;

/// Among them the edges of the wheels' levels, years, and more than any lifetime may be.
const LIFETIMES_MS: [Ms; 14] =
    [0, 1, 2, 5, 10, 63, 64, 65, 1_000, 4_096, 60_000, 30 * DAY_MS, 9 * YEAR_MS, AGES];
/// What stands for `Duration::MAX`.
pub(crate) const AGES: Ms = NEVER - 1;
pub(crate) const DAY_MS: Ms = 86_400_000;
pub(crate) const YEAR_MS: Ms = 365 * DAY_MS;

/// One step of a history.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    Insert {
        key: u8,
        weight: u64,
    },
    InsertFor {
        key: u8,
        weight: u64,
        span: Span,
    },
    InsertIfAbsent {
        key: u8,
        weight: u64,
        span: Span,
    },
    Replace {
        key: u8,
        weight: u64,
        span: Span,
    },
    Update {
        key: u8,
        weight: u64,
    },
    Get {
        key: u8,
    },
    Read {
        key: u8,
    },
    Peek {
        key: u8,
    },
    ContainsKey {
        key: u8,
    },
    Touch {
        key: u8,
    },
    Remove {
        key: u8,
    },
    Discard {
        key: u8,
    },
    /// Removes the key if its value's serial number is even, or odd.
    RemoveIf {
        key: u8,
        is_even: bool,
    },
    /// Keeps the serial numbers that `divisor` divides.
    Retain {
        divisor: u32,
    },
    SetLifetime {
        key: u8,
        span: Span,
    },
    Reap,
    Advance {
        ms: Ms,
    },
    /// Aims at the edge of a live session's deadline: the `which`-th to come.
    ToDeadline {
        which: u8,
        delta_ms: i64,
    },
    Leap {
        years: u64,
    },
    Clear,
    Close,
}

impl Op {
    /// Decodes an operation. Any four bytes will do.
    pub(crate) fn decode([kind, key, weight, span]: [u8; 4]) -> Self {
        let (key, choice) = (key % KEYS, key / KEYS);
        let (span, weight) = (decode_span(span), decode_weight(weight));
        match kind {
            0..40 => Self::Insert { key, weight },
            40..75 => Self::InsertFor { key, weight, span },
            75..81 => Self::InsertIfAbsent { key, weight, span },
            81..89 => Self::Replace { key, weight, span },
            89..110 => Self::Update { key, weight },
            110..130 => Self::Get { key },
            130..140 => Self::Read { key },
            140..145 => Self::Peek { key },
            145..150 => Self::ContainsKey { key },
            150..160 => Self::Touch { key },
            160..166 => Self::Remove { key },
            166..171 => Self::Discard { key },
            171..178 => Self::RemoveIf { key, is_even: choice % 2 == 0 },
            178..182 => Self::Retain { divisor: 1 + u32::from(choice % 4) },
            182..200 => Self::SetLifetime { key, span },
            200..212 => Self::Reap,
            212..225 => Self::Advance { ms: u64::from(key) * u64::from(choice) },
            225..250 => Self::ToDeadline { which: key, delta_ms: i64::from(choice % 4) - 2 },
            250..253 => Self::Leap { years: 1 + u64::from(choice % 4) },
            253..255 => Self::Clear,
            // One in 4,096: a closed cache has little left to show.
            255 if choice == 15 => Self::Close,
            255 => Self::Reap,
        }
    }
}

/// Mostly light, sometimes nothing, now and then heavier than any cache here can take.
fn decode_weight(byte: u8) -> u64 {
    match byte {
        0..160 => u64::from(byte % 9),
        160..254 => u64::from(byte % 24),
        254 => 1_000,
        255 => u64::MAX,
    }
}

/// A nibble each: 0 inherits, 1 is for ever, the rest looks a lifetime up.
fn decode_span(byte: u8) -> Span {
    let lifetime = |nibble: u8| match nibble {
        0 => None,
        1 => Some(NEVER),
        _ => Some(LIFETIMES_MS[usize::from(nibble) - 2]),
    };
    Span { live_ms: lifetime(byte & 15), idle_ms: lifetime(byte >> 4) }
}
