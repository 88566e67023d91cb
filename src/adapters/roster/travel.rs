//! What a principal's session takes along to another process, and how it is entered there.

use core::hash::BuildHasher as _;

use super::{Kept, Member, Roster, Turn};
use crate::adapters::refusal::Refusal;
use crate::platform::sync::{Arc, thread};
use crate::sessions::PublicId;
use crate::sessions::life::Root;

/// By what a user's list knows a session, and since when, by the cache's clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::adapters) struct Passport {
    pub(in crate::adapters) public: PublicId,
    pub(in crate::adapters) created_ns: u64,
    pub(in crate::adapters) begun_ns: u64,
}

/// Whose a session is, as far as a snapshot goes.
pub(in crate::adapters) enum Standing {
    Nobodys,
    A(Passport),
    /// It is a principal's who does not have it any more, or not yet: a call is at it.
    Unsettled,
}

impl<R: Kept> Roster<R> {
    pub(in crate::adapters) fn standing(&self, key: &R::Key, session: &R) -> Standing {
        let Ok(principal) = self.principal_of(session) else { return Standing::Unsettled };
        if principal.is_none() {
            return Standing::Nobodys;
        }
        match self.life_of(key).filter(|life| life.principal == principal) {
            None => Standing::Unsettled,
            Some(life) => Standing::A(Passport {
                public: life.root.public,
                created_ns: life.root.created_ns,
                begun_ns: life.begun_ns,
            }),
        }
    }

    /// Takes the turn to enter a session that was a principal's before; none of nobody's.
    pub(in crate::adapters) fn take_turn_back(
        &self,
        key: &R::Key,
        principal: Option<String>,
        passport: Option<Passport>,
    ) -> Result<Option<Turn<'_, R>>, Refusal> {
        let Some(Passport { public, created_ns, begun_ns }) = passport else {
            // The rule may be another one by now.
            return self.take_turn(key, principal, None);
        };
        let Some(principal) = principal else { return Ok(None) };
        for _ in 0..super::MOST_WAITS {
            match self.try_turn(key, Some(&principal)) {
                Ok(None) => thread::yield_now(),
                Err(super::SameAsNow) => return Ok(None),
                Ok(Some(mut turn)) => {
                    let root = Arc::new(Root { public, clock: self.clock.clone(), created_ns });
                    let hash = self.hasher.hash_one(principal.as_str());
                    let owner = (Some(principal), hash);
                    let life = Member::of_key(key.clone(), root, owner, begun_ns);
                    turn.next = Some(Arc::new(life));
                    return Ok(Some(turn));
                }
            }
        }
        Err(Refusal::Conflict)
    }
}
