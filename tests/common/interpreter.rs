//! Runs a history on the model and on the cache side by side, and compares after every step.
//!
//! The manual clock moves a millisecond before each operation, so that no two uses fall together
//! and the order of eviction is exact. What is compared after each step: what the call returned,
//! which sessions are to be seen and until when, that the capacity holds, that every insertion is
//! accounted for, and the cache's own audit. After a reap also: what is linked, what it weighs,
//! the events of each key in their order, the counts by cause, and how many values are alive.

use super::comparison::{compare_events, same};
use super::model::{Entrance, Span, Updated};
use super::op::{Op, YEAR_MS};
use super::twin::{Reached, Setup, Twin};
use std::sync::Arc;
use std::time::{Duration, Instant};
use sundown::RemovalCause;

/// How long other tests' readers may keep garbage from ripening before something is wrong.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a history from an empty cache to a dropped one, and says what it got to see.
///
/// # Errors
///
/// The first difference between the cache and the model, with the step it came after.
pub(crate) fn run(setup: &Setup, ops: &[Op]) -> Result<Reached, String> {
    Twin::new(setup)?.run(ops, || ())
}

impl Twin {
    /// Runs a history; `before_the_end` sees to it that nobody else has a handle any more.
    ///
    /// # Errors
    ///
    /// As [`run`].
    pub(crate) fn run(
        mut self,
        ops: &[Op],
        before_the_end: impl FnOnce(),
    ) -> Result<Reached, String> {
        for (step, &op) in ops.iter().enumerate() {
            self.step(op).map_err(|what| format!("after step {step}, {op:?}: {what}"))?;
        }
        before_the_end();
        self.finish().map_err(|what| format!("at the end: {what}"))
    }

    fn step(&mut self, op: Op) -> Result<(), String> {
        self.advance_to(self.model.now + 1);
        self.apply(op)?;
        self.answer_events();
        self.compare_what_shows()?;
        if self.setup.is_reaped_each_step || matches!(op, Op::Reap | Op::Close) {
            self.reap()?;
            self.compare_what_is_linked()?;
        }
        Ok(())
    }

    fn apply(&mut self, op: Op) -> Result<(), String> {
        match op {
            Op::Insert { key, weight } => self.insert(None, key, weight, Span::default()),
            Op::InsertFor { key, weight, span } => {
                self.insert(Some(Entrance::Any), key, weight, span)
            }
            Op::InsertIfAbsent { key, weight, span } => {
                self.insert(Some(Entrance::IfAbsent), key, weight, span)
            }
            Op::Replace { key, weight, span } => {
                self.insert(Some(Entrance::Replace), key, weight, span)
            }
            Op::Update { key, weight } => self.update(key, weight),
            Op::Get { key } => {
                let shown = self.cache.get(&key).map(|value| value.serial);
                same("get", shown, self.model.touch(key))
            }
            Op::Read { key } => {
                let shown = self.cache.read(&key, |value| value.serial);
                same("read", shown, self.model.touch(key))
            }
            Op::Peek { key } => {
                let shown = self.cache.peek(&key).map(|value| value.serial);
                same("peek", shown, self.model.find(key).map(|session| session.serial))
            }
            Op::ContainsKey { key } => {
                let is_there = self.model.find(key).is_some();
                same("contains_key", self.cache.contains_key(&key), is_there)
            }
            Op::Touch { key } => {
                same("touch", self.cache.touch(&key), self.model.touch(key).is_some())
            }
            Op::SetLifetime { key, span } => {
                let is_set = self.cache.set_lifetime(&key, Self::lifetime(span));
                same("set_lifetime", is_set, self.model.set_lifetime(key, span))
            }
            Op::Remove { .. } | Op::Discard { .. } | Op::RemoveIf { .. } | Op::Retain { .. } => {
                self.apply_removal(op)
            }
            Op::Reap => self.reap(),
            Op::Clear => {
                self.cache.clear();
                self.model.clear(RemovalCause::Cleared);
                Ok(())
            }
            Op::Close => {
                self.cache.close();
                self.model.clear(RemovalCause::Closed);
                self.model.closed = true;
                Ok(())
            }
            Op::Advance { ms } => self.advance_by(ms),
            Op::Leap { years } => self.advance_by(years * YEAR_MS),
            Op::ToDeadline { which, delta_ms } => self.advance_to_deadline(which, delta_ms),
        }
    }

    fn apply_removal(&mut self, op: Op) -> Result<(), String> {
        match op {
            Op::Remove { key } => {
                let removed = self.cache.remove(&key).map(|value| value.serial);
                same("remove", removed, self.model.remove(key))
            }
            Op::Discard { key } => {
                same("discard", self.cache.discard(&key), self.model.remove(key).is_some())
            }
            Op::RemoveIf { key, is_even } => {
                let fits = |serial: u32| (serial % 2 == 0) == is_even;
                let is_removed = self.cache.remove_if(&key, |_, value| fits(value.serial));
                let is_doomed = self.model.find(key).is_some_and(|session| fits(session.serial));
                if is_doomed {
                    self.model.remove(key);
                }
                same("remove_if", is_removed, is_doomed)
            }
            Op::Retain { divisor } => {
                let removed = self.cache.retain(|_, value| value.serial % divisor == 0);
                let expected = self.model.retain(|session| session.serial % divisor == 0);
                same("retain", removed, expected)
            }
            _ => Ok(()),
        }
    }

    /// `None` is plain `insert`, which takes no lifetime.
    fn insert(
        &mut self,
        entrance: Option<Entrance>,
        key: u8,
        weight: u64,
        span: Span,
    ) -> Result<(), String> {
        let value = self.value(weight);
        let (serial, lifetime) = (value.serial, Self::lifetime(span));
        let offered = match entrance {
            None => self.cache.insert(key, value),
            Some(Entrance::Any) => self.cache.insert_for(key, value, lifetime),
            Some(Entrance::IfAbsent) => self.cache.insert_if_absent(key, value, lifetime),
            Some(Entrance::Replace) => self.cache.replace(key, value, lifetime),
        };
        let entrance = entrance.unwrap_or(Entrance::Any);
        let expected = self.model.insert(entrance, (key, serial, self.weight(weight)), span);
        self.compare_refusal("insert", (key, serial, weight), offered.err(), expected.err())
    }

    fn update(&mut self, key: u8, weight: u64) -> Result<(), String> {
        let value = self.value(weight);
        let serial = value.serial;
        let mut seen = None;
        let offered = self.cache.update(&key, |old| {
            seen = Some(old.serial);
            value.clone()
        });
        drop(value);
        same("update's closure sees", seen, self.model.find(key).map(|session| session.serial))?;
        let is_coldest = self.model.live().next().is_some_and(|first| first.key == key);
        let had = self.model.live().count();
        let expected = self.model.update(key, serial, self.weight(weight));
        if let Ok(is_updated) = offered {
            same("update", is_updated, expected == Updated::Yes)?;
        }
        if expected == Updated::Yes && is_coldest && self.model.live().count() < had {
            self.reached.spared += 1;
        }
        let refusal = match expected {
            Updated::Refused(reason) => Some(reason),
            Updated::Yes | Updated::Gone => None,
        };
        self.compare_refusal("update", (key, serial, weight), offered.err(), refusal)
    }

    fn reap(&mut self) -> Result<(), String> {
        let before = (self.cache.len(), self.cache.stats().removed);
        let unlinked = self.cache.reap();
        // A listener that calls back removes some besides.
        let besides = (self.cache.stats().removed - before.1) as usize;
        same("what reap says it unlinked", unlinked + besides, before.0 - self.cache.len())?;
        self.model.reap();
        // Readers in other tests of this process can put the end of grace off, but not for long.
        let start = Instant::now();
        while self.cache.stats().retired.count > 0 {
            same("left to reap at a standing clock", self.cache.reap(), 0)?;
            if start.elapsed() > PATIENCE {
                return Err(format!("garbage stays: {:?}", self.cache.stats()));
            }
            let_others_run();
        }
        self.answer_events();
        Ok(())
    }

    /// Drops the cache; where the dead may pile up, they are still in it.
    fn finish(mut self) -> Result<Reached, String> {
        if self.setup.is_reaped_each_step {
            self.reap()?;
            self.compare_what_is_linked()?;
        }
        self.model.clear(RemovalCause::Closed);
        let Self { cache, alive, events, mut model, mut reached, .. } = self;
        drop(cache);
        same("values alive once the cache is gone", Arc::strong_count(&alive), 1)?;
        compare_events(&events, &mut model, &mut reached)?;
        Ok(reached)
    }
}

fn let_others_run() {
    #[cfg(not(sundown_shuttle))]
    std::thread::yield_now();
    #[cfg(sundown_shuttle)]
    shuttle::thread::yield_now();
}
