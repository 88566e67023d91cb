//! A thousand instances in one process, over a truth that delays its messages: what the invalidations cost, and after
//! what time an instance has heard of a change, and may have served what was before it.
//!
//! `cargo bench --manifest-path tests/fleet/Cargo.toml --bench thousand`; the settings are in the environment:
//! `INSTANCES`, `SESSIONS`, `REQUESTS` a second, `SECONDS`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sundown::Cache;
use sundown::fleet::{
    Attempt, Backend, Codec, Created, Draft, Error, Facts, Key, Left, Revision, Saved, Stored,
    Tiered, TieredOptions, Watcher, Write,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{sleep, sleep_until};

/// What a message is about.
enum Message {
    Changed(Key, Instant),
    Canary(Attempt),
}

type Way = UnboundedSender<(Instant, Message)>;

#[derive(Default)]
struct Truth {
    sessions: Mutex<HashMap<Key, Stored>>,
    ways: OnceLock<Vec<Way>>,
    sent: AtomicU64,
    /// From a change until an instance had heard of it; of one message in sixteen.
    lags: Mutex<Vec<Duration>>,
}

impl Truth {
    /// Tells all instances, as a server does that is asked to broadcast.
    fn tell(&self, key: &Key, random: &mut Random) {
        let now = Instant::now();
        for way in self.ways.get().into_iter().flatten() {
            let _gone = way.send((random.arrival(), Message::Changed(*key, now)));
        }
        // Relaxed: a figure.
        self.sent.fetch_add(self.ways.get().map_or(0, Vec::len) as u64, Ordering::Relaxed);
    }
}

/// One instance's way to the truth.
struct Sim {
    truth: Arc<Truth>,
    own: Way,
    messages: Mutex<Option<UnboundedReceiver<(Instant, Message)>>>,
    random: Arc<Mutex<Random>>,
}

impl Sim {
    async fn travel(&self) {
        let arrival = self.random.lock().unwrap().arrival();
        sleep_until(arrival.into()).await;
    }

    fn put(&self, key: &Key, write: &Write) -> Facts {
        let facts = Facts::new(write.revision, Left::new(HOUR, Some(HOUR)));
        let stored = Stored::new(write.bytes.clone(), facts);
        self.truth.sessions.lock().unwrap().insert(*key, stored);
        self.truth.tell(key, &mut self.random.lock().unwrap());
        facts
    }
}

#[async_trait]
impl Backend for Sim {
    async fn load(&self, key: &Key, _is_use: bool) -> Result<Option<Stored>, Error> {
        self.travel().await;
        let found = self.truth.sessions.lock().unwrap().get(key).cloned();
        self.travel().await;
        Ok(found)
    }

    async fn create(&self, key: &Key, write: &Write) -> Result<Created, Error> {
        Ok(Created::Done(self.put(key, write), Vec::new()))
    }

    async fn save(&self, key: &Key, expected: Revision, write: &Write) -> Result<Saved, Error> {
        self.travel().await;
        let current = self.truth.sessions.lock().unwrap().get(key).cloned();
        let saved = match current {
            None => Saved::Gone,
            Some(current) if current.facts.revision != expected => Saved::Conflict(current),
            Some(_) => Saved::Done(self.put(key, write), Vec::new()),
        };
        self.travel().await;
        Ok(saved)
    }

    async fn delete(&self, key: &Key) -> Result<bool, Error> {
        let was_live = self.truth.sessions.lock().unwrap().remove(key).is_some();
        self.truth.tell(key, &mut self.random.lock().unwrap());
        Ok(was_live)
    }

    async fn touch(&self, _: &Key) -> Result<Option<Left>, Error> {
        Ok(Some(Left::new(HOUR, Some(HOUR))))
    }

    fn watch(&self, watcher: Watcher) -> bool {
        let messages = self.messages.lock().unwrap().take();
        let Some(mut messages) = messages else { return false };
        let (own, random, heard) = (self.own.clone(), self.random.clone(), watcher.clone());
        let truth = self.truth.clone();
        tokio::spawn(async move {
            loop {
                let arrival = random.lock().unwrap().arrival();
                if own.send((arrival, Message::Canary(watcher.attempt()))).is_err() {
                    return;
                }
                sleep(HEARTBEAT).await;
            }
        });
        tokio::spawn(async move {
            let mut count = 0_u32;
            while let Some((arrival, message)) = messages.recv().await {
                // One after the other, as on a connection.
                if arrival > Instant::now() {
                    sleep_until(arrival.into()).await;
                }
                match message {
                    Message::Changed(key, since) => {
                        heard.invalidate(&key);
                        count += 1;
                        if count % 16 == 0 {
                            truth.lags.lock().unwrap().push(since.elapsed());
                        }
                    }
                    Message::Canary(attempt) => _ = attempt.prove(),
                }
            }
        });
        true
    }
}

/// Small, quick and the same each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn below(&mut self, most: usize) -> usize {
        self.next() as usize % most
    }

    /// When what is sent now is there: after 0.1 to 0.5 ms, and one in ten thousand after 50 ms more, as when a
    /// packet is sent again.
    fn arrival(&mut self) -> Instant {
        let late = if self.below(10_000) == 0 { 50_000 } else { 0 };
        Instant::now() + Duration::from_micros(100 + self.next() % 400 + late)
    }
}

#[derive(Default)]
struct Told {
    loads: u64,
    saves: u64,
}

fn setting(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn at(sorted: &[Duration], share: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share) as usize).copied().unwrap_or_default()
}

/// Requests of sessions that come back to `spread` instances each.
async fn run(spread: usize, instances: usize) {
    let (sessions, per_second) = (setting("SESSIONS", 10_000), setting("REQUESTS", 4_000));
    let seconds = setting("SECONDS", 10);
    let truth = Arc::new(Truth::default());
    let (mut tiers, mut ways) = (Vec::new(), Vec::new());
    for number in 0..instances {
        let (own, messages) = unbounded_channel();
        ways.push(own.clone());
        let random = Arc::new(Mutex::new(Random(number as u64)));
        let messages = Mutex::new(Some(messages));
        let sim = Sim { truth: truth.clone(), own, messages, random };
        let builder = Cache::builder().max_entries(1_000);
        let tier = Tiered::new(builder, sim, Codec::bytes(), TieredOptions::default()).unwrap();
        tiers.push(tier);
    }
    let mut random = Random(7);
    let keys: Vec<_> = (0..sessions).map(|n| Key::of(n.to_le_bytes())).collect();
    for (n, key) in keys.iter().enumerate() {
        tiers[n % instances].create(key, Draft::new(vec![7; 300])).await.unwrap();
    }
    assert!(truth.ways.set(ways).is_ok());
    sleep(Duration::from_secs(1)).await;
    let told = Arc::new(Mutex::new(Told::default()));
    let (since, busy) = (Instant::now(), cpu_time());
    let before = truth.sent.load(Ordering::Relaxed);
    let mut pace = tokio::time::interval(Duration::from_millis(10));
    for _ in 0..seconds * 100 {
        pace.tick().await;
        for _ in 0..per_second / 100 {
            let session = random.below(sessions);
            let instance = (session + random.below(spread)) % instances;
            let (tier, key) = (tiers[instance].clone(), keys[session]);
            let (told, saves) = (told.clone(), random.below(20) == 0);
            tokio::spawn(async move {
                let Ok(Some(loaded)) = tier.load(&key).await else { return };
                let is_saved =
                    saves && tier.save(&key, &loaded, Draft::new(vec![8; 300])).await.is_ok();
                let mut told = told.lock().unwrap();
                told.loads += 1;
                told.saves += u64::from(is_saved);
            });
        }
    }
    sleep(Duration::from_millis(500)).await;
    let (took, busy) = (since.elapsed().as_secs_f64(), cpu_time() - busy);
    let sent = truth.sent.load(Ordering::Relaxed) - before;
    let told = told.lock().unwrap();
    let mut lags = truth.lags.lock().unwrap();
    lags.sort();
    let stats: Vec<_> = tiers.iter().map(Tiered::stats).collect();
    let hits: u64 = stats.iter().map(|stats| stats.l1_hits).sum();
    let gaps: u64 = stats.iter().map(|stats| stats.gaps).sum();
    println!(
        "| {instances} | {} | {:.0} | {:.0} | {:.1} % | {:.0} | {:.2} us | {:.1?} | {:.1?} | {:.1?} | {gaps} |",
        spread,
        told.loads as f64 / took,
        told.saves as f64 / took,
        100.0 * hits as f64 / told.loads as f64,
        sent as f64 / took,
        busy.as_secs_f64() * 1e6 / sent as f64,
        at(&lags, 0.5),
        at(&lags, 0.999),
        at(&lags, 1.0),
    );
}

/// Of this process, in user and kernel mode.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
    Duration::from_millis(ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10)
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!(
        "| instances | a session's requests go to | loads/s | saves/s | hits | messages/s | processor time a message | heard after p50 | p99.9 | most | gaps |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    let most = setting("INSTANCES", 1_000);
    for instances in [most.div_ceil(10), most] {
        for spread in [1, 3, instances] {
            runtime.block_on(run(spread, instances));
        }
    }
}

const HOUR: Duration = Duration::from_secs(3_600);
const HEARTBEAT: Duration = Duration::from_millis(500);
