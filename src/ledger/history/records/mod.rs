//! The ledger beside a list of sessions: deadlines, last uses, removal and moves.
//!
//! The list has every session's true deadline and last use, by a name that is never given twice,
//! and is searched from end to end. The ledger is told of a touch only when it asks. After each
//! step it checks its own invariants, with the list to say what is true.

mod op;

use op::{Due, Op};

use super::{Word, replay, split};
use crate::error::{Broken, ensure};
use crate::ledger::{Coldest, Ledger, RecordId};
use crate::platform::clock::{LAST_NS, MILLI_NS, NEVER_NS};

#[derive(Clone, Copy, Debug)]
struct Setup {
    resolution_ns: u64,
    keeps_recency: bool,
}

/// What a history got to see: a history that reaches little proves little.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reached {
    pub(crate) reaped: usize,
    pub(crate) evicted: usize,
    /// Evictions that had to be given up for the time being.
    pub(crate) unsettled: usize,
    /// The most sessions at a time.
    pub(crate) most: usize,
}

/// Runs a history; tells the first difference between ledger and list, and what led there.
pub(crate) fn run(words: &[Word]) -> Result<Reached, Broken> {
    let ([resolution, recency, ..], ops) = split(words, Op::decode);
    let resolutions_ns = [10_000_000, 1_000_000, 7_777_777, 3_600_000_000_000];
    let resolution_ns = resolutions_ns[usize::from(resolution % 4)];
    let setup = Setup { resolution_ns, keeps_recency: recency % 4 != 3 };
    let mut twin = Twin::new(setup);
    replay(setup, &ops, |op| twin.step(op))?;
    Ok(twin.reached)
}

#[derive(Clone, Copy, Debug)]
struct Session {
    name: u32,
    id: RecordId,
    deadline_ns: u64,
    used_ms: u64,
}

struct Twin {
    setup: Setup,
    ledger: Ledger<u32>,
    sessions: Vec<Session>,
    /// True deadline and last use by name, for the ledger's questions.
    truths: Vec<(u64, u64)>,
    now_ns: u64,
    reached: Reached,
}

impl Twin {
    fn new(setup: Setup) -> Self {
        Self {
            setup,
            ledger: Ledger::new(setup.resolution_ns, setup.keeps_recency),
            sessions: Vec::new(),
            truths: Vec::new(),
            now_ns: 0,
            reached: Reached::default(),
        }
    }

    fn step(&mut self, op: Op) -> Result<(), Broken> {
        match op {
            Op::Insert { due } => self.insert(self.due_ns(due))?,
            Op::InsertRun { due, count } => {
                let first_ns = self.due_ns(due);
                let room = MOST_SESSIONS.saturating_sub(self.sessions.len()) as u64;
                for number in 0..room.min(u64::from(count)) {
                    let apart_ns = number * self.setup.resolution_ns;
                    let deadline_ns = if first_ns > LAST_NS { 0 } else { apart_ns } + first_ns;
                    self.insert(deadline_ns)?;
                }
            }
            Op::Touch { .. } | Op::Refile { .. } | Op::Swap { .. } => self.change(op)?,
            Op::Remove { which } => self.place(which).map_or(Ok(()), |at| self.remove(at))?,
            Op::RemoveRun { which, count } => {
                for _ in 0..count {
                    self.place(which).map_or(Ok(()), |at| self.remove(at))?;
                }
            }
            Op::Reap { to, is_exact, bite } => {
                self.reap(to.key(self.now_ns, self.setup.resolution_ns, LAST_NS), is_exact, bite)?;
            }
            Op::ReapAt { which, by, is_exact } => {
                let Some(at) = self.place(which) else { return Ok(()) };
                let deadline_ns = self.sessions[at].deadline_ns;
                if deadline_ns != NEVER_NS {
                    let then_ns = deadline_ns.saturating_add_signed(i64::from(by));
                    self.reap(then_ns, is_exact, usize::MAX)?;
                }
            }
            Op::Sleep { bite } => {
                let look_ns = self.ledger.next_look_ns();
                if look_ns != NEVER_NS {
                    self.reap(look_ns, false, bite)?;
                }
            }
            Op::Evict { count, bite } => {
                (0..count).try_for_each(|_| self.evict(bite))?;
            }
            Op::Spare { which } => self.spare(which)?,
            Op::Trim => self.trim()?,
        }
        self.check()
    }

    fn due_ns(&self, due: Due) -> u64 {
        match due {
            Due::Never => NEVER_NS,
            Due::At(aim) => {
                aim.key(self.now_ns, self.setup.resolution_ns, LAST_NS + (LAST_NS >> 4))
            }
        }
    }

    fn now_ms(&self) -> u64 {
        self.now_ns / MILLI_NS
    }

    fn place(&self, which: u8) -> Option<usize> {
        let sessions = self.sessions.len();
        (sessions > 0).then(|| usize::from(which) % sessions)
    }

    fn fresh(&mut self, deadline_ns: u64, used_ms: u64) -> u32 {
        self.truths.push((deadline_ns, used_ms));
        self.truths.len() as u32 - 1
    }

    fn set(&mut self, at: usize, deadline_ns: u64, used_ms: u64) {
        let session = &mut self.sessions[at];
        (session.deadline_ns, session.used_ms) = (deadline_ns, used_ms);
        self.truths[session.name as usize] = (deadline_ns, used_ms);
    }

    fn insert(&mut self, deadline_ns: u64) -> Result<(), Broken> {
        if self.sessions.len() >= MOST_SESSIONS {
            return Ok(());
        }
        let used_ms = self.now_ms();
        let name = self.fresh(deadline_ns, used_ms);
        let (id, look_ns) = self.ledger.insert(name, deadline_ns, used_ms);
        self.sessions.push(Session { name, id, deadline_ns, used_ms });
        self.check_look(look_ns, deadline_ns)
    }

    /// What filing has told must be what the ledger goes by.
    fn check_look(&self, look_ns: u64, deadline_ns: u64) -> Result<(), Broken> {
        let tick_ns = self.tick_end(deadline_ns);
        ensure!("L4", look_ns <= tick_ns, "told {look_ns} of a deadline in {tick_ns}");
        let next_ns = self.ledger.next_look_ns();
        ensure!("L4", next_ns <= look_ns, "told {look_ns}, but looks at {next_ns}");
        Ok(())
    }

    fn tick_end(&self, deadline_ns: u64) -> u64 {
        let resolution_ns = self.setup.resolution_ns;
        deadline_ns.div_ceil(resolution_ns).saturating_mul(resolution_ns)
    }

    fn change(&mut self, op: Op) -> Result<(), Broken> {
        let (Op::Touch { which, due } | Op::Refile { which, due } | Op::Swap { which, due, .. }) =
            op
        else {
            return Ok(());
        };
        let Some(at) = self.place(which) else { return Ok(()) };
        let (old, due_ns, now_ms) = (self.sessions[at], self.due_ns(due), self.now_ms());
        match op {
            Op::Touch { .. } => {
                let is_filed = old.deadline_ns != NEVER_NS;
                let deadline_ns = if is_filed { due_ns.max(old.deadline_ns) } else { NEVER_NS };
                self.set(at, deadline_ns, now_ms);
                Ok(())
            }
            Op::Swap { is_use, .. } => {
                let used_ms = if is_use { now_ms } else { old.used_ms };
                let name = self.fresh(due_ns, used_ms);
                let swapped = core::mem::replace(self.ledger.get_mut(old.id), name);
                ensure!("swap", swapped == old.name, "{swapped} for {old:?}");
                self.sessions[at].name = name;
                self.set(at, due_ns, used_ms);
                let look_ns = self.ledger.refile(old.id, due_ns);
                self.check_look(look_ns, due_ns)
            }
            _ => {
                self.set(at, due_ns, now_ms);
                let look_ns = self.ledger.refile(old.id, due_ns);
                self.check_look(look_ns, due_ns)
            }
        }
    }

    fn remove(&mut self, at: usize) -> Result<(), Broken> {
        let session = self.sessions.remove(at);
        let name = self.ledger.remove(session.id);
        ensure!("remove", name == session.name, "{name} for {session:?}");
        ensure!("remove", !self.ledger.contains(session.id), "{session:?} is still in");
        Ok(())
    }

    fn place_of(&self, id: RecordId) -> Result<usize, Broken> {
        let at = self.sessions.iter().position(|session| session.id == id);
        at.ok_or_else(|| format!("S1: {id:?} is nobody's"))
    }

    /// Looks at up to `bite` records at `then_ns`, or now if that has passed, as a shard does.
    fn reap(&mut self, then_ns: u64, is_exact: bool, bite: usize) -> Result<(), Broken> {
        self.now_ns = self.now_ns.max(then_ns.min(LAST_NS));
        self.ledger.advance(self.now_ns, is_exact);
        for _ in 0..bite {
            let Some(id) = self.ledger.next_due() else { break };
            let at = self.place_of(id)?;
            let deadline_ns = self.sessions[at].deadline_ns;
            if deadline_ns <= self.now_ns {
                self.remove(at)?;
                self.reached.reaped += 1;
            } else {
                let look_ns = self.ledger.refile(id, deadline_ns);
                self.check_look(look_ns, deadline_ns)?;
            }
        }
        if self.ledger.next_due().is_some() {
            return Ok(());
        }
        ensure!("L3", !self.ledger.is_due_waiting(), "nobody waits, and somebody is due");
        let due_ns = |session: &Session| {
            if is_exact { session.deadline_ns } else { self.tick_end(session.deadline_ns) }
        };
        let late = self.sessions.iter().find(|session| due_ns(session) <= self.now_ns);
        ensure!("L3", late.is_none(), "{late:?} is still in at {}", self.now_ns);
        let look_ns = self.ledger.next_look_ns();
        ensure!("L4", look_ns > self.now_ns, "looks at {look_ns} again, at {}", self.now_ns);
        Ok(())
    }

    /// Finds the coldest session as a shard does, and compares it with the list's.
    fn coldest(&mut self, bite: usize, hidden: Option<RecordId>) -> Result<Option<usize>, Broken> {
        let shown = self.sessions.iter().filter(|session| Some(session.id) != hidden);
        let least_ms = shown.map(|session| session.used_ms).min();
        // Each visit brings a record down a level or up to date.
        for _ in 0..=10 * self.sessions.len() + 10 {
            let mut left = bite.max(1);
            let truths = &self.truths;
            let coldest = self.ledger.coldest(&mut left, |&name| truths[name as usize].1);
            match coldest {
                Coldest::Empty => {
                    let is_so = least_ms.is_none() || !self.setup.keeps_recency;
                    ensure!("L1", is_so, "nobody is found, but {least_ms:?} is in");
                    return Ok(None);
                }
                Coldest::Found(id, used_ms) => {
                    let at = self.place_of(id)?;
                    let is_so = Some(used_ms) == least_ms && used_ms == self.sessions[at].used_ms;
                    ensure!("L3", is_so, "{used_ms} is found, but {least_ms:?} is in");
                    return Ok(Some(at));
                }
                Coldest::Unsettled(id, used_ms) => {
                    let at = self.place_of(id)?;
                    let is_so = left == 0 && used_ms == self.sessions[at].used_ms;
                    ensure!("L3", is_so, "unsettled on {used_ms} with {left} left");
                    self.reached.unsettled += 1;
                }
            }
        }
        Err(format!("L3: the search for {least_ms:?} does not end"))
    }

    fn evict(&mut self, bite: usize) -> Result<(), Broken> {
        let Some(at) = self.coldest(bite, None)? else { return Ok(()) };
        self.reached.evicted += 1;
        self.remove(at)
    }

    fn spare(&mut self, which: u8) -> Result<(), Broken> {
        let Some(at) = self.place(which) else { return Ok(()) };
        let spared = self.sessions[at].id;
        self.ledger.hide_from_eviction(spared);
        let coldest = self.coldest(128, Some(spared))?;
        if let Some(at) = coldest {
            ensure!("L1", self.sessions[at].id != spared, "{spared:?} was to be spared");
            self.reached.evicted += 1;
            self.remove(at)?;
        }
        let truths = &self.truths;
        self.ledger.show_to_eviction(spared, |&name| truths[name as usize].1);
        Ok(())
    }

    fn trim(&mut self) -> Result<(), Broken> {
        self.ledger.trim();
        ensure!("trim", !self.ledger.has_slack(), "slack is left");
        let bytes = self.ledger.bytes();
        ensure!("trim", bytes == 0 || !self.sessions.is_empty(), "{bytes} bytes of nothing");
        Ok(())
    }

    fn check(&mut self) -> Result<(), Broken> {
        let truths = &self.truths;
        self.ledger.check(|&name| truths[name as usize].0, |&name| truths[name as usize].1)?;
        let (len, sessions) = (self.ledger.len(), self.sessions.len());
        ensure!("S4", len == sessions, "{len} of {sessions} sessions are in");
        // As many as there should be, each under its own number, so nobody else is in.
        let is_in = |session: &&Session| *self.ledger.get(session.id) == session.name;
        let lost = self.sessions.iter().find(|session| !is_in(session));
        ensure!("S1", lost.is_none(), "{lost:?} is not under its number");
        let deadlines_ns = self.sessions.iter().map(|session| session.deadline_ns);
        let (least_ns, bound_ns) = (deadlines_ns.min(), self.ledger.earliest_ns());
        ensure!("L3", bound_ns <= least_ns.unwrap_or(NEVER_NS), "{bound_ns} for {least_ns:?}");
        let uses_ms = self.sessions.iter().map(|session| session.used_ms);
        let (least_ms, bound_ms) =
            (uses_ms.min().unwrap_or(u64::MAX), self.ledger.coldest_bound_ms());
        let is_bound = bound_ms <= least_ms || !self.setup.keeps_recency;
        ensure!("L3", is_bound, "{bound_ms} for {least_ms}");
        self.reached.most = self.reached.most.max(sessions);
        Ok(())
    }
}

/// Over two pages of the slab, and few enough to be looked at after every step.
const MOST_SESSIONS: usize = 150;
