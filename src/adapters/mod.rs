//! What makes the cache fit into other crates. Each feature adds a file here and edits none below.
//!
//! An adapter translates: ids and records into keys and values, wall-clock dates into lifetimes,
//! refusals into errors of the framework's own kind. What the stores have in common is below them,
//! in [`keeper`]; none takes a lock of its own, for what must be atomic is one call of the cache.
//!
//! ```text
//!   tower_sessions/  actix_session/  poem  saysion     one framework each
//!        └──────────────┬──────────────┴─────┘
//!                     keeper                           create, save, load, end
//!   ┌───────┬──────┬───┴──┬────────┬───────┬───────┐
//! descent  room  anonymous roster lifespan notice refusal
//!   └─ merge
//! ```

#[cfg(feature = "actix-session-0_11")]
pub mod actix_session;
#[cfg(all(feature = "sessions", feature = "testing"))]
mod leak_check;
#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(feature = "poem-3")]
pub mod poem;
#[cfg(feature = "saysion-0_2")]
pub mod saysion;
#[cfg(feature = "snapshot-encryption")]
mod snapshot_encryption;
#[cfg(any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15"))]
pub(crate) mod tower_sessions;
#[cfg(feature = "tracing")]
pub mod tracing;

#[cfg(any(feature = "poem-3", feature = "tower-sessions-0_14", feature = "tower-sessions-0_15"))]
mod json;
#[cfg(any(feature = "actix-session-0_11", feature = "poem-3"))]
mod seen;

/// For the stores of all frameworks.
macro_rules! for_stores {
    ($(mod $name:ident;)*) => {
        $(
            #[cfg(any(
                feature = "actix-session-0_11",
                feature = "poem-3",
                feature = "saysion-0_2",
                feature = "tower-sessions-0_14",
                feature = "tower-sessions-0_15",
            ))]
            mod $name;
        )*
    };
}

for_stores! {
    mod anonymous;
    mod descent;
    mod footprint;
    mod keeper;
    mod lifespan;
    mod merge;
    mod notice;
    mod refusal;
    mod room;
    mod roster;
    mod setup;
}
