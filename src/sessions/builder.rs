//! The settings of sessions: the cache's own, and what principals and ids need.

use core::fmt;
use core::hash::Hash;
use core::time::Duration;

use super::id::PublicId;
use super::life::{Life, Root};
use super::principals::Principals;
use super::session::{EndCause, Session, SessionEnd, Stored, Version};
use super::{Book, Inner, OnAuthenticate, OnLimit, Sessions};
use crate::builder::Builder as CacheBuilder;
use crate::cache::Cache;
use crate::error::BuildError;
use crate::memory::GiveBack;
use crate::platform::clock::{Clock, nanos};
use crate::platform::hasher::RandomState;
use crate::platform::sync::Arc;
use crate::pressure::Pressure;
use crate::reaper::Reaper;
use crate::removal::{OnFull, RemovalCause};

type OnEnd<P, T> = dyn Fn(SessionEnd<P, T>) + Send + Sync;
type Weigher<P, T> = dyn Fn(Option<&P>, &T) -> u64 + Send + Sync;

/// Sets up [`Sessions`]; made by [`Sessions::builder`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use sundown::sessions::{OnLimit, Sessions};
///
/// let sessions: Sessions<String, Vec<u8>> = Sessions::builder()
///     .max_entries(1_000_000)
///     .time_to_idle(Duration::from_secs(30 * 60))
///     .time_to_live(Duration::from_secs(8 * 3600))
///     .max_per_principal(3, OnLimit::RevokeOldest)
///     .rotation_grace(Duration::from_secs(10))
///     .build()?;
/// # Ok::<(), sundown::BuildError>(())
/// ```
#[must_use = "a builder does nothing until `build` is called"]
pub struct Builder<P, T> {
    pub(super) cache: CacheBuilder<PublicId, Stored<P, T>>,
    limit: Option<(usize, OnLimit)>,
    grace: Duration,
    on_authenticate: OnAuthenticate,
    on_end: Option<Box<OnEnd<P, T>>>,
    weigher: Option<Box<Weigher<P, T>>>,
    counts_overhead: bool,
}

/// Settings that are the cache's own.
macro_rules! the_caches_own {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*);)*) => {
        $(
            $(#[$doc])*
            #[doc = concat!("\n\nAs [`sundown::Builder::", stringify!($name), "`](crate::Builder::", stringify!($name), ").")]
            pub fn $name(mut self, $($argument: $type),*) -> Self {
                self.cache = self.cache.$name($($argument),*);
                self
            }
        )*
    };
}

impl<P, T> Builder<P, T> {
    pub(super) fn new() -> Self {
        Self {
            cache: CacheBuilder::new(),
            limit: None,
            grace: Duration::ZERO,
            on_authenticate: OnAuthenticate::default(),
            on_end: None,
            weigher: None,
            counts_overhead: false,
        }
    }

    the_caches_own! {
        /// Caps the number of sessions.
        max_entries(entries: usize);
        /// Caps the sum of the sessions' weights.
        max_weight(weight: u64);
        /// Ends sessions this long after their creation, or their log-in.
        time_to_live(time_to_live: Duration);
        /// Ends sessions that have not been used for this long.
        time_to_idle(time_to_idle: Duration);
        /// How far apart the moments are at which sessions are freed.
        resolution(resolution: Duration);
        /// What to do with a session for which there is no room.
        on_full(on_full: OnFull);
        /// Who frees what has expired.
        reaper(reaper: Reaper);
        /// The stack of the cache's own reaper thread.
        reaper_stack_bytes(bytes: usize);
        /// How free memory goes back to the operating system.
        give_back(give_back: GiveBack);
        /// Into how many parts, each with a lock of its own, the cache is split.
        shards(shards: usize);
    }

    /// The clock that lifetimes are measured with; as
    /// [`sundown::Builder::clock`](crate::Builder::clock).
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.cache = self.cache.clock(clock);
        self
    }

    /// Tells when the cache fills up and empties; as
    /// [`sundown::Builder::on_pressure`](crate::Builder::on_pressure).
    pub fn on_pressure(
        mut self,
        levels: impl IntoIterator<Item = f64>,
        callback: impl Fn(Pressure) + Send + Sync + 'static,
    ) -> Self {
        self.cache = self.cache.on_pressure(levels, callback);
        self
    }

    /// Allows a principal so many sessions at a time; by default any number.
    ///
    /// The limit holds at every instant, however many log in at once.
    pub fn max_per_principal(mut self, sessions: usize, on_limit: OnLimit) -> Self {
        self.limit = Some((sessions, on_limit));
        self
    }

    /// For how long a session is still found by an id that a new one has taken the place of: for requests
    /// that were sent before the answer with the new one came. By default not at all.
    ///
    /// It holds for log-ins, too: then whoever knows the visitor's id sees the user's session for as long. An id in
    /// its grace can be neither rotated nor logged in with. A revocation ends all ids of a session at once.
    pub fn rotation_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// What a log-in does to the time to live; by default it begins anew.
    pub fn on_authenticate(mut self, on_authenticate: OnAuthenticate) -> Self {
        self.on_authenticate = on_authenticate;
        self
    }

    /// Sets both lifetimes as NIST SP 800-63B-4 asks of an assurance level at most: 30 days for the first;
    /// 24 hours and an hour idle for the second; 12 hours and 15 minutes idle for the third.
    ///
    /// # Panics
    ///
    /// If there is no such level.
    pub fn assurance_level(self, level: u8) -> Self {
        let (hours, idle_minutes) = match level {
            1 => (30 * 24, None),
            2 => (24, Some(60)),
            3 => (12, Some(15)),
            _ => panic!("there are three assurance levels, and no {level}"),
        };
        let builder = self.time_to_live(Duration::from_secs(hours * 3600));
        match idle_minutes {
            Some(minutes) => builder.time_to_idle(Duration::from_secs(minutes * 60)),
            None => builder,
        }
    }
}

impl<P: Send + Sync + 'static, T: Send + Sync + 'static> Builder<P, T> {
    /// Tells which sessions have ended and are still held on by the application, as a [`Session`] or in one: how
    /// many and since when, from `after` on; as
    /// [`sundown::Builder::track_overstays`](crate::Builder::track_overstays), but for where they were taken.
    pub fn track_overstays(mut self, after: Duration) -> Self {
        self.cache = self.cache.track_overstays(after);
        self
    }

    /// Says what a session weighs, by its principal and its data; as
    /// [`sundown::Builder::weigher`](crate::Builder::weigher).
    pub fn weigher(
        mut self,
        weigher: impl Fn(Option<&P>, &T) -> u64 + Send + Sync + 'static,
    ) -> Self {
        self.weigher = Some(Box::new(weigher));
        self
    }

    /// Counts what the cache and these sessions take themselves in each session's weight, which must be in
    /// bytes: the cache's 192, and for a session the sizes of its parts and of `P`. What the principal has on the heap is for the weigher.
    ///
    /// As [`sundown::Builder::count_overhead`](crate::Builder::count_overhead).
    pub fn count_overhead(mut self) -> Self {
        self.counts_overhead = true;
        self
    }

    /// Calls `on_end` with each session that has ended, exactly once, when nobody looks it up any more.
    ///
    /// On the threads that, and as late as,
    /// [`sundown::Builder::on_removal`](crate::Builder::on_removal) says. It may call the sessions.
    pub fn on_end(mut self, on_end: impl Fn(SessionEnd<P, T>) + Send + Sync + 'static) -> Self {
        self.on_end = Some(Box::new(on_end));
        self
    }
}

impl<P, T> Builder<P, T>
where
    P: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    /// Builds the sessions' cache and starts its reaper.
    ///
    /// # Errors
    ///
    /// As [`sundown::Builder::build`](crate::Builder::build), and [`BuildError::ZeroPrincipalLimit`] and
    /// [`BuildError::OverlongGrace`].
    pub fn build(self) -> Result<Sessions<P, T>, BuildError> {
        if self.limit.is_some_and(|(sessions, _)| sessions == 0) {
            return Err(BuildError::ZeroPrincipalLimit);
        }
        let spans = self.cache.spans();
        let grace_ns = nanos(self.grace);
        if grace_ns > 0 && grace_ns >= spans.live_ns.min(spans.idle_ns) {
            return Err(BuildError::OverlongGrace(self.grace));
        }
        let principals = Arc::new(Principals::new(self.limit));
        let clock = self.cache.clock.clone();
        let (known, on_end) = (principals.clone(), self.on_end);
        let listener = move |_, stored: Stored<P, T>, cause| {
            let version = stored.version;
            if cause == RemovalCause::Replaced {
                return;
            }
            let state = known.forget(&version.life);
            if let Some(on_end) = &on_end {
                // What ended it is the life's to say, unless its time was up before its entry was removed.
                let cause = EndCause::of(cause);
                let ending = state.ending().filter(|_| !cause.is_timeout());
                on_end(end_of(version, ending.unwrap_or(cause)));
            }
        };
        let mut cache = self.cache.on_removal(listener);
        if let Some(weigher) = self.weigher {
            let own = if self.counts_overhead { own_bytes::<P, T>() } else { 0 };
            cache = cache.weigher(move |_, stored: &Stored<P, T>| {
                let version = &*stored.version;
                weigher(version.life.principal.as_ref(), &version.data).saturating_add(own)
            });
        }
        if self.counts_overhead {
            cache = cache.count_overhead();
        }
        let cache: Cache<PublicId, Stored<P, T>> = cache.build()?;
        let inner = Inner {
            cache,
            principals,
            hasher: RandomState::new(),
            clock,
            grace_ns,
            on_authenticate: self.on_authenticate,
            book: Book::default(),
        };
        Ok(Sessions { inner: Arc::new(inner) })
    }
}

/// What a version, a life and a place among the principal's take, with the allocator's headers.
fn own_bytes<P, T>() -> u64 {
    const HEADERS: usize = 4 * 24;
    const PLACE: usize = 64;
    let parts = size_of::<Version<P, T>>() + size_of::<Life<P>>() + size_of::<Root>();
    (parts + HEADERS + PLACE) as u64
}

fn end_of<P: Clone, T>(version: Arc<Version<P, T>>, cause: EndCause) -> SessionEnd<P, T> {
    let data = Session(version);
    SessionEnd { principal: data.principal().cloned(), lived: data.lived(), cause, data }
}

impl<P, T> fmt::Debug for Builder<P, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("cache", &self.cache)
            .field("limit", &self.limit)
            .field("grace", &self.grace)
            .field("on_authenticate", &self.on_authenticate)
            .finish_non_exhaustive()
    }
}
