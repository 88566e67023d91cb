//! The store in front of another one, which has the truth; in the words of whichever version the parent
//! imports as `framework`.
//!
//! B1. The truth first: a session is created, changed and deleted in the store behind before the cache
//!     has it so. What failed there, or was given up at any await, leaves no copy in the cache.
//! B2. A copy is put in only as it was committed, and not over a newer one (`flights.rs`).
//! B3. That the cache refuses a copy is no error: the next load goes to the store behind.
//! B4. A session's birth and its last use travel in its data, so that both timeouts hold also for what
//!     was evicted, is never saved again, or outlives the process. A use costs the store behind
//!     nothing until an eighth of the idle time has gone.
//! B5. What has ended here has ended (`graves.rs`). A save of what is not in the cache asks the store
//!     behind whether it is still there, so that it does not bring it back. While it is not known whether a
//!     session was removed by hand, no call finds it behind.

use std::fmt;
use std::sync::Arc;

use super::flights::{Call, Flights};
use super::framework::SessionStore;
use super::framework::session::{Id, Record};
use super::framework::session_store::Result;
use super::graves::{Graves, Undo};
use crate::adapters::keeper::{Change, Forward, Keeper, Kept};
use crate::adapters::lifespan::{Stated, USED_KEY};
use crate::adapters::refusal::Refusal;
use crate::builder::Builder;
use crate::cache::Cache;
use crate::error::BuildError;

/// The store behind, and what is known of the calls to it.
pub(super) struct Behind {
    db: Arc<dyn SessionStore>,
    flights: Flights,
    graves: Arc<Graves>,
}

impl Behind {
    /// In front of `db`; the builder's listener hears of everything as before.
    pub(super) fn of(
        mut builder: Builder<Id, Record>,
        db: Arc<dyn SessionStore>,
    ) -> std::result::Result<(Builder<Id, Record>, Self), BuildError> {
        let graves = Arc::new(Graves::of(&builder)?);
        let (hears, listener) = (graves.clone(), builder.listener.take());
        let builder = builder.on_removal(move |id, record, cause| {
            hears.hear(&id, cause);
            if let Some(listener) = &listener {
                listener(id, record, cause);
            }
        });
        Ok((builder, Self { db, flights: Flights::default(), graves }))
    }

    pub(super) fn front<'f>(&'f self, keeper: &'f Keeper<Record>, wall_ns: i128) -> Front<'f> {
        Front { behind: self, keeper, wall_ns }
    }

    /// As an eviction does, for tests.
    #[cfg(test)]
    pub(super) fn take_out(&self, id: &Id, cache: &Cache<Id, Record>) {
        self.graves.take_out(id, cache);
    }

    /// Runs what takes a copy out that is not to be missed in the store behind.
    pub(super) fn expecting(&self) -> impl Fn(&Id, &dyn Fn() -> bool) -> bool + use<> {
        let graves = self.graves.clone();
        move |id, take_out| graves.expecting(id, take_out)
    }

    pub(super) fn reap(&self) {
        self.graves.reap();
    }
}

impl fmt::Debug for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Behind { .. }")
    }
}

/// One call's view of both.
#[derive(Clone, Copy)]
pub(super) struct Front<'f> {
    behind: &'f Behind,
    keeper: &'f Keeper<Record>,
    wall_ns: i128,
}

impl<'f> Front<'f> {
    fn sessions(self) -> &'f Cache<Id, Record> {
        self.keeper.sessions()
    }

    fn db(self) -> &'f dyn SessionStore {
        &*self.behind.db
    }

    fn undo(self, id: Id) -> Undo<'f> {
        Undo::of(&self.behind.graves, self.sessions(), id)
    }

    fn span_ns(self, record: &Record) -> i128 {
        record.expiry_date.unix_timestamp_nanos() - self.wall_ns
    }

    /// Loads a session, from the store behind if the cache has no copy.
    pub(super) async fn load(self, id: &Id) -> Result<Option<Record>> {
        if !self.behind.flights.is_doubtful(id) {
            if let Some(copy) = self.keeper.load(id) {
                if self.is_use_due(&copy) {
                    self.note_use(id, &copy).await;
                }
                return Ok(Some(copy));
            }
        }
        if self.is_over(id)? {
            self.bury(id).await;
            return Ok(None);
        }
        self.bury_some().await;
        let call = self.behind.flights.begin(*id);
        let Some(record) = self.read(id).await? else { return Ok(None) };
        if self.is_over(id)? {
            return Ok(None);
        }
        self.put_in(&call, &record);
        if self.is_use_due(&record) {
            self.note_use(id, &record).await;
        }
        Ok(Some(record))
    }

    /// What the store behind has of a session, if it is still to live; what is not goes there too.
    async fn read(self, id: &Id) -> Result<Option<Record>> {
        let Some(mut record) = self.db().load(id).await? else { return Ok(None) };
        if self.is_timed_out(&record) {
            let _later = self.db().delete(id).await;
            return Ok(None);
        }
        // A revision of its own, whatever the store behind has cloned.
        record.data = std::mem::take(&mut record.data).into_iter().collect();
        self.keeper.descents().note_read(id, &record.data);
        Ok(Some(record))
    }

    fn is_timed_out(self, record: &Record) -> bool {
        let lifespan = self.keeper.lifespan();
        let birth = lifespan.birth(Stated::Unknown, record.known_birth());
        let is_idle = lifespan.idle_millis().is_some_and(|idle| {
            let used = record.data.get(USED_KEY).and_then(|used| used.as_u64());
            used.is_some_and(|used| lifespan.steady_millis() >= used.saturating_add(idle))
        });
        is_idle || lifespan.lasting(self.span_ns(record), birth).is_none()
    }

    /// Puts a copy into the cache, if it may be and the cache takes it (B2, B3).
    fn put_in(self, call: &Call<'_>, record: &Record) {
        let lifespan = self.keeper.lifespan();
        let birth = lifespan.birth(Stated::Unknown, record.known_birth());
        let Some(lifetime) = lifespan.lasting(self.span_ns(record), birth) else { return };
        let (id, sessions) = (record.id, self.sessions());
        let put_in = || {
            let put = self.keeper.admit(&id, record, lifetime).and_then(|()| {
                let put = sessions.insert_if_absent(id, record.clone(), lifetime);
                put.map_err(|rejected| Refusal::from(&rejected))
            });
            match put {
                Ok(()) => self.keeper.settle(&id, record),
                Err(Refusal::Taken) => {}
                Err(refusal) => {
                    self.keeper.leave(&id);
                    self.keeper.notices().report(refusal);
                }
            }
        };
        call.settle(put_in, || self.behind.graves.take_out(&id, sessions));
    }

    /// Whether a use of a session is due to be written to the store behind, or what that lacks (B4).
    fn is_use_due(self, record: &Record) -> bool {
        let lifespan = self.keeper.lifespan();
        let is_late = lifespan.idle_millis().is_some_and(|idle| {
            let used = record.data.get(USED_KEY).and_then(|used| used.as_u64());
            used.is_none_or(|used| {
                lifespan.steady_millis().saturating_sub(used) >= (idle / USES_WRITTEN).max(1)
            })
        });
        is_late || (lifespan.keeps_births() && record.known_birth().is_none())
    }

    /// Writes a use to the store behind, unless a save is under way, which does so. The load does not
    /// fail with it.
    async fn note_use(self, id: &Id, copy: &Record) {
        let mut call = self.behind.flights.begin(*id);
        if let Some(_turn) = call.try_turn() {
            if let Some(current) = self.keeper.sessions().peek(id) {
                let draft = Record { expiry_date: current.expiry_date, ..copy.clone() };
                let _next_time = self.write(&mut call, &current, &draft).await;
            }
        }
    }

    /// Does to a session what a request has done to its copy; false if it is over.
    pub(super) async fn save(self, draft: &Record) -> Result<bool> {
        let mut id = draft.id;
        self.bury_some().await;
        for _ in 0..MOST_TRIES {
            if self.span_ns(draft) <= 0 {
                self.delete(&id).await?;
                return Ok(true);
            }
            if self.save_under(&id, draft).await? {
                return Ok(true);
            }
            match self.keeper.forward(&id, draft, None) {
                Forward::Nowhere => return Ok(false),
                Forward::To(successor) => id = successor,
                Forward::End(successor) => {
                    self.delete(&successor).await?;
                    return Ok(false);
                }
            }
        }
        Ok(false)
    }

    async fn save_under(self, id: &Id, draft: &Record) -> Result<bool> {
        let mut call = self.behind.flights.begin(*id);
        let _turn = call.turn().await;
        let copy =
            if self.behind.flights.is_doubtful(id) { None } else { self.sessions().peek(id) };
        if copy.is_none() && self.is_over(id)? {
            return Ok(false);
        }
        let current = match copy {
            Some(copy) => copy,
            None => match self.read(id).await? {
                Some(record) => record,
                None => return Ok(false),
            },
        };
        self.write(&mut call, &current, draft).await
    }

    /// Writes what a session becomes by a draft; false if it was ended meanwhile.
    async fn write(self, call: &mut Call<'_>, current: &Record, draft: &Record) -> Result<bool> {
        let (mut next, change) = self.revise(current, draft)?;
        self.mark_use(&mut next);
        let id = next.id;
        let mut undo = self.undo(id);
        call.move_on();
        if self.is_over(&id)? {
            return Ok(false);
        }
        self.db().save(&next).await?;
        let is_overtaken = call.is_overtaken();
        call.move_on();
        if self.is_over(&id)? {
            // It was deleted meanwhile, and the save may have come after that.
            self.behind.graves.dig(id);
            self.bury(&id).await;
            return Ok(false);
        }
        if is_overtaken {
            return Ok(true);
        }
        self.keeper.confirm(change, Some(draft));
        self.behind.graves.take_out(&id, self.sessions());
        self.put_in(call, &next);
        undo.disarm();
        Ok(true)
    }

    fn revise(self, current: &Record, draft: &Record) -> Result<(Record, Change<Id>)> {
        let stated = draft.stated()?;
        Ok(self.keeper.revise(&current.id, current, draft, (stated, None))?)
    }

    fn mark_use(self, record: &mut Record) {
        let lifespan = self.keeper.lifespan();
        if lifespan.idle_millis().is_some() {
            record.data.insert(USED_KEY.to_owned(), lifespan.steady_millis().into());
        }
    }

    /// Puts a new session into the store behind, and then a copy into the cache.
    pub(super) async fn create(self, record: &mut Record) -> Result<()> {
        self.bury_some().await;
        let (lifespan, descents) = (self.keeper.lifespan(), self.keeper.descents());
        let birth = lifespan.birth(record.stated()?, None);
        let origin = descents.origin(&record.data);
        for _ in 0..MOST_TRIES {
            let drawn = Id::default();
            record.id = drawn;
            if lifespan.lasting(self.span_ns(record), birth).is_none() {
                return Ok(());
            }
            let rotated = self.keeper.shape(record, &drawn, (origin.as_ref(), birth));
            self.mark_use(record);
            if let Err(error) = self.db().create(record).await {
                if let Some(rotated) = rotated {
                    descents.unclaim(rotated, &drawn);
                }
                return Err(error);
            }
            if let Some(rotated) = rotated {
                if !descents.hand_on(rotated, &drawn, &record.id) {
                    // A log-out has overtaken it: once more, without what was logged out.
                    self.behind.graves.dig(record.id);
                    self.bury(&record.id).await;
                    continue;
                }
            }
            descents.note_read(&record.id, &record.data);
            let call = self.behind.flights.begin(record.id);
            self.put_in(&call, record);
            return Ok(());
        }
        Err(Refusal::Taken.into())
    }

    /// Ends a session, and what was created from it, in the store behind and here.
    pub(super) async fn delete(self, id: &Id) -> Result<()> {
        let (mut next, mut is_successor) = (Some(*id), false);
        while let Some(id) = next {
            next = self.delete_one(&id, is_successor).await?;
            is_successor = true;
        }
        self.bury_some().await;
        Ok(())
    }

    /// Ends one session; gives what was created from it if it had been ended before.
    async fn delete_one(self, id: &Id, is_successor: bool) -> Result<Option<Id>> {
        let graves = &self.behind.graves;
        let mut call = self.behind.flights.begin(*id);
        let mut was_live = graves.expecting(id, || self.keeper.end_one(id));
        if !was_live && !self.is_over(id).unwrap_or(false) {
            if let Some(record) = self.read(id).await? {
                self.keeper.descents().end(id, &record.data);
                was_live = true;
            }
        }
        // Nothing takes the place of what ends with another one: it may be a log-out.
        let is_first = was_live && !is_successor;
        let successor = if is_first { None } else { self.keeper.descents().end_again(id) };
        if was_live {
            graves.dig(*id);
        }
        // A load that has looked before there was a grave puts in nothing from here on.
        call.move_on();
        graves.take_out(id, self.sessions());
        self.db().delete(id).await?;
        graves.close(id);
        Ok(successor)
    }

    /// Whether a session has ended here; an error while that cannot be known.
    fn is_over(self, id: &Id) -> Result<bool> {
        let graves = &self.behind.graves;
        let has_heard_all = graves.has_heard_all(self.sessions());
        match graves.has(id) {
            false if !has_heard_all => {
                self.keeper.notices().report(Refusal::Unheard);
                Err(Refusal::Unheard.into())
            }
            is_over => Ok(is_over),
        }
    }

    /// Deletes a session in the store behind that has ended here. If that fails, the next call tries
    /// again.
    async fn bury(self, id: &Id) {
        if self.db().delete(id).await.is_ok() {
            self.behind.graves.close(id);
        }
    }

    /// The same for some that others have left.
    pub(super) async fn bury_some(self) {
        for id in self.behind.graves.some() {
            self.bury(&id).await;
        }
    }
}

/// So many log-outs in a row that overtake one creation, or new ids that overtake a save, are no
/// accident.
const MOST_TRIES: usize = 8;

/// How many times in an idle time uses are written to the store behind.
const USES_WRITTEN: u64 = 8;
