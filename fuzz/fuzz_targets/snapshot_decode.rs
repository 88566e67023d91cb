//! Any bytes as a snapshot: what is wrong is a clean start, and nothing panics.
//!
//! The first byte says whether the checksums are made right, so that what lies behind them is tried as well; the next
//! eight are the wall clock.

#![no_main]

use std::time::Duration;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((choice, file)) = bytes.split_first_chunk::<9>() else { return };
    let mut wall = [0; 8];
    wall.copy_from_slice(&choice[1..]);
    let wall = Duration::from_nanos(u64::from_le_bytes(wall));
    let is_refitted = choice[0] % 2 == 1;
    match sundown::snapshot::fuzzing::read(file.to_vec(), is_refitted, wall) {
        Ok(restored) => assert!(restored.refused == 0 && restored.clean_start.is_none()),
        Err(why) => assert!(!why.to_string().is_empty()),
    }
});
