//! Sessions with principals beside a list.
//!
//! The first byte chooses the setup; each further four are a step.

#![no_main]

#[path = "../../tests/sessions/history.rs"]
mod history;

use history::{Op, Setup, run};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&setup, steps)) = bytes.split_first() else { return };
    let setup = Setup::decode(setup);
    let ops: Vec<_> = steps.as_chunks().0.iter().map(|&four| Op::decode(four)).collect();
    if let Err(difference) = run(setup, &ops) {
        panic!("{difference}\n{setup:?}\n{ops:?}");
    }
});
