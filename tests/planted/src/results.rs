//! The table of what was caught, kept from run to run: a row holds for as long as the crate, the
//! plant and the tests that catch it stay as they are.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::Failure;
use crate::orderings::Ordering;
use crate::plant::Plant;
use crate::tool::{Outcome, Tool};
use crate::tree::{Tree, mix};

/// Something that is planted: a bug, or an ordering that is weakened.
#[derive(Clone, Copy)]
pub(crate) enum Seed<'p> {
    Plant(&'p Plant),
    Ordering(&'p Ordering),
}

impl Seed<'_> {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Plant(plant) => plant.name.clone(),
            Self::Ordering(ordering) => ordering.name(),
        }
    }

    pub(crate) fn tool(self) -> Tool {
        match self {
            Self::Plant(plant) => plant.tool,
            Self::Ordering(_) => Tool::Loom,
        }
    }

    pub(crate) fn test(self) -> String {
        match self {
            Self::Plant(plant) => plant.test.clone(),
            Self::Ordering(ordering) => ordering.test.clone(),
        }
    }

    pub(crate) fn grow(self, tree: &Tree) -> Result<Outcome, Failure> {
        match self {
            Self::Plant(plant) => plant.grow(tree),
            Self::Ordering(ordering) => ordering.weaken(tree),
        }
    }

    /// Whether this is what had to happen: to an ordering that nobody sees weakened, nothing.
    pub(crate) fn is_settled_by(self, outcome: &Outcome) -> bool {
        match self {
            Self::Plant(plant) => plant.is_caught_by(outcome),
            Self::Ordering(ordering) if !ordering.unseen.is_empty() => *outcome == Outcome::Passed,
            Self::Ordering(_) => {
                matches!(outcome, Outcome::Failed(_) | Outcome::Died(_) | Outcome::Hung)
            }
        }
    }

    fn promise(self) -> String {
        match self {
            Self::Plant(plant) => plant.promise.clone(),
            Self::Ordering(ordering) => ordering.file.clone(),
        }
    }

    fn verdict(self, outcome: &Outcome) -> String {
        let is_settled = self.is_settled_by(outcome);
        match (self, outcome) {
            (Self::Ordering(ordering), Outcome::Passed) if is_settled => {
                format!(
                    "nobody: {}",
                    ordering.unseen.split_whitespace().collect::<Vec<_>>().join(" ")
                )
            }
            (_, Outcome::Failed(names)) if is_settled => list(names),
            (_, Outcome::Failed(names)) => format!("**only** {}", list(names)),
            (_, Outcome::Died(name)) if is_settled => list(name.as_slice()),
            (_, Outcome::Died(name)) => format!("**only** {}", list(name.as_slice())),
            (_, Outcome::Hung) if is_settled => format!("`{}`, which never ended", self.test()),
            (_, Outcome::Hung) => "**something never ended**".into(),
            (_, Outcome::Passed) => "**nobody**".into(),
            (_, Outcome::DoesNotCompile) => "**does not compile**".into(),
            (_, Outcome::NothingRan) => "**no such test**".into(),
        }
    }

    /// What a result depends on: the crate, what is planted, the tests that see it.
    fn fingerprint(self, tree: &Tree) -> Result<String, Failure> {
        let mut inputs = vec!["src/", "Cargo.toml"];
        inputs.extend(self.tool().inputs());
        let mut hash = mix(tree.fingerprint(&inputs)?, &self.test());
        let texts = match self {
            Self::Plant(plant) => [&plant.file, &plant.find, &plant.replace],
            Self::Ordering(ordering) => [&ordering.file, &ordering.find, &ordering.unseen],
        };
        for text in texts {
            hash = mix(hash, text);
        }
        hash = mix(mix(hash, &self.tool().to_string()), &self.name());
        Ok(format!("{:08x}", hash >> 32))
    }
}

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

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "the process died".into();
    }
    let last = |name: &String| format!("`{}`", name.rsplit("::").next().unwrap_or(name));
    let shown: Vec<_> = names.iter().take(MOST_NAMES).map(last).collect();
    let more = names.len().saturating_sub(MOST_NAMES);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    shown.join(", ") + &more
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
