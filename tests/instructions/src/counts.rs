//! Instructions per operation: counted by Valgrind, written down, compared.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::operation::{OPERATIONS, Operation};

#[derive(Serialize, Deserialize)]
pub struct Counts {
    /// What compiled them: another compiler makes other code.
    compiler: String,
    /// Instructions per operation, by its name.
    instructions: BTreeMap<String, u64>,
}

impl Counts {
    pub fn count(operations: &[Operation]) -> Result<Self, Failure> {
        let compiler = Command::new("rustc").arg("--version").output()?.stdout;
        let compiler = String::from_utf8(compiler)?.trim().to_owned();
        let mut instructions = BTreeMap::new();
        for &operation in operations {
            instructions.insert(name(operation), count(operation)?);
        }
        Ok(Self { compiler, instructions })
    }

    pub fn read(file: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(file)
            .map_err(|error| format!("{}: {error}; write it with --record", file.display()))?;
        Ok(toml::from_str(&text)?)
    }

    pub fn write(&self, file: &Path) -> Result<(), Failure> {
        let head = "# Instructions per operation, written by `--record` (see src/main.rs).\n";
        let text = format!("{head}{}", toml::to_string(self)?);
        print!("{text}");
        Ok(std::fs::write(file, text)?)
    }

    /// Prints a table; true if nothing differs by more than is allowed.
    pub fn compare(&self, recorded: &Self) -> bool {
        let allowed = if self.compiler == recorded.compiler { SAME_COMPILER } else { ANOTHER };
        println!("recorded with {}, counted with {}", recorded.compiler, self.compiler);
        println!("| operation | recorded | counted | change |\n| --- | ---: | ---: | ---: |");
        let mut is_as_recorded = recorded.instructions.len() == self.instructions.len();
        for (name, &counted) in &self.instructions {
            let Some(&recorded) = recorded.instructions.get(name) else {
                println!("| {name} | **nothing** | {counted} | |");
                is_as_recorded = false;
                continue;
            };
            let change = 100.0 * (counted as f64 / recorded as f64 - 1.0);
            let is_allowed = change.abs() <= allowed;
            let remark = if is_allowed { "" } else { " **too much**" };
            println!("| {name} | {recorded} | {counted} | {change:+.1} %{remark} |");
            is_as_recorded &= is_allowed;
        }
        if !is_as_recorded {
            println!("more than {allowed} % apart: find out why, or write it down with --record");
        }
        is_as_recorded
    }
}

fn count(operation: Operation) -> Result<u64, Failure> {
    let report = tempfile::NamedTempFile::new()?;
    let run = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--collect-atstart=no",
            "--toggle-collect=*counted_by_valgrind*",
        ])
        .arg(format!("--callgrind-out-file={}", report.path().display()))
        .arg(std::env::current_exe()?)
        .args(["--work", &name(operation)])
        .output()
        .map_err(|error| format!("valgrind cannot be started, install it: {error}"))?;
    let said = String::from_utf8_lossy(&run.stderr);
    if !run.status.success() {
        return Err(format!("{} failed under valgrind:\n{said}", name(operation)).into());
    }
    let total: u64 = said
        .lines()
        .find_map(|line| line.split_once("Collected : "))
        .ok_or_else(|| format!("valgrind counted nothing:\n{said}"))?
        .1
        .trim()
        .parse()?;
    Ok((total + OPERATIONS / 2) / OPERATIONS)
}

fn name(operation: Operation) -> String {
    operation.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// Percent. The allocator's own paths differ a little from one system to another.
const SAME_COMPILER: f64 = 3.0;
/// Percent. Enough for a compiler's moods, too little for a lock more.
const ANOTHER: f64 = 12.0;
