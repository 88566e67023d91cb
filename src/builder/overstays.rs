//! Whether the cache keeps an eye on who has left and is held on.

use core::time::Duration;

use super::{Builder, Weigher};
use crate::overstay::{Handle, Roll, Watch};
use crate::platform::clock::nanos;
use crate::platform::sync::Arc;

impl<K, V: Handle, S> Builder<K, V, S> {
    /// Has the cache notice *overstays*: sessions that left it, for whatever cause, and that the
    /// application still holds a handle of, from this long after they left.
    ///
    /// Sessions are kept as [`Arc`], and the cache tells how many there are, their weight
    /// and the oldest; or as [`Tracked`](crate::Tracked), and it also tells the lines of the source
    /// that took the handles. [`Stats::overstays`](crate::Stats::overstays) has the figures,
    /// [`Cache::overstays`](crate::Cache::overstays) the lines. A session that the same cache holds under
    /// another key has not left, nor has one that was put in again. A weak handle is none.
    ///
    /// `after` should be longer than the longest request. Zero counts from the moment at which the
    /// session leaves, and with `after` beyond the clock's end, 146 years, nothing is ever counted. Times
    /// are the [clock's](Self::clock), to the millisecond; a session that has been
    /// [retired](crate::Stats::retired) for over six days seems to have left later.
    ///
    /// When a value is dropped, and by whom, does not change. But the cache keeps a weak reference, by
    /// which `Arc::get_mut` tells that the handle is not the only one. And of an `Arc` that the application
    /// has held on, it keeps the memory, not the value, from the last handle's end until it looks: at the
    /// next `overstays()` or `stats()`, or when the reaper comes by, once a second for up to 8,192 such
    /// sessions. Of a `Tracked` that is a hundred bytes.
    ///
    /// # Cost
    ///
    /// A cache that does not ask for it pays nothing. One that does pays, for each session, a row of some
    /// fifty bytes, and some 220 instructions at its insertion and 390 at its end, an eighth and a third
    /// more than without; a thread may wait for another one there, at one of 32 locks. Reads pay nothing
    /// but what [`Tracked`](crate::Tracked) says. `overstays()` and `stats()` look at each session that has
    /// left and is held.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::Duration;
    /// use sundown::{Cache, ManualClock, Reaper};
    ///
    /// let clock = ManualClock::new();
    /// let cache = Cache::builder().max_entries(10).clock(clock.clone()).reaper(Reaper::Manual)
    ///     .track_overstays(Duration::from_secs(60)).build()?;
    /// let session = Arc::new("ada");
    /// cache.insert("id", session.clone())?;
    /// cache.discard("id");
    /// cache.reap();
    /// clock.advance(Duration::from_secs(60));
    /// assert_eq!(cache.stats().overstays.count, 1);
    /// drop(session);
    /// assert_eq!(cache.stats().overstays.count, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn track_overstays(mut self, after: Duration) -> Self {
        self.watch = Some(Arc::new(Roll::<V>::new(nanos(after))));
        self
    }
}

/// The weigher of a cache that tracks overstays, for that is what sees each value before it is put in: no
/// other cache pays for it.
pub(crate) fn with_roll<K: 'static, V: 'static>(
    weigher: Option<Box<Weigher<K, V>>>,
    watch: Arc<dyn Watch<V>>,
) -> Box<Weigher<K, V>> {
    Box::new(move |key, value| {
        // The user's first: if it panics, nothing has been entered.
        let weight = weigher.as_ref().map_or(1, |weigher| weigher(key, value));
        watch.enter(value);
        weight
    })
}
