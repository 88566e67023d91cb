//! The staircase: each file may import only what lies below it.

use crate::source::Source;

/// From the top down. A new file at the top of `src` gets its step here.
const STAIRCASE: [&str; 25] = [
    "lib", "fuzzing", "adapters", "redis_1", "fleet", "snapshot", "testing", "sessions", "cache",
    "builder", "memory", "shard", "reaper", "budget", "gauge", "overstay", "retire", "index",
    "ledger", "stats", "removal", "error", "pressure", "lifetime", "platform",
];

/// The same for the comparison with peers, below `benches/peers/src`.
const PEERS_STAIRCASE: [&str; 8] =
    ["main", "bench", "report", "peers", "workload", "measure", "formats", "source"];

pub(crate) fn imports_go_down(source: &Source) -> Vec<String> {
    go_down(source, &STAIRCASE)
}

pub(crate) fn peers_imports_go_down(source: &Source) -> Vec<String> {
    go_down(source, &PEERS_STAIRCASE)
}

fn go_down(source: &Source, staircase: &[&str]) -> Vec<String> {
    let step = |layer: &str| staircase.iter().position(|&known| known == layer);
    let Some(own) = step(source.layer()) else {
        let at = source.at(1);
        return vec![format!("{at}: give `{}` its step in tests/tidy/layers.rs", source.layer())];
    };
    let code = source.code_without_tests();
    let mut complaints = Vec::new();
    for (at, target) in imports(source, &code) {
        let place = source.at(code[..at].matches('\n').count() + 1);
        match step(&target) {
            Some(other) if other >= own => {}
            Some(_) => complaints.push(format!(
                "{place}: `{}` is below `{target}` and may not import it: move what it needs down",
                source.layer()
            )),
            None if own == 0 => {}
            None => complaints.push(format!(
                "{place}: `crate::{target}` goes through lib.rs, the top: name the file it is in"
            )),
        }
    }
    complaints
}

/// Where something of the crate is named, and the first part of its path from the root.
fn imports(source: &Source, code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let is_start = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$');
        if is_start {
            let names = first_names(&code[at + "crate::".len()..]);
            found.extend(names.into_iter().map(|name| (at, name)));
        }
    }
    // How often `super` must be said in this file to come to the root.
    let depth = source.path.split('/').count() - usize::from(source.path.ends_with("mod.rs"));
    let to_root = "super::".repeat(depth);
    for (at, _) in code.match_indices(&to_root) {
        let before = &code[..at];
        let line = before.rsplit('\n').next().unwrap_or_default();
        // Indented ones belong to an inline module, where `super` is the file itself.
        if line == "use " || line.starts_with("pub(") && line.ends_with("use ") {
            let names = first_names(&code[at + to_root.len()..]);
            found.extend(names.into_iter().map(|name| (at, name)));
        }
    }
    found
}

/// `a` of `a::b`; `a` and `c` of `{a::b, c::{d, e}}`.
fn first_names(code: &str) -> Vec<String> {
    let name = |code: &str| -> String {
        code.trim_start().chars().take_while(|&c| c.is_alphanumeric() || c == '_').collect()
    };
    let Some(group) = code.strip_prefix('{') else { return vec![name(code)] };
    let (mut depth, mut names) = (1, vec![name(group)]);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => names.push(name(&group[at + 1..])),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names.retain(|name| !name.is_empty());
    names
}
