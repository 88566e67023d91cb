//! The crate's threads, and what they share with the process around them.
//!
//! A thread starts with the signal mask of the thread that starts it. A service that blocks signals in
//! its first thread, so as to wait for them there, expects all threads to block them; but those of a
//! cache that was built before do not, and the kernel hands a signal to any thread that takes it. So
//! the crate's threads block every signal from their first instruction on: all of them are the
//! application's.
//!
//! A fork takes no thread along but its own: in the child nobody reaps, and what another thread was
//! about stays as it was, its locks included.

use std::io;

use crate::platform::sync::thread;

/// Starts a thread that takes no signal; its stack is the standard library's default unless told.
///
/// # Errors
///
/// The thread cannot be started.
pub(crate) fn spawn(
    name: &str,
    stack_bytes: Option<usize>,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<thread::JoinHandle<()>> {
    let mut builder = thread::Builder::new().name(name.into());
    if let Some(bytes) = stack_bytes {
        builder = builder.stack_size(bytes);
    }
    // Until the end of this call: the new thread begins with this one's mask.
    let _blocked = signals::Blocked::all_but_faults();
    builder.spawn(work)
}

/// The process that something was made in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Home(u32);

impl Home {
    pub(crate) fn here() -> Self {
        Self(process_id())
    }

    /// Whether this is another process, a fork of that one: of its threads only the one that forked
    /// exists here. A call to the system, so not for what is called often.
    pub(crate) fn is_elsewhere(self) -> bool {
        self != Self::here()
    }
}

#[cfg(unix)]
fn process_id() -> u32 {
    std::process::id()
}

/// Nothing forks.
#[cfg(not(unix))]
fn process_id() -> u32 {
    0
}

#[cfg(all(unix, not(any(sundown_loom, sundown_shuttle))))]
mod signals {
    #![allow(unsafe_code, reason = "the standard library knows no signals")]

    use core::mem::MaybeUninit;
    use core::ptr::from_ref;

    /// Signals blocked on the current thread until this is dropped.
    pub(super) struct Blocked {
        before: libc::sigset_t,
    }

    impl Blocked {
        /// All but those that the thread itself brings about, and the profiler's.
        pub(super) fn all_but_faults() -> Option<Self> {
            let mut all = MaybeUninit::<libc::sigset_t>::uninit();
            // SAFETY: it initializes the set, to which the pointer is good.
            unsafe { libc::sigfillset(all.as_mut_ptr()) };
            // SAFETY: it has been initialized.
            let mut all = unsafe { all.assume_init() };
            for signal in TAKEN {
                // SAFETY: the set is initialized and the signal exists.
                unsafe { libc::sigdelset(&mut all, signal) };
            }
            set_mask(&all).map(|before| Self { before })
        }
    }

    impl Drop for Blocked {
        fn drop(&mut self) {
            set_mask(&self.before);
        }
    }

    /// Gives what it was before; `None` if the system refuses, which it has no reason to.
    fn set_mask(mask: &libc::sigset_t) -> Option<libc::sigset_t> {
        let mut before = MaybeUninit::uninit();
        // SAFETY: the mask is initialized, and the pointers are good for the call.
        let error = unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, from_ref(mask), before.as_mut_ptr())
        };
        // SAFETY: without an error the call has written it.
        (error == 0).then(|| unsafe { before.assume_init() })
    }

    /// A blocked fault ends the process without its handler, and so without the standard library's
    /// word on a stack that overflowed. SIGPROF is no message, but asks what a thread is doing.
    const TAKEN: [libc::c_int; 7] = [
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGILL,
        libc::SIGTRAP,
        libc::SIGSYS,
        libc::SIGPROF,
    ];
}

#[cfg(not(all(unix, not(any(sundown_loom, sundown_shuttle)))))]
mod signals {
    /// There are none, or no threads of the system's.
    pub(super) struct Blocked;

    impl Blocked {
        pub(super) fn all_but_faults() -> Self {
            Self
        }
    }
}

#[cfg(all(test, target_os = "linux", not(any(sundown_loom, sundown_shuttle))))]
mod tests {
    use super::*;

    /// What the current thread blocks, as the kernel sees it: a bit for each signal, from 1.
    fn mask() -> u64 {
        let status = std::fs::read_to_string("/proc/thread-self/status").expect("Linux tells");
        let line =
            status.lines().find_map(|line| line.strip_prefix("SigBlk:")).expect("Linux tells");
        u64::from_str_radix(line.trim(), 16).expect("it is in hexadecimal")
    }

    fn has(mask: u64, signal: libc::c_int) -> bool {
        mask >> (signal - 1) & 1 == 1
    }

    #[test]
    fn a_thread_takes_no_signal_and_its_starter_those_that_it_took() {
        let before = mask();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = spawn("masked", Some(1 << 20), move || tell.send(mask()).unwrap()).unwrap();
        assert_eq!(mask(), before, "the starter's own mask is as it was");
        let its = told.recv().unwrap();
        thread.join().unwrap();
        for signal in [libc::SIGHUP, libc::SIGUSR1, libc::SIGTERM, libc::SIGCHLD, libc::SIGRTMAX()]
        {
            assert!(has(its, signal), "{signal} is not blocked in {its:x}");
        }
        for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGPROF] {
            assert!(!has(its, signal), "{signal} is blocked in {its:x}");
        }
    }

    #[test]
    fn a_thread_that_does_not_start_leaves_its_starter_the_mask() {
        let before = mask();
        // No system has this much address space for a stack.
        spawn("too large", Some(1 << 60), || ()).expect_err("it started");
        assert_eq!(mask(), before);
    }

    #[test]
    fn at_home_nothing_is_elsewhere() {
        let home = Home::here();
        assert!(!home.is_elsewhere() && Home(home.0 ^ 1).is_elsewhere());
    }
}
