//! The whole cache beside the exact model of the property tests.
//!
//! The first byte chooses the configuration, the second one which keys share a shard; each further
//! four are an operation.

#![no_main]

#[path = "../../tests/common/mod.rs"]
mod common;

use common::interpreter::run;
use common::op::Op;
use common::setups;
use common::twin::Setup;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&[setup, hash_seed], history)) = bytes.split_first_chunk() else { return };
    let setup = setups::ALL[usize::from(setup) % setups::ALL.len()];
    let setup = Setup { hash_seed: hash_seed.into(), ..setup };
    let ops: Vec<_> = history.as_chunks().0.iter().map(|&four| Op::decode(four)).collect();
    if let Err(difference) = run(&setup, &ops) {
        panic!("{difference}\n{setup:?}\n{ops:?}");
    }
});
