//! Plants bugs in a copy of the crate, one at a time, and sees each of them caught.
//!
//! `cargo run --release --manifest-path tests/planted/Cargo.toml -- --help`
//!
//! A suite of tests is worth what it catches. `plants.toml` lists defects that somebody could well
//! write: an ordering weakened, two steps swapped, an edge off by one. Each names the promise that it
//! breaks and the test that has to fail for it. A bug counts as caught only if the copy compiles
//! with it, the test passes without it, and fails, or never ends, with it.

mod plant;
mod tool;
mod tree;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

use plant::Plant;
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
    /// Take for granted that the tests pass without bugs.
    #[arg(long)]
    skip_clean: bool,
}

fn main() -> Result<ExitCode, Failure> {
    let options = Options::parse();
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let plants: Vec<_> = Plant::read_all(&package.join("plants.toml"))?
        .into_iter()
        .filter(|plant| plant.name.contains(&options.only))
        .filter(|plant| options.tool.is_none_or(|tool| tool == plant.tool))
        .collect();
    let root = package.ancestors().nth(2).map(PathBuf::from).ok_or("no crate around this one")?;
    let tree = Tree::copy(&root, &root.join("target/planted"))?;
    for plant in &plants {
        plant.check(&tree)?;
    }
    if !options.skip_clean {
        see_clean(&plants, &tree)?;
    }
    let mut missed = 0;
    println!("| bug | breaks | caught by | seconds |\n| --- | --- | --- | ---: |");
    for plant in &plants {
        let start = Instant::now();
        let outcome = plant.grow(&tree)?;
        let verdict = match outcome {
            Outcome::Failed => format!("`{}`", plant.test),
            Outcome::Hung => format!("`{}`, which never ends", plant.test),
            Outcome::Passed => "**nobody**".into(),
            Outcome::DoesNotCompile => "**does not compile**".into(),
            Outcome::NothingRan => "**no such test**".into(),
        };
        missed += usize::from(!matches!(outcome, Outcome::Failed | Outcome::Hung));
        let (name, promise, tool) = (&plant.name, &plant.promise, plant.tool);
        let seconds = start.elapsed().as_secs();
        println!("| {name} | {promise} | {tool} {verdict} | {seconds} |");
    }
    println!("\n{} of {} caught", plants.len() - missed, plants.len());
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Sees each test that a plant names pass on the unchanged copy.
fn see_clean(plants: &[Plant], tree: &Tree) -> Result<(), Failure> {
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
