//! The end of a session: the listener, or the destructors. And the other callback, for pressure.

use core::panic::Location;

use super::Shared;
use crate::index::Removed;
use crate::overstay::{Departure, LOOK_NS, Watch};
use crate::platform::sync::{Arc, AtomicU32, AtomicU64, Ordering};
use crate::platform::unwind;
use crate::pressure::{OnPressure, Pressure};
use crate::removal::RemovalCause;
use crate::retire::AT_ONCE;
use crate::stats::Histogram;

/// What a cache tells of each session that has left.
pub(crate) type Listener<K, V> = dyn Fn(K, V, RemovalCause) + Send + Sync;

/// What a session goes through that is not just dropped.
pub(crate) struct Detour<K, V> {
    pub(crate) listener: Option<Box<Listener<K, V>>>,
    /// Where in the user's source the listener was given.
    pub(crate) listener_place: Option<&'static Location<'static>>,
    /// Who has left and is held on.
    pub(crate) watch: Option<Arc<dyn Watch<V>>>,
}

/// Runs user code for what has left, outside every lock, and survives its panics.
pub(crate) struct Disposal<K, V> {
    detour: Option<Box<Detour<K, V>>>,
    /// How many sessions are taken apart between two looks at the clock.
    stride: AtomicU32,
    lag: Histogram,
    listener_panics: AtomicU64,
    drop_panics: AtomicU64,
    on_pressure: Option<Box<OnPressure>>,
    pressure_panics: AtomicU64,
}

impl<K, V> Disposal<K, V> {
    pub(crate) fn new(detour: Detour<K, V>, on_pressure: Option<Box<OnPressure>>) -> Self {
        let is_none = detour.listener.is_none() && detour.watch.is_none();
        Self {
            detour: (!is_none).then(|| Box::new(detour)),
            stride: AtomicU32::new(1),
            lag: Histogram::new(),
            listener_panics: AtomicU64::new(0),
            drop_panics: AtomicU64::new(0),
            on_pressure,
            pressure_panics: AtomicU64::new(0),
        }
    }

    /// Who notes what has left and is held on.
    pub(crate) fn watch(&self) -> Option<&Arc<dyn Watch<V>>> {
        self.detour.as_ref()?.watch.as_ref()
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

    /// How many sessions a drainer gets rid of between two looks at the clock, which cost as much as a
    /// quick destructor: one while listeners or destructors are slow, and up to [`AT_ONCE`] once
    /// destructors have been seen to be quick.
    pub(super) fn stride(&self) -> usize {
        // Relaxed: a figure.
        self.stride.load(Ordering::Relaxed) as usize
    }

    /// Notes how long a stride has taken.
    #[inline]
    pub(super) fn note_pace(&self, stride: usize, took_ns: u64) {
        let has_listener = self.detour.as_ref().is_some_and(|detour| detour.listener.is_some());
        let is_quick = took_ns < QUICK_NS && !has_listener;
        let next = if is_quick { (2 * stride).min(AT_ONCE) } else { 1 };
        if next != stride {
            // Relaxed: as above.
            self.stride.store(next as u32, Ordering::Relaxed);
        }
    }

    /// Hands a session to the listener, or drops it.
    pub(super) fn dispose(&self, removed: Removed<K, V>, shared: &Shared<K, V>) {
        let (cause, deadline_ns) = (removed.exit.cause(), removed.deadline_ns);
        if let Some(detour) = &self.detour {
            self.dispose_by(detour, removed, shared);
        } else {
            survive(&self.drop_panics, || drop(removed.value));
            survive(&self.drop_panics, || drop(removed.key));
        }
        if cause.is_timeout() {
            self.lag.record_ns(shared.clock.exact_ns().saturating_sub(deadline_ns));
        }
    }

    /// Hands a session to the listener, and notes whether it is held on.
    fn dispose_by(&self, detour: &Detour<K, V>, removed: Removed<K, V>, shared: &Shared<K, V>) {
        let Removed { key, mut value, exit, weight, .. } = removed;
        let Detour { listener, listener_place, watch } = detour;
        let parted = watch.as_ref().map(|watch| (watch, watch.part(&mut value, *listener_place)));
        if let Some(listener) = listener {
            survive(&self.listener_panics, || listener(key, value, exit.cause()));
        } else {
            survive(&self.drop_panics, || drop(value));
            survive(&self.drop_panics, || drop(key));
        }
        if let Some((watch, address)) = parted {
            let now_ns = shared.clock.exact_ns();
            let (cause, left_ns) = (exit.cause(), exit.left_ns(now_ns));
            if watch.leave(address, Departure { weight, cause, left_ns }) {
                shared.alarm.ring_by(now_ns.saturating_add(LOOK_NS));
            }
        }
    }
}

/// Runs user code, and counts its panic. Nothing of ours is inside: the session has been taken apart, and
/// the counters are atomic.
fn survive(panics: &AtomicU64, user_code: impl FnOnce()) {
    if unwind::panics(user_code) {
        // Relaxed: a figure.
        panics.fetch_add(1, Ordering::Relaxed);
    }
}

/// What so many sessions together take at most if their destructors are quick.
const QUICK_NS: u64 = 64_000;

#[cfg(all(test, not(any(sundown_loom, sundown_shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn slow_destructors_are_run_one_at_a_time() {
        let quick = |disposal: &Disposal<u64, u64>| {
            (0..20).for_each(|_| disposal.note_pace(disposal.stride(), 0));
            disposal.stride()
        };
        let with =
            |listener| Disposal::new(Detour { listener, listener_place: None, watch: None }, None);
        let disposal = with(None);
        assert_eq!((disposal.stride(), quick(&disposal)), (1, AT_ONCE));
        disposal.note_pace(AT_ONCE, QUICK_NS);
        assert_eq!(disposal.stride(), 1, "they have become slow");
        let disposal = with(Some(Box::new(|_, _, _| ())));
        assert_eq!(quick(&disposal), 1, "the next call of a listener may be slow");
    }
}
