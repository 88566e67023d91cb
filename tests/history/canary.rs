//! Keys and values that know whether they still exist.
//!
//! A session's memory may be read after it was freed, by a faulty cache. Under shuttle freed memory
//! stays as it was for a while (`tests/shuttle/quarantine.rs`): then what is read there is the number
//! of a life that has ended, and that is what is noticed.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

/// All lives of one run, and what was done to them after their end.
#[derive(Default)]
pub(crate) struct Registry {
    lives: Mutex<Vec<State>>,
    faults: Mutex<Vec<String>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// In the cache, or in the hands of a caller.
    Alive,
    /// In the hands of the listener: no call may show it any more.
    HandedOver,
    Dropped,
}

impl Registry {
    pub(crate) fn fault(&self, what: String) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    pub(crate) fn faults(&self) -> Vec<String> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many lives have not ended.
    pub(crate) fn alive(&self) -> usize {
        let lives = self.lives.lock().unwrap_or_else(PoisonError::into_inner);
        lives.iter().filter(|&&state| state != State::Dropped).count()
    }

    fn swap(&self, life: usize, state: State) -> State {
        let mut lives = self.lives.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut lives[life], state)
    }

    fn state(&self, life: usize) -> State {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner)[life]
    }
}

/// One key or value among all that were ever made.
struct Life {
    number: usize,
    registry: Arc<Registry>,
}

impl Life {
    fn new(registry: &Arc<Registry>) -> Self {
        let mut lives = registry.lives.lock().unwrap_or_else(PoisonError::into_inner);
        lives.push(State::Alive);
        Self { number: lives.len() - 1, registry: Arc::clone(registry) }
    }

    fn check(&self, what: &str) {
        let state = self.registry.state(self.number);
        if state != State::Alive {
            self.registry.fault(format!("{what}: life {} is {state:?}", self.number));
        }
    }

    fn hand_over(&self) {
        let before = self.registry.swap(self.number, State::HandedOver);
        if before != State::Alive {
            self.registry.fault(format!("handed over: life {} is {before:?}", self.number));
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let before = self.registry.swap(self.number, State::Dropped);
        if before == State::Dropped {
            self.registry.fault(format!("dropped twice: life {}", self.number));
        }
    }
}

/// A value that says so when it is used after its end.
pub(crate) struct Value {
    serial: u32,
    pub(crate) weight: u64,
    life: Life,
}

impl Value {
    pub(crate) fn new(serial: u32, weight: u64, registry: &Arc<Registry>) -> Self {
        Self { serial, weight, life: Life::new(registry) }
    }

    /// Reads the value, and gives others time to free it meanwhile.
    pub(crate) fn serial(&self) -> u32 {
        self.life.check("read");
        crate::pause();
        self.life.check("read on");
        self.serial
    }

    /// For the listener, who has it now.
    pub(crate) fn take_over(&self) -> u32 {
        self.life.hand_over();
        self.serial
    }
}

impl Clone for Value {
    fn clone(&self) -> Self {
        let serial = self.serial();
        Self { serial, weight: self.weight, life: Life::new(&self.life.registry) }
    }
}

/// A key that says so when it is used after its end.
pub(crate) struct Key {
    name: Name,
    life: Life,
}

/// What keys are looked up by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Name(pub(crate) u8);

impl Key {
    pub(crate) fn new(name: u8, registry: &Arc<Registry>) -> Self {
        Self { name: Name(name), life: Life::new(registry) }
    }

    pub(crate) fn name(&self) -> u8 {
        self.life.check("key read");
        self.name.0
    }

    /// For the listener, who has it now.
    pub(crate) fn take_over(&self) -> u8 {
        self.life.hand_over();
        self.name.0
    }
}

impl Clone for Key {
    fn clone(&self) -> Self {
        Self { name: Name(self.name()), life: Life::new(&self.life.registry) }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.life.check("key compared");
        other.life.check("key compared");
        self.name == other.name
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl Borrow<Name> for Key {
    fn borrow(&self) -> &Name {
        self.life.check("key borrowed");
        crate::pause();
        self.life.check("key borrowed on");
        &self.name
    }
}
