//! What a tier has done.

use core::time::Duration;

use crate::platform::sync::AtomicU64;

/// Figures of one instance, of [`Tiered::stats`](super::Tiered::stats).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct TieredStats {
    /// Loads that the near cache has answered.
    pub l1_hits: u64,
    /// Loads that the backend was asked for.
    pub l2_loads: u64,
    /// Those of them during which the near cache was bypassed, since the stream was not proven.
    pub bypassed: u64,
    /// Loads answered with what may be out of date, since the backend did not answer.
    pub stale: u64,
    /// Uses of copies that were told to the backend.
    pub touches: u64,
    /// Messages of the stream: sessions that were changed, here or elsewhere.
    pub invalidations: u64,
    /// How often the stream was lost; each time the near cache was emptied.
    pub gaps: u64,
    /// Saves that found another revision than they were based on.
    pub conflicts: u64,
    /// Calls that have taken too long.
    pub timeouts: u64,
    /// Calls that the backend has refused, being full for instance.
    pub refused: u64,
    /// Sessions whose bytes the codec could not read.
    pub undecodable: u64,
    /// Whether the stream is proven and the near cache used.
    pub connected: bool,
    /// Whether calls are refused since others have failed.
    pub breaker_open: bool,
    /// From a change to its message: the last proof, there and back.
    pub lag: Duration,
}

/// What is counted beside the near cache's own figures.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) l2_loads: AtomicU64,
    pub(super) bypassed: AtomicU64,
    pub(super) stale: AtomicU64,
    pub(super) touches: AtomicU64,
    pub(super) conflicts: AtomicU64,
    pub(super) timeouts: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) undecodable: AtomicU64,
}
