//! The fuzzer's door to what no user can reach; there is none in any other build.
//!
//! Each function runs the history that its bytes stand for, and panics where the crate differs from
//! the model.

use crate::index::history;
use crate::ledger::history::{Word, records, turns};

/// The ledger beside a list of sessions.
pub fn ledger_ops(bytes: &[u8]) {
    expect(records::run(&words(bytes)));
}

/// A timing wheel beside a sorted map.
pub fn wheel_vs_btree(bytes: &[u8]) {
    expect(turns::run(&words(bytes)));
}

/// The index beside a hash map.
pub fn index_ops(bytes: &[u8]) {
    expect(history::run(&words(bytes)));
}

/// What is left over at the end is ignored.
fn words(bytes: &[u8]) -> Vec<Word> {
    bytes.chunks_exact(size_of::<Word>()).filter_map(|four| four.first_chunk().copied()).collect()
}

fn expect<T>(result: Result<T, String>) {
    if let Err(difference) = result {
        panic!("{difference}");
    }
}
