//! Sessions that several processes share: a cache in each, and one truth behind them all.
//!
//! Each instance keeps the sessions that it has seen lately in a [`Cache`](crate::Cache) of its own, the
//! *near* one. A [`Backend`] keeps the truth: Redis or Valkey ([`redis_1`](crate::redis_1), feature
//! `redis-1`), or a database. A backend that tells what has changed, as it changes, has an *invalidation
//! stream*; the near cache is used only while that stream is proven to be whole.
//!
//! ```text
//!   load ──► near cache ── hit ─────────────────────────────► session
//!                │ miss, or the stream is not proven
//!                ▼
//!            one load a key ──► Backend ──► filled in by begin_fill ──► session
//!
//!   save, delete ──► Backend ──► near cache          Backend ──► stream ──► every near cache
//! ```
//!
//! The invariants, which tests and comments cite:
//!
//! F1. *Truth first.* A session is created, changed and ended in the backend before the near cache has it
//!     so. A write that failed, timed out or was dropped leaves no copy in the near cache.
//! F2. *Nothing late.* A copy enters the near cache only by a [`Fill`](crate::Fill) that was begun before
//!     the backend was asked. Every write here and every message of the stream supersedes the fills of its
//!     key. A load whose fill was superseded asks again, and so returns nothing older than the
//!     invalidation that it has heard.
//! F3. *Proof.* A copy is served only in the *generation* in which it was asked for, while the last proof of
//!     the stream is younger than the lease. A loss of the stream ends the generation in the same step; the
//!     next proof begins a new one. Each hit looks at both, so no thread has to run in time for it.
//! F4. *Deadlines.* A copy's deadline is what the backend said was left, less the time since it was asked.
//!     Ages and deadlines are measured by the backend's clock alone.
//! F5. *Uses.* A hit is told to the backend once an eighth of the idle time has gone since the last use that
//!     the backend knows of. So at most eight touches reach it in an idle time from each instance, and a
//!     session may end early by an eighth of it.
//! F6. *Revisions.* Every write has a [`Revision`] of its own, drawn at random. A save names the revision that
//!     it is based on and is refused if another one is stored, so no save overwrites what it has not seen.
//!     A write that is sent again finds its own revision, and is done.
//! F7. *The end is final.* Only a creation makes a session live, under a new key. A save of an ended one is
//!     refused by the backend. A key that was ended through this instance has a *tombstone* here for a
//!     minute; a load under way meanwhile returns nothing.
//! F8. *A load is shared* only with callers that were waiting before the backend was asked. A later caller
//!     may have seen a write that the load has not.
//! F9. *No call outlasts its timeout.* Waiting for a turn, for a connection and for an answer all count. After
//!     some failures in a row the breaker refuses calls at once, and lets one through to try.
//! F10. *Told as it is.* A deletion or revocation that was not confirmed is an error.
//!
//! # What is left for clusters, and for regions
//!
//! Not built; what it would take, and what stands against it.
//!
//! **A cluster of Redis.** Each node tells of its own keys alone. So an instance needs a tracked connection to each
//! primary, a proof of each, and a generation (F3) for each: a copy is served while the stream of *its* node is
//! proven. A slot that moves is a loss of the stream of the node that it leaves. A session and its principal's list
//! are changed in one step, and so must be in one slot; but a session is found by its id, which does not say whose it
//! is. Either the list is kept up in a second step, and may name what has ended or lack what was just begun until it
//! is looked at, or each session has an entry under its id that leads to the slot of its principal, and a load
//! that is not answered from the near cache asks twice.
//!
//! **Failover** replicates behind the answer. A primary that dies takes the last writes along, and among them may be
//! log-outs: such a session lives on the next primary. What stands against it today are the tombstones of the
//! instance that was asked to log out, for a minute, and `min-replicas-to-write` with a short
//! `min-replicas-max-lag`, by which a primary that has lost its replicas refuses log-outs rather than lose them.
//! `WAIT` after each log-out would make it rarer, at a way to the replica for each, and would still not be a proof.
//!
//! **Regions.** A session is at home in one region, and its users are led there; a namespace or a server for each.
//! What must reach all regions is "log out everywhere", and that is a call of each region's `revoke_all`, told as
//! failed if one of them was not reached. Servers that take writes in each region and merge them later cannot refuse a
//! save that is late, and so bring back who has logged out: they are no backend (F6, F7).
//!
//! **Many instances.** Each instance hears of every change of every session, whether it has the session or not; of
//! canaries it hears its own alone. In a simulation of a thousand instances (`tests/fleet/benches/thousand.rs`)
//! 95 saves a second are 95,000 messages a second in all, of some 3 us of processor time each, for sender,
//! way and near cache together. The instances do not notice: a hundred messages a second each. A server that sends
//! from one thread does: so a fleet of a thousand with many saves wants several servers, each with the users of
//! some. What decides how often the near cache is hit is the load balancer: 97 % if a session's requests come
//! back to one instance, 47 % if to any of three, 0.2 % if to any of a thousand.

mod backend;
mod breaker;
mod draft;
mod error;
mod flights;
mod kept;
mod key;
mod loaded;
mod merge;
mod near;
mod options;
mod principals;
mod save;
mod sessions;
mod stats;
mod tiered;
mod watcher;

pub use self::backend::{
    Backend, Created, Ended, Facts, Left, Origin, Revision, Saved, Stored, Terms, Write,
};
pub use self::draft::{Codec, Draft};
pub use self::error::{Conflict, Error, Source};
pub use self::kept::Kept;
pub use self::key::Key;
pub use self::loaded::Loaded;
pub use self::merge::merge_maps;
pub use self::options::TieredOptions;
pub use self::sessions::{TieredSession, TieredSessions};
pub use self::stats::TieredStats;
pub use self::tiered::Tiered;
pub use self::watcher::{Attempt, Watcher};
