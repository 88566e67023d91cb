//! Turns: what a lost race leads to, instead of another race.
//!
//! `update`, `remove_if` and `retain` judge a session outside the lock, and act under it if that
//! session is still the key's. If it has been replaced, they judge anew; a writer that is quicker than
//! their closure would win each time. So a call that has lost a few races *claims* the key, and from
//! then on whoever would put a session in there waits, outside the lock, until the claim ends. So the
//! call loses no further race, unless its closure takes very long.
//!
//! Readers, removals, expiry and eviction know nothing of claims. A key is its hash here: two keys of
//! one hash wait for each other.
//!
//! F1. Under the lock, nothing is put in under a hash that is claimed, except by a thread that has
//!     waited for that, or must not wait.
//! F2. Claims on one hash have their turns in the order in which they were made.
//! F3. A thread that has a turn, that is pinned, or that runs a listener or a destructor waits for no
//!     turn. So turns wait for each other in no circle, and no grace period waits for a turn.
//! F4. A wait ends after [`MOST_WAIT`], for a closure may be stuck, or may itself wait for the one who
//!     waits for it.

use core::time::Duration;

use super::{Gate, Shard, State};
use crate::platform::sync::{MutexGuard, TurnMark, may_wait, moment_in};

/// The claims on a shard's keys.
#[derive(Debug, Default)]
pub(super) struct Claims {
    line: Vec<Claim>,
    /// The number of the next claim.
    next: u64,
}

#[derive(Debug)]
struct Claim {
    hash: u32,
    number: u64,
}

impl Claims {
    fn add(&mut self, hash: u32) -> u64 {
        let number = self.next;
        self.next += 1;
        self.line.push(Claim { hash, number });
        number
    }

    fn remove(&mut self, number: u64) {
        self.line.retain(|claim| claim.number != number);
        if self.line.is_empty() {
            self.line = Vec::new();
        }
    }

    /// Whether a claim on a hash was made before claim number `before`.
    fn is_claimed(&self, hash: u32, before: u64) -> bool {
        self.line.iter().any(|claim| claim.hash == hash && claim.number < before)
    }
}

impl<K, V> State<K, V> {
    /// Whether a session that is put in under this hash has to wait (F1).
    pub(super) fn is_claimed(&self, hash: u32) -> bool {
        self.claims.is_claimed(hash, u64::MAX)
    }

    /// Opens the gate if there is nothing to watch any more.
    pub(super) fn open_gate(&mut self) {
        if self.gate == Gate::Watched && self.claims.line.is_empty() && self.fills.is_empty() {
            self.gate = Gate::Open;
        }
    }
}

impl<K, V> Shard<K, V> {
    /// Claims a hash, and waits for those who did so before (F2, F4).
    pub(crate) fn take_turn(&self, hash: u32) -> Turn<'_, K, V> {
        let mut state = self.state.lock();
        let number = state.claims.add(hash);
        if state.gate == Gate::Open {
            state.gate = Gate::Watched;
        }
        let may_wait = may_wait();
        // From here on the claim ends with the token.
        let turn = Turn { shard: self, number, _mark: TurnMark::set() };
        if may_wait {
            self.wait_for_claims(state, hash, number);
        }
        turn
    }

    /// Waits until those who have claimed a hash by now have had their turns (F4), if the thread may
    /// wait (F3).
    pub(crate) fn wait_for_turns(&self, hash: u32) {
        if may_wait() {
            let state = self.state.lock();
            let before = state.claims.next;
            self.wait_for_claims(state, hash, before);
        }
    }

    fn wait_for_claims(&self, mut state: MutexGuard<'_, State<K, V>>, hash: u32, before: u64) {
        let until = moment_in(MOST_WAIT);
        while state.claims.is_claimed(hash, before) {
            let is_late;
            (state, is_late) = self.turn_ended.wait(state, until);
            if is_late {
                return;
            }
        }
    }
}

/// A claim on a hash; it ends when this is dropped, also by a panic of the closure that it is for.
pub(crate) struct Turn<'s, K, V> {
    shard: &'s Shard<K, V>,
    number: u64,
    _mark: TurnMark,
}

impl<K, V> Drop for Turn<'_, K, V> {
    fn drop(&mut self) {
        let mut state = self.shard.state.lock();
        state.claims.remove(self.number);
        state.open_gate();
        drop(state);
        self.shard.turn_ended.ring();
    }
}

/// A closure that takes longer may lose races in its turn.
const MOST_WAIT: Duration = Duration::from_secs(1);

#[cfg(all(test, sundown_loom))]
mod loom_tests;
