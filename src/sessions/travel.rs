//! What a session takes along into another process: all but its id, of which there is a digest only.

#![allow(dead_code, reason = "for what outlives the process, which is a feature")]

use core::hash::Hash;

use super::id::{Digest, PublicId};
use super::life::{Life, Root};
use super::session::{Stored, Version};
use super::{Builder, Sessions};
use crate::builder::Builder as CacheBuilder;
use crate::lifetime::Course;
use crate::platform::sync::Arc;

/// A session on its way. Times are on the axis of the sessions' clock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Passport {
    pub(crate) public: [u8; 16],
    pub(crate) digest: [u8; 16],
    pub(crate) created_ns: u64,
    /// When the life of its principal's began.
    pub(crate) begun_ns: u64,
    pub(crate) authenticated_ns: Option<u64>,
    /// Digests of earlier ids, and when their grace ends.
    pub(crate) graced: Vec<([u8; 16], u64)>,
}

impl<P, T> Stored<P, T> {
    /// What it takes along besides its principal and its data; none if it is over.
    pub(crate) fn passport(&self) -> Option<(Passport, Option<&P>, &T)> {
        let version = &*self.version;
        let life = &version.life;
        let graced = version.graced.iter().map(|&(digest, end_ns)| (digest.bytes(), end_ns));
        let passport = Passport {
            public: life.public().bytes(),
            digest: self.digest().bytes(),
            created_ns: life.root.created_ns,
            begun_ns: life.begun_ns,
            authenticated_ns: version.authenticated_ns,
            graced: graced.collect(),
        };
        self.is_served().then(|| (passport, life.principal.as_ref(), &*version.data))
    }
}

impl<P, T> Builder<P, T> {
    /// Changes the settings that are the cache's own.
    pub(crate) fn map_cache(
        mut self,
        change: impl FnOnce(
            CacheBuilder<PublicId, Stored<P, T>>,
        ) -> CacheBuilder<PublicId, Stored<P, T>>,
    ) -> Self {
        self.cache = change(self.cache);
        self
    }
}

impl<P, T> Sessions<P, T>
where
    P: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    /// Puts a session in that was last used before now; false if it is refused.
    pub(crate) fn readmit(
        &self,
        passport: Passport,
        (principal, data): (Option<P>, T),
        course: Course,
        least_ns: u64,
    ) -> bool {
        let inner = &*self.inner;
        let public = PublicId::of_bytes(passport.public);
        let (clock, created_ns) = (inner.clock.clone(), passport.created_ns);
        let root = Arc::new(Root { public, clock, created_ns });
        let life = Life::of_key((), root, inner.hashed(principal), passport.begun_ns);
        let life = Arc::new(life);
        let graced = passport.graced.into_iter();
        let version = Version {
            life: life.clone(),
            before: None,
            graced: graced.map(|(digest, end_ns)| (Digest::of_bytes(digest), end_ns)).collect(),
            authenticated_ns: passport.authenticated_ns,
            data: Arc::new(data),
        };
        let stored = Stored::new(Digest::of_bytes(passport.digest), version);
        if !inner.cache.admits(&public, &stored) {
            return false;
        }
        let Ok(place) = inner.enter(&life) else { return false };
        if inner.cache.readmit((public, stored), course, least_ns).is_err() {
            return false;
        }
        place.keep();
        if !life.begin(None) {
            // Ended for one that came after it.
            inner.discard(&life);
        }
        true
    }
}
