//! Histories of sessions with principals, beside a list that is too plain to be wrong.
//!
//! The property test and the fuzzer draw bytes and decode them here, so that a failure found by one is
//! replayed by the other. Small bytes decode to plain steps.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sundown::sessions::{
    EndCause, OnAuthenticate, OnLimit, Refusal, SessionEnd, SessionId, Sessions,
};
use sundown::{ManualClock, OnFull, Reaper};

const LIVE: u64 = 300;
const IDLE: u64 = 100;
const PRINCIPALS: u8 = 4;
/// How many earlier ids with a grace a session keeps.
const MOST_GRACED: usize = 8;
/// In a cache that rejects what does not fit.
const FEW: usize = 6;

/// What a history is run with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    limit: Option<(usize, OnLimit)>,
    grace: u64,
    keeps_absolute: bool,
    is_small: bool,
}

impl Setup {
    /// The setup that a byte stands for.
    pub(crate) fn decode(byte: u8) -> Self {
        let limit = match byte % 4 {
            0 => None,
            1 => Some((3, OnLimit::RevokeOldest)),
            2 => Some((2, OnLimit::Refuse)),
            _ => Some((1, OnLimit::RevokeOldest)),
        };
        let grace = if byte & 4 == 0 { 0 } else { 5 };
        Self { limit, grace, keeps_absolute: byte & 8 != 0, is_small: byte & 16 != 0 }
    }
}

/// A step; `session` and `id` choose among what there is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    Create { principal: Option<u8> },
    Get { session: u8, id: u8 },
    Peek { session: u8, id: u8 },
    Update { session: u8, id: u8 },
    Wait { seconds: u8 },
    Rotate { session: u8, id: u8 },
    Authenticate { session: u8, id: u8, principal: u8 },
    Revoke { session: u8, id: u8 },
    RevokeAll { principal: u8 },
    RevokeOthers { principal: u8, session: u8, id: u8 },
    RevokePublic { principal: u8, session: u8 },
    RevokeEveryone,
    Reap,
    GetEnded { which: u8 },
}

impl Op {
    /// The step that four bytes stand for.
    pub(crate) fn decode([kind, session, id, other]: [u8; 4]) -> Self {
        let principal = other % PRINCIPALS;
        match kind % 32 {
            0..6 => Self::Create { principal: (session % 4 > 0).then_some(principal) },
            6..10 => Self::Get { session, id },
            10 => Self::Peek { session, id },
            11..14 => Self::Update { session, id },
            14..17 => Self::Wait { seconds: other % 64 },
            17..20 => Self::Rotate { session, id },
            20..24 => Self::Authenticate { session, id, principal },
            24 => Self::Revoke { session, id },
            25 => Self::RevokeAll { principal },
            26 => Self::RevokeOthers { principal, session, id },
            27 => Self::RevokePublic { principal, session },
            28 if other < 32 => Self::RevokeEveryone,
            28..30 => Self::Reap,
            _ => Self::GetEnded { which: other },
        }
    }
}

/// A session, as the list has it.
struct Row {
    /// The earlier ones with the ends of their graces; the newest last.
    ids: Vec<(SessionId, u64)>,
    number: u64,
    version: u64,
    principal: Option<u8>,
    /// When it became its principal's: of two that one is older.
    order: u64,
    authenticated: bool,
    absolute: u64,
    idle: u64,
}

/// The data of a session: which it is, and how often it was changed.
type Data = (u64, u64);
type Ends = Arc<Mutex<BTreeMap<u64, Vec<EndCause>>>>;

struct Twin {
    setup: Setup,
    clock: ManualClock,
    sessions: Sessions<u8, Data>,
    ends: Ends,
    rows: Vec<Row>,
    expected: BTreeMap<u64, Vec<EndCause>>,
    ended: Vec<SessionId>,
    now: u64,
    created: u64,
    order: u64,
}

/// Runs a history; tells where the sessions differ from the list.
pub(crate) fn run(setup: Setup, ops: &[Op]) -> Result<(), String> {
    let mut twin = Twin::new(setup)?;
    for (number, &op) in ops.iter().enumerate() {
        twin.expire();
        twin.step(op).map_err(|difference| format!("step {number}, {op:?}: {difference}"))?;
        twin.compare()
            .map_err(|difference| format!("after step {number}, {op:?}: {difference}"))?;
    }
    twin.end()
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what}: {found:?}, and the list says {expected:?}"))
}

impl Twin {
    fn new(setup: Setup) -> Result<Self, String> {
        let (clock, ends) = (ManualClock::new(), Ends::default());
        let told = ends.clone();
        let mut builder = Sessions::builder()
            .max_entries(if setup.is_small { FEW } else { 1_000 })
            .on_full(if setup.is_small { OnFull::Reject } else { OnFull::Evict })
            .time_to_live(Duration::from_secs(LIVE))
            .time_to_idle(Duration::from_secs(IDLE))
            .rotation_grace(Duration::from_secs(setup.grace))
            .on_authenticate(if setup.keeps_absolute {
                OnAuthenticate::KeepAbsolute
            } else {
                OnAuthenticate::RestartAbsolute
            })
            .clock(clock.clone())
            .reaper(Reaper::Manual)
            .on_end(move |end: SessionEnd<u8, Data>| {
                let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                told.entry(end.data.0).or_default().push(end.cause);
            });
        if let Some((sessions, on_limit)) = setup.limit {
            builder = builder.max_per_principal(sessions, on_limit);
        }
        let sessions = builder.build().map_err(|error| error.to_string())?;
        Ok(Self {
            setup,
            clock,
            sessions,
            ends,
            rows: Vec::new(),
            expected: BTreeMap::new(),
            ended: Vec::new(),
            now: 0,
            created: 0,
            order: 0,
        })
    }

    /// Takes out what is over by now.
    fn expire(&mut self) {
        let now = self.now;
        while let Some(at) = self.rows.iter().position(|row| row.absolute.min(row.idle) <= now) {
            let row = &self.rows[at];
            let cause = if row.absolute <= row.idle { EndCause::Expired } else { EndCause::Idle };
            self.end_row(at, cause);
        }
        for row in &mut self.rows {
            let (over, left) = row.ids.drain(..).partition(|(_, until)| *until <= now);
            let over: Vec<(SessionId, u64)> = over;
            self.ended.extend(over.into_iter().map(|(id, _)| id));
            row.ids = left;
        }
    }

    fn end_row(&mut self, at: usize, cause: EndCause) {
        let row = self.rows.remove(at);
        self.expected.entry(row.number).or_default().push(cause);
        self.ended.extend(row.ids.into_iter().map(|(id, _)| id));
    }

    fn end_where(&mut self, is_it: impl Fn(&Row) -> bool, cause: EndCause) -> usize {
        let before = self.rows.len();
        while let Some(at) = self.rows.iter().position(&is_it) {
            self.end_row(at, cause);
        }
        before - self.rows.len()
    }

    /// Chooses one of a session's ids, and says whether it is the newest.
    fn choose(&self, session: u8, id: u8) -> Option<(usize, SessionId, bool)> {
        let at = usize::from(session) % self.rows.len().max(1);
        let ids = &self.rows.get(at)?.ids;
        let from_the_end = usize::from(id) % ids.len();
        Some((at, ids[ids.len() - 1 - from_the_end].0.clone(), from_the_end == 0))
    }

    /// Makes place for one more of a principal's; false if there is none.
    fn make_place(&mut self, principal: u8) -> bool {
        let Some((limit, on_limit)) = self.setup.limit else { return true };
        let own = |row: &&Row| row.principal == Some(principal);
        if self.rows.iter().filter(own).count() < limit {
            return true;
        }
        if on_limit == OnLimit::Refuse {
            return false;
        }
        let oldest = self.rows.iter().filter(own).map(|row| row.order).min();
        self.end_where(|row| Some(row.order) == oldest, EndCause::LimitReached);
        true
    }

    /// The oldest is known by the time at which it began.
    fn next_order(&mut self) -> u64 {
        self.clock.advance(Duration::from_nanos(1));
        self.order += 1;
        self.order
    }

    fn step(&mut self, op: Op) -> Result<(), String> {
        match op {
            Op::Create { principal } => self.create(principal),
            Op::Get { session, id } => self.look(session, id, true),
            Op::Peek { session, id } => self.look(session, id, false),
            Op::Update { session, id } => self.update(session, id),
            Op::Rotate { session, id } => self.rotate(session, id),
            Op::Authenticate { session, id, principal } => {
                self.authenticate((session, id), principal)
            }
            Op::Wait { seconds } => {
                self.now += u64::from(seconds);
                self.clock.advance(Duration::from_secs(seconds.into()));
                self.expire();
                Ok(())
            }
            Op::GetEnded { which } => {
                let at = usize::from(which) % self.ended.len().max(1);
                let Some(id) = self.ended.iter().rev().nth(at) else { return Ok(()) };
                expect("an ended id finds a session", self.sessions.get(id).is_some(), false)?;
                expect("it is updated", self.sessions.update(id, |data| *data).ok(), Some(false))?;
                expect("it is rotated", self.sessions.rotate(id).is_some(), false)?;
                let refused = self.sessions.authenticate(id, 0).err();
                expect("it logs in", refused, Some(Refusal::Ended))
            }
            Op::Reap => {
                self.reap()?;
                expect("sessions", self.sessions.len(), self.rows.len())?;
                self.sessions.audit().map(drop).map_err(|error| error.to_string())
            }
            _ => self.revoke(op),
        }
    }

    fn create(&mut self, principal: Option<u8>) -> Result<(), String> {
        let order = self.next_order();
        self.created += 1;
        let number = self.created;
        let created = match principal {
            Some(principal) => self.sessions.create_for(principal, (number, 0)),
            None => self.sessions.create((number, 0)),
        };
        // What is over makes room before anything is refused.
        let has_place = principal.is_none_or(|principal| self.make_place(principal));
        let refusal = match () {
            () if !has_place => Some(Refusal::LimitReached),
            () if self.setup.is_small && self.rows.len() == FEW => Some(Refusal::Full),
            () => None,
        };
        expect("refused", created.as_ref().err().map(|refused| refused.reason()), refusal)?;
        let Ok(id) = created else { return Ok(()) };
        self.rows.push(Row {
            ids: vec![(id, u64::MAX)],
            number,
            version: 0,
            principal,
            order,
            authenticated: principal.is_some(),
            absolute: self.now + LIVE,
            idle: self.now + IDLE,
        });
        Ok(())
    }

    fn look(&mut self, session: u8, id: u8, is_use: bool) -> Result<(), String> {
        let Some((at, id, _)) = self.choose(session, id) else { return Ok(()) };
        let found = if is_use { self.sessions.get(&id) } else { self.sessions.peek(&id) };
        let row = &mut self.rows[at];
        let found = found.map(|session| {
            (*session, session.principal().copied(), session.authenticated().is_some())
        });
        let known = ((row.number, row.version), row.principal, row.authenticated);
        expect("found", found, Some(known))?;
        if is_use {
            row.idle = self.now + IDLE;
        }
        Ok(())
    }

    fn update(&mut self, session: u8, id: u8) -> Result<(), String> {
        let Some((at, id, _)) = self.choose(session, id) else { return Ok(()) };
        let updated = self.sessions.update(&id, |(number, version)| (*number, version + 1));
        self.rows[at].version += 1;
        expect("updated", updated.ok(), Some(true))
    }

    /// A new id; the old one has its grace.
    fn rename(&mut self, at: usize, new: SessionId) {
        let (now, grace) = (self.now, self.setup.grace);
        let row = &mut self.rows[at];
        row.ids.last_mut().expect("it has one").1 = now + grace;
        row.ids.push((new, u64::MAX));
        let graced = row.ids.len() - 1;
        let forgotten = row.ids.drain(..graced.saturating_sub(MOST_GRACED));
        self.ended.extend(forgotten.map(|(id, _)| id));
        self.expire();
    }

    fn rotate(&mut self, session: u8, id: u8) -> Result<(), String> {
        let Some((at, id, is_newest)) = self.choose(session, id) else { return Ok(()) };
        let rotated = self.sessions.rotate(&id);
        expect("rotated", rotated.is_some(), is_newest)?;
        if let Some(new) = rotated {
            self.rename(at, new);
        }
        Ok(())
    }

    fn authenticate(&mut self, (session, id): (u8, u8), principal: u8) -> Result<(), String> {
        let Some((at, id, is_newest)) = self.choose(session, id) else { return Ok(()) };
        let order = self.next_order();
        let bound = self.sessions.authenticate(&id, principal);
        if !is_newest {
            return expect("refused", bound.err(), Some(Refusal::Ended));
        }
        let is_same = self.rows[at].principal == Some(principal);
        let number = self.rows[at].number;
        if !is_same && !self.make_place(principal) {
            return expect("refused", bound.err(), Some(Refusal::LimitReached));
        }
        let new = bound.map_err(|refusal| format!("refused: {refusal}"))?;
        let at = self.rows.iter().position(|row| row.number == number).expect("it is another's");
        let row = &mut self.rows[at];
        if !is_same {
            (row.principal, row.order) = (Some(principal), order);
        }
        row.authenticated = true;
        row.idle = self.now + IDLE;
        if !self.setup.keeps_absolute {
            row.absolute = self.now + LIVE;
        }
        self.rename(at, new);
        Ok(())
    }

    fn revoke(&mut self, op: Op) -> Result<(), String> {
        let sessions = self.sessions.clone();
        match op {
            Op::Revoke { session, id } => {
                let Some((at, id, _)) = self.choose(session, id) else { return Ok(()) };
                self.end_row(at, EndCause::Revoked);
                expect("revoked", sessions.revoke(&id), true)
            }
            Op::RevokeAll { principal } => {
                let is_its = |row: &Row| row.principal == Some(principal);
                let ended = self.end_where(is_its, EndCause::Revoked);
                expect("revoked", sessions.revoke_all(&principal), ended)
            }
            Op::RevokeOthers { principal, session, id } => {
                let Some((at, id, _)) = self.choose(session, id) else { return Ok(()) };
                let kept = self.rows[at].number;
                let is_other = |row: &Row| row.principal == Some(principal) && row.number != kept;
                let ended = self.end_where(is_other, EndCause::Revoked);
                expect("revoked", sessions.revoke_others(&principal, &id), ended)
            }
            Op::RevokePublic { principal, session } => {
                let Some((at, id, _)) = self.choose(session, 0) else { return Ok(()) };
                let is_its = self.rows[at].principal == Some(principal);
                if is_its {
                    self.end_row(at, EndCause::Revoked);
                }
                expect("revoked", sessions.revoke_public(&principal, &id.public_id()), is_its)
            }
            Op::RevokeEveryone => {
                let ended = self.end_where(|_| true, EndCause::Revoked);
                expect("revoked", sessions.revoke_everyone(), ended)
            }
            _ => unreachable!("{op:?} revokes nothing"),
        }
    }

    /// Lists, and the look-ups of all ids.
    fn compare(&self) -> Result<(), String> {
        for principal in 0..PRINCIPALS {
            let mut own: Vec<_> =
                self.rows.iter().filter(|row| row.principal == Some(principal)).collect();
            own.sort_by_key(|row| row.order);
            let own: Vec<Data> = own.iter().map(|row| (row.number, row.version)).collect();
            let listed = self.sessions.sessions_of(&principal);
            let listed: Vec<Data> = listed.iter().map(|info| *info.data).collect();
            expect("a principal's sessions", listed, own)?;
        }
        for (row, (id, _)) in
            self.rows.iter().flat_map(|row| row.ids.iter().map(move |id| (row, id)))
        {
            let found = self.sessions.peek(id).map(|session| *session);
            expect("an id's session", found, Some((row.number, row.version)))?;
        }
        Ok(())
    }

    fn reap(&self) -> Result<(), String> {
        for _ in 0..10_000 {
            self.sessions.reap();
            if self.sessions.stats().engine.retired.count == 0 {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err("garbage stays".to_owned())
    }

    /// Every session has had one end, with its cause, and nothing is left.
    fn end(mut self) -> Result<(), String> {
        self.expire();
        self.reap()?;
        self.end_where(|_| true, EndCause::Revoked);
        self.sessions.revoke_everyone();
        self.reap()?;
        let told = self.ends.lock().unwrap_or_else(PoisonError::into_inner).clone();
        expect("ends", told, self.expected)?;
        let stats = self.sessions.stats();
        expect("left", (stats.engine.entries, stats.principals, stats.with_principal), (0, 0, 0))
    }
}
