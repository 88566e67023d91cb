//! The replay: a stream of events through one cache, on a clock that the trace moves.
//!
//! The rule, for each event in turn: the clock is the largest timestamp seen so far; sessions with
//! `last touch + idle <= now` or `created + ttl <= now` leave; then the key is touched if it lives,
//! else inserted, and the cache evicts the least recently used session if that is one too many.
//!
//! **Exact order within one timestamp.** Many events share a timestamp, and the cache orders last
//! uses by the millisecond, so the trace alone leaves open which of them is evicted first. The
//! replay therefore stretches time: one unit of the trace (a second in logs, else a millisecond) is
//! `U` = 4,096 ms on the cache's clock, and event n of a timestamp, counted from 0, happens n ms
//! into it, for n up to `J` = 1,365. That must not move any expiry. Let a session be used at unit
//! `t`, n ms in, with a lifetime of `L` units, and let an event at unit `now` happen m ms in. The
//! cache is given an idle lifetime shortened by `J`, so the session is due if and only if
//!
//! ```text
//! t*U + n + L*U - J <= now*U + m,   that is   (t + L - now)*U <= m - n + J,
//! ```
//!
//! and the right side lies between 0 and 2`J`, below `U`: so it is due if and only if `t + L <=
//! now`, which is the rule. An absolute lifetime is shortened by 2`J`: the right side then lies
//! between `J` and 3`J` = 4,095, still below `U`; and where both deadlines fall on one unit of the
//! trace, the absolute one is never the later on the cache's clock, so the session counts as lived
//! out, as in the rule. Events past the 1,366th of a timestamp share its last millisecond. They are
//! counted in [`Tally::unordered`]; where that is 0, the replay is exact.
//!
//! Traces without times have one event a millisecond, and nothing is stretched.

use std::time::{Duration, Instant};
use std::{error, fmt};

use sundown::{Cache, ManualClock, Reaper};

use crate::formats::{Event, Format, Key};

/// `U`: the cache's milliseconds for one unit of a trace whose events may share timestamps.
///
/// Room for 1,366 events at one time (the densest real trace has 1,045), while 34 years of logs
/// still end before [`LONGEST_TRACE_MS`].
const STRETCH_MS: u64 = 4_096;
/// The cache refuses to be unbounded, and rightly so. Where the trace is to be replayed without a
/// cap, this one is out of reach: so many sessions would need some 10 GB first.
const UNREACHABLE_CAP: usize = 100_000_000;
/// The cache would split itself into thousands of shards for that cap, and each reap visits them
/// all. One thread needs few; more than one, so that a replay crosses shards as a service does.
const SHARDS_WITHOUT_CAP: usize = 8;
/// The manual clock stops after 146 years; a trace has to end before.
const LONGEST_TRACE_MS: u64 = 140 * 365 * 86_400_000;
/// The builder refuses more than ten years, without knowing that the time was stretched.
const LONGEST_LIFETIME_MS: u64 = 10 * 366 * 86_400_000;
/// Events are read in batches, so that the cache can be timed without the parser.
const BATCH_EVENTS: usize = 4_096;

/// The cache that a trace is replayed through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) idle: Option<Duration>,
    pub(crate) ttl: Option<Duration>,
    pub(crate) cap: Option<usize>,
}

/// What became of the sessions.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) events: u64,
    pub(crate) creates: u64,
    pub(crate) hits: u64,
    /// Sessions that ended because nobody touched them for so long.
    pub(crate) idle: u64,
    /// Sessions that ended because they had lived for so long.
    pub(crate) lived_out: u64,
    pub(crate) evicted: u64,
    /// Evictions for which the cache does not promise that the victim was the coldest.
    pub(crate) evicted_inexact: u64,
    pub(crate) peak: usize,
    pub(crate) left: usize,
    /// Events whose order within their timestamp is lost.
    pub(crate) unordered: u64,
}

/// Replays `events` and says what became of them, and how long the cache itself was busy.
pub(crate) fn replay<E: error::Error + 'static>(
    format: Format,
    settings: &Settings,
    events: impl Iterator<Item = Result<Event, E>>,
) -> Result<(Tally, Duration), Box<dyn error::Error>> {
    let mut clock = TraceClock::new(format);
    let cache = build(&clock, settings)?;
    let mut tally = Tally::default();
    let mut busy = Duration::ZERO;
    let mut events = events.fuse();
    let mut batch = Vec::with_capacity(BATCH_EVENTS);
    loop {
        for event in events.by_ref().take(BATCH_EVENTS) {
            batch.push(event?);
        }
        if batch.is_empty() {
            break;
        }
        let start = Instant::now();
        for event in batch.drain(..) {
            clock.move_to(event.at_ms)?;
            cache.reap();
            take(&cache, event.key, &mut tally);
        }
        busy += start.elapsed();
    }
    let stats = cache.stats();
    tally.idle = stats.idle;
    tally.lived_out = stats.expired;
    tally.evicted = stats.evicted;
    tally.evicted_inexact = stats.evicted_inexact;
    tally.left = cache.len();
    tally.unordered = clock.unordered;
    // A tally of a cache that has lost count of its sessions would be worth nothing.
    cache.audit()?;
    Ok((tally, busy))
}

fn build(clock: &TraceClock, settings: &Settings) -> Result<Cache<Key, ()>, Box<dyn error::Error>> {
    let mut builder = Cache::builder().clock(clock.manual.clone()).reaper(Reaper::Manual);
    builder = match settings.cap {
        Some(cap) => builder.max_entries(cap),
        None => builder.max_entries(UNREACHABLE_CAP).shards(SHARDS_WITHOUT_CAP),
    };
    if let Some(idle) = settings.idle {
        builder = builder.time_to_idle(clock.lifetime(idle, clock.most_ms)?);
    }
    if let Some(ttl) = settings.ttl {
        builder = builder.time_to_live(clock.lifetime(ttl, 2 * clock.most_ms)?);
    }
    Ok(builder.build()?)
}

/// Step two and three of the rule; the clock has moved and what is due has left.
fn take(cache: &Cache<Key, ()>, key: Key, tally: &mut Tally) {
    tally.events += 1;
    if cache.touch(&key) {
        tally.hits += 1;
        return;
    }
    cache.insert(key, ()).expect("an open cache that evicts refuses nobody");
    tally.creates += 1;
    tally.peak = tally.peak.max(cache.len());
}

/// Turns the trace's time into the cache's; the module essay has the arithmetic.
struct TraceClock {
    manual: ManualClock,
    unit_ms: u64,
    stretch_ms: u64,
    /// `J`: how far into a unit its last event may happen.
    most_ms: u64,
    first_units: Option<u64>,
    now_units: u64,
    /// How many events came before this one at the same reading of the trace's clock.
    earlier_events: u64,
    unordered: u64,
}

impl TraceClock {
    fn new(format: Format) -> Self {
        let stretch_ms = if format.has_times() { STRETCH_MS } else { 1 };
        Self {
            manual: ManualClock::new(),
            unit_ms: format.unit_ms(),
            stretch_ms,
            most_ms: (stretch_ms - 1) / 3,
            first_units: None,
            now_units: 0,
            earlier_events: 0,
            unordered: 0,
        }
    }

    /// Moves the cache's clock to the next event, which the trace says happened at `at_ms`.
    fn move_to(&mut self, at_ms: u64) -> Result<(), OutOfRange> {
        let at_units = at_ms / self.unit_ms;
        let is_first = self.first_units.is_none();
        let first_units = *self.first_units.get_or_insert(at_units);
        if is_first || at_units > self.now_units {
            self.now_units = at_units;
            self.earlier_events = 0;
        } else {
            self.earlier_events += 1;
            self.unordered += u64::from(self.earlier_events > self.most_ms);
        }
        let now_ms = (self.now_units - first_units)
            .checked_mul(self.stretch_ms)
            .filter(|&start_ms| start_ms <= LONGEST_TRACE_MS)
            .map(|start_ms| start_ms + self.earlier_events.min(self.most_ms))
            .ok_or_else(|| OutOfRange::Time { longest: self.unstretched(LONGEST_TRACE_MS) })?;
        let now = Duration::from_millis(now_ms);
        self.manual.advance(now.saturating_sub(self.manual.elapsed()));
        Ok(())
    }

    /// What a lifetime in the trace's time is on the cache's clock.
    fn lifetime(&self, lifetime: Duration, shortened_ms: u64) -> Result<Duration, OutOfRange> {
        if lifetime.is_zero() {
            // The builder says what is wrong with it.
            return Ok(lifetime);
        }
        // Where times are whole units, a lifetime that is not ends no earlier than the next one.
        let units = lifetime.as_nanos().div_ceil(u128::from(self.unit_ms) * 1_000_000);
        u64::try_from(units * u128::from(self.stretch_ms))
            .ok()
            .filter(|&stretched_ms| stretched_ms <= LONGEST_LIFETIME_MS)
            .map(|stretched_ms| Duration::from_millis(stretched_ms - shortened_ms))
            .ok_or_else(|| OutOfRange::Lifetime { longest: self.unstretched(LONGEST_LIFETIME_MS) })
    }

    fn unstretched(&self, cache_ms: u64) -> Duration {
        Duration::from_millis(cache_ms / self.stretch_ms * self.unit_ms)
    }
}

/// A trace or a lifetime that does not fit on the cache's clock once it is stretched.
#[derive(Debug)]
pub(crate) enum OutOfRange {
    Time { longest: Duration },
    Lifetime { longest: Duration },
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, longest) = match self {
            Self::Time { longest } => ("an event lies too far behind the first", longest),
            Self::Lifetime { longest } => ("the lifetime is too long", longest),
        };
        let hours = longest.as_secs() / 3_600;
        write!(f, "{what}: this format can be replayed up to {hours} hours")
    }
}

impl error::Error for OutOfRange {}
