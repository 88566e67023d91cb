//! Overstays: sessions that have left the cache while the application still holds a handle of them.
//!
//! A cache frees what it holds. What the application has cloned out of it, it cannot free: a feature that
//! keeps such handles and forgets them fills the memory with sessions that are long over. So a cache that
//! is [asked to](crate::Builder::track_overstays) keeps a *roll* of its sessions, and tells which have
//! left and are held on, since when, and where in the source the handles were taken.
//!
//! ```text
//!              enter              last entry leaves            last handle goes
//!   (unknown) ───────► kept ─────────────────────────► left ──────────────────────► gone
//!                       ▲ │ withdraw                    │
//!                       │ └──► (unknown, or left again) │
//!                       └────────────── enter ◄─────────┘
//! ```
//!
//! The roll knows a session by the address of its allocation, for the same session may be under two
//! keys: one whose id is rotated has left under the old id and is live under the new one. What it has of
//! each is a *trace*: a weak reference. So it changes neither when a value is dropped nor where. Of an
//! `Arc<T>` that is a [`Weak<T>`](std::sync::Weak), which keeps the allocation's memory until it is let
//! go; of a [`Tracked<T>`](Tracked) one to a record of a hundred bytes.
//!
//! O1. A session's row is in `kept`, with the number of entries that hold it, from before its insertion
//!     until the value of its last entry has been dropped or handed to the listener. Until then it is
//!     live or retired, and no overstay.
//! O2. With the last entry the row goes to `left`, if the trace still has handles *after* the cache's own
//!     is gone, or else for good. Both happen under the lock of the row's page.
//! O3. A session is an overstay if it is in `left`, not in `kept`, and its trace has handles at that
//!     moment. Nobody is told when the last handle goes: whoever asks looks at each trace. As handles
//!     come from handles, one that has none will have none.
//! O4. As long as a trace is in the roll, no other allocation has its address.
//! O5. No hold of a page's lock looks at more than [`BITE`] rows. No user code runs under it: what is let
//!     go of there is memory of values that have been dropped.
//!
//! Where a panic of the key's `Eq` ends an insertion, its row stays in `kept`: the session was never in,
//! so it is not told of as one that left. That memory comes back with the cache.

mod handle;
mod page;
mod record;
mod report;
mod roll;
mod site;
mod tracked;

pub use handle::Handle;
pub use report::{Holder, Overstays};
pub use tracked::{Tracked, WeakTracked};

#[allow(unused_imports, reason = "for what features build on a cache")]
pub(crate) use handle::sealed::Held;
pub(crate) use roll::{LOOK_NS, Roll, Watch};

use crate::removal::RemovalCause;

/// How a session left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Departure {
    pub(crate) weight: u64,
    pub(crate) cause: RemovalCause,
    pub(crate) left_ns: u64,
}

/// As many rows as one hold of a lock looks at: a few microseconds.
const BITE: usize = 128;

#[cfg(all(test, sundown_loom))]
mod loom_tests;
#[cfg(all(test, not(any(sundown_loom, sundown_shuttle))))]
mod model_tests;
#[cfg(all(test, not(any(sundown_loom, sundown_shuttle))))]
mod tests;
