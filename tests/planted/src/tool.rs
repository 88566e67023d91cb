//! What catches bugs, and how it is run.

use std::fmt;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::Deserialize;
use wait_timeout::ChildExt;

use crate::Failure;
use crate::tree::Tree;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(crate) enum Tool {
    /// Tests beside the code.
    Unit,
    /// The same, with the stores for web frameworks and the sessions.
    Stores,
    Api,
    Promises,
    Properties,
    Leaks,
    /// The check that users' own tests run.
    LeakCheck,
    /// Resident memory, each test in a process of its own.
    Resident,
    /// Signals, forks and stacks, each test in a process of its own.
    Process,
    /// A target that lacks much.
    Bare,
    Faults,
    Histories,
    Traces,
    WheelEdges,
    PeersBugs,
    /// The soak's own checks; the soak itself takes too long.
    Soak,
    /// The models, at the preemption bound that each has for itself.
    Loom,
    Shuttle,
}

/// What a run of tests came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    Passed,
    /// These tests failed.
    Failed(Vec<String>),
    /// The process died before it could name who failed; this test was the last to panic.
    Died(Option<String>),
    Hung,
    DoesNotCompile,
    NothingRan,
}

impl Tool {
    /// Runs the tests whose names contain one of the words of `tests`; all, if there is none. Tells
    /// what they came to, and how long they took once they were compiled.
    pub(crate) fn run(
        self,
        tree: &Tree,
        tests: &str,
        patience: Duration,
    ) -> Result<(Outcome, Duration), Failure> {
        let built = self.cargo(tree).arg("--no-run").stderr(Stdio::null()).status()?;
        if !built.success() {
            return Ok((Outcome::DoesNotCompile, Duration::ZERO));
        }
        let start = Instant::now();
        let (log, errors) = (tree.log("report"), tree.log("errors"));
        let mut child = self
            .cargo(tree)
            .args(["--", "--test-threads=2"])
            .args(tests.split_whitespace())
            .stdout(File::create(&log)?)
            .stderr(File::create(&errors)?)
            .spawn()?;
        let Some(status) = child.wait_timeout(patience)? else {
            // Cargo's own end leaves the test running: it is in a group of its own.
            tree.end(&mut child)?;
            return Ok((Outcome::Hung, start.elapsed()));
        };
        let (report, errors) = (std::fs::read(log)?, std::fs::read(errors)?);
        let report = String::from_utf8_lossy(&report);
        let errors = String::from_utf8_lossy(&errors);
        let took = start.elapsed();
        let outcome = match (has_run(&report), status.success()) {
            (false, true) => Outcome::NothingRan,
            (_, true) => Outcome::Passed,
            (_, false) => match failures(&report) {
                names if names.is_empty() => Outcome::Died(last_to_panic(&errors)),
                names => Outcome::Failed(names),
            },
        };
        Ok((outcome, took))
    }

    /// How long a test may take with a bug, which takes `clean` without it. A model has more to
    /// explore with some bugs, and ends all the same.
    pub(crate) fn patience(self, clean: Option<Duration>) -> Duration {
        let is_model = matches!(self, Self::Loom | Self::Shuttle);
        clean
            .filter(|_| !is_model)
            .map_or(PATIENCE, |clean| LEAST_PATIENCE + 20 * clean)
            .min(PATIENCE)
    }

    /// What, besides the crate itself, decides what this tool says.
    pub(crate) fn inputs(self) -> &'static [&'static str] {
        match self {
            Self::Unit | Self::Stores | Self::Loom => &[],
            Self::Api => &["tests/api"],
            Self::Promises => &["tests/promises"],
            Self::Properties => &["tests/properties.rs", "tests/common/"],
            Self::Leaks => &["tests/leaks.rs"],
            Self::LeakCheck => &["tests/leak_check.rs"],
            Self::Resident => &["tests/resident.rs"],
            Self::Process => &["tests/process.rs"],
            Self::Bare => &["tests/bare.rs"],
            Self::Faults => &["tests/faults"],
            Self::Histories => &["tests/histories", "tests/history/", "tests/common/"],
            Self::Traces => &["tests/traces.rs", "tests/common/", "examples/replay/"],
            Self::WheelEdges => &["tests/wheel_edges.rs"],
            Self::PeersBugs => &["tests/peers_bugs.rs"],
            Self::Soak => &["tests/soak.rs", "examples/soak/", "examples/outage/"],
            Self::Shuttle => &["tests/shuttle", "tests/history/", "tests/common/"],
        }
    }

    fn cargo(self, tree: &Tree) -> Command {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(tree.path()).args(["test", "--quiet"]);
        cargo.env("CARGO_TARGET_DIR", tree.target()).env_remove("RUSTFLAGS");
        // Each bug changes one file, and nobody debugs it.
        cargo.env("CARGO_INCREMENTAL", "1").env("CARGO_PROFILE_DEV_DEBUG", "0");
        // A test that waits for what a bug never lets happen need not wait for a minute.
        cargo.env("SUNDOWN_PATIENCE_SECONDS", "15");
        cargo.envs(tree.variable().map(|(name, value)| (name, value)));
        cargo.process_group(0);
        match self {
            Self::Unit => cargo.arg("--lib"),
            Self::Stores => {
                let features = "tower-sessions-0_15,actix-session-0_11,sessions";
                cargo.args(["--features", features, "--lib"])
            }
            Self::LeakCheck => cargo.args(["--features", "testing", "--test", "leak_check"]),
            Self::Loom => {
                let flags = "--cfg sundown_loom --cfg crossbeam_loom";
                cargo.env("CARGO_TARGET_DIR", tree.target().join("loom"));
                cargo.env("RUSTFLAGS", flags).args(["--release", "--features", "sessions", "--lib"])
            }
            Self::Bare => {
                cargo.env("CARGO_TARGET_DIR", tree.target().join("bare"));
                cargo.env("RUSTFLAGS", "--cfg sundown_bare").args(["--test", "bare"])
            }
            Self::Shuttle => {
                cargo.env("CARGO_TARGET_DIR", tree.target().join("shuttle"));
                cargo.env("RUSTFLAGS", "--cfg sundown_shuttle");
                cargo.args(["--release", "--features", "sessions", "--test", "shuttle"])
            }
            other => cargo.args(["--test", &other.to_string()]),
        };
        cargo
    }
}

fn has_run(report: &str) -> bool {
    report.lines().any(|line| line.starts_with("running ") && !line.contains(" 0 "))
}

/// The names in the last list that the test harness prints under "failures:".
fn failures(report: &str) -> Vec<String> {
    let Some((_, list)) = report.rsplit_once("\nfailures:\n") else { return Vec::new() };
    let names = list.lines().map_while(|line| line.strip_prefix("    "));
    names.map(str::to_owned).collect()
}

/// The test whose panic is the last to be told of. A panic inside another one's clean-up ends the
/// process, and is told of whether the harness captures what tests print or not.
fn last_to_panic(errors: &str) -> Option<String> {
    let names = errors.lines().filter_map(|line| line.strip_prefix("thread '")?.split_once('\''));
    names.map(|(name, _)| name.to_owned()).rfind(|name| name.contains("::"))
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.to_possible_value().map(|value| value.get_name().to_owned());
        f.write_str(name.as_deref().unwrap_or_default())
    }
}

/// Longer than any of these tests takes on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(900);
const LEAST_PATIENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_those_of_the_last_list() {
        let report = "\nrunning 2 tests\n..F\nfailures:\n\n---- a::b stdout ----\n    no\n\n\
                      failures:\n    a::b\n    c\n\ntest result: FAILED. 0 passed\n";
        assert_eq!(failures(report), ["a::b", "c"]);
        assert!(has_run(report) && !has_run("\nrunning 0 tests\n"));
        assert!(failures("\nrunning 1 test\n").is_empty(), "a process that died names nobody");
        let errors = "\nthread 'a::b' (7) panicked at c.rs:1:\nno\nthread 'main' panicked at d\n";
        assert_eq!(last_to_panic(errors).as_deref(), Some("a::b"));
    }
}
