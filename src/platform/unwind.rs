//! User code that may panic.

use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

/// Runs user code; tells whether it panicked, and drops what it panicked with.
///
/// The caller's own state must be whole: the closure takes all that it needs, or shares atomics.
pub(crate) fn panics(user_code: impl FnOnce()) -> bool {
    let mut outcome = catch_unwind(AssertUnwindSafe(user_code));
    let has_panicked = outcome.is_err();
    for _ in 0..MOST_PAYLOADS {
        let Err(payload) = outcome else { return has_panicked };
        outcome = catch_unwind(AssertUnwindSafe(|| drop(payload)));
    }
    core::mem::forget(outcome);
    has_panicked
}

/// A payload may panic when it is dropped, and with another such payload; somewhere it must end.
const MOST_PAYLOADS: usize = 16;
