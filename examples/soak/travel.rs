//! A second cache, whose clock jumps by milliseconds, months and years.
//!
//! Only one thread uses it, and time stands still between jumps, so what it must hold is known to
//! the millisecond: each read has one right answer. That holds to the end of the clock's range, so
//! from time to time the traveller starts over with another cache.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use sundown::{Cache, ManualClock, Reaper};

use crate::dice::Dice;
use crate::house::{House, Tally};
use crate::session::{Bounds, Life, NEVER, Session, Witness};

#[derive(Debug)]
pub(crate) struct Traveller {
    dice: Dice,
}

/// One cache on one clock, and what it must hold.
struct Journey {
    clock: ManualClock,
    cache: Cache<u64, Arc<Session>>,
    /// Whether the traveller has to reap for itself.
    is_manual: bool,
    stays: Vec<Option<Stay>>,
    witness: Arc<Witness>,
}

/// A session's deadlines, in milliseconds of the journey's clock.
#[derive(Clone, Copy)]
struct Stay {
    live_until: u64,
    idle_until: u64,
    idle: u64,
}

impl Traveller {
    pub(crate) fn new(seed: u64, number: usize) -> Self {
        Self { dice: Dice::new(seed, number as u64) }
    }

    /// Travels from the beginning of time to its end, again and again.
    pub(crate) fn work(&mut self, house: &House, stop: &AtomicBool) {
        while !stop.load(Relaxed) {
            let mut journey = match Journey::begin(self.dice.once_in(2)) {
                Ok(journey) => journey,
                Err(reason) => return house.accuse("caches can be built", reason),
            };
            while !stop.load(Relaxed) && journey.clock.elapsed() < END_OF_TIME {
                if let Err(finding) = journey.leg(&mut self.dice) {
                    house.accuse("what a jump ends is gone, and nothing else", finding);
                    break;
                }
                house.add(Tally { jumps: 1, ..Tally::default() });
                thread::sleep(Duration::from_millis(1));
            }
            if let Err(finding) = journey.end() {
                house.accuse("dropping it frees everything", finding);
            }
        }
    }
}

impl Journey {
    fn begin(is_manual: bool) -> Result<Self, String> {
        let clock = ManualClock::new();
        let cache = Cache::builder()
            .max_entries(2 * KEYS)
            .resolution(Duration::from_millis(TICK))
            .clock(clock.clone())
            .reaper(if is_manual { Reaper::Manual } else { Reaper::Thread })
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { clock, cache, is_manual, stays: vec![None; KEYS], witness: Arc::default() })
    }

    /// Puts some in, looks at some, jumps, and waits for what must go.
    fn leg(&mut self, dice: &mut Dice) -> Result<(), String> {
        for _ in 0..dice.within(1, 16) {
            self.put(dice)?;
        }
        for _ in 0..dice.within(1, 32) {
            self.look(dice.below(KEYS as u64))?;
        }
        self.clock.advance(Duration::from_millis(dice.magnitude(TICK, LONGEST_JUMP)));
        for _ in 0..8 {
            self.look(dice.below(KEYS as u64))?;
        }
        self.settle()
    }

    fn now(&self) -> u64 {
        self.clock.elapsed().as_millis() as u64
    }

    fn put(&mut self, dice: &mut Dice) -> Result<(), String> {
        let (key, kind) = (dice.below(KEYS as u64), dice.below(3));
        let live = if kind == 0 { NEVER } else { dice.magnitude(1, LONGEST_LIFE) };
        let idle = if kind == 1 { NEVER } else { dice.magnitude(1, LONGEST_LIFE) };
        let nanos = |millis: u64| millis.saturating_mul(1_000_000);
        let life = Life { live: nanos(live), idle: nanos(idle) };
        let session = Session::new(key, Bounds::open(life), BODY_BYTES, &self.witness);
        self.cache
            .insert_for(key, session, life.lifetime())
            .map_err(|rejected| format!("a session was refused: {}", rejected.reason))?;
        let now = self.now();
        let [live_until, idle_until] = [live, idle].map(|span| now.saturating_add(span));
        self.stays[key as usize] = Some(Stay { live_until, idle_until, idle });
        Ok(())
    }

    /// Reads a session, and says if it should not be there, or should.
    fn look(&mut self, key: u64) -> Result<(), String> {
        let now = self.now();
        let stay = &mut self.stays[key as usize];
        let until = stay.map_or(0, |stay| stay.live_until.min(stay.idle_until));
        let is_there = self.cache.read(&key, |session| session.is_of(key));
        match (is_there, until > now) {
            (Some(true), true) => {
                if let Some(stay) = stay {
                    stay.idle_until = now.saturating_add(stay.idle);
                }
                Ok(())
            }
            (None, false) => {
                *stay = None;
                Ok(())
            }
            (Some(false), _) => Err(format!("key {key} showed another session")),
            (Some(_), false) => {
                Err(format!("at {now} ms a session was shown that ended at {until}"))
            }
            (None, true) => Err(format!("at {now} ms a session was gone that ends at {until}")),
        }
    }

    /// Waits until all that is due is freed, and nothing else.
    fn settle(&mut self) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let (now, alive) = (self.now(), self.witness.alive());
            let live_at = |instant: u64| {
                let is_live = |stay: &Stay| stay.live_until.min(stay.idle_until) > instant;
                self.stays.iter().flatten().filter(|&stay| is_live(stay)).count() as u64
            };
            if alive < live_at(now) {
                return Err(format!("at {now} ms {} sessions live, not {alive}", live_at(now)));
            }
            // Two ticks: one to the deadline's own, one for the garbage.
            if alive <= live_at(now.saturating_sub(2 * TICK)) {
                self.cache.audit().map_err(|error| format!("audit: {error}"))?;
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                return Err(format!(
                    "at {now} ms {alive} sessions are held, {} live",
                    live_at(now)
                ));
            }
            // A read under way elsewhere in the process may keep garbage for a tick, which passes
            // only if somebody moves the clock.
            self.clock.advance(Duration::from_millis(TICK));
            if self.is_manual {
                self.cache.reap();
            }
            thread::yield_now();
        }
    }

    /// Drops the cache, with whatever is in it.
    fn end(self) -> Result<(), String> {
        drop(self.cache);
        match self.witness.alive() {
            0 => Ok(()),
            left => Err(format!("{left} sessions outlived the cache with the manual clock")),
        }
    }
}

const KEYS: usize = 512;

const BODY_BYTES: usize = 64;

/// The wheel's, in milliseconds: also how exactly a touch is recorded.
const TICK: u64 = 1;

const YEAR: u64 = 366 * 24 * 3_600_000;

/// What sundown takes at most.
const LONGEST_LIFE: u64 = 10 * YEAR;

const LONGEST_JUMP: u64 = YEAR;

/// Ten years of life after this are still in the clock's range of 146.
const END_OF_TIME: Duration = Duration::from_millis(130 * YEAR);

/// What is not freed by then never will be, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(30);
