//! What must be the same in the model and in the cache, and when.

use super::model::{Event, Model, NEVER};
use super::op::KEYS;
use super::twin::{Reached, Twin, Value};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use sundown::{Expiry, Reason, Rejected, RemovalCause, Stats};

impl Twin {
    pub(crate) fn compare_refusal(
        &mut self,
        call: &str,
        (key, serial, weight): (u8, u32, u64),
        refused: Option<Rejected<u8, Value>>,
        expected: Option<Reason>,
    ) -> Result<(), String> {
        let reason = refused.as_ref().map(|refused| refused.reason);
        // Where two reasons hold, either will do.
        let is_heavy = self.setup.limits.max_weight.is_some_and(|most| weight > most);
        if !(is_heavy && expected.is_some() && reason == Some(Reason::TooHeavy)) {
            same(&format!("{call}'s refusal"), reason, expected)?;
        }
        let Some(refused) = refused else { return Ok(()) };
        self.reached.reasons.push(refused.reason);
        same("the pair handed back", (refused.key, refused.value.serial), (key, serial))
    }

    pub(crate) fn compare_what_shows(&self) -> Result<(), String> {
        let mut shown = Vec::new();
        self.cache.for_each(|&key, value| shown.push((key, value.serial)));
        shown.sort_unstable();
        let mut expected: Vec<_> = self.model.live().map(|s| (s.key, s.serial)).collect();
        expected.sort_unstable();
        same("the sessions shown", shown, expected)?;
        for key in 0..KEYS {
            self.compare_expiry(key)?;
        }
        let stats = self.cache.stats();
        same("inserted", stats.inserted, self.model.inserted)?;
        let accounted = stats.entries as u64 + stats.retired.count + stats.dropped;
        same("live + retired + dropped", accounted, stats.inserted)?;
        let is_within = self.setup.limits.max_entries.is_none_or(|most| self.cache.len() <= most)
            && self.setup.limits.max_weight.is_none_or(|most| self.cache.weight() <= most);
        same("the capacity holds", is_within, true)?;
        let audit = self.cache.audit().map_err(|error| format!("audit: {error}"))?;
        same("audited entries", audit.entries, self.cache.len())
    }

    pub(crate) fn compare_expiry(&self, key: u8) -> Result<(), String> {
        let shown = self.cache.expires_in(&key);
        let expected = self.model.find(key).map(|session| match session.deadline() {
            NEVER => Expiry::Never,
            deadline => Expiry::In(Duration::from_millis(deadline - self.model.now)),
        });
        same(&format!("expires_in of {key}"), shown, expected)
    }

    /// To be called when all that was unlinked has been freed.
    pub(crate) fn compare_what_is_linked(&mut self) -> Result<(), String> {
        same("len", self.cache.len(), self.model.coldest_first.len())?;
        same("is_empty", self.cache.is_empty(), self.model.coldest_first.is_empty())?;
        if self.setup.limits.max_weight.is_some() {
            same("weight", self.cache.weight(), self.model.weight())?;
        }
        same("values alive", Arc::strong_count(&self.alive) - 1, self.cache.len())?;
        compare_events(&self.events, &mut self.model, &mut self.reached)?;
        self.answered = 0;
        let stats = self.cache.stats();
        same("dropped", stats.dropped, stats.inserted - self.cache.len() as u64)?;
        same("overdue", stats.overdue, 0)?;
        same("evicted_inexact", stats.evicted_inexact, 0)?;
        for &(cause, count) in &self.reached.causes {
            same(&format!("the count of {cause:?}"), count_of(&stats, cause), count)?;
        }
        Ok(())
    }
}

/// M5. Both lists start afresh afterwards, so that long histories stay cheap.
pub(crate) fn compare_events(
    seen: &Mutex<Vec<Event>>,
    model: &mut Model,
    reached: &mut Reached,
) -> Result<(), String> {
    let mut seen = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
    let mut expected = std::mem::take(&mut model.events);
    for &(_, _, cause) in &expected {
        match reached.causes.iter_mut().find(|(known, _)| *known == cause) {
            Some((_, count)) => *count += 1,
            None => reached.causes.push((cause, 1)),
        }
    }
    // Stable: the order within each key stays.
    seen.sort_by_key(|event| event.0);
    expected.sort_by_key(|event| event.0);
    same("the events, by key", seen, expected)
}

fn count_of(stats: &Stats, cause: RemovalCause) -> u64 {
    match cause {
        RemovalCause::Expired => stats.expired,
        RemovalCause::Idle => stats.idle,
        RemovalCause::Evicted => stats.evicted,
        RemovalCause::Removed => stats.removed,
        RemovalCause::Replaced => stats.replaced,
        RemovalCause::Cleared => stats.cleared,
        _ => stats.closed,
    }
}

pub(crate) fn same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    actual: T,
    expected: T,
) -> Result<(), String> {
    if actual == expected {
        Ok(())
    } else {
        Err(format!("{what}: the cache says {actual:?}, the model {expected:?}"))
    }
}
