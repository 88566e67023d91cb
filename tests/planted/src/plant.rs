//! One bug: where it goes, what it breaks, who catches it.

use std::path::Path;
use std::time::Duration;

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
    pub(crate) file: String,
    /// What stands there now, exactly once.
    pub(crate) find: String,
    pub(crate) replace: String,
    pub(crate) tool: Tool,
    /// The test that has to fail; all whose names contain it are run. If it is several words, a
    /// test has to fail for each of them.
    pub(crate) test: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plants {
    pub(crate) plant: Vec<Plant>,
}

impl Plants {
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let plants: Self = toml::from_str(&std::fs::read_to_string(path)?)?;
        let mut names: Vec<_> = plants.plant.iter().map(|plant| &plant.name).collect();
        names.sort();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("two plants are named “{}”", pair[0]).into());
        }
        Ok(plants)
    }

    /// Everything that keeps a plant from being planted: the code may have moved on.
    pub(crate) fn complaints(&self, tree: &Tree) -> Result<Vec<String>, Failure> {
        let mut complaints = Vec::new();
        for plant in &self.plant {
            let count = tree.read(&plant.file)?.matches(&plant.find).count();
            if count != 1 {
                let (name, file) = (&plant.name, &plant.file);
                complaints.push(format!("{name}: {count} places for it in {file}"));
            }
            if plant.find == plant.replace {
                complaints.push(format!("{}: it changes nothing", plant.name));
            }
        }
        Ok(complaints)
    }
}

impl Plant {
    /// Plants it, runs its test, and takes it out again.
    pub(crate) fn grow(&self, tree: &Tree, patience: Duration) -> Result<Outcome, Failure> {
        let sound = tree.read(&self.file)?;
        tree.write(&self.file, &sound.replacen(&self.find, &self.replace, 1))?;
        let run = self.tool.run(tree, &self.test, patience);
        tree.write(&self.file, &sound)?;
        run.map(|(outcome, _)| outcome)
    }

    /// Whether this is what had to happen.
    pub(crate) fn is_caught_by(&self, outcome: &Outcome) -> bool {
        let words: Vec<_> = self.test.split_whitespace().collect();
        match outcome {
            Outcome::Failed(names) if words.len() > 1 => {
                words.iter().all(|word| names.iter().any(|name| name.contains(word)))
            }
            // One test is enough to end the process, and the others have not been heard.
            Outcome::Died(_) | Outcome::Hung => words.len() <= 1,
            Outcome::Failed(_) => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plant(test: &str) -> Plant {
        let (name, promise, file) = ("bug".into(), "G1".into(), "a.rs".into());
        let (find, replace) = ("b".into(), "c".into());
        Plant { name, promise, file, find, replace, tool: Tool::Unit, test: test.into() }
    }

    #[test]
    fn a_bug_is_caught_if_each_test_that_it_names_fails() {
        let failed = |names: &[&str]| Outcome::Failed(names.iter().map(|&n| n.into()).collect());
        assert!(plant("").is_caught_by(&failed(&["x"])) && plant("a").is_caught_by(&Outcome::Hung));
        assert!(plant("a b").is_caught_by(&failed(&["m::a", "m::b"])));
        assert!(!plant("a b").is_caught_by(&failed(&["m::a"])), "b did not fail");
        assert!(!plant("a b").is_caught_by(&Outcome::Died(None)), "who knows of b");
        for other in [Outcome::Passed, Outcome::DoesNotCompile, Outcome::NothingRan] {
            assert!(!plant("").is_caught_by(&other));
        }
    }

    #[test]
    fn a_bug_without_exactly_one_place_is_refused() {
        let folder = std::env::temp_dir().join(format!("sundown-plants-{}", std::process::id()));
        let tree = Tree::at(&folder);
        std::fs::create_dir_all(tree.path()).expect("a folder can be made");
        for (content, is_fine) in [("a b", true), ("a", false), ("b b", false)] {
            tree.write("a.rs", content).expect("a file can be written");
            let plants = Plants { plant: vec![plant("")] };
            let complaints = plants.complaints(&tree).expect("it is there");
            assert_eq!(complaints.is_empty(), is_fine, "{content}: {complaints:?}");
        }
        std::fs::remove_dir_all(folder).expect("it can be removed");
    }
}
