//! G5: memory comes back to the machine, not only to the allocator. Each test runs in a process of
//! its own, whose resident memory is nobody else's.
//!
//! The bounds are the promised ones for memory, and generous for time: the machine may be busy.

#![cfg(all(target_os = "linux", target_env = "gnu", not(any(sundown_loom, sundown_shuttle))))]

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use sundown::{Cache, GiveBack, Lifetime, ManualClock, ProcessMemory, Reaper, Stats};

const SESSIONS: u64 = 160_000;
const THREADS: u64 = 8;
const MIB: u64 = 1 << 20;
/// Promised are 10 s; this is for machines that have other things to do.
const PATIENCE: Duration = Duration::from_secs(30);
/// Long enough for the storm to come in on a busy machine.
const STORM: Duration = Duration::from_secs(5);

type Sessions = Cache<u64, Box<[u8]>>;

/// Runs `test` in a process of its own, in which no other test has left memory or threads.
fn in_a_process_of_its_own(name: &str, test: impl FnOnce()) {
    const CHILD: &str = "SUNDOWN_RESIDENT_TEST";
    if std::env::var_os("ASAN_OPTIONS").is_some() {
        println!("skipped: AddressSanitizer's allocator keeps what is freed");
    } else if std::env::var(CHILD).as_deref() == Ok(name) {
        test();
    } else {
        // One at a time: the storms want the processors.
        static TURN: Mutex<()> = Mutex::new(());
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let itself = std::env::current_exe().expect("it is known");
        let child = Command::new(itself)
            .args([name, "--exact"])
            .env(CHILD, name)
            .output()
            .expect("it works");
        let told = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success() && told.contains("1 passed"), "{told}");
    }
}

fn resident() -> u64 {
    ProcessMemory::read().resident_bytes.expect("Linux tells")
}

/// Threads that have put sessions in and stay alive, as a server's do.
struct Storm {
    before: u64,
    height: u64,
    is_over: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Storm {
    /// Puts [`SESSIONS`] of 0.5 to 1.5 KiB in, one in `one_in` of them for an hour, if any.
    fn into(cache: &Sessions, one_in: Option<u64>) -> Self {
        let before = resident();
        let is_over = Arc::new(AtomicBool::new(false));
        let all_in = Arc::new(Barrier::new(THREADS as usize + 1));
        let threads = (0..THREADS).map(|thread| {
            let (cache, is_over, all_in) = (cache.clone(), is_over.clone(), all_in.clone());
            thread::spawn(move || {
                for number in (thread..SESSIONS).step_by(THREADS as usize) {
                    let bytes = 512 + number.wrapping_mul(0x9e37_79b9_7f4a_7c15) as usize % 1_024;
                    let is_long = one_in.is_some_and(|one_in| number / THREADS % one_in == 0);
                    let live = if is_long { Duration::from_secs(3_600) } else { STORM };
                    let value = vec![1; bytes].into_boxed_slice();
                    cache
                        .insert_for(number, value, Lifetime::default().live(live))
                        .expect("it fits");
                }
                drop(cache);
                all_in.wait();
                while !is_over.load(Ordering::Relaxed) {
                    thread::park_timeout(Duration::from_millis(100));
                }
            })
        });
        let threads = threads.collect();
        all_in.wait();
        let height = resident() - before;
        assert!(height > 100 * MIB, "the storm is too small to tell anything: {height}");
        Self { before, height, is_over, threads }
    }

    /// How much of its height is resident still.
    fn left(&self) -> u64 {
        resident().saturating_sub(self.before)
    }

    #[track_caller]
    fn must_come_back(&self, stats: impl Fn() -> Option<Stats>) {
        let until = Instant::now() + PATIENCE;
        while self.left() > self.height / 5 {
            let (left, height) = (self.left() / MIB, self.height / MIB);
            assert!(Instant::now() < until, "{left} MiB of {height} stay; {:?}", stats());
            thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("nobody panics");
        }
    }
}

fn sessions(give_back: GiveBack) -> Sessions {
    Cache::builder().max_entries(1_000_000).give_back(give_back).build().expect("it builds")
}

#[track_caller]
fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn resident_memory_returns_when_all_have_expired() {
    in_a_process_of_its_own("resident_memory_returns_when_all_have_expired", || {
        let cache = sessions(GiveBack::Auto);
        let storm = Storm::into(&cache, None);
        wait_for("the last expiry", || cache.is_empty());
        storm.must_come_back(|| Some(cache.stats()));
    });
}

#[test]
fn resident_memory_returns_when_one_in_a_hundred_lives_on() {
    in_a_process_of_its_own("resident_memory_returns_when_one_in_a_hundred_lives_on", || {
        let cache = sessions(GiveBack::Auto);
        let storm = Storm::into(&cache, Some(100));
        wait_for("the last expiry", || cache.len() as u64 <= SESSIONS / 100);
        storm.must_come_back(|| Some(cache.stats()));
        wait_for("its end", || cache.stats().given_back.since_last.is_some());
        let given_back = cache.stats().given_back;
        assert_eq!((given_back.count, given_back.failures), (1, 0), "once for one storm");
        assert!(given_back.last_bytes >= storm.height / 2, "{given_back:?}");
        assert!(given_back.since_last.is_some() && !given_back.last_took.is_zero());

        // With nothing due nobody wakes, and it is not done again.
        thread::sleep(Duration::from_millis(1_500));
        let woken = cache.stats().reaper_wakeups;
        thread::sleep(Duration::from_secs(7));
        assert_eq!(cache.stats().reaper_wakeups, woken);
        assert_eq!(cache.stats().given_back.count, 1);
    });
}

#[test]
fn resident_memory_returns_when_the_caller_removes_all() {
    in_a_process_of_its_own("resident_memory_returns_when_the_caller_removes_all", || {
        type Way = fn(&Sessions);
        let ways: [Way; 3] = [
            |cache| cache.clear(),
            |cache| assert_eq!(cache.retain(|_, _| false) as u64, SESSIONS),
            |cache| (0..SESSIONS).for_each(|key| assert!(cache.discard(&key))),
        ];
        for remove_all in ways {
            let cache = sessions(GiveBack::Auto);
            let hour = Duration::from_secs(3_600);
            let before = resident();
            for key in 0..SESSIONS {
                let value = vec![1; 1_024].into_boxed_slice();
                cache.insert_for(key, value, Lifetime::default().live(hour)).expect("it works");
                if key % 100 == 0 {
                    // Something of the application's that stays, between the sessions.
                    std::mem::forget(vec![1_u8; 64]);
                }
            }
            let height = resident() - before;
            remove_all(&cache);
            let is_back = || resident().saturating_sub(before) <= height / 5;
            wait_for("resident memory", is_back);
        }
    });
}

#[test]
fn resident_memory_returns_when_the_cache_is_dropped() {
    in_a_process_of_its_own("resident_memory_returns_when_the_cache_is_dropped", || {
        let cache = sessions(GiveBack::Auto);
        let storm = Storm::into(&cache, Some(2));
        drop(cache);
        storm.must_come_back(|| None);
    });
}

/// Each is too small to be worth it; together they are as much as a large one.
#[test]
fn resident_memory_returns_from_a_thousand_small_caches() {
    in_a_process_of_its_own("resident_memory_returns_from_a_thousand_small_caches", || {
        let caches: Vec<Sessions> = (0..1_000)
            .map(|_| Cache::builder().max_entries(1_000).build().expect("it builds"))
            .collect();
        let before = resident();
        for key in 0..160 {
            for cache in &caches {
                let value = vec![1; 1_024].into_boxed_slice();
                let live = if key % 80 == 0 { 60 * STORM } else { STORM };
                cache.insert_for(key, value, Lifetime::default().live(live)).expect("it fits");
            }
        }
        let height = resident() - before;
        let stats = || caches[0].stats();
        let left = || resident().saturating_sub(before);
        wait_for("memory of those that expired", || left() <= height / 4);
        wait_for("its end", || stats().given_back.count == 1);
        assert_eq!(stats().given_back.failures, 0);
        thread::sleep(Duration::from_secs(7));
        assert_eq!(stats().given_back.count, 1, "once for all");
    });
}

/// What the tests above would see without it.
#[test]
fn resident_memory_stays_where_nothing_gives_it_back() {
    in_a_process_of_its_own("resident_memory_stays_where_nothing_gives_it_back", || {
        let cache = sessions(GiveBack::Never);
        let storm = Storm::into(&cache, Some(100));
        wait_for("the last expiry", || cache.len() as u64 <= SESSIONS / 100);
        thread::sleep(Duration::from_secs(4));
        assert!(storm.left() > storm.height / 2, "{} of {}", storm.left(), storm.height);
        assert_eq!(cache.stats().given_back, Default::default());
    });
}

#[test]
fn no_deadline_waits_for_a_closure_that_blocks_and_nothing_is_held_meanwhile() {
    let name = "no_deadline_waits_for_a_closure_that_blocks_and_nothing_is_held_meanwhile";
    in_a_process_of_its_own(name, || {
        let begun = Arc::new(AtomicUsize::new(0));
        let lets_go = Arc::new(AtomicBool::new(false));
        let (its_begun, its_lets_go) = (begun.clone(), lets_go.clone());
        let cache = sessions(GiveBack::with(move || {
            its_begun.fetch_add(1, Ordering::SeqCst);
            while !its_lets_go.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(1));
            }
            panic!("a fault of the user's");
        }));
        let storm = Storm::into(&cache, None);
        wait_for("the closure", || begun.load(Ordering::SeqCst) == 1);
        let calm = cache.stats();
        assert_eq!((calm.entries, calm.retired.count, calm.overdue), (0, 0, 0));

        // Deadlines while it blocks. What they add to the record is judged by its greatest.
        let mut freed = calm.dropped;
        for round in 0..40_u64 {
            for key in 0..50 {
                let value = vec![1; 64].into_boxed_slice();
                let live = Lifetime::default().live(Duration::from_millis(20));
                cache.insert_for(round * 50 + key, value, live).expect("it fits");
            }
            freed += 50;
            let due = Instant::now() + Duration::from_millis(20);
            wait_for("the expired", || cache.stats().dropped == freed);
            // 10 ms of resolution; 100 ms are promised of 99 %, on a machine that is not busy.
            assert!(due.elapsed() < Duration::from_secs(1), "{:?} late", due.elapsed());
        }
        assert_eq!(begun.load(Ordering::SeqCst), 1, "one at a time");

        lets_go.store(true, Ordering::SeqCst);
        wait_for("the panic to be counted", || cache.stats().given_back.failures == 1);
        assert_eq!(cache.stats().given_back.count, 0);
        drop(storm);
        cache.audit().expect("it is sound");
    });
}

#[test]
fn the_last_handle_does_not_wait_for_a_closure_that_blocks() {
    in_a_process_of_its_own("the_last_handle_does_not_wait_for_a_closure_that_blocks", || {
        let begun = Arc::new(AtomicBool::new(false));
        let its_begun = begun.clone();
        let cache = sessions(GiveBack::with(move || {
            its_begun.store(true, Ordering::SeqCst);
            thread::sleep(Duration::from_secs(3_600));
        }));
        let storm = Storm::into(&cache, None);
        wait_for("the closure", || begun.load(Ordering::SeqCst));
        drop(storm);
        drop(cache);
    });
}

#[test]
fn a_population_that_only_changes_gives_nothing_back() {
    let name = "a_population_that_only_changes_gives_nothing_back";
    in_a_process_of_its_own(name, || {
        let _ballast = vec![1_u8; 256 << 20];
        let calls = Arc::new(AtomicUsize::new(0));
        let (its_calls, clock) = (calls.clone(), ManualClock::new());
        let count = move || {
            its_calls.fetch_add(1, Ordering::SeqCst);
        };
        let cache = Cache::builder()
            .max_entries(10_000)
            .time_to_live(Duration::from_secs(10))
            .clock(clock.clone())
            .give_back(GiveBack::with(count))
            .build()
            .expect("it works");
        let advance = |len: usize| {
            clock.advance(Duration::from_millis(100));
            wait_for("the reaper", || cache.len() <= len);
        };
        // A hundred come and, from the tenth second on, a hundred go, every tenth of a second.
        for key in 0..60_000_u64 {
            cache.insert(key, key).expect("it works");
            if key % 100 == 99 {
                advance(9_900);
            }
        }
        thread::sleep(Duration::from_millis(50));
        assert_eq!(calls.load(Ordering::SeqCst), 0);
        // The rest goes within ten seconds and nobody comes.
        for gone in 1..=99 {
            advance(9_900 - 100 * gone);
        }
        wait_for("the call", || {
            // The calm is measured by the process's clock, but the reaper waits by the cache's.
            advance(0);
            calls.load(Ordering::SeqCst) == 1
        });
    });
}

#[test]
fn without_a_reaper_nothing_is_given_back() {
    in_a_process_of_its_own("without_a_reaper_nothing_is_given_back", || {
        let _ballast = vec![1_u8; 256 << 20];
        let clock = ManualClock::new();
        let cache = Cache::builder()
            .max_entries(10_000)
            .time_to_live(Duration::from_secs(10))
            .clock(clock.clone())
            .reaper(Reaper::Manual)
            .give_back(GiveBack::with(|| panic!("called")))
            .build()
            .expect("it works");
        for key in 0..10_000 {
            cache.insert(key, key).expect("it works");
        }
        clock.advance(Duration::from_secs(10));
        assert_eq!(cache.reap(), 10_000);
        clock.advance(Duration::from_secs(60));
        assert_eq!(cache.reap(), 0);
        assert_eq!(cache.stats().given_back, Default::default());
    });
}
