use std::path::{Path, PathBuf};
use std::{env, io};

use io::Write;

use super::*;
use crate::run::{Settings, replay};
use crate::stream::planned;

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn figures_of_a_small_log() {
    // Idle after 10: a from 0 to 15, b from 8 to 18, a again from 20 to 30.
    let mut sessions = Sessions { idle_ms: 10, live_ms: u64::MAX, ..Sessions::default() };
    for (at_ms, key) in [(0, 1), (5, 1), (8, 2), (7, 2), (20, 1)] {
        sessions.take(Event { at_ms, key: Key::Number(key) });
    }
    let mut spans = sessions.finish();
    spans.sort_unstable();
    assert_eq!(spans, [(0, 15), (8, 18), (20, 30)]);
    let log = Log::of(&spans, 0, 20);
    assert_eq!((log.sessions, log.peak, log.halves), (3, 2, Some([2, 2])));
    assert!((log.mean - 25.0 / 20.0).abs() < 1e-9, "{log:?}");
    assert_eq!(log.mean_lifetime, Duration::from_millis(12));
}

#[test]
fn a_lifetime_that_is_over_ends_a_session_in_use() {
    let mut sessions = Sessions { idle_ms: 10, live_ms: 12, ..Sessions::default() };
    for at_ms in [0, 5, 11, 12] {
        sessions.take(Event { at_ms, key: Key::Number(1) });
    }
    let mut spans = sessions.finish();
    spans.sort_unstable();
    assert_eq!(spans, [(0, 12), (12, 22)]);
}

#[test]
fn a_log_of_one_moment_has_no_halves() {
    let log = Log::of(&[(7, 17), (7, 17)], 7, 7);
    assert_eq!((log.peak, log.mean, log.halves), (2, 2.0, None));
    assert_eq!(log.rate(), Rate::of_seconds(2.0));
}

#[test]
fn real_logs_reach_what_a_replay_through_a_cache_reaches() {
    for (file, format, idle, live, sessions, peak) in [
        (NASA, Format::Nasa, 5, None, 4_288, 82),
        (NASA, Format::Nasa, 30, None, 3_265, 273),
        (NASA, Format::Nasa, 30, Some(60), 3_308, 270),
        (SEMICOMPLETE, Format::Combined, 30, None, 3_224, 64),
        (WIKIPEDIA, Format::Wikipedia, 5, None, 27_703, 24),
        (WIKIPEDIA, Format::Wikipedia, 30, Some(60), 22_464, 72),
        (MOONCAKE, Format::Mooncake, 5, None, 8_369, 929),
        (MOONCAKE, Format::Mooncake, 30, None, 7_404, 4_163),
        (MOONCAKE, Format::MooncakeBlocks, 30, None, 183_632, 97_371),
    ] {
        let Some(path) = trace_or_skip(file) else { return };
        let (idle, live) = (Some(idle * MINUTE), live.map(|minutes: u32| minutes * MINUTE));
        let log = Log::read(path.clone(), format, idle, live).unwrap();
        assert_eq!((log.sessions, log.peak, log.bad_lines), (sessions, peak, 0), "{file}");
        let settings = Settings { idle, ttl: live, cap: None };
        let (tally, _) = replay(format, &settings, Trace::new(format, vec![path])).unwrap();
        assert_eq!((log.sessions, log.peak), (tally.creates, tally.peak as u64), "{file}");
    }
}

/// The plan from the first half of each trace, and what the second half reached.
#[test]
fn plans_from_first_halves_hold_or_say_by_how_much_not() {
    for (file, format, idle, expected) in [
        // A morning after a night: no first half could have told.
        (NASA, Format::Nasa, 30, [129, 273]),
        (SEMICOMPLETE, Format::Combined, 30, [90, 60]),
        (WIKIPEDIA, Format::Wikipedia, 5, [40, 21]),
        (WIKIPEDIA, Format::Wikipedia, 30, [100, 65]),
        (MOONCAKE, Format::Mooncake, 5, [959, 929]),
        (MOONCAKE, Format::MooncakeBlocks, 5, [21_546, 21_251]),
    ] {
        let Some(path) = trace_or_skip(file) else { return };
        let log = Log::read(path, format, Some(idle * MINUTE), None).unwrap();
        let [first, second] = log.halves.unwrap();
        assert_eq!([planned(first as f64), second], expected, "{file}");
        assert_eq!(log.peak, first.max(second));
    }
}

const NASA: &str = "nasa_ksc_1995-08-01.tsv.gz";
const SEMICOMPLETE: &str = "semicomplete_2015-05-17_20.log.gz";
const WIKIPEDIA: &str = "wikipedia_readers_2014-01.tsv.gz";
const MOONCAKE: &str = "mooncake_conversation.jsonl.gz";

/// As in `tests/traces.rs`.
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
