//! What becomes of a map that two requests have changed.

use core::hash::{BuildHasher, Hash};
use std::collections::HashMap;

use super::error::Conflict;

/// Merges maps by key: what each request has changed since both loaded the session survives.
///
/// A key that the draft has as it was loaded stays as it is now, and stays gone if it is gone. A key that the
/// draft has changed, added or removed is as in the draft. To be given to
/// [`Tiered::save_with`](super::Tiered::save_with).
///
/// # Examples
///
/// ```
/// use std::collections::HashMap;
/// use sundown::fleet::{Conflict, merge_maps};
/// fn merge(conflict: Conflict<'_, HashMap<String, u64>>) -> Option<HashMap<String, u64>> {
///     Some(merge_maps(conflict))
/// }
/// # let _ = merge;
/// ```
#[must_use]
pub fn merge_maps<K, V, S>(conflict: Conflict<'_, HashMap<K, V, S>>) -> HashMap<K, V, S>
where
    K: Clone + Eq + Hash,
    V: Clone + PartialEq,
    S: BuildHasher + Clone,
{
    let Conflict { base, current, draft, .. } = conflict;
    let mut merged = current.clone();
    for (key, value) in draft {
        if base.get(key) != Some(value) {
            merged.insert(key.clone(), value.clone());
        }
    }
    for key in base.keys() {
        if !draft.contains_key(key) {
            merged.remove(key);
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map<const N: usize>(pairs: [(&'static str, u8); N]) -> HashMap<&'static str, u8> {
        pairs.into_iter().collect()
    }

    #[test]
    fn changes_of_both_survive_and_removals_stay() {
        let base = map([("user", 1), ("basket", 1), ("lang", 1)]);
        let current = map([("basket", 2), ("lang", 1), ("theme", 7)]);
        let draft = map([("user", 1), ("basket", 1), ("cart", 9)]);
        let merged = merge_maps(Conflict::of(&base, &current, &draft));
        assert_eq!(merged, map([("basket", 2), ("theme", 7), ("cart", 9)]));
    }

    #[test]
    fn a_key_that_both_have_changed_goes_to_the_later_one() {
        let (base, current, draft) = (map([("n", 1)]), map([("n", 2)]), map([("n", 3)]));
        assert_eq!(merge_maps(Conflict::of(&base, &current, &draft)), draft);
        assert_eq!(merge_maps(Conflict::of(&base, &current, &map([]))), map([]));
    }
}
