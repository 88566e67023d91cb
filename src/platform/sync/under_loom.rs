//! The same names as outside the model checker, in loom's version: where loom looks less closely
//! than these models need, it is made to.

pub(crate) use loom::sync::atomic::Ordering;
// Handles are counted by the standard library; what loom must see is what they guard.
pub(crate) use loom::thread;
pub(crate) use std::sync::{Arc, Weak};

use core::ops::{Deref, DerefMut};

/// loom's atomics, but dropping one is an access that every other one must come before, which
/// loom itself does not ask: so an entry or a table that is freed under a reader is found out.
macro_rules! watched {
    ($($name:ident $(<$pointee:ident>)? ($value:ty);)*) => {$(
        #[derive(Debug)]
        pub(crate) struct $name $(<$pointee>)? (loom::sync::atomic::$name $(<$pointee>)?);

        impl $(<$pointee>)? $name $(<$pointee>)? {
            #[track_caller]
            pub(crate) fn new(value: $value) -> Self {
                Self(loom::sync::atomic::$name::new(value))
            }
        }

        impl $(<$pointee>)? Deref for $name $(<$pointee>)? {
            type Target = loom::sync::atomic::$name $(<$pointee>)?;

            fn deref(&self) -> &Self::Target {
                &self.0
            }
        }

        impl $(<$pointee>)? Drop for $name $(<$pointee>)? {
            fn drop(&mut self) {
                if !thread::panicking() {
                    self.0.with_mut(|_| ());
                }
            }
        }
    )*};
}

watched! {
    AtomicPtr<T>(*mut T);
    AtomicU32(u32);
    AtomicU64(u64);
    AtomicUsize(usize);
}

/// loom's flag. To loom a store and a swap that did not read it have no order, and a later load
/// may see either; but nothing comes between what a swap reads and what it writes, so the store
/// that it did not read came after it. A store that is a swap has its place.
#[derive(Debug)]
pub(crate) struct AtomicBool(loom::sync::atomic::AtomicBool);

impl AtomicBool {
    pub(crate) fn new(value: bool) -> Self {
        Self(loom::sync::atomic::AtomicBool::new(value))
    }

    pub(crate) fn store(&self, value: bool, order: Ordering) {
        self.0.swap(value, order);
    }
}

impl Deref for AtomicBool {
    type Target = loom::sync::atomic::AtomicBool;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Default for AtomicU64 {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Default for AtomicUsize {
    fn default() -> Self {
        Self::new(0)
    }
}

/// loom's mutex behind the face of `parking_lot`'s.
///
/// loom does not look for executions in which `try_lock` comes while the lock is held; that it
/// is held is said in an atomic beside it, so that it does.
#[derive(Debug)]
pub(crate) struct Mutex<T> {
    inner: loom::sync::Mutex<T>,
    is_held: AtomicBool,
}

pub(crate) struct MutexGuard<'a, T> {
    // First, so that it says so before the lock is given back.
    is_held: IsHeld<'a>,
    inner: loom::sync::MutexGuard<'a, T>,
}

struct IsHeld<'a>(&'a AtomicBool);

impl<'a> IsHeld<'a> {
    fn set(is_held: &'a AtomicBool) -> Self {
        // Relaxed: as in `try_lock`.
        is_held.store(true, Ordering::Relaxed);
        Self(is_held)
    }
}

impl Drop for IsHeld<'_> {
    fn drop(&mut self) {
        // Relaxed: as in `try_lock`.
        self.0.store(false, Ordering::Relaxed);
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { inner: loom::sync::Mutex::new(value), is_held: AtomicBool::new(false) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.guard(self.inner.lock().expect("no model panics under a lock"))
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        // Relaxed: the lock itself synchronizes, and where it is held, nothing does.
        if self.is_held.load(Ordering::Relaxed) {
            return None;
        }
        self.inner.try_lock().ok().map(|inner| self.guard(inner))
    }

    fn guard<'a>(&'a self, inner: loom::sync::MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        MutexGuard { is_held: IsHeld::set(&self.is_held), inner }
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

/// loom has no time: only a ring ends a wait.
#[derive(Debug)]
pub(crate) struct Bell(loom::sync::Condvar);

pub(crate) fn moment_in(_span: core::time::Duration) {}

impl Bell {
    pub(crate) fn new() -> Self {
        Self(loom::sync::Condvar::new())
    }

    pub(crate) fn wait<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        _until: (),
    ) -> (MutexGuard<'a, T>, bool) {
        let MutexGuard { is_held, inner } = guard;
        let flag = is_held.0;
        drop(is_held);
        let inner = self.0.wait(inner).expect("no model panics under a lock");
        (MutexGuard { is_held: IsHeld::set(flag), inner }, false)
    }

    pub(crate) fn ring(&self) {
        self.0.notify_all();
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
