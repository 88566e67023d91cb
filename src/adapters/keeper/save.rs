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
    /// The copy was made of the revision that it tells itself, or of what the request has `seen`.
    pub(in crate::adapters) fn save(
        &self,
        key: &R::Key,
        draft: &R,
        span_ns: i128,
        seen: Option<Revision>,
    ) -> Result<Saved, Refusal> {
        let saved = self.try_save(key, draft, span_ns, seen);
        saved.inspect_err(|&refusal| self.notices.tell(refusal))
    }

    fn try_save(
        &self,
        key: &R::Key,
        draft: &R,
        span_ns: i128,
        seen: Option<Revision>,
    ) -> Result<Saved, Refusal> {
        let stated = draft.stated()?;
        if span_ns <= 0 {
            self.end(key);
            return Ok(Saved::Over);
        }
        let mut revised = None;
        let updated = self.sessions.update(key, |current| {
            let (next, change) = match self.revise(key, current, draft, (stated, seen)) {
                Ok((next, change)) => (next, Ok(change)),
                Err(refusal) => (current.clone(), Err(refusal)),
            };
            revised = Some(change);
            next
        });
        let is_live = updated.map_err(|rejected| Refusal::from(&rejected))?;
        let Some(change) = revised.filter(|_| is_live) else { return Ok(Saved::Gone) };
        let change = change?;
        if let Some((superseded, digest)) = change.superseded {
            self.descents.confirm(&superseded, digest);
            if seen.is_none() {
                self.descents.note_saved(superseded, draft.pairs());
            }
        }
        Ok(self.let_live(key, span_ns, change.birth))
    }

    /// Gives a live session its lifetime anew; ends it if it has none left.
    fn let_live(&self, key: &R::Key, span_ns: i128, birth: Option<Birth>) -> Saved {
        match self.lifespan.lasting(span_ns, birth) {
            Some(lifetime) if self.sessions.set_lifetime(key, lifetime) => Saved::Kept,
            Some(_) => Saved::Gone,
            None => {
                self.end(key);
                Saved::Over
            }
        }
    }

    /// What a session becomes by a save.
    fn revise(
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
            Some(Origin { base, later, .. }) => merger.merge(now, copy, base, later),
            None => self.whole(current, draft, (stated, seen))?,
        };
        let mut next = draft.with(pairs);
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

/// What a save has changed.
struct Change<K> {
    birth: Option<Birth>,
    /// And what the session holds now.
    superseded: Option<(Superseded<K>, Digest)>,
}

