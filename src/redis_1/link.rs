//! The connection: one incarnation after the other, and the proof that its stream is whole (R1, R2).

use core::time::Duration;

use ::redis_1::aio::MultiplexedConnection;
use ::redis_1::{
    AsyncConnectionConfig, ErrorKind, PushInfo, PushKind, RedisError, ServerErrorKind, Value, cmd,
};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::names::{Named, Names};
use super::options::RedisOptions;
use super::place::Place;
use super::script::Scripts;
use crate::fleet::{Error, Key, Revision, Watcher};
use crate::platform::clock::Clock;
use crate::platform::sync::{Arc, AtomicBool, AtomicU64, Mutex, OnceLock, Ordering, Weak};

/// What calls and the loop share.
pub(super) struct Link {
    place: Place,
    pub(super) options: RedisOptions,
    pub(super) names: Names,
    pub(super) scripts: Scripts,
    pub(super) watcher: OnceLock<Watcher>,
    current: watch::Sender<Option<Arc<Incarnation>>>,
    /// The loop is to look again: a watcher came, or the connection has failed.
    stir: Notify,
    /// The greatest number of a canary that came back.
    heard: watch::Sender<u64>,
    sent: AtomicU64,
    last_error: Mutex<Option<Error>>,
    clock: Clock,
    /// The server's time in milliseconds when our clock showed the beginning of its axis.
    epoch_millis: AtomicU64,
}

/// One connection, from its beginning to its end.
pub(super) struct Incarnation {
    connection: MultiplexedConnection,
    is_broken: AtomicBool,
}

impl Link {
    pub(super) fn new(url: &str, options: RedisOptions) -> Result<Self, RedisError> {
        let instance = Key::of(Revision::draw().as_bytes());
        Ok(Self {
            place: Place::of(url, options.sentinels.urls())?,
            names: Names::new(options.namespace.clone(), &instance),
            scripts: Scripts::new(),
            watcher: OnceLock::new(),
            current: watch::Sender::new(None),
            stir: Notify::new(),
            heard: watch::Sender::new(0),
            sent: AtomicU64::new(0),
            last_error: Mutex::new(None),
            clock: Clock::monotonic(),
            epoch_millis: AtomicU64::new(0),
            options,
        })
    }

    pub(super) fn is_connected(&self) -> bool {
        self.current.borrow().is_some()
    }

    /// Has the near cache told of changes; false if another one is.
    pub(super) fn watch(&self, watcher: Watcher) -> bool {
        let is_first = self.watcher.set(watcher).is_ok();
        self.stir.notify_one();
        is_first
    }

    /// The connection; waits a while for the next one if there is none.
    pub(super) async fn incarnation(&self) -> Result<Arc<Incarnation>, Error> {
        let mut current = self.current.subscribe();
        let live = current.wait_for(Option::is_some);
        if let Ok(Ok(found)) = timeout(self.options.connect_timeout, live).await {
            if let Some(incarnation) = &*found {
                return Ok(incarnation.clone());
            }
        }
        let last = self.last_error.lock().clone();
        Err(last.unwrap_or(Error::TimedOut(self.options.connect_timeout)))
    }

    /// A connection has failed: it is not used again.
    pub(super) fn break_up(&self, incarnation: &Arc<Incarnation>) {
        // Release: pairs with the Acquire in `attend`.
        incarnation.is_broken.store(true, Ordering::Release);
        self.current.send_if_modified(|current| {
            let is_same = current.as_ref().is_some_and(|live| Arc::ptr_eq(live, incarnation));
            if is_same {
                *current = None;
            }
            is_same
        });
        self.lose();
        self.stir.notify_one();
    }

    pub(super) fn close(&self) {
        self.current.send_replace(None);
        self.lose();
    }

    fn lose(&self) {
        if let Some(watcher) = self.watcher.get() {
            watcher.lose();
        }
    }

    /// The server's time, or a moment before it (R4).
    pub(super) fn server_millis(&self) -> u64 {
        // Relaxed: an estimate; each value stands for itself.
        self.epoch_millis.load(Ordering::Relaxed).saturating_add(self.own_millis())
    }

    /// The server has just told its time.
    pub(super) fn set_server_millis(&self, server: u64) {
        // One more, for what was cut off: the sum is never ahead of the server.
        let epoch = server.saturating_sub(self.own_millis() + 1);
        // Relaxed: as above.
        self.epoch_millis.store(epoch, Ordering::Relaxed);
    }

    fn own_millis(&self) -> u64 {
        self.clock.exact_ns() / 1_000_000
    }

    /// Reads a message of the stream, before anything that comes after it (R1).
    fn hear(&self, message: PushInfo) {
        match message.kind {
            PushKind::Invalidate => match message.data.as_slice() {
                [Value::Array(names)] => names.iter().for_each(|name| self.hear_of(name)),
                // After FLUSHALL, FLUSHDB and the like.
                _ => self.watcher.get().into_iter().for_each(Watcher::flush),
            },
            PushKind::Disconnection => {
                self.lose();
                self.stir.notify_one();
            }
            _ => {}
        }
    }

    fn hear_of(&self, name: &Value) {
        let Value::BulkString(name) = name else { return };
        match self.names.parse(name) {
            Named::Session(key) => {
                self.watcher.get().into_iter().for_each(|watcher| watcher.invalidate(&key));
            }
            Named::Canary(number) => {
                self.heard.send_if_modified(|heard| {
                    let is_later = number > *heard;
                    *heard = number.max(*heard);
                    is_later
                });
            }
            Named::Other => {}
        }
    }

    /// Proves that the stream is whole (R2); false if it is not.
    async fn prove(&self, incarnation: &Incarnation) -> Result<bool, RedisError> {
        let attempt = self.watcher.get().map(Watcher::attempt);
        // Relaxed: only the loop sends canaries.
        let number = self.sent.fetch_add(1, Ordering::Relaxed) + 1;
        let mut invocation = self.scripts.canary.prepare_invoke();
        invocation.key(self.names.canary(number)).arg(&self.names.namespace).arg(0);
        let server: u64 = invocation.invoke_async(&mut incarnation.connection()).await?;
        self.set_server_millis(server);
        let Some(attempt) = attempt else { return Ok(false) };
        let mut heard = self.heard.subscribe();
        let came = timeout(self.options.heartbeat, heard.wait_for(|&heard| heard >= number)).await;
        Ok(came.is_ok() && attempt.prove())
    }

    /// Keeps an incarnation proven until it is lost; true if it ever was.
    async fn attend(&self, incarnation: &Arc<Incarnation>) -> bool {
        let mut is_tracking = false;
        let mut was_proven = false;
        // Acquire: pairs with the Release in `break_up`.
        while !incarnation.is_broken.load(Ordering::Acquire) {
            let step = async {
                if !is_tracking && self.watcher.get().is_some() {
                    is_tracking = incarnation.track(self.names.tracked()).await?;
                }
                self.prove(incarnation).await
            };
            // Twice: a canary's way there, and its wait for the message.
            match timeout(self.options.heartbeat * 2, step).await {
                Ok(Ok(true)) => was_proven = true,
                Ok(Ok(false)) => self.lose(),
                Ok(Err(error)) if !is_fatal(&error) => self.lose(),
                Ok(Err(error)) => {
                    self.note_error(outage(&error));
                    return was_proven;
                }
                Err(_) => {
                    self.note_error(Error::TimedOut(self.options.heartbeat * 2));
                    return was_proven;
                }
            }
            let _stirred = timeout(self.options.heartbeat, self.stir.notified()).await;
        }
        was_proven
    }

    fn note_error(&self, error: Error) {
        *self.last_error.lock() = Some(error);
    }
}

/// Connects again whenever the connection is lost, for ever.
pub(super) async fn keep(link: Arc<Link>, first: Incarnation) {
    let (shortest, longest) = link.options.backoff;
    let mut pause = shortest;
    let mut next = Some(first);
    loop {
        let opened = match next.take() {
            Some(first) => Ok(first),
            None => Incarnation::open(&link).await,
        };
        match opened {
            Ok(incarnation) => {
                let incarnation = Arc::new(incarnation);
                link.current.send_replace(Some(incarnation.clone()));
                if link.attend(&incarnation).await {
                    pause = shortest;
                }
                link.break_up(&incarnation);
            }
            Err(error) => link.note_error(outage(&error)),
        }
        sleep(jittered(pause)).await;
        pause = (pause * 2).min(longest);
    }
}

impl Incarnation {
    /// Connects, and tells the link of what the server pushes.
    pub(super) async fn open(link: &Arc<Link>) -> Result<Self, RedisError> {
        let listener: Weak<Link> = Arc::downgrade(link);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(link.options.connect_timeout))
            .set_response_timeout(None)
            .set_push_sender(move |message: PushInfo| {
                if let Some(link) = listener.upgrade() {
                    link.hear(message);
                }
                Ok::<(), ()>(())
            });
        let client = link.place.client(link.options.connect_timeout).await?;
        let opening = async {
            let opened = client.get_multiplexed_async_connection_with_config(&config);
            let mut connection = opened.await?;
            let (seconds, micros): (u64, u64) = cmd("TIME").query_async(&mut connection).await?;
            link.set_server_millis(seconds * 1_000 + micros / 1_000);
            Ok(Self { connection, is_broken: AtomicBool::new(false) })
        };
        // The greeting and the answer to TIME are waited for as well.
        match timeout(link.options.connect_timeout * 2, opening).await {
            Ok(opened) => opened,
            Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
        }
    }

    pub(super) fn connection(&self) -> MultiplexedConnection {
        self.connection.clone()
    }

    async fn track(&self, prefixes: [&str; 2]) -> Result<bool, RedisError> {
        let mut tracking = cmd("CLIENT");
        tracking.arg("TRACKING").arg("ON").arg("BCAST");
        for prefix in prefixes {
            tracking.arg("PREFIX").arg(prefix);
        }
        tracking.query_async::<()>(&mut self.connection()).await?;
        Ok(true)
    }
}

/// Whether the connection is of no more use, as opposed to a call that was refused.
pub(super) fn is_fatal(error: &RedisError) -> bool {
    let is_lost =
        error.is_unrecoverable_error() || error.is_io_error() || error.is_connection_dropped();
    is_lost || is_read_only(error)
}

/// The server has become a replica (R7).
fn is_read_only(error: &RedisError) -> bool {
    // Redis 6 tells it within an error of the script.
    error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
        || error.detail().is_some_and(|detail| detail.contains("READONLY"))
}

pub(super) fn outage(error: &RedisError) -> Error {
    Error::Unavailable(Arc::new(error.clone()))
}

/// Up to half of it shorter, so that instances do not all come back in the same moment.
fn jittered(pause: Duration) -> Duration {
    let random = u32::from(Revision::draw().as_bytes()[0]);
    pause - pause * random / 512
}
