//! What sessions may be kept as so that the cache can tell who holds them on.

use core::panic::Location;

use super::report::Tally;
use crate::platform::sync::{Arc, Weak};

/// A handle that counts its clones, so that a cache can tell whether some are left:
/// [`Arc`], or [`Tracked`](crate::Tracked), which also tells where they were taken.
///
/// [`Builder::track_overstays`](crate::Builder::track_overstays) asks for it. No other type can have it.
pub trait Handle: sealed::Held {}

impl<V: sealed::Held> Handle for V {}

pub(crate) mod sealed {
    use super::{Location, Tally};

    /// What the roll asks of a value.
    pub trait Held: Send + Sync + Sized + 'static {
        type Trace: Trace;

        /// A trace of the allocation; from here on it notes where handles are taken, if it can.
        fn trace(&self) -> Self::Trace;

        /// What tells the allocation from all others that exist.
        fn address(&self) -> usize;

        /// Says where this handle is from now on.
        fn move_to(&mut self, _place: &'static Location<'static>) {}
    }

    /// A weak reference to an allocation.
    pub trait Trace: Send + Sync {
        /// Whether a handle is left.
        fn is_held(&self) -> bool;

        /// Adds the places where its handles were taken, if they are known.
        fn tell(&self, _tally: &mut Tally, _stay_ns: u64) {}
    }
}

pub(crate) use sealed::{Held, Trace};

impl<T: ?Sized + Send + Sync + 'static> Held for Arc<T> {
    type Trace = Weak<T>;

    fn trace(&self) -> Weak<T> {
        Arc::downgrade(self)
    }

    fn address(&self) -> usize {
        Arc::as_ptr(self).cast::<()>().addr()
    }
}

impl<T: ?Sized + Send + Sync> Trace for Weak<T> {
    fn is_held(&self) -> bool {
        self.strong_count() > 0
    }
}
