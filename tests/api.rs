//! Every public call, its documented results and its edges, on the manual clock.
//!
//! One noun a file. What needs real time or several threads is in `promises.rs`; what needs luck
//! is in `properties.rs`.

#![cfg(not(sundown_loom))]

#[path = "api/building.rs"]
mod building;
#[path = "api/capacity.rs"]
mod capacity;
#[path = "api/insertion.rs"]
mod insertion;
#[path = "api/lifetimes.rs"]
mod lifetimes;
#[path = "api/lookup.rs"]
mod lookup;
#[path = "api/panics.rs"]
mod panics;
#[path = "api/pressure.rs"]
mod pressure;
#[path = "api/reentry.rs"]
mod reentry;
#[path = "api/relifetime.rs"]
mod relifetime;
#[path = "api/removal.rs"]
mod removal;
#[path = "api/stage.rs"]
mod stage;
#[path = "api/update.rs"]
mod update;
#[path = "api/walking.rs"]
mod walking;
#[path = "api/weight.rs"]
mod weight;
