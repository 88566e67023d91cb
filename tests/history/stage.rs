//! The cache that a program is played on, from its building to its end.

use super::canary::{Key, Registry, Value};
use super::model::{Ms, NEVER};
use super::play::Player;
use super::program::{Dice, Program, Setup};
use super::record::{Call, End, History, Log, What};
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use sundown::{Cache, ManualClock, Reaper, RemovalCause, WeakCache};

pub(crate) type Sessions = Cache<Key, Value, Hashes>;

/// One cache and all that is known of it.
pub(crate) struct Stage {
    player: Player,
}

/// What a run came to.
pub(crate) struct Outcome {
    pub(crate) history: History,
    pub(crate) faults: Vec<String>,
}

impl Stage {
    pub(crate) fn set(setup: Setup) -> Self {
        let (clock, log) = (ManualClock::new(), Arc::new(Log::default()));
        let registry = Arc::new(Registry::default());
        log.with(|history| history.times_ms.push(0));
        let listener = Listener {
            log: Arc::clone(&log),
            registry: Arc::clone(&registry),
            clock: clock.clone(),
            setup,
            cache: Arc::default(),
            calls_left: AtomicI64::new(if setup.is_calling_back { MOST_CALLS_BACK } else { 0 }),
        };
        let handle = Arc::clone(&listener.cache);
        let cache = build(setup, &clock, listener);
        let is_first = handle.set(cache.downgrade()).is_ok();
        assert!(is_first, "one stage has one cache");
        Self { player: Player { cache, clock, log, registry, setup } }
    }

    pub(crate) fn player(&self) -> Player {
        self.player.clone()
    }

    /// When all threads have ended: lets the cache come to rest, looks at what is left, ends it.
    pub(crate) fn finish(self) -> Outcome {
        self.come_to_rest();
        let Player { cache, clock, log, registry, setup } = self.player;
        let (from_ms, invoked) = (millis(&clock), log.tick());
        drop(cache);
        // The listener may have had the last handle, on the reaper's thread.
        for _ in 0..crate::PATIENCE {
            if registry.alive() == 0 {
                break;
            }
            crate::wait();
        }
        let (to_ms, returned) = (millis(&clock), log.tick());
        let lives = registry.alive();
        if lives > 0 {
            registry.fault(format!("{lives} lives are left when the cache is gone"));
        }
        let mut history = log.with(std::mem::take);
        for key in 0..setup.keys {
            let call = |what| Call { key, invoked, returned, from_ms, to_ms, what };
            history.calls.extend([call(What::Bar), call(What::Close)]);
        }
        Outcome { history, faults: registry.faults() }
    }

    /// Garbage goes; with a reaper of its own, also what is due. Then the accounts must balance.
    ///
    /// A reaper may be at work while they are looked at, so they are looked at until they do.
    fn come_to_rest(&self) {
        let Player { cache, log, clock, setup, registry } = &self.player;
        let mut unrest = None;
        for _ in 0..crate::PATIENCE {
            unrest = self.unrest();
            if unrest.is_none() {
                return;
            }
            if setup.reaper == Reaper::Thread {
                clock.advance(RESOLUTION);
                let now_ms = millis(clock);
                log.with(|history| history.times_ms.push(now_ms));
            } else {
                cache.reap();
            }
            crate::wait();
        }
        registry.fault(format!("the cache does not come to rest: {unrest:?}"));
    }

    /// What does not balance, or not yet.
    fn unrest(&self) -> Option<String> {
        let Player { cache, registry, .. } = &self.player;
        let audit = match cache.audit() {
            Ok(audit) => audit,
            Err(error) => {
                registry.fault(format!("audit: {error}"));
                return None;
            }
        };
        let (lives, stats) = (registry.alive(), cache.stats());
        let sums = [audit.entries as u64 + audit.dropped, stats.entries as u64 + stats.dropped];
        let is_balanced = sums == [audit.inserted, stats.inserted];
        let is_counted = audit.entries == stats.entries && audit.weight == stats.weight;
        let is_tidy = audit.retired == 0 && stats.overdue == 0 && lives == 2 * stats.entries;
        let is_at_rest = is_balanced && is_counted && is_tidy;
        (!is_at_rest).then(|| format!("{lives} lives, {audit:?}, {stats:?}"))
    }
}

/// Plays a whole program, with whatever threads `together` starts and waits for.
pub(crate) fn run(
    program: &Program,
    together: impl FnOnce(Vec<Box<dyn FnOnce() + Send>>),
) -> Outcome {
    let stage = Stage::set(program.setup);
    program.prologue.iter().for_each(|&act| stage.player.act(act));
    let threads = program.threads.iter().map(|acts| -> Box<dyn FnOnce() + Send> {
        let (player, acts) = (stage.player(), acts.clone());
        Box::new(move || acts.into_iter().for_each(|act| player.act(act)))
    });
    together(threads.collect());
    stage.finish()
}

struct Listener {
    log: Arc<Log>,
    registry: Arc<Registry>,
    clock: ManualClock,
    setup: Setup,
    cache: Arc<OnceLock<WeakCache<Key, Value, Hashes>>>,
    calls_left: AtomicI64,
}

impl Listener {
    fn hear(&self, key: &Key, value: &Value, cause: RemovalCause) {
        let (key, serial) = (key.take_over(), value.take_over());
        let (told, told_ms) = (self.log.tick(), millis(&self.clock));
        self.log.with(|history| history.ends.push(End { key, serial, cause, told, told_ms }));
        crate::pause();
        if self.calls_left.fetch_sub(1, Ordering::SeqCst) > 0 {
            self.call_back(serial);
        }
    }

    fn call_back(&self, serial: u32) {
        let Some(cache) = self.cache.get().and_then(WeakCache::upgrade) else { return };
        let player = Player {
            cache,
            clock: self.clock.clone(),
            log: Arc::clone(&self.log),
            registry: Arc::clone(&self.registry),
            setup: self.setup,
        };
        player.act_in_listener(&mut Dice(u64::from(serial)));
    }
}

fn build(setup: Setup, clock: &ManualClock, listener: Listener) -> Sessions {
    let mut builder = Cache::builder()
        .clock(clock.clone())
        .reaper(setup.reaper)
        .resolution(RESOLUTION)
        .shards(setup.shards)
        .on_full(setup.limits.on_full)
        .hasher(Hashes { is_colliding: setup.is_colliding })
        .on_removal(move |key: Key, value: Value, cause| listener.hear(&key, &value, cause));
    if let Some(most) = setup.limits.max_entries {
        builder = builder.max_entries(most);
    }
    if let Some(most) = setup.limits.max_weight {
        builder = builder.max_weight(most).weigher(|_, value: &Value| value.weight);
    }
    if setup.limits.live_ms != NEVER {
        builder = builder.time_to_live(Duration::from_millis(setup.limits.live_ms));
    }
    if setup.limits.idle_ms != NEVER {
        builder = builder.time_to_idle(Duration::from_millis(setup.limits.idle_ms));
    }
    builder.build().expect("setups are sound")
}

pub(crate) fn millis(clock: &ManualClock) -> Ms {
    clock.elapsed().as_millis() as Ms
}

/// The same in every run, so that a schedule can be played again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hashes {
    is_colliding: bool,
}

/// FNV-1a, unless all keys are to collide.
pub(crate) struct Fnv {
    hash: u64,
    is_colliding: bool,
}

impl BuildHasher for Hashes {
    type Hasher = Fnv;

    fn build_hasher(&self) -> Fnv {
        Fnv { hash: 0xcbf2_9ce4_8422_2325, is_colliding: self.is_colliding }
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        if self.is_colliding { 7 } else { self.hash }
    }
}

/// As fine as it goes: the clock moves by few milliseconds.
const RESOLUTION: Duration = Duration::from_millis(1);
/// A listener that inserts is told of what its insertion evicts, and so on.
const MOST_CALLS_BACK: i64 = 4;
