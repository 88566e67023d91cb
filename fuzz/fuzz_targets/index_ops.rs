//! The index beside a hash map, with hashes that the input chooses so that they collide.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sundown::fuzzing::index_ops(bytes));
