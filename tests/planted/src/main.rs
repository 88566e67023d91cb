//! Plants bugs in a copy of the crate, one at a time, and sees each of them caught.
//!
//! `cargo run --release --manifest-path tests/planted/Cargo.toml -- --help`
//!
//! A suite of tests is worth what it catches. `plants.toml` lists defects that somebody could well
//! write: an ordering weakened, two steps swapped, an edge off by one. Each names the promise that it
//! breaks and the test that has to fail for it. A bug counts as caught only if the copy compiles
//! with it, the test passes without it, and fails, or never ends, with it. A bug that has no place
//! any more, or two, is an error, and so is an ordering that no bug weakens.

mod orderings;
mod plant;
mod results;
mod tool;
mod tree;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

use plant::{Plant, Plants};
use results::Results;
use tool::{Outcome, Tool};
use tree::Tree;

type Failure = Box<dyn std::error::Error>;

/// Plants bugs in a copy of sundown, one at a time, and sees each caught.
#[derive(Parser)]
struct Options {
    /// Only the plants whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Only the plants that this tool catches.
    #[arg(long)]
    tool: Option<Tool>,
    /// Not the plants that RESULTS.md says were caught in what is there now.
    #[arg(long)]
    resume: bool,
    /// Take for granted that the tests pass without bugs.
    #[arg(long)]
    skip_clean: bool,
    /// Only look whether every plant has its place, and every ordering its plant.
    #[arg(long)]
    check: bool,
    /// Other plants than those of plants.toml; what they come to is only printed.
    #[arg(long)]
    plants: Option<PathBuf>,
}

fn main() -> Result<ExitCode, Failure> {
    let options = Options::parse();
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = package.ancestors().nth(2).map(PathBuf::from).ok_or("no crate around this one")?;
    let tree = Tree::copy(&root, &root.join("target/planted"))?;
    let (path, results) = match &options.plants {
        None => (package.join("plants.toml"), package.join("RESULTS.md")),
        Some(path) => (path.clone(), tree.target().join("results.md")),
    };
    let plants = Plants::read(&path)?;
    let mut complaints = plants.complaints(&tree)?;
    if options.plants.is_none() {
        complaints.extend(orderings::never_weakened(&plants, &tree)?);
    }
    if !complaints.is_empty() {
        return Err(complaints.join("\n").into());
    }
    if options.check {
        return Ok(ExitCode::SUCCESS);
    }
    let mut results = Results::read(&results);
    let mut chosen: Vec<&Plant> = Vec::new();
    for plant in &plants.plant {
        let is_meant = plant.name.contains(&options.only)
            && options.tool.is_none_or(|tool| tool == plant.tool);
        if is_meant && !(options.resume && results.has_caught(plant, &tree)?) {
            chosen.push(plant);
        }
    }
    if !options.skip_clean {
        see_clean(&chosen, &tree)?;
    }
    let mut missed = 0;
    for plant in &chosen {
        let start = Instant::now();
        let outcome = plant.grow(&tree)?;
        missed += usize::from(!plant.is_caught_by(&outcome));
        let row = results.note(plant, &outcome, start.elapsed(), &tree)?;
        println!("| {} | {row}", plant.name);
        results.write(&plants, &tree)?;
    }
    let caught = results.write(&plants, &tree)?;
    let (now, all) = (chosen.len(), plants.plant.len());
    println!("\n{} of {now} caught; by this and earlier runs {caught} of {all}", now - missed);
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Sees each test that a plant names pass on the unchanged copy.
fn see_clean(plants: &[&Plant], tree: &Tree) -> Result<(), Failure> {
    let mut seen: Vec<(Tool, &str)> = Vec::new();
    for plant in plants {
        let (tool, test) = (plant.tool, plant.test.as_str());
        if seen.contains(&(tool, test)) {
            continue;
        }
        match tool.run(tree, test)? {
            Outcome::Passed => eprintln!("clean: {tool} {test}"),
            other => return Err(format!("{tool} {test} without any bug: {other:?}").into()),
        }
        seen.push((tool, test));
    }
    Ok(())
}
