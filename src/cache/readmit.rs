//! What a session takes along into another process, and how it comes in there.

#![allow(dead_code, reason = "for what outlives the process, which is a feature")]

use std::hash::{BuildHasher, Hash};

use super::Cache;
use crate::error::Rejected;
use crate::lifetime::Course;
use crate::platform::clock::Clock;
use crate::shard::{Mode, Since};

impl<K, V, S> Cache<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    pub(crate) fn clock(&self) -> &Clock {
        &self.core.shared.clock
    }

    /// As [`for_each`](Self::for_each), with what time has made of each session.
    pub(crate) fn for_each_course(&self, mut f: impl FnMut(&K, &V, Course)) {
        self.walk(|_, _, held| f(held.key(), held.value(), held.course()));
    }

    /// Puts a session in that was last used before now, if its key has none and there is room. None that comes in so
    /// may have been used before `least_ns`. Nobody is evicted for it: whoever is in keeps its room.
    pub(crate) fn readmit(
        &self,
        (key, value): (K, V),
        course: Course,
        least_ns: u64,
    ) -> Result<(), Rejected<K, V>> {
        let since = Since { used_ns: course.used_ns, least_ns };
        self.put(key, value, course.spans(), Mode::Restored(&since))
    }
}
