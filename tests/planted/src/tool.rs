//! What catches bugs, and how it is run.

use std::fmt;
use std::fs::File;
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::ValueEnum;
use serde::Deserialize;
use wait_timeout::ChildExt;

use crate::Failure;
use crate::tree::Tree;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Tool {
    /// Tests beside the code.
    Unit,
    Api,
    Promises,
    Properties,
    Leaks,
    Faults,
    Histories,
    Traces,
    /// The models, at the preemption bound that each has for itself.
    Loom,
    Shuttle,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    Passed,
    Failed,
    Hung,
    DoesNotCompile,
    NothingRan,
}

impl Tool {
    /// Runs the tests whose names contain `test`.
    pub(crate) fn run(self, tree: &Tree, test: &str) -> Result<Outcome, Failure> {
        let built = self.cargo(tree).arg("--no-run").stderr(Stdio::null()).status()?;
        if !built.success() {
            return Ok(Outcome::DoesNotCompile);
        }
        let log = tree.log();
        let mut child = self
            .cargo(tree)
            .args(["--", test, "--test-threads=2"])
            .stdout(File::create(&log)?)
            .stderr(Stdio::null())
            .spawn()?;
        let Some(status) = child.wait_timeout(PATIENCE)? else {
            // Cargo's own end leaves the test running: it is in a group of its own.
            tree.end(&mut child)?;
            return Ok(Outcome::Hung);
        };
        let report = std::fs::read_to_string(log)?;
        let ran = report.lines().any(|line| line.starts_with("running ") && !line.contains(" 0 "));
        Ok(match (ran, status.success()) {
            (false, true) => Outcome::NothingRan,
            (_, true) => Outcome::Passed,
            (_, false) => Outcome::Failed,
        })
    }

    fn cargo(self, tree: &Tree) -> Command {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(tree.path()).args(["test", "--quiet"]);
        cargo.env("CARGO_TARGET_DIR", tree.target()).env_remove("RUSTFLAGS");
        std::os::unix::process::CommandExt::process_group(&mut cargo, 0);
        match self {
            Self::Unit => cargo.arg("--lib"),
            Self::Loom => {
                let flags = "--cfg sundown_loom --cfg crossbeam_loom";
                cargo.env("CARGO_TARGET_DIR", tree.target().join("loom"));
                cargo.env("RUSTFLAGS", flags).args(["--release", "--lib"])
            }
            Self::Shuttle => {
                cargo.env("CARGO_TARGET_DIR", tree.target().join("shuttle"));
                cargo.env("RUSTFLAGS", "--cfg sundown_shuttle");
                cargo.args(["--release", "--test", "shuttle"])
            }
            other => cargo.args(["--test", &other.to_string()]),
        };
        cargo
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.to_possible_value().map(|value| value.get_name().to_owned());
        f.write_str(name.as_deref().unwrap_or_default())
    }
}

/// Longer than any of these tests takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(900);
