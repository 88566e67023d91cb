//! What is handed to operators, held against what the crate publishes.

use std::collections::BTreeSet;

/// The names of metrics in a text: `sundown_` and what follows. Crates and recorded series are
/// written with `-` and `:`, so that they are none.
pub(crate) fn metrics_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    words.filter(|word| word.starts_with("sundown_") && !word.contains(':')).collect()
}

/// The names of alerts in a file of rules.
pub(crate) fn alerts_in(rules: &str) -> Vec<&str> {
    rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect()
}

/// What an operator would be sent after in vain: metrics that nobody publishes.
pub(crate) fn unpublished<'t>(text: &'t str, adapter: &str) -> Vec<&'t str> {
    let published = metrics_in(adapter);
    metrics_in(text).into_iter().filter(|name| !published.contains(name)).collect()
}
