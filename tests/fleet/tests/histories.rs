//! Random programs over three instances, with faults, judged by T1 to T6.
//!
//! `FLEET_SECONDS` makes them longer, `FLEET_SEED` repeats what was drawn.

mod stage;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use stage::history::{Allowed, Event, What, judge};
use stage::proxy::{Proxy, Way};
use stage::server::Server;
use stage::{Map, instance, pause, until};
use sundown::Lifetime;
use sundown::fleet::{Draft, Key, Tiered, merge_maps};

const INSTANCES: usize = 3;
const CLIENTS: usize = 9;
const PRINCIPALS: usize = 3;

/// The tests' timeout, and something for a machine that others use.
const LONGEST_CALL: Duration = Duration::from_millis(400 + 400);

struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

struct Program {
    tiers: Vec<Tiered<Map>>,
    events: Mutex<Vec<Event>>,
    /// The latest sessions, and whose they are.
    keys: Mutex<Vec<(Key, usize)>>,
    names: AtomicU64,
    is_over: AtomicBool,
}

impl Program {
    fn note(&self, (instance, key, from): (usize, Key, Instant), what: What) {
        let to = Instant::now();
        if !matches!(what, What::Wiped) {
            assert!(to - from < LONGEST_CALL, "{:?} for {what:?}", to - from);
        }
        self.events.lock().unwrap().push(Event { instance, key, from, to, what });
    }

    async fn step(&self, dice: &mut Dice) {
        let instance = dice.below(INSTANCES as u64) as usize;
        let tiered = &self.tiers[instance];
        let drawn = {
            let keys = self.keys.lock().unwrap();
            let at = dice.below(keys.len().max(1) as u64) as usize;
            keys.get(at).copied()
        };
        let Some((key, principal)) = drawn.filter(|_| dice.below(100) >= 6) else {
            return self.create(dice, instance).await;
        };
        let call = (instance, key, Instant::now());
        match dice.below(100) {
            0..=69 => {
                if let Ok(loaded) = tiered.load(&key).await {
                    let names = loaded.map(|loaded| loaded.keys().cloned().collect());
                    self.note(call, What::Loaded(names));
                }
            }
            70..=92 => self.save(dice, call).await,
            93..=98 => {
                let is_done = tiered.delete(&key).await.is_ok();
                self.note(call, if is_done { What::Deleted } else { What::DeleteFailed });
            }
            _ => {
                let is_done = tiered.revoke_all(principal.to_string()).await.is_ok();
                let revoked = What::Revoked { principal };
                self.note(call, if is_done { revoked } else { What::RevokeFailed { principal } });
            }
        }
    }

    async fn create(&self, dice: &mut Dice, instance: usize) {
        let (key, principal) = (stage::key(), dice.below(PRINCIPALS as u64) as usize);
        let live = (dice.below(5) == 0).then(|| Duration::from_millis(50 + dice.below(600)));
        let lifetime = live.map_or(Lifetime::default(), |live| Lifetime::default().live(live));
        let draft = Draft::new(Map::new()).of(principal.to_string()).lifetime(lifetime);
        let call = (instance, key, Instant::now());
        let is_done = self.tiers[instance].create(&key, draft).await.is_ok();
        let created = What::Created { principal, live };
        self.note(call, if is_done { created } else { What::CreateFailed { principal } });
        let mut keys = self.keys.lock().unwrap();
        keys.push((key, principal));
        if keys.len() > 24 {
            let oldest = dice.below(12) as usize;
            keys.remove(oldest);
        }
    }

    async fn save(&self, dice: &mut Dice, call: (usize, Key, Instant)) {
        let (instance, key, from) = call;
        let tiered = &self.tiers[instance];
        let Ok(Some(base)) = tiered.load(&key).await else { return };
        if dice.below(2) == 0 {
            pause(dice.below(20)).await;
        }
        // Relaxed: a name of its own for each.
        let name = format!("name {}", self.names.fetch_add(1, Ordering::Relaxed));
        let mut map = (*base).clone();
        map.insert(name.clone(), String::new());
        let from = from.max(Instant::now());
        let save = tiered.save_with(&key, &base, Draft::new(map), |all| Some(merge_maps(all)));
        if dice.below(12) == 0 {
            // A request that is given up.
            let given_up = tokio::time::timeout(Duration::from_micros(dice.below(900)), save).await;
            let what = if matches!(given_up, Ok(Ok(Some(_)))) {
                What::Saved(name)
            } else {
                What::SaveFailed
            };
            return self.note((instance, key, from), what);
        }
        let what = match save.await {
            Ok(Some(_)) => What::Saved(name),
            Ok(None) => What::SavedNothing,
            Err(_) => What::SaveFailed,
        };
        self.note((instance, key, from), what);
    }
}

async fn fault(program: &Program, server: &mut Server, proxies: &[Proxy], dice: &mut Dice) {
    let proxy = &proxies[dice.below(INSTANCES as u64) as usize];
    let wiped = (0, stage::key(), Instant::now());
    match dice.below(20) {
        0..=4 => proxy.set(Way::Slow(Duration::from_millis(1 + dice.below(40)))),
        5..=8 => proxy.set(Way::Silent),
        9..=11 => proxy.set(Way::Cut),
        12..=14 => {
            let mut kill = redis::cmd("CLIENT");
            kill.arg("KILL").arg("SKIPME").arg("yes").arg("TYPE").arg("normal");
            kill.query_async::<i64>(&mut server.raw().await).await.unwrap();
        }
        15 => {
            redis::cmd("FLUSHALL").query_async::<()>(&mut server.raw().await).await.unwrap();
            program.note(wiped, What::Wiped);
        }
        16 => {
            server.restart(false).await;
            program.note(wiped, What::Wiped);
        }
        17 | 18 => server.restart(true).await,
        _ => proxies.iter().for_each(|proxy| proxy.set(Way::Silent)),
    }
    pause(dice.below(700)).await;
    proxies.iter().for_each(|proxy| proxy.set(Way::Open));
    pause(dice.below(500)).await;
}

async fn run(has_faults: bool, allowed: Allowed) {
    let seconds = std::env::var("FLEET_SECONDS").ok().and_then(|text| text.parse().ok());
    let lasts = Duration::from_secs(seconds.unwrap_or(6));
    let seed = std::env::var("FLEET_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| {
        let drawn = sundown::fleet::Revision::draw();
        u64::from_le_bytes(drawn.as_bytes()[..8].try_into().unwrap()) | 1
    });
    println!("FLEET_SEED={seed}");
    let mut server = Server::start().await;
    let (mut proxies, mut tiers) = (Vec::new(), Vec::new());
    for _ in 0..INSTANCES {
        let proxy = Proxy::to(server.port).await;
        tiers.push(instance(&proxy.url()).await);
        proxies.push(proxy);
    }
    let program = Arc::new(Program {
        tiers,
        events: Mutex::default(),
        keys: Mutex::default(),
        names: AtomicU64::new(0),
        is_over: AtomicBool::new(false),
    });
    let clients: Vec<_> = (0..CLIENTS as u64)
        .map(|client| {
            let (program, mut dice) = (program.clone(), Dice(seed ^ (client + 1) << 32 | 1));
            tokio::spawn(async move {
                // Relaxed: a moment more or less does not matter.
                while !program.is_over.load(Ordering::Relaxed) {
                    program.step(&mut dice).await;
                    pause(dice.below(3)).await;
                }
            })
        })
        .collect();
    let (since, mut dice) = (Instant::now(), Dice(seed));
    while since.elapsed() < lasts {
        match has_faults {
            true => fault(&program, &mut server, &proxies, &mut dice).await,
            false => pause(50).await,
        }
    }
    // Relaxed: as above.
    program.is_over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    finish(&program, &server, allowed).await;
}

/// All is well again: what is live is complete, and in the end nothing stays.
async fn finish(program: &Program, server: &Server, allowed: Allowed) {
    until(|| program.tiers.iter().all(|tiered| tiered.stats().connected)).await;
    pause(600).await;
    let keys: std::collections::HashSet<Key> =
        program.events.lock().unwrap().iter().map(|event| event.key).collect();
    for (instance, tiered) in program.tiers.iter().enumerate() {
        for key in &keys {
            let call = (instance, *key, Instant::now());
            let loaded = tiered.load(key).await.expect("all is well");
            let names = loaded.map(|loaded| loaded.keys().cloned().collect());
            program.note(call, What::Loaded(names));
        }
    }
    let events = program.events.lock().unwrap().clone();
    let judged = judge(&events, allowed);
    let saves = events.iter().filter(|event| matches!(event.what, What::Saved(_))).count();
    let ends = events.iter().filter(|event| matches!(event.what, What::Deleted)).count();
    println!("{} sessions, {judged} calls judged, {saves} saves, {ends} deletions", keys.len());
    for tiered in &program.tiers {
        println!("{:?}", tiered.stats());
    }
    for key in &keys {
        program.tiers[0].delete(key).await.unwrap();
    }
    let until = Instant::now() + Duration::from_secs(5);
    while server.keys().await > 0 {
        assert!(Instant::now() < until, "{} keys stay in the server", server.keys().await);
        pause(50).await;
    }
    for tiered in &program.tiers {
        tiered.cache().audit().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_faults_all_is_current_within_a_moment() {
    run(false, Allowed { staleness: Duration::from_millis(100) }).await;
}

/// A silent connection is noticed when its lease has ended: 500 ms, and the coarse clock's tick.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_faults_nothing_comes_back_and_nothing_is_lost() {
    run(true, Allowed { staleness: Duration::from_millis(520) }).await;
}
