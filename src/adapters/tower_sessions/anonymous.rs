//! A cap of their own for anonymous sessions, in the words of whichever version the parent imports as
//! `framework`.

use std::sync::Arc;

use super::SundownStore;
use super::framework::session::Record;
use crate::adapters::anonymous::DEFAULT_SHARE;
use crate::error::BuildError;

impl SundownStore {
    /// Lets anonymous sessions take half of the cache at most, so that no storm of visitors evicts the
    /// session of a user who is logged in.
    ///
    /// `is_anonymous` says of a record whether it belongs to a visitor who has not logged in. Anonymous
    /// sessions make room for each other: the least recently used one is evicted when their share, here
    /// half of [`max_entries`](crate::Builder::max_entries) and of
    /// [`max_weight`](crate::Builder::max_weight), is taken. So in a cache for 1,000 sessions none of up
    /// to 500 logged-in ones is evicted, whatever number of visitors comes. The caps of the cache hold
    /// for both kinds together. Logged-in sessions may take more than the rest while it is there, the
    /// least recently used session of all being evicted where the cache is full.
    ///
    /// A session counts as what it is when it is saved or loaded, so a log-in and a log-out are noticed
    /// at once, with or without a new id. All else that the store promises holds unchanged. Anonymous
    /// sessions make room for each other also in a cache that
    /// [rejects](crate::OnFull::Reject) others when it is full.
    ///
    /// Call it when the store has been made, before there are sessions. It holds for all handles of the
    /// store; a second call changes nothing. `is_anonymous` is called with each save and load, outside
    /// all locks, and should be quick.
    ///
    /// An [`on_removal`](crate::Builder::on_removal) sees the cause
    /// [`Evicted`](crate::RemovalCause::Evicted) for such an eviction; [`Stats`](crate::Stats) counts it
    /// under `removed`. An anonymous session has its key in a cache of its own as well.
    ///
    /// # Errors
    ///
    /// As [`Builder::build`](crate::Builder::build), of the cache that keeps the order of the anonymous
    /// sessions. `create` fails as for a full cache in the one case that other threads do not get to
    /// free, over thousands of tries, what anonymous sessions have evicted.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_imports!()]
    /// use std::sync::Arc;
    /// use tower_sessions::Session;
    ///
    /// # pollster::block_on(async {
    /// let store = SundownStore::new(Cache::builder().max_entries(1_000))?
    ///     .anonymous(|record| !record.data.contains_key("user"))?;
    ///
    /// let ada = Session::new(None, Arc::new(store.clone()), None);
    /// ada.insert("user", "ada").await?;
    /// ada.save().await?;
    /// for n in 0..5_000 {
    ///     let visitor = Session::new(None, Arc::new(store.clone()), None);
    ///     visitor.insert("visits", n).await?;
    ///     visitor.save().await?;
    /// }
    /// assert!(store.cache().contains_key(&ada.id().unwrap()));
    /// assert!(store.cache().len() <= 501);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn anonymous(
        self,
        is_anonymous: impl Fn(&Record) -> bool + Send + Sync + 'static,
    ) -> Result<Self, BuildError> {
        self.anonymous_up_to(DEFAULT_SHARE, is_anonymous)
    }

    /// The same with another share than half: a tenth is 0.1.
    ///
    /// At least one session can be anonymous and at least one can be logged in, whatever the share is.
    ///
    /// # Errors
    ///
    /// As [`anonymous`](Self::anonymous).
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_imports!()]
    /// // Nine tenths are kept for users who are logged in.
    /// let store = SundownStore::new(Cache::builder().max_entries(100_000))?
    ///     .anonymous_up_to(0.1, |record| !record.data.contains_key("user"))?;
    /// # Ok::<(), sundown::BuildError>(())
    /// ```
    pub fn anonymous_up_to(
        self,
        share: f64,
        is_anonymous: impl Fn(&Record) -> bool + Send + Sync + 'static,
    ) -> Result<Self, BuildError> {
        let rule = Arc::new(is_anonymous);
        match &self.behind {
            Some(behind) => self.keeper.cap_anonymous(share, rule, behind.expecting())?,
            None => self.keeper.cap_anonymous(share, rule, |_, take_out| take_out())?,
        }
        Ok(self)
    }
}
