//! One wheel beside a sorted map: never early, at most one tick late, never too long asleep.
//!
//! The map has every record under its true key; the wheel is told only where an operation says so.
//! Turned by deadline, the wheel is looked at when it asks for it, or when the history says; turned
//! by last use, its first record is asked for. Each record's visits are counted, for a wheel that
//! finds everybody by looking at everybody all the time would pass everything else.

mod op;

use std::collections::BTreeMap;

use op::Op;

use super::aim::Aim;
use super::{Word, replay, split};
use crate::error::{Broken, ensure};
use crate::ledger::LEAD_NS;
use crate::ledger::slab::{Fit, RecordId, Slab};
use crate::ledger::wheel::Wheel;
use crate::platform::clock::LAST_NS;

/// What the wheel turns by.
#[derive(Clone, Copy, Debug)]
enum Setup {
    /// Deadlines in nanoseconds, in ticks of this many.
    Deadlines { grain: u64, lead: u64 },
    /// Last uses in milliseconds.
    Uses,
}

/// What a history got to see: a history that reaches little proves little.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reached {
    /// Records that came up at the end of their time.
    pub(crate) taken: usize,
    /// Records that came up from above or had been touched, and were filed again.
    pub(crate) refiled: usize,
    /// Sleeps that ended in the very tick of a deadline.
    pub(crate) on_time: usize,
    /// The most ticks ahead that a record was filed.
    pub(crate) furthest_ticks: u64,
}

/// Runs a history; tells the first difference between wheel and map, and what led there.
pub(crate) fn run(words: &[Word]) -> Result<Reached, Broken> {
    let (word, ops) = split(words, Op::decode);
    let setup = Setup::decode(word);
    let mut twin = Twin::new(setup);
    replay(setup, &ops, |op| twin.step(op))?;
    Ok(twin.reached)
}

impl Setup {
    fn decode([grain, lead, ..]: Word) -> Self {
        let grain = match grain % 5 {
            0 => 1_000_000,
            1 => 10_000_000,
            2 => 7_777_777,
            3 => 3_600_000_000_000,
            _ => return Self::Uses,
        };
        let lead = if lead % 2 == 0 { LEAD_NS.div_ceil(grain) } else { u64::from(lead) };
        Self::Deadlines { grain, lead }
    }
}

/// One record as the map knows it.
#[derive(Clone, Copy, Debug)]
struct Truth {
    id: RecordId,
    key: u64,
    /// The tick under which it is filed.
    filed_tick: u64,
    /// How often it came up since its true key has last moved.
    visits: u32,
}

struct Twin {
    slab: Slab<u32>,
    wheel: Wheel<0>,
    /// By name, which is never given twice.
    truths: Vec<Truth>,
    /// Names, by true key.
    by_key: BTreeMap<(u64, u32), RecordId>,
    now: u64,
    grain: u64,
    /// The last key: deadlines may lie a little beyond where clocks stop.
    last: u64,
    turns_by_use: bool,
    /// Whether what waits in the backlogs may have been put there within its tick.
    was_exact: bool,
    reached: Reached,
}

impl Twin {
    fn new(setup: Setup) -> Self {
        let (grain, lead, last) = match setup {
            Setup::Deadlines { grain, lead } => (grain, lead, LAST_NS + (LAST_NS >> 4)),
            Setup::Uses => (1, 0, LAST_NS / 1_000_000),
        };
        Self {
            slab: Slab::new(),
            wheel: Wheel::new(grain, lead),
            truths: Vec::new(),
            by_key: BTreeMap::new(),
            now: 0,
            grain,
            last,
            turns_by_use: matches!(setup, Setup::Uses),
            was_exact: false,
            reached: Reached::default(),
        }
    }

    fn step(&mut self, op: Op) -> Result<(), Broken> {
        match op {
            Op::File { at } => {
                let key = self.aim(at);
                let name = self.truths.len() as u32;
                let id = self.slab.insert(name);
                self.truths.push(Truth { id, key, filed_tick: 0, visits: 0 });
                self.by_key.insert((key, name), id);
                self.file(name)?;
            }
            Op::Unfile { which } => {
                self.named(which).into_iter().for_each(|name| self.take(name));
            }
            Op::Refile { which, at } => {
                let Some(name) = self.named(which) else { return Ok(()) };
                self.rekey(name, self.aim(at));
                self.wheel.unfile(&mut self.slab, self.truths[name as usize].id);
                self.file(name)?;
            }
            Op::Touch { which, at } => {
                let Some(name) = self.named(which) else { return Ok(()) };
                self.rekey(name, self.truths[name as usize].key.max(self.aim(at)));
            }
            Op::Trim => {
                for fit in [Fit::Loose, Fit::Exact] {
                    self.wheel.trim(fit);
                    ensure!("trim", !self.wheel.has_slack(fit), "slack is left, {fit:?}");
                }
                let is_bare = self.wheel.bytes() == 0 || !self.by_key.is_empty();
                ensure!("trim", is_bare, "an empty wheel keeps {} bytes", self.wheel.bytes());
            }
            _ if self.turns_by_use => self.turn_by_use(op)?,
            _ => self.turn_by_deadline(op)?,
        }
        self.check()
    }

    fn aim(&self, at: Aim) -> u64 {
        at.key(self.now, self.grain, self.last)
    }

    /// Some record, in the order of true keys.
    fn named(&self, which: u8) -> Option<u32> {
        let place = usize::from(which) % self.by_key.len().max(1);
        self.by_key.keys().nth(place).map(|&(_, name)| name)
    }

    fn rekey(&mut self, name: u32, key: u64) {
        let truth = &mut self.truths[name as usize];
        self.by_key.remove(&(truth.key, name));
        self.by_key.insert((key, name), truth.id);
        (truth.key, truth.visits) = (key, 0);
    }

    fn take(&mut self, name: u32) {
        let truth = self.truths[name as usize];
        self.wheel.unfile(&mut self.slab, truth.id);
        self.slab.remove(truth.id);
        self.by_key.remove(&(truth.key, name));
    }

    fn file(&mut self, name: u32) -> Result<(), Broken> {
        let truth = &mut self.truths[name as usize];
        let look = self.wheel.file_and_look(&mut self.slab, truth.id, truth.key);
        truth.filed_tick = truth.key.div_ceil(self.grain).max(self.wheel.elapsed());
        let ticks = truth.filed_tick - self.wheel.elapsed();
        self.reached.furthest_ticks = self.reached.furthest_ticks.max(ticks);
        let end = self.wheel.tick_end(truth.key);
        ensure!("L4", look <= end, "{truth:?} wants a look at {look}, after its tick");
        ensure!("L4", self.wheel.next_look() <= look, "told to look at {look}, but looks later");
        Ok(())
    }

    /// Files a record again that came up.
    fn refile(&mut self, name: u32) -> Result<(), Broken> {
        let truth = &mut self.truths[name as usize];
        truth.visits += 1;
        // Once for what a touch left behind, and once from each level that it comes down.
        ensure!("visits", truth.visits <= 10, "{truth:?} comes up without end");
        self.reached.refiled += 1;
        self.wheel.unfile(&mut self.slab, truth.id);
        self.file(name)
    }

    fn turn_by_deadline(&mut self, op: Op) -> Result<(), Broken> {
        match op {
            Op::Go { to, is_exact, bite } => self.look(self.aim(to), is_exact, bite),
            Op::GoTo { which, by, is_exact } => {
                let Some(name) = self.named(which) else { return Ok(()) };
                let key = self.truths[name as usize].key;
                self.look(key.saturating_add_signed(i64::from(by)), is_exact, usize::MAX)
            }
            Op::Sleep { bite } => {
                let (look, before) = (self.wheel.next_look(), self.now);
                let taken = self.reached.taken;
                if look != u64::MAX {
                    self.look(look, false, bite)?;
                }
                let slept = look > before && look == self.now;
                self.reached.on_time += usize::from(slept && self.reached.taken > taken);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Looks at up to `bite` records at `then`, or now if that has passed.
    fn look(&mut self, then: u64, is_exact: bool, bite: usize) -> Result<(), Broken> {
        self.now = self.now.max(then.min(LAST_NS));
        self.wheel.advance(&mut self.slab, self.now, is_exact);
        self.was_exact |= is_exact;
        for _ in 0..bite {
            let Some(id) = self.wheel.next_in_backlog() else { break };
            let name = self.slab.get(id).token;
            let truth = self.truths[name as usize];
            let latest =
                if self.was_exact { self.now.div_ceil(self.grain) } else { self.now / self.grain };
            let is_early = self.wheel.has_lowest_backlog() && truth.filed_tick > latest;
            ensure!("early", !is_early, "{truth:?} comes up at {}", self.now);
            if truth.key <= self.now {
                self.take(name);
                self.reached.taken += 1;
            } else {
                self.refile(name)?;
            }
        }
        if self.wheel.next_in_backlog().is_some() {
            return Ok(());
        }
        self.was_exact = false;
        if let Some((&(key, name), _)) = self.by_key.first_key_value() {
            let end = if is_exact { key } else { self.wheel.tick_end(key) };
            ensure!("late", end > self.now, "{name} of {end} is still there at {}", self.now);
        }
        let look = self.wheel.next_look();
        ensure!("sleep", look > self.now, "wants to be looked at {look} again, at {}", self.now);
        Ok(())
    }

    fn turn_by_use(&mut self, op: Op) -> Result<(), Broken> {
        match op {
            Op::First { count, spared: None } => {
                for _ in 0..count {
                    let Some(name) = self.first()? else { break };
                    self.take(name);
                    self.reached.taken += 1;
                }
                Ok(())
            }
            Op::First { spared: Some(which), .. } => {
                let Some(name) = self.named(which) else { return Ok(()) };
                let truth = self.truths[name as usize];
                self.wheel.unfile(&mut self.slab, truth.id);
                self.by_key.remove(&(truth.key, name));
                self.first()?;
                self.by_key.insert((truth.key, name), truth.id);
                if truth.key >= self.wheel.elapsed() {
                    return self.file(name);
                }
                let truths = &self.truths;
                let key_of = |&name: &u32| truths[name as usize].key;
                self.wheel.file_in_front(&mut self.slab, truth.id, truth.key, key_of);
                Ok(())
            }
            Op::Settle { bite } => {
                self.wheel.set_aside_ahead(&mut self.slab);
                for _ in 0..bite {
                    let Some(id) = self.wheel.next_in_backlog() else { break };
                    self.refile(self.slab.get(id).token)?;
                }
                Ok(())
            }
            Op::Go { to, .. } => {
                self.now = self.aim(to);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The record with the least true key, found as the ledger finds it.
    fn first(&mut self) -> Result<Option<u32>, Broken> {
        let Some((&(least, _), _)) = self.by_key.first_key_value() else {
            let found = self.wheel.next_in_order(&mut self.slab);
            ensure!("order", found.is_none(), "{found:?} in an empty wheel");
            return Ok(None);
        };
        loop {
            let found = self.wheel.next_in_order(&mut self.slab);
            let Some((id, is_first)) = found else {
                return Err(format!("order: nobody is found, but {least} is in"));
            };
            let name = self.slab.get(id).token;
            let truth = self.truths[name as usize];
            if is_first && truth.key <= self.wheel.elapsed() {
                ensure!("order", truth.key == least, "{truth:?} comes before {least}");
                self.now = self.now.max(least);
                return Ok(Some(name));
            }
            self.refile(name)?;
        }
    }

    fn check(&mut self) -> Result<(), Broken> {
        self.slab.check()?;
        let truths = &self.truths;
        let filed = self.wheel.check(&self.slab, |&name| truths[name as usize].key)?;
        ensure!("W4", filed == self.by_key.len(), "{filed} of {} are filed", self.by_key.len());
        let Some((&(least, _), _)) = self.by_key.first_key_value() else { return Ok(()) };
        let (bound, look) = (self.wheel.lower_bound(), self.wheel.next_look());
        ensure!("W3", bound <= least, "the bound {bound} is above {least}");
        // Turned by last use, a wheel may have gone past a record that was spared.
        let end = if self.turns_by_use { u64::MAX } else { self.wheel.tick_end(least) };
        ensure!("L4", look <= end, "looks at {look}, but {least} is due at {end}");
        Ok(())
    }
}
