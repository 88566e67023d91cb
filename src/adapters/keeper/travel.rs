//! Sessions on their way to another process.

use super::{Keeper, Kept};
use crate::adapters::roster::travel::{Passport, Standing};
use crate::lifetime::Course;

impl<R: Kept> Keeper<R> {
    /// Whose a session is that is to be written.
    pub(in crate::adapters) fn standing(&self, key: &R::Key, session: &R) -> Standing {
        self.roster.as_ref().map_or(Standing::Nobodys, |roster| roster.standing(key, session))
    }

    /// Lets a session in that was live in another process, under its key, as whose it was (Q2, A1). False if it is
    /// refused.
    pub(in crate::adapters) fn readmit(
        &self,
        (key, session, passport): (&R::Key, R, Option<Passport>),
        course: Course,
        least_ns: u64,
    ) -> bool {
        if let Some(anonymous) = self.anonymous.get() {
            if !anonymous.readmit(key, &session, course, least_ns) {
                return false;
            }
        }
        let mut changing = None;
        if let Some(roster) = &self.roster {
            let principal = roster.principal_of(&session);
            let turn = principal
                .and_then(|principal| roster.take_turn_back(key, principal, passport))
                .and_then(|turn| turn.map(|turn| self.enter(roster, turn, (key, &session))).transpose());
            match turn {
                Ok(turn) => changing = turn,
                Err(_) => {
                    self.leave(key);
                    return false;
                }
            }
        }
        if self.sessions.readmit((key.clone(), session), course, least_ns).is_err() {
            drop(changing);
            self.leave(key);
            return false;
        }
        // Not a log-in, however it is entered.
        if changing.is_some_and(|turn| !turn.keep()) {
            self.end_for_good(key);
        }
        true
    }
}
