//! Closures that fall asleep in a read, and call the cache before they do.
//!
//! A session that is replaced, removed or run out meanwhile must stay as it is until the closure is
//! done, must be freed soon after, and must keep nobody else from being freed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crate::dice::Dice;
use crate::house::{House, Tally};
use crate::session::{Bounds, Life, NEVER, Session, now};
use crate::traffic::key;

#[derive(Debug)]
pub(crate) struct Sleeper {
    dice: Dice,
    /// Its place on the board; its keys are its own.
    number: usize,
    longest_life: u64,
}

impl Sleeper {
    pub(crate) fn new(seed: u64, number: usize, longest_life: u64) -> Self {
        Self { dice: Dice::new(seed, number as u64), number, longest_life }
    }

    /// Stalls in one session after another.
    pub(crate) fn work(&mut self, house: &House, stop: &AtomicBool) {
        while !stop.load(Relaxed) {
            let mut tally = Tally { stalls: 1, ..Tally::default() };
            let key = key(self.number as u64 + 1, self.dice.below(KEYS));
            self.put(house, key, &mut tally);
            let rewrites = self.dice.below(MOST_REWRITES);
            let sleep = Duration::from_nanos(self.dice.magnitude(1_000_000, self.longest_life / 2));
            let entry = house.board.enter(self.number, key);
            let stalled = house.cache.read(&key, |session| {
                session.bounds.used(now());
                // The note is made: from here on the session has no more time than it says.
                drop(entry);
                for _ in 0..rewrites {
                    self.put(house, key, &mut tally);
                }
                if rewrites % 2 == 0 {
                    house.cache.discard(&key);
                }
                doze(sleep, stop);
                session.is_of(key)
            });
            match stalled {
                // It may have run out, or been cleared, before it was read.
                None => tally.misses += 1,
                Some(is_whole) => {
                    tally.hits += 1;
                    if !is_whole {
                        let finding = format!("session {key:x} changed under a closure");
                        house.accuse("no session is mixed up", finding);
                    }
                }
            }
            house.add(tally);
        }
    }

    fn put(&mut self, house: &House, key: u64, tally: &mut Tally) {
        let life = Life { live: self.dice.magnitude(1_000_000, self.longest_life), idle: NEVER };
        let bounds = Bounds::open(life);
        let session = Session::new(key, Arc::clone(&bounds), BODY_BYTES, &house.held);
        let _entry = house.board.enter(self.number, key);
        match house.cache.insert_for(key, session, life.lifetime()) {
            Ok(()) => {
                bounds.begin(now(), life);
                tally.taken += 1;
            }
            Err(_) => tally.refused += 1,
        }
        tally.calls += 1;
    }
}

/// Sleeps for so long, or until the round is over.
fn doze(time: Duration, stop: &AtomicBool) {
    let end = Instant::now() + time;
    while !stop.load(Relaxed) {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        thread::sleep(left.min(DOZE));
    }
}

/// Few, so that a session is often put in anew while its predecessor is still held.
const KEYS: u64 = 16;

/// What waits behind a held session of the same key counts as garbage: this keeps it in bounds.
const MOST_REWRITES: u64 = 32;

const BODY_BYTES: usize = 200;

/// How soon a sleeper notices that the round is over.
const DOZE: Duration = Duration::from_millis(20);
