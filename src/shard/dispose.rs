//! The end of a session: the listener, or the destructors. And the other callback, for pressure.

use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use crate::index::Removed;
use crate::platform::clock::Clock;
use crate::platform::sync::{AtomicU64, Ordering};
use crate::pressure::{OnPressure, Pressure};
use crate::removal::RemovalCause;
use crate::retire::AT_ONCE;
use crate::stats::Histogram;

/// What a cache tells of each session that has left.
pub(crate) type Listener<K, V> = dyn Fn(K, V, RemovalCause) + Send + Sync;

/// Runs user code for what has left, outside every lock, and survives its panics.
pub(crate) struct Disposal<K, V> {
    listener: Option<Box<Listener<K, V>>>,
    lag: Histogram,
    listener_panics: AtomicU64,
    drop_panics: AtomicU64,
    on_pressure: Option<Box<OnPressure>>,
    pressure_panics: AtomicU64,
}

impl<K, V> Disposal<K, V> {
    pub(crate) fn new(
        listener: Option<Box<Listener<K, V>>>,
        on_pressure: Option<Box<OnPressure>>,
    ) -> Self {
        Self {
            listener,
            lag: Histogram::new(),
            listener_panics: AtomicU64::new(0),
            drop_panics: AtomicU64::new(0),
            on_pressure,
            pressure_panics: AtomicU64::new(0),
        }
    }

    pub(crate) fn lag(&self) -> &Histogram {
        &self.lag
    }

    /// Panics of the listener, of destructors, and of who is told of pressure.
    pub(crate) fn panics(&self) -> [u64; 3] {
        // Relaxed: figures.
        [&self.listener_panics, &self.drop_panics, &self.pressure_panics]
            .map(|panics| panics.load(Ordering::Relaxed))
    }

    /// Tells how pressure has changed.
    pub(crate) fn tell(&self, pressure: Pressure) {
        if let Some(on_pressure) = &self.on_pressure {
            survive(&self.pressure_panics, || on_pressure(pressure));
        }
    }

    /// After how many sessions a drainer looks whether it has been too long at it: listeners may be
    /// slow, and one look costs as much as a plain destructor.
    pub(super) fn stride(&self) -> usize {
        if self.listener.is_some() { 1 } else { AT_ONCE }
    }

    /// Hands a session to the listener, or drops it.
    pub(super) fn dispose(&self, removed: Removed<K, V>, clock: &Clock) {
        let Removed { key, value, cause, deadline_ns, .. } = removed;
        if let Some(listener) = &self.listener {
            survive(&self.listener_panics, || listener(key, value, cause));
        } else {
            survive(&self.drop_panics, || drop(value));
            survive(&self.drop_panics, || drop(key));
        }
        if cause.is_timeout() {
            self.lag.record_ns(clock.exact_ns().saturating_sub(deadline_ns));
        }
    }
}

/// Runs user code; counts its panic, and drops what it panicked with.
fn survive(panics: &AtomicU64, user_code: impl FnOnce()) {
    // Nothing of ours is inside: the session has been taken apart, and the counters are atomic.
    let mut outcome = catch_unwind(AssertUnwindSafe(user_code));
    if outcome.is_err() {
        // Relaxed: a figure.
        panics.fetch_add(1, Ordering::Relaxed);
    }
    for _ in 0..MOST_PAYLOADS {
        let Err(payload) = outcome else { return };
        outcome = catch_unwind(AssertUnwindSafe(|| drop(payload)));
    }
    core::mem::forget(outcome);
}

/// A payload may panic when it is dropped, and with another such payload; somewhere it must end.
const MOST_PAYLOADS: usize = 16;
