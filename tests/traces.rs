//! Real traffic, replayed through the crate, against what an independent model counted.
//!
//! The reference figures and the traces come from `shared/data` (its README says where from); the
//! code under test is the cache and the `replay` example, whose modules are included here. The
//! traces are looked for in `$SUNDOWN_TRACES`, else in `../shared/data` beside the repository; a
//! checkout without them skips those tests and says so. All figures must agree exactly: why even
//! evictions among equal timestamps do is worked out in the essay of `examples/replay/run.rs`.

#[path = "../examples/replay/formats.rs"]
mod formats;
#[path = "../examples/replay/run.rs"]
mod run;
#[path = "../examples/replay/source.rs"]
mod source;

use std::convert::Infallible;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{env, fs};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::formats::{Event, Format, Key, Trace};
use crate::run::{Settings, Tally, replay};

// --- the reference rows ---------------------------------------------------------------------

/// Idle and total lifetime in seconds and cap, 0 for none; then creates, hits, idle, lived out,
/// evicted, peak, left.
type Row = (u64, u64, usize, [u64; 7]);

#[test]
fn nasa_sessions_match_the_reference() {
    check_rows(
        "nasa_ksc_1995-08-01.tsv.gz",
        Format::Nasa,
        &[
            (300, 0, 0, [4_288, 29_708, 4_286, 0, 0, 82, 2]),
            (1_800, 0, 0, [3_265, 30_731, 3_129, 0, 0, 273, 136]),
            (1_800, 0, 100, [3_585, 30_411, 824, 0, 2_661, 100, 100]),
            (1_800, 3_600, 0, [3_308, 30_688, 2_987, 192, 0, 270, 129]),
            (1_800, 3_600, 100, [3_598, 30_398, 778, 71, 2_649, 100, 100]),
        ],
    );
}

#[test]
fn semicomplete_sessions_match_the_reference() {
    check_rows(
        "semicomplete_2015-05-17_20.log.gz",
        Format::Combined,
        &[
            (300, 0, 0, [3_224, 6_776, 3_194, 0, 0, 64, 30]),
            (1_800, 0, 0, [3_224, 6_776, 3_194, 0, 0, 64, 30]),
            (1_800, 0, 30, [3_254, 6_746, 2_353, 0, 871, 30, 30]),
        ],
    );
}

#[test]
fn wikipedia_sessions_match_the_reference() {
    check_rows(
        "wikipedia_readers_2014-01.tsv.gz",
        Format::Wikipedia,
        &[
            (300, 0, 0, [27_703, 35_821, 27_695, 0, 0, 24, 8]),
            (1_800, 0, 0, [22_226, 41_298, 22_196, 0, 0, 72, 30]),
            (1_800, 0, 30, [22_850, 40_674, 6_755, 0, 16_065, 30, 30]),
            (1_800, 3_600, 0, [22_464, 41_060, 21_528, 907, 0, 72, 29]),
            (1_800, 3_600, 30, [22_997, 40_527, 6_712, 521, 15_735, 30, 29]),
        ],
    );
}

#[test]
fn mooncake_conversations_match_the_reference() {
    check_rows(
        MOONCAKE,
        Format::Mooncake,
        &[
            (300, 0, 0, [8_369, 3_662, 7_490, 0, 0, 929, 879]),
            (1_800, 0, 0, [7_404, 4_627, 3_249, 0, 0, 4_163, 4_155]),
            (1_800, 0, 1_000, [8_105, 3_926, 0, 0, 7_105, 1_000, 1_000]),
        ],
    );
}

#[test]
fn mooncake_blocks_idle_for_5_minutes_match_the_reference() {
    check_rows(
        MOONCAKE,
        Format::MooncakeBlocks,
        &[(300, 0, 20_000, [205_941, 82_559, 123_632, 0, 62_309, 20_000, 20_000])],
    );
}

#[test]
fn mooncake_blocks_without_cap_match_the_reference() {
    check_rows(
        MOONCAKE,
        Format::MooncakeBlocks,
        &[(1_800, 0, 0, [183_632, 104_868, 87_143, 0, 0, 97_371, 96_489])],
    );
}

#[test]
fn mooncake_blocks_with_cap_match_the_reference() {
    check_rows(
        MOONCAKE,
        Format::MooncakeBlocks,
        &[(1_800, 0, 20_000, [205_561, 82_939, 0, 0, 185_561, 20_000, 20_000])],
    );
}

#[test]
fn arc_oltp_hits_match_the_published_lru_column() {
    check_lru("arc_oltp.lis.gz", Format::Arc, 914_145, 1_000, 300_122);
    check_lru("arc_oltp.lis.gz", Format::Arc, 914_145, 2_000, 388_235);
    check_lru("arc_oltp.lis.gz", Format::Arc, 914_145, 5_000, 490_443);
    check_lru("arc_oltp.lis.gz", Format::Arc, 914_145, 10_000, 554_906);
    check_lru("arc_oltp.lis.gz", Format::Arc, 914_145, 15_000, 590_851);
}

#[test]
fn cache2k_web12_hits_match_exact_lru() {
    check_lru("cache2k_web12.u32be.gz", Format::KeysU32, 95_607, 250, 44_667);
    check_lru("cache2k_web12.u32be.gz", Format::KeysU32, 95_607, 1_000, 61_882);
    check_lru("cache2k_web12.u32be.gz", Format::KeysU32, 95_607, 4_000, 75_504);
}

#[test]
fn cache2k_orm_busy_hits_of_1000_match_exact_lru() {
    check_lru("cache2k_orm_busy.u32be.gz", Format::KeysU32, 5_000_000, 1_000, 3_938_943);
}

#[test]
fn cache2k_orm_busy_hits_of_5000_match_exact_lru() {
    check_lru("cache2k_orm_busy.u32be.gz", Format::KeysU32, 5_000_000, 5_000, 4_273_062);
}

#[test]
fn cache2k_orm_busy_hits_of_20000_match_exact_lru() {
    check_lru("cache2k_orm_busy.u32be.gz", Format::KeysU32, 5_000_000, 20_000, 4_679_757);
}

const MOONCAKE: &str = "mooncake_conversation.jsonl.gz";

fn check_rows(file: &str, format: Format, rows: &[Row]) {
    let Some(path) = trace_or_skip(file) else { return };
    for &(idle_s, ttl_s, cap, [creates, hits, idle, lived_out, evicted, peak, left]) in rows {
        let given = |seconds| (seconds > 0).then(|| Duration::from_secs(seconds));
        let cap = (cap > 0).then_some(cap);
        let settings = Settings { idle: given(idle_s), ttl: given(ttl_s), cap };
        let expected = Tally {
            events: creates + hits,
            creates,
            hits,
            idle,
            lived_out,
            evicted,
            evicted_inexact: 0,
            peak: peak as usize,
            left: left as usize,
            unordered: 0,
        };
        assert_eq!(replay_file(&path, format, &settings), expected, "{file} with {settings:?}");
    }
}

fn check_lru(file: &str, format: Format, events: u64, cap: usize, hits: u64) {
    let Some(path) = trace_or_skip(file) else { return };
    let settings = Settings { idle: None, ttl: None, cap: Some(cap) };
    let creates = events - hits;
    let evicted = creates - cap as u64;
    let full = Tally { events, creates, hits, evicted, peak: cap, left: cap, ..Tally::default() };
    assert_eq!(replay_file(&path, format, &settings), full, "{file} with a cap of {cap}");
}

fn replay_file(path: &Path, format: Format, settings: &Settings) -> Tally {
    let mut trace = Trace::new(format, vec![path.to_owned()]);
    let (tally, _) = replay(format, settings, &mut trace).expect("the trace is sound");
    assert_eq!(trace.bad().count, 0, "{:?}", trace.bad());
    tally
}

fn trace_or_skip(file: &str) -> Option<PathBuf> {
    let asked =
        env::var_os("SUNDOWN_TRACES").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let is_asked = asked.is_some();
    let folder =
        asked.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"));
    let path = folder.join(file);
    if path.exists() {
        return Some(path);
    }
    assert!(!is_asked, "SUNDOWN_TRACES is set, but {} does not exist", path.display());
    // Written past the test harness, which swallows what a passing test prints.
    let notice = format!("SKIPPED, no traces: {} does not exist\n", path.display());
    io::stderr().write_all(notice.as_bytes()).expect("the tests have a stderr");
    None
}

// --- the rule -------------------------------------------------------------------------------

/// The rule of the reference results, as plainly as it can be said.
struct Model {
    idle_ms: u64,
    ttl_ms: u64,
    cap: usize,
    now_ms: u64,
    /// Key, created, last touched; least recently used first.
    live: Vec<(u64, u64, u64)>,
    tally: Tally,
}

impl Model {
    fn step(&mut self, at_ms: u64, key: u64) {
        self.now_ms = self.now_ms.max(at_ms);
        let now_ms = self.now_ms;
        let (idle_ms, ttl_ms, tally) = (self.idle_ms, self.ttl_ms, &mut self.tally);
        self.live.retain(|&(_, created_ms, touched_ms)| {
            let (out_ms, idle_at_ms) = (created_ms + ttl_ms, touched_ms + idle_ms);
            let is_due = out_ms.min(idle_at_ms) <= now_ms;
            tally.lived_out += u64::from(is_due && out_ms <= idle_at_ms);
            tally.idle += u64::from(is_due && out_ms > idle_at_ms);
            !is_due
        });
        tally.events += 1;
        match self.live.iter().position(|&(other, ..)| other == key) {
            Some(at) => {
                let (_, created_ms, _) = self.live.remove(at);
                self.live.push((key, created_ms, now_ms));
                tally.hits += 1;
            }
            None => {
                self.live.push((key, now_ms, now_ms));
                tally.creates += 1;
            }
        }
        if self.live.len() > self.cap {
            self.live.remove(0);
            tally.evicted += 1;
        }
        tally.peak = tally.peak.max(self.live.len());
        tally.left = self.live.len();
    }
}

#[test]
fn replay_follows_the_rule_where_timestamps_tie_and_step_back() {
    let mut state = 0x5eed_u64;
    // Knuth's MMIX generator; its high bits are good enough to mix a trace.
    let mut below = |limit: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % limit
    };
    for round in 0..400 {
        let format = [Format::Mooncake, Format::Combined][round % 2];
        let unit_ms = format.unit_ms();
        let (idle_ms, ttl_ms) = ((1 + below(12)) * unit_ms, (1 + below(20)) * unit_ms);
        let cap = 1 + below(12) as usize;
        let mut at_units = below(2) * 1_000_000;
        let mut model =
            Model { idle_ms, ttl_ms, cap, now_ms: 0, live: Vec::new(), tally: Tally::default() };
        let mut events = Vec::new();
        for _ in 0..400 {
            at_units += [0, 0, 0, 0, 0, 1, 1, 2, 5, 13][below(10) as usize];
            let at_ms = at_units.saturating_sub(below(3)) * unit_ms;
            let key = below(16);
            model.step(at_ms, key);
            events.push(Ok::<_, Infallible>(Event { at_ms, key: Key::Number(key) }));
        }
        // What is not a whole unit rounds up: no event could tell the two apart.
        let short = Duration::from_micros(below(unit_ms * 1_000));
        let settings = Settings {
            idle: Some(Duration::from_millis(idle_ms) - short),
            ttl: Some(Duration::from_millis(ttl_ms) - short),
            cap: Some(cap),
        };
        let (tally, _) = replay(format, &settings, events.into_iter()).unwrap();
        assert_eq!(tally, model.tally, "round {round}: {format:?} with {settings:?}");
    }
}

#[test]
fn events_too_many_for_one_timestamp_are_owned_up_to() {
    let settings = Settings { idle: Some(Duration::from_secs(1)), ttl: None, cap: Some(10) };
    let at_once = |keys| (0..keys).map(|key| event(7_000, Key::Number(key)));
    let (tally, _) = replay(Format::Combined, &settings, at_once(1_366)).unwrap();
    assert_eq!(tally.unordered, 0);
    let (tally, _) = replay(Format::Combined, &settings, at_once(2_000)).unwrap();
    assert_eq!((tally.creates, tally.evicted, tally.unordered), (2_000, 1_990, 634));
}

#[test]
fn settings_that_cannot_be_replayed_are_refused() {
    let refusal = |idle, cap| {
        let settings = Settings { idle, ttl: None, cap };
        let at_once = [event(0, Key::Number(1))];
        replay(Format::Mooncake, &settings, at_once.into_iter()).unwrap_err().to_string()
    };
    assert!(refusal(Some(Duration::ZERO), None).contains("zero"));
    assert!(refusal(None, Some(0)).contains("zero"));
    assert!(refusal(Some(Duration::MAX), None).contains("up to 21 hours"));
    assert!(refusal(Some(Duration::from_secs(86_400)), None).contains("up to 21 hours"));
}

#[test]
fn a_trace_longer_than_the_clock_is_refused() {
    let settings = Settings { idle: None, ttl: None, cap: Some(10) };
    let far = [event(0, Key::Number(1)), event(u64::MAX, Key::Number(1))];
    let error = replay(Format::Nasa, &settings, far.into_iter()).unwrap_err();
    assert!(error.to_string().contains("too far behind"), "{error}");
}

fn event(at_ms: u64, key: Key) -> Result<Event, Infallible> {
    Ok(Event { at_ms, key })
}

// --- the formats ----------------------------------------------------------------------------

const LINE: &str =
    r#"1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 9 "-" "Mo\"z [x]""#;

#[test]
fn combined_line_gives_time_and_client() {
    let read = read(Format::Combined, &[LINE.as_bytes()]);
    assert_eq!(read.events, [(1_431_857_103_000, text(br#"1.2.3.4 Mo\"z [x]"#))]);
    assert_eq!(read.flaws, [""; 0]);
}

#[test]
fn combined_line_counts_if_only_the_agent_is_cut() {
    let at_ms = 1_431_857_103_000;
    let cut = &LINE.as_bytes()[..LINE.len() - 4];
    assert_eq!(read(Format::Combined, &[cut]).events, [(at_ms, text(br#"1.2.3.4 Mo\"z "#))]);
    let before_the_agent = LINE.rfind(" \"Mo").unwrap() + 2;
    for length in 0..before_the_agent {
        let read = read(Format::Combined, &[&LINE.as_bytes()[..length], b"\n", LINE.as_bytes()]);
        assert_eq!(read.events.len(), 1, "cut to {length}");
        assert!(read.flaws[0].contains(":1: "), "{:?}", read.flaws);
    }
}

#[test]
fn combined_time_must_be_one() {
    for time in ["17/May/2015", "32/May/2015:10:05:03 +0000", "01/Jan/1960:00:00:00 +0000", "-"] {
        let line = LINE.replace("17/May/2015:10:05:03 +0000", time);
        assert_eq!(read(Format::Combined, &[line.as_bytes()]).flaws.len(), 1, "{time}");
    }
    let west = LINE.replace("+0000", "-0130");
    let events = read(Format::Combined, &[west.as_bytes()]).events;
    assert_eq!(events[0].0, 1_431_857_103_000 + 5_400_000);
}

#[test]
fn odd_bytes_stay_apart() {
    let read = read(Format::Nasa, &[b"\xff\t-\t5\tGET\n", b"\xfe\t-\t5\tGET\r\n", b"\0\t\t5\t"]);
    assert_eq!(read.events, [(5_000, text(b"\xff")), (5_000, text(b"\xfe")), (5_000, text(b"\0"))]);
}

#[test]
fn columns_cut_or_out_of_place_are_bad() {
    let bad = ["", "host", "host\t-", "host\t-\t80724", "\t-\t807249601\tGET", "h\t-\t1e9\tGET"];
    let also = ["h\t-\t-5\tGET", "h\t-\t+5\tGET", "h\t-\t\tGET", "h\t-\t18446744073709551615\tG"];
    for line in bad.into_iter().chain(also) {
        let bytes = format!("{line}\nh\t-\t5\tGET");
        let read = read(Format::Nasa, &[bytes.as_bytes()]);
        assert_eq!((read.events.len(), read.flaws.len()), (1, 1), "{line:?}");
    }
}

#[test]
fn header_is_expected_on_the_first_line_alone() {
    let header = b"uuid\ttimestamp\turl\n";
    let read = read(Format::Wikipedia, &[header, b"a\t5\tu\n", header, b"b\t6\tu\n"]);
    assert_eq!(read.events, [(5_000, text(b"a")), (6_000, text(b"b"))]);
    assert_eq!(read.flaws.len(), 1);
    assert!(read.flaws[0].contains(":3: "), "{:?}", read.flaws);
}

#[test]
fn mooncake_request_is_a_conversation_or_its_blocks() {
    let line =
        br#"{"timestamp": 27482, "input_length": 1, "output_length": 2, "hash_ids": [0, 7, 8]}"#;
    let blocks = [0, 7, 8].map(|id| (27_482, Key::Number(id)));
    assert_eq!(read(Format::MooncakeBlocks, &[line]).events, blocks);
    assert_eq!(read(Format::Mooncake, &[line]).events, blocks[1..2]);
}

#[test]
fn mooncake_request_in_other_words_is_bad() {
    let bad = [
        r#"{"timestamp": 1, "hash_ids": [0, 1]"#,
        r#"{"timestamp": 1.5, "hash_ids": [0, 1]}"#,
        r#"{"timestamp": 1}"#,
        r#"{"timestamp": -1, "hash_ids": [0, 1]}"#,
        r#"{"timestamp": 1, "hash_ids": [0, "1"]}"#,
        r#"{"timestamp": 1, "hash_ids": [0]}"#,
        "[",
    ];
    for line in bad {
        let read = read(Format::Mooncake, &[line.as_bytes()]);
        assert_eq!((read.events.len(), read.flaws.len()), (0, 1), "{line}");
    }
}

#[test]
fn raw_keys_are_big_endian_and_the_last_may_be_cut() {
    let bytes = [0, 0, 1, 2, 0x80, 0, 0, 0, 9];
    let narrow = read(Format::KeysU32, &[&bytes]);
    assert_eq!(narrow.events, [(0, Key::Number(0x102)), (1, Key::Number(0x8000_0000))]);
    assert!(narrow.flaws[0].contains(":3: the file ends inside a key"), "{:?}", narrow.flaws);
    let wide = read(Format::KeysI64, &[&bytes]);
    assert_eq!(wide.events, [(0, Key::Number(0x102_8000_0000))]);
    assert!(wide.flaws[0].contains(":2: "), "{:?}", wide.flaws);
}

#[test]
fn arc_request_touches_consecutive_blocks() {
    let read = read(Format::Arc, &[b"7 3 0 0\n", b"1 0 0 1\n", b"  9  1\t0 2\n"]);
    let expected = [(0, 7), (1, 8), (2, 9), (3, 9)].map(|(at_ms, id)| (at_ms, Key::Number(id)));
    assert_eq!(read.events, expected);
    assert_eq!(read.flaws, [""; 0]);
}

#[test]
fn arc_request_in_other_words_is_bad() {
    for line in ["7", "7 1 0", "7 1 0 x", "7 1 0 0 0", "7 -1 0 0", "7 99999999 0 0"] {
        assert_eq!(read(Format::Arc, &[line.as_bytes()]).flaws.len(), 1, "{line}");
    }
    assert_eq!(read(Format::Arc, &[b"18446744073709551615 2 0 0"]).flaws.len(), 1);
}

#[test]
fn overlong_line_is_one_bad_line() {
    let noise = vec![b'x'; 3 << 20];
    let read = read(Format::Arc, &[b"1 1 0 0\n", &noise, b"\n2 1 0 1\n"]);
    assert_eq!(read.events, [(0, Key::Number(1)), (1, Key::Number(2))]);
    assert!(read.flaws[0].contains(":2: the line is longer"), "{:?}", read.flaws);
}

#[test]
fn only_the_first_bad_lines_are_kept_in_words() {
    let noise = scratch("noise", &[&b"x\n".repeat(1_000)]);
    let mut trace = Trace::new(Format::Arc, vec![noise.0.clone()]);
    assert!(trace.next().is_none());
    assert_eq!((trace.bad().count, trace.bad().first.len()), (1_000, 5));
}

#[test]
fn empty_files_have_no_events_and_no_flaws() {
    for format in [Format::Combined, Format::Nasa, Format::Mooncake, Format::KeysU32, Format::Arc] {
        for bytes in [Vec::new(), gzipped(b"")] {
            let read = read(format, &[&bytes]);
            assert_eq!((read.events.len(), read.flaws.len()), (0, 0), "{format:?}");
        }
    }
}

#[test]
fn files_are_one_stream_whether_gzipped_or_not() {
    let plain = scratch("plain", &[b"1 1 0 0\n"]);
    // Two members in one file are one stream, as `cat a.gz b.gz` makes them.
    let packed = scratch("packed", &[&gzipped(b"2 1 0 0\n3 1"), &gzipped(b" 0 1\n")]);
    let events: Vec<_> =
        Trace::new(Format::Arc, vec![plain.0.clone(), packed.0.clone(), plain.0.clone()])
            .map(Result::unwrap)
            .collect();
    let expected = [(0, 1), (1, 2), (2, 3), (3, 1)];
    assert_eq!(events, expected.map(|(at_ms, id)| Event { at_ms, key: Key::Number(id) }));
}

#[test]
fn gzip_that_is_cut_or_corrupt_is_an_error_and_the_end() {
    let whole = gzipped(&b"1 1 0 0\n".repeat(10_000));
    let cut = whole[..whole.len() / 2].to_vec();
    let mut flipped = whole.clone();
    let checksum_at = flipped.len() - 8;
    flipped[checksum_at] ^= 1;
    let trailed = [whole.as_slice(), b"not gzip"].concat();
    let headless = whole[..3].to_vec();
    for (name, bytes) in
        [("cut", cut), ("flipped", flipped), ("trailed", trailed), ("headless", headless)]
    {
        let good = scratch("good", &[b"1 1 0 0\n"]);
        let broken = scratch(name, &[&bytes]);
        let mut trace = Trace::new(Format::Arc, vec![broken.0.clone(), good.0.clone()]);
        let error = trace.by_ref().find_map(Result::err);
        assert!(error.is_some_and(|error| error.to_string().contains(name)), "{name}");
        assert!(trace.next().is_none(), "{name} was followed by another file");
    }
}

#[test]
fn missing_file_is_an_error_that_names_it() {
    let mut trace = Trace::new(Format::Arc, vec!["/no/such/trace".into()]);
    let error = trace.next().and_then(Result::err).unwrap();
    assert_eq!(error.to_string(), "cannot read /no/such/trace");
    assert!(std::error::Error::source(&error).is_some());
}

struct Read {
    events: Vec<(u64, Key)>,
    flaws: Vec<String>,
}

/// The events and flaws of a file that holds `parts`, one after the other.
fn read(format: Format, parts: &[&[u8]]) -> Read {
    let file = scratch("inline", parts);
    let mut trace = Trace::new(format, vec![file.0.clone()]);
    let events = trace.by_ref().map(|event| event.expect("the file is readable"));
    let events = events.map(|event| (event.at_ms, event.key)).collect();
    Read { events, flaws: trace.bad().first.clone() }
}

/// A file that goes when the test is over.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left to `cargo clean`.
        let _ = fs::remove_file(&self.0);
    }
}

fn scratch(name: &str, parts: &[&[u8]]) -> Scratch {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let unique = format!("{}.{number}.{name}", std::process::id());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(unique);
    fs::write(&path, parts.concat()).expect("cargo's own folder is writable");
    Scratch(path)
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("a Vec takes all");
    encoder.finish().expect("a Vec takes all")
}

fn text(bytes: &[u8]) -> Key {
    Key::Text(bytes.into())
}
