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

/// The `batch`th piece of a row of draws that comes round again.
///
/// Only for what leaves no traces: whoever inserts would meet what it left the last time.
pub fn piece<T>(row: &[T], batch: usize) -> &[T] {
    let length = BATCH.min(row.len());
    let start = batch % (row.len() / length) * length;
    &row[start..start + length]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_follow_one_another_and_come_round() {
        let row: Vec<usize> = (0..3 * BATCH).collect();
        let starts = [0, 1, 2, 3, 7].map(|batch| piece(&row, batch)[0]);
        assert_eq!(starts, [0, BATCH, 2 * BATCH, 0, BATCH]);
        assert_eq!(piece(&row[..10], 5), &row[..10]);
    }
}
