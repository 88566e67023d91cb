//! The machine itself: what a release build runs on.

pub(crate) use parking_lot::{Mutex, MutexGuard};
#[cfg(any(sundown_bare, not(target_has_atomic = "64")))]
pub(crate) use portable_atomic::AtomicU64;
#[cfg(not(any(sundown_bare, not(target_has_atomic = "64"))))]
pub(crate) use std::sync::atomic::AtomicU64;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};
pub(crate) use std::sync::{Arc, Weak};
pub(crate) use std::thread;

use std::sync::LazyLock;

static DOMAIN: LazyLock<super::Domain> = LazyLock::new(super::Domain::new);

pub(super) fn domain() -> &'static super::Domain {
    &DOMAIN
}

thread_local! {
    static MEMBER: super::Member = super::Member::join();
}

/// Calls `f` with the thread's membership, if it still has one: a destructor of another
/// thread-local may call the cache when the thread ends.
#[inline]
pub(super) fn with_member<R>(f: impl FnOnce(&super::Member) -> R) -> Option<R> {
    MEMBER.try_with(f).ok()
}

/// Parks the thread, for no longer than `timeout`.
pub(crate) fn park(timeout: Option<core::time::Duration>) {
    match timeout {
        Some(timeout) => thread::park_timeout(timeout),
        None => thread::park(),
    }
}

/// What wakes those who wait under a mutex for what it guards.
#[derive(Debug)]
pub(crate) struct Bell(parking_lot::Condvar);

pub(crate) type Moment = std::time::Instant;

pub(crate) fn moment_in(span: core::time::Duration) -> Moment {
    Moment::now() + span
}

impl Bell {
    pub(crate) fn new() -> Self {
        Self(parking_lot::Condvar::new())
    }

    /// Waits for a ring, without the lock; tells whether it is too late.
    pub(crate) fn wait<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        until: Moment,
    ) -> (MutexGuard<'a, T>, bool) {
        let is_late = self.0.wait_until(&mut guard, until).timed_out();
        (guard, is_late)
    }

    pub(crate) fn ring(&self) {
        self.0.notify_all();
    }
}

/// Waits a moment for others to get on.
pub(crate) fn nap() {
    thread::sleep(core::time::Duration::from_micros(200));
}
