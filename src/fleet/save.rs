//! Saves: based on a revision, and merged where another request was first (F6).

use super::backend::{Saved, Stored};
use super::draft::Draft;
use super::error::{Conflict, Error};
use super::key::Key;
use super::loaded::Loaded;
use super::tiered::{Inner, Tiered, count};

impl<V: Send + Sync + 'static> Tiered<V> {
    /// Changes a session that is as it was loaded; none if it has ended meanwhile, and nothing is done.
    ///
    /// What it gives is what a later save of the same request is to be based on.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] if another request has changed it; see [`save_with`](Self::save_with).
    pub async fn save(
        &self,
        key: &Key,
        base: &Loaded<V>,
        draft: Draft<V>,
    ) -> Result<Option<Loaded<V>>, Error> {
        self.save_with(key, base, draft, |_| None).await
    }

    /// The same, merged with what other requests have saved since it was loaded.
    ///
    /// The closure is shown what both have loaded, what the other one has saved and what this one saves, and
    /// gives what is saved instead, or none for a conflict. It is called again if yet another request is first.
    /// [`merge_maps`](super::merge_maps) merges maps by key.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] if the closure gives none, or if it was called too often.
    pub async fn save_with(
        &self,
        key: &Key,
        base: &Loaded<V>,
        draft: Draft<V>,
        merge: impl FnMut(Conflict<'_, V>) -> Option<V>,
    ) -> Result<Option<Loaded<V>>, Error> {
        let inner = self.inner();
        let by = inner.by();
        let saved = inner.within(by, async {
            let _turn = inner.flights.turn(key).await;
            inner.save_in_turn(key, base, draft, merge, by).await
        });
        saved.await
    }
}

impl<V: Send + Sync + 'static> Inner<V> {
    async fn save_in_turn(
        &self,
        key: &Key,
        base: &Loaded<V>,
        mut draft: Draft<V>,
        mut merge: impl FnMut(Conflict<'_, V>) -> Option<V>,
        by: tokio::time::Instant,
    ) -> Result<Option<Loaded<V>>, Error> {
        let mut rebased: Option<V> = None;
        let mut expected = base.revision();
        for _ in 0..MOST_MERGES {
            if self.near.is_buried(key) {
                return Ok(None);
            }
            let write = self.write(&draft, draft.lifetime)?;
            let undo = self.near.undo(key);
            let filling = self.near.begin(key);
            match self.ask(by, self.backend.save(key, expected, &write)).await? {
                Saved::Done(facts, ended) => {
                    ended.iter().for_each(|key| self.near.bury(key));
                    return Ok(Some(undo.settle(filling, draft.value, facts)));
                }
                Saved::Gone => {
                    self.near.bury(key);
                    return Ok(None);
                }
                Saved::LimitReached => return Err(Error::LimitReached),
                Saved::Revoked => return Err(Error::Revoked),
                Saved::Conflict(Stored { bytes, facts }) => {
                    count(&self.counts.conflicts);
                    let current = self.codec.decode(&bytes).ok_or(Error::Conflict)?;
                    let base: &V = rebased.as_ref().unwrap_or(base);
                    let shown = Conflict::of(base, &current, &draft.value);
                    draft.value = merge(shown).ok_or(Error::Conflict)?;
                    (rebased, expected) = (Some(current), facts.revision);
                }
            }
        }
        Err(Error::Conflict)
    }
}

/// So many other requests that are first, one after the other, are no accident.
const MOST_MERGES: usize = 16;
