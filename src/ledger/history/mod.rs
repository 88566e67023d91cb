//! Histories: what random bytes have the ledger do, beside a model so plain that it must be right.
//!
//! The property tests and the fuzzer draw four bytes for each operation and decode them here, so
//! that what one of them finds the other one replays. Any bytes will do; the first four choose the
//! configuration. Only tests and fuzzing see this folder.

mod aim;
pub(crate) mod records;
pub(crate) mod turns;

use crate::error::Broken;

/// What one step is decoded from.
pub(crate) type Word = [u8; 4];

/// Runs steps until one of them fails, and then tells the history that led there.
fn replay<Op: Copy + core::fmt::Debug>(
    setup: impl core::fmt::Debug,
    ops: &[Op],
    mut step: impl FnMut(Op) -> Result<(), Broken>,
) -> Result<(), Broken> {
    for (at, &op) in ops.iter().enumerate() {
        step(op).map_err(|broken| format!("{broken}\nafter {setup:?}, {:?}", &ops[..=at]))?;
    }
    Ok(())
}

/// The configuration's word, and the steps.
fn split<Op>(words: &[Word], decode: impl Fn(Word) -> Op) -> (Word, Vec<Op>) {
    let (first, rest) = words.split_first().map_or((Word::default(), words), |(&f, r)| (f, r));
    (first, rest.iter().map(|&word| decode(word)).collect())
}
