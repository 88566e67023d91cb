//! A pass over a cache or over a file: what all kinds of snapshots have in common.

use std::hash::{BuildHasher, Hash};

use super::SnapshotFile;
use super::axis::Axis;
use super::file::{Aside, Loaded, Step, Watch, consume, load};
use super::frame::{HEADER_BYTES, Header, Kind, Place, check, record_at};
use super::report::{CleanStart, Restored, SnapshotError, Written};
use super::seal::open;
use super::writer::Writer;
use crate::cache::Cache;
use crate::lifetime::Course;
use crate::platform::clock::Clock;

/// Writes all sessions that `encode` makes something of; false is one that cannot be encoded.
pub(crate) fn write_out<K, V, S>(
    cache: &Cache<K, V, S>,
    (file, kind): (&SnapshotFile, Kind),
    mut encode: impl FnMut(Axis, &K, &V, &mut Vec<u8>) -> bool,
    watch: Watch<'_>,
) -> Result<Written, SnapshotError>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    let told = |error| SnapshotError::new("written", error);
    let (aside, to) = Aside::create(&file.path, watch)?;
    watch(Step::Write);
    let axis = Axis::now(file.wall, cache.clock());
    let mut writer = Writer::begin(&to, kind, file.seal.as_deref()).map_err(told)?;
    let (mut refused, mut payload, mut failure) = (0, Vec::new(), None);
    cache.for_each_course(|key, value, course| {
        if failure.is_some() {
            return;
        }
        payload.clear();
        let is_taken = encode(axis, key, value, &mut payload);
        let mut push = || writer.push(axis.instants(course), &payload);
        match if is_taken { push() } else { Ok(false) } {
            Ok(true) => watch(Step::Write),
            Ok(false) => refused += 1,
            Err(error) => failure = Some(error),
        }
    });
    if let Some(error) = failure {
        return Err(told(error));
    }
    let (_, sessions, bytes) = writer.finish(file.wall.now_ns()).map_err(told)?;
    aside.publish(&to, watch)?;
    Ok(Written { sessions, refused, bytes })
}

/// A session on its way in.
pub(crate) struct Arrival<'c> {
    pub(crate) axis: Axis,
    pub(crate) payload: &'c [u8],
    pub(crate) course: Course,
    /// None that arrives was used before this.
    pub(crate) least_ns: u64,
}

/// Shows the sessions of a snapshot whose time is not up to `admit`, the most recently used first; false is
/// one that is refused. The file is consumed before (D1).
pub(crate) fn read_in(
    (file, kind): (&SnapshotFile, Kind),
    clock: &Clock,
    mut admit: impl FnMut(Arrival<'_>) -> bool,
    watch: Watch<'_>,
) -> Restored {
    let contents = match load(&file.path, watch) {
        Err(CleanStart::NoFile) => return Restored::nothing(CleanStart::NoFile),
        Err(why) => {
            if matches!(std::fs::metadata(&file.path), Ok(metadata) if metadata.is_file()) {
                let _in_vain = consume(&file.path, None, watch);
            }
            return Restored::nothing(why);
        }
        Ok(Loaded { bytes, identity }) => {
            let contents = Contents::of(bytes, (file, kind), clock);
            if let Err(why) = consume(&file.path, Some(identity), watch) {
                return Restored::nothing(why);
            }
            contents
        }
    };
    match contents {
        Ok(contents) => {
            watch(Step::Admit);
            let restored = contents.admit_all(&mut admit, watch);
            watch(Step::Done);
            restored
        }
        Err(why) => Restored::nothing(why),
    }
}

/// A snapshot in which everything is right.
pub(super) struct Contents {
    bytes: Vec<u8>,
    /// Where the records begin.
    from: usize,
    /// In the order of their last uses, the latest first.
    places: Vec<Place>,
    axis: Axis,
}

impl Contents {
    pub(super) fn of(
        bytes: Vec<u8>,
        (file, kind): (&SnapshotFile, Kind),
        clock: &Clock,
    ) -> Result<Self, CleanStart> {
        let (header, sealed) = Header::decode(&bytes)?;
        let (bytes, from) = match (&file.seal, header.is_sealed) {
            (Some(seal), true) => (open(&**seal, header, sealed)?, 0),
            (None, false) => (bytes, HEADER_BYTES),
            (None, true) => return Err(CleanStart::Encrypted),
            (Some(_), false) => return Err(CleanStart::NotEncrypted),
        };
        let (footer, mut places) = check(header, &bytes[from..])?;
        if header.kind != kind {
            return Err(CleanStart::Kind);
        }
        let axis = Axis::now(file.wall, clock);
        if let Some(by) = axis.ahead(footer.wall_ns) {
            return Err(CleanStart::ClockWentBack(by));
        }
        places.sort_unstable_by(|one, other| other.cmp(one));
        Ok(Self { bytes, from, places, axis })
    }

    pub(super) fn admit_all(
        &self,
        admit: &mut dyn FnMut(Arrival<'_>) -> bool,
        watch: Watch<'_>,
    ) -> Restored {
        let mut restored = Restored::default();
        let body = &self.bytes[self.from..];
        let least_ns = self.places.last().map_or(0, |&(used, _)| self.axis.past_time_of(used));
        for &(_, at) in &self.places {
            let record = record_at(body, at);
            let (instants, payload) = record.expect("V2: it was found right");
            let count = match self.axis.course(instants) {
                None => &mut restored.expired,
                Some(course) => {
                    let arrival = Arrival { axis: self.axis, payload, course, least_ns };
                    match admit(arrival) {
                        true => &mut restored.admitted,
                        false => &mut restored.refused,
                    }
                }
            };
            *count += 1;
            watch(Step::Admit);
        }
        restored
    }
}
