//! How a session changes: what a request has done to its copy is done to it.

use super::{Keeper, Kept, mark};
use crate::adapters::descent::{Origin, Revision, Superseded};
use crate::adapters::lifespan::{BIRTH_KEY, Birth, Stated};
use crate::adapters::merge::{Digest, Pairs};
use crate::adapters::refusal::Refusal;

/// What a save has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::adapters) enum Saved {
    /// The session is live.
    Kept,
    /// Its time is up: the save has ended it.
    Over,
    /// It had ended before.
    Gone,
}

impl<R: Kept> Keeper<R> {
    /// Does to a live session what a request has done to its copy, and lets it live for so many
    /// nanoseconds from now.
    ///
    /// The copy was made of the revision that it shows itself, or of what the request has `seen`.
    pub(in crate::adapters) fn save(
        &self,
        key: &R::Key,
        draft: &R,
        span_ns: i128,
        seen: Option<Revision>,
    ) -> Result<Saved, Refusal> {
        let stated = self.reported(draft.stated())?;
        if span_ns <= 0 {
            self.end(key);
            return Ok(Saved::Over);
        }
        let (mut revised, mut changing) = (None, None);
        let updated = self.sessions.update(key, |current| {
            let revision = self.revise(key, current, draft, (stated, seen)).and_then(|revision| {
                self.enlist(&mut changing, key, (&revision.0, None))?;
                Ok(revision)
            });
            let (next, change) = match revision {
                Ok((next, change)) => (next, Ok(change)),
                Err(refusal) => (current.clone(), Err(refusal)),
            };
            revised = Some(change);
            next
        });
        let updated = updated.map_err(|rejected| Refusal::from(&rejected));
        let is_live = self.reported(updated)?;
        let Some(change) = revised.filter(|_| is_live) else {
            drop(changing);
            return match self.forward(key, draft, seen) {
                Forward::Nowhere => Ok(Saved::Gone),
                Forward::To(successor) => self.save(&successor, draft, span_ns, seen),
                Forward::End(successor) => {
                    self.end(&successor);
                    Ok(Saved::Gone)
                }
            };
        };
        let change = self.reported(change)?;
        self.enlisted(key, changing);
        let birth = change.birth;
        self.confirm(change, seen.is_none().then_some(draft));
        Ok(self.let_live(key, span_ns, birth))
    }

    /// What to do with the save of a session that is not live: had it come a moment earlier, what was
    /// created from the session would be what the save makes of it.
    pub(in crate::adapters) fn forward(
        &self,
        key: &R::Key,
        draft: &R,
        seen: Option<Revision>,
    ) -> Forward<R::Key> {
        let origin = match seen {
            Some(revision) => self.descents.origin_at(revision),
            None => self.descents.origin(draft.pairs()),
        };
        let digest = self.descents.merger().digest(draft.pairs());
        let base = origin.as_ref().map(|origin| &origin.base);
        match self.descents.forward(key, base, &digest) {
            None => Forward::Nowhere,
            Some(successor) if origin.is_some() => Forward::To(successor),
            // Of data that a request has made anew only that the old ones are to go is certain.
            Some(successor) => Forward::End(successor),
        }
    }

    /// Notes that a change was made, and which copy of its own a request has saved.
    pub(in crate::adapters) fn confirm(&self, change: Change<R::Key>, copy: Option<&R>) {
        let Some((superseded, digest)) = change.superseded else { return };
        self.descents.confirm(&superseded, digest);
        if let Some(copy) = copy {
            self.descents.note_saved(superseded, copy.pairs());
        }
    }

    /// Gives a live session its lifetime anew; ends it if it has none left.
    fn let_live(&self, key: &R::Key, span_ns: i128, birth: Option<Birth>) -> Saved {
        match self.lifespan.lasting(span_ns, birth) {
            Some(lifetime) if self.sessions.set_lifetime(key, lifetime) => {
                self.classify(key, lifetime);
                Saved::Kept
            }
            Some(_) => Saved::Gone,
            None => {
                self.end(key);
                Saved::Over
            }
        }
    }

    /// What a session becomes by a save.
    pub(in crate::adapters) fn revise(
        &self,
        key: &R::Key,
        current: &R,
        draft: &R,
        (stated, seen): (Stated, Option<Revision>),
    ) -> Result<(R, Change<R::Key>), Refusal> {
        let (now, copy) = (current.pairs(), draft.pairs());
        let revision = seen.unwrap_or(Revision::of(copy));
        let origin = match seen {
            // Nothing was changed beside it: what the request has made of its copy is the session.
            _ if revision == Revision::of(now) => None,
            Some(revision) => self.descents.origin_at(revision),
            None => self.descents.origin(copy),
        };
        let merger = self.descents.merger();
        let pairs = match &origin {
            Some(origin) if origin.key != *key => {
                let Origin { base, later, last, .. } = origin;
                let later: Vec<_> = later.iter().chain(last).cloned().collect();
                merger.merge(now, copy, base, &later)
            }
            Some(Origin { base, later, .. }) => merger.merge(now, copy, base, later),
            None => self.whole(current, draft, (stated, seen))?,
        };
        let mut next = draft.with(pairs);
        next.set_key(key);
        // What begins anew does so with the first save that says so.
        let has_begun = match &origin {
            Some(Origin { base, .. }) => merger.is_in(base, BIRTH_KEY, copy),
            None => revision != Revision::of(now),
        };
        let stated = if has_begun && stated == Stated::Now { Stated::Unknown } else { stated };
        let birth = self.lifespan.birth(stated, current.known_birth());
        mark(&mut next, birth);
        let mut superseded = None;
        if next.pairs() != now {
            let digest = merger.digest(next.pairs());
            let revision = Revision::of(next.pairs());
            superseded = Some((self.descents.supersede(key, now, revision), digest));
        } else {
            *next.pairs_mut() = now.clone();
        }
        Ok((next, Change { birth, superseded }))
    }

    /// What takes a session's place as a whole: a copy of what it is now, or what a request has made
    /// anew.
    fn whole(
        &self,
        current: &R,
        draft: &R,
        (stated, seen): (Stated, Option<Revision>),
    ) -> Result<Pairs<R::Value>, Refusal> {
        let is_current =
            seen.unwrap_or(Revision::of(draft.pairs())) == Revision::of(current.pairs());
        // A copy of a session has its birth; data that a request has made anew do not.
        if !is_current && (seen.is_some() || matches!(stated, Stated::At(_))) {
            return Err(Refusal::Conflict);
        }
        let pairs = draft.pairs().iter();
        Ok(pairs.map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    /// Lets a live session live for so many nanoseconds from now; a use of it.
    #[cfg(feature = "actix-session-0_11")]
    pub(in crate::adapters) fn prolong(&self, key: &R::Key, span_ns: i128) -> Saved {
        let Some(known) = self.sessions.read(key, R::known_birth) else { return Saved::Gone };
        let birth = self.lifespan.birth(Stated::Unknown, known);
        self.let_live(key, span_ns, birth)
    }
}

/// Where the save of a session goes that is not live.
pub(in crate::adapters) enum Forward<K> {
    Nowhere,
    /// To what was created from it.
    To(K),
    /// Nowhere, and what was created from it ends.
    End(K),
}

/// What a save has changed.
pub(in crate::adapters) struct Change<K> {
    pub(in crate::adapters) birth: Option<Birth>,
    /// And what the session holds now.
    superseded: Option<(Superseded<K>, Digest)>,
}

