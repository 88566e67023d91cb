//! One bug: where it goes, what it breaks, who catches it.

use std::path::Path;

use serde::Deserialize;

use crate::Failure;
use crate::tool::{Outcome, Tool};
use crate::tree::Tree;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plant {
    pub(crate) name: String,
    /// The promise of the contract, or the numbered invariant, that it breaks.
    pub(crate) promise: String,
    file: String,
    /// What stands there now, exactly once.
    find: String,
    replace: String,
    pub(crate) tool: Tool,
    /// The test that has to fail; all whose names contain it are run.
    pub(crate) test: String,
}

#[derive(Deserialize)]
struct Plants {
    plant: Vec<Plant>,
}

impl Plant {
    pub(crate) fn read_all(path: &Path) -> Result<Vec<Self>, Failure> {
        let plants: Plants = toml::from_str(&std::fs::read_to_string(path)?)?;
        Ok(plants.plant)
    }

    /// Sees that it can be planted: the code may have moved on.
    pub(crate) fn check(&self, tree: &Tree) -> Result<(), Failure> {
        match tree.read(&self.file)?.matches(&self.find).count() {
            1 => Ok(()),
            count => Err(format!("{}: {count} places for it in {}", self.name, self.file).into()),
        }
    }

    /// Plants it, runs its test, and takes it out again.
    pub(crate) fn grow(&self, tree: &Tree) -> Result<Outcome, Failure> {
        let sound = tree.read(&self.file)?;
        tree.write(&self.file, &sound.replacen(&self.find, &self.replace, 1))?;
        let outcome = self.tool.run(tree, &self.test);
        tree.write(&self.file, &sound)?;
        outcome
    }
}
