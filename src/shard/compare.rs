//! Which session is a key's, without user code under the lock.
//!
//! `Eq` may be slow, may block, and may call the cache. So a writer compares its key outside the lock: it
//! takes holds on the entries of the key's hash under the lock, gives the lock back, compares, and takes
//! the lock again. There is mostly one such entry, or none; then nothing has to be compared.
//!
//! M7. Under the lock a writer decides by addresses. A hold keeps an entry's address from being another's.
//!     So if the entry that was equal is still linked, it is the key's, for a key has only one (I1); if all
//!     linked entries of the hash have been found different, the key has none, which is a matter of
//!     counting; else the writer has been
//!     overtaken, and compares again.

use super::hold::Hold;
use super::{Session, Shard, Shared};
use crate::index::Entry;
use crate::ledger::RecordId;

/// A writer has compared its key in vain: an entry of its hash has come in since.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Overtaken;

/// A lock on a shard, and a hold on the linked entry of the key that it was taken for.
pub(super) type Found<'s, K, V> = (Session<'s, K, V>, Option<Hold<'s, K, V>>);

impl<K, V> Shard<K, V> {
    /// Takes the lock and finds a key's linked entry, having compared keys outside (M7).
    #[inline]
    pub(super) fn open_at<'s>(
        &'s self,
        shared: &'s Shared<K, V>,
        hash: u32,
        same_key: impl Fn(&K) -> bool,
    ) -> Result<Found<'s, K, V>, Overtaken> {
        let session = self.open(shared);
        let held = self.index.hold_linked(&session.state.writer, hash);
        let Some(held) = held else { return Ok((session, None)) };
        // Mostly it is the one.
        let likely = Hold::new(self, shared, held);
        drop(session);
        if same_key(likely.key()) {
            return self.open_for(shared, likely);
        }
        self.compare_all(shared, hash, &same_key, likely)
    }

    /// Takes the lock for an entry that was equal.
    #[inline(always)]
    fn open_for<'s>(
        &'s self,
        shared: &'s Shared<K, V>,
        same: Hold<'s, K, V>,
    ) -> Result<Found<'s, K, V>, Overtaken> {
        let session = self.open(shared);
        // I1, I2: under the lock an entry is linked or dead.
        if same.is_dead() { Err(Overtaken) } else { Ok((session, Some(same))) }
    }

    /// For keys that share their hash.
    #[cold]
    fn compare_all<'s>(
        &'s self,
        shared: &'s Shared<K, V>,
        hash: u32,
        same_key: &impl Fn(&K) -> bool,
        unlike: Hold<'s, K, V>,
    ) -> Result<Found<'s, K, V>, Overtaken> {
        let mut others = Vec::new();
        let session = self.open(shared);
        session.find(hash, |entry| {
            others.push(session.hold(entry.record()));
            false
        });
        drop(session);
        let is_new = |other: &&Hold<'s, K, V>| !unlike.is(other);
        let same = others.iter().position(|other| is_new(&other) && same_key(other.key()));
        if let Some(same) = same {
            return self.open_for(shared, others.swap_remove(same));
        }
        let session = self.open(shared);
        let mut linked = 0;
        session.find(hash, |_| {
            linked += 1;
            false
        });
        // Those that have been compared and are not dead are linked: if there are more, some are new.
        let known = others.iter().filter(|other| !other.is_dead()).count();
        if linked > known { Err(Overtaken) } else { Ok((session, None)) }
    }
}

impl<'s, K, V> Session<'s, K, V> {
    fn find(&self, hash: u32, matches: impl FnMut(&Entry<K, V>) -> bool) -> Option<&Entry<K, V>> {
        self.shard.index.find_linked(&self.state.writer, hash, matches)
    }

    /// Holds a linked entry.
    pub(super) fn hold(&self, id: RecordId) -> Hold<'s, K, V> {
        Hold::new(self.shard, self.shared, self.state.ledger.get(id).hold())
    }
}

#[cfg(all(test, sundown_loom))]
mod loom_tests;
