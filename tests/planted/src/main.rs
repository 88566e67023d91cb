//! Plants bugs in a copy of the crate, one at a time, and sees each of them caught.
//!
//! `cargo run --release --manifest-path tests/planted/Cargo.toml -- --help`
//!
//! A suite of tests is worth what it catches. `plants.toml` lists defects that somebody could well
//! write: an ordering weakened, two steps swapped, an edge off by one. Each names the promise that it
//! breaks and the test that has to fail for it. A bug counts as caught only if the copy compiles
//! with it, the test passes without it, and fails, or never ends, with it. A bug that has no place
//! any more, or two, is an error.
//!
//! Besides, every ordering is weakened by itself: `orderings.toml` says who sees that.

mod orderings;
mod plant;
mod results;
mod seed;
mod tool;
mod tree;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

use orderings::Ordering;
use plant::Plants;
use results::Results;
use seed::Seed;
use tool::{Outcome, PATIENCE, Tool};
use tree::Tree;

type Failure = Box<dyn std::error::Error>;

/// Plants bugs in a copy of sundown, one at a time, and sees each caught.
#[derive(Parser)]
struct Options {
    /// Only the plants whose name contains this, or another one of these if it is given several times.
    #[arg(long)]
    only: Vec<String>,
    /// Only the plants that this tool catches.
    #[arg(long)]
    tool: Option<Tool>,
    /// Not the plants that RESULTS.md says were caught in what is there now.
    #[arg(long)]
    resume: bool,
    /// Take for granted that the tests pass without bugs.
    #[arg(long)]
    skip_clean: bool,
    /// Only look whether every plant has its place, and every ordering is known.
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
    let orderings = match options.plants {
        None => Ordering::read_all(&package.join("orderings.toml"))?,
        Some(_) => Vec::new(),
    };
    let mut complaints = plants.complaints(&tree)?;
    if options.plants.is_none() {
        complaints.extend(orderings::complaints(&orderings, &tree)?);
    }
    if !complaints.is_empty() {
        return Err(complaints.join("\n").into());
    }
    if options.check {
        return Ok(ExitCode::SUCCESS);
    }
    let bugs = plants.plant.iter().map(Seed::Plant);
    let seeds: Vec<_> = bugs.chain(orderings.iter().map(Seed::Ordering)).collect();
    let mut results = Results::read(&results);
    let mut chosen = Vec::new();
    for &seed in &seeds {
        let name = seed.name();
        let is_meant = (options.only.is_empty() || options.only.iter().any(|o| name.contains(o)))
            && options.tool.is_none_or(|tool| tool == seed.tool());
        if is_meant && !(options.resume && results.has_settled(seed, &tree)?) {
            chosen.push(seed);
        }
    }
    let clean = if options.skip_clean { Clean::new() } else { see_clean(&chosen, &tree)? };
    let mut missed = 0;
    for &seed in &chosen {
        let start = Instant::now();
        let outcome = seed.grow(&tree, seed.tool().patience(clean.get(&seed.run()).copied()))?;
        missed += usize::from(!seed.is_settled_by(&outcome));
        println!("{}", results.note(seed, &outcome, start.elapsed(), &tree)?);
        results.write(&seeds, &tree)?;
    }
    let settled = results.write(&seeds, &tree)?;
    let (now, all) = (chosen.len(), seeds.len());
    println!("\n{} of {now} as they had to be; with earlier runs {settled} of {all}", now - missed);
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How long each test takes without any bug.
type Clean = HashMap<(Tool, String), Duration>;

/// Sees each test that is named pass on the unchanged copy.
fn see_clean(seeds: &[Seed<'_>], tree: &Tree) -> Result<Clean, Failure> {
    let mut seen = Clean::new();
    for seed in seeds {
        let run = seed.run();
        if seen.contains_key(&run) {
            continue;
        }
        let (tool, test) = &run;
        let took = match tool.run(tree, test, PATIENCE)? {
            (Outcome::Passed, took) => took,
            (other, _) => return Err(format!("{tool} {test} without any bug: {other:?}").into()),
        };
        eprintln!("clean: {tool} {test}");
        seen.insert(run, took);
    }
    Ok(seen)
}
