//! Who is online: a feature beside the sessions that keeps something for each user, as many services have it.
//!
//! With `--overstay` it forgets to let go of what it has been given: `/status` then names the line.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sundown::{BuildError, Cache, Clock, Tracked};

/// How long after its end a visit may still be held.
const OVERSTAY: Duration = Duration::from_secs(10);

/// The feature that forgets keeps no more than these, so that the example does not end the machine.
const MOST_KEPT: usize = 100_000;

/// A user who is online.
pub(crate) struct Visit {
    pub(crate) user: String,
}

#[derive(Clone)]
pub(crate) struct Online {
    visits: Cache<String, Tracked<Visit>>,
    /// What the feature has forgotten, if it does.
    kept: Option<Arc<Mutex<Vec<Tracked<Visit>>>>>,
}

impl Online {
    /// For so many users, each of whom is online until it was not seen for `idle`.
    pub(crate) fn new(
        (users, idle): (usize, Duration),
        forgets: bool,
        clock: impl Into<Clock>,
    ) -> Result<Self, BuildError> {
        let visits = Cache::builder()
            .max_entries(users)
            .time_to_idle(idle)
            .track_overstays(OVERSTAY)
            .clock(clock)
            .build()?;
        Ok(Self { visits, kept: forgets.then(Arc::default) })
    }

    /// A user was seen.
    pub(crate) fn see(&self, user: &str) {
        if !self.visits.touch(user) {
            // What is refused is not shown as online.
            let _refused =
                self.visits.insert(user.into(), Tracked::new(Visit { user: user.into() }));
        }
        if let (Some(kept), Some(visit)) = (&self.kept, self.visits.get(user)) {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() < MOST_KEPT {
                kept.push(visit); // never taken out again
            }
        }
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        self.visits.for_each(|_, visit| names.push(visit.user.clone()));
        names.sort_unstable();
        names
    }

    pub(crate) fn visits(&self) -> &Cache<String, Tracked<Visit>> {
        &self.visits
    }
}
