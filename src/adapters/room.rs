//! A session that changes its id keeps its room, or itself.
//!
//! Frameworks give a session a new id by deleting it and creating it anew, which may be as late as
//! with the response. In a cache that rejects when it is full, another session may have taken the
//! room by then; and what the request has put in may have become too heavy. The session would be
//! lost, and its user logged out, by logging in.
//!
//! So where that can happen, what was deleted is *set aside* for [`GRACE`]: its room counts as taken,
//! and where the new session is refused, the old one is put back. A log-out looks the same, so its
//! room, too, is free only when the grace is over, or when its user has logged in again.
//!
//! A creation looks whether there is room beside what is set aside, puts its session in, looks again,
//! and takes it out again if two have taken one room. A rotation that finds the cache full meanwhile
//! tries again.

use core::hash::Hash;
use core::time::Duration;
use std::sync::Arc;

use crate::builder::{Builder, Weigher};
use crate::cache::Cache;
use crate::error::BuildError;
use crate::lifetime::{Expiry, Lifetime};
use crate::memory::GiveBack;
use crate::removal::OnFull;

/// Sessions that were deleted a moment ago.
pub(super) struct SetAside<K, V> {
    sessions: Cache<K, Aside<V>>,
    /// Whether their room counts as taken: where nothing else makes room.
    keeps_room: bool,
    /// The caps of the cache that they were in.
    most_entries: Option<usize>,
    most_weight: Option<u64>,
}

struct Aside<V> {
    session: V,
    left: Option<Duration>,
}

impl<K, V> SetAside<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Sessions are set aside where the cache that is to be built may refuse them later.
    pub(super) fn of(
        builder: Builder<K, V>,
    ) -> Result<(Builder<K, V>, Option<Self>), BuildError> {
        let keeps_room = builder.on_full == OnFull::Reject;
        if !keeps_room && builder.max_weight.is_none() {
            return Ok((builder, None));
        }
        let mut builder = builder;
        let mut aside = Cache::builder()
            .max_entries(builder.max_entries.unwrap_or(MOST_ASIDE))
            .time_to_live(GRACE)
            .clock(builder.clock.clone())
            .reaper(builder.reaper)
            .give_back(GiveBack::Never);
        if let Some(max_weight) = builder.max_weight {
            let share = (max_weight / 4).max(max_weight.min(SMALL_WEIGHT));
            aside = aside.max_weight(if keeps_room { max_weight } else { share });
        }
        if let Some(weigher) = builder.weigher.take() {
            let weigher: Arc<Weigher<K, V>> = Arc::from(weigher);
            let same = weigher.clone();
            builder.weigher = Some(Box::new(move |key, session| same(key, session)));
            aside = aside.weigher(move |key, aside: &Aside<V>| weigher(key, &aside.session));
        }
        if builder.counts_overhead {
            aside = aside.count_overhead();
        }
        let (most_entries, most_weight) = (builder.max_entries, builder.max_weight);
        let aside = Self { sessions: aside.build()?, keeps_room, most_entries, most_weight };
        Ok((builder, Some(aside)))
    }

    /// Sets a session aside that is about to be deleted and would have so long to live.
    pub(super) fn put(&self, key: &K, session: &V, left: Option<Expiry>) {
        let left = match left {
            Some(Expiry::In(left)) => Some(left),
            Some(Expiry::Never) => None,
            // Its time is up.
            None => return,
        };
        let _refused = self.sessions.insert(key.clone(), Aside { session: session.clone(), left });
    }

    /// Whether this session's room is kept.
    pub(super) fn has(&self, key: &K) -> bool {
        self.sessions.contains_key(key)
    }

    /// Gives a session's room up.
    pub(super) fn give_up(&self, key: &K) {
        self.sessions.discard(key);
    }

    /// Puts a session back into its cache, if `is_wanted`; true if it is live again.
    pub(super) fn put_back(
        &self,
        key: &K,
        cache: &Cache<K, V>,
        is_wanted: impl FnOnce(&V) -> bool,
    ) -> bool {
        let found = self.sessions.read(key, |aside| {
            is_wanted(&aside.session).then(|| (aside.session.clone(), aside.left))
        });
        let Some(Some((session, left))) = found else { return false };
        let lifetime = match left {
            Some(left) => Lifetime::default().live(left),
            None => Lifetime::default(),
        };
        let is_back = cache.insert_if_absent(key.clone(), session, lifetime).is_ok();
        self.give_up(key);
        is_back
    }

    /// Whether a cache has room for `more` sessions beside what is set aside.
    pub(super) fn leaves_room_in(&self, cache: &Cache<K, V>, more: usize) -> bool {
        if !self.keeps_room || self.sessions.is_empty() {
            return true;
        }
        let has_room = || {
            let entries = cache.len() + self.sessions.len() + more;
            let weight = cache.weight().saturating_add(self.sessions.weight());
            self.most_entries.is_none_or(|most| entries <= most)
                && self.most_weight.is_none_or(|most| weight.saturating_add(more as u64) <= most)
        };
        if has_room() {
            return true;
        }
        self.sessions.reap();
        has_room()
    }

    /// Frees what is over by now.
    #[cfg(any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15"))]
    pub(super) fn reap(&self) {
        self.sessions.reap();
    }
}

/// How long a deleted session's room is kept: longer than the rest of most requests takes, and short
/// enough that the room of a log-out is not missed.
const GRACE: Duration = Duration::from_secs(10);

/// Of a cache that limits weight alone: so many log-outs in 10 s are a storm, in which rotations may
/// lose their room again.
const MOST_ASIDE: usize = 65_536;

/// Where there is always room, what is set aside comes on top of the cap: a quarter at most, unless
/// the cap is small.
const SMALL_WEIGHT: u64 = 1 << 20;
