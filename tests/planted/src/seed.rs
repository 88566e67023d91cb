//! What a run goes through, one after the other: bugs, and orderings that are weakened.

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

    /// What it takes to see it.
    pub(crate) fn run(self) -> (Tool, String) {
        (self.tool(), self.test())
    }

    /// Plants it and runs its test, which counts as one that never ends after `patience`.
    pub(crate) fn grow(self, tree: &Tree, patience: Duration) -> Result<Outcome, Failure> {
        match self {
            Self::Plant(plant) => plant.grow(tree, patience),
            Self::Ordering(ordering) => ordering.weaken(tree, patience),
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

    pub(crate) fn promise(self) -> String {
        match self {
            Self::Plant(plant) => plant.promise.clone(),
            Self::Ordering(ordering) => ordering.file.clone(),
        }
    }

    /// What came of it, in the words of the table; bold if that is not what had to happen.
    pub(crate) fn verdict(self, outcome: &Outcome) -> String {
        let is_settled = self.is_settled_by(outcome);
        match (self, outcome) {
            (Self::Ordering(ordering), Outcome::Passed) if is_settled => {
                let why: Vec<_> = ordering.unseen.split_whitespace().collect();
                format!("nobody: {}", why.join(" "))
            }
            (_, Outcome::Failed(names)) if is_settled => list(names),
            (_, Outcome::Died(name)) if is_settled => list(name.as_slice()),
            (_, Outcome::Hung) if is_settled => format!("`{}`, which never ended", self.test()),
            (_, Outcome::Failed(names)) => format!("**but** {}", list(names)),
            (_, Outcome::Died(name)) => format!("**but** {}", list(name.as_slice())),
            (_, Outcome::Hung) => "**something never ended**".into(),
            (_, Outcome::Passed) => "**nobody**".into(),
            (_, Outcome::DoesNotCompile) => "**does not compile**".into(),
            (_, Outcome::NothingRan) => "**no such test**".into(),
        }
    }

    /// What a result depends on: the crate, what is planted, the tests that see it.
    pub(crate) fn fingerprint(self, tree: &Tree) -> Result<String, Failure> {
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

/// A bug that breaks everything need not name everything.
const MOST_NAMES: usize = 4;
