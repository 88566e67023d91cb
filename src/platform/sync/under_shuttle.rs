//! shuttle: random interleavings of the whole cache, in as many threads as a test likes.
//!
//! A thread can be interrupted before each operation of these types. Crossbeam runs on the machine's
//! own atomics, so nobody is interrupted inside it; what would be interleavings with it is made up
//! for by interruptions before each use of a thread's membership (before it pins, above all) and
//! between the load of a pointer and its use.

pub(crate) use shuttle::sync::MutexGuard;
pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
pub(crate) use shuttle::thread;
// Handles are counted by the standard library; what shuttle must see is what they guard.
pub(crate) use std::sync::{Arc, Weak};

use core::time::Duration;

use shuttle::sync::PoisonError;

/// shuttle's pointer, with an interruption between its load and what is done with it.
#[derive(Debug)]
pub(crate) struct AtomicPtr<T>(shuttle::sync::atomic::AtomicPtr<T>);

impl<T> AtomicPtr<T> {
    pub(crate) fn new(pointer: *mut T) -> Self {
        Self(shuttle::sync::atomic::AtomicPtr::new(pointer))
    }

    pub(crate) fn load(&self, ordering: Ordering) -> *mut T {
        let pointer = self.0.load(ordering);
        let_others();
        pointer
    }

    pub(crate) fn store(&self, pointer: *mut T, ordering: Ordering) {
        self.0.store(pointer, ordering);
    }

    pub(crate) fn swap(&self, pointer: *mut T, ordering: Ordering) -> *mut T {
        self.0.swap(pointer, ordering)
    }
}

/// shuttle's mutex behind the face of `parking_lot`'s, which knows no poison.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(shuttle::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock().ok()
    }
}

/// shuttle has no time: only a ring ends a wait.
#[derive(Debug)]
pub(crate) struct Bell(shuttle::sync::Condvar);

pub(crate) fn moment_in(_span: Duration) {}

impl Bell {
    pub(crate) fn new() -> Self {
        Self(shuttle::sync::Condvar::new())
    }

    pub(crate) fn wait<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        _until: (),
    ) -> (MutexGuard<'a, T>, bool) {
        (self.0.wait(guard).unwrap_or_else(PoisonError::into_inner), false)
    }

    pub(crate) fn ring(&self) {
        self.0.notify_all();
    }
}

/// shuttle has no time: only a wake-up ends a sleep.
pub(crate) fn park(_timeout: Option<Duration>) {
    thread::park();
}

/// shuttle has no time: others get on when they are let.
pub(crate) fn nap() {
    thread::yield_now();
}

shuttle::lazy_static! {
    static ref DOMAIN: super::Domain = super::Domain::new();
}

pub(super) fn domain() -> &'static super::Domain {
    &DOMAIN
}

shuttle::thread_local! {
    static MEMBER: super::Member = super::Member::join();
}

pub(super) fn with_member<R>(f: impl FnOnce(&super::Member) -> R) -> Option<R> {
    let_others();
    MEMBER.try_with(f).ok()
}

/// Others may run here. Unlike a yield it does not ask for it, which would tell the scheduler that
/// the thread waits for something.
fn let_others() {
    thread::sleep(Duration::ZERO);
}
