//! The table of what was caught, kept from run to run: a row holds for as long as the crate, the
//! plant and the tests that catch it stay as they are.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::Failure;
use crate::seed::Seed;
use crate::tool::Outcome;
use crate::tree::Tree;

pub(crate) struct Results {
    path: PathBuf,
    /// By the names of their plants.
    rows: HashMap<String, Row>,
}

struct Row {
    /// As it stands in the table, without its first column.
    text: String,
    is_settled: bool,
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
                is_settled: !rest.contains("**"),
                of: of.trim_matches('`').to_owned(),
            };
            rows.insert(name.to_owned(), row);
        }
        Self { path: path.to_owned(), rows }
    }

    /// Whether this very seed came to what it had to, in what is there now.
    pub(crate) fn has_settled(&self, seed: Seed<'_>, tree: &Tree) -> Result<bool, Failure> {
        let of = seed.fingerprint(tree)?;
        Ok(self.rows.get(&seed.name()).is_some_and(|row| row.is_settled && row.of == of))
    }

    /// Notes what came of a seed, and gives its row.
    pub(crate) fn note(
        &mut self,
        seed: Seed<'_>,
        outcome: &Outcome,
        took: Duration,
        tree: &Tree,
    ) -> Result<String, Failure> {
        let (promise, tool, verdict) = (seed.promise(), seed.tool(), seed.verdict(outcome));
        let (seconds, date, of) = (took.as_secs(), today()?, seed.fingerprint(tree)?);
        let text = format!("{promise} | {tool}: {verdict} | {seconds} | {date} | `{of}` |");
        let row = Row { text: text.clone(), is_settled: seed.is_settled_by(outcome), of };
        self.rows.insert(seed.name(), row);
        Ok(format!("| {} | {text}", seed.name()))
    }

    /// Writes the tables, and gives how many came to what they had to, in what is there now.
    pub(crate) fn write(&self, seeds: &[Seed<'_>], tree: &Tree) -> Result<usize, Failure> {
        let (mut plants, mut orderings) = (String::new(), String::new());
        let mut settled = 0;
        for seed in seeds {
            settled += usize::from(self.has_settled(*seed, tree)?);
            let row = self.rows.get(&seed.name()).map_or("**not run** |", |row| &row.text);
            let table = match seed {
                Seed::Plant(_) => &mut plants,
                Seed::Ordering(_) => &mut orderings,
            };
            *table += &format!("| {} | {row}\n", seed.name());
        }
        let all = seeds.len();
        let text = format!(
            "{HEAD}\n{settled} of {all} as they had to be.\n\n## Bugs\n\n| bug | breaks {COLUMNS}\n\
             {plants}\n{ORDERINGS}\n| weakened to | file {COLUMNS}\n{orderings}"
        );
        fs::write(&self.path, text)?;
        Ok(settled)
    }
}

fn today() -> Result<String, Failure> {
    let date = Command::new("date").args(["--utc", "+%F"]).output()?;
    Ok(String::from_utf8(date.stdout)?.trim().to_owned())
}

const HEAD: &str = "\
# What was planted, and who caught it

Written by `cargo run --release --manifest-path tests/planted/Cargo.toml`, row by row; `--resume` runs
only what has not been seen in the crate as it is now. A row's seconds are those of compiling and
running, on a machine that had other things to do; its last column tells the crate, what was planted,
and the tests that caught it apart from what they were at other times.
";
const ORDERINGS: &str = "\
## Orderings

Every ordering but Relaxed in the code where threads meet, each weakened by itself.
";
const COLUMNS: &str =
    "| caught by | seconds | date | seen on |\n| --- | --- | --- | ---: | --- | --- |";
