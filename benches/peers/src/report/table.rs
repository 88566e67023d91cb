//! Rows as a Markdown table.

use comfy_table::{Cell, CellAlignment, Table, presets};

use super::Row;
use crate::measure::Spread;

/// A table of rows of one benchmark, whose cases and figures may differ.
pub fn markdown(rows: &[Row]) -> String {
    let mut cases: Vec<&str> = Vec::new();
    let mut figures: Vec<(&str, bool)> = Vec::new();
    for row in rows {
        for (name, _) in &row.case {
            if !cases.contains(&name.as_str()) {
                cases.push(name);
            }
        }
        for figure in &row.figures {
            let is_compared = figure.ratio.is_some();
            match figures.iter_mut().find(|(name, _)| *name == figure.name) {
                Some((_, compared)) => *compared |= is_compared,
                None => figures.push((&figure.name, is_compared)),
            }
        }
    }
    let has_notes = rows.iter().any(|row| !row.note.is_empty());
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN);
    table.set_header(header(rows, &cases, &figures, has_notes));
    for row in rows {
        table.add_row(line(row, &cases, &figures, has_notes));
    }
    table.to_string()
}

fn header(rows: &[Row], cases: &[&str], figures: &[(&str, bool)], has_notes: bool) -> Vec<Cell> {
    let bench = rows.first().map_or("", |row| &row.bench);
    let mut header = vec![Cell::new(format!("**{bench}**"))];
    header.extend(cases.iter().map(Cell::new));
    for (name, is_compared) in figures {
        header.push(Cell::new(name));
        if *is_compared {
            header.push(Cell::new("ours : theirs"));
        }
    }
    if has_notes {
        header.push(Cell::new("note"));
    }
    header
}

fn line(row: &Row, cases: &[&str], figures: &[(&str, bool)], has_notes: bool) -> Vec<Cell> {
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    let mut line = vec![Cell::new(&row.peer)];
    line.extend(cases.iter().map(|name| right(row.case(name).to_owned())));
    for (name, is_compared) in figures {
        let figure = row.get(name);
        line.push(right(figure.map(|figure| text(figure.spread)).unwrap_or_default()));
        if *is_compared {
            let ratio = figure.and_then(|figure| figure.ratio);
            line.push(right(ratio.map(text).unwrap_or_default()));
        }
    }
    if has_notes {
        line.push(Cell::new(&row.note));
    }
    line
}

/// The median, and the extremes where they differ.
pub fn text(spread: Spread) -> String {
    let [median, min, max] = [spread.median, spread.min, spread.max].map(number);
    if min == max { median } else { format!("{median} ({min} to {max})") }
}

/// Three digits, and no more after the point than they need.
fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return format!("{value:.0}");
    }
    match value.abs() {
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_about_three_digits() {
        let numbers = [0.123, 4.567, 45.67, 456.7, 4567.0, 0.0].map(number);
        assert_eq!(numbers, ["0.12", "4.57", "45.7", "457", "4567", "0"]);
        assert_eq!(text(Spread { median: 2.0, min: 1.5, max: 2.5 }), "2 (1.50 to 2.50)");
        assert_eq!(text(Spread { median: 99.98, min: 99.97, max: 99.99 }), "100.0");
    }

    #[test]
    fn rows_with_different_figures_share_a_table() {
        let table = markdown(&[
            Row::new("lag", &[("behind", String::from("0"))], "sundown")
                .figure("p50 ms", Spread::from(7.0)),
            Row::new("lag", &[("behind", String::from("0"))], "moka").note("never"),
        ]);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 4, "{table}");
        assert!(lines[0].contains("p50 ms") && lines[0].contains("note"), "{table}");
        assert!(lines[3].contains("moka") && lines[3].contains("never"), "{table}");
    }
}
