//! A sample of the store each second, for the page that draws them.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::response::Html;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, StreamExt, stream};
use serde::Serialize;
use serde_json::json;
use sundown::fleet::TieredStats;
use sundown::{Overstays, ProcessMemory, Stats, Tracked, WeakCache};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::Login;
use crate::online::Visit;
use crate::sessions::Sessions;
use crate::verdict::{Verdict, verdict};

/// How much of the past the page shows: five minutes.
const MOST_SAMPLES: usize = 300;
/// How many lines that hold ended sessions it names.
const MOST_LINES: usize = 3;
const PERIOD: Duration = Duration::from_secs(1);

/// The store at one moment. Counts of removals are totals; the page draws their growth.
#[derive(Clone, Default, Serialize)]
pub(crate) struct Sample {
    pub(crate) sessions: u64,
    pub(crate) max_sessions: u64,
    pub(crate) bytes: u64,
    pub(crate) max_bytes: u64,
    /// Of the process, its container and the container's limit, where the system tells.
    pub(crate) resident_bytes: Option<u64>,
    pub(crate) container_bytes: Option<u64>,
    pub(crate) limit_bytes: Option<u64>,
    pub(crate) given_back: u64,
    pub(crate) given_back_failures: u64,
    pub(crate) given_back_bytes: u64,
    pub(crate) given_back_ago_s: Option<f64>,
    pub(crate) expired: u64,
    pub(crate) idle: u64,
    pub(crate) evicted: u64,
    pub(crate) removed: u64,
    pub(crate) replaced: u64,
    pub(crate) rejected: u64,
    pub(crate) overdue: u64,
    pub(crate) unaccounted: i64,
    pub(crate) retired: u64,
    pub(crate) retired_bytes: u64,
    pub(crate) retired_oldest_s: f64,
    /// Visits that are over and that the application holds, and the lines that took the handles.
    pub(crate) overstays: u64,
    pub(crate) overstays_bytes: u64,
    pub(crate) overstays_oldest_s: f64,
    pub(crate) overstays_at: Vec<String>,
    pub(crate) lag_p50_s: f64,
    pub(crate) lag_p99_s: f64,
    pub(crate) lag_max_s: f64,
    /// Of an instance that shares its sessions.
    pub(crate) tier: Option<Tier>,
}

/// What an instance sees of the truth behind it.
#[derive(Clone, Default, Serialize)]
pub(crate) struct Tier {
    /// Whether the near cache is used.
    pub(crate) connected: bool,
    /// Whether requests fail at once, since others have failed.
    pub(crate) refusing: bool,
    pub(crate) hits: u64,
    pub(crate) loads: u64,
    pub(crate) bypassed: u64,
    pub(crate) gaps: u64,
    pub(crate) conflicts: u64,
    pub(crate) lag_s: f64,
}

impl Tier {
    fn of(stats: &TieredStats) -> Self {
        Self {
            connected: stats.connected,
            refusing: stats.breaker_open,
            hits: stats.l1_hits,
            loads: stats.l2_loads,
            bypassed: stats.bypassed,
            gaps: stats.gaps,
            conflicts: stats.conflicts,
            lag_s: stats.lag.as_secs_f64(),
        }
    }
}

impl Sample {
    fn of(
        (stats, tier): &(Stats, Option<TieredStats>),
        overstays: &Overstays,
        memory: ProcessMemory,
    ) -> Self {
        let lines = overstays.holders.iter().take(MOST_LINES);
        let (retired, lag, given_back) = (stats.retired, stats.expiry_lag, stats.given_back);
        let known = stats.entries as u64 + retired.count + stats.dropped;
        Self {
            sessions: stats.entries as u64,
            max_sessions: stats.max_entries.map_or(0, |entries| entries as u64),
            bytes: stats.weight,
            max_bytes: stats.max_weight.unwrap_or(0),
            resident_bytes: memory.resident_bytes,
            container_bytes: memory.container_bytes,
            limit_bytes: memory.limit_bytes,
            given_back: given_back.count,
            given_back_failures: given_back.failures,
            given_back_bytes: given_back.last_bytes,
            given_back_ago_s: given_back.since_last.map(|since| since.as_secs_f64()),
            expired: stats.expired,
            idle: stats.idle,
            evicted: stats.evicted,
            removed: stats.removed,
            replaced: stats.replaced,
            rejected: stats.rejected,
            overdue: stats.overdue,
            unaccounted: stats.inserted as i64 - known as i64,
            retired: retired.count,
            retired_bytes: retired.weight,
            retired_oldest_s: retired.oldest.as_secs_f64(),
            overstays: overstays.count,
            overstays_bytes: overstays.weight,
            overstays_oldest_s: overstays.oldest.as_secs_f64(),
            overstays_at: lines.map(|holder| holder.site.to_string()).collect(),
            lag_p50_s: lag.p50.as_secs_f64(),
            lag_p99_s: lag.p99.as_secs_f64(),
            lag_max_s: lag.max.as_secs_f64(),
            tier: tier.as_ref().map(Tier::of),
        }
    }

    /// How full the store is by the limit that is nearer; 1 is full.
    pub(crate) fn fill(&self) -> f64 {
        ratio(self.sessions, self.max_sessions).max(ratio(self.bytes, self.max_bytes))
    }

    /// What the store has requested of the allocator for sessions, removed ones included that are
    /// still being read.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.bytes + self.retired_bytes
    }

    /// How near the container is to its limit; 1 is killed, 0 is no limit.
    pub(crate) fn container_fill(&self) -> f64 {
        ratio(self.container_bytes.unwrap_or(0), self.limit_bytes.unwrap_or(0))
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// The last minutes of a store, and a bell that rings for each new sample.
#[derive(Clone)]
pub(crate) struct Board {
    samples: Arc<Mutex<VecDeque<Sample>>>,
    bell: watch::Receiver<()>,
}

impl Board {
    /// A board that a task keeps for as long as the service is there.
    pub(crate) fn watching(login: &Login, memory: fn() -> ProcessMemory) -> Self {
        let (ring, bell) = watch::channel(());
        let board = Self { samples: Arc::default(), bell };
        let (sessions, online) = (login.sessions.clone(), login.online.visits().downgrade());
        tokio::spawn(keep(board.clone(), (sessions, online), memory, ring));
        board
    }

    fn with<R>(&self, f: impl FnOnce(&mut VecDeque<Sample>) -> R) -> R {
        f(&mut self.samples.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What a page gets that has just been opened: all samples; later only the last.
    fn news(&self, is_first: bool) -> Event {
        let data = self.with(|samples| {
            let skipped = if is_first { 0 } else { samples.len().saturating_sub(1) };
            let fresh: Vec<&Sample> = samples.iter().skip(skipped).collect();
            let Verdict { level, text, next } = verdict(samples.iter());
            json!({ "all": is_first, "samples": fresh, "level": level, "text": text, "next": next })
        });
        Event::default().data(data.to_string())
    }
}

async fn keep(
    board: Board,
    (sessions, online): (Sessions, WeakCache<String, Tracked<Visit>>),
    memory: fn() -> ProcessMemory,
    ring: watch::Sender<()>,
) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(online) = online.upgrade() else { return };
        let sample = Sample::of(&sessions.stats(), &online.overstays(), memory());
        board.with(|samples| {
            samples.push_back(sample);
            if samples.len() > MOST_SAMPLES {
                samples.pop_front();
            }
        });
        ring.send_replace(());
    }
}

pub(crate) async fn page() -> Html<&'static str> {
    Html(include_str!("status.html"))
}

pub(crate) async fn events(
    State(board): State<Board>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let first = board.news(true);
    let later = stream::unfold(board, |mut board| async move {
        board.bell.changed().await.ok()?;
        Some((board.news(false), board))
    });
    let events = stream::once(async { first }).chain(later).map(Ok);
    Sse::new(events).keep_alive(KeepAlive::default())
}
