//! What a cache does to the process that it lives in: signals. Each test
//! runs in a process of its own, on its main thread, with no other test beside it.
//!
//! The bounds are generous: the machine may be busy.

#![cfg(all(target_os = "linux", not(any(sundown_loom, sundown_shuttle))))]
#![allow(unsafe_code, reason = "signals have no safe face")]

use std::process::Command;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;
use sundown::{Cache, GiveBack};

type Sessions = Cache<u64, Arc<u64>>;

const HOUR: Duration = Duration::from_secs(3_600);
/// How long anything may take that takes no time.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `test` as the main thread of a process of its own.
fn in_a_process_of_its_own(name: &str, test: impl FnOnce()) {
    const CHILD: &str = "SUNDOWN_PROCESS_TEST";
    if std::env::var_os("ASAN_OPTIONS").is_some() {
        println!("skipped: AddressSanitizer takes some signals itself");
    } else if std::env::var(CHILD).as_deref() == Ok(name) {
        test();
    } else {
        // With one test thread the harness starts none, and the test has the main one.
        let child = Command::new(std::env::current_exe().unwrap())
            .args([name, "--exact", "--test-threads=1", "--nocapture"])
            .env(CHILD, name)
            .output()
            .unwrap();
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
        let process = i32::try_from(std::process::id()).unwrap();
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

/// A service builds its cache, then has its main thread block the signals that it wants to wait for.
#[test]
fn a_signal_that_main_blocks_after_the_build_is_left_to_main() {
    let name = "a_signal_that_main_blocks_after_the_build_is_left_to_main";
    in_a_process_of_its_own(name, || {
        let cache = Sessions::builder().max_entries(10).time_to_live(HOUR).build().unwrap();
        cache.insert(1, Arc::new(1)).unwrap();
        let wanted = [libc::SIGUSR1, libc::SIGTERM];
        for signal in wanted {
            assert!(!signals::is_blocked(signal), "the builder's own mask is as it was");
        }
        signals::block(&wanted);
        for signal in wanted {
            signals::raise_for_the_process(signal);
            assert_eq!(signals::wait_for(&wanted, PATIENCE), Some(signal));
        }
        assert!(cache.get(&1).is_some());
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
