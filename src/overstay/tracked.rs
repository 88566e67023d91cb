//! A handle that knows where it was taken.

use core::borrow::Borrow;
use core::cmp::Ordering;
use core::hash::{Hash, Hasher};
use core::ops::Deref;
use core::panic::Location;
use core::{fmt, mem};

use super::handle::Held;
use super::record::{Notes, Record, Seat};
use crate::platform::sync::{Arc, OnceLock, Weak};

/// An [`Arc`] that notes where it is cloned, so that
/// [`Cache::overstays`](crate::Cache::overstays) can tell who holds a session that has left.
///
/// It begins to note when the session is put into a cache that
/// [tracks overstays](crate::Builder::track_overstays): each handle that is taken from then on, by
/// [`get`](crate::Cache::get), [`peek`](crate::Cache::peek), [`remove`](crate::Cache::remove) or `clone`,
/// is told with the file and line of that call. Handles from before are told with the line that made
/// the session, by [`new`](Self::new). So put a session in first and take handles from the cache.
///
/// A place is that of the call, which code in between hides: the clone of an `Option` or a `Vec` of
/// handles, and what is made by `into`, are told with the standard library's line. Write
/// `|session| session.clone()` and not `Clone::clone`, and put `#[track_caller]` on functions of yours that
/// only pass handles on. Of one session up to eight places are told apart at a time.
///
/// # Cost
///
/// A handle is two words. Until the session is tracked, a clone costs an `Arc`'s and a look at a word of
/// the same cache line: 4.1 ns with its drop, an `Arc`'s 4.0. From then on it also counts at its place,
/// without a lock: 9.2 ns, and 11.6 at the eighth place (`benches/tracked.rs`, 2026-11-30). The session then
/// takes a record of about a hundred bytes. A [`WeakTracked`] counts as no handle.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use sundown::{Cache, Reaper, Tracked};
///
/// let cache = Cache::builder()
///     .max_entries(10)
///     .reaper(Reaper::Manual)
///     .track_overstays(Duration::ZERO)
///     .build()?;
/// cache.insert("id", Tracked::new("ada"))?;
/// let audit_log = vec![cache.get("id")]; // forgotten there
/// cache.discard("id");
/// cache.reap();
/// let holder = cache.overstays().holders[0];
/// assert_eq!((holder.site.file(), holder.site.line()), (file!(), line!() - 4));
/// # drop(audit_log);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Tracked<T> {
    inner: Arc<Inner<T>>,
    seat: Seat,
}

struct Inner<T> {
    /// Made when the session is first put into a cache that tracks.
    record: OnceLock<Arc<Record>>,
    made_at: &'static Location<'static>,
    value: T,
}

impl<T> Tracked<T> {
    /// A first handle of a session that is made here.
    ///
    /// # Examples
    ///
    /// ```
    /// let session = sundown::Tracked::new(String::from("ada"));
    /// assert_eq!(session.len(), 3);
    /// ```
    #[track_caller]
    pub fn new(value: T) -> Self {
        let made_at = Location::caller();
        Self {
            inner: Arc::new(Inner { record: OnceLock::new(), made_at, value }),
            seat: Seat::NONE,
        }
    }

    /// Whether both are handles of the same session, and not only of equal ones.
    ///
    /// # Examples
    ///
    /// ```
    /// use sundown::Tracked;
    /// let session = Tracked::new(7);
    /// assert!(Tracked::ptr_eq(&session, &session.clone()));
    /// assert!(!Tracked::ptr_eq(&session, &Tracked::new(7)));
    /// ```
    #[must_use]
    pub fn ptr_eq(this: &Self, other: &Self) -> bool {
        Arc::ptr_eq(&this.inner, &other.inner)
    }

    /// How many handles there are, the caches' own included.
    ///
    /// # Examples
    ///
    /// ```
    /// use sundown::Tracked;
    /// let session = Tracked::new(7);
    /// let other = session.clone();
    /// assert_eq!(Tracked::strong_count(&session), 2);
    /// # drop(other);
    /// ```
    #[must_use]
    pub fn strong_count(this: &Self) -> usize {
        Arc::strong_count(&this.inner)
    }

    /// A handle that keeps nothing alive.
    ///
    /// # Examples
    ///
    /// ```
    /// use sundown::Tracked;
    /// let session = Tracked::new(7);
    /// let weak = Tracked::downgrade(&session);
    /// assert_eq!(weak.upgrade().as_deref(), Some(&7));
    /// drop(session);
    /// assert!(weak.upgrade().is_none());
    /// ```
    #[must_use]
    pub fn downgrade(this: &Self) -> WeakTracked<T> {
        WeakTracked { inner: Arc::downgrade(&this.inner) }
    }

    /// Another handle of `inner`'s, taken at `place`.
    #[inline]
    fn taken(inner: Arc<Inner<T>>, place: &'static Location<'static>) -> Self {
        let seat = match inner.record.get() {
            Some(record) => record.take(place),
            None => Seat::NONE,
        };
        Self { inner, seat }
    }

    fn leave_seat(&mut self) {
        let seat = mem::replace(&mut self.seat, Seat::NONE);
        if let Some(record) = self.inner.record.get() {
            record.release(seat);
        }
    }
}

impl<T> Clone for Tracked<T> {
    #[inline]
    #[track_caller]
    fn clone(&self) -> Self {
        Self::taken(self.inner.clone(), Location::caller())
    }
}

impl<T> Drop for Tracked<T> {
    #[inline]
    fn drop(&mut self) {
        if self.seat != Seat::NONE {
            self.leave_seat();
        }
    }
}

impl<T> Deref for Tracked<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.inner.value
    }
}

impl<T> AsRef<T> for Tracked<T> {
    fn as_ref(&self) -> &T {
        self
    }
}

impl<T> Borrow<T> for Tracked<T> {
    fn borrow(&self) -> &T {
        self
    }
}

impl<T> From<T> for Tracked<T> {
    #[track_caller]
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: Default> Default for Tracked<T> {
    #[track_caller]
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: fmt::Debug> fmt::Debug for Tracked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: fmt::Display> fmt::Display for Tracked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: PartialEq> PartialEq for Tracked<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for Tracked<T> {}

impl<T: PartialOrd> PartialOrd for Tracked<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (**self).partial_cmp(&**other)
    }
}

impl<T: Ord> Ord for Tracked<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl<T: Hash> Hash for Tracked<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl<T: Send + Sync + 'static> Held for Tracked<T> {
    type Trace = Notes;

    fn trace(&self) -> Notes {
        let made = || {
            let handles: Weak<Inner<T>> = Arc::downgrade(&self.inner);
            Arc::new(Record::new(handles, self.inner.made_at))
        };
        Notes::of(self.inner.record.get_or_init(made))
    }

    fn address(&self) -> usize {
        self.inner.record.get().map_or(0, |record| Arc::as_ptr(record).addr())
    }

    fn move_to(&mut self, place: &'static Location<'static>) {
        self.leave_seat();
        if let Some(record) = self.inner.record.get() {
            self.seat = record.take(place);
        }
    }
}

/// A handle that keeps nothing alive; made by [`Tracked::downgrade`].
///
/// # Examples
///
/// ```
/// use sundown::{Tracked, WeakTracked};
/// let session = Tracked::new(7);
/// let weak: WeakTracked<i32> = Tracked::downgrade(&session);
/// assert!(weak.upgrade().is_some());
/// ```
pub struct WeakTracked<T> {
    inner: Weak<Inner<T>>,
}

impl<T> WeakTracked<T> {
    /// A handle that is taken here, unless the last one has gone.
    #[must_use]
    #[track_caller]
    pub fn upgrade(&self) -> Option<Tracked<T>> {
        let place = Location::caller();
        self.inner.upgrade().map(|inner| Tracked::taken(inner, place))
    }
}

impl<T> Clone for WeakTracked<T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<T> fmt::Debug for WeakTracked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(WeakTracked)")
    }
}
