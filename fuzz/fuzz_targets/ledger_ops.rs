//! The ledger beside a list of sessions: deadlines, last uses, removal and moves.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sundown::fuzzing::ledger_ops(bytes));
