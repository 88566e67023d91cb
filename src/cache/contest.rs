//! When a call that loses races takes a turn.
//!
//! Among quick closures, losing a race costs little, and racing on is faster than waiting in line. So
//! a call takes a turn only if it has lost time as well, or very often.

use super::core::Core;
use crate::platform::clock::MILLI_NS;
use crate::shard::{Shard, Turn};

/// The races that a call has lost for a key.
pub(super) struct Contest<'c, K, V> {
    lost: u32,
    /// When it lost the first one.
    since_ns: u64,
    turn: Option<Turn<'c, K, V>>,
}

impl<'c, K, V> Contest<'c, K, V> {
    /// Notes a lost race; the call that returns from here may have its turn, which lasts for as long as
    /// `contest`. To be called without holds, for it may wait.
    #[cold]
    pub(super) fn lose<S>(
        contest: &mut Option<Self>,
        core: &Core<K, V, S>,
        shard: &'c Shard<K, V>,
        hash: u32,
    ) {
        let now_ns = core.shared.clock.exact_ns();
        let contest = contest.get_or_insert(Self { lost: 0, since_ns: now_ns, turn: None });
        contest.lost += 1;
        let lost_ns = now_ns.saturating_sub(contest.since_ns);
        let is_enough =
            contest.lost >= MOST_RACES || contest.lost >= FEW_RACES && lost_ns >= LONG_NS;
        if is_enough && contest.turn.is_none() {
            contest.turn = Some(shard.take_turn(hash));
        }
    }
}

/// So many races may be lost to bad luck.
const FEW_RACES: u32 = 2;
/// As long as a closure should take at most.
const LONG_NS: u64 = MILLI_NS;
/// So many in a row are no luck, also by a clock that stands still.
const MOST_RACES: u32 = 16;
