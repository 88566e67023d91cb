//! What a cache does to the process that it lives in: signals, forks, the reaper's stack. Each test
//! runs in a process of its own, with no other test beside it.
//!
//! The bounds are generous: the machine may be busy.

#![cfg(all(target_os = "linux", not(any(sundown_loom, sundown_shuttle))))]
#![allow(unsafe_code, reason = "signals and forks have no safe face")]

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use sundown::{Cache, GiveBack, Lifetime, Reaper};

type Sessions = Cache<u64, Arc<u64>>;

const HOUR: Duration = Duration::from_secs(3_600);
/// How long anything may take that takes no time.
const PATIENCE: Duration = Duration::from_secs(20);
const CHILDREN: usize = 20;

/// Runs `test` in a process of its own, beside no thread but the harness's, which waits.
fn in_a_process_of_its_own(name: &str, test: impl FnOnce()) {
    const CHILD: &str = "SUNDOWN_PROCESS_TEST";
    if std::env::var_os("ASAN_OPTIONS").is_some() {
        println!("skipped: AddressSanitizer's own thread does not survive a fork");
    } else if std::env::var(CHILD).as_deref() == Ok(name) {
        test();
    } else {
        let child = Command::new(std::env::current_exe().expect("a test knows its program"))
            .args([name, "--exact", "--test-threads=1", "--nocapture"])
            .env(CHILD, name)
            .output()
            .expect("the program that runs can be run");
        let told = String::from_utf8_lossy(&child.stdout);
        let errors = String::from_utf8_lossy(&child.stderr);
        let is_well = child.status.success() && told.contains("1 passed");
        assert!(is_well, "{}\n{told}\n{errors}", child.status);
    }
}

mod signals {
    use std::mem::MaybeUninit;
    use std::ptr::null_mut;
    use std::time::Duration;

    /// A set of these signals.
    pub(super) fn set_of(signals: &[i32]) -> libc::sigset_t {
        let mut set = MaybeUninit::uninit();
        // SAFETY: it initializes the set that it is given.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
        for &signal in signals {
            // SAFETY: the set has been initialized.
            unsafe { libc::sigaddset(set.as_mut_ptr(), signal) };
        }
        // SAFETY: as above.
        unsafe { set.assume_init() }
    }

    /// Whether the current thread blocks a signal.
    pub(super) fn is_blocked(signal: i32) -> bool {
        let mut mask = set_of(&[]);
        // SAFETY: without a new set it only tells the old one.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut mask) };
        // SAFETY: the mask has been initialized.
        unsafe { libc::sigismember(&mask, signal) == 1 }
    }

    pub(super) fn block(signals: &[i32]) {
        let set = set_of(signals);
        // SAFETY: both sets are valid, or absent.
        assert_eq!(unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, null_mut()) }, 0);
    }

    /// Sends one to the process, whose threads the kernel chooses from.
    pub(super) fn raise_for_the_process(signal: i32) {
        let process = i32::try_from(std::process::id()).expect("it was one");
        // SAFETY: it has no preconditions.
        assert_eq!(unsafe { libc::kill(process, signal) }, 0);
    }

    /// Waits for one of them, as `sigwait` does, but not for ever.
    pub(super) fn wait_for(signals: &[i32], patience: Duration) -> Option<i32> {
        let set = set_of(signals);
        let patience = libc::timespec { tv_sec: patience.as_secs() as libc::time_t, tv_nsec: 0 };
        // SAFETY: the set and the timeout are valid, and nobody asks for details.
        let signal = unsafe { libc::sigtimedwait(&set, null_mut(), &patience) };
        (signal > 0).then_some(signal)
    }
}

/// A service builds its cache, then has its main thread block the signals that it wants to wait for. The
/// harness has a thread beside the test's, which would take them: a fork leaves it behind.
#[test]
fn a_signal_that_main_blocks_after_the_build_is_left_to_main() {
    let name = "a_signal_that_main_blocks_after_the_build_is_left_to_main";
    in_a_process_of_its_own(name, || {
        let service = fork(|| {
            let cache = Sessions::builder().max_entries(10).time_to_live(HOUR).build().unwrap();
            cache.insert(1, Arc::new(1)).unwrap();
            let wanted = [libc::SIGUSR1, libc::SIGTERM];
            for signal in wanted {
                assert!(!signals::is_blocked(signal), "the builder's own mask is as it was");
            }
            signals::block(&wanted);
            let soon = Lifetime::default().live(Duration::from_millis(1));
            cache.insert_for(2, Arc::new(2), soon).unwrap();
            while cache.stats().reaper_wakeups == 0 {
                // Its thread would take one as soon as it runs.
                thread::sleep(Duration::from_millis(1));
            }
            for signal in wanted {
                signals::raise_for_the_process(signal);
                assert_eq!(signals::wait_for(&wanted, PATIENCE), Some(signal));
            }
            assert!(cache.get(&1).is_some());
        });
        assert_eq!(ending(service), Some(Ok(0)));
    });
}

/// How many threads of the crate's there are, once there are so many or it has been waited for long.
fn threads_of_the_crate(expected: usize) -> usize {
    let begun = Instant::now();
    loop {
        let tasks = std::fs::read_dir("/proc/self/task").expect("Linux tells").flatten();
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
        let threads = names.filter(|name| name.starts_with("sundown-")).count();
        if threads == expected || begun.elapsed() > PATIENCE {
            return threads;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn all_caches_share_a_thread_from_the_first_to_the_last() {
    in_a_process_of_its_own("all_caches_share_a_thread_from_the_first_to_the_last", || {
        let build = |_| Sessions::builder().max_entries(10).time_to_live(HOUR).build().unwrap();
        let own = Sessions::builder().max_entries(10).reaper(Reaper::Thread).build().unwrap();
        for _ in 0..3 {
            assert_eq!(threads_of_the_crate(1), 1, "one that a cache has for itself");
            let caches: Vec<_> = (0..200).map(build).collect();
            for cache in &caches {
                cache.insert(1, Arc::new(1)).unwrap();
            }
            thread::sleep(Duration::from_millis(50));
            assert_eq!(threads_of_the_crate(2), 2);
            let wakeups: u64 = caches.iter().map(|cache| cache.stats().reaper_wakeups).sum();
            assert_eq!(wakeups, 0, "nothing is due");
            drop(caches);
            assert_eq!(threads_of_the_crate(1), 1, "joined when the last cache is dropped");
        }
        drop(own);
        assert_eq!(threads_of_the_crate(0), 0);
    });
}

#[test]
fn standbys_are_bounded_and_end_with_the_last_cache() {
    in_a_process_of_its_own("standbys_are_bounded_and_end_with_the_last_cache", || {
        let is_open = Arc::new(AtomicBool::new(false));
        let caches: Vec<_> = (0..20)
            .map(|_| {
                let is_open = is_open.clone();
                let wait = move |_, _, _| {
                    while !is_open.load(Ordering::SeqCst) {
                        thread::sleep(Duration::from_millis(1));
                    }
                };
                Sessions::builder().max_entries(10).on_removal(wait).build().unwrap()
            })
            .collect();
        for cache in &caches {
            cache.insert(1, Arc::new(1)).unwrap();
            assert!(cache.discard(&1));
        }
        assert_eq!(threads_of_the_crate(8), 8);
        thread::sleep(Duration::from_millis(200));
        assert_eq!(threads_of_the_crate(8), 8, "no more than these, with twenty stuck");
        is_open.store(true, Ordering::SeqCst);
        for cache in &caches {
            while cache.stats().dropped == 0 {
                thread::sleep(Duration::from_millis(1));
            }
        }
        drop(caches);
        assert_eq!(threads_of_the_crate(0), 0);
    });
}

/// The crew's record is a copy of the parent's, whose threads are not here.
#[test]
fn a_forked_child_has_a_reaper_of_its_own_for_new_caches() {
    in_a_process_of_its_own("a_forked_child_has_a_reaper_of_its_own_for_new_caches", || {
        let build = || {
            let builder = Sessions::builder().max_entries(10);
            builder.time_to_live(Duration::from_millis(20)).build().unwrap()
        };
        let parents = build();
        let child = fork(|| {
            let cache = build();
            cache.insert(1, Arc::new(1)).unwrap();
            while cache.stats().dropped == 0 {
                thread::sleep(Duration::from_millis(1));
            }
            drop(cache);
            drop(build());
            std::mem::forget(parents.clone());
        });
        assert_eq!(ending(child), Some(Ok(0)));
        drop(parents);
    });
}

#[test]
fn every_thread_of_the_crate_blocks_all_signals_but_faults() {
    let name = "every_thread_of_the_crate_blocks_all_signals_but_faults";
    in_a_process_of_its_own(name, || {
        let blocked = || {
            let asked = [libc::SIGUSR1, libc::SIGTERM, libc::SIGINT, libc::SIGCHLD, libc::SIGALRM];
            let faults = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL];
            (asked.map(signals::is_blocked), faults.map(signals::is_blocked))
        };
        // Sessions of which there would be so much resident memory that some is given back.
        let _ballast = vec![1_u8; 256 << 20];
        let (by_reaper, reaper) = mpsc::channel();
        let (by_memory, memory) = mpsc::channel();
        let cache = Cache::<u64, u64>::builder()
            .max_entries(1_000)
            .on_removal(move |_, _, _| {
                let _ = by_reaper.send((is_of("sundown-reaper"), blocked()));
            })
            .give_back(GiveBack::with(move || {
                let _ = by_memory.send((is_of("sundown-memory"), blocked()));
            }))
            .time_to_live(Duration::from_millis(20))
            .build()
            .unwrap();
        for key in 0..1_000 {
            cache.insert(key, key).unwrap();
        }
        let all_but_faults = (true, ([true; 5], [false; 4]));
        assert_eq!(reaper.recv_timeout(PATIENCE), Ok(all_but_faults));
        while !cache.is_empty() {
            thread::sleep(Duration::from_millis(1));
        }
        drop(cache);
        assert_eq!(memory.recv_timeout(PATIENCE), Ok(all_but_faults));
    });
}

fn is_of(name: &str) -> bool {
    thread::current().name() == Some(name)
}

/// Forks; the child does `work` and ends, well unless that panics.
fn fork(work: impl FnOnce()) -> libc::pid_t {
    // SAFETY: what the child does beyond that is what these tests are about; glibc's allocator
    // stands a fork among threads.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "no fork");
    if child == 0 {
        let is_well = catch_unwind(AssertUnwindSafe(work)).is_ok();
        // SAFETY: it ends the process and nothing else.
        unsafe { libc::_exit(if is_well { 0 } else { 101 }) };
    }
    child
}

/// How a child has ended: its code, its signal, or `None` if it hangs.
fn ending(child: libc::pid_t) -> Option<Result<i32, i32>> {
    let until = Instant::now() + PATIENCE;
    let mut status = 0;
    loop {
        // SAFETY: the status is ours.
        let ended = unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) };
        if ended == child {
            let is_code = libc::WIFEXITED(status);
            let code = libc::WEXITSTATUS(status);
            return Some(if is_code { Ok(code) } else { Err(libc::WTERMSIG(status)) });
        }
        if Instant::now() > until {
            // SAFETY: the child is ours and has not been waited for.
            unsafe { libc::kill(child, libc::SIGKILL) };
            // SAFETY: as above.
            unsafe { libc::waitpid(child, &mut status, 0) };
            return None;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

#[track_caller]
fn all_end_well(work: impl Fn()) {
    let endings: Vec<_> = (0..CHILDREN)
        .map(|_| {
            // Time for the threads beside, which are to be somewhere else at each fork.
            thread::sleep(Duration::from_millis(3));
            ending(fork(&work))
        })
        .collect();
    let well = endings.iter().filter(|&&ending| ending == Some(Ok(0))).count();
    assert_eq!(well, CHILDREN, "{well} of {CHILDREN} ended well: {endings:?}");
}

/// A cache of a thousand sessions that holds its values' counts up.
fn filled(token: &Arc<u64>) -> Sessions {
    let cache =
        Sessions::builder().max_entries(2_000).time_to_idle(HOUR).build().expect("it builds");
    for key in 0..1_000 {
        cache.insert(key, token.clone()).expect("it fits");
    }
    // The reaper has settled down.
    thread::sleep(Duration::from_millis(100));
    cache
}

#[test]
fn a_forked_child_of_an_idle_parent_uses_and_drops_its_cache() {
    in_a_process_of_its_own("a_forked_child_of_an_idle_parent_uses_and_drops_its_cache", || {
        let token = Arc::new(1);
        let cache = Cell::new(Some(filled(&token)));
        let is_freed = |cache: Sessions| {
            for key in 500..1_500 {
                cache.insert(key, token.clone()).unwrap();
                assert_eq!(cache.get(&key).as_deref(), Some(&1));
                assert_eq!(cache.read(&(key - 500), |value| **value), Some(1));
            }
            drop(cache);
            assert_eq!(Arc::strong_count(&token), 1, "the child has freed its copy");
        };
        all_end_well(|| is_freed(cache.take().unwrap()));
        // And one that closes first.
        all_end_well(|| {
            let cache = cache.take().unwrap();
            cache.close();
            is_barred(&cache);
            drop(cache);
            assert_eq!(Arc::strong_count(&token), 1, "closing has freed it");
        });
        // The parent's is as it was.
        let cache = cache.take().unwrap();
        assert_eq!(cache.audit().unwrap().entries, 1_000);
        drop(cache);
        assert_eq!(Arc::strong_count(&token), 1);
    });
}

fn is_barred(cache: &Sessions) {
    assert!(cache.insert(1, Arc::new(1)).is_err());
}

/// Has two threads work on a cache for as long as `meanwhile` lasts.
fn beside_threads(
    cache: &Sessions,
    work: impl Fn(&Sessions, u64) + Sync,
    meanwhile: impl FnOnce(),
) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for number in 0..2_u64 {
            let (is_over, work) = (&is_over, &work);
            scope.spawn(move || {
                let mut key = number;
                while !is_over.load(Ordering::Relaxed) {
                    key = key.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(number + 1);
                    work(cache, (key >> 33) % 2_000);
                }
            });
        }
        let outcome = catch_unwind(AssertUnwindSafe(meanwhile));
        is_over.store(true, Ordering::Relaxed);
        outcome.expect("all is well meanwhile");
    });
}

/// The last handle in the child, where the threads that borrow it do not exist.
fn taken(cache: &Sessions) -> Sessions {
    // SAFETY: in the child nobody else uses the bytes that this duplicates: its other threads do not
    // exist, and it ends without coming back to where the first copy would be dropped.
    unsafe { std::ptr::read(cache) }
}

#[test]
fn a_forked_child_of_a_reading_parent_uses_and_drops_its_cache() {
    in_a_process_of_its_own("a_forked_child_of_a_reading_parent_uses_and_drops_its_cache", || {
        let token = Arc::new(1);
        let cache = filled(&token);
        let read = |cache: &Sessions, key: u64| {
            cache.get(&key);
            cache.read(&key, |value| assert_eq!(**value, 1));
        };
        beside_threads(&cache, read, || {
            all_end_well(|| {
                let cache = taken(&cache);
                for key in 500..1_500 {
                    cache.insert(key, token.clone()).unwrap();
                    assert_eq!(cache.get(&key).as_deref(), Some(&1));
                }
                drop(cache);
            });
            all_end_well(|| taken(&cache).close());
        });
        assert_eq!(cache.audit().unwrap().entries, 1_000);
    });
}

#[test]
fn a_forked_child_of_a_writing_parent_drops_its_cache() {
    in_a_process_of_its_own("a_forked_child_of_a_writing_parent_drops_its_cache", || {
        let cache = filled(&Arc::new(1));
        let write = |cache: &Sessions, key: u64| {
            cache.insert(key, Arc::new(1)).unwrap();
            cache.discard(&(key / 2));
        };
        beside_threads(&cache, write, || {
            (0..5).for_each(|_| all_end_well(|| drop(taken(&cache))));
        });
        cache.audit().unwrap();
    });
}

/// Its destructor recurses, once for each link.
struct Chain(Option<Box<Chain>>);

impl Chain {
    fn of(links: usize) -> Self {
        (0..links).fold(Self(None), |chain, _| Self(Some(Box::new(chain))))
    }

    fn has_more(&self) -> bool {
        self.0.is_some()
    }
}

#[test]
fn a_destructor_that_recurses_has_the_stack_that_the_reaper_was_given() {
    let name = "a_destructor_that_recurses_has_the_stack_that_the_reaper_was_given";
    in_a_process_of_its_own(name, || {
        let cache = Cache::<u64, Chain>::builder()
            .max_entries(10)
            .time_to_live(Duration::from_millis(20))
            .reaper_stack_bytes(256 << 20)
            .build()
            .unwrap();
        cache.insert(1, Chain::of(80_000)).unwrap();
        assert_ne!(cache.read(&1, Chain::has_more), Some(false));
        let until = Instant::now() + PATIENCE;
        while cache.stats().dropped == 0 {
            assert!(Instant::now() < until, "it has not expired");
            thread::sleep(Duration::from_millis(5));
        }
    });
}

/// Without a reaper the memory is the last handle's to free.
#[test]
fn a_forked_child_of_a_writing_parent_drops_a_cache_without_a_reaper() {
    let name = "a_forked_child_of_a_writing_parent_drops_a_cache_without_a_reaper";
    in_a_process_of_its_own(name, || {
        let cache = Sessions::builder().max_entries(500).reaper(Reaper::Manual).build().unwrap();
        let write = |cache: &Sessions, key: u64| {
            cache.insert(key, Arc::new(1)).unwrap();
            cache.reap();
        };
        beside_threads(&cache, write, || {
            (0..5).for_each(|_| all_end_well(|| drop(taken(&cache))));
        });
        cache.audit().unwrap();
    });
}
