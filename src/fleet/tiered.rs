//! The tier: what a request calls.

use core::fmt;
use core::future::Future;
use core::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::backend::{Backend, Created, Revision, Terms, Write};
use super::breaker::Breaker;
use super::draft::{Codec, Draft};
use super::error::Error;
use super::flights::Flights;
use super::key::Key;
use super::loaded::Loaded;
use super::near::{Filled, Near};
use super::options::TieredOptions;
use super::stats::{Counts, TieredStats};
use super::watcher::Watcher;
use crate::builder::Builder;
use crate::cache::Cache;
use crate::error::BuildError;
use crate::lifetime::{Lifetime, Spans};
use crate::platform::clock::NEVER_NS;
use crate::platform::sync::{Arc, AtomicU64, Ordering};

/// Sessions that several processes share: a near cache in front of a [`Backend`].
///
/// A cheap handle. It runs inside a tokio runtime with timers. Sessions are named by [`Key`]s, the hashes of
/// their ids.
///
/// # Locking
///
/// A load that the near cache answers takes no lock and awaits nothing, but for a touch eight times in an idle
/// time. Saves of one session on one instance wait for each other.
///
/// # Errors
///
/// [`Error`]; within the [timeout](TieredOptions::timeout). A call that is dropped, fails or times out leaves no
/// copy of the session in the near cache; whether the backend has done it is not known.
///
/// # Examples
///
/// ```no_run
/// # #[cfg(feature = "redis-1")]
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use sundown::Cache;
/// use sundown::fleet::{Codec, Draft, Key, Tiered, TieredOptions};
/// use sundown::redis_1::{RedisBackend, RedisOptions};
///
/// let options = RedisOptions::default().namespace("shop");
/// let redis = RedisBackend::connect("redis://127.0.0.1/", options).await?;
/// let builder = Cache::builder().max_entries(100_000).time_to_idle(Duration::from_secs(1800));
/// let sessions = Tiered::new(builder, redis, Codec::bytes(), TieredOptions::default())?;
///
/// let key = Key::of("an id with 128 random bits");
/// sessions.create(&key, Draft::new(b"basket".to_vec()).of("ada")).await?;
/// let loaded = sessions.load(&key).await?.expect("it is live");
/// sessions.save(&key, &loaded, Draft::new(b"order".to_vec())).await?;
/// sessions.revoke_all("ada").await?;
/// assert!(sessions.load(&key).await?.is_none());
/// # Ok(())
/// # }
/// ```
pub struct Tiered<V: Send + Sync + 'static> {
    inner: Arc<Inner<V>>,
}

pub(super) struct Inner<V: Send + Sync + 'static> {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) near: Arc<Near<V>>,
    pub(super) codec: Codec<V>,
    pub(super) flights: Flights<Result<Option<Loaded<V>>, Error>>,
    breaker: Breaker,
    options: TieredOptions,
    spans: Spans,
    pub(super) counts: Counts,
}

impl<V: Send + Sync + 'static> Tiered<V> {
    /// In front of `backend`, with a near cache as the builder says; its lifetimes are those of all sessions
    /// that state none.
    ///
    /// The near cache is bypassed until the backend has proven its stream, which takes a moment.
    ///
    /// # Errors
    ///
    /// As [`Builder::build`](crate::Builder::build).
    pub fn new(
        builder: Builder<Key, Loaded<V>>,
        backend: impl Backend,
        codec: Codec<V>,
        options: TieredOptions,
    ) -> Result<Self, BuildError> {
        let spans = builder.spans();
        let near = Arc::new(Near::new(builder, &options)?);
        let backend: Arc<dyn Backend> = Arc::new(backend);
        if !backend.watch(Watcher::of(near.clone())) {
            near.be_alone();
        }
        let (breaker, flights) = (Breaker::new(options.breaker), Flights::new());
        let counts = Counts::default();
        let inner = Inner { backend, near, codec, flights, breaker, options, spans, counts };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Gives a live session; a use of it.
    ///
    /// # Errors
    ///
    /// If the backend does not answer, and the near cache has no copy that may be served.
    pub async fn load(&self, key: &Key) -> Result<Option<Loaded<V>>, Error> {
        let inner = &*self.inner;
        if let Some(hit) = inner.near.hit(key) {
            if hit.claims_touch(inner.near.now_ns()) && !inner.tell_use(key).await {
                return Ok(None);
            }
            return Ok(Some(hit));
        }
        let by = inner.by();
        let outcome = inner.within(by, inner.flights.share(key, || inner.fetch(key, by))).await;
        match outcome {
            Err(error) if error.is_outage() => match inner.near.stale(key) {
                Some(copy) => {
                    count(&inner.counts.stale);
                    Ok(Some(copy))
                }
                None => Err(error),
            },
            outcome => outcome,
        }
    }

    /// Makes a session live under a key that has none: the hash of an id that was just drawn.
    ///
    /// # Errors
    ///
    /// [`Error::Taken`] if the key has a session or had one a moment ago; [`Error::LimitReached`] and
    /// [`Error::Revoked`] for a principal's session; [`Error::Overtaken`] for one that was to take another's place.
    pub async fn create(&self, key: &Key, draft: Draft<V>) -> Result<Loaded<V>, Error> {
        let inner = &*self.inner;
        let write = inner.write(&draft, Some(draft.lifetime.unwrap_or_default()))?;
        if inner.near.is_buried(key) {
            return Err(Error::Taken);
        }
        let (by, undo) = (inner.by(), inner.near.undo(key));
        let filling = inner.near.begin(key);
        match inner.ask(by, inner.backend.create(key, &write)).await? {
            Created::Done(facts, ended) => {
                ended.iter().for_each(|key| inner.near.bury(key));
                Ok(undo.settle(filling, draft.value, facts))
            }
            Created::Taken => Err(Error::Taken),
            Created::Overtaken => Err(Error::Overtaken),
            Created::LimitReached => Err(Error::LimitReached),
            Created::Revoked => Err(Error::Revoked),
        }
    }

    /// Ends a session on all instances, and what was created in its place; false if there was none. It is never
    /// served again (F7).
    ///
    /// # Errors
    ///
    /// If the backend has not confirmed it: then it may live on.
    pub async fn delete(&self, key: &Key) -> Result<bool, Error> {
        let inner = &*self.inner;
        // On an error the copy goes, and the tombstone stays away.
        let _undo = inner.near.undo(key);
        let was_live = inner.ask(inner.by(), inner.backend.delete(key)).await?;
        inner.near.bury(key);
        Ok(was_live)
    }

    /// The figures of this instance.
    #[must_use]
    pub fn stats(&self) -> TieredStats {
        let Inner { near, counts, breaker, .. } = &*self.inner;
        // Relaxed: figures.
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        TieredStats {
            l1_hits: near.cache.stats().hits,
            l2_loads: read(&counts.l2_loads),
            bypassed: read(&counts.bypassed),
            stale: read(&counts.stale),
            touches: read(&counts.touches),
            invalidations: read(&near.figures.invalidations),
            gaps: read(&near.figures.gaps),
            conflicts: read(&counts.conflicts),
            timeouts: read(&counts.timeouts),
            refused: read(&counts.refused),
            undecodable: read(&counts.undecodable),
            connected: near.is_whole(),
            breaker_open: breaker.is_open(),
            lag: Duration::from_nanos(read(&near.figures.lag_ns)),
        }
    }

    /// The near cache, to look at its [`Stats`](crate::Stats). What is removed from it is loaded again.
    #[must_use]
    pub fn cache(&self) -> &Cache<Key, Loaded<V>> {
        &self.inner.near.cache
    }

    pub(super) fn inner(&self) -> &Inner<V> {
        &self.inner
    }
}

impl<V: Send + Sync + 'static> Inner<V> {
    /// When a call that begins now must have ended.
    pub(super) fn by(&self) -> Instant {
        Instant::now() + self.options.timeout
    }

    /// Waits for a call until `by`. What it asks the backend for notices the same moment first.
    pub(super) async fn within<T>(
        &self,
        by: Instant,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        match timeout_at(by, call).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::TimedOut(self.options.timeout)),
        }
    }

    /// Asks the backend, unless the breaker is open (F9).
    pub(super) async fn ask<T>(
        &self,
        by: Instant,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.breaker.admit()?;
        let outcome = self.within(by, call).await;
        self.breaker.note(&outcome);
        match outcome {
            Err(Error::TimedOut(_)) => count(&self.counts.timeouts),
            Err(Error::Refused(_)) => count(&self.counts.refused),
            _ => {}
        }
        outcome
    }

    /// Asks the backend for a session, again if a message overtakes the answer (F2).
    async fn fetch(&self, key: &Key, by: Instant) -> Result<Option<Loaded<V>>, Error> {
        let mut latest = None;
        for _ in 0..MOST_TRIES {
            if let Some(hit) = self.near.hit(key) {
                return Ok(Some(hit));
            }
            if self.near.is_buried(key) {
                return Ok(None);
            }
            count(&self.counts.l2_loads);
            if !self.near.is_whole() {
                count(&self.counts.bypassed);
            }
            let filling = self.near.begin(key);
            let Some(stored) = self.ask(by, self.backend.load(key, true)).await? else {
                self.near.forget(key);
                return Ok(None);
            };
            let Some(value) = self.codec.decode(&stored.bytes) else {
                count(&self.counts.undecodable);
                return Ok(None);
            };
            match self.near.complete(filling, value, stored.facts) {
                Filled::Current(loaded) => return Ok(Some(loaded)),
                Filled::Superseded(loaded) => latest = Some(loaded),
            }
        }
        Ok(latest.filter(|_| !self.near.is_buried(key)))
    }

    /// Tells the backend of a use (F5); false if the session has ended there.
    async fn tell_use(&self, key: &Key) -> bool {
        count(&self.counts.touches);
        let touched = self.ask(self.by(), self.backend.touch(key)).await;
        let has_ended = matches!(touched, Ok(None));
        if has_ended {
            self.near.forget(key);
        }
        !has_ended
    }

    /// What the backend is to be told of a draft.
    pub(super) fn write(
        &self,
        draft: &Draft<V>,
        lifetime: Option<Lifetime>,
    ) -> Result<Write, Error> {
        let span = |ns| (ns != NEVER_NS).then(|| Duration::from_nanos(ns));
        let terms = lifetime.map(|lifetime| {
            let spans = lifetime.resolve(self.spans);
            Terms::of(span(spans.live_ns), span(spans.idle_ns))
        });
        Ok(Write {
            bytes: self.codec.encode(&draft.value).map_err(Error::Unencodable)?,
            revision: Revision::draw(),
            terms,
            origin: draft.origin,
            age: draft.age,
            predecessor: draft.predecessor,
            limit: self.options.limit,
        })
    }
}

impl<V: Send + Sync + 'static> Clone for Tiered<V> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<V: Send + Sync + 'static> fmt::Debug for Tiered<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tiered").field("cache", self.cache()).finish_non_exhaustive()
    }
}

pub(super) fn count(figure: &AtomicU64) {
    // Relaxed: a figure.
    figure.fetch_add(1, Ordering::Relaxed);
}

/// So many changes in a row that overtake one load are no accident.
const MOST_TRIES: usize = 8;
