//! Where sessions are anonymous or not (`anonymous.rs`); nothing where the service has no rule for it.

use std::sync::Arc;

use super::{Keeper, Kept};
use crate::adapters::anonymous::{Anonymous, Rule};
use crate::adapters::refusal::Refusal;
use crate::error::BuildError;
use crate::lifetime::{Expiry, Lifetime};

impl<R: Kept> Keeper<R> {
    /// Caps the sessions that are anonymous by this rule, from now on; the first rule stays.
    ///
    /// `take_out` runs what takes such a session out of the cache.
    pub(in crate::adapters) fn cap_anonymous(
        &self,
        share: f64,
        rule: Arc<Rule<R>>,
        take_out: impl Fn(&R::Key, &dyn Fn() -> bool) -> bool + Send + Sync + 'static,
    ) -> Result<(), BuildError> {
        let (cache, judge) = (self.sessions.downgrade(), rule.clone());
        let victims = self.victims.clone();
        let evict = move |key: &R::Key| {
            let Some(cache) = cache.upgrade() else { return };
            let remove = || cache.remove_if(key, |_, session| judge(session));
            let _was_in = take_out(key, &|| match &victims {
                Some(victims) => victims.evict(key, remove),
                None => remove(),
            });
        };
        let anonymous = Anonymous::of(&self.terms, share, rule, Arc::new(evict))?;
        let _first = self.anonymous.set(anonymous);
        Ok(())
    }

    /// Lets a session in that is about to enter the cache.
    pub(in crate::adapters) fn admit(
        &self,
        key: &R::Key,
        session: &R,
        lifetime: Lifetime,
    ) -> Result<(), Refusal> {
        let Some(anonymous) = self.anonymous.get() else { return Ok(()) };
        let admitted = anonymous.admit(key, session, lifetime);
        if let Err(Refusal::NotTaken(reason)) = admitted {
            self.sessions.count_rejection(reason);
        }
        admitted
    }

    /// A session that was let in has entered the cache.
    pub(in crate::adapters) fn settle(&self, key: &R::Key, session: &R) {
        if let Some(anonymous) = self.anonymous.get() {
            anonymous.settle(key, session);
        }
    }

    /// A session has ended, or has not entered the cache.
    pub(in crate::adapters) fn leave(&self, key: &R::Key) {
        if let Some(anonymous) = self.anonymous.get() {
            anonymous.leave(key);
        }
        if let Some(roster) = &self.roster {
            roster.leave(key);
        }
    }

    /// Notes a use of a live session by a load.
    pub(in crate::adapters) fn note_use(&self, key: &R::Key, session: &R) {
        let Some(anonymous) = self.anonymous.get() else { return };
        if !anonymous.touch(key, session) {
            let lifetime = match self.sessions.expires_in(key) {
                Some(Expiry::In(left)) => Lifetime::default().live(left),
                Some(Expiry::Never) => Lifetime::default(),
                None => return,
            };
            self.classify(key, lifetime);
        }
    }

    /// Notes what a live session has become.
    pub(in crate::adapters) fn classify(&self, key: &R::Key, lifetime: Lifetime) {
        let Some(anonymous) = self.anonymous.get() else { return };
        match self.sessions.read(key, |session| anonymous.weight_of(key, session)) {
            Some(Some(weight)) => {
                // One that finds no room among the anonymous ones counts as one of the others.
                let _is_anonymous = anonymous.keep(key, weight, lifetime);
            }
            Some(None) | None => anonymous.leave(key),
        }
    }
}
