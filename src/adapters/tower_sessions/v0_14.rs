//! A session store for [tower-sessions] 0.14, and so for axum; with the feature
//! `tower-sessions-0_14`.
//!
//! [tower-sessions]: https://docs.rs/tower-sessions/0.14

use tower_sessions_core_0_14 as framework;

/// Where this module is found.
macro_rules! module_name {
    () => {
        "tower_sessions_0_14"
    };
}

/// What the shared source's examples are compiled against.
macro_rules! example_imports {
    () => {
        "use sundown::{Cache, tower_sessions_0_14::{SundownStore, record_bytes, restart_absolute_timeout}};\n\
         # use tower_sessions_core_0_14 as tower_sessions;"
    };
}

#[allow(clippy::duplicate_mod, reason = "one source, compiled against each version")]
#[path = "anonymous.rs"]
mod anonymous;
#[allow(clippy::duplicate_mod, reason = "one source, compiled against each version")]
#[path = "behind.rs"]
mod behind;
#[allow(clippy::duplicate_mod, reason = "one source, compiled against each version")]
#[path = "flights.rs"]
mod flights;
#[allow(clippy::duplicate_mod, reason = "one source, compiled against each version")]
#[path = "graves.rs"]
mod graves;
#[allow(clippy::duplicate_mod, reason = "one source, compiled against each version")]
#[path = "principals.rs"]
mod principals;
#[cfg(feature = "fleet")]
#[allow(clippy::duplicate_mod, reason = "one source, compiled against each version")]
#[path = "shared.rs"]
mod shared;
#[cfg(feature = "snapshot")]
#[allow(clippy::duplicate_mod, reason = "one source, compiled against each version")]
#[path = "snapshot.rs"]
mod snapshot;
#[allow(clippy::duplicate_mod, reason = "one source, compiled against each version")]
#[path = "store.rs"]
mod store;
#[cfg(feature = "fleet")]
#[allow(clippy::duplicate_mod, reason = "one source, compiled against each version")]
#[path = "tiered.rs"]
mod tiered;
#[allow(clippy::duplicate_mod, reason = "one source, compiled against each version")]
#[path = "timeout.rs"]
mod timeout;
#[allow(clippy::duplicate_mod, reason = "one source, compiled against each version")]
#[path = "weight.rs"]
mod weight;

pub use principals::{StoreBuilder, principal_of};
#[cfg(feature = "fleet")]
pub use shared::Shared;
pub use store::SundownStore;
#[cfg(feature = "fleet")]
pub use tiered::TieredStore;
pub use timeout::restart_absolute_timeout;
pub use weight::record_bytes;
