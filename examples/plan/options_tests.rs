use std::fs;
use std::path::PathBuf;

use super::*;
use crate::sizing::Plan;

/// What the command line comes to, or the words that it is refused with.
fn answer(line: &str) -> Result<Plan, String> {
    let words = ["plan"].into_iter().chain(line.split_whitespace());
    let options = Options::try_parse_from(words).map_err(|error| {
        assert_eq!(error.exit_code(), 2, "{line}");
        error.to_string()
    })?;
    Plan::of(&options.demand()?)
}

#[test]
fn a_command_line_comes_to_a_plan() {
    for line in [
        "--log-ins 2000/min --idle 30m --live 8h --bytes 2KiB",
        "--log-ins 5/day --idle 30m --bytes 1",
        "--log-ins 5/day --live 8h --bytes 1",
        "--log-ins 30/s --idle 8h --live 8h --bytes 2KiB --visit 0s --fill 90 --service-memory 0",
        "--log-ins 30/s --idle 1h --bytes 2KiB --anonymous 900/s --anonymous-idle 5m \
         --anonymous-visit 1m --anonymous-bytes 570 --instance-memory 4GiB",
    ] {
        assert!(answer(line).is_ok(), "{line}: {:?}", answer(line));
    }
}

#[test]
fn what_cannot_be_planned_says_why() {
    for (line, why) in [
        ("--idle 30m --bytes 2KiB", "how many sessions begin?"),
        ("--log-ins 0/min --idle 30m --bytes 2KiB", "zero no session ever begins"),
        ("--log-ins NaN/min --idle 30m --bytes 2KiB", "NaN is not a rate"),
        ("--log-ins -5/min --idle 30m --bytes 2KiB", "a rate cannot be negative"),
        ("--log-ins 1e9/min --idle 30m --bytes 2KiB", "over the limit of 1,000,000,000"),
        ("--log-ins 1e300/min --idle 30m --bytes 2KiB", "over the limit of 1,000,000,000"),
        ("--log-ins 5/s --bytes 2KiB", "--idle, --live or both"),
        ("--log-ins 5/s --idle 0s --bytes 2KiB", "--idle is zero"),
        ("--log-ins 5/s --live 0s --bytes 2KiB", "--live is zero"),
        ("--log-ins 5/s --idle 9h --live 8h --bytes 2KiB", "--idle 9h is longer than --live 8h"),
        ("--log-ins 5/s --idle 11y --bytes 2KiB", "--idle is longer than ten years"),
        ("--log-ins 5/s --idle 5m --visit 11y --bytes 2KiB", "--visit is longer than ten years"),
        ("--log-ins 5/s --idle -5m --bytes 2KiB", "a time cannot be negative"),
        ("--log-ins 5/s --idle 5m", "--bytes <SIZE>"),
        ("--log-ins 5/s --idle 5m --bytes 0", "--bytes is 0"),
        ("--log-ins 5/s --idle 5m --bytes -1", "a size cannot be negative"),
        ("--log-ins 5/s --idle 5m --bytes 900TiB", "more than a pebibyte"),
        ("--log-ins 5/s --idle 5m --bytes 1 --anonymous 0/s", "zero no session ever begins"),
        ("--log-ins 5/s --idle 5m --bytes 1 --anonymous-idle 5m", "--anonymous <RATE>"),
        (
            "--log-ins 5/s --idle 5m --live 5m --bytes 1 --anonymous 1/s --anonymous-idle 6m",
            "--anonymous-idle 6m is longer than --live 5m",
        ),
        (
            "--log-ins 5/s --idle 5m --bytes 1 --anonymous 1/s --anonymous-bytes 0",
            "--anonymous-bytes is 0",
        ),
        ("--log-ins 5/s --idle 5m --bytes 1 --instance-memory 0", "--instance-memory is 0"),
        ("--log-ins 5/s --idle 5m --bytes 1 --instance-memory 99MiB", "not even 10,000 instances"),
        ("--log-ins 5/s --idle 5m --bytes 1 --fill 100%", "from 10 to 90"),
        ("--idle 5m --bytes 1 --format nasa", "--log <FILE>"),
        ("--idle 5m --bytes 1 --log README.md", "--format <FORMAT>"),
        ("--idle 5m --bytes 1 --log README.md --format csv", "possible values: combined"),
        ("--idle 5m --bytes 1 --log README.md --format arc", "has no times"),
        ("--idle 5m --bytes 1 --log not.there --format nasa", "cannot read not.there"),
        ("--idle 5m --bytes 1 --log README.md --format nasa", "no line of README.md is an event"),
    ] {
        let error = answer(line).err().unwrap_or_else(|| panic!("{line} was let pass"));
        assert!(error.contains(why), "{line}: {error}");
    }
}

#[test]
fn an_empty_log_is_refused() {
    let path: PathBuf = std::env::temp_dir().join(format!("plan-{}.log", std::process::id()));
    fs::write(&path, "").unwrap();
    let line = format!("--idle 5m --bytes 1 --log {} --format nasa", path.display());
    let error = answer(&line).unwrap_err();
    fs::remove_file(&path).unwrap();
    assert!(error.contains("has no events"), "{error}");
}

#[test]
fn a_session_lives_for_its_visit_and_its_idle_time_but_not_longer_than_live() {
    let minutes = |minutes| Duration::from_secs(60 * minutes);
    let lives = |visit, idle: Option<u64>, live: Option<u64>| {
        lifetime(minutes(visit), idle.map(minutes), live.map(minutes))
    };
    assert_eq!(lives(10, Some(30), Some(480)), minutes(40));
    assert_eq!(lives(10, Some(30), Some(35)), minutes(35));
    assert_eq!(lives(10, Some(30), None), minutes(40));
    assert_eq!(lives(10, None, Some(480)), minutes(480));
}
