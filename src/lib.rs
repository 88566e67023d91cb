//! An embeddable session cache: **every session is gone when its time is up, and its memory is
//! back, whether or not anyone calls the cache again.**

mod budget;
mod builder;
mod cache;
mod error;
mod index;
mod ledger;
mod lifetime;
mod platform;
mod reaper;
mod removal;
mod retire;
mod shard;
mod stats;

pub use builder::Builder;
pub use cache::{Cache, WeakCache};
pub use error::{AuditError, BuildError, Reason, Rejected};
pub use lifetime::{Expiry, Lifetime};
pub use platform::clock::{Clock, ManualClock};
pub use platform::hasher::RandomState;
pub use removal::{OnFull, Reaper, RemovalCause};
pub use stats::{Audit, Lag, Retired, Stats};
