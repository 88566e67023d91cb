//! G7 and the reaper's manners: who waits for whom, and who sleeps.

use crate::witness::{Lateness, Register, SOON, alone, eventually, is_on_time};
use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use sundown::Cache;

const HOUR: Duration = Duration::from_secs(3_600);

thread_local! {
    /// Whether comparing keys blocks on this thread.
    static IS_SLOW: Cell<bool> = const { Cell::new(false) };
}

/// Where the slow writer stands, and whether it may go on.
#[derive(Default)]
struct Gate {
    is_reached: AtomicBool,
    is_open: AtomicBool,
}

/// Compared to by a slow thread, it waits at the gate.
#[derive(Clone)]
struct Gated(u64, Arc<Gate>);

impl PartialEq for Gated {
    fn eq(&self, other: &Self) -> bool {
        if IS_SLOW.get() {
            self.1.is_reached.store(true, Ordering::SeqCst);
            while !self.1.is_open.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(1));
            }
        }
        self.0 == other.0
    }
}

impl Eq for Gated {}

impl Hash for Gated {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

#[test]
fn a_writer_stuck_under_the_lock_delays_no_reader_of_its_shard() {
    let _alone = alone();
    let gate = Arc::new(Gate::default());
    let cache: Cache<Gated, u64> =
        Cache::builder().max_entries(1_000).shards(1).build().expect("it builds");
    let key = |number| Gated(number, Arc::clone(&gate));
    for number in 0..100 {
        cache.insert(key(number), number).expect("it fits");
    }
    let writer = {
        let (cache, key) = (cache.clone(), key(7));
        thread::spawn(move || {
            IS_SLOW.set(true);
            cache.insert(key, 700).expect("it replaces");
        })
    };
    eventually("the writer stands at the gate", || gate.is_reached.load(Ordering::SeqCst));
    let (done, is_done) = mpsc::channel();
    let reader = {
        let (cache, keys) = (cache.clone(), (0..200).map(key).collect::<Vec<_>>());
        thread::spawn(move || {
            for (number, key) in (0..).zip(&keys) {
                let expected = (number < 100).then_some(number);
                assert_eq!((cache.get(key), cache.peek(key)), (expected, expected));
                assert_eq!(cache.read(key, |&value| value), expected);
                assert_eq!(cache.contains_key(key), number < 100);
            }
            done.send(()).expect("somebody waits");
        })
    };
    let verdict = is_done.recv_timeout(Duration::from_secs(20));
    assert!(!gate.is_open.load(Ordering::SeqCst) && !writer.is_finished());
    gate.is_open.store(true, Ordering::SeqCst);
    writer.join().expect("the writer goes on");
    reader.join().expect("every read was right");
    assert!(verdict.is_ok(), "the readers waited for the writer");
    assert_eq!(cache.get(&key(7)), Some(700));
}

#[test]
fn a_closure_asleep_in_a_read_keeps_one_session_and_no_other() {
    let _alone = alone();
    let (held, others) = (Register::default(), Register::default());
    let cache = Cache::builder().max_entries(10_000).time_to_live(HOUR).build().expect("it builds");
    cache.insert(0, held.value()).expect("it fits");
    let (inside, is_inside) = mpsc::channel();
    let (release, is_released) = mpsc::channel::<()>();
    let sleeper = {
        let cache = cache.clone();
        thread::spawn(move || {
            cache.read(&0, |_| {
                inside.send(()).expect("somebody waits");
                is_released.recv_timeout(2 * crate::witness::patience()).expect("it is released");
            })
        })
    };
    is_inside.recv_timeout(crate::witness::patience()).expect("the read has begun");
    assert!(cache.discard(&0));
    is_on_time("freeing while a closure sleeps", SOON, || {
        for key in 1..5_000_u64 {
            cache.insert(key, others.value()).expect("it fits");
        }
        cache.retain(|_, _| false);
        let left = Instant::now();
        thread::sleep(Duration::from_millis(10));
        let control = left.elapsed().saturating_sub(Duration::from_millis(10));
        eventually("all others are freed", || others.alive() == 0);
        Lateness { observed: left.elapsed(), control }
    });
    assert_eq!(held.alive(), 1, "what is being read stays");
    assert_eq!(cache.stats().retired.count, 1);
    release.send(()).expect("the sleeper waits");
    assert_eq!(sleeper.join().expect("the closure ends"), Some(()));
    eventually("the held session is freed", || held.alive() == 0);
    eventually("it is counted", || cache.stats().retired.count == 0);
}

/// While one closure sleeps in cache A, cache B of the same process frees as ever.
#[test]
fn a_closure_asleep_in_one_cache_delays_no_other_cache() {
    let _alone = alone();
    let slow: Cache<u64, u64> = Cache::builder().max_entries(10).build().expect("it builds");
    let quick = Cache::builder().max_entries(10).build().expect("it builds");
    slow.insert(0, 0).expect("it fits");
    let register = Register::default();
    slow.read(&0, |_| {
        is_on_time("freeing beside a sleeping closure", SOON, || {
            quick.insert(1, register.value()).expect("it fits");
            assert!(quick.discard(&1));
            let left = Instant::now();
            thread::sleep(Duration::from_millis(10));
            let control = left.elapsed().saturating_sub(Duration::from_millis(10));
            eventually("it is freed", || register.alive() == 0);
            Lateness { observed: left.elapsed(), control }
        });
    });
}

/// otter and theine tick every second; a reaper with nothing due must not wake at all.
#[cfg(target_os = "linux")]
#[test]
fn a_reaper_with_nothing_due_sleeps() {
    use crate::witness::{kernel, scaled};
    let _alone = alone();
    eventually("the reapers of other tests are gone", || kernel::reapers().is_empty());
    let cache = Cache::builder()
        .max_entries(1_000_000)
        .time_to_live(HOUR)
        .time_to_idle(HOUR)
        .build()
        .expect("it builds");
    for key in 0..scaled(200_000) {
        cache.insert(key, key).expect("it fits");
    }
    let reapers = kernel::reapers();
    let [reaper] = reapers[..] else { panic!("one reaper a cache, not {reapers:?}") };
    thread::sleep(Duration::from_secs(1));
    let before = (kernel::context_switches(reaper), kernel::processor_ticks(reaper));
    let wakeups = cache.stats().reaper_wakeups;
    thread::sleep(Duration::from_secs(3));
    let after = (kernel::context_switches(reaper), kernel::processor_ticks(reaper));
    assert_eq!(after, before, "it woke, though nothing was due");
    assert_eq!(cache.stats().reaper_wakeups, wakeups);
}
