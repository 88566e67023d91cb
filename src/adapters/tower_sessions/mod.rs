//! For tower-sessions, and so for axum: one source, compiled against each supported version.

#[cfg(feature = "tower-sessions-0_14")]
pub mod v0_14;
#[cfg(feature = "tower-sessions-0_15")]
pub mod v0_15;
