use std::env;
use std::process::Command;

use clap::Parser;

use super::*;
use crate::options::Options;

const CHILD: &str = "SUNDOWN_PLAN_TEST";

fn demand(line: &str) -> Demand {
    let words = ["plan"].into_iter().chain(line.split_whitespace());
    Options::try_parse_from(words).unwrap().demand().unwrap()
}

/// A process each, in which nobody else takes memory and nothing is left free of the one before.
#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn a_plan_is_above_what_a_real_cache_takes_and_not_by_much() {
    let lines = [
        "--log-ins 5/s --idle 5m --bytes 1",
        "--log-ins 5/s --idle 5m --bytes 200",
        "--log-ins 50/s --idle 30m --bytes 2KiB",
        "--log-ins 5/s --idle 5m --bytes 200000",
        "--log-ins 5/s --idle 5m --bytes 2KiB --anonymous 50/s --anonymous-bytes 100",
    ];
    if env::var_os("ASAN_OPTIONS").is_some() {
        println!("skipped: AddressSanitizer's allocator is not the one that is planned for");
    } else if let Ok(line) = env::var(CHILD) {
        let trial = Trial::run(&demand(&line)).unwrap();
        assert!(trial.is_good(), "{line}: {}", trial.told());
    } else {
        let name = "trial::tests::a_plan_is_above_what_a_real_cache_takes_and_not_by_much";
        let itself = env::current_exe().expect("it is known");
        for line in lines {
            let child = Command::new(&itself).args([name, "--exact"]).env(CHILD, line).output();
            let child = child.expect("it can be started");
            let told = String::from_utf8_lossy(&child.stdout);
            assert!(child.status.success() && told.contains("1 passed"), "{line}: {told}");
        }
    }
}

#[test]
fn a_session_that_is_too_large_to_try_is_refused() {
    let error = Trial::run(&demand("--log-ins 5/s --idle 5m --bytes 1GiB")).unwrap_err();
    assert!(error.contains("a single session is more than"), "{error}");
}

#[test]
fn a_plan_below_or_far_above_the_truth_is_not_good() {
    let trial =
        |planned_bytes| Trial { sessions: 1, scale: 1.0, planned_bytes, resident_bytes: 1_000 };
    for (planned_bytes, verdict) in
        [(999, "TOO LOW"), (1_000, "good"), (1_250, "good"), (1_251, "TOO HIGH")]
    {
        assert!(trial(planned_bytes).told().ends_with(verdict), "{planned_bytes}");
    }
}
