//! Which keys are asked for, and what is done with them.

mod keys;
mod operations;

pub use keys::{Key, KeyKind, Popularity, draws};
pub use operations::{Operation, Shares, Verb, operations};

/// How many draws are made ahead, so that drawing is not measured. They are read in order, which
/// the processor foresees.
pub const DRAWS: usize = 1 << 20;
/// How many operations are done between two looks at the clock; divides [`DRAWS`].
pub const BATCH: usize = 1_024;

/// The `batch`th piece of a row of draws, for one of several threads that each start elsewhere.
pub fn piece<T>(row: &[T], thread: usize, threads: usize, batch: usize) -> &[T] {
    let length = BATCH.min(row.len());
    let pieces = row.len() / length;
    let start = (thread * pieces / threads + batch) % pieces * length;
    &row[start..start + length]
}
