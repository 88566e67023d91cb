//! What sessions look like, and what they take.

#![allow(dead_code, reason = "not every test needs all of it")]

#[path = "../../../common/heap.rs"]
pub mod heap;
pub mod sessions;

/// What a value takes from the allocator, itself included: measured by letting it go.
pub fn takes<T>(value: T) -> u64 {
    let before = heap::allocated_here();
    drop(value);
    let owned = before - heap::allocated_here();
    size_of::<T>() as u64 + u64::try_from(owned).expect("what is dropped is given back")
}

/// How far off a figure is, in percent of what is true.
pub fn off_percent(told: u64, taken: u64) -> f64 {
    100.0 * (told as f64 - taken as f64) / taken as f64
}

/// As far off as a weight may be.
pub const MOST_OFF_PERCENT: f64 = 15.0;
