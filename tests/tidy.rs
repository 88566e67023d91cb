//! The house rules that a machine can check, checked. `shared/STYLE.md` says why each of them is
//! there; each complaint says what to do. Every rule has a planted fault that it must find.

#![cfg(not(sundown_loom))]

#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/ops.rs"]
mod ops;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;

use source::Source;
use std::fs;
use std::path::{Path, PathBuf};

/// A rule names every place that breaks it.
type Rule = fn(&Source) -> Vec<String>;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[track_caller]
fn obey(rule: Rule) {
    let complaints: Vec<String> =
        Source::read_all(&root().join("src")).iter().flat_map(rule).collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// The rule must find fault with the one and not with the other.
#[track_caller]
fn tells_apart(rule: Rule, path: &str, bad: &str, good: &str) {
    assert!(!rule(&Source::new(path, bad)).is_empty(), "this was let pass: {bad}");
    let complaints = rule(&Source::new(path, good));
    assert!(complaints.is_empty(), "this is blameless: {good}\n{complaints:?}");
}

#[test]
fn imports_only_go_down() {
    let rule = layers::imports_go_down;
    tells_apart(
        rule,
        "index/table.rs",
        "use crate::shard::X;",
        "use crate::{ledger::X, platform};",
    );
    tells_apart(rule, "stats.rs", "use super::cache::X;", "use super::removal::X;");
    tells_apart(rule, "shard/mod.rs", "fn f() { crate::cache::go() }", "/// See crate::cache::X.");
    tells_apart(rule, "budget.rs", "use crate::Builder;", "#[cfg(test)]\nuse crate::cache::X;");
    tells_apart(rule, "ledger/wheel/mod.rs", "use super::super::cache::X;", "use super::slab::X;");
    let nowhere = rule(&Source::new("utils.rs", ""));
    assert!(nowhere.len() == 1 && nowhere[0].contains("step"), "{nowhere:?}");
    obey(rule);
}

#[test]
fn the_crate_root_defines_nothing() {
    tells_apart(
        rules::root_is_bare,
        "lib.rs",
        "pub fn f() {}",
        "mod cache;\npub use cache::Cache;",
    );
    obey(rules::root_is_bare);
}

#[test]
fn unsafe_code_stays_where_it_belongs() {
    let rule = rules::unsafe_is_fenced_in;
    let good = "#![deny(unsafe_code)]\n// unsafe is elsewhere\nlet s = \"unsafe\";";
    tells_apart(rule, "cache/mod.rs", "fn f() { unsafe { g() } }", good);
    assert!(rule(&Source::new("index/table.rs", "unsafe fn f() {}")).is_empty());
    obey(rule);
}

#[test]
fn files_are_small_enough_to_hold_in_mind() {
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}", "let x = 1;\n".repeat(500));
    tells_apart(rules::files_are_short, "a.rs", &"let x = 1;\n".repeat(401), &tests);
    obey(rules::files_are_short);
}

#[test]
fn functions_are_small_enough_to_hold_in_mind() {
    let long = format!("fn f(x: [u8; 2])\nwhere\n    X: Y,\n{{\n{}}}", "    x();\n".repeat(60));
    let short = "type F = fn(u8);\nfn f();\nfn g() {\n    x(\"{\");\n}\n".repeat(40);
    tells_apart(rules::functions_are_short, "a.rs", &long, &short);
    obey(rules::functions_are_short);
}

#[test]
fn nothing_is_unwrapped() {
    let good = "#[cfg(test)]\nmod tests {\n    fn f() { x.unwrap() }\n}\nx.unwrap_or(1);";
    tells_apart(rules::nothing_is_unwrapped, "a.rs", "x.unwrap();", good);
    obey(rules::nothing_is_unwrapped);
}

#[test]
fn features_only_add_files() {
    let (bad, good) = ("#[cfg(all(unix, feature = \"tower\"))]", "#[cfg(target_os = \"linux\")]");
    tells_apart(rules::features_add_files, "cache/mod.rs", bad, good);
    assert!(rules::features_add_files(&Source::new("lib.rs", bad)).is_empty());
    obey(rules::features_add_files);
}

#[test]
fn nothing_is_left_to_do() {
    let bad = ["// TODO later", "//! FIXME", "todo!()", "unimplemented!()", "// XXX: why"];
    for bad in bad {
        tells_apart(rules::nothing_is_left_to_do, "a.rs", bad, "// Mastodon, methods to do it");
    }
    obey(rules::nothing_is_left_to_do);
}

#[test]
fn deadlines_know_nothing_of_the_wall_clock() {
    let rule = rules::the_wall_clock_is_not_asked;
    let good = "// Not SystemTime.\nlet now = Instant::now();\nread_ns(ClockId::MonotonicCoarse)";
    tells_apart(rule, "a.rs", "let now = std::time::SystemTime::now();", good);
    tells_apart(rule, "platform/clock.rs", "clock_gettime(ClockId::RealtimeCoarse)", good);
    obey(rule);
}

#[test]
fn the_model_checkers_have_one_door() {
    let rule = rules::model_checkers_have_one_door;
    let good = "#[cfg(all(test, not(sundown_loom)))]\nmod tests;\n// loom checks this";
    tells_apart(rule, "reaper.rs", "use loom::sync::Arc;", good);
    tells_apart(rule, "reaper.rs", "#[cfg(sundown_loom)]\nfn park() {}", good);
    tells_apart(rule, "reaper.rs", "use shuttle::thread;", "// shuttle runs this");
    tells_apart(rule, "reaper.rs", "#[cfg(sundown_shuttle)]\nfn park() {}", good);
    tells_apart(rule, "platform/clock.rs", "use shuttle::thread;", "#[cfg(sundown_shuttle)]");
    for side in ["mod", "under_loom", "under_shuttle"] {
        let path = format!("platform/sync/{side}.rs");
        assert!(rule(&Source::new(&path, "use loom::sync::Arc;\nuse shuttle::thread;")).is_empty());
    }
    assert!(rule(&Source::new("index/loom_tests.rs", "use loom::model;")).is_empty());
    obey(rule);
}

#[test]
fn every_ordering_has_its_reason() {
    let good =
        "// Acquire: pairs with the store in f.\nlet x = a.load(\n    Ordering::Acquire,\n);";
    let bad =
        "// Reads it.\n/// Acquire: for readers of the docs.\nlet x = a.load(Ordering::Acquire);";
    tells_apart(rules::orderings_are_explained, "a.rs", bad, good);
    let far = format!("// Acquire: far.\n{}a.load(Ordering::Acquire);", "x();\n".repeat(20));
    tells_apart(rules::orderings_are_explained, "a.rs", &far, "use std::cmp::Ordering;");
    obey(rules::orderings_are_explained);
}

/// The comparison with peers is a package of its own, and no worse than the crate.
#[test]
fn the_comparison_with_peers_obeys_too() {
    let down = layers::peers_imports_go_down;
    tells_apart(down, "measure/heap.rs", "use crate::bench::X;", "use crate::measure::X;");
    let fenced = |source: &Source| match source.path.as_str() {
        "measure/heap.rs" => Vec::new(),
        _ => rules::unsafe_is_fenced_in(source),
    };
    let sources = Source::read_all(&root().join("benches/peers/src"));
    let mut complaints: Vec<String> = sources.iter().flat_map(fenced).collect();
    for rule in [
        down,
        rules::files_are_short,
        rules::functions_are_short,
        rules::nothing_is_unwrapped,
        rules::nothing_is_left_to_do,
        rules::orderings_are_explained,
    ] {
        complaints.extend(sources.iter().flat_map(rule));
    }
    assert!(complaints.is_empty(), "below benches/peers:\n{}\n", complaints.join("\n"));
}

/// So are the logins, which people copy from.
#[test]
fn the_logins_obey_too() {
    let found: Vec<Source> = ["axum_login", "actix_login", "login"]
        .iter()
        .flat_map(|name| Source::read_any(&root().join("examples").join(name)))
        .collect();
    let has = |path: &str| found.iter().any(|source| source.path == path);
    assert!(has("axum_login/src/status.rs") && has("actix_login/src/lib.rs"), "looked elsewhere");
    assert!(has("login/pages.rs") && has("axum_login/tests/login.rs"), "looked elsewhere");
    let complaints: Vec<String> = [
        rules::files_are_short,
        rules::functions_are_short,
        rules::nothing_is_unwrapped,
        rules::nothing_is_left_to_do,
        rules::unsafe_is_fenced_in,
        rules::orderings_are_explained,
    ]
    .iter()
    .flat_map(|rule| found.iter().flat_map(rule))
    .collect();
    assert!(complaints.is_empty(), "below examples:\n{}\n", complaints.join("\n"));
}

/// At night nobody should look for a metric that is not there, or for an alert in vain.
#[test]
fn operators_are_told_of_what_exists() {
    let found = ops::unpublished("a sundown_sesions b sundown_weight:x", "\"sundown_sessions\"");
    assert_eq!(found, ["sundown_sesions"]);

    let published = ["src/adapters/metrics.rs", "src/adapters/metrics/tier.rs"];
    let adapter = published.map(|name| read(&root().join(name))).concat();
    let folder = root().join("examples/ops");
    for name in ["rules.yml", "tests.yml", "dashboard.json", "autoscaling.yml", "RUNBOOK.md"] {
        let text = read(&folder.join(name));
        let unpublished = ops::unpublished(&text, &adapter);
        assert!(
            unpublished.is_empty(),
            "examples/ops/{name} asks for {unpublished:?}, which {published:?} lack"
        );
    }
    let rules = read(&folder.join("rules.yml"));
    let alerts = ops::alerts_in(&rules);
    assert!(alerts.len() >= 5, "{alerts:?}");
    let (tests, runbook) = (read(&folder.join("tests.yml")), read(&folder.join("RUNBOOK.md")));
    for alert in alerts {
        let is_tried = tests.contains(&format!("alertname: {alert}\n"));
        assert!(is_tried, "{alert} fires in no test of examples/ops/tests.yml");
        let is_explained = runbook.contains(&format!("\n## {alert}\n"));
        assert!(is_explained, "{alert} has no section in examples/ops/RUNBOOK.md");
        let link = format!("RUNBOOK.md#{}\n", alert.to_lowercase());
        assert!(rules.contains(&link), "{alert} does not lead to its section in the runbook");
    }
    let dashboard =
        serde_json::from_str::<serde_json::Value>(&read(&folder.join("dashboard.json")));
    let dashboard = dashboard.expect("the dashboard is JSON");
    assert!(dashboard["panels"].as_array().is_some_and(|panels| panels.len() > 4));
}

#[test]
fn the_documents_are_there() {
    for (name, why) in [
        ("README.md", "what it is, an example, the guarantees with their proofs"),
        ("CHANGELOG.md", "one line for each change that a user notices"),
        ("ARCHITECTURE.md", "the code map, the invariants, and what is left out on purpose"),
    ] {
        assert!(root().join(name).is_file(), "write {name}: {why}");
    }
    let architecture = read(&root().join("ARCHITECTURE.md"));
    let lines = architecture.lines().count();
    assert!(
        lines <= 150,
        "ARCHITECTURE.md has {lines} lines: leave details to module essays (150)"
    );
}

/// A guarantee names its proof; a proof that is not there proves nothing.
#[test]
fn the_proofs_that_the_documents_name_exist() {
    for name in ["README.md", "ARCHITECTURE.md"] {
        let text = read(&root().join(name));
        for path in rules::paths_in(&text) {
            assert!(
                root().join(&path).exists(),
                "{name} names {path}, which is not there: fix one"
            );
        }
    }
    let named =
        rules::paths_in("see [`a`](tests/api.rs#L7), `src/index/` and https://x.org/src/y.rs");
    assert_eq!(named, ["tests/api.rs", "src/index/"]);
    assert!(read(&root().join("README.md")).contains("tests/"), "README.md must name its proofs");
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
