//! Threads that use caches in every way until their time or their writes are used up; every value is
//! looked at whenever it is seen, and counted. For the sanitizers: see `.ci/sanitize`.
//!
//! No lock and no channel of the standard library is used here, and no scoped thread, for
//! ThreadSanitizer would not see what they order.

mod payload;

use payload::{Payload, alive};
use std::env;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use sundown::{Cache, GiveBack, Lifetime, OnFull, Reaper};

const THREADS: u64 = 4;
/// So few that threads meet; where a race is planted, at every other step.
const KEYS: u64 = if cfg!(planted_race) { 3 } else { 3_000 };
/// One generation of caches: then they are dropped, and new ones take their place.
const GENERATION: Duration = Duration::from_secs(2);

/// How far to go, whichever comes first.
#[derive(Clone, Copy)]
struct Limit {
    end: Instant,
    writes: u64,
}

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let limit = match (arguments.next().as_deref(), arguments.next().map(|n| n.parse())) {
        (Some("--seconds"), Some(Ok(seconds))) => Some((Duration::from_secs(seconds), u64::MAX)),
        (Some("--writes"), Some(Ok(writes))) => Some((Duration::from_secs(86_400), writes)),
        _ => None,
    };
    let Some((time, writes)) = limit else {
        eprintln!("usage: sundown-stress --seconds N | --writes N");
        return ExitCode::FAILURE;
    };
    warm_up();
    let limit = Limit { end: Instant::now() + time, writes };
    let (mut done, mut generations) = (0, 0);
    while done < limit.writes && Instant::now() < limit.end {
        done += generation(Limit { writes: limit.writes - done, ..limit });
        generations += 1;
        assert_eq!(alive(), 0, "the caches are gone, and values live on");
    }
    println!("{done} writes in {generations} generations of caches; every value died once");
    ExitCode::SUCCESS
}

/// Has the collector of all caches made before there is a second thread: ThreadSanitizer does not see
/// that the standard library's `LazyLock` orders its making before its use.
fn warm_up() {
    let cache = Cache::builder().max_entries(1).reaper(Reaper::Manual);
    let cache = cache.build().expect("it builds");
    cache.insert(0, Payload::new(0)).expect("there is room");
    assert!(cache.get(&0).is_some());
}

/// What the threads of one generation share.
struct Shared {
    /// One that evicts, with a listener, and one that rejects, by weight.
    caches: [Cache<u64, Payload>; 2],
    writes: AtomicU64,
    is_over: AtomicBool,
    heard: Arc<AtomicU64>,
}

/// Builds caches, has the threads use them, drops them; gives the number of writes.
fn generation(limit: Limit) -> u64 {
    let heard = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&heard);
    let evicting = Cache::builder()
        .max_entries(1_000)
        // Whose thread is detached: ThreadSanitizer does not see the fence in std's handle of it.
        .give_back(GiveBack::Never)
        .time_to_live(Duration::from_millis(300))
        .time_to_idle(Duration::from_millis(100))
        .resolution(Duration::from_millis(1))
        .on_removal(move |key, value: Payload, _| {
            value.check(key);
            counted.fetch_add(1, Ordering::Relaxed);
        });
    let rejecting = Cache::builder()
        .give_back(GiveBack::Never)
        .max_weight(4_000)
        .weigher(|key, _| key % 8)
        .time_to_live(Duration::from_millis(50))
        .on_full(OnFull::Reject)
        .shards(2);
    let shared = Arc::new(Shared {
        caches: [evicting, rejecting].map(|builder| builder.build().expect("it builds")),
        writes: AtomicU64::new(0),
        is_over: AtomicBool::new(false),
        heard,
    });
    let end = limit.end.min(Instant::now() + GENERATION);
    let users: Vec<_> = (1..=THREADS)
        .map(|seed| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || use_up(&shared, seed, Limit { end, ..limit }))
        })
        .collect();
    for user in users {
        user.join().expect("no thread panics");
    }
    let Ok(shared) = Arc::try_unwrap(shared) else { panic!("the threads have ended") };
    check(&shared);
    let inserted = shared.caches[0].stats().inserted;
    drop(shared.caches);
    assert_eq!(shared.heard.load(Ordering::Relaxed), inserted, "one event for each session");
    shared.writes.into_inner()
}

fn check(shared: &Shared) {
    for cache in &shared.caches {
        let audit = cache.audit().expect("the cache is whole");
        assert_eq!(audit.inserted, audit.entries as u64 + audit.retired + audit.dropped);
        assert!(audit.inserted > 0 && audit.dropped > 0, "it was used: {audit:?}");
    }
}

fn use_up(shared: &Shared, seed: u64, limit: Limit) {
    let mut random = seed;
    while !shared.is_over.load(Ordering::Relaxed) {
        for _ in 0..64 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            call(&shared.caches[(random >> 32 & 1) as usize], shared, random);
        }
        let is_enough = shared.writes.load(Ordering::Relaxed) >= limit.writes;
        if is_enough || Instant::now() >= limit.end {
            shared.is_over.store(true, Ordering::Relaxed);
        }
    }
}

/// One call, drawn at random.
fn call(cache: &Cache<u64, Payload>, shared: &Shared, random: u64) {
    let key = random % KEYS;
    let life = Lifetime::default().live(Duration::from_millis(random >> 40 & 63));
    let fresh = || {
        shared.writes.fetch_add(1, Ordering::Relaxed);
        Payload::new(key)
    };
    match random >> 58 {
        0..14 => drop(cache.insert(key, fresh())),
        14..18 => drop(cache.insert_for(key, fresh(), life)),
        18..20 => drop(cache.insert_if_absent(key, fresh(), life)),
        20..22 => drop(cache.replace(key, fresh(), life)),
        22..26 => drop(cache.update(&key, |old| {
            old.check(key);
            fresh()
        })),
        26..36 => drop(cache.get(&key).map(|value| value.check(key))),
        36..46 => drop(cache.read(&key, |value| value.look(key))),
        46..48 => drop(cache.peek(&key).map(|value| value.check(key))),
        48..50 => drop(cache.touch(&key)),
        50..52 => drop(cache.set_lifetime(&key, life)),
        52..55 => drop(cache.remove(&key).map(|value| value.check(key))),
        55..57 => drop(cache.discard(&key)),
        57..59 => drop(cache.remove_if(&key, |&key, value| {
            value.check(key);
            true
        })),
        59 if random % 64 == 0 => drop(cache.retain(|&key, value| {
            value.check(key);
            key % 7 > 0
        })),
        60 if random % 64 == 0 => cache.for_each(|&key, value| value.check(key)),
        61 if random % 512 == 0 => cache.clear(),
        62 => drop(cache.reap()),
        63 if random % 64 == 0 => drop(cache.stats()),
        _ => drop((cache.expires_in(&key), cache.contains_key(&key), cache.clone())),
    }
}
