//! What can be set about a server.

use core::fmt;
use core::time::Duration;

/// Settings of a [`RedisBackend`](super::RedisBackend).
///
/// All instances of a fleet must have the same namespace and the same latest arrival.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use sundown::redis_1::RedisOptions;
/// let options = RedisOptions::default().namespace("shop").heartbeat(Duration::from_millis(250));
/// # let _ = options;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct RedisOptions {
    pub(super) namespace: String,
    pub(super) heartbeat: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) latest_arrival: Duration,
    pub(super) backoff: (Duration, Duration),
    pub(super) sentinels: Urls,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            namespace: "sundown".to_owned(),
            heartbeat: Duration::from_millis(500),
            connect_timeout: Duration::from_millis(500),
            latest_arrival: Duration::from_secs(5),
            backoff: (Duration::from_millis(20), Duration::from_secs(2)),
            sentinels: Urls::default(),
        }
    }
}

impl RedisOptions {
    /// What all keys begin with, by default `sundown`.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// How far apart the proofs of the stream are, and how long one may take; by default 500 ms.
    ///
    /// So within twice this a silent connection is noticed. A proof is one small script and one message.
    pub fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.heartbeat = heartbeat;
        self
    }

    /// How long connecting may take, and how long a call waits for a connection; by default 500 ms.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// After how long a creation is refused that was held up on its way, by default 5 s.
    ///
    /// Tombstones of deleted sessions stay in the server for a second more. It must be longer than a call's
    /// timeout.
    pub fn latest_arrival(mut self, latest_arrival: Duration) -> Self {
        self.latest_arrival = latest_arrival;
        self
    }

    /// The first and the longest pause between attempts to connect, by default 20 ms and 2 s. Each is twice the
    /// one before, and up to half of it shorter at random.
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.backoff = (first, longest.max(first));
        self
    }

    /// Finds the server by way of sentinels, named by URLs such as `redis://10.0.0.1:26379`.
    ///
    /// The host in the URL that [`connect`](super::RedisBackend::connect) takes is then the name under which they
    /// watch the master, as in `redis://:password@shop/`. They are asked again whenever the connection is lost or
    /// the server has become a replica, each in its turn, each for as long as connecting may take.
    pub fn sentinels<U: Into<String>>(mut self, urls: impl IntoIterator<Item = U>) -> Self {
        self.sentinels = Urls(urls.into_iter().map(Into::into).collect());
        self
    }
}

/// URLs, which may have passwords in them and so are not printed.
#[derive(Clone, Default)]
pub(super) struct Urls(Vec<String>);

impl Urls {
    pub(super) fn urls(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Debug for Urls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of them", self.0.len())
    }
}
