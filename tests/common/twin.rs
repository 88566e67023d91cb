//! The model and the cache, built alike, and the clock that both go by.

use super::model::{Event, Limits, Model, Ms, NEVER, Session, Span};
use super::op::{AGES, YEAR_MS};
use std::hash::{BuildHasher, DefaultHasher, Hasher};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use sundown::{Cache, Lifetime, ManualClock, Reaper, Reason, RemovalCause, WeakCache};

/// The clock stops leaping here; a cache need not count further.
const LAST_MS: Ms = 140 * YEAR_MS;

/// One configuration to run histories on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) limits: Limits,
    pub(crate) shards: usize,
    pub(crate) resolution: Duration,
    /// Reaps after every step; else only where the history says so, so that the dead pile up.
    pub(crate) is_reaped_each_step: bool,
    /// Which keys share a shard or a chunk; so a history that fails once fails again.
    pub(crate) hash_seed: u64,
    /// For each session that it is told of, the listener discards its [`neighbour`]. Only with reaping
    /// after every step: else there may be so much garbage that a call gets rid of some.
    pub(crate) is_calling_back: bool,
}

/// A hasher that is the same each time.
#[derive(Clone, Copy)]
pub(crate) struct Seeded(u64);

impl BuildHasher for Seeded {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.0);
        hasher
    }
}

/// What a history got to see: a history that reaches little proves little.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reached {
    pub(crate) causes: Vec<(RemovalCause, u64)>,
    pub(crate) reasons: Vec<Reason>,
    /// Updates of the coldest session for which others were evicted.
    pub(crate) spared: u64,
}

#[derive(Clone)]
pub(crate) struct Value {
    pub(crate) serial: u32,
    pub(crate) weight: u64,
    _alive: Arc<()>,
}

pub(crate) struct Twin {
    pub(crate) setup: Setup,
    pub(crate) model: Model,
    pub(crate) cache: Cache<u8, Value, Seeded>,
    pub(crate) clock: ManualClock,
    pub(crate) events: Arc<Mutex<Vec<Event>>>,
    pub(crate) reached: Reached,
    pub(crate) alive: Arc<()>,
    pub(crate) next_serial: u32,
    /// For how many of `events` the model knows what the listener did.
    pub(crate) answered: usize,
}

/// Whom the listener discards when it is told of `key`.
pub(crate) fn neighbour(key: u8) -> u8 {
    key ^ 1
}

impl Twin {
    pub(crate) fn new(setup: &Setup) -> Result<Self, String> {
        let (clock, events) = (ManualClock::new(), Arc::new(Mutex::new(Vec::new())));
        let way_back = Arc::new(OnceLock::<WeakCache<u8, Value, Seeded>>::new());
        let listener = {
            let (events, way_back) = (Arc::clone(&events), Arc::clone(&way_back));
            move |key: u8, value: Value, cause| {
                let mut seen = events.lock().unwrap_or_else(PoisonError::into_inner);
                seen.push((key, value.serial, cause));
                drop(seen);
                if let Some(cache) = way_back.get().and_then(WeakCache::upgrade) {
                    cache.discard(&neighbour(key));
                }
            }
        };
        let mut builder = Cache::builder()
            .clock(clock.clone())
            .reaper(Reaper::Manual)
            .shards(setup.shards)
            .hasher(Seeded(setup.hash_seed))
            .resolution(setup.resolution)
            .on_full(setup.limits.on_full)
            .on_removal(listener);
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
        let cache = builder.build().map_err(|error| error.to_string())?;
        if setup.is_calling_back {
            way_back.get_or_init(|| cache.downgrade());
        }
        Ok(Self {
            setup: *setup,
            model: Model::new(setup.limits),
            cache,
            clock,
            events,
            reached: Reached::default(),
            alive: Arc::new(()),
            next_serial: 0,
            answered: 0,
        })
    }

    /// Does in the model what the listener did when it was told of the events so far.
    pub(crate) fn answer_events(&mut self) {
        if !self.setup.is_calling_back {
            return;
        }
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        for &(key, ..) in &events[self.answered..] {
            self.model.remove(neighbour(key));
        }
        self.answered = events.len();
    }

    pub(crate) fn advance_by(&mut self, ms: Ms) -> Result<(), String> {
        self.advance_to(self.model.now.saturating_add(ms));
        Ok(())
    }

    pub(crate) fn advance_to_deadline(&mut self, which: u8, delta_ms: i64) -> Result<(), String> {
        let mut deadlines: Vec<Ms> = self.model.live().map(Session::deadline).collect();
        deadlines.retain(|&deadline| deadline != NEVER);
        deadlines.sort_unstable();
        if !deadlines.is_empty() {
            let deadline = deadlines[usize::from(which) % deadlines.len()];
            self.advance_to(deadline.saturating_add_signed(delta_ms));
        }
        Ok(())
    }

    pub(crate) fn advance_to(&mut self, then: Ms) {
        if self.model.now < then && (then <= LAST_MS || then == self.model.now + 1) {
            self.clock.advance(Duration::from_millis(then - self.model.now));
            self.model.now = then;
        }
    }

    pub(crate) fn value(&mut self, weight: u64) -> Value {
        self.next_serial += 1;
        Value { serial: self.next_serial, weight, _alive: Arc::clone(&self.alive) }
    }

    /// Without a weigher, every session weighs 1.
    pub(crate) fn weight(&self, weight: u64) -> u64 {
        if self.setup.limits.max_weight.is_some() { weight } else { 1 }
    }

    pub(crate) fn lifetime(span: Span) -> Lifetime {
        let duration = |ms| if ms == AGES { Duration::MAX } else { Duration::from_millis(ms) };
        let lifetime = match span.live_ms {
            None => Lifetime::default(),
            Some(NEVER) => Lifetime::default().live_forever(),
            Some(ms) => Lifetime::default().live(duration(ms)),
        };
        match span.idle_ms {
            None => lifetime,
            Some(NEVER) => lifetime.idle_forever(),
            Some(ms) => lifetime.idle(duration(ms)),
        }
    }
}
