//! Histories: what random bytes have the index do, beside the standard library's map.
//!
//! The property tests and the fuzzer draw four bytes for each operation and decode them here, so
//! that what one of them finds the other one replays. A key *is* its hash's choice: a byte picks
//! where the search begins, another the tag, and a number tells apart those that agree in both. So
//! a history crowds as many keys as it likes into one chunk, until its overflow count sticks. Some
//! entries are held while they are replaced or removed, and looked at again before they go.

#![allow(unsafe_code, reason = "there is one thread, which knows when it holds no pin")]

mod op;

use std::collections::HashMap;

pub(crate) use op::Word;
use op::{Key, Op};

use super::*;
use crate::lifetime::Spans;
use crate::platform::clock::{MILLI_NS, ManualClock, NEVER_NS};
use crate::platform::sync::pin;

/// What a history got to see: a history that reaches little proves little.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reached {
    /// The most keys at a time.
    pub(crate) most: usize,
    /// Steps that left an overflow count stuck at 255.
    pub(crate) stuck: usize,
    pub(crate) superseded: usize,
    /// Replacements that were declined since the entry was not due.
    pub(crate) declined: usize,
    /// Entries that left while somebody held them.
    pub(crate) left_held: usize,
}

/// Runs a history; tells the first difference between index and map, and what led there.
pub(crate) fn run(words: &[Word]) -> Result<Reached, Broken> {
    let (first, rest) = words.split_first().map_or((Word::default(), words), |(&f, r)| (f, r));
    let ops: Vec<_> = rest.iter().map(|&word| Op::decode(word)).collect();
    let expected = usize::from(first[0]);
    let mut twin = Twin::new(expected);
    for (at, &op) in ops.iter().enumerate() {
        let step = twin.step(op).and_then(|()| twin.check());
        step.map_err(|broken| format!("{broken}\nafter expecting {expected}, {:?}", &ops[..=at]))?;
    }
    twin.finish()
}

/// One session as the map knows it.
struct Session {
    linked: Linked<Key, u64>,
    value: u64,
    ends_ns: u64,
    used_ms: u64,
}

/// A hold, and what it must go on showing.
struct Hold {
    held: Held<Key, u64>,
    key: Key,
    value: u64,
}

struct Twin {
    index: Index<Key, u64>,
    writer: Writer,
    sessions: HashMap<Key, Session>,
    holds: Vec<Hold>,
    /// Entries that have left and wait for their holds, with how many those are.
    waiting: Vec<(Unlinked<Key, u64>, u64, usize)>,
    clock: Clock,
    manual: ManualClock,
    next_value: u64,
    reached: Reached,
}

impl Twin {
    fn new(expected: usize) -> Self {
        let (index, writer) = Index::new(expected);
        let manual = ManualClock::new();
        Self {
            index,
            writer,
            sessions: HashMap::new(),
            holds: Vec::new(),
            waiting: Vec::new(),
            clock: Clock::from(manual.clone()),
            manual,
            next_value: 0,
            reached: Reached::default(),
        }
    }

    fn now_ns(&self) -> u64 {
        self.clock.exact_ns()
    }

    fn step(&mut self, op: Op) -> Result<(), Broken> {
        match op {
            Op::Put { key, succession, lives_ms } => {
                self.put(key, succession, lives_ms.saturating_mul(MILLI_NS))?;
                self.compare(key)
            }
            Op::PutRun { key, count } => {
                for number in 0..u16::from(count) {
                    let key = Key { number: key.number + number, ..key };
                    self.put(key, Succession::Always, NEVER_NS)?;
                }
                self.compare(key)
            }
            Op::Remove { key } => {
                self.remove(key)?;
                self.compare(key)
            }
            Op::RemoveRun { key, count } => {
                for number in 0..u16::from(count) {
                    self.remove(Key { number: key.number + number, ..key })?;
                }
                self.compare(key)
            }
            Op::LookUp { key, wish } => self.look_up(key, wish),
            Op::Hold { key } => self.hold(key),
            Op::Release { which } => self.release(which),
            Op::Rebuild { more } => {
                let room = self.writer.len + more;
                let old = self.index.rebuild(&mut self.writer, room.max(1));
                free_table(old);
                self.compare_all()
            }
            Op::Fit => {
                free_table(self.index.fit(&mut self.writer));
                ensure!("fit", !self.index.has_slack(&self.writer), "slack is left");
                let bytes = self.index.bytes(&self.writer);
                ensure!("fit", bytes == 0 || self.writer.len > 0, "{bytes} bytes of nothing");
                self.compare_all()
            }
            Op::Wait { ms } => {
                self.manual.advance(core::time::Duration::from_millis(ms));
                Ok(())
            }
        }
    }

    fn put(&mut self, key: Key, succession: Succession, lives_ns: u64) -> Result<(), Broken> {
        if self.sessions.len() >= MOST_KEYS {
            return Ok(());
        }
        let (now_ns, value) = (self.now_ns(), self.next_value);
        self.next_value += 1;
        let fresh = Fresh::new(key, value, key.hash(), 1);
        fresh.begin(now_ns, Spans { live_ns: lives_ns, idle_ns: NEVER_NS });
        let (ends_ns, used_ms) = (now_ns.saturating_add(lives_ns), now_ns / MILLI_NS);
        let Some(old) = self.sessions.get_mut(&key) else {
            let (linked, old_table) = self.index.link(&mut self.writer, fresh);
            free_table(old_table);
            self.sessions.insert(key, Session { linked, value, ends_ns, used_ms });
            return Ok(());
        };
        let is_due = old.ends_ns <= now_ns;
        let superseded =
            self.index.supersede(&mut self.writer, &old.linked, fresh, succession, now_ns);
        let Ok((heir, due)) = superseded else {
            ensure!("N1", succession == Succession::IfDue && !is_due, "{key:?} is not replaced");
            self.reached.declined += 1;
            return Ok(());
        };
        ensure!("N1", due.is_some() == is_due, "{key:?} was over: {due:?}");
        ensure!("N1", is_due || succession != Succession::IfDue, "{key:?} is replaced early");
        let old_linked = core::mem::replace(&mut old.linked, heir);
        let old_value = core::mem::replace(&mut old.value, value);
        if succession != Succession::Inherit {
            (old.ends_ns, old.used_ms) = (ends_ns, used_ms);
        }
        self.reached.superseded += 1;
        let is_followed = {
            let pin = pin();
            let after = old_linked.after(&pin);
            old_linked.is_dead() && matches!(after, After::Successor(next) if old.linked.is(next))
        };
        ensure!("I3", is_followed, "{key:?} does not lead to its successor");
        self.leave(old_linked.into_superseded(RemovalCause::Replaced), key, old_value)
    }

    fn remove(&mut self, key: Key) -> Result<(), Broken> {
        let Some(session) = self.sessions.remove(&key) else { return Ok(()) };
        let now_ns = self.now_ns();
        let due = session.linked.kill(now_ns);
        let is_due = session.ends_ns <= now_ns;
        ensure!("N1", due.is_some() == is_due, "{key:?} was over: {due:?}");
        let unlinked = self.index.unlink(&mut self.writer, session.linked, RemovalCause::Removed);
        self.leave(unlinked, key, session.value)
    }

    /// Frees an entry that has left, unless somebody holds it.
    fn leave(&mut self, gone: Unlinked<Key, u64>, key: Key, value: u64) -> Result<(), Broken> {
        let holds = self.holds.iter().filter(|hold| hold.value == value).count();
        ensure!("N3", gone.is_free() == (holds == 0), "{key:?} has {holds} holds");
        if holds > 0 {
            self.reached.left_held += 1;
            self.waiting.push((gone, value, holds));
            return Ok(());
        }
        take(gone, value)
    }

    fn hold(&mut self, key: Key) -> Result<(), Broken> {
        if self.holds.len() >= MOST_HOLDS {
            return Ok(());
        }
        let look = (&self.clock, Use::Hold);
        let held = self.index.hold(&pin(), key.hash(), |other| *other == key, look);
        let live = self.sessions.get(&key).filter(|session| session.ends_ns > self.now_ns());
        ensure!("I1", held.is_some() == live.is_some(), "a hold on {key:?}");
        if let (Some(held), Some(session)) = (held, live) {
            self.holds.push(Hold { held, key, value: session.value });
        }
        Ok(())
    }

    fn release(&mut self, which: u8) -> Result<(), Broken> {
        if self.holds.is_empty() {
            return Ok(());
        }
        let Hold { held, key, value } =
            self.holds.swap_remove(usize::from(which) % self.holds.len());
        ensure!("N3", (*held.key(), *held.value()) == (key, value), "{key:?} has changed");
        let is_last = held.release();
        let Some(at) = self.waiting.iter().position(|(_, waiting, _)| *waiting == value) else {
            ensure!("K2", !is_last, "nobody waits for {key:?}");
            return Ok(());
        };
        self.waiting[at].2 -= 1;
        ensure!("K2", is_last == (self.waiting[at].2 == 0), "of {key:?} as the last hold");
        if is_last {
            let (gone, ..) = self.waiting.swap_remove(at);
            ensure!("N3", gone.is_free(), "{key:?} is held by nobody");
            take(gone, value)?;
        }
        Ok(())
    }

    fn look_up(&mut self, key: Key, wish: Use) -> Result<(), Broken> {
        let now_ns = self.now_ns();
        self.index.prefetch(key.hash());
        let shown = {
            let pin = pin();
            let look = (&self.clock, wish);
            let entry = self.index.look_up(&pin, key.hash(), |other| *other == key, look);
            entry.map(|entry| (*entry.value(), entry.used_ms()))
        };
        let live = self.sessions.get_mut(&key).filter(|session| session.ends_ns > now_ns);
        let expected = live.map(|session| {
            // Manual time moves by whole milliseconds, so a use is exact.
            if wish == Use::Touch {
                session.used_ms = now_ns / MILLI_NS;
            }
            (session.value, session.used_ms)
        });
        ensure!("I1", shown == expected, "{key:?} shows {shown:?} for {expected:?}");
        Ok(())
    }

    /// Whether readers and the writer find a key exactly if it is in, live or not.
    fn compare(&self, key: Key) -> Result<(), Broken> {
        let expected = self.sessions.get(&key).map(|session| session.value);
        let pin = pin();
        let found = self.index.find(&pin, key.hash(), |other| *other == key);
        let found = found.map(|entry| *entry.value());
        ensure!("I1", found == expected, "{key:?} shows {found:?} for {expected:?}");
        let linked = self.index.find_linked(&self.writer, key.hash(), |other| *other.key() == key);
        let linked = linked.map(|entry| *entry.value());
        ensure!("I1", linked == expected, "{key:?} has {linked:?} for {expected:?}");
        Ok(())
    }

    fn compare_all(&self) -> Result<(), Broken> {
        self.sessions.keys().try_for_each(|&key| self.compare(key))
    }

    /// Lets everybody go. After a difference nobody does: what is broken is better leaked.
    fn finish(mut self) -> Result<Reached, Broken> {
        self.compare_all()?;
        while !self.holds.is_empty() {
            self.release(0)?;
        }
        let keys: Vec<_> = self.sessions.keys().copied().collect();
        keys.into_iter().try_for_each(|key| self.remove(key))?;
        self.step(Op::Fit)?;
        self.check()?;
        ensure!("N3", self.waiting.is_empty(), "{} wait for nobody", self.waiting.len());
        Ok(self.reached)
    }

    fn check(&mut self) -> Result<(), Broken> {
        let owns = |entry: &Entry<Key, u64>| {
            self.sessions.get(entry.key()).is_some_and(|session| session.linked.is(entry))
        };
        self.index.check(&self.writer, owns)?;
        let (len, sessions) = (self.writer.len, self.sessions.len());
        ensure!("I2", len == sessions, "{len} of {sessions} are linked");
        for Hold { held, key, value } in &self.holds {
            ensure!("N3", (*held.key(), *held.value()) == (*key, *value), "{key:?} has changed");
        }
        let table = self.index.current(&self.writer);
        self.reached.stuck += usize::from(table.is_some_and(Table::has_stuck_count));
        self.reached.most = self.reached.most.max(sessions);
        Ok(())
    }
}

fn take(gone: Unlinked<Key, u64>, value: u64) -> Result<(), Broken> {
    // SAFETY: the caller has found it free, and this only thread holds no pin here.
    let removed = unsafe { gone.take() };
    ensure!("N3", removed.value == value, "{} was taken for {value}", removed.value);
    Ok(())
}

fn free_table(table: Option<OldTable<Key, u64>>) {
    if let Some(table) = table {
        // SAFETY: this only thread holds no pin here.
        unsafe { table.free() };
    }
}

/// More than a stuck overflow count needs, few enough to be looked at after every step.
const MOST_KEYS: usize = 300;
const MOST_HOLDS: usize = 32;
