//! Whether every ordering that is stronger than Relaxed has been weakened by some bug.

use std::ops::Range;

use crate::Failure;
use crate::plant::Plants;
use crate::tree::Tree;

/// Where orderings hold the crate's promises. Elsewhere are figures, and what one thread has.
const PLACES: [&str; 7] = [
    "src/budget.rs",
    "src/cache/",
    "src/index/",
    "src/platform/sync/",
    "src/reaper.rs",
    "src/retire.rs",
    "src/shard/",
];

/// Sides of the door that only tests run on, and the tests.
const NOT_THE_CRATE: [&str; 4] = ["loom_tests", "/tests.rs", "under_loom", "under_shuttle"];

/// Names each ordering that no plant weakens and that is not said to be unseen.
pub(crate) fn never_weakened(plants: &Plants, tree: &Tree) -> Result<Vec<String>, Failure> {
    let mut complaints = Vec::new();
    for name in tree.files() {
        let is_there = PLACES.iter().any(|place| name.starts_with(place));
        if !is_there || NOT_THE_CRATE.iter().any(|part| name.contains(part)) {
            continue;
        }
        let source = tree.read(name)?;
        let covered: Vec<Range<usize>> = plants
            .plant
            .iter()
            .filter(|plant| plant.file == *name && is_weaker(&plant.replace, &plant.find))
            .map(|plant| &plant.find)
            .chain(plants.unseen.iter().filter(|unseen| unseen.file == *name).map(|u| &u.find))
            .filter_map(|find| source.find(find).map(|at| at..at + find.len()))
            .collect();
        for at in strong(&source) {
            if !covered.iter().any(|range| range.contains(&at)) {
                let line = source[..at].matches('\n').count() + 1;
                complaints.push(format!("{name}:{line}: no plant weakens this ordering"));
            }
        }
    }
    Ok(complaints)
}

/// Whether a text has the same number of orderings as another, and weaker ones. To leave the whole
/// operation out shows nothing of its ordering.
fn is_weaker(text: &str, than: &str) -> bool {
    let count = |text: &str| text.matches("Ordering::").count();
    count(text) == count(than) && strength(text) < strength(than)
}

/// The places of all orderings but Relaxed, outside comments.
fn strong(source: &str) -> Vec<usize> {
    let mut places = Vec::new();
    let mut start = 0;
    for line in source.split_inclusive('\n') {
        let code = line.split("//").next().unwrap_or_default();
        let found = code.match_indices("Ordering::").map(|(at, _)| at);
        let is_strong =
            |&at: &usize| STRENGTHS.iter().any(|(name, _)| code[at..].starts_with(name));
        places.extend(found.filter(is_strong).map(|at| start + at));
        start += line.len();
    }
    places
}

/// How much all orderings in a text promise together.
fn strength(text: &str) -> usize {
    let weigh = |at: usize| {
        let named = STRENGTHS.iter().find(|(name, _)| text[at..].starts_with(name));
        named.map_or(0, |(_, strength)| *strength)
    };
    strong(text).into_iter().map(weigh).sum()
}

const STRENGTHS: [(&str, usize); 4] = [
    ("Ordering::Acquire", 1),
    ("Ordering::Release", 1),
    ("Ordering::AcqRel", 2),
    ("Ordering::SeqCst", 3),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orderings_are_found_and_weighed() {
        let text = "// Ordering::Acquire\na.swap(1, Ordering::AcqRel); // Ordering::Release\n\
                    b.load(Ordering::Relaxed);\nc.load(Ordering::Acquire)";
        let places: Vec<_> = strong(text).into_iter().map(|at| &text[at + 10..at + 14]).collect();
        assert_eq!(places, ["AcqR", "Acqu"]);
        assert_eq!(strength(text), 3);
        assert!(is_weaker("Ordering::Release", "Ordering::AcqRel"));
        assert!(!is_weaker("Ordering::Acquire", "Ordering::Release"));
        assert!(!is_weaker("nothing", "Ordering::AcqRel"), "the operation is gone");
    }
}
