//! An embeddable session cache: **every session is gone when its time is up, and its memory is
//! back, whether or not anyone calls the cache again.**
//!
//! Expired sessions that stay in memory keep taking sites down: other caches free them as a side effect
//! of later calls. This one has a timer wheel in every shard and one thread, for all caches of the
//! process, that sleeps until the next deadline; reads take no lock.
//!
//! ```
//! use std::time::Duration;
//! use sundown::Cache;
//!
//! let sessions = Cache::builder()
//!     .max_entries(1_000_000)                               // a hard cap, over all shards
//!     .time_to_live(Duration::from_secs(8 * 3600))          // from insertion, never moves
//!     .time_to_idle(Duration::from_secs(30 * 60))           // from the last use
//!     .on_removal(|_id: u128, _name: String, cause| println!("a session has ended: {cause:?}"))
//!     .build()?;
//! sessions.insert(0x5e55_1072, String::from("ada"))?;
//! assert_eq!(sessions.read(&0x5e55_1072, |name| name.len()), Some(3));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it promises
//!
//! - **Never served late.** No call shows a session at or after its deadline, as judged by that
//!   call's own look at the clock.
//! - **Freed on time.** An expired session is unlinked at its deadline rounded up to the next tick
//!   of the [resolution](Builder::resolution), 10 ms by default. Whatever is unlinked, for whatever
//!   cause, is dropped or handed to the listener within one tick more and the time that the reads
//!   under way take: in a cache that is idle, read-only or busy, with no call from you.
//! - **A hard cap, and no early logout.** Neither [`max_entries`](Builder::max_entries) nor
//!   [`max_weight`](Builder::max_weight) is exceeded at any instant; nobody is evicted while there
//!   is room, and what is due goes before anything live does. The least recently used goes first,
//!   exact to 1 ms, over all shards.
//! - **Every session is accounted for.** [`Stats`] add up exactly; each session that leaves yields
//!   one event with its true [cause](RemovalCause), also when the cache is dropped.
//! - **Memory comes back.** Tables and bookkeeping shrink without traffic. Dropping the last handle
//!   frees everything before it returns.
//! - **Your code runs outside every lock,** so it may call the cache, take its time and panic. A slow or
//!   stuck listener, destructor or `Eq` delays no other call by more than about a millisecond or one call
//!   of it, no reader at all, and no other cache's sessions by 50 ms.
//! - **Reads never wait,** not even for a writer that is descheduled while it holds a lock.
//! - **No touch is lost:** a session that a read has returned does not end on the strength of an
//!   older last use.
//!
//! What the cache cannot free is what you still hold: a value that was cloned out of it. It can
//! [tell of it](Builder::track_overstays), by file and line.
//!
//! # Memory
//!
//! Three figures go by that name. *Requested* bytes are those that the program has asked its
//! allocator for and not freed: dropping a session lowers them at once. *Resident* bytes are those
//! that the operating system has given to the process: graphs and the out-of-memory killer go by
//! them ([`ProcessMemory`]). The *allocator* stands between the two, and may keep what was freed. So
//! the reaper has it give memory back after the population has fallen; see [`Builder::give_back`].
//!
//! What that comes to, in MiB resident 10 s after the last expiry, for 600,000 sessions of 0.5 to
//! 1.5 KiB that eight threads have put in, which live on (`benches/memory` in the repository has the
//! commands, and one thread):
//!
//! | allocator | full | 99 % expired, left alone | given back | all expired, left alone | given back | by |
//! | --- | ---: | ---: | ---: | ---: | ---: | --- |
//! | glibc 2.36 | 695 | 681 | 60 | 319 | 7 | [`GiveBack::Auto`] |
//! | mimalloc 3 | 775 | 781 | 259 | 783 | 45 | `mi_collect` |
//! | mimalloc 2 | 775 | 777 | 778 | 785 | 774 | `mi_collect` |
//! | jemalloc 5.3 | 747 | 757 | 154 | 749 | 22 | `arena.4096.purge` |
//! | musl | 759 | 176 | | 5 | | itself |
//!
//! An allocator gives back whole pages. One live session keeps a page of 4 KiB with glibc and one of
//! 64 KiB with mimalloc: there one session in a hundred holds a third of the storm. mimalloc 2 keeps
//! all that threads have freed which do nothing any more.
//!
//! # Garbage
//!
//! A removed session stays in memory until the reads under way have ended. Up to 8,192 such sessions
//! gather over all shards (at most 128 in each; 32 in each where there are over 256 shards) before
//! writers help to free them, and fewer where [weights are bytes](Builder::count_overhead) and these
//! would weigh more than a 32nd of the cap. Where the reaper falls far behind, insertions help too. A
//! call helps for a millisecond at most, or for one listener that takes longer, and one thread at a time
//! frees a shard's: listeners and destructors that take longer than the removals let sessions wait in
//! memory, without a bound. So does `clear`, until the reaper has freed what it removed. A thread that the scheduler stops in the middle of a look-up, a few
//! dozen instructions, holds the rest back for that long; under sustained eviction on fewer cores
//! than writers, allow for 65,536 in all. [`Stats::retired`] tells how many there are, and since when the oldest waits.
//!
//! # Choosing settings
//!
//! A cache needs a cap; everything else has a default. [`ManualClock`] and [`Reaper::Manual`] let
//! tests travel in time. [`Cache::audit`] checks every invariant in your own test suite, and
//! [`Cache::stats`] is cheap enough for every second.
//!
//! # In a web service
//!
//! Features, none of them on by default, put the cache behind a web framework's own interface:
//! `tower-sessions-0_15` and `tower-sessions-0_14` (axum) bring a `SundownStore`,
//! `actix-session-0_11` a `SundownActixStore`, `poem-3` a `SundownPoemStorage` and `saysion-0_2` (salvo) a
//! `SundownSaysionStore`. `metrics` and `tracing` tell an operator about it. `testing`
//! is for your own tests: it sees that every session is freed in the end. `sessions` brings sessions with
//! principals, limits and revocation, for services without a framework's. `fleet` and `redis-1` share sessions
//! between processes: the cache in front, Redis or Valkey behind. `snapshot` keeps them over a restart.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod adapters;
mod budget;
mod builder;
mod cache;
mod error;
#[cfg(feature = "fleet")]
pub mod fleet;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod gauge;
mod index;
mod ledger;
mod lifetime;
mod memory;
mod overstay;
mod platform;
mod pressure;
mod reaper;
#[cfg(feature = "redis-1")]
pub mod redis_1;
mod removal;
mod retire;
#[cfg(feature = "sessions")]
pub mod sessions;
mod shard;
#[cfg(feature = "snapshot")]
pub mod snapshot;
mod stats;
#[cfg(feature = "testing")]
pub mod testing;

#[cfg(feature = "actix-session-0_11")]
pub use adapters::actix_session as actix_session_0_11;
#[cfg(feature = "metrics")]
pub use adapters::metrics;
#[cfg(feature = "poem-3")]
pub use adapters::poem as poem_3;
#[cfg(feature = "saysion-0_2")]
pub use adapters::saysion as saysion_0_2;
#[cfg(feature = "tower-sessions-0_14")]
pub use adapters::tower_sessions::v0_14 as tower_sessions_0_14;
#[cfg(feature = "tower-sessions-0_15")]
pub use adapters::tower_sessions::v0_15 as tower_sessions_0_15;
#[cfg(feature = "tracing")]
pub use adapters::tracing;
pub use builder::Builder;
pub use cache::{Cache, Fill, WeakCache};
pub use error::{AuditError, BuildError, Reason, Rejected, Superseded};
pub use lifetime::{Expiry, Lifetime};
pub use memory::GiveBack;
pub use overstay::{Handle, Holder, Overstays, Tracked, WeakTracked};
pub use platform::clock::{Clock, ManualClock};
pub use platform::hasher::RandomState;
pub use platform::memory::ProcessMemory;
pub use pressure::{Cap, Direction, Flow, Pressure};
pub use reaper::Reaper;
pub use removal::{OnFull, RemovalCause};
pub use stats::{Audit, GivenBack, Lag, Overstayed, Rejections, Retired, Stats};

/// The examples of the README run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
