//! What becomes of a session when requests that run side by side save it: a merge by name, against
//! what each of them has loaded.
//!
//! Two requests load a session; one sets the basket, the other the theme, both save. The copy of the
//! second does not have the basket, and if it overwrote the session the basket would be lost. Worse,
//! if the first has removed the user, the copy of the second would bring the user back. So a save
//! does not put its copy in place of the session, but does to the session what its request did to
//! its copy:
//!
//! M1. A pair that the copy still has as it was loaded is left alone: it stays as it is now, and if
//!     it is gone it stays gone.
//! M2. A pair that the request has changed or added goes in; the later save of one name wins.
//! M3. A name that the request has removed is removed.
//! M4. A pair that the session held after the copy was loaded, and no longer holds, does not come
//!     back: the request has saved it before, and another one has removed or changed it since.
//!
//! What was loaded is known by a [`Digest`]: hashes of 64 bits under keys that are drawn at random
//! for each store, so that no user can choose values that collide.

use core::hash::{BuildHasher, Hash};
use std::collections::HashMap;
use std::sync::Arc;

use crate::platform::hasher::RandomState;

/// What a framework keeps of a session: values by name.
pub(super) type Pairs<V> = HashMap<String, V>;

/// The pairs of a session at some moment, as hashes of name and value, in the order of the names'.
pub(super) type Digest = Arc<[(u64, u64)]>;

/// Digests and merges, under the keys of one store.
#[derive(Clone)]
pub(super) struct Merger {
    hasher: RandomState,
}

impl Merger {
    pub(super) fn new() -> Self {
        Self { hasher: RandomState::preset() }
    }

    pub(super) fn digest<V: Hash>(&self, pairs: &Pairs<V>) -> Digest {
        let mut hashes: Vec<_> =
            pairs.iter().map(|(name, value)| (self.name(name), self.value(value))).collect();
        hashes.sort_unstable();
        hashes.into()
    }

    pub(super) fn name(&self, name: &str) -> u64 {
        self.hasher.hash_one(name)
    }

    fn value<V: Hash>(&self, value: &V) -> u64 {
        self.hasher.hash_one(value)
    }

    /// Whether a digest has the pair of this name.
    pub(super) fn is_in<V: Hash>(&self, digest: &Digest, name: &str, pairs: &Pairs<V>) -> bool {
        pairs.get(name).is_some_and(|value| holds(digest, (self.name(name), self.value(value))))
    }

    /// What `current` becomes when a request saves `draft`, which was `base` when it was loaded;
    /// `later` are the digests of what the session was since, up to `current`.
    ///
    /// **Complexity:** linear in the names, times the length of `later` for those that the request
    /// has changed.
    pub(super) fn merge<V: Clone + Eq + Hash>(
        &self,
        current: &Pairs<V>,
        draft: &Pairs<V>,
        base: &Digest,
        later: &[Digest],
    ) -> Pairs<V> {
        let mut merged = Pairs::with_capacity(current.len().max(draft.len()));
        for (name, value) in draft {
            let pair = (self.name(name), self.value(value));
            let is_untouched = holds(base, pair);
            let is_given_up = || later.iter().any(|digest| holds(digest, pair));
            let kept = if is_untouched || is_given_up() { current.get(name) } else { Some(value) };
            if let Some(kept) = kept {
                merged.insert(name.clone(), kept.clone());
            }
        }
        for (name, value) in current {
            // What the copy does not have it has either removed or never seen.
            if !draft.contains_key(name) && !names(base, self.name(name)) {
                merged.insert(name.clone(), value.clone());
            }
        }
        merged
    }

    /// What of `draft` goes along under a new key; `last` is what the session was last, if that may
    /// go along at all (M1, M2, M4).
    pub(super) fn carry_over<V: Clone + Hash>(
        &self,
        draft: &Pairs<V>,
        (base, later, last): (&Digest, &[Digest], Option<&Digest>),
    ) -> Pairs<V> {
        let goes_along = |name: &str, value: &V| {
            let pair = (self.name(name), self.value(value));
            let was_held = holds(base, pair) || later.iter().any(|digest| holds(digest, pair));
            !was_held || last.is_some_and(|last| holds(last, pair))
        };
        let pairs = draft.iter().filter(|(name, value)| goes_along(name, value));
        pairs.map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

/// What is left of a digest when what `base` has and `draft` has not is taken away.
pub(super) fn without(digest: &Digest, base: &Digest, draft: &Digest) -> Digest {
    let is_taken = |&pair: &(u64, u64)| holds(base, pair) && !holds(draft, pair);
    digest.iter().filter(|pair| !is_taken(pair)).copied().collect()
}

fn holds(digest: &Digest, pair: (u64, u64)) -> bool {
    digest.binary_search(&pair).is_ok()
}

fn names(digest: &Digest, name: u64) -> bool {
    digest.binary_search_by_key(&name, |&(name, _)| name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs<const N: usize>(pairs: [(&str, u8); N]) -> Pairs<u8> {
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Merges `draft` into the last of `history`; the draft was loaded when the first was current.
    fn merged<const N: usize>(history: &[Pairs<u8>], draft: [(&str, u8); N]) -> Pairs<u8> {
        let merger = Merger::new();
        let digests: Vec<Digest> = history.iter().map(|pairs| merger.digest(pairs)).collect();
        let (current, later) = (history.last().unwrap(), &digests[1..digests.len().max(2) - 1]);
        merger.merge(current, &pairs(draft), &digests[0], later)
    }

    #[test]
    fn changes_of_both_survive() {
        let history = [pairs([("user", 1)]), pairs([("user", 1), ("cart", 7)])];
        let both = merged(&history, [("user", 1), ("theme", 2)]);
        assert_eq!(both, pairs([("user", 1), ("cart", 7), ("theme", 2)]));
    }

    #[test]
    fn what_was_removed_stays_removed() {
        let history = [pairs([("user", 1), ("n", 0)]), pairs([("n", 0)])];
        assert_eq!(merged(&history, [("user", 1), ("n", 5)]), pairs([("n", 5)]));
        let history = [pairs([("user", 1)]), pairs([("user", 1), ("n", 0)])];
        assert_eq!(merged(&history, []), pairs([("n", 0)]), "a removal is a change");
    }

    #[test]
    fn the_later_save_of_a_name_wins_also_over_a_removal() {
        let history = [pairs([("a", 1), ("b", 1)]), pairs([("a", 2)])];
        assert_eq!(merged(&history, [("a", 3), ("b", 3)]), pairs([("a", 3), ("b", 3)]));
        let history = [pairs([("a", 1)]), pairs([("a", 2)])];
        assert_eq!(merged(&history, []), pairs([]), "removed after it was changed");
        assert_eq!(merged(&history, [("a", 1)]), pairs([("a", 2)]), "left alone");
    }

    #[test]
    fn under_a_new_key_goes_what_the_session_still_was_and_what_is_new() {
        let merger = Merger::new();
        let draft = pairs([("user", 1), ("cart", 7), ("own", 3), ("given up", 4)]);
        let base = merger.digest(&pairs([("user", 1), ("cart", 7)]));
        let later = [merger.digest(&pairs([("given up", 4)]))];
        let last = merger.digest(&pairs([("cart", 7), ("theirs", 1)]));
        let carried = merger.carry_over(&draft, (&base, &later, Some(&last)));
        assert_eq!(carried, pairs([("cart", 7), ("own", 3)]));
        assert_eq!(merger.carry_over(&draft, (&base, &later, None)), pairs([("own", 3)]));
    }

    #[test]
    fn what_the_session_has_held_since_and_given_up_does_not_come_back() {
        // The request has saved the user, another one has removed it, and the first saves again.
        let history = [pairs([]), pairs([("user", 1)]), pairs([])];
        assert_eq!(merged(&history, [("user", 1)]), pairs([]));
        assert_eq!(merged(&history, [("user", 2)]), pairs([("user", 2)]), "another one logs in");
    }
}
