//! What was measured, in the shape in which it is kept.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::Run;
use crate::measure::Spread;

/// A line of the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// What follows was measured in this run.
    Run(Run),
    /// A row of a table.
    Row(Row),
}

/// What one peer did in one case of a benchmark.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// The subcommand.
    pub bench: String,
    /// What the case is, by name.
    pub case: Vec<(String, String)>,
    /// Who was measured.
    pub peer: String,
    /// What came out.
    pub figures: Vec<Figure>,
    /// What one must know about it.
    pub note: String,
}

/// One measured quantity.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// What it is, with its unit.
    pub name: String,
    /// How much it is.
    pub spread: Spread,
    /// Ours by theirs, where both were measured in the same rounds.
    pub ratio: Option<Spread>,
}

impl Row {
    /// A row without figures.
    pub fn new(bench: &str, case: &[(&str, String)], peer: impl ToString) -> Self {
        Self {
            bench: bench.to_owned(),
            case: case.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            peer: peer.to_string(),
            figures: Vec::new(),
            note: String::new(),
        }
    }

    /// Adds a figure, if there were measurements.
    #[must_use]
    pub fn figure(self, name: &str, spread: impl Into<Option<Spread>>) -> Self {
        self.compared(name, spread, None)
    }

    /// Adds a figure and how ours compares.
    #[must_use]
    pub fn compared(
        mut self,
        name: &str,
        spread: impl Into<Option<Spread>>,
        ratio: impl Into<Option<Spread>>,
    ) -> Self {
        let ratio = ratio.into();
        if let Some(spread) = spread.into() {
            self.figures.push(Figure { name: name.to_owned(), spread, ratio });
        }
        self
    }

    /// Adds a remark.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// The figure of that name.
    pub fn get(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.name == name)
    }

    /// What the case is under that name.
    pub fn case(&self, name: &str) -> &str {
        self.case.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}

/// The rows of each run, but for those that a later one measured again. Rows before the first run are
/// nobody's.
pub fn by_run(lines: Vec<Line>) -> Vec<(Run, Vec<Row>)> {
    let mut runs: Vec<(Run, Vec<Row>)> = Vec::new();
    for line in lines {
        match line {
            Line::Run(run) => runs.push((run, Vec::new())),
            Line::Row(row) => {
                if let Some((_, rows)) = runs.last_mut() {
                    rows.push(row);
                }
            }
        }
    }
    drop_superseded(&mut runs);
    runs.retain(|(_, rows)| !rows.is_empty());
    runs
}

fn drop_superseded(runs: &mut [(Run, Vec<Row>)]) {
    let mut later = HashSet::new();
    for (run, rows) in runs.iter_mut().rev() {
        let asked =
            |row: &Row| (run.allocator(), row.bench.clone(), row.case.clone(), row.peer.clone());
        rows.retain(|row| !later.contains(&asked(row)));
        later.extend(rows.iter().map(asked));
    }
}

/// The rows of each benchmark, in the order in which they first occur.
pub fn by_bench(rows: &[Row]) -> Vec<Vec<Row>> {
    let mut benches: Vec<Vec<Row>> = Vec::new();
    for row in rows {
        match benches.iter_mut().find(|rows| rows[0].bench == row.bench) {
            Some(rows) => rows.push(row.clone()),
            None => benches.push(vec![row.clone()]),
        }
    }
    benches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_belong_to_the_run_before_them() {
        let row = |bench: &str| Line::Row(Row::new(bench, &[], "sundown"));
        let runs = by_run(vec![
            Line::Run(Run::here()),
            row("reads"),
            row("lag"),
            row("reads"),
            Line::Run(Run::here()),
        ]);
        assert_eq!(runs.len(), 1, "a run without rows is left out");
        let benches = by_bench(&runs[0].1);
        assert_eq!(benches.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn what_was_measured_again_counts_as_it_came_out_last() {
        let row = |peer: &str, threads: &str, rate: f64| {
            let case = [("threads", String::from(threads))];
            Line::Row(Row::new("reads", &case, peer).figure("Mops/s", Spread::from(rate)))
        };
        let runs = by_run(vec![
            Line::Run(Run::here()),
            row("sundown", "1", 1.0),
            row("sundown", "2", 2.0),
            row("moka", "1", 3.0),
            Line::Run(Run::here()),
            row("sundown", "1", 4.0),
        ]);
        let rates = |rows: &[Row]| -> Vec<_> {
            rows.iter().map(|row| row.get("Mops/s").map(|figure| figure.spread.median)).collect()
        };
        let rates: Vec<_> = runs.iter().map(|(_, rows)| rates(rows)).collect();
        assert_eq!(rates, [vec![Some(2.0), Some(3.0)], vec![Some(4.0)]]);
    }

    #[test]
    fn lines_survive_the_file() {
        let row = Row::new("reads", &[("threads", String::from("2"))], "moka")
            .compared("Mops/s", Spread::from(1.5), Spread::from(2.0))
            .figure("nothing", None);
        let text = serde_json::to_string(&Line::Row(row)).expect("it has a shape");
        let Ok(Line::Row(row)) = serde_json::from_str(&text) else { panic!("{text}") };
        assert_eq!((row.case("threads"), row.figures.len()), ("2", 1));
        assert_eq!(row.get("Mops/s").and_then(|figure| figure.ratio), Some(Spread::from(2.0)));
    }
}
