//! How it is told: rows on the terminal, in a file of JSON lines, and in `RESULTS.md`.

mod machine;
mod plot;
mod row;
mod table;
mod targets;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use machine::ALLOCATORS;
pub use machine::{Run, available_bytes};
pub use row::{Line, Row};

/// Writes down what is measured, as it is measured.
pub struct Journal {
    file: Option<File>,
}

impl Journal {
    /// Begins a run: says where and when it takes place.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn open(file: Option<&Path>) -> io::Result<Self> {
        let file = match file {
            Some(path) => Some(OpenOptions::new().create(true).append(true).open(path)?),
            None => None,
        };
        let mut journal = Self { file };
        if journal.file.is_some() {
            journal.write(&Line::Run(Run::here()))?;
        }
        Ok(journal)
    }

    /// Prints a table of rows that belong together, and keeps them.
    ///
    /// # Errors
    ///
    /// If they cannot be written.
    pub fn record(&mut self, rows: Vec<Row>) -> io::Result<()> {
        writeln!(io::stdout(), "{}\n", table::markdown(&rows))?;
        for row in rows {
            self.write(&Line::Row(row))?;
        }
        Ok(())
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        file.write_all(text.as_bytes())
    }
}

/// Turns JSON lines into Markdown, and into plots beside it.
///
/// # Errors
///
/// If a file cannot be read or written, or a line is not one of ours.
pub fn write(lines: &[impl AsRef<Path>], results: &Path) -> io::Result<()> {
    let mut read = Vec::new();
    for path in lines {
        for line in fs::read_to_string(path)?.lines() {
            read.push(serde_json::from_str(line)?);
        }
    }
    let runs = row::by_run(read);
    let plots = results.with_file_name("plots");
    let mut text = String::from(HEAD);
    text.push_str(&targets::markdown(&runs));
    for (run, rows) in &runs {
        text.push_str(&run.markdown());
        for rows in row::by_bench(rows) {
            text.push_str(&format!("\n{}\n", table::markdown(&rows)));
        }
    }
    text.push_str(&plot::draw(&runs, &plots)?);
    fs::write(results, text)
}

const HEAD: &str = "# sundown beside its peers

Medians, with the smallest and the largest in brackets. *ours : theirs* compares measurements of the
same round, so that what slows the machine down for a while slows down both; above 1 sundown does
more (rates) or takes more (times, bytes). Every table says where, when and with which command it was
measured. Written by `sundown-peers report`.
";
