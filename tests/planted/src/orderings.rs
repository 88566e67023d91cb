//! Each ordering that is stronger than Relaxed, weakened by itself.
//!
//! All of them are made to ask the environment in one copy of the crate, which so has to be compiled
//! only once; the models then run once for each of them. `orderings.toml` says for each who sees it,
//! or why nobody does. One that it does not know is an error.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use crate::Failure;
use crate::tool::{Outcome, Tool};
use crate::tree::Tree;

/// Where orderings hold the crate's promises. Elsewhere are figures, and what one thread has.
const PLACES: [&str; 8] = [
    "src/budget.rs",
    "src/cache/",
    "src/gauge.rs",
    "src/index/",
    "src/platform/sync/",
    "src/reaper/",
    "src/retire.rs",
    "src/shard/",
];

/// Sides of the door that only tests run on, and the tests.
const NOT_THE_CRATE: [&str; 4] = ["loom_tests", "/tests.rs", "under_loom", "under_shuttle"];

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub(crate) enum Weaker {
    Relaxed,
    Acquire,
    Release,
}

/// What is known of one ordering.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ordering {
    pub(crate) file: String,
    /// Code around it that stands there exactly once, and has no other strong ordering.
    pub(crate) find: String,
    pub(crate) weaker: Weaker,
    /// The models of which one has to fail, as words that their names contain; or those that come
    /// nearest, if nobody sees it.
    pub(crate) test: String,
    /// Why nobody sees it, and why it stays.
    #[serde(default)]
    pub(crate) unseen: String,
}

#[derive(Deserialize)]
struct Orderings {
    ordering: Vec<Ordering>,
}

/// A strong ordering in the source.
struct Place {
    file: String,
    at: usize,
    weaker: &'static [Weaker],
}

impl Ordering {
    pub(crate) fn read_all(path: &Path) -> Result<Vec<Self>, Failure> {
        let orderings: Orderings = toml::from_str(&std::fs::read_to_string(path)?)?;
        Ok(orderings.ordering)
    }

    pub(crate) fn name(&self) -> String {
        let code = self.find.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "∣");
        format!("{:?} in `{code}`", self.weaker)
    }

    fn is_of(&self, place: &Place, source: &str) -> bool {
        let range = source.find(&self.find).map(|at| at..at + self.find.len());
        self.file == place.file && range.is_some_and(|range| range.contains(&place.at))
    }

    /// Runs its models.
    pub(crate) fn weaken(&self, tree: &Tree, patience: Duration) -> Result<Outcome, Failure> {
        let places = places(tree)?;
        let source = tree.read(&self.file)?;
        let number = places.iter().position(|place| self.is_of(place, &source));
        let number = number.ok_or("it was looked for before")?;
        let asking = tree.changed("weakened", |name, source| {
            if is_the_crates(name) { ask(&source, name, &places) } else { source }
        })?;
        let choice = format!("{number}:{:?}", self.weaker);
        let asking = asking.with_variable("SUNDOWN_WEAKENED", &choice);
        Tool::Loom.run(&asking, &self.test, patience).map(|(outcome, _)| outcome)
    }
}

/// Everything that `orderings` does not say, or says of what is not there.
pub(crate) fn complaints(orderings: &[Ordering], tree: &Tree) -> Result<Vec<String>, Failure> {
    let mut complaints = Vec::new();
    let places = places(tree)?;
    for known in orderings {
        let source = tree.read(&known.file)?;
        let count = source.matches(&known.find).count();
        let strong = places.iter().filter(|place| known.is_of(place, &source)).count();
        if (count, strong) != (1, 1) {
            let (name, file) = (known.name(), &known.file);
            complaints.push(format!("{name}: {count} places in {file}, {strong} orderings there"));
        }
    }
    for place in &places {
        let source = tree.read(&place.file)?;
        for weaker in place.weaker {
            let is_it = |known: &&Ordering| known.weaker == *weaker && known.is_of(place, &source);
            if orderings.iter().filter(is_it).count() != 1 {
                let line = source[..place.at].matches('\n').count() + 1;
                let file = &place.file;
                complaints.push(format!("{file}:{line}: who sees it weakened to {weaker:?}?"));
            }
        }
    }
    Ok(complaints)
}

fn is_the_crates(name: &str) -> bool {
    PLACES.iter().any(|place| name.starts_with(place))
        && !NOT_THE_CRATE.iter().any(|part| name.contains(part))
}

fn places(tree: &Tree) -> Result<Vec<Place>, Failure> {
    let mut places = Vec::new();
    for name in tree.files().iter().filter(|name| is_the_crates(name)) {
        let source = tree.read(name)?;
        let strong = strong(&source).into_iter();
        places.extend(strong.map(|(at, _, weaker)| Place { file: name.clone(), at, weaker }));
    }
    Ok(places)
}

/// The strong orderings of a source, outside comments: where, how long, and what is weaker.
fn strong(source: &str) -> Vec<(usize, usize, &'static [Weaker])> {
    let mut places = Vec::new();
    let mut start = 0;
    for line in source.split_inclusive('\n') {
        let code = line.split("//").next().unwrap_or_default();
        for (name, weaker) in STRONG {
            let found = code.match_indices(name);
            places.extend(found.map(|(at, _)| (start + at, name.len(), weaker)));
        }
        start += line.len();
    }
    places.sort_by_key(|&(at, ..)| at);
    places
}

/// The source with every strong ordering asked for.
fn ask(source: &str, name: &str, places: &[Place]) -> String {
    let mut asking = source.to_owned();
    for (at, length, _) in strong(source).into_iter().rev() {
        let number = places.iter().position(|place| place.file == name && place.at == at);
        let number = number.expect("these are the places");
        let ordering = &source[at..at + length];
        let call = format!("crate::platform::sync::perhaps_weakened({number}, {ordering})");
        asking.replace_range(at..at + length, &call);
    }
    if name == DOOR { asking + ANSWER } else { asking }
}

const STRONG: [(&str, &[Weaker]); 3] = [
    ("Ordering::Acquire", &[Weaker::Relaxed]),
    ("Ordering::Release", &[Weaker::Relaxed]),
    ("Ordering::AcqRel", &[Weaker::Acquire, Weaker::Release]),
];

const DOOR: &str = "src/platform/sync/mod.rs";

/// Goes to the end of the door.
const ANSWER: &str = r#"
/// The ordering, or the weaker one that the environment names for this place.
pub(crate) fn perhaps_weakened(number: usize, ordering: Ordering) -> Ordering {
    static CHOICE: std::sync::LazyLock<Option<(usize, Ordering)>> = std::sync::LazyLock::new(|| {
        let choice = std::env::var("SUNDOWN_WEAKENED").ok()?;
        let (number, weaker) = choice.split_once(':')?;
        let weaker = match weaker {
            "Relaxed" => Ordering::Relaxed,
            "Acquire" => Ordering::Acquire,
            _ => Ordering::Release,
        };
        Some((number.parse().ok()?, weaker))
    });
    match *CHOICE {
        Some((chosen, weaker)) if chosen == number => weaker,
        _ => ordering,
    }
}
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strong_orderings_are_found_and_asked_for() {
        let text = "// Ordering::Acquire\na.swap(1, Ordering::AcqRel); // Ordering::Release\n\
                    b.load(Ordering::Relaxed);\nc.load(Ordering::Acquire)";
        let found = strong(text);
        let names: Vec<_> = found.iter().map(|&(at, length, _)| &text[at..at + length]).collect();
        assert_eq!(names, ["Ordering::AcqRel", "Ordering::Acquire"]);
        let place = |at| Place { file: "a.rs".into(), at, weaker: &[] };
        let places = [place(0), place(found[0].0), place(found[1].0)];
        let asking = ask(text, "a.rs", &places);
        assert!(
            asking.contains(
                "a.swap(1, crate::platform::sync::perhaps_weakened(1, Ordering::AcqRel))"
            )
        );
        assert!(asking.ends_with("perhaps_weakened(2, Ordering::Acquire))"), "{asking}");
    }
}
