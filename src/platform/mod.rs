//! The only door to what the machine provides: time, memory, atomics, locks, threads, epochs,
//! hashing.
//!
//! Nothing above this folder names `std::sync::atomic`, `parking_lot`, `crossbeam-epoch`, `loom`,
//! `shuttle` or `Instant`. That is what lets the model checkers run the real index, entries and
//! reaper, and what lets a test own the clock.

pub(crate) mod clock;
mod container;
pub(crate) mod hasher;
pub(crate) mod memory;
pub(crate) mod stripe;
pub(crate) mod sync;
pub(crate) mod thread;

#[cfg(all(test, sundown_loom))]
pub(crate) mod loom_tests;
