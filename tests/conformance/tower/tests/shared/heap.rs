//! The heap, counted. What is counted is what is asked for, so that no allocator's habits blur it.

use std::thread;
use std::time::{Duration, Instant};

#[path = "../../../../common/heap.rs"]
mod counting;

pub(crate) use counting::requested as bytes;

pub const SESSIONS: usize = 100_000;

/// Promised is a second; this is for machines that have other things to do.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Sealed bags of the epoch collector, its registered threads, and what the harness allocates.
const SLACK_BYTES: i64 = 64 << 10;

/// A test that fills nothing would see it come back.
#[track_caller]
pub fn assert_filled(before: i64) {
    let filled = bytes() - before;
    assert!(filled > 100 * SESSIONS as i64, "{SESSIONS} sessions in {filled} bytes?");
    println!("{filled} bytes for {SESSIONS} sessions");
}

/// Whether the heap is where it was, to 5 % and the slack, before `patience` is over. Time passes
/// meanwhile, and no store is called.
pub fn comes_back(before: i64, patience: Duration, mut time_passes: impl FnMut()) -> bool {
    let start = Instant::now();
    loop {
        let left = bytes() - before;
        if left <= before / 20 + SLACK_BYTES || start.elapsed() > patience {
            println!("{left} bytes are left after {:?} idle", start.elapsed());
            return left <= before / 20 + SLACK_BYTES;
        }
        thread::sleep(Duration::from_millis(10));
        time_passes();
    }
}
