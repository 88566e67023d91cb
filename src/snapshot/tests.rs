use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;

use super::file::Step;
use super::frame::{self, Kind};
use super::pass::Contents;
use super::{CleanStart, Restored, SnapshotFile};
use crate::builder::Builder;
use crate::cache::Cache;
use crate::lifetime::{Expiry, Lifetime};
use crate::platform::clock::{Clock, ManualClock};
use crate::reaper::Reaper;
use crate::sessions::{OnLimit, Sessions};

/// A folder of the test's own, gone at its end.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        // Relaxed: a number.
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("sundown-snapshot-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> PathBuf {
        self.0.join("sessions")
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

pub(super) const SECOND: Duration = Duration::from_secs(1);

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// The wall clock so many seconds into the test.
pub(super) fn at(path: &Path, second: u64) -> SnapshotFile {
    SnapshotFile::at(path).as_of(UNIX_EPOCH + seconds(1_700_000_000 + second))
}

pub(super) fn builder(clock: &ManualClock) -> Builder<u32, String> {
    Cache::builder().max_entries(1_000).clock(clock.clone()).reaper(Reaper::Manual).shards(4)
}

pub(super) fn encode(key: &u32, value: &String) -> Result<Vec<u8>, ()> {
    Ok([&key.to_le_bytes(), value.as_bytes()].concat())
}

pub(super) fn decode(bytes: &[u8]) -> Result<(u32, String), ()> {
    let (key, value) = bytes.split_first_chunk().ok_or(())?;
    let value = String::from_utf8(value.to_vec()).map_err(|_| ())?;
    Ok((u32::from_le_bytes(*key), value))
}

fn in_seconds(count: u64) -> Option<Expiry> {
    Some(Expiry::In(seconds(count)))
}

fn figures(restored: &Restored) -> [u64; 3] {
    assert!(restored.clean_start.is_none(), "{restored}");
    [restored.admitted, restored.expired, restored.refused]
}

#[test]
fn sessions_come_back_with_what_time_has_made_of_them() {
    let (folder, clock) = (Folder::new(), ManualClock::new());
    let cache = builder(&clock).time_to_live(seconds(1_000)).time_to_idle(seconds(100));
    let cache = cache.build().unwrap();
    let own = [
        Lifetime::default(),
        Lifetime::default().live(seconds(50)).idle_forever(),
        Lifetime::default().live_forever().idle(seconds(400)),
        Lifetime::default().live_forever().idle_forever(),
        Lifetime::default().idle(seconds(20)),
        Lifetime::default().live(seconds(20)),
    ];
    for (key, lifetime) in (0..).zip(own) {
        cache.insert_for(key, format!("v{key}"), lifetime).unwrap();
    }
    clock.advance(seconds(10) + Duration::from_millis(3));
    assert!(cache.touch(&2));
    clock.advance(seconds(5));
    let written = cache.snapshot(at(&folder.path(), 0), encode).unwrap();
    assert_eq!((written.sessions, written.refused), (6, 0));
    assert_eq!(written.bytes, fs::metadata(folder.path()).unwrap().len());

    // A machine that has just started, and 7 s without a process.
    let clock = ManualClock::new();
    let settings = builder(&clock).time_to_live(SECOND).time_to_idle(SECOND);
    let (cache, restored) = settings.restore(at(&folder.path(), 7), decode).unwrap();
    assert_eq!(figures(&restored), [4, 2, 0]);
    let millis = Duration::from_millis(3);
    let left = |count| Some(Expiry::In(seconds(count) - millis));
    let expiries = [0, 1, 2, 3, 4, 5].map(|key| cache.expires_in(&key));
    let after_touch = in_seconds(400 - 5 - 7);
    assert_eq!(
        expiries,
        [left(100 - 22), left(50 - 22), after_touch, Some(Expiry::Never), None, None]
    );
    assert_eq!(cache.idle_for(&0), Some(seconds(22) + millis));
    assert_eq!(cache.idle_for(&2), Some(seconds(12)));
    assert_eq!(cache.peek(&2), Some("v2".to_owned()));
    cache.audit().unwrap();

    // A use counts for the whole time to idle, up to the absolute deadline.
    assert!(cache.touch(&0) && cache.touch(&2));
    assert_eq!([0, 2].map(|key| cache.expires_in(&key)), [in_seconds(100), in_seconds(400)]);
    clock.advance(seconds(399));
    assert_eq!(cache.reap(), 2);
    assert_eq!(cache.len(), 2);
    cache.audit().unwrap();
}

#[test]
fn a_use_while_the_snapshot_is_written_is_no_use_of_the_future() {
    let (folder, clock) = (Folder::new(), ManualClock::new());
    let cache = builder(&clock).time_to_idle(seconds(100)).shards(1).build().unwrap();
    (0..10).for_each(|key| cache.insert(key, "ada".into()).unwrap());
    let encode = |key: &u32, value: &String| {
        clock.advance(SECOND);
        (0..10).for_each(|key| assert!(cache.touch(&key)));
        encode(key, value)
    };
    cache.snapshot(at(&folder.path(), 0), encode).unwrap();
    let clock = ManualClock::new();
    let (cache, restored) =
        builder(&clock).shards(1).restore(at(&folder.path(), 0), decode).unwrap();
    assert_eq!(figures(&restored), [10, 0, 0]);
    assert!((0..10).all(|key| cache.expires_in(&key) == in_seconds(100)));
    cache.audit().unwrap();
}

#[test]
fn the_absolute_deadline_is_not_moved_by_a_restart() {
    let (folder, clock) = (Folder::new(), ManualClock::new());
    let settings = || builder(&clock).time_to_live(seconds(60)).time_to_idle(seconds(50));
    let mut cache = settings().build().unwrap();
    cache.insert(1, "ada".into()).unwrap();
    for restart in 1..=5 {
        clock.advance(seconds(10));
        assert!(cache.touch(&1), "at {restart}");
        cache.snapshot(at(&folder.path(), 10 * restart), encode).unwrap();
        let restored;
        (cache, restored) = settings().restore(at(&folder.path(), 10 * restart), decode).unwrap();
        assert_eq!(figures(&restored), [1, 0, 0]);
        assert_eq!(cache.expires_in(&1), in_seconds((60 - 10 * restart).min(50)));
    }
    clock.advance(seconds(10));
    assert_eq!(cache.get(&1), None);
}

#[test]
fn a_snapshot_is_restored_once() {
    let (folder, clock) = (Folder::new(), ManualClock::new());
    let cache = builder(&clock).build().unwrap();
    cache.insert(1, "ada".into()).unwrap();
    cache.snapshot(at(&folder.path(), 0), encode).unwrap();
    assert_eq!(folder.names(), ["sessions"]);
    let (cache, restored) = builder(&clock).restore(at(&folder.path(), 0), decode).unwrap();
    assert_eq!((figures(&restored), cache.len()), ([1, 0, 0], 1));
    assert_eq!(folder.names(), ["sessions.consumed"]);
    let (cache, restored) = builder(&clock).restore(at(&folder.path(), 0), decode).unwrap();
    assert!(matches!(restored.clean_start, Some(CleanStart::NoFile)) && cache.is_empty());
}

#[test]
fn a_snapshot_is_put_aside_and_synced_before_anyone_is_in() {
    let (folder, clock) = (Folder::new(), ManualClock::new());
    let cache = builder(&clock).build().unwrap();
    (0..3).for_each(|key| cache.insert(key, "ada".into()).unwrap());
    cache.snapshot(at(&folder.path(), 0), encode).unwrap();
    let steps = RefCell::new(Vec::new());
    let watch = |step| steps.borrow_mut().push(step);
    let decode = |bytes: &[u8]| {
        assert_eq!(folder.names(), ["sessions.consumed"], "a crash now would restore it again");
        decode(bytes)
    };
    let file = at(&folder.path(), 0);
    let (_cache, restored) = builder(&clock).restore_watched(&file, decode, &watch).unwrap();
    assert_eq!(figures(&restored), [3, 0, 0]);
    let [admit, done] = [Step::Admit, Step::Done];
    let in_order =
        [Step::Read, Step::Consume, Step::SyncConsumed, admit, admit, admit, admit, done];
    assert_eq!(*steps.borrow(), in_order);
}

#[test]
fn what_is_written_is_synced_before_it_has_its_name() {
    let (folder, clock) = (Folder::new(), ManualClock::new());
    let cache = builder(&clock).build().unwrap();
    cache.insert(1, "ada".into()).unwrap();
    fs::write(folder.path(), "an older one").unwrap();
    fs::write(folder.path().with_extension("partial"), "what a crash has left").unwrap();
    let steps = RefCell::new(Vec::new());
    let watch = |step| {
        steps.borrow_mut().push(step);
        let is_there = folder.names().contains(&"sessions".into());
        assert_eq!(is_there, matches!(step, Step::RemoveOld | Step::SyncFolder | Step::Done));
    };
    cache.snapshot_watched(&at(&folder.path(), 0), encode, &watch).unwrap();
    use Step::{Create, Done, RemoveOld, Rename, Sync, SyncFolder, Write};
    assert_eq!(*steps.borrow(), [RemoveOld, Create, Write, Write, Sync, Rename, SyncFolder, Done]);
    assert_eq!(folder.names(), ["sessions"]);
}

#[cfg(unix)]
#[test]
fn only_its_owner_reads_a_snapshot() {
    use std::os::unix::fs::PermissionsExt as _;
    let (folder, clock) = (Folder::new(), ManualClock::new());
    let cache = builder(&clock).build().unwrap();
    let partial = folder.path().with_extension("partial");
    fs::write(&partial, "of anyone").unwrap();
    fs::set_permissions(&partial, fs::Permissions::from_mode(0o666)).unwrap();
    cache.snapshot(folder.path(), encode).unwrap();
    let mode = fs::metadata(folder.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// A snapshot of two sessions, and what to read it with.
fn small() -> (Vec<u8>, ManualClock) {
    let (folder, clock) = (Folder::new(), ManualClock::new());
    let cache = builder(&clock).time_to_idle(seconds(100)).build().unwrap();
    cache.insert(1, "ada".into()).unwrap();
    cache.insert(2, String::new()).unwrap();
    cache.snapshot(at(&folder.path(), 0), encode).unwrap();
    (fs::read(folder.path()).unwrap(), clock)
}

fn restore_bytes(bytes: &[u8], clock: &ManualClock) -> Restored {
    let folder = Folder::new();
    fs::write(folder.path(), bytes).unwrap();
    let (cache, restored) = builder(clock).restore(at(&folder.path(), 0), decode).unwrap();
    assert_eq!(cache.len() as u64, restored.admitted);
    assert_eq!(folder.names(), ["sessions.consumed"], "what is refused is put aside, too");
    restored
}

#[test]
fn a_change_of_any_bit_is_a_clean_start() {
    let (whole, clock) = small();
    assert_eq!(figures(&restore_bytes(&whole, &clock)), [2, 0, 0]);
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut changed = whole.clone();
            changed[at] ^= 1 << bit;
            let restored = restore_bytes(&changed, &clock);
            assert!(restored.clean_start.is_some() && restored.admitted == 0, "bit {bit} of {at}");
        }
    }
}

#[test]
fn a_cut_anywhere_is_a_clean_start() {
    let (whole, clock) = small();
    for length in 0..whole.len() {
        let restored = restore_bytes(&whole[..length], &clock);
        assert!(restored.clean_start.is_some() && restored.admitted == 0, "{length} bytes");
        // A file system that has made room and not written.
        let mut zeroed = whole.clone();
        zeroed[length..].fill(0);
        if zeroed != whole {
            let restored = restore_bytes(&zeroed, &clock);
            assert!(restored.clean_start.is_some() && restored.admitted == 0, "{length} bytes");
        }
    }
    let longer = [&whole[..], b"x"].concat();
    assert!(restore_bytes(&longer, &clock).clean_start.is_some());
    let twice = whole.repeat(2);
    assert!(restore_bytes(&twice, &clock).clean_start.is_some());
}

#[test]
fn what_is_no_snapshot_of_ours_is_named() {
    let (whole, clock) = small();
    let why = |bytes: &[u8]| restore_bytes(bytes, &clock).clean_start.unwrap();
    assert!(matches!(why(b"#!/bin/sh"), CleanStart::NotASnapshot));
    assert!(matches!(why(b"sun"), CleanStart::Damaged));
    let mut other = whole.clone();
    other[8] = 9;
    assert!(matches!(why(&other), CleanStart::Version(9)));
    let mut other = whole;
    other[12] = 2;
    frame::refit(&mut other);
    assert!(matches!(why(&other), CleanStart::Kind));
}

#[test]
fn a_key_that_comes_twice_comes_in_once() {
    let (mut whole, clock) = small();
    // The second record's key is made the first one's.
    let first = frame::HEADER_BYTES + frame::RECORD_BYTES;
    let [one, other] = [1_u32, 2].map(u32::to_le_bytes);
    for at in first..whole.len() - 4 {
        if whole[at..at + 4] == other {
            whole[at..at + 4].copy_from_slice(&one);
        }
    }
    frame::refit(&mut whole);
    assert_eq!(figures(&restore_bytes(&whole, &clock)), [1, 0, 1]);
}

#[test]
fn a_wall_clock_that_went_back_is_a_clean_start_for_good() {
    let (folder, clock) = (Folder::new(), ManualClock::new());
    let cache = builder(&clock).build().unwrap();
    cache.insert(1, "ada".into()).unwrap();
    cache.snapshot(at(&folder.path(), 10), encode).unwrap();
    let (cache, restored) = builder(&clock).restore(at(&folder.path(), 9), decode).unwrap();
    let went_back = |restored: &Restored| match restored.clean_start {
        Some(CleanStart::ClockWentBack(by)) => by,
        _ => panic!("{restored}"),
    };
    assert_eq!((went_back(&restored), cache.len()), (SECOND, 0));
    let (cache, restored) = builder(&clock).restore(at(&folder.path(), 11), decode).unwrap();
    assert!(matches!(restored.clean_start, Some(CleanStart::NoFile)) && cache.is_empty());
}

#[test]
fn the_file_that_was_read_is_the_one_that_is_put_aside() {
    let (folder, clock) = (Folder::new(), ManualClock::new());
    let cache = builder(&clock).build().unwrap();
    cache.insert(1, "ada".into()).unwrap();
    cache.snapshot(at(&folder.path(), 0), encode).unwrap();
    let bytes = fs::read(folder.path()).unwrap();
    let file = at(&folder.path(), 0);
    let replace = |step| {
        if step == Step::Consume {
            let other = folder.path().with_extension("other");
            fs::write(&other, &bytes).unwrap();
            fs::rename(other, folder.path()).unwrap();
        }
    };
    let (cache, restored) = builder(&clock).restore_watched(&file, decode, &replace).unwrap();
    assert!(matches!(restored.clean_start, Some(CleanStart::Overtaken)) && cache.is_empty());

    fs::write(folder.path(), &bytes).unwrap();
    let steal = |step| {
        if step == Step::Consume {
            fs::remove_file(folder.path()).unwrap();
        }
    };
    let (cache, restored) = builder(&clock).restore_watched(&file, decode, &steal).unwrap();
    assert!(matches!(restored.clean_start, Some(CleanStart::Overtaken)) && cache.is_empty());
}

#[test]
fn what_cannot_be_put_aside_is_not_admitted() {
    let (folder, clock) = (Folder::new(), ManualClock::new());
    let cache = builder(&clock).build().unwrap();
    cache.insert(1, "ada".into()).unwrap();
    cache.snapshot(at(&folder.path(), 0), encode).unwrap();
    // A folder that is not empty is in the way.
    fs::create_dir_all(folder.path().with_extension("consumed").join("x")).unwrap();
    let (cache, restored) = builder(&clock).restore(at(&folder.path(), 0), decode).unwrap();
    assert!(matches!(restored.clean_start, Some(CleanStart::NotConsumed(_))) && cache.is_empty());
    let (cache, restored) = builder(&clock).restore(folder.0.as_path(), decode).unwrap();
    assert!(matches!(restored.clean_start, Some(CleanStart::Unreadable(_))) && cache.is_empty());
}

#[test]
fn a_setting_that_is_wrong_leaves_the_file_alone() {
    let (folder, clock) = (Folder::new(), ManualClock::new());
    let cache = builder(&clock).build().unwrap();
    cache.snapshot(folder.path(), encode).unwrap();
    assert!(builder(&clock).max_entries(0).restore(folder.path(), decode).is_err());
    assert_eq!(folder.names(), ["sessions"]);
}

#[test]
fn a_session_that_cannot_be_encoded_or_decoded_is_counted() {
    let (folder, clock) = (Folder::new(), ManualClock::new());
    let cache = builder(&clock).build().unwrap();
    (0..10).for_each(|key| cache.insert(key, "ada".into()).unwrap());
    let some = |key: &u32, value: &String| if *key < 3 { Err(()) } else { encode(key, value) };
    let written = cache.snapshot(at(&folder.path(), 0), some).unwrap();
    assert_eq!((written.sessions, written.refused), (7, 3));
    let some =
        |bytes: &[u8]| decode(bytes).and_then(|entry| (entry.0 > 4).then_some(entry).ok_or(()));
    let (cache, restored) = builder(&clock).restore(at(&folder.path(), 0), some).unwrap();
    assert_eq!((figures(&restored), cache.len()), ([5, 0, 2], 5));
}

#[test]
fn no_snapshot_is_left_by_an_encoder_that_panics_or_a_disk_that_fails() {
    let (folder, clock) = (Folder::new(), ManualClock::new());
    let cache = builder(&clock).build().unwrap();
    cache.insert(1, "ada".into()).unwrap();
    cache.snapshot(folder.path(), encode).unwrap();
    let panics = |_: &u32, _: &String| -> Result<Vec<u8>, ()> { panic!("on purpose") };
    let run = std::panic::AssertUnwindSafe(|| cache.snapshot(folder.path(), panics));
    assert!(std::panic::catch_unwind(run).is_err());
    assert_eq!(folder.names(), [""; 0]);
    let nowhere = cache.snapshot(folder.0.join("none").join("x"), encode).unwrap_err();
    assert_eq!(nowhere.to_string(), "the snapshot could not be created");
    assert!(std::error::Error::source(&nowhere).is_some());
}

#[test]
fn a_smaller_cache_keeps_the_most_recently_used() {
    let (folder, clock) = (Folder::new(), ManualClock::new());
    let cache = builder(&clock).build().unwrap();
    for key in 0..100 {
        cache.insert(key, "ada".into()).unwrap();
    }
    for key in (0..100).step_by(10) {
        clock.advance(Duration::from_millis(1));
        assert!(cache.touch(&key));
    }
    cache.snapshot(at(&folder.path(), 0), encode).unwrap();
    let clock = ManualClock::new();
    let (cache, restored) =
        builder(&clock).max_entries(5).restore(at(&folder.path(), 0), decode).unwrap();
    assert_eq!((figures(&restored), cache.len()), ([5, 0, 95], 5));
    assert_eq!(cache.stats().evicted, 0);
    assert!((50..100).step_by(10).all(|key| cache.contains_key(&key)));
    cache.audit().unwrap();
    // And who comes in now evicts the one that was used first.
    clock.advance(SECOND);
    assert!(cache.touch(&50));
    cache.insert(1, "bob".into()).unwrap();
    assert!(cache.contains_key(&50) && !cache.contains_key(&60));
}

#[test]
fn those_who_stay_are_written_once_while_others_read_and_write() {
    let folder = Folder::new();
    let cache = Cache::builder().max_entries(100_000).build().unwrap();
    (0..20_000).for_each(|key| cache.insert(key, "stays".to_owned()).unwrap());
    let is_done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut key = 20_000;
            // Acquire: pairs with the store below.
            while !is_done.load(Ordering::Acquire) {
                cache.insert(key, "goes".to_owned()).unwrap();
                cache.discard(&(key - 50).max(20_000));
                assert!(cache.update(&(key % 20_000), String::clone).unwrap());
                key = if key > 30_000 { 20_000 } else { key + 1 };
            }
        });
        let written = cache.snapshot(folder.path(), encode).unwrap();
        assert!(written.sessions >= 20_000, "{written}");
        // Release: pairs with the load above.
        is_done.store(true, Ordering::Release);
    });
    let restored = Cache::builder().max_entries(100_000).restore(folder.path(), decode).unwrap();
    assert_eq!(restored.1.refused, 0, "no key comes twice: {}", restored.1);
    assert!((0..20_000).all(|key| restored.0.get(&key).as_deref() == Some("stays")));
    restored.0.audit().unwrap();
}

#[derive(Clone, Debug)]
struct Entry {
    key: u32,
    value: String,
    live: Option<u64>,
    idle: Option<u64>,
    used_at: Option<u64>,
}

fn entry() -> impl Strategy<Value = Entry> {
    let span = || proptest::option::of(1_u64..5_000);
    (0_u32..500, ".{0,20}", span(), span(), proptest::option::of(0_u64..1_000))
        .prop_map(|(key, value, live, idle, used_at)| Entry { key, value, live, idle, used_at })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_restored_cache_is_what_the_old_one_would_be_by_now(
        entries in proptest::collection::vec(entry(), 0..60),
        down in 0_u64..3_000,
        uptime in 0_u64..2_000,
    ) {
        let (folder, clock) = (Folder::new(), ManualClock::new());
        let cache = builder(&clock).build().unwrap();
        let mut uses = BTreeMap::<u64, Vec<u32>>::new();
        for Entry { key, value, live, idle, used_at } in entries {
            let mut lifetime = Lifetime::default();
            if let Some(live) = live {
                lifetime = lifetime.live(seconds(live));
            }
            if let Some(idle) = idle {
                lifetime = lifetime.idle(seconds(idle));
            }
            cache.insert_for(key, value, lifetime).unwrap();
            uses.entry(used_at.unwrap_or(0)).or_default().push(key);
        }
        for (second, keys) in uses {
            clock.advance(seconds(second).saturating_sub(clock.elapsed()));
            keys.iter().for_each(|key| _ = cache.touch(key));
        }
        cache.snapshot(at(&folder.path(), 0), encode).unwrap();
        clock.advance(seconds(down));

        let new_clock = ManualClock::new();
        new_clock.advance(seconds(uptime));
        let (restored, report) =
            builder(&new_clock).restore(at(&folder.path(), down), decode).unwrap();
        prop_assert!(report.clean_start.is_none() && report.refused == 0, "{}", report);
        cache.reap();
        prop_assert_eq!(restored.len(), cache.len());
        cache.for_each(|key, value| {
            assert_eq!(restored.peek(key).as_ref(), Some(value));
            assert_eq!(restored.expires_in(key), cache.expires_in(key), "{key}");
            assert_eq!(restored.idle_for(key), cache.idle_for(key), "{key}");
        });
        restored.audit().unwrap();
    }

    #[test]
    fn whatever_lies_behind_right_checksums_panics_nowhere(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        wall in any::<u64>(),
    ) {
        let clock = Clock::from(ManualClock::new()).with_past(super::axis::PAST_NS);
        let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(wall);
        let file = SnapshotFile::at("").as_of(time);
        for is_refitted in [false, true] {
            let mut bytes = bytes.clone();
            if is_refitted {
                frame::refit(&mut bytes);
            }
            if let Ok(contents) = Contents::of(bytes, (&file, Kind::ENTRIES), &clock) {
                contents.admit_all(&mut |arrival| arrival.course.used_ns >= arrival.least_ns, &|_| ());
            }
        }
    }
}

type Users = Sessions<u32, String>;

fn encode_user(user: Option<&u32>, name: &String) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&(user, name))
}

fn decode_user(bytes: &[u8]) -> serde_json::Result<(Option<u32>, String)> {
    serde_json::from_slice(bytes)
}

fn users(clock: &ManualClock) -> crate::sessions::Builder<u32, String> {
    Users::builder().max_entries(100).clock(clock.clone()).reaper(Reaper::Manual)
}

#[test]
fn whoever_was_logged_in_is_and_whoever_had_logged_out_is_not() {
    let (folder, clock) = (Folder::new(), ManualClock::new());
    let grace = seconds(10);
    let sessions = users(&clock).time_to_idle(seconds(100)).rotation_grace(grace).build().unwrap();
    let visitor = sessions.create("visitor".into()).unwrap();
    let gone = sessions.create_for(7, "gone".into()).unwrap();
    clock.advance(SECOND);
    let before = sessions.create("phone".into()).unwrap();
    clock.advance(SECOND);
    let phone = sessions.authenticate(&before, 7).unwrap();
    let public = phone.public_id();
    clock.advance(seconds(3));
    assert!(sessions.revoke(&gone));
    let written = sessions.snapshot(at(&folder.path(), 0), encode_user).unwrap();
    assert_eq!((written.sessions, written.refused), (2, 0));

    let clock = ManualClock::new();
    let (sessions, restored) = users(&clock)
        .time_to_idle(seconds(100))
        .rotation_grace(grace)
        .restore(at(&folder.path(), 2), decode_user)
        .unwrap();
    assert_eq!(figures(&restored), [2, 0, 0]);
    sessions.audit().unwrap();
    assert!(sessions.peek(&gone).is_none());
    assert!(sessions.peek(&before).is_some(), "5 s of its grace are over, and 5 are left");
    let listed = sessions.sessions_of(&7);
    assert_eq!((listed.len(), listed[0].public_id), (1, public));
    assert_eq!(listed[0].expires_in, Expiry::In(seconds(95)));
    let session = sessions.get(&phone).expect("it is back");
    assert_eq!((session.principal(), session.as_str()), (Some(&7), "phone"));
    assert!(session.is_fresh(seconds(5)) && !session.is_fresh(seconds(5) - SECOND));
    assert!(sessions.get(&visitor).expect("it is back").principal().is_none());
    clock.advance(seconds(5));
    assert!(sessions.peek(&before).is_none(), "its grace is over");

    // And what can be done with them can be done.
    let rotated = sessions.rotate(&phone).unwrap();
    assert!(sessions.update(&rotated, |name| name.to_uppercase()).unwrap());
    assert_eq!(sessions.revoke_all(&7), 1);
    assert!(sessions.get(&rotated).is_none() && sessions.sessions_of(&7).is_empty());
    sessions.audit().unwrap();
}

#[test]
fn no_id_is_in_the_file() {
    let (folder, clock) = (Folder::new(), ManualClock::new());
    let sessions = users(&clock).build().unwrap();
    let id = sessions.create_for(7, "phone".into()).unwrap();
    sessions.snapshot(at(&folder.path(), 0), encode_user).unwrap();
    let bytes = fs::read(folder.path()).unwrap();
    let whole = id.secret_bytes();
    assert!(!bytes.windows(whole.len()).any(|window| window == whole));
    assert!(bytes.windows(16).any(|window| window == id.public_id().bytes()));
}

#[test]
fn a_lower_limit_holds_for_those_who_come_back() {
    let (folder, clock) = (Folder::new(), ManualClock::new());
    let sessions = users(&clock).build().unwrap();
    let ids: Vec<_> = (0..5)
        .map(|_| {
            clock.advance(SECOND);
            sessions.create_for(7, "phone".into()).unwrap()
        })
        .collect();
    // The oldest is the last that was used.
    clock.advance(SECOND);
    assert!(sessions.get(&ids[0]).is_some());
    sessions.snapshot(at(&folder.path(), 0), encode_user).unwrap();
    let few = || users(&clock).max_per_principal(2, OnLimit::RevokeOldest);
    let (sessions, _) = few().restore(at(&folder.path(), 0), decode_user).unwrap();
    sessions.audit().unwrap();
    assert_eq!(sessions.sessions_of(&7).len(), 2);

    let cache = builder(&clock).build().unwrap();
    cache.insert(1, "ada".into()).unwrap();
    cache.snapshot(at(&folder.path(), 0), encode).unwrap();
    let (sessions, restored) = few().restore(at(&folder.path(), 0), decode_user).unwrap();
    assert!(matches!(restored.clean_start, Some(CleanStart::Kind)) && sessions.is_empty());
}
