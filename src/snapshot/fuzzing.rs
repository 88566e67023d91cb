//! The fuzzer's door to the reading of snapshots, without a disk.

use super::frame::{Kind, refit};
use super::pass::Contents;
use super::{Arrival, CleanStart, Restored, SnapshotFile};
use crate::platform::clock::{Clock, ManualClock};
use std::time::{Duration, SystemTime};

/// Reads what may be a snapshot at some time of the wall clock; if `is_refitted`, with right checksums.
///
/// # Errors
///
/// Why there is nothing in it.
pub fn read(mut bytes: Vec<u8>, is_refitted: bool, wall: Duration) -> Result<Restored, CleanStart> {
    if is_refitted {
        refit(&mut bytes);
    }
    let whole = bytes.len();
    let file = SnapshotFile::at("").as_of(SystemTime::UNIX_EPOCH + wall);
    let clock = Clock::from(ManualClock::new()).with_past(super::axis::PAST_NS);
    let contents = Contents::of(bytes, (&file, Kind::ENTRIES), &clock)?;
    let (mut payloads, mut last_ns) = (0, u64::MAX);
    let restored = contents.admit_all(
        &mut |Arrival { payload, course, least_ns, .. }| {
            assert!(course.used_ns <= last_ns, "the most recently used comes first");
            assert!(course.used_ns >= least_ns, "and none is older than it is told");
            (payloads, last_ns) = (payloads + payload.len(), course.used_ns);
            let spans = course.spans();
            assert!(spans.deadline_ns(course.used_ns) > clock.exact_ns(), "its time is up");
            true
        },
        &|_| (),
    );
    assert!(payloads <= whole, "no byte is read twice");
    Ok(restored)
}
