//! The reference model: what a session cache does, said as plainly as it can be said.
//!
//! One `Vec`, the coldest session first, and a clock in whole milliseconds. Everything is found by
//! a linear walk. The rules, numbered because the interpreter's messages cite them:
//!
//! - **M1** A session whose deadline is at or before now is dead: no call shows it. It counts
//!   against the capacity until it is unlinked: by `reap`, by a session that takes its key, when
//!   room is made, or by `clear` and `close`. Whatever unlinks it, its cause is `Expired` where the
//!   absolute deadline is at or before the idle one, and `Idle` otherwise.
//! - **M2** Insert, get, read, touch and `set_lifetime` count as use; peek, `contains_key`,
//!   `expires_in`, `remove_if`, `retain` and `for_each` do not; `update` carries the last use over,
//!   and the deadlines too.
//! - **M3** A session that takes its key's place needs only the difference in weight. Where that
//!   room is lacking, all that is dead is reaped first; then, under `OnFull::Evict`, the coldest
//!   session goes, one at a time, until it is there; but never the one whose place it is.
//! - **M4** What is refused changes nothing but what M3 made room by.
//! - **M5** Every insertion ends in exactly one event; the events of one key come in the order of
//!   its removals.

use sundown::{OnFull, Reason, RemovalCause};

/// Milliseconds since the manual clock's start.
pub(crate) type Ms = u64;

/// No deadline.
pub(crate) const NEVER: Ms = Ms::MAX;

/// A longer lifetime than this counts as this: ten years of 366 days.
const LONGEST: Ms = 3_660 * 86_400_000;

/// The limits and lifetimes a model and a cache are built from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_entries: Option<usize>,
    pub(crate) max_weight: Option<u64>,
    pub(crate) on_full: OnFull,
    /// `NEVER` where sessions live for ever.
    pub(crate) live_ms: Ms,
    /// `NEVER` where sessions may idle for ever.
    pub(crate) idle_ms: Ms,
}

impl Limits {
    /// Eight places, evicts where it is full, nobody has a deadline.
    pub(crate) const PLAIN: Self = Self {
        max_entries: Some(8),
        max_weight: None,
        on_full: OnFull::Evict,
        live_ms: NEVER,
        idle_ms: NEVER,
    };
}

/// Both lifetimes of one session, resolved: `None` inherits the cache's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) live_ms: Option<Ms>,
    pub(crate) idle_ms: Option<Ms>,
}

/// One linked session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Session {
    pub(crate) key: u8,
    /// Tells apart all values that were ever offered to the cache.
    pub(crate) serial: u32,
    pub(crate) weight: u64,
    live_until: Ms,
    idle_ms: Ms,
    last_use: Ms,
}

impl Session {
    fn idle_until(&self) -> Ms {
        if self.idle_ms == NEVER { NEVER } else { self.last_use.saturating_add(self.idle_ms) }
    }

    pub(crate) fn deadline(&self) -> Ms {
        self.live_until.min(self.idle_until())
    }

    fn is_live(&self, now: Ms) -> bool {
        now < self.deadline()
    }

    /// M1: a dead session tells how it died, whoever unlinks it.
    fn cause(&self, now: Ms, otherwise: RemovalCause) -> RemovalCause {
        if self.is_live(now) {
            otherwise
        } else if self.live_until <= self.idle_until() {
            RemovalCause::Expired
        } else {
            RemovalCause::Idle
        }
    }
}

/// One removal as the listener must report it.
pub(crate) type Event = (u8, u32, RemovalCause);

/// How a value may enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entrance {
    Any,
    IfAbsent,
    Replace,
}

/// What becomes of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Updated {
    Yes,
    /// The key is absent.
    Gone,
    Refused(Reason),
}

/// The naive cache.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    limits: Limits,
    pub(crate) now: Ms,
    pub(crate) coldest_first: Vec<Session>,
    pub(crate) events: Vec<Event>,
    pub(crate) inserted: u64,
    pub(crate) closed: bool,
}

impl Model {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, now: 0, coldest_first: vec![], events: vec![], inserted: 0, closed: false }
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = &Session> {
        self.coldest_first.iter().filter(|session| session.is_live(self.now))
    }

    pub(crate) fn find(&self, key: u8) -> Option<&Session> {
        self.live().find(|session| session.key == key)
    }

    pub(crate) fn weight(&self) -> u64 {
        self.coldest_first.iter().map(|session| session.weight).sum()
    }

    /// Shows a session and counts as its use.
    pub(crate) fn touch(&mut self, key: u8) -> Option<u32> {
        let at = self.place_of_live(key)?;
        let mut session = self.coldest_first.remove(at);
        session.last_use = session.last_use.max(self.now);
        self.coldest_first.push(session);
        Some(session.serial)
    }

    pub(crate) fn set_lifetime(&mut self, key: u8, span: Span) -> bool {
        let Some(at) = self.place_of_live(key) else { return false };
        let old = self.coldest_first.remove(at);
        let mut session = self.session(key, old.serial, old.weight, span);
        session.last_use = session.last_use.max(old.last_use);
        self.coldest_first.push(session);
        true
    }

    pub(crate) fn insert(
        &mut self,
        entrance: Entrance,
        (key, serial, weight): (u8, u32, u64),
        span: Span,
    ) -> Result<(), Reason> {
        let weight = weight.max(1);
        loop {
            let is_live = self.find(key).is_some();
            match entrance {
                _ if self.closed => return Err(Reason::Closed),
                Entrance::IfAbsent if is_live => return Err(Reason::Occupied),
                Entrance::Replace if !is_live => return Err(Reason::Absent),
                _ => {}
            }
            if self.has_made_room(key, weight)? {
                break;
            }
        }
        if let Some(at) = self.place_of_linked(key) {
            self.unlink(at, RemovalCause::Replaced);
        }
        self.coldest_first.push(self.session(key, serial, weight, span));
        self.inserted += 1;
        Ok(())
    }

    pub(crate) fn update(&mut self, key: u8, serial: u32, weight: u64) -> Updated {
        let weight = weight.max(1);
        loop {
            let Some(at) = self.place_of_live(key) else { return Updated::Gone };
            match self.has_made_room(key, weight) {
                Err(reason) => return Updated::Refused(reason),
                Ok(false) => continue,
                Ok(true) => {}
            }
            let old = self.unlink(at, RemovalCause::Replaced);
            self.coldest_first.insert(at, Session { serial, weight, ..old });
            self.inserted += 1;
            return Updated::Yes;
        }
    }

    /// Removes a live session.
    pub(crate) fn remove(&mut self, key: u8) -> Option<u32> {
        let at = self.place_of_live(key)?;
        Some(self.unlink(at, RemovalCause::Removed).serial)
    }

    /// Removes live sessions that `keep` does not hold; says how many.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Session) -> bool) -> usize {
        let doomed: Vec<u8> = self.live().filter(|s| !keep(s)).map(|s| s.key).collect();
        doomed.iter().filter(|&&key| self.remove(key).is_some()).count()
    }

    pub(crate) fn clear(&mut self, cause: RemovalCause) {
        while !self.coldest_first.is_empty() {
            self.unlink(0, cause);
        }
    }

    /// Unlinks all that is dead.
    pub(crate) fn reap(&mut self) -> usize {
        let before = self.coldest_first.len();
        while let Some(at) = self.coldest_first.iter().position(|s| !s.is_live(self.now)) {
            self.unlink(at, RemovalCause::Expired);
        }
        before - self.coldest_first.len()
    }

    /// M3: true if there was room for all that is needed; else makes it, and the caller must look
    /// again, for whoever held the key may have gone.
    fn has_made_room(&mut self, key: u8, weight: u64) -> Result<bool, Reason> {
        if self.limits.max_weight.is_some_and(|most| weight > most) {
            return Err(Reason::TooHeavy);
        }
        let need = match self.place_of_linked(key) {
            Some(at) => (0, weight.saturating_sub(self.coldest_first[at].weight)),
            None => (1, weight),
        };
        if self.has_room(need) {
            return Ok(true);
        }
        while !self.has_room(need) {
            if self.reap() > 0 {
                continue;
            }
            if self.limits.on_full == OnFull::Reject {
                return Err(Reason::Full);
            }
            let coldest = self.coldest_first.iter().position(|session| session.key != key);
            self.unlink(coldest.expect("what fits alone has room alone"), RemovalCause::Evicted);
        }
        Ok(false)
    }

    fn has_room(&self, (entries, weight): (usize, u64)) -> bool {
        self.limits.max_entries.is_none_or(|most| self.coldest_first.len() + entries <= most)
            && self.limits.max_weight.is_none_or(|most| self.weight() + weight <= most)
    }

    fn session(&self, key: u8, serial: u32, weight: u64, span: Span) -> Session {
        let resolve = |own: Option<Ms>, inherited| match own {
            None => inherited,
            Some(NEVER) => NEVER,
            Some(ms) => ms.min(LONGEST),
        };
        Session {
            key,
            serial,
            weight,
            live_until: self.now.saturating_add(resolve(span.live_ms, self.limits.live_ms)),
            idle_ms: resolve(span.idle_ms, self.limits.idle_ms),
            last_use: self.now,
        }
    }

    fn unlink(&mut self, at: usize, otherwise: RemovalCause) -> Session {
        let session = self.coldest_first.remove(at);
        self.events.push((session.key, session.serial, session.cause(self.now, otherwise)));
        session
    }

    fn place_of_linked(&self, key: u8) -> Option<usize> {
        self.coldest_first.iter().position(|session| session.key == key)
    }

    fn place_of_live(&self, key: u8) -> Option<usize> {
        self.place_of_linked(key).filter(|&at| self.coldest_first[at].is_live(self.now))
    }
}
