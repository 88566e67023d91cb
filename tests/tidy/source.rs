//! A source file as the rules see it: line by line, with comments and literals told from code.

use std::fs;
use std::path::Path;

/// One file of the crate.
pub(crate) struct Source {
    /// Relative to `src`, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// The text, with comments and the insides of literals turned to spaces.
    pub(crate) code: String,
    /// For each line, whether only tests see it.
    is_test: Vec<bool>,
}

/// One line that is not a test's.
#[derive(Clone, Copy)]
pub(crate) struct Line<'s> {
    pub(crate) number: usize,
    pub(crate) text: &'s str,
    pub(crate) code: &'s str,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code = blank(text);
        let is_test = mark_tests(path, &code);
        Self { path: path.to_owned(), text: text.to_owned(), code, is_test }
    }

    /// All files below `root`.
    pub(crate) fn read_all(root: &Path) -> Vec<Self> {
        let mut sources = Vec::new();
        collect(root, root, &mut sources);
        sources.sort_by(|one, other| one.path.cmp(&other.path));
        assert!(sources.len() > 10, "{} files under {}?", sources.len(), root.display());
        sources
    }

    /// The files of a small package at `root`, but for what it has built; their paths begin with its
    /// folder's name.
    pub(crate) fn read_any(root: &Path) -> Vec<Self> {
        let mut sources = Vec::new();
        collect(root.parent().expect("it has a name"), root, &mut sources);
        sources.retain(|source| !source.path.contains("/target/"));
        sources
    }

    /// The folder or file at the top that the file belongs to, as `index` for `index/table.rs`.
    pub(crate) fn layer(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let lines = self.text.lines().zip(self.code.lines()).enumerate();
        lines
            .map(|(at, (text, code))| Line { number: at + 1, text, code })
            .filter(|line| !self.is_test[line.number - 1])
    }

    /// The code without tests; the lines keep their numbers.
    pub(crate) fn code_without_tests(&self) -> String {
        let lines = self.code.lines().zip(&self.is_test);
        lines
            .map(|(code, &is_test)| if is_test { "\n".into() } else { format!("{code}\n") })
            .collect()
    }

    pub(crate) fn at(&self, line: usize) -> String {
        format!("src/{}:{line}", self.path)
    }
}

fn collect(root: &Path, folder: &Path, sources: &mut Vec<Source>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_dir() {
            collect(root, &path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).expect("it is below the root").to_string_lossy();
            let text = fs::read_to_string(&path).expect("sources are UTF-8");
            sources.push(Source::new(&name.replace('\\', "/"), &text));
        }
    }
}

/// Turns comments and the insides of string and character literals to spaces.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code: Vec<char> = Vec::with_capacity(chars.len());
    while code.len() < chars.len() {
        let at = code.len();
        let end = skip(&chars, at);
        if end > at {
            let keep = |&c: &char| if c == '\n' { '\n' } else { ' ' };
            code.extend(chars[at..end].iter().map(keep));
        } else {
            code.push(chars[at]);
        }
    }
    code.into_iter().collect()
}

/// Where the comment or literal that begins at `at` ends; `at` itself if none does.
fn skip(chars: &[char], at: usize) -> usize {
    let starts = |from: usize, what: &str| {
        what.chars().enumerate().all(|(offset, c)| chars.get(from + offset) == Some(&c))
    };
    let find = |from: usize, what: &str| (from..chars.len()).find(|&i| starts(i, what));
    let is_in_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    if starts(at, "//") {
        return find(at, "\n").unwrap_or(chars.len());
    }
    if starts(at, "/*") {
        return find(at, "*/").map_or(chars.len(), |end| end + 2);
    }
    if chars[at] == 'r' && !is_in_word {
        let hashes = chars[at + 1..].iter().take_while(|&&c| c == '#').count();
        if chars.get(at + 1 + hashes) == Some(&'"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let end = find(at + 2 + hashes, &close);
            return end.map_or(chars.len(), |end| end + close.len());
        }
    }
    if chars[at] == '"' {
        let mut end = at + 1;
        while end < chars.len() && chars[end] != '"' {
            end += if chars[end] == '\\' { 2 } else { 1 };
        }
        return (end + 1).min(chars.len());
    }
    // A lifetime has no closing quote.
    match (chars[at], chars.get(at + 1), chars.get(at + 2)) {
        ('\'', Some('\\'), _) => find(at + 3, "'").map_or(chars.len(), |end| end + 1),
        ('\'', Some(_), Some('\'')) => at + 3,
        _ => at,
    }
}

/// Whole files of tests, and items under `#[cfg(test)]` or the like.
fn mark_tests(path: &str, code: &str) -> Vec<bool> {
    let lines: Vec<&str> = code.lines().collect();
    let mut is_test = vec![path.ends_with("tests.rs"); lines.len()];
    for at in 0..lines.len() {
        let line = lines[at].trim_start();
        let is_gate = line.starts_with("#[cfg(") && has_word(line, "test");
        if is_gate && !line.contains("not(test") {
            let last = end_of_item(&lines, at + 1);
            is_test[at..=last].fill(true);
        }
    }
    is_test
}

/// The last line of the item that begins at `first`: its semicolon, or its closing brace.
pub(crate) fn end_of_item(lines: &[&str], first: usize) -> usize {
    let (mut depth, mut round) = (0_i32, 0_i32);
    for (offset, line) in lines[first..].iter().enumerate() {
        for c in line.chars() {
            match c {
                '(' | '[' => round += 1,
                ')' | ']' => round -= 1,
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            let is_over = (c == '}' && depth <= 0) || (c == ';' && depth == 0);
            if is_over && round == 0 {
                return first + offset;
            }
        }
    }
    lines.len() - 1
}

/// Whether `word` stands in `code` with no letter, digit or underscore beside it.
pub(crate) fn has_word(code: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        !code[..at].chars().next_back().is_some_and(is_part)
            && !code[at + word.len()..].chars().next().is_some_and(is_part)
    })
}
