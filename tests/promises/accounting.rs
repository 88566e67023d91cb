//! G4: exactly one event for each insertion, whatever the threads and the listener do.

use crate::witness::{alone, eventually};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};
use sundown::{Cache, Lifetime, RemovalCause, WeakCache};

/// moka disables a listener that panics, and deadlocks in one that calls back (issue 298).
#[test]
fn a_listener_that_calls_back_and_panics_hears_of_every_session() {
    let _alone = alone();
    const SESSIONS: u64 = 1_000;
    let (heard, slot) = (Arc::new(AtomicU64::new(0)), Arc::new(OnceLock::new()));
    let (counted, weak) = (Arc::clone(&heard), Arc::clone(&slot));
    let cache: Cache<u64, u64> = Cache::builder()
        .max_entries(10_000)
        .time_to_live(Duration::from_millis(200))
        .on_removal(move |key: u64, _, _| {
            if let Some(cache) = weak.get().and_then(WeakCache::upgrade) {
                let _ = (cache.get(&key), cache.touch(&(key + 1)), cache.len(), cache.stats());
                cache.discard(&(key + 500));
            }
            if counted.fetch_add(1, Ordering::SeqCst) % 7 == 0 {
                resume_unwind(Box::new("planted"));
            }
        })
        .build()
        .expect("it builds");
    slot.set(cache.downgrade()).expect("it is set once");
    for key in 0..SESSIONS {
        cache.insert(key, key).expect("it fits");
    }
    eventually("every event is heard", || heard.load(Ordering::SeqCst) >= SESSIONS);
    eventually("all is counted", || cache.stats().dropped == SESSIONS);
    assert_eq!(cache.stats().listener_panics, SESSIONS.div_ceil(7));
    drop(cache);
    assert_eq!(heard.load(Ordering::SeqCst), SESSIONS, "one each, and none twice");
}

/// How many serial numbers a run may use up.
const SERIALS: usize = 4_000_000;

/// One byte for each serial number: how often it went in and came out.
struct Ledger {
    next: AtomicUsize,
    inserted: Vec<AtomicU8>,
    removed: Vec<AtomicU8>,
}

impl Ledger {
    fn new() -> Self {
        let blank = || (0..SERIALS).map(|_| AtomicU8::new(0)).collect();
        Self { next: AtomicUsize::new(0), inserted: blank(), removed: blank() }
    }

    fn next(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn note_insertion(&self, serial: usize) {
        self.inserted[serial].fetch_add(1, Ordering::SeqCst);
    }

    fn is_used_up(&self) -> bool {
        self.next.load(Ordering::Relaxed) > SERIALS - 10_000
    }

    /// The serial numbers that did not come out exactly as often as they went in.
    fn unbalanced(&self) -> Vec<(usize, u8, u8)> {
        let pairs = self.inserted.iter().zip(&self.removed).enumerate();
        pairs
            .map(|(at, (i, r))| (at, i.load(Ordering::SeqCst), r.load(Ordering::SeqCst)))
            .filter(|(_, inserted, removed)| inserted != removed)
            .collect()
    }
}

/// One call, drawn at random; all are drawn.
fn call(cache: &Cache<u64, usize>, ledger: &Ledger, random: u64) {
    let key = random % 3_000;
    let life = Lifetime::default().live(Duration::from_millis(random >> 8 & 127));
    let serial = ledger.next();
    match random >> 58 {
        0..20 => offer(ledger, serial, cache.insert(key, serial).is_ok()),
        20..28 => offer(ledger, serial, cache.insert_for(key, serial, life).is_ok()),
        28..32 => offer(ledger, serial, cache.insert_if_absent(key, serial, life).is_ok()),
        32..36 => offer(ledger, serial, cache.replace(key, serial, life).is_ok()),
        36..42 => {
            // Each run of the closure makes a value of its own; the last is the one that counts.
            let mut last = serial;
            let updated = cache.update(&key, |_| {
                last = ledger.next();
                last
            });
            offer(ledger, last, matches!(updated, Ok(true)));
        }
        42..46 => drop(cache.remove(&key)),
        46..50 => drop(cache.get(&key)),
        50..52 => drop(cache.read(&key, |&serial| serial)),
        52..54 => drop(cache.set_lifetime(&key, life)),
        54..57 => drop(cache.touch(&key)),
        57..60 => drop(cache.remove_if(&key, |_, serial| serial % 2 == 0)),
        60..62 => drop(cache.peek(&key)),
        62 if random % 64 == 0 => drop(cache.retain(|_, serial| serial % 3 > 0)),
        63 if random % 512 == 0 => cache.clear(),
        _ => drop(cache.reap()),
    }
}

fn offer(ledger: &Ledger, serial: usize, is_taken: bool) {
    if is_taken {
        ledger.note_insertion(serial);
    }
}

#[test]
fn four_threads_of_mixed_traffic_lose_no_event_and_repeat_none() {
    let _alone = alone();
    let ledger = Arc::new(Ledger::new());
    let heard = Arc::clone(&ledger);
    let cache: Cache<u64, usize> = Cache::builder()
        .max_entries(2_000)
        .time_to_live(Duration::from_millis(150))
        .time_to_idle(Duration::from_millis(60))
        .on_removal(move |_, serial: usize, _: RemovalCause| {
            heard.removed[serial].fetch_add(1, Ordering::SeqCst);
        })
        .build()
        .expect("it builds");
    let end = Instant::now() + Duration::from_secs(3);
    thread::scope(|scope| {
        for seed in 1..=4_u64 {
            let (cache, ledger) = (cache.clone(), &ledger);
            scope.spawn(move || {
                let mut random = seed;
                while Instant::now() < end && !ledger.is_used_up() {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    call(&cache, ledger, random);
                }
            });
        }
    });
    cache.audit().expect("the cache is whole");
    let stats = cache.stats();
    assert_eq!(stats.inserted, stats.entries as u64 + stats.retired.count + stats.dropped);
    let taken: u64 = ledger.inserted.iter().map(|n| u64::from(n.load(Ordering::SeqCst))).sum();
    assert_eq!(stats.inserted, taken, "the cache took what it says it took");
    assert!(taken > 1_000, "only {taken} insertions");
    // Some sessions are alive still: the drop of the last handle must tell of those, too.
    cache.insert(0, ledger.next()).expect("somebody is evicted");
    ledger.note_insertion(ledger.next.load(Ordering::SeqCst) - 1);
    drop(cache);
    let unbalanced = ledger.unbalanced();
    assert!(unbalanced.is_empty(), "{} unbalanced: {:?}", unbalanced.len(), unbalanced.first());
}
