//! A timing wheel beside a sorted map, over the edges of its levels and to the end of time.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sundown::fuzzing::wheel_vs_btree(bytes));
