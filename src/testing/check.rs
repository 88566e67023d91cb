//! The check itself.

use core::fmt;
use core::time::Duration;
use std::time::Instant;

use super::leaks::Leaks;
use super::subject::{Checked, Suspect};
use super::waiting::{AllFreed, Outcome};
use crate::platform::sync::Arc;
use crate::platform::thread;

/// Sees at the end of a test whether everything of a cache has been freed.
///
/// It keeps nothing alive, and a cache that has been dropped can still be checked: whoever holds its
/// sessions is told all the same. It waits by the machine's clock, whatever the cache's is. Where
/// [no thread reaps](crate::Reaper::Manual), it calls [`reap`](crate::Cache::reap) meanwhile.
///
/// # Examples
///
/// See the [module](super).
#[derive(Clone)]
pub struct LeakCheck {
    suspect: Arc<dyn Suspect>,
}

impl LeakCheck {
    /// A check of this cache.
    #[must_use]
    pub fn of(checked: &impl Checked) -> Self {
        Self { suspect: checked.suspect() }
    }

    /// Waits until everything is freed.
    ///
    /// For tests without a runtime, or inside `spawn_blocking`; a task of a runtime with one thread would
    /// wait for handles that other tasks hold.
    ///
    /// # Panics
    ///
    /// If something is left after `within`, with the report of [`Leaks`].
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = sundown::Cache::builder().max_entries(10).build()?;
    /// let check = sundown::testing::LeakCheck::of(&cache);
    /// cache.insert("id", 7)?;
    /// drop(cache);
    /// check.assert_all_freed(std::time::Duration::from_secs(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn assert_all_freed(&self, within: Duration) {
        if let Err(leaks) = self.freed_within(within) {
            panic!("{leaks}");
        }
    }

    /// Waits until everything is freed, and tells what is not.
    ///
    /// # Errors
    ///
    /// What is left after `within`.
    pub fn freed_within(&self, within: Duration) -> Result<(), Leaks> {
        let outcome = Outcome::default();
        self.begin(within, &outcome);
        outcome.wait()
    }

    /// The same as a future, for any runtime: a thread of its own waits.
    ///
    /// It begins with the first poll. `check.all_freed_within(d).await.unwrap()` fails with the report.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = sundown::Cache::builder().max_entries(10).build()?;
    /// let check = sundown::testing::LeakCheck::of(&cache);
    /// cache.insert("id", 7)?;
    /// cache.clear();
    /// pollster::block_on(check.all_freed_within(std::time::Duration::from_secs(1)))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn all_freed_within(&self, within: Duration) -> AllFreed {
        AllFreed::of(self.clone(), within)
    }

    /// Looks, on a thread of its own, until everything is freed or the time is up. Another one reaps: if
    /// a listener gets it stuck, this one tells.
    pub(super) fn begin(&self, within: Duration, outcome: &Outcome) {
        let (suspect, told) = (self.suspect.clone(), outcome.clone());
        let work = move || {
            let start = Instant::now();
            let is_over = move || start.elapsed() >= within;
            let reaper = suspect.clone();
            let reaps = thread::spawn(REAPER_NAME, None, move || {
                while !is_over() && reaper.look().is_some() {
                    reaper.reap();
                    std::thread::sleep(PERIOD);
                }
            });
            drop(reaps);
            let found = loop {
                let found = suspect.look();
                if found.is_none() || is_over() {
                    break found;
                }
                std::thread::sleep(PERIOD);
            };
            told.tell(found.map_or(Ok(()), Err));
        };
        if let Err(error) = thread::spawn(THREAD_NAME, None, work) {
            panic!("the check's thread does not start: {error}");
        }
    }
}

impl fmt::Debug for LeakCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeakCheck { .. }")
    }
}

/// How often it looks.
const PERIOD: Duration = Duration::from_millis(2);
const THREAD_NAME: &str = "sundown-check";
const REAPER_NAME: &str = "sundown-check-reaper";
