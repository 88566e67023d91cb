//! The contract against real time, real threads and the real reaper.
//!
//! Every bound here is generous, and a bound on time is only held against the cache where a control
//! thread, asleep to the same instant, woke on time: see `witness.rs`. The tests run one at a time,
//! so that none is late for another's sake.

#![cfg(not(sundown_loom))]

#[path = "promises/accounting.rs"]
mod accounting;
#[path = "promises/blocking.rs"]
mod blocking;
#[path = "promises/capacity.rs"]
mod capacity;
#[path = "promises/contention.rs"]
mod contention;
#[path = "promises/ending.rs"]
mod ending;
#[path = "promises/filling.rs"]
mod filling;
#[path = "promises/freeing.rs"]
mod freeing;
#[path = "promises/handover.rs"]
mod handover;
#[path = "promises/neighbours.rs"]
mod neighbours;
#[path = "promises/tenants.rs"]
mod tenants;
#[path = "promises/touching.rs"]
mod touching;
#[path = "promises/witness.rs"]
mod witness;
