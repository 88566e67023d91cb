//! The rules that look at one file and need no other.

use crate::source::{Line, Source, end_of_item, has_word};

const MOST_FILE_LINES: usize = 400;
const MOST_FUNCTION_LINES: usize = 60;

/// How far above its use an ordering may be explained: a chain of calls, or a run of figures.
const MOST_LINES_ABOVE: usize = 10;

const ORDERINGS: [&str; 5] = ["Relaxed", "Acquire", "Release", "AcqRel", "SeqCst"];

fn complain(source: &Source, breaks: impl Fn(&Line<'_>) -> bool, what_to_do: &str) -> Vec<String> {
    let broken = source.lines().filter(breaks);
    broken.map(|line| format!("{}: {what_to_do}", source.at(line.number))).collect()
}

pub(crate) fn root_is_bare(source: &Source) -> Vec<String> {
    if source.path != "lib.rs" {
        return Vec::new();
    }
    let words = ["fn", "struct", "enum", "trait", "impl", "const", "static", "type", "macro_rules"];
    let defines = |line: &Line<'_>| words.iter().any(|word| has_word(line.code, word));
    complain(source, defines, "lib.rs re-exports and defines nothing: give this a file")
}

pub(crate) fn unsafe_is_fenced_in(source: &Source) -> Vec<String> {
    let with_reason = ["retire/ripe.rs", "platform/memory.rs", "platform/thread.rs"];
    let has_reason = with_reason.contains(&source.path.as_str());
    if source.path.starts_with("index/") || has_reason {
        return Vec::new();
    }
    let is_unsafe = |line: &Line<'_>| has_word(line.code, "unsafe");
    complain(
        source,
        is_unsafe,
        "`unsafe` belongs in src/index/, src/retire/ripe.rs and two files of src/platform/ only",
    )
}

pub(crate) fn files_are_short(source: &Source) -> Vec<String> {
    let lines = source.lines().count();
    if lines <= MOST_FILE_LINES {
        return Vec::new();
    }
    vec![format!(
        "src/{}: {lines} lines without tests, {MOST_FILE_LINES} at most: find the noun that wants out",
        source.path
    )]
}

pub(crate) fn functions_are_short(source: &Source) -> Vec<String> {
    let code = source.code_without_tests();
    let lines: Vec<&str> = code.lines().collect();
    let mut complaints = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let length = end_of_item(&lines, at) - at + 1;
        if length > MOST_FUNCTION_LINES {
            complaints.push(format!(
                "{}: `{name}` has {length} lines, {MOST_FUNCTION_LINES} at most: name a part of it",
                source.at(at + 1)
            ));
        }
    }
    complaints
}

/// The name of the function that a line begins to define. `fn(u8)` is a type.
fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let is_whole_word = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
    let name = after.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    (is_whole_word && !name.is_empty()).then_some(name)
}

pub(crate) fn nothing_is_unwrapped(source: &Source) -> Vec<String> {
    let unwraps = |line: &Line<'_>| line.code.contains(".unwrap()");
    complain(
        source,
        unwraps,
        "say with `expect` which invariant rules this out, or return an error",
    )
}

pub(crate) fn features_add_files(source: &Source) -> Vec<String> {
    if matches!(source.layer(), "lib" | "adapters") {
        return Vec::new();
    }
    let asks = |line: &Line<'_>| {
        let is_condition = line.code.contains("cfg");
        is_condition && has_word(line.code, "feature") && line.text.contains("feature =")
    };
    complain(source, asks, "a feature adds a file in src/adapters/; it never edits one below")
}

pub(crate) fn nothing_is_left_to_do(source: &Source) -> Vec<String> {
    let words = ["TODO", "FIXME", "XXX", "todo!", "unimplemented!"];
    let numbered = source.text.lines().enumerate();
    numbered
        .filter(|(_, text)| words.iter().any(|word| has_word(text, word)))
        .map(|(at, _)| {
            format!("{}: do it now, or open an issue and say nothing", source.at(at + 1))
        })
        .collect()
}

/// ristretto 426 and stretto: a step of the wall clock moved deadlines, and memory grew. Only the
/// adapters are given dates, which they turn into spans once, and a snapshot, for no other clock outlives the
/// process; their tests step the clock.
pub(crate) fn the_wall_clock_is_not_asked(source: &Source) -> Vec<String> {
    // What a device list shows is told in dates; nothing is decided by them.
    let may_ask = matches!(source.layer(), "adapters" | "snapshot");
    if may_ask || source.path == "sessions/session.rs" {
        return Vec::new();
    }
    let words = ["SystemTime", "UNIX_EPOCH", "Realtime", "RealtimeCoarse", "Tai"];
    let asks = |line: &Line<'_>| words.iter().any(|word| has_word(line.code, word));
    complain(source, asks, "the wall clock is set back and forth: ask platform/clock.rs")
}

pub(crate) fn model_checkers_have_one_door(source: &Source) -> Vec<String> {
    if source.path.starts_with("platform/sync/") || source.path.ends_with("loom_tests.rs") {
        return Vec::new();
    }
    let is_platform = source.layer() == "platform";
    let leaks = |line: &Line<'_>| {
        ["loom", "shuttle"].iter().any(|checker| {
            let switch = format!("sundown_{checker}");
            has_word(line.code, checker) || (!is_platform && has_word(line.code, &switch))
        })
    };
    complain(
        source,
        leaks,
        "only src/platform/sync/ knows loom and shuttle: let it offer all sides one name",
    )
}

pub(crate) fn orderings_are_explained(source: &Source) -> Vec<String> {
    let lines: Vec<&str> = source.text.lines().collect();
    let is_unexplained = |line: &Line<'_>| {
        let uses = ORDERINGS.iter().any(|name| line.code.contains(&format!("Ordering::{name}")));
        let first = line.number.saturating_sub(MOST_LINES_ABOVE + 1);
        uses && !lines[first..line.number].iter().any(|text| explains(text))
    };
    complain(
        source,
        is_unexplained,
        "name the ordering and its partner above it: `// Release: publishes the entry to get.`",
    )
}

/// Whether the line has a comment, not a doc comment, that names an ordering.
fn explains(text: &str) -> bool {
    let Some((_, comment)) = text.split_once("//") else { return false };
    let is_doc = comment.starts_with('/') || comment.starts_with('!');
    !is_doc && ORDERINGS.iter().any(|name| has_word(comment, name))
}

/// The files and folders of this repository that a document names.
pub(crate) fn paths_in(text: &str) -> Vec<String> {
    let is_part = |c: char| c.is_alphanumeric() || "_-./:".contains(c);
    let words = text.split(|c| !is_part(c));
    let ours = words.filter(|word| {
        ["src/", "tests/", "benches/", "examples/", "fuzz/"].iter().any(|top| word.starts_with(top))
    });
    ours.map(|word| word.trim_end_matches(['.', ':']).to_owned()).collect()
}
