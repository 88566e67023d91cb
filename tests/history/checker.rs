//! Is there an order of the calls, each at some instant between its beginning and its end, in which
//! the specification answers all of them as the cache did?
//!
//! The search is Wing and Gong's \[1\] with Lowe's memory \[2\]: any call may come next that began
//! before every other one left had returned; a set of calls done and a state that were met before
//! are not tried again. Keys are independent of each other, so each is searched for itself \[3\].
//!
//! \[1\] Testing and verifying concurrent objects, JPDC 1993. \[2\] Testing for linearizability,
//!     Concurrency and Computation 2017. \[3\] Herlihy, Wing, Linearizability, TOPLAS 1990: locality.

use super::accounts;
use super::model::{Limits, Ms};
use super::record::{Call, History};
use super::specification::{Known, Print, State};
use std::collections::HashSet;

/// Checks all keys.
///
/// # Errors
///
/// The calls on the first key that no order explains.
pub(crate) fn check(history: &History, limits: Limits, keys: u8) -> Result<(), String> {
    let crowded = accounts::crowded_insertions(history, limits);
    for key in 0..keys {
        let mut calls: Vec<&Call> = history.calls.iter().filter(|call| call.key == key).collect();
        calls.sort_by_key(|call| call.invoked);
        if calls.len() > MOST_CALLS {
            return Err(format!("{} calls on one key are too many to check", calls.len()));
        }
        let ends = history.ends.iter().filter(|end| end.key == key);
        let known = Known {
            max_weight: limits.max_weight,
            times_ms: &history.times_ms,
            ends: ends.map(|end| (end.serial, *end)).collect(),
        };
        let mut search =
            Search { calls: &calls, known: &known, crowded: &crowded, met: HashSet::new() };
        if !search.can_end(0, &State::new(limits)) {
            return Err(search.complaint(key));
        }
    }
    Ok(())
}

/// One bit for each call that is done.
type Done = u128;

struct Search<'h> {
    /// By their beginnings.
    calls: &'h [&'h Call],
    known: &'h Known<'h>,
    /// When insertions, of any key, were under way for which the cap had no room.
    crowded: &'h [(u64, u64)],
    met: HashSet<(Done, Print)>,
}

impl Search<'_> {
    /// Whether the calls that are left can be explained from here.
    fn can_end(&mut self, done: Done, state: &State) -> bool {
        if !self.met.insert((done, state.print())) {
            return false;
        }
        let left = || self.calls.iter().enumerate().filter(|(at, _)| done & (1 << at) == 0);
        let Some(horizon) = left().map(|(_, call)| call.returned).min() else {
            return state.session().is_none();
        };
        let latest_ms: Ms = left().map(|(_, call)| call.to_ms).min().unwrap_or(0);
        let next: Vec<usize> =
            left().filter(|(_, call)| call.invoked < horizon).map(|(at, _)| at).collect();
        for at in next {
            for after in state.after(self.calls[at], self.known) {
                if self.can_end(done | (1 << at), &after) {
                    return true;
                }
            }
        }
        let began = self.calls.iter().enumerate().filter(|(at, _)| done & (1 << at) != 0);
        let began = began.map(|(_, call)| call.invoked).max().unwrap_or(0);
        let may_evict = self.crowded.iter().any(|&(from, to)| from < horizon && began < to);
        let own = state.after_step_of_its_own(latest_ms, may_evict, self.known);
        own.is_some_and(|after| self.can_end(done, &after))
    }

    fn complaint(&self, key: u8) -> String {
        let best = self.met.iter().max_by_key(|(done, _)| done.count_ones());
        let mut text = format!("no order explains the calls on key {key}:\n");
        for (at, call) in self.calls.iter().enumerate() {
            let is_done = best.is_some_and(|(done, _)| done & (1 << at) != 0);
            let mark = if is_done { ' ' } else { '?' };
            text += &format!(
                "{mark} {:5} to {:5}, {} to {} ms: {:?}\n",
                call.invoked, call.returned, call.from_ms, call.to_ms, call.what
            );
        }
        let mut ends: Vec<_> = self.known.ends.values().collect();
        ends.sort_by_key(|end| end.told);
        for end in ends {
            text += &format!(
                "  {:5} at {} ms: {} {:?}\n",
                end.told, end.told_ms, end.serial, end.cause
            );
        }
        text + &format!("the clock: {:?}\nthe furthest state: {best:?}", self.known.times_ms)
    }
}

/// As many as `Done` has bits.
const MOST_CALLS: usize = Done::BITS as usize;
