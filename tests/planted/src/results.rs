//! The table of what was caught, kept from run to run: a row holds for as long as the crate, the
//! plant and the tests that catch it stay as they are.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::Failure;
use crate::plant::{Plant, Plants};
use crate::tool::Outcome;
use crate::tree::{Tree, mix};

pub(crate) struct Results {
    path: PathBuf,
    /// By the names of their plants.
    rows: HashMap<String, Row>,
}

struct Row {
    /// As it stands in the table, without its first column.
    text: String,
    is_caught: bool,
    /// What it was seen on.
    of: String,
}

impl Results {
    /// What an earlier run has written, if there was one.
    pub(crate) fn read(path: &Path) -> Self {
        let mut rows = HashMap::new();
        for line in fs::read_to_string(path).unwrap_or_default().lines() {
            let Some((name, rest)) = line.strip_prefix("| ").and_then(|l| l.split_once(" | "))
            else {
                continue;
            };
            let of = rest.trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default();
            let row = Row {
                text: rest.to_owned(),
                is_caught: !rest.contains("**"),
                of: of.trim_matches('`').to_owned(),
            };
            rows.insert(name.to_owned(), row);
        }
        Self { path: path.to_owned(), rows }
    }

    /// Whether this very plant was caught in what is there now.
    pub(crate) fn has_caught(&self, plant: &Plant, tree: &Tree) -> Result<bool, Failure> {
        let of = fingerprint(plant, tree)?;
        Ok(self.rows.get(&plant.name).is_some_and(|row| row.is_caught && row.of == of))
    }

    pub(crate) fn note(
        &mut self,
        plant: &Plant,
        outcome: &Outcome,
        took: Duration,
        tree: &Tree,
    ) -> Result<&str, Failure> {
        let is_caught = plant.is_caught_by(outcome);
        let verdict = match outcome {
            Outcome::Failed(names) if names.is_empty() => "the process died".to_owned(),
            Outcome::Failed(names) if is_caught => list(names),
            Outcome::Failed(names) => format!("**only** {}", list(names)),
            Outcome::Hung => format!("`{}`, which never ended", plant.test),
            Outcome::Passed => "**nobody**".into(),
            Outcome::DoesNotCompile => "**does not compile**".into(),
            Outcome::NothingRan => "**no such test**".into(),
        };
        let (promise, tool, seconds) = (&plant.promise, plant.tool, took.as_secs());
        let (date, of) = (today()?, fingerprint(plant, tree)?);
        let text = format!("{promise} | {tool}: {verdict} | {seconds} | {date} | `{of}` |");
        let row = Row { text, is_caught, of };
        self.rows.insert(plant.name.clone(), row);
        Ok(&self.rows[&plant.name].text)
    }

    /// Writes the table, and gives how many of the plants were caught in what is there now.
    pub(crate) fn write(&self, plants: &Plants, tree: &Tree) -> Result<usize, Failure> {
        let mut table = String::new();
        let mut caught = 0;
        for plant in &plants.plant {
            caught += usize::from(self.has_caught(plant, tree)?);
            let row = self.rows.get(&plant.name).map_or("**not run** |", |row| &row.text);
            table += &format!("| {} | {row}\n", plant.name);
        }
        let all = plants.plant.len();
        let text = format!("{HEAD}\n{caught} of {all} caught.\n\n{COLUMNS}\n{table}");
        fs::write(&self.path, text)?;
        Ok(caught)
    }
}

fn list(names: &[String]) -> String {
    let last = |name: &String| format!("`{}`", name.rsplit("::").next().unwrap_or(name));
    let shown: Vec<_> = names.iter().take(MOST_NAMES).map(last).collect();
    let more = names.len().saturating_sub(MOST_NAMES);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    shown.join(", ") + &more
}

/// What a result depends on: the crate, the plant, the tests that catch it.
fn fingerprint(plant: &Plant, tree: &Tree) -> Result<String, Failure> {
    let mut inputs = vec!["src/", "Cargo.toml"];
    inputs.extend(plant.tool.inputs());
    let mut hash = tree.fingerprint(&inputs)?;
    for text in [&plant.file, &plant.find, &plant.replace, &plant.tool.to_string(), &plant.test] {
        hash = mix(hash, text);
    }
    Ok(format!("{:08x}", hash >> 32))
}

fn today() -> Result<String, Failure> {
    let date = Command::new("date").args(["--utc", "+%F"]).output()?;
    Ok(String::from_utf8(date.stdout)?.trim().to_owned())
}

/// A bug that breaks everything need not name everything.
const MOST_NAMES: usize = 4;

const HEAD: &str = "\
# What was planted, and who caught it

Written by `cargo run --release --manifest-path tests/planted/Cargo.toml`, row by row; `--resume` runs
only those plants that were not yet caught in what is there now. A row's seconds are those of
compiling and running, on a machine that had other things to do; its last column tells the crate, the
plant and the tests apart from what they were at other times.
";
const COLUMNS: &str = "| bug | breaks | caught by | seconds | date | seen on |\n| --- | --- | --- | ---: | --- | --- |";
