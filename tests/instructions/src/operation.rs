//! The workloads: a cache as a web service has it, and one operation many times over.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;
use clap::ValueEnum;
use sundown::{Cache, ManualClock, Reaper};

use crate::Failure;

/// What is counted: each once a call, [`OPERATIONS`] times.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Operation {
    /// `get` of a live session.
    GetHit,
    /// `get` of a key that nobody has.
    GetMiss,
    /// `contains_key` of a live session.
    ContainsHit,
    /// `insert` of a new key while there is room.
    InsertFresh,
    /// `insert` over a live session.
    InsertReplace,
    /// `insert` of a new key into a full cache, which evicts, once a millisecond.
    InsertEvict,
    /// The same a hundred times a millisecond: a shard has its own share of the coldest.
    InsertEvictBusy,
    /// `discard` of a live session.
    Discard,
    /// A session's end at its deadline: found due, unlinked, dropped.
    Expire,
}

/// How often each operation is done.
pub const OPERATIONS: u64 = 20_000;

type Sessions = Cache<u128, Arc<[u8; 64]>, RandomState>;

struct Scene {
    clock: ManualClock,
    sessions: Sessions,
    /// How many operations are done in a millisecond.
    pace: u64,
}

impl Operation {
    /// Sets the scene and does the operation. Only what `counted_by_valgrind` calls is counted.
    pub fn work(self) -> Result<(), Failure> {
        let capacity = match self {
            Self::InsertFresh => 2 * OPERATIONS as usize,
            _ => OPERATIONS as usize,
        };
        let pace = if self == Self::InsertEvictBusy { 100 } else { 1 };
        let scene = Scene::new(capacity, pace)?;
        // A full cache evicts at its usual pace only once it has done so for a while.
        let rounds = match self {
            Self::InsertEvict | Self::InsertEvictBusy => 3,
            _ => 1,
        };
        for number in 0..rounds * OPERATIONS {
            scene.insert(number)?;
        }
        match self {
            Self::GetHit => scene.each(|sessions, number| {
                black_box(sessions.get(&key(number)));
            }),
            Self::GetMiss => scene.each(|sessions, number| {
                black_box(sessions.get(&key(number + OPERATIONS)));
            }),
            Self::ContainsHit => scene.each(|sessions, number| {
                black_box(sessions.contains_key(&key(number)));
            }),
            Self::InsertFresh | Self::InsertReplace | Self::InsertEvict | Self::InsertEvictBusy => {
                let first = if self == Self::InsertReplace { 0 } else { rounds * OPERATIONS };
                scene.each(|sessions, number| {
                    let done = sessions.insert(key(first + number), value());
                    black_box(done.is_ok());
                });
            }
            Self::Discard => scene.each(|sessions, number| {
                black_box(sessions.discard(&key(number)));
            }),
            Self::Expire => scene.expire()?,
        }
        Ok(())
    }
}

impl Scene {
    fn new(capacity: usize, pace: u64) -> Result<Self, Failure> {
        let clock = ManualClock::new();
        let sessions = Cache::builder()
            .max_entries(capacity)
            .time_to_idle(Duration::from_secs(1_800))
            .time_to_live(Duration::from_secs(12 * 3_600))
            .clock(clock.clone())
            .reaper(Reaper::Manual)
            .hasher(RandomState::with_seeds(1, 2, 3, 4))
            .build()?;
        Ok(Self { clock, sessions, pace })
    }

    fn insert(&self, number: u64) -> Result<(), Failure> {
        self.go_on(number);
        self.sessions
            .insert(key(number), value())
            .map_err(|rejected| rejected.reason.to_string())?;
        Ok(())
    }

    fn go_on(&self, number: u64) {
        if number % self.pace == 0 {
            self.clock.advance(Duration::from_millis(1));
        }
    }

    /// Many operations, of which only the operation itself is counted, not the time that passes.
    fn each(&self, operation: impl Fn(&Sessions, u64)) {
        for number in 0..OPERATIONS {
            self.go_on(number);
            counted_by_valgrind(|| operation(&self.sessions, number));
        }
    }

    fn expire(&self) -> Result<(), Failure> {
        self.clock.advance(Duration::from_secs(1_800 + 60));
        counted_by_valgrind(|| while self.sessions.reap() > 0 {});
        match self.sessions.len() {
            0 => Ok(()),
            left => Err(format!("{left} sessions did not expire").into()),
        }
    }
}

/// The function whose callees Valgrind counts, found by its name.
#[inline(never)]
fn counted_by_valgrind(operation: impl FnOnce()) {
    operation();
}

fn key(number: u64) -> u128 {
    u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
}

fn value() -> Arc<[u8; 64]> {
    Arc::new([0; 64])
}
