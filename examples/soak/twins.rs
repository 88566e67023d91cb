//! Histories beside the exact model, amid everybody else's load.
//!
//! They are drawn from bytes, run and compared by the very code that the property tests, the fuzzer
//! and the tests under shuttle use (`tests/common`). Alone on its clock, such a cache has one right
//! answer to each call, whatever goes on beside it. What it shares with the others is the collector
//! of epochs, whose threads come, go and lose the processor here as they never do in a test.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use crate::common::interpreter::run;
use crate::common::op::Op;
use crate::common::setups;
use crate::common::twin::Setup;
use crate::dice::Dice;
use crate::house::{House, Tally};

#[derive(Debug)]
pub(crate) struct Historian {
    dice: Dice,
}

impl Historian {
    pub(crate) fn new(seed: u64, number: usize) -> Self {
        Self { dice: Dice::new(seed, number as u64) }
    }

    /// Runs one history after the other.
    pub(crate) fn work(&mut self, house: &House, stop: &AtomicBool) {
        while !stop.load(Relaxed) {
            let setup = setups::ALL[self.dice.below(setups::ALL.len() as u64) as usize];
            let setup = Setup { hash_seed: self.dice.below(u64::MAX), ..setup };
            let ops: Vec<Op> = (0..self.dice.within(1, OPS)).map(|_| self.op()).collect();
            if let Err(difference) = run(&setup, &ops) {
                let finding = format!("{difference}\n{setup:?}\n{ops:?}");
                return house.accuse("a cache agrees with the exact model", finding);
            }
            house.add(Tally { histories: 1, ..Tally::default() });
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn op(&mut self) -> Op {
        Op::decode((self.dice.below(1 << 32) as u32).to_le_bytes())
    }
}

/// As many as a property test's history has at most.
const OPS: u64 = 200;
