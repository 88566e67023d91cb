//! Histories: what several threads called, when, and what they were told; and whether some order of
//! the calls explains it all.
//!
//! The tests under shuttle and those with the machine's own threads share this folder. Each has a
//! `crate::pause`, which lets others run in the middle of user code.
//!
//! A [`Stage`](stage::Stage) builds a cache, plays a random [`Program`](program::Program) on it and
//! keeps the [`History`](record::History). [`accounts`] looks at the whole of it: every insertion has
//! one event, every value is gone, nobody was evicted while there was room. [`checker`] takes each
//! key for itself and looks for an order of the calls that the model (`tests/common/model.rs`) would
//! have answered in the same way.

pub(crate) mod accounts;
pub(crate) mod canary;
pub(crate) mod checker;
#[allow(dead_code, reason = "histories are checked key by key: without the model's capacity")]
#[path = "../common/model.rs"]
pub(crate) mod model;
pub(crate) mod play;
pub(crate) mod program;
pub(crate) mod record;
pub(crate) mod specification;
pub(crate) mod stage;
