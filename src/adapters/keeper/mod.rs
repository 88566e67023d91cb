//! What the stores for all frameworks have in common: how a session is created, saved, loaded and
//! ended, in terms of the cache.
//!
//! A framework loads a session when a request comes and saves it with the response. Meanwhile other
//! requests may have saved it, logged it out, or given it another id, and its time may have come.
//!
//! K1. Only a creation makes a session live, and always under a key that has just been drawn: by the
//!     store, or by a framework that leaves it no choice.
//! K2. A save changes a live session or nothing: it is one atomic update of the cache. That a session
//!     has ended meanwhile is no error: had the save come a moment earlier, nothing would be left of
//!     it either.
//! K3. A save does to the session what its request did to its copy (`merge.rs`).
//! K4. What is created from a copy of a session that was logged out takes nothing of it along
//!     (`descent.rs`, D3).
//! K5. A session that gets a new id keeps its room, or stays (`room.rs`).
//! K6. No date is an error (`lifespan.rs`, T3): a session whose time is up is ended by the save.
//! K7. A session is among its principal's before it is live as such (`roster`).

mod create;
mod principals;
mod register;
mod save;
#[cfg(all(
    feature = "snapshot",
    any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15")
))]
mod travel;

use core::hash::Hash;
use std::sync::{Arc, OnceLock};

pub(super) use self::create::Descent;
#[cfg(any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15"))]
pub(super) use self::save::{Change, Forward};
pub(super) use self::save::Saved;
use super::anonymous::{Anonymous, Terms, Victims};
use super::descent::Descents;
use super::lifespan::{BIRTH_KEY, Birth, Lifespan, Stated};
use super::merge::Pairs;
use super::notice::Notices;
use super::refusal::Refusal;
use super::room::SetAside;
use super::roster::{PrincipalOf, Roster};
use crate::builder::Builder;
use crate::cache::Cache;
use crate::error::{BuildError, Reason};
use crate::sessions::{Book, OnLimit};

/// What a framework keeps of a session.
pub(super) trait Kept: Clone + Send + Sync + 'static {
    type Key: Clone + Eq + Hash + Send + Sync + 'static;
    type Value: Clone + Eq + Hash + Send + Sync + 'static;

    /// Notes the key in the session, where the framework does.
    fn set_key(&mut self, key: &Self::Key);
    /// The same session with these data.
    fn with(&self, pairs: Pairs<Self::Value>) -> Self;
    fn pairs(&self) -> &Pairs<Self::Value>;
    fn pairs_mut(&mut self) -> &mut Pairs<Self::Value>;
    /// What the session's data say of its birth.
    fn stated(&self) -> Result<Stated, Refusal>;
    /// Notes the birth in the session's data.
    fn mark(&mut self, birth: Birth);

    /// When the store itself has noted that the session began.
    fn known_birth(&self) -> Option<Birth> {
        match self.stated() {
            Ok(Stated::At(birth)) => Some(birth),
            _ => None,
        }
    }
}

pub(super) struct Keeper<R: Kept> {
    sessions: Cache<R::Key, R>,
    lifespan: Lifespan,
    descents: Descents<R::Key>,
    aside: Option<SetAside<R::Key, R>>,
    notices: Notices,
    anonymous: OnceLock<Anonymous<R>>,
    terms: Terms<R>,
    victims: Option<Arc<Victims<R::Key>>>,
    roster: Option<Arc<Roster<R>>>,
    book: Book,
}

/// How a store tells whose its sessions are, and how many a principal may have.
pub(super) type Principled<R> = (Box<PrincipalOf<R>>, Option<(usize, OnLimit)>);

type Parts<R> = (
    Lifespan,
    Option<SetAside<<R as Kept>::Key, R>>,
    Option<Arc<Victims<<R as Kept>::Key>>>,
    Option<Arc<Roster<R>>>,
);

impl<R: Kept> Keeper<R> {
    /// Keeps sessions in a cache of its own, when the wall clock shows `wall_ns`.
    pub(super) fn of(
        mut builder: Builder<R::Key, R>,
        wall_ns: i128,
        principled: Option<Principled<R>>,
    ) -> Result<Self, BuildError> {
        let victims = Victims::of(&mut builder);
        let roster = match principled {
            Some((rule, limit)) => Some(Roster::of(&mut builder, rule, limit)?),
            None => None,
        };
        let lifespan = Lifespan::of(&builder, wall_ns)?.marking_all(roster.is_some());
        let (builder, aside) = SetAside::of(builder)?;
        Self::made_of(builder, (lifespan, aside, victims, roster))
    }

    /// The same for copies of sessions that are kept elsewhere: there is always room for a new id.
    #[cfg(any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15"))]
    pub(super) fn of_copies(
        builder: Builder<R::Key, R>,
        wall_ns: i128,
        victims: Option<Arc<Victims<R::Key>>>,
    ) -> Result<Self, BuildError> {
        let lifespan = Lifespan::of(&builder, wall_ns)?;
        Self::made_of(builder, (lifespan, None, victims, None))
    }

    fn made_of(
        mut builder: Builder<R::Key, R>,
        (lifespan, aside, victims, roster): Parts<R>,
    ) -> Result<Self, BuildError> {
        let descents = Descents::of(&builder)?;
        let notices = Notices::by(builder.clock.clone());
        let terms = Terms::of(&mut builder, lifespan.idle());
        let sessions = builder.build()?;
        if let Some(roster) = &roster {
            roster.attach(&sessions);
        }
        Ok(Self {
            sessions,
            lifespan,
            descents,
            aside,
            notices,
            anonymous: OnceLock::new(),
            terms,
            victims,
            roster,
            book: Book::default(),
        })
    }

    pub(super) fn sessions(&self) -> &Cache<R::Key, R> {
        &self.sessions
    }

    /// For a store that keeps the truth elsewhere, and sessions here as copies.
    #[cfg(any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15"))]
    pub(super) fn lifespan(&self) -> &Lifespan {
        &self.lifespan
    }

    #[cfg(any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15"))]
    pub(super) fn descents(&self) -> &Descents<R::Key> {
        &self.descents
    }

    #[cfg(any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15"))]
    pub(super) fn notices(&self) -> &Notices {
        &self.notices
    }

    /// A copy of a live session; a use of it.
    pub(super) fn load(&self, key: &R::Key) -> Option<R> {
        let Some(session) = self.sessions.read(key, R::clone) else {
            self.book.unknown_ids.add(1);
            return None;
        };
        self.note_use(key, &session);
        Some(session)
    }

    /// Counts and reports that what is not live was not saved (K2).
    pub(super) fn leave_out(&self, refusal: Refusal) {
        self.sessions.count_rejection(Reason::Absent);
        self.notices.report(refusal);
    }

    /// The same outcome, after a refusal was reported.
    fn reported<T>(&self, outcome: Result<T, Refusal>) -> Result<T, Refusal> {
        outcome.inspect_err(|&refusal| self.notices.report(refusal))
    }

    /// Ends a session, and what was created from it (`descent.rs`, D3); whether it was live itself.
    pub(super) fn end(&self, key: &R::Key) -> bool {
        let was_live = self.end_one(key);
        if !was_live {
            self.end_successors(key);
        }
        was_live
    }

    /// Ends what was created from a session that has ended, and lets nothing take its place any more: it may
    /// be a log-out.
    fn end_successors(&self, key: &R::Key) {
        let mut next = self.descents.end_again(key);
        while let Some(key) = next {
            self.end_one(&key);
            next = self.descents.end_again(&key);
        }
    }

    /// Ends a session alone.
    pub(super) fn end_one(&self, key: &R::Key) -> bool {
        let was_live = self.sessions.remove_if(key, |key, last| {
            self.descents.end(key, last.pairs());
            if let Some(roster) = &self.roster {
                roster.depart(key);
            }
            if let Some(aside) = &self.aside {
                aside.put(key, last, self.sessions.expires_in(key));
            }
            true
        });
        if let Some(aside) = self.aside.as_ref().filter(|_| !was_live) {
            aside.give_up(key);
        }
        self.leave(key);
        was_live
    }

    /// Whether a session was logged out lately, rather than having run out or been evicted.
    #[cfg(any(feature = "actix-session-0_11", feature = "poem-3"))]
    pub(super) fn was_ended(&self, key: &R::Key) -> bool {
        self.descents.has_ended(key)
    }

    /// Frees what is over by now, on this thread.
    #[cfg(any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15"))]
    pub(super) fn reap(&self) {
        self.sessions.reap();
        self.descents.reap();
        if let Some(aside) = &self.aside {
            aside.reap();
        }
        if let Some(anonymous) = self.anonymous.get() {
            anonymous.reap();
        }
        if let Some(roster) = &self.roster {
            roster.reap();
        }
    }
}

/// Notes a session's birth in its data, or that there is none to note.
fn mark<R: Kept>(session: &mut R, birth: Option<Birth>) {
    match birth {
        Some(birth) => session.mark(birth),
        None if session.stated() == Ok(Stated::Now) => {
            session.pairs_mut().remove(BIRTH_KEY);
        }
        None => {}
    }
}
