//! What can be set beside the near cache itself.

use core::time::Duration;

use crate::sessions::OnLimit;

/// Settings of [`Tiered`](super::Tiered).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use sundown::fleet::TieredOptions;
/// use sundown::sessions::OnLimit;
/// let options = TieredOptions::default()
///     .timeout(Duration::from_millis(500))
///     .max_per_principal(3, OnLimit::RevokeOldest);
/// # let _ = options;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct TieredOptions {
    pub(super) timeout: Duration,
    pub(super) max_staleness: Duration,
    pub(super) lease: Duration,
    pub(super) breaker: (u32, Duration),
    pub(super) limit: Option<(usize, OnLimit)>,
}

impl Default for TieredOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(1),
            max_staleness: Duration::ZERO,
            lease: Duration::from_secs(2),
            breaker: (5, Duration::from_secs(1)),
            limit: None,
        }
    }
}

impl TieredOptions {
    /// How long a call may take in all, by default 1 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Lets the near cache serve what may be out of date by so much while the backend does not answer; by
    /// default not at all.
    ///
    /// It never serves past a deadline, nor what it knows to be changed or ended. A session that another
    /// instance has ended during the outage, or just before it, is served by this one for so long. For a backend
    /// without an invalidation stream it is how long a copy is served in any case, and without it there is no
    /// near cache.
    pub fn max_staleness(mut self, max_staleness: Duration) -> Self {
        self.max_staleness = max_staleness;
        self
    }

    /// How long a proof of the invalidation stream holds, by default 2 s.
    ///
    /// It bounds how long a near cache may serve what others have changed if messages stop without an error, as
    /// when a cable is pulled. It must be longer than the backend takes from proof to proof.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// After so many failures in a row calls are refused at once, but for one to try after each cool-down; by
    /// default after 5, for 1 s.
    pub fn breaker(mut self, failures: u32, cool_down: Duration) -> Self {
        self.breaker = (failures.max(1), cool_down);
        self
    }

    /// How many sessions a principal may have over all instances, and what happens to one more; by default as
    /// many as come.
    ///
    /// A limit of zero counts as one.
    pub fn max_per_principal(mut self, sessions: usize, on_limit: OnLimit) -> Self {
        self.limit = Some((sessions.max(1), on_limit));
        self
    }
}
