//! The only door to what the machine provides: time, memory, atomics, locks, threads, epochs,
//! hashing.
//!
//! Nothing above this folder names `std::sync::atomic`, `parking_lot`, `crossbeam-epoch`, `loom`,
//! `shuttle` or `Instant`. That is what lets the model checkers run the real index, entries and
//! reaper, and what lets a test own the clock.
//!
//! Some targets provide less. Without atomics of 64 bits they are made of smaller ones. On a *bare*
//! target (`wasm32-unknown-unknown`) there is no clock, no randomness and no thread either: a cache
//! can be built with all three given by the user, or done without. `--cfg sundown_bare` makes any
//! target one, so that this can be tested.

pub(crate) mod block;
pub(crate) mod clock;
mod container;
pub(crate) mod hasher;
pub(crate) mod memory;
pub(crate) mod stripe;
pub(crate) mod sync;
pub(crate) mod thread;
pub(crate) mod unwind;

/// Whether the target has neither clock nor randomness.
pub(crate) const IS_BARE: bool =
    cfg!(any(sundown_bare, all(target_family = "wasm", target_os = "unknown")));

#[cfg(all(test, sundown_loom))]
pub(crate) mod loom_tests;
