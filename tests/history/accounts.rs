//! What must be true of a history as a whole.

use super::model::Limits;
use super::record::{Call, History, What};
use std::collections::HashMap;
use sundown::{Reason, RemovalCause};

/// Every insertion has exactly one event; removals and refusals are what the calls said.
///
/// # Errors
///
/// What does not add up.
pub(crate) fn check(history: &History, limits: Limits) -> Result<(), String> {
    let mut events: HashMap<u32, u32> = HashMap::new();
    for end in &history.ends {
        *events.entry(end.serial).or_default() += 1;
    }
    let entered: Vec<u32> = history
        .calls
        .iter()
        .filter_map(entry)
        .filter(|entry| entry.is_in)
        .map(|e| e.serial)
        .collect();
    for serial in &entered {
        let told = events.remove(serial).unwrap_or(0);
        if told != 1 {
            return Err(format!("session {serial} has {told} events"));
        }
    }
    if !events.is_empty() {
        return Err(format!("events of what was never inserted: {events:?}"));
    }
    let said = history.calls.iter().filter(|call| has_removed(call)).count() as u64;
    let told = history.ends.iter().filter(|end| end.cause == RemovalCause::Removed).count() as u64;
    if said + history.retained_out != told {
        let retained_out = history.retained_out;
        return Err(format!("{said} and {retained_out} removed, {told} events tell of it"));
    }
    let crowded = crowded_insertions(history, limits);
    for call in &history.calls {
        let is_full = matches!(
            call.what,
            What::Offer { refused: Some(Reason::Full), .. }
                | What::Update { result: Err(Reason::Full), .. }
        );
        if is_full && !crowded.contains(&(call.invoked, call.returned)) {
            return Err(format!("refused while there was room: {call:?}"));
        }
    }
    Ok(())
}

fn has_removed(call: &Call) -> bool {
    match call.what {
        What::Remove(removed) => removed.is_some(),
        What::Discard(is_removed) | What::RemoveIf { is_removed, .. } => is_removed,
        _ => false,
    }
}

/// A session that was offered, and when it could have taken room.
struct Entry {
    serial: u32,
    weight: u64,
    is_in: bool,
}

fn entry(call: &Call) -> Option<Entry> {
    match call.what {
        What::Offer { serial, weight, refused, .. } => {
            Some(Entry { serial, weight, is_in: refused.is_none() })
        }
        What::Update { serial, weight, result, seen } => {
            seen.map(|_| Entry { serial, weight, is_in: result == Ok(true) })
        }
        _ => None,
    }
}

/// The insertions for which the cap may have had no room: with all that could have been in while
/// they were under way, or had room reserved, it was exceeded. Nobody else may evict or refuse.
pub(crate) fn crowded_insertions(history: &History, limits: Limits) -> Vec<(u64, u64)> {
    let told: HashMap<u32, u64> = history.ends.iter().map(|end| (end.serial, end.told)).collect();
    let insertions: Vec<(&Call, Entry)> =
        history.calls.iter().filter_map(|call| Some((call, entry(call)?))).collect();
    let is_crowded = |call: &Call| {
        let (mut entries, mut weight) = (0, 0);
        for (other, entry) in &insertions {
            let until = if entry.is_in { told.get(&entry.serial).copied() } else { None };
            let until = until.unwrap_or(other.returned).max(other.returned);
            if other.invoked < call.returned && call.invoked < until {
                entries += 1;
                weight += entry.weight;
            }
        }
        limits.max_entries.is_some_and(|most| entries > most)
            || limits.max_weight.is_some_and(|most| weight > most)
    };
    let crowded = insertions.iter().map(|(call, _)| *call).filter(|call| is_crowded(call));
    crowded.map(|call| (call.invoked, call.returned)).collect()
}
