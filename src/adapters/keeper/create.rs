//! How a session begins: under a key of the store's own, in its own room or another one's.

use super::{Keeper, Kept, mark};
use crate::adapters::descent::{Claim, Origin, Revision, renewed};
use crate::adapters::lifespan::{Birth, Stated};
use crate::adapters::merge::Pairs;
use crate::adapters::refusal::Refusal;
use crate::error::Reason;
use crate::lifetime::Lifetime;
use crate::platform::sync::thread;

/// What a store knows of where a new session comes from.
#[cfg_attr(
    not(all(feature = "actix-session-0_11", feature = "saysion-0_2")),
    allow(dead_code, reason = "not every framework needs each")
)]
pub(in crate::adapters) enum Descent<'a, K> {
    /// What the copy itself shows.
    Copy,
    /// This session was deleted a moment ago, and may be the same one: its room is free for it.
    Room(&'a K),
    /// The request has loaded this revision of a session, and found it deleted by another one.
    Seen(Revision),
}

impl<R: Kept> Keeper<R> {
    /// Puts a new session in, under a key that `draw` gives, that is to end so many nanoseconds from now. None, and a session that
    /// has a key and is not live, if its time is up by then (K6).
    pub(in crate::adapters) fn create(
        &self,
        fresh: &mut R,
        (draw, span_ns): (&dyn Fn() -> R::Key, i128),
        descent: Descent<'_, R::Key>,
    ) -> Result<Option<R::Key>, Refusal> {
        let stated = self.reported(fresh.stated())?;
        let birth = self.lifespan.birth(stated, None);
        let (origin, room) = match descent {
            Descent::Copy => (self.descents.origin(fresh.pairs()), None),
            Descent::Room(key) => (self.descents.origin(fresh.pairs()), Some(key)),
            Descent::Seen(revision) => (self.descents.origin_at(revision), None),
        };
        let has_ended = |origin: &Origin<R::Key>| self.descents.has_ended(&origin.key);
        let is_of_unknown =
            matches!(stated, Stated::At(_)) && !origin.as_ref().is_some_and(has_ended);
        for _ in 0..MOST_KEYS {
            let key = draw();
            fresh.set_key(&key);
            let Some(lifetime) = self.lifespan.lasting(span_ns, birth) else { return Ok(None) };
            let rotated = self.shape(fresh, &key, (origin.as_ref(), birth));
            match self.put_in(&key, fresh, lifetime, (rotated, room)) {
                Ok(true) => {
                    if is_of_unknown {
                        self.end_if_revoked_lately(&key, fresh);
                    }
                    return Ok(Some(key));
                }
                // A log-out has overtaken it: once more, without what was logged out.
                Ok(false) | Err(Refusal::Taken) => {}
                refused => return self.reported(refused.map(|_| None)),
            }
        }
        self.reported(Err(Refusal::Taken))
    }

    /// Gives a new session the data that go along under its key; gives the session whose place it
    /// takes, if it does.
    pub(in crate::adapters) fn shape<'o>(
        &self,
        fresh: &mut R,
        key: &R::Key,
        (origin, birth): (Option<&'o Origin<R::Key>>, Option<Birth>),
    ) -> Option<&'o R::Key> {
        let claim = origin.map(|origin| self.descents.claim(&origin.key, key));
        *fresh.pairs_mut() = match (origin, claim) {
            (Some(origin), Some(claim)) => self.carried_over(fresh, origin, claim),
            _ => renewed(core::mem::take(fresh.pairs_mut())),
        };
        mark(fresh, birth);
        origin.filter(|_| claim == Some(Claim::Rotation)).map(|origin| &origin.key)
    }

    /// Puts a session in, in place of the one that was `rotated`; false if that was logged out
    /// meanwhile. If it is refused, the one that was rotated is live again (K5).
    fn put_in(
        &self,
        key: &R::Key,
        fresh: &R,
        lifetime: Lifetime,
        (rotated, room): (Option<&R::Key>, Option<&R::Key>),
    ) -> Result<bool, Refusal> {
        let set_aside = |key| self.aside.as_ref().is_some_and(|aside| aside.has(key));
        let (room_of, origin) = (room, rotated.or(room));
        let room = origin.filter(|&key| set_aside(key));
        let mut changing = None;
        let put = self.enlist(&mut changing, key, (fresh, origin)).and_then(|()| {
            self.admit(key, fresh, lifetime)?;
            match room {
                Some(_) => self.put_in_room(key, fresh, lifetime),
                None => self.put_beside(key, fresh, lifetime),
            }
        });
        if let Err(refusal) = put {
            drop(changing);
            self.leave(key);
            if let Some(rotated) = rotated {
                self.descents.unclaim(rotated, key);
            }
            if let Some(old) = room.filter(|_| refusal != Refusal::Taken) {
                self.put_back(old, fresh, rotated.is_some());
            }
            return Err(refusal);
        }
        self.settle(key, fresh);
        let may_stay = rotated.is_none_or(|rotated| {
            self.descents.is_claimed_by(rotated, key) && !self.was_revoked(rotated)
        });
        self.enlisted(key, changing);
        if rotated.is_none() && room_of.is_some_and(|room| self.was_revoked(room)) {
            self.end_if_principled(key);
        }
        if !may_stay {
            self.sessions.discard(key);
            self.leave(key);
        } else if let (Some(aside), Some(room)) = (&self.aside, room) {
            aside.give_up(room);
        }
        Ok(may_stay)
    }

    /// Puts a session in for which room is set aside.
    fn put_in_room(&self, key: &R::Key, fresh: &R, lifetime: Lifetime) -> Result<(), Refusal> {
        let mut waits = MOST_WAITS;
        loop {
            match self.sessions.insert_if_absent(key.clone(), fresh.clone(), lifetime) {
                // A creation that has taken the room looks again, and gives it back.
                Err(rejected) if rejected.reason == Reason::Full && waits > 0 => {
                    waits -= 1;
                    thread::yield_now();
                }
                put => return put.map_err(|rejected| Refusal::from(&rejected)),
            }
        }
    }

    /// Puts a session in that takes no other one's place: where there is room beside what is set
    /// aside.
    fn put_beside(&self, key: &R::Key, fresh: &R, lifetime: Lifetime) -> Result<(), Refusal> {
        let leaves_room = |more| {
            let aside = self.aside.as_ref();
            aside.is_none_or(|aside| aside.leaves_room_in(&self.sessions, more))
        };
        if leaves_room(1) {
            let put = self.sessions.insert_if_absent(key.clone(), fresh.clone(), lifetime);
            put.map_err(|rejected| Refusal::from(&rejected))?;
            if leaves_room(0) {
                return Ok(());
            }
            self.sessions.discard(key);
        }
        self.sessions.count_rejection(Reason::Full);
        Err(Refusal::NotTaken(Reason::Full))
    }

    /// Puts a session back whose new self was refused, unless its request has cleared it. What only
    /// seems to be its new self must have all of it.
    fn put_back(&self, key: &R::Key, refused: &R, is_known: bool) {
        let Some(aside) = &self.aside else { return };
        let is_kept = |old: &R| {
            let stays = |(name, value): (&String, &R::Value)| {
                refused.pairs().get(name).is_some_and(|kept| is_known || kept == value)
            };
            !old.pairs().is_empty() && old.pairs().iter().all(stays)
        };
        if aside.put_back(key, &self.sessions, is_kept) {
            if self.descents.was_ended_once(key) && self.enlist_again(key) {
                self.descents.revive(key);
            } else {
                self.sessions.discard(key);
            }
        }
    }

    /// What a request takes along of its copy under a new key: all that the session still was, unless
    /// it was logged out, and what the request itself has put in (K4).
    fn carried_over(
        &self,
        copy: &R,
        origin: &Origin<R::Key>,
        claim: Claim,
    ) -> Pairs<R::Value> {
        let merger = self.descents.merger();
        let Origin { key, base, later, last } = origin;
        let last = self.descents.last_of(key).or_else(|| last.clone());
        if claim != Claim::OwnOnly {
            return merger.carry_over(copy.pairs(), (base, later, last.as_ref()));
        }
        let later: Vec<_> = later.iter().cloned().chain(last).collect();
        merger.carry_over(copy.pairs(), (base, &later, None))
    }
}

/// So many keys in a row that are all taken are no accident.
const MOST_KEYS: usize = 8;

/// How often a rotation yields to a creation that is about to give its room back.
const MOST_WAITS: u32 = 64;
