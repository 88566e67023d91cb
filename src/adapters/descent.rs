//! What requests under way have loaded, and what has become of it since.
//!
//! A framework hands a copy of a session to each request and takes one back, with nothing that says
//! which session, or which state of it, the copy was made of. Two questions hang on that: what has
//! this request changed (`merge.rs`), and was the session that it carries under a new id logged out
//! since?
//!
//! A copy does carry a hidden mark: the hasher of its `HashMap`. The standard library draws
//! one for each map that is made, and it goes along when a map is cloned, changed, cleared or moved.
//! The maps in the cache have one each, loads are clones, so the fingerprint of a copy's hasher names
//! the *revision* that it was loaded from: without a byte in the session, at no cost to a load. A map
//! that a request has made itself has a fingerprint that no revision has.
//!
//! ```text
//!   revision ──superseded by──► revision ──superseded by──► current     bases: digest, successor
//!                                                              │
//!                                                         deleted once: a rotation, or a log-out
//!                                                          │                            │
//!                                          created from it: claimed, successor     deleted again
//! ```
//!
//! D1. A save leaves the digests of the revision that it supersedes, before it does, and of the one
//!     that it makes; so a copy's base is known unless it was superseded over [`MEMORY_AGE`] ago or
//!     some [`MOST_BASES`] digests were left since. The last one names itself as its successor.
//! D2. A request saves twice at times. What its copy was at the first save is its base at the second,
//!     though the fingerprint is the same: it is known by the place of the copy.
//! D3. A new id is a deletion and then a creation, and so is a log-out before a flash message. The
//!     first creation from what was deleted takes along what the session still was. If it was deleted again, by another
//!     request, a log-out may be among the two: what is created from it has only what its request
//!     itself has put in, and what was created from it before is deleted with it.
//!     A save that comes between the two, or after them, is done to the new session; of one that comes
//!     between, only what it takes away is done.
//! D4. Only a deletion of something live is remembered: ids of no session displace nothing.

use core::hash::{BuildHasher, Hash};
use core::time::Duration;
use std::sync::Arc;

use super::merge::{Digest, Merger, Pairs};
use crate::builder::Builder;
use crate::cache::Cache;
use crate::error::BuildError;
use crate::lifetime::Lifetime;
use crate::memory::GiveBack;

/// Names a state of a session: the fingerprint of its map's hasher.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Revision(pub(super) u64);

impl Revision {
    pub(super) fn of<V>(pairs: &Pairs<V>) -> Self {
        Self(pairs.hasher().hash_one(0_u8))
    }
}

/// The same pairs as a revision of their own.
pub(super) fn renewed<V>(pairs: Pairs<V>) -> Pairs<V> {
    pairs.into_iter().collect()
}

/// What a copy was made of.
pub(super) struct Origin<K> {
    pub(super) key: K,
    pub(super) base: Digest,
    /// What the session was since, the oldest first, but for what it was last.
    pub(super) later: Vec<Digest>,
    /// What it was last, if that is known.
    pub(super) last: Option<Digest>,
}

/// What becomes of what is created from a session's copy (D3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Claim {
    /// It is independent of what it was copied from: that was not deleted.
    Free,
    /// It takes the deleted session's place.
    Rotation,
    /// It has only what its request has put in.
    OwnOnly,
}

/// What a store remembers of revisions and deletions. Handles of it are cheap.
pub(super) struct Descents<K> {
    merger: Merger,
    bases: Cache<Place, Base<K>>,
    ends: Cache<K, End<K>>,
}

/// A revision, or a copy of it that has been saved.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    revision: Revision,
    /// Where the copy lies; 0 stands for the revision itself.
    address: usize,
}

#[derive(Clone)]
struct Base<K> {
    key: K,
    digest: Digest,
    next: Revision,
    /// Of a copy: where its names lie, by their hashes.
    names: Arc<[(u64, usize)]>,
}

#[derive(Clone)]
struct End<K> {
    /// Saturates.
    deletions: u32,
    successor: Option<K>,
    /// What the session was last.
    last: Digest,
}

/// What was superseded, to be confirmed when that is certain.
pub(super) struct Superseded<K> {
    revision: Revision,
    base: Base<K>,
    /// Whether the revision names it as its successor.
    is_noted: bool,
}

impl<K> Descents<K>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
{
    /// A memory that goes by the clock of the cache that is to be built.
    pub(super) fn of<V>(builder: &Builder<K, V>) -> Result<Self, BuildError> {
        Ok(Self {
            merger: Merger::new(),
            bases: aside(builder, MOST_BASES)?,
            ends: aside(builder, most_ends(builder))?,
        })
    }

    pub(super) fn merger(&self) -> &Merger {
        &self.merger
    }

    /// Notes that `next` is about to take the place of a session's `current` pairs (D1).
    pub(super) fn supersede<V: Hash>(
        &self,
        key: &K,
        current: &Pairs<V>,
        next: Revision,
    ) -> Superseded<K> {
        let revision = Revision::of(current);
        let digest = self.merger.digest(current);
        let base = Base { key: key.clone(), digest, next, names: Arc::default() };
        let place = Place { revision, address: 0 };
        // Another save may have been faster, and has noted its successor already.
        let mut is_noted = false;
        let known = self.bases.update(&place, |known| {
            is_noted = known.next == revision;
            if is_noted { base.clone() } else { known.clone() }
        });
        if !matches!(known, Ok(true)) {
            let noted = self.bases.insert_if_absent(place, base.clone(), Lifetime::default());
            is_noted = noted.is_ok();
        }
        Superseded { revision, base, is_noted }
    }

    /// Notes that it has, and what it holds.
    pub(super) fn confirm(&self, superseded: &Superseded<K>, digest: Digest) {
        let Superseded { revision, base, is_noted } = superseded;
        let (key, next) = (base.key.clone(), base.next);
        let last = Base { key, digest, next, names: Arc::default() };
        let place = Place { revision: next, address: 0 };
        let _known = self.bases.insert_if_absent(place, last, Lifetime::default());
        if !is_noted {
            let place = Place { revision: *revision, address: 0 };
            let _refused = self.bases.insert(place, base.clone());
        }
    }

    /// Notes that this copy was saved (D2).
    pub(super) fn note_saved<V: Hash>(&self, superseded: Superseded<K>, copy: &Pairs<V>) {
        let names = copy.keys().map(|name| (self.merger.name(name), text_of(name)));
        let saved = Base {
            digest: self.merger.digest(copy),
            names: names.collect(),
            ..superseded.base
        };
        let place = Place { revision: Revision::of(copy), address: address_of(copy) };
        let _refused = self.bases.insert(place, saved);
    }

    /// Notes a revision that was read from elsewhere, and may be forgotten before it is superseded.
    #[cfg(any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15"))]
    pub(super) fn note_read<V: Hash>(&self, key: &K, pairs: &Pairs<V>) {
        let _superseded = self.supersede(key, pairs, Revision::of(pairs));
    }

    /// What a copy was made of, if that was superseded or deleted and is not forgotten.
    pub(super) fn origin<V>(&self, copy: &Pairs<V>) -> Option<Origin<K>> {
        let revision = Revision::of(copy);
        let saved = self.bases.peek(&Place { revision, address: address_of(copy) });
        let saved = saved.filter(|saved| self.is_same_copy(revision, saved, copy));
        match saved {
            Some(saved) => Some(self.since(revision, saved)),
            None => self.origin_at(revision),
        }
    }

    /// What a copy was made of that was loaded from this revision, and not saved before.
    pub(super) fn origin_at(&self, revision: Revision) -> Option<Origin<K>> {
        let base = self.bases.peek(&Place { revision, address: 0 })?;
        Some(self.since(revision, base))
    }

    /// What a session was since a copy of `revision` was what `base` says.
    fn since(&self, revision: Revision, base: Base<K>) -> Origin<K> {
        let is_last = base.next == revision;
        let (mut later, mut last) = (Vec::new(), is_last.then(|| base.digest.clone()));
        let mut next = base.next;
        while let Some(step) = self.bases.peek(&Place { revision: next, address: 0 }) {
            if last.is_some() || step.key != base.key || later.len() == MOST_STEPS {
                break;
            }
            if step.next == next {
                last = Some(step.digest);
            } else {
                later.push(step.digest);
                next = step.next;
            }
        }
        Origin { key: base.key, base: base.digest, later, last }
    }

    /// Whether the copy that was saved from this place is still there (D2). A session's own handle does
    /// not move. Where copies are handed about, another one may lie there by now: it has every name
    /// that it was loaded with, and all of them elsewhere in memory.
    fn is_same_copy<V>(&self, revision: Revision, saved: &Base<K>, copy: &Pairs<V>) -> bool {
        let Some(loaded) = self.bases.peek(&Place { revision, address: 0 }) else { return true };
        let mut found = 0;
        for name in copy.keys() {
            let hash = self.merger.name(name);
            if saved.names.contains(&(hash, text_of(name))) {
                return true;
            }
            found += usize::from(loaded.digest.iter().any(|&(known, _)| known == hash));
        }
        found == 0 || found < loaded.digest.len()
    }

    /// Notes that a live session is about to be deleted; `last` is what it holds (D4).
    pub(super) fn end<V: Hash>(&self, key: &K, last: &Pairs<V>) {
        let Superseded { base, .. } = self.supersede(key, last, Revision::of(last));
        let end = End { deletions: 1, successor: None, last: base.digest };
        let _known = self.ends.insert_if_absent(key.clone(), end, Lifetime::default());
    }

    /// Notes that a key which has no session was deleted; gives what was created from its session,
    /// which ends with it (D3).
    pub(super) fn end_again(&self, key: &K) -> Option<K> {
        let mut successor = None;
        let _known = self.ends.update(key, |end| {
            successor.clone_from(&end.successor);
            let deletions = end.deletions.saturating_add(1);
            End { deletions, successor: None, last: end.last.clone() }
        });
        successor
    }

    /// Whether a session was deleted lately.
    pub(super) fn has_ended(&self, key: &K) -> bool {
        self.ends.contains_key(key)
    }

    /// What becomes of a late save of a session that was deleted once: it goes to what was created from
    /// it. If nothing was yet, that will not have what the save takes away: of what was loaded, `base`,
    /// all that is not in `draft`.
    pub(super) fn forward(&self, key: &K, base: Option<&Digest>, draft: &Digest) -> Option<K> {
        let mut successor = None;
        let _known = self.ends.update(key, |end| {
            successor = end.successor.clone().filter(|_| end.deletions == 1);
            let is_open = end.deletions == 1 && end.successor.is_none();
            let last = match base {
                _ if !is_open => end.last.clone(),
                Some(base) => super::merge::without(&end.last, base, draft),
                None => Digest::default(),
            };
            End { last, ..end.clone() }
        });
        successor
    }

    /// What a session that was deleted lately was last.
    pub(super) fn last_of(&self, key: &K) -> Option<Digest> {
        self.ends.read(key, |end| end.last.clone())
    }

    /// Lets `successor` take the place of a deleted session, if it may.
    pub(super) fn claim(&self, key: &K, successor: &K) -> Claim {
        let mut claim = Claim::Free;
        let _known = self.ends.update(key, |end| {
            let is_first = end.deletions == 1 && end.successor.is_none();
            claim = if is_first { Claim::Rotation } else { Claim::OwnOnly };
            let successor = if is_first { Some(successor.clone()) } else { end.successor.clone() };
            End { successor, ..end.clone() }
        });
        claim
    }

    /// Gives a claim back: nothing was created.
    pub(super) fn unclaim(&self, key: &K, successor: &K) {
        let _known = self.ends.update(key, |end| {
            let successor = end.successor.clone().filter(|claimed| claimed != successor);
            End { successor, ..end.clone() }
        });
    }

    /// Gives a claim the key that its session was given; false if it may not stay.
    #[cfg(any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15"))]
    pub(super) fn hand_on(&self, key: &K, drawn: &K, given: &K) -> bool {
        let mut may_stay = false;
        let known = self.ends.update(key, |end| {
            may_stay = end.successor.as_ref() == Some(drawn);
            let successor = if may_stay { Some(given.clone()) } else { end.successor.clone() };
            End { successor, ..end.clone() }
        });
        may_stay || !matches!(known, Ok(true))
    }

    /// Whether a session that was created in a deleted one's place may stay.
    pub(super) fn is_claimed_by(&self, key: &K, successor: &K) -> bool {
        let claimed = self.ends.read(key, |end| end.successor.as_ref() == Some(successor));
        claimed.unwrap_or(true)
    }

    /// Whether a session was deleted by one request only.
    pub(super) fn was_ended_once(&self, key: &K) -> bool {
        self.ends.read(key, |end| end.deletions == 1).unwrap_or(false)
    }

    /// Undoes a claim, and the deletion with it: the session was put back.
    pub(super) fn revive(&self, key: &K) {
        self.ends.discard(key);
    }

    /// Frees what is over by now, for caches without a reaper's thread.
    #[cfg(any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15"))]
    pub(super) fn reap(&self) {
        self.bases.reap();
        self.ends.reap();
    }
}

/// A small cache beside the sessions', by the same clock and reaper.
pub(super) fn aside<K, V, K2, V2>(
    builder: &Builder<K, V>,
    most: usize,
) -> Result<Cache<K2, V2>, BuildError>
where
    K2: Hash + Eq + Send + Sync + 'static,
    V2: Send + Sync + 'static,
{
    remembering(builder, most).build()
}

/// Sets up a small cache of what is known for [`MEMORY_AGE`].
pub(super) fn remembering<K, V, K2, V2>(builder: &Builder<K, V>, most: usize) -> Builder<K2, V2> {
    Cache::builder()
        .max_entries(most)
        .time_to_live(MEMORY_AGE)
        .clock(builder.clock.clone())
        .reaper(builder.reaper)
        .give_back(GiveBack::Never)
}

/// As many deletions as the cache has sessions, so that one full of log-outs is remembered.
pub(super) fn most_ends<K, V>(builder: &Builder<K, V>) -> usize {
    builder.max_entries.unwrap_or(0).max(LEAST_ENDS)
}

fn address_of<T>(place: &T) -> usize {
    core::ptr::from_ref(place).addr()
}

/// Where a name's text lies: there it stays, though the table grows.
fn text_of(name: &str) -> usize {
    name.as_ptr().addr()
}

/// How long copies of what was superseded or deleted are known: longer than a request should take.
pub(super) const MEMORY_AGE: Duration = Duration::from_secs(3_600);

/// How many digests are known, three for each save: some 35 MB of small sessions at most.
const MOST_BASES: usize = 131_072;

/// How many deletions are known at least: some 10 MB of them at most.
const LEAST_ENDS: usize = 65_536;

/// So many saves beside one request are looked through.
const MOST_STEPS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_map_has_a_fingerprint_that_goes_along() {
        let mut one = Pairs::<u8>::new();
        let revision = Revision::of(&one);
        assert_ne!(Revision::of(&Pairs::<u8>::new()), revision);
        one.extend((0..100).map(|n| (n.to_string(), n)));
        assert_eq!(Revision::of(&one.clone()), revision);
        one.clear();
        one.shrink_to_fit();
        assert_eq!(Revision::of(&one), revision);
        assert_ne!(Revision::of(&renewed(one)), revision);
    }
}
