//! Which session is a key's, without user code under the lock.
//!
//! `Eq` may be slow, may block, and may call the cache. So a writer compares its key outside the lock: it
//! takes holds on the entries of the key's hash under the lock, gives the lock back, compares, and takes
//! the lock again. There is mostly one such entry, or none; then nothing has to be compared.
//!
//! Q1. Under the lock a writer decides by addresses. A hold keeps an entry's address from being another's.
//!     So if the entry that was equal is still linked, it is the key's, for a key has only one (I1); if all
//!     linked entries of the hash have been found different, the key has none; else the writer has been
//!     overtaken, and compares again.

use super::{Session, Shard, Shared};
use crate::index::{Entry, Held};
use crate::ledger::RecordId;

/// A writer has compared its key in vain: an entry of its hash has come in since.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Overtaken;

/// Entries of a key's hash, held, and compared with the key.
pub(super) struct Compared<'s, K, V> {
    shard: &'s Shard<K, V>,
    shared: &'s Shared<K, V>,
    first: Option<Held<K, V>>,
    further: Vec<Held<K, V>>,
    /// How many of them have been compared.
    compared: usize,
    /// The one that was equal.
    same: Option<usize>,
}

impl<'s, K, V> Compared<'s, K, V> {
    pub(super) fn none(shard: &'s Shard<K, V>, shared: &'s Shared<K, V>) -> Self {
        Self { shard, shared, first: None, further: Vec::new(), compared: 0, same: None }
    }

    fn get(&self, number: usize) -> Option<&Held<K, V>> {
        number.checked_sub(1).map_or(self.first.as_ref(), |further| self.further.get(further))
    }

    fn is_known(&self, entry: &Entry<K, V>) -> bool {
        self.first.iter().chain(&self.further).any(|held| held.is(entry))
    }

    /// Compares a key with those that are new. No lock may be held.
    pub(super) fn compare(&mut self, same_key: impl Fn(&K) -> bool) {
        while let Some(held) = self.get(self.compared) {
            if same_key(held.key()) {
                self.same = Some(self.compared);
            }
            self.compared += 1;
        }
    }

    /// The hold on the entry that was equal.
    pub(super) fn take_same(&mut self) -> Option<Held<K, V>> {
        match self.same.take()? {
            0 => self.first.take(),
            further => Some(self.further.swap_remove(further - 1)),
        }
    }
}

impl<K, V> Drop for Compared<'_, K, V> {
    fn drop(&mut self) {
        for held in self.first.take().into_iter().chain(self.further.drain(..)) {
            self.shard.release(self.shared, held);
        }
    }
}

impl<K, V> Session<'_, K, V> {
    /// The key's linked entry, by what has been compared (Q1). If that is not enough, holds what has still
    /// to be compared.
    pub(super) fn find(
        &self,
        hash: u32,
        compared: &mut Compared<'_, K, V>,
    ) -> Result<Option<&Entry<K, V>>, Overtaken> {
        let state = &*self.state;
        let same = compared.same.and_then(|same| compared.get(same)).map(|held| &raw const **held);
        let mut is_overtaken = false;
        let found = self.shard.index.find_linked(&state.writer, hash, |entry| {
            let is_same = same.is_some_and(|same| core::ptr::eq(same, entry));
            if !is_same && !compared.is_known(entry) {
                is_overtaken = true;
                let held = state.ledger.get(entry.record()).hold();
                if compared.first.is_none() && compared.further.is_empty() {
                    compared.first = Some(held);
                } else {
                    compared.further.push(held);
                }
            }
            is_same
        });
        if found.is_none() && is_overtaken { Err(Overtaken) } else { Ok(found) }
    }
}

impl<K, V> Shard<K, V> {
    /// Takes the lock and finds a key's entry.
    pub(super) fn open_at<'s>(
        &'s self,
        (shared, compared): (&'s Shared<K, V>, &mut Compared<'s, K, V>),
        hash: u32,
        same_key: impl Fn(&K) -> bool,
    ) -> Result<(Session<'s, K, V>, Option<RecordId>), Overtaken> {
        let mut is_compared = false;
        loop {
            let session = self.open(shared);
            match session.find(hash, compared) {
                Ok(found) => {
                    let id = found.map(Entry::record);
                    return Ok((session, id));
                }
                Err(Overtaken) if is_compared => return Err(Overtaken),
                Err(Overtaken) => {}
            }
            drop(session);
            compared.compare(&same_key);
            is_compared = true;
        }
    }
}

#[cfg(all(test, sundown_loom))]
mod loom_tests;
