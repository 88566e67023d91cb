//! What a cache calls: the listener, and who is told of pressure.

use core::panic::Location;

use super::Builder;
use crate::pressure::Pressure;
use crate::removal::RemovalCause;

impl<K, V, S> Builder<K, V, S> {
    /// Calls `listener` with key, value and cause of each session that leaves: exactly once, however
    /// it leaves, also when the cache is dropped.
    ///
    /// It is called outside every lock, one call at a time for any one key and in the order of that
    /// key's removals. It may call the cache, which it keeps as a [`WeakCache`](crate::WeakCache): a
    /// handle would be a cycle that keeps the cache alive. If it panics,
    /// [`Stats::listener_panics`](crate::Stats::listener_panics) counts it and the next event is
    /// delivered as usual. With a listener, a session that is removed while a closure reads it holds back
    /// the events of later sessions of the same key, and only those, until the closure ends.
    ///
    /// # Which thread calls it
    ///
    /// - The [reaper's](crate::Reaper), for most events. It is no thread of an async runtime, and has
    ///   entered none.
    /// - A thread that inserts, replaces, removes or evicts, where much garbage waits (under eviction at
    ///   full speed that is the rule): for a millisecond, or one event that takes longer. That thread may
    ///   be one of your runtime's, where blocking is not allowed.
    /// - The thread that calls [`reap`](crate::Cache::reap) or [`close`](crate::Cache::close) or drops the
    ///   last handle, for all that is left.
    ///
    /// Never a reader, and never one that calls [`clear`](crate::Cache::clear) or
    /// [`retain`](crate::Cache::retain): they leave the events to the reaper. A listener that is slower
    /// than the removals lets sessions wait in memory;
    /// [`Stats::retired`](crate::Stats::retired) tells how many, and since when.
    ///
    /// So a listener should neither block nor expect a runtime. To do more, hand the event over:
    ///
    /// ```
    /// # use sundown::Cache;
    /// # let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build()?;
    /// # runtime.block_on(async {
    /// // To a task, by a channel that never blocks its sender:
    /// let (events, mut ended) = tokio::sync::mpsc::unbounded_channel();
    /// let task = tokio::spawn(async move {
    ///     while let Some((id, cause)) = ended.recv().await {
    ///         println!("session {id} has ended: {cause:?}");
    ///     }
    /// });
    /// // Or to a task for each, by a handle of the runtime that is taken here:
    /// let runtime = tokio::runtime::Handle::current();
    /// let sessions = Cache::<u64, String>::builder()
    ///     .max_entries(1_000)
    ///     .on_removal(move |id, name, cause| {
    ///         let _ = events.send((id, cause));
    ///         runtime.spawn(async move { println!("good-bye, {name}") });
    ///     })
    ///     .build()?;
    /// sessions.insert(1, String::from("ada"))?;
    /// // Dropping the last handle waits for the listener: not on a thread that runs tasks.
    /// tokio::task::spawn_blocking(move || drop(sessions)).await?;
    /// task.await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// What the listener keeps of [`Tracked`](crate::Tracked) sessions is told with the line that calls this.
    ///
    /// A cache in a `static` is never dropped, and its listener does not hear of what is left in it at the
    /// end of the process: call [`close`](crate::Cache::close) before `main` returns.
    #[track_caller]
    pub fn on_removal(
        mut self,
        listener: impl Fn(K, V, RemovalCause) + Send + Sync + 'static,
    ) -> Self {
        self.listener = Some(Box::new(listener));
        self.listener_place = Some(Location::caller());
        self
    }

    /// Calls `callback` when the load of a cap reaches one of `levels`, shares of it in ascending
    /// order, and when it falls a twentieth below that level again: once each time.
    ///
    /// [`Pressure::LEVELS`] are 75 % and 90 %. The levels, at most eight, hold for each cap that is
    /// set. A cap whose level is under twenty sessions, or units of weight, is left by two fewer
    /// than the level, or when it is empty. What counts is room, which an insertion reserves a
    /// moment before its session is there, and gives back if it comes to nothing.
    ///
    /// It is called outside every lock, one call at a time and in the order of events: by the thread
    /// whose call passed the level, when all else that the call does is done, by one that is just
    /// telling of another, or by the reaper. So it should be quick, for instance hand over to a
    /// channel or set a flag. It may call the cache, which it keeps as a
    /// [`WeakCache`](crate::WeakCache). If it panics,
    /// [`Stats::pressure_panics`](crate::Stats::pressure_panics) counts it and the next change is told
    /// as usual. Where it lags over 64 changes behind, a rise and a fall of one level that have both
    /// passed untold cancel each other out.
    ///
    /// Reads pay nothing for it, insertions and removals a few comparisons.
    ///
    /// # Examples
    ///
    /// ```
    /// use sundown::{Cache, Direction, Pressure};
    ///
    /// let cache = Cache::builder()
    ///     .max_entries(1_000)
    ///     .on_pressure(Pressure::LEVELS, |pressure| {
    ///         if pressure.direction == Direction::Rising {
    ///             let (live, limit) = (pressure.entries, pressure.limit);
    ///             eprintln!("{live} of {limit} sessions, full in {:?}", pressure.time_to_full);
    ///         }
    ///     })
    ///     .build()?;
    /// # let _: &Cache<u8, u8> = &cache;
    /// # Ok::<(), sundown::BuildError>(())
    /// ```
    pub fn on_pressure(
        mut self,
        levels: impl IntoIterator<Item = f64>,
        callback: impl Fn(Pressure) + Send + Sync + 'static,
    ) -> Self {
        self.on_pressure = Some((levels.into_iter().collect(), Box::new(callback)));
        self
    }
}
