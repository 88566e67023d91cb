//! Who frees what has expired, and when it wakes.
//!
//! By default one thread, the *leader*, serves all caches of the process. Each has a *seat* at it: a time
//! at which it wants attention, and a task. The leader sleeps until the earliest of these times; nothing
//! ticks. A cache may also have a leader of its own ([`Reaper::Thread`]), which is a crew of one seat.
//!
//! ```text
//!   writer ──► shard's note ──► alarm ──► seat's time ──► wake_ns ──► the leader wakes
//!              (what there is)  (a cache's clock)  (the process's clock)
//! ```
//!
//! A task runs listeners and destructors, which may be slow or stuck. So while the leader is at one and
//! the crew has other seats, a *stand-by* looks every [`POLL`](crew) whether another seat's time has
//! passed unnoticed, and if so attends to it itself; it sees to the next stand-by first. There are at most
//! [`MOST_STANDBYS`](crew), and one that has nothing to watch for a while ends.
//!
//! P1. No deadline is slept through. Whoever has something for the reaper notes it, *then* lowers the
//!     cache's alarm, *then* the seat's time, *then* `wake_ns`, each by a read-modify-write, and goes up a
//!     step only if the step below was higher: else the one who had lowered it goes up. The reaper comes
//!     down the same steps: at each it sets the time to *never* first, and *then* looks at the step below,
//!     and lowers the time again to what it finds. Either its swap follows the lowering, and it sees what
//!     was below; or precedes it, and then the one who lowers finds *never*, or something newer, and goes
//!     on.
//! P2. A wake-up that comes while the leader is awake is not lost: the thread's own token keeps it, and
//!     the next sleep returns at once to look at `wake_ns` again.
//! P3. A task is either in its seat or in the hands of one thread; both change under the crew's lock. So
//!     a cache is attended to by one thread at a time, and one that ends takes its task back before the
//!     rest of it is freed. If it ends inside a listener or a destructor while a thread is at its task,
//!     that thread frees the rest. So no thread waits for another inside user code, in no circle.

mod alarm;
mod crew;
mod process;
mod seat;
mod times;

pub(crate) use alarm::Alarm;
pub(crate) use seat::{Left, Place, Task, take_seat};

/// Who frees what has expired.
///
/// The reaper's thread inherits from the thread that starts it, which is the one that calls
/// [`build`](crate::Builder::build); under `Shared` the one that builds the first of the caches:
///
/// - the processors that it may run on, and its scheduling policy and priority (on Linux, the nice
///   value too). Under lower priority sessions are reaped late where the machine is busy, by half a second
///   with Linux's `SCHED_IDLE`: build the cache before the priority is lowered, or in a thread of normal
///   priority. No session is *served* late by it.
/// - not its signals: it blocks all but faults and the profiler's. So do the threads and, unless they
///   reset their mask, the processes that a listener or a destructor starts.
/// - not its stack; see [`reaper_stack_bytes`](crate::Builder::reaper_stack_bytes).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Reaper {
    /// One thread for all caches of the process, asleep until the next deadline; the default.
    ///
    /// It starts with the first cache and ends with the last. While it runs the listener or a destructor
    /// of one of several caches, a second thread watches the others' deadlines, and takes over those that
    /// pass by over 10 ms. So a slow or stuck listener delays its own cache only: the others' sessions are
    /// freed within 50 ms, for up to seven caches whose listeners are stuck at the same time. These
    /// threads come when they are needed and end after ten seconds in which they were not.
    #[default]
    Shared,
    /// A thread of the cache's own: for instance of higher priority than other caches', or with a larger
    /// stack.
    Thread,
    /// Only calls of [`Cache::reap`](crate::Cache::reap): for tests, for targets without threads (there
    /// the default is [`BuildError::Thread`](crate::BuildError::Thread)), and for services that have a
    /// scheduler of their own.
    Manual,
}

#[cfg(all(test, sundown_loom))]
mod loom_tests;
