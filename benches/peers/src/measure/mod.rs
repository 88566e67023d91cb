//! How it is measured.

pub mod heap;
pub mod processor;
pub mod rounds;
pub mod spread;
pub mod tally;

pub use rounds::{Progress, Rate, interleave, interleave_with, throughput};
pub use spread::Spread;
