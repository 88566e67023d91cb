//! What makes the cache fit into other crates. Each feature adds a file here and edits none below.
//!
//! An adapter translates: ids and records into keys and values, wall-clock dates into lifetimes,
//! refusals into errors of the framework's own kind. It takes no lock of its own; what must be
//! atomic is one call of the cache.

#[cfg(feature = "actix-session-0_11")]
pub mod actix_session;
#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15"))]
pub(crate) mod tower_sessions;
#[cfg(feature = "tracing")]
pub mod tracing;

#[cfg(any(
    feature = "actix-session-0_11",
    feature = "tower-sessions-0_14",
    feature = "tower-sessions-0_15",
))]
mod footprint;
#[cfg(any(
    feature = "actix-session-0_11",
    feature = "tower-sessions-0_14",
    feature = "tower-sessions-0_15",
))]
mod lifespan;
#[cfg(any(
    feature = "actix-session-0_11",
    feature = "tower-sessions-0_14",
    feature = "tower-sessions-0_15",
))]
mod refusal;
