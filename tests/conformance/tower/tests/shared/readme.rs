//! Holds what the README shows against what is compiled.

const README: &str = include_str!("../../../../../README.md");

/// Asserts that the lines between `// As in the README:` and `// To here.` are the README's, but for
/// their indentation.
pub fn shows(source: &str) {
    let mut blocks = source.split("// As in the README:\n").skip(1).peekable();
    assert!(blocks.peek().is_some(), "it begins");
    for rest in blocks {
        let (lines, _) = rest.split_once("    // To here.").expect("it ends");
        let lines: Vec<&str> =
            lines.lines().map(|line| line.strip_prefix("    ").unwrap_or(line)).collect();
        let block = format!("```rust,ignore\n{}\n```\n", lines.join("\n"));
        assert!(README.contains(&block), "the README shows something else than\n{block}");
    }
}
