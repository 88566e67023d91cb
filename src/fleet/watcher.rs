//! How a backend tells what has changed.

use core::fmt;

use super::key::Key;
use crate::platform::sync::{Arc, Weak};

/// What hears of changes; the near cache.
pub(super) trait Watched: Send + Sync {
    fn invalidate(&self, key: &Key);
    fn flush(&self);
    fn lose(&self);
    /// How many losses there were, and what time it is.
    fn mark(&self) -> (u64, u64);
    /// The stream was whole at `mark`; false if it was lost since.
    fn prove(&self, mark: (u64, u64)) -> bool;
}

/// Tells an instance's near cache what others change; given to [`Backend::watch`](super::Backend::watch).
///
/// Its calls do not wait and are to be made where a message is read, before anything that comes after it. It does
/// not keep the near cache alive.
#[derive(Clone)]
pub struct Watcher {
    near: Weak<dyn Watched>,
}

impl Watcher {
    pub(super) fn of(near: Arc<dyn Watched>) -> Self {
        Self { near: Arc::downgrade(&near) }
    }

    /// A session was changed or ended.
    pub fn invalidate(&self, key: &Key) {
        if let Some(near) = self.near.upgrade() {
            near.invalidate(key);
        }
    }

    /// All sessions were ended, or too many were changed to name them; the stream is whole.
    pub fn flush(&self) {
        if let Some(near) = self.near.upgrade() {
            near.flush();
        }
    }

    /// Messages may be missing from now on.
    pub fn lose(&self) {
        if let Some(near) = self.near.upgrade() {
            near.lose();
        }
    }

    /// Begins to prove that the stream is whole. After this the backend changes something itself and waits
    /// for the message that tells of it; then it says [`prove`](Attempt::prove). It has to do so again and
    /// again, in less than a [lease](super::TieredOptions::lease).
    pub fn attempt(&self) -> Attempt {
        let mark = self.near.upgrade().map_or((0, 0), |near| near.mark());
        Attempt { watcher: self.clone(), mark }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watcher { .. }")
    }
}

/// A proof that is under way; made by [`Watcher::attempt`].
#[derive(Debug)]
#[must_use = "nothing is proven until `prove` is called"]
pub struct Attempt {
    watcher: Watcher,
    mark: (u64, u64),
}

impl Attempt {
    /// The stream was whole when the attempt began; false, and not noted, if it was lost since.
    pub fn prove(self) -> bool {
        self.watcher.near.upgrade().is_some_and(|near| near.prove(self.mark))
    }
}
