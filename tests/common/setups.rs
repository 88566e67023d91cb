//! The configurations that histories run on.

use super::model::{Limits, NEVER};
use super::twin::Setup;
use std::time::Duration;
use sundown::OnFull;

const BOTH_LIFETIMES: Limits = Limits { live_ms: 50, idle_ms: 20, ..Limits::PLAIN };

const BY_WEIGHT: Limits = Limits {
    max_entries: None,
    max_weight: Some(24),
    live_ms: 5_000,
    idle_ms: 100,
    ..Limits::PLAIN
};

const BY_BOTH: Limits = Limits {
    max_entries: Some(6),
    max_weight: Some(24),
    live_ms: NEVER,
    idle_ms: 100,
    ..Limits::PLAIN
};

pub(crate) const ONE_SHARD: Setup = Setup {
    limits: BOTH_LIFETIMES,
    shards: 1,
    resolution: Duration::from_millis(10),
    is_reaped_each_step: true,
    hash_seed: 0,
    is_calling_back: false,
};

pub(crate) const THE_DEAD_PILE_UP: Setup = Setup { is_reaped_each_step: false, ..ONE_SHARD };

pub(crate) const FOUR_SHARDS: Setup = Setup { shards: 4, ..ONE_SHARD };

pub(crate) const NO_LIFETIMES: Setup =
    Setup { limits: Limits::PLAIN, shards: 4, is_reaped_each_step: false, ..ONE_SHARD };

pub(crate) const ROOM_FOR_ALL: Setup = Setup {
    limits: Limits { max_entries: Some(100), live_ms: 1_000, ..BOTH_LIFETIMES },
    resolution: Duration::from_millis(1),
    ..ONE_SHARD
};

pub(crate) const A_SINGLE_PLACE: Setup = Setup {
    limits: Limits { max_entries: Some(1), ..BOTH_LIFETIMES },
    is_reaped_each_step: false,
    ..ONE_SHARD
};

pub(crate) const CAP_ON_WEIGHT: Setup = Setup { limits: BY_WEIGHT, ..ONE_SHARD };

pub(crate) const CAP_ON_WEIGHT_PILED_UP: Setup =
    Setup { shards: 4, is_reaped_each_step: false, ..CAP_ON_WEIGHT };

pub(crate) const BOTH_CAPS: Setup = Setup { limits: BY_BOTH, shards: 4, ..ONE_SHARD };

pub(crate) const BOTH_CAPS_PILED_UP: Setup = Setup {
    limits: BY_BOTH,
    resolution: Duration::from_secs(3_600),
    is_reaped_each_step: false,
    ..ONE_SHARD
};

pub(crate) const REJECTING: Setup = Setup {
    limits: Limits { on_full: OnFull::Reject, ..BOTH_LIFETIMES },
    shards: 4,
    is_reaped_each_step: false,
    ..ONE_SHARD
};

pub(crate) const REJECTING_BY_WEIGHT: Setup =
    Setup { limits: Limits { on_full: OnFull::Reject, ..BY_BOTH }, ..ONE_SHARD };

pub(crate) const CALLING_BACK: Setup = Setup { shards: 4, is_calling_back: true, ..ONE_SHARD };

/// What whoever draws a configuration draws from.
pub(crate) const ALL: [Setup; 13] = [
    ONE_SHARD,
    THE_DEAD_PILE_UP,
    FOUR_SHARDS,
    NO_LIFETIMES,
    ROOM_FOR_ALL,
    A_SINGLE_PLACE,
    CAP_ON_WEIGHT,
    CAP_ON_WEIGHT_PILED_UP,
    BOTH_CAPS,
    BOTH_CAPS_PILED_UP,
    REJECTING,
    REJECTING_BY_WEIGHT,
    CALLING_BACK,
];
