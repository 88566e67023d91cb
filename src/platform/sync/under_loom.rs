//! loom: every interleaving and every ordering that the memory model allows, of small models.

pub(crate) use loom::sync::MutexGuard;
pub(crate) use loom::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};
// Handles are counted by the standard library; what loom must see is what they guard.
pub(crate) use loom::thread;
pub(crate) use std::sync::{Arc, Weak};

/// loom's mutex behind the face of `parking_lot`'s.
#[derive(Debug)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().expect("no model panics under a lock")
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock().ok()
    }
}

/// loom has no time: only a wake-up ends a sleep.
pub(crate) fn park(_timeout: Option<core::time::Duration>) {
    thread::park();
}

/// loom has no time: others get on when they are let.
pub(crate) fn nap() {
    thread::yield_now();
}

/// loom has no time: every holder is waited for.
pub(crate) fn lock_within<T>(
    mutex: &Mutex<T>,
    _patience: core::time::Duration,
) -> Option<MutexGuard<'_, T>> {
    Some(mutex.lock())
}

loom::lazy_static! {
    static ref DOMAIN: super::Domain = super::Domain::new();
}

pub(super) fn domain() -> &'static super::Domain {
    &DOMAIN
}

loom::thread_local! {
    static MEMBER: super::Member = super::Member::join();
}

pub(super) fn with_member<R>(f: impl FnOnce(&super::Member) -> R) -> Option<R> {
    Some(MEMBER.with(f))
}
