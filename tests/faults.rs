//! User code that panics or stalls, at every place where the cache calls it and at every call.
//!
//! The keys, values, hasher, weigher, listener and closures of the [`rig`] can be set to panic at
//! the n-th call of one place; `panics` does so for every place and every n until none is reached,
//! over a [`script`] that reaches every verb. Whatever panicked: the audit is clean, every session
//! is accounted for, every key and every value is dropped exactly once, the panic was told exactly
//! once, and the cache goes on working. All panics are `resume_unwind`, which prints nothing.

#![cfg(not(sundown_loom))]

#[path = "faults/panics.rs"]
mod panics;
#[path = "faults/rig.rs"]
mod rig;
#[path = "faults/script.rs"]
mod script;
#[path = "faults/stage.rs"]
mod stage;
#[path = "faults/stalls.rs"]
mod stalls;
#[path = "faults/storm.rs"]
mod storm;
#[path = "faults/threads.rs"]
mod threads;
