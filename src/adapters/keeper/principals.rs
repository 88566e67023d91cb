//! Whose sessions are (`roster`); nothing where the service has no rule for it.

use super::{Keeper, Kept};
use crate::adapters::refusal::Refusal;
use crate::adapters::roster::{Ended, Member, Roster, Turn};
use crate::error::Reason;
use crate::platform::sync::Arc;
use crate::sessions::principals::NoPlace;
use crate::sessions::{PublicId, SessionInfo, SessionStats};

/// The turn of a call that changes whose a session is; none while it does not.
pub(in crate::adapters) type Changing<'k, R> = Option<Turn<'k, R>>;

impl<R: Kept> Keeper<R> {
    /// Prepares for `session` to enter the cache, or to take the place of what is there: enters it among its
    /// principal's, and ends those that have to end for it.
    pub(in crate::adapters) fn enlist<'k>(
        &'k self,
        changing: &mut Changing<'k, R>,
        key: &R::Key,
        (session, origin): (&R, Option<&R::Key>),
    ) -> Result<(), Refusal> {
        let Some(roster) = &self.roster else { return Ok(()) };
        let principal = roster.principal_of(session)?;
        // The closure of an update runs again where it has lost a race.
        if changing.as_ref().is_some_and(|turn| turn.is_for(principal.as_ref())) {
            return Ok(());
        }
        *changing = None;
        let Some(turn) = roster.take_turn(key, principal, origin)? else { return Ok(()) };
        *changing = Some(self.enter(roster, turn, (key, session))?);
        Ok(())
    }

    /// Enters the life of a turn among its principal's.
    pub(super) fn enter<'k>(
        &self,
        roster: &Roster<R>,
        mut turn: Turn<'k, R>,
        (key, session): (&R::Key, &R),
    ) -> Result<Turn<'k, R>, Refusal> {
        // What the cache would refuse whatever leaves is refused before anything does.
        if !self.sessions.admits(key, session) {
            self.sessions.count_rejection(Reason::TooHeavy);
            return Err(Refusal::NotTaken(Reason::TooHeavy));
        }
        while let Err(no_place) = turn.try_enter() {
            let NoPlace::Leaving { leaving, by_limit } = no_place else {
                self.book.refused_by_limit.add(1);
                return Err(Refusal::LimitReached);
            };
            self.book.ended_by_limit.add(by_limit);
            for life in &leaving {
                self.end_life(roster, life);
            }
        }
        Ok(turn)
    }

    /// The cache has the session. Removes it if its principal was revoked meanwhile.
    pub(in crate::adapters) fn enlisted(&self, key: &R::Key, changing: Changing<'_, R>) {
        let Some(turn) = changing else { return };
        if turn.is_log_in() {
            self.book.authenticated.add(1);
        }
        if !turn.keep() {
            self.end_for_good(key);
        }
    }

    /// Whether the principal of a session that was deleted, or that session alone, was revoked since.
    pub(super) fn was_revoked(&self, departed: &R::Key) -> bool {
        self.roster.as_ref().is_some_and(|roster| roster.was_revoked(departed))
    }

    /// Whether a session that has ended may be created again from a request's copy of it: neither it nor its principal's
    /// sessions were ended by a call lately.
    #[cfg(any(feature = "actix-session-0_11", feature = "poem-3"))]
    pub(in crate::adapters) fn may_come_again(&self, key: &R::Key, copy: &R) -> bool {
        let is_revoked = |roster: &Arc<Roster<R>>| roster.was_revoked_lately(copy);
        !self.was_ended(key) && !self.roster.as_ref().is_some_and(is_revoked)
    }

    /// Ends a session that was created from a copy of one of which nothing is known, if its principal was revoked
    /// lately: that one may have been among those that were ended (Q4).
    pub(super) fn end_if_revoked_lately(&self, key: &R::Key, created: &R) {
        if self.roster.as_ref().is_some_and(|roster| roster.was_revoked_lately(created)) {
            self.end_for_good(key);
        }
    }

    /// Ends a session that is some principal's.
    pub(super) fn end_if_principled(&self, key: &R::Key) {
        if self.roster.as_ref().is_some_and(|roster| roster.life_of(key).is_some()) {
            self.end_for_good(key);
        }
    }

    /// Ends a session, and all that is or will be created from it.
    pub(super) fn end_for_good(&self, key: &R::Key) -> bool {
        let was_live = self.end_one(key);
        self.end_successors(key);
        was_live
    }

    /// Removes the session of a life that has ended; true if it was live.
    fn end_life(&self, roster: &Roster<R>, life: &Arc<Member<R::Key>>) -> bool {
        let was_live = roster.may_have(life) && self.end_for_good(&life.key);
        let (principals, _) = roster.principals("");
        principals.leave(life);
        was_live
    }

    /// Ends all sessions of a principal but the one under `kept`; gives how many.
    pub(in crate::adapters) fn revoke_all(&self, principal: &str, kept: Option<&R::Key>) -> usize {
        let Some(roster) = &self.roster else { return 0 };
        let kept = kept.and_then(|key| roster.public_of(key));
        self.end_lives(roster, &roster.revoke_all(principal, kept))
    }

    /// Ends the session that a principal's list shows under `public_id`; false if there is none.
    pub(in crate::adapters) fn revoke_public(&self, principal: &str, public_id: &PublicId) -> bool {
        let Some(roster) = &self.roster else { return false };
        self.end_lives(roster, &roster.revoke_one(principal, public_id)) > 0
    }

    fn end_lives(&self, roster: &Roster<R>, ended: &Ended<R::Key>) -> usize {
        let end = |(life, is_own): &&(Arc<Member<R::Key>>, bool)| {
            self.end_life(roster, life) && *is_own
        };
        let revoked = ended.iter().filter(end).count();
        self.book.revoked.add(revoked as u64);
        revoked
    }

    /// The sessions of a principal, oldest first.
    pub(in crate::adapters) fn sessions_of(&self, principal: &str) -> Vec<SessionInfo<String, R>> {
        let Some(roster) = &self.roster else { return Vec::new() };
        let (principals, hash) = roster.principals(principal);
        let principal = principal.to_owned();
        let mut lives = principals.of(hash, &principal);
        lives.sort_by_key(|life| life.begun_ns);
        let info = |life: &Arc<Member<R::Key>>| {
            let session = self.sessions.peek(&life.key)?;
            // While a call changes it, it is another's or none's.
            let is_its = roster.principal_of(&session).ok().flatten().as_ref() == Some(&principal);
            let idle = self.sessions.idle_for(&life.key)?;
            let expires_in = self.sessions.expires_in(&life.key)?;
            is_its.then(|| SessionInfo::of_store(life, session, (idle, expires_in)))
        };
        lives.iter().filter_map(info).collect()
    }

    pub(in crate::adapters) fn stats(&self) -> SessionStats {
        let index = self.roster.as_ref().map_or((0, 0), |roster| roster.len());
        self.book.stats(self.sessions.stats(), index)
    }

    /// Enters a session again that was put back; false if it may not be.
    pub(super) fn enlist_again(&self, key: &R::Key) -> bool {
        let Some(roster) = &self.roster else { return true };
        let mut changing = None;
        let Some(session) = self.sessions.peek(key) else { return false };
        if self.enlist(&mut changing, key, (&session, Some(key))).is_err() {
            return false;
        }
        self.enlisted(key, changing);
        !roster.was_revoked(key)
    }

    /// Checks that the roster has exactly the live sessions that are some principal's, while no call is under way;
    /// gives how many those are.
    #[cfg(test)]
    pub(in crate::adapters) fn check_roster(&self) -> usize {
        let roster = self.roster.as_ref().expect("the store has a rule");
        let listed = roster.check().unwrap();
        let mut live = 0;
        self.sessions.for_each(|key, session| {
            let principal = roster.principal_of(session).unwrap();
            let life = roster.life_of(key);
            assert_eq!(life.and_then(|life| life.principal.clone()), principal);
            live += usize::from(principal.is_some());
        });
        assert_eq!((listed, roster.len().1), (live, live), "listed, and live");
        live
    }

    /// How many principals' sessions there is room for, in both tables.
    #[cfg(test)]
    pub(in crate::adapters) fn roster_room(&self) -> usize {
        self.roster.as_ref().map_or(0, |roster| roster.room())
    }
}
