//! Caches of every kind that are built, used for a moment and dropped, with all that is in them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use sundown::{Cache, OnFull, Reaper};

use crate::dice::Dice;
use crate::house::{House, Tally};
use crate::session::{Bounds, Life, NEVER, Session, Witness, now};

#[derive(Debug)]
pub(crate) struct Builder {
    dice: Dice,
}

impl Builder {
    pub(crate) fn new(seed: u64, number: usize) -> Self {
        Self { dice: Dice::new(seed, number as u64) }
    }

    /// Builds and drops one cache after another.
    pub(crate) fn work(&mut self, house: &House, stop: &AtomicBool) {
        while !stop.load(Relaxed) {
            let witness = Arc::new(Witness::default());
            match self.build() {
                Err(reason) => house.accuse("caches can be built", reason),
                Ok(cache) => {
                    if let Err(finding) = self.inhabit(&cache, &witness) {
                        house.accuse("every session is accounted for", finding);
                    }
                    if self.dice.once_in(4) {
                        cache.close();
                    }
                }
            }
            let left = witness.alive();
            if left > 0 {
                let finding = format!("{left} sessions outlived a cache that was dropped");
                house.accuse("dropping it frees everything", finding);
            }
            house.add(Tally { caches: 1, threads: 1, ..Tally::default() });
            thread::sleep(Duration::from_millis(self.dice.below(LONGEST_PAUSE)));
        }
    }

    fn build(&mut self) -> Result<Cache<u64, Arc<Session>>, String> {
        let dice = &mut self.dice;
        let is_manual = dice.once_in(3);
        let mut builder = Cache::builder()
            .max_entries(dice.magnitude(1, 5_000) as usize)
            .resolution(Duration::from_millis(dice.magnitude(1, 1_000)))
            .time_to_live(Duration::from_millis(dice.magnitude(1, 10_000)))
            .time_to_idle(Duration::from_millis(dice.magnitude(1, 10_000)))
            .on_full(if dice.once_in(2) { OnFull::Evict } else { OnFull::Reject })
            .reaper(if is_manual { Reaper::Manual } else { Reaper::Thread });
        if dice.once_in(2) {
            builder = builder.on_removal(|_, session: Arc<Session>, _| drop(session));
        }
        if dice.once_in(2) {
            builder = builder.shards(1 << dice.below(6));
        }
        builder.build().map_err(|error| error.to_string())
    }

    /// Uses a cache from here and from a thread that comes for that only.
    fn inhabit(
        &mut self,
        cache: &Cache<u64, Arc<Session>>,
        witness: &Arc<Witness>,
    ) -> Result<(), String> {
        let (calls, seed) = (self.dice.magnitude(10, 5_000), self.dice.below(u64::MAX));
        let ended = thread::scope(|scope| {
            let guest = cache.clone();
            let guest = scope.spawn(move || use_up(&guest, witness, calls, Dice::new(seed, 0)));
            use_up(cache, witness, calls, Dice::new(seed, 1));
            guest.join()
        });
        ended.map_err(|_| "a guest panicked".to_owned())?;
        let audit = cache.audit().map_err(|error| format!("audit of a small cache: {error}"))?;
        let sum = audit.entries as u64 + audit.retired + audit.dropped;
        if audit.inserted != sum {
            return Err(format!("a small cache took {} in and has {sum}", audit.inserted));
        }
        Ok(())
    }
}

fn use_up(cache: &Cache<u64, Arc<Session>>, witness: &Arc<Witness>, calls: u64, mut dice: Dice) {
    for _ in 0..calls {
        let key = dice.below(KEYS);
        match dice.below(8) {
            0..4 => {
                let life = Life { live: dice.magnitude(1_000, LONGEST_LIFE), idle: NEVER };
                let bounds = Bounds::open(life);
                let session = Session::new(key, Arc::clone(&bounds), BODY_BYTES, witness);
                if cache.insert_for(key, session, life.lifetime()).is_ok() {
                    bounds.begin(now(), life);
                }
            }
            4 => _ = cache.discard(&key),
            5 => _ = cache.update(&key, |old| old.renewed()),
            6 => _ = cache.reap(),
            _ => _ = cache.get(&key),
        }
    }
}

const KEYS: u64 = 4_000;

const BODY_BYTES: usize = 100;

/// Ten seconds: some run out, some are there when the cache is dropped.
const LONGEST_LIFE: u64 = 10_000_000_000;

/// In milliseconds: the posts are to have the machine, not this.
const LONGEST_PAUSE: u64 = 50;
