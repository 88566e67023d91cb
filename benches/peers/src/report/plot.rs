//! Plots: reads by size, and lag by the size of the crowd.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io;
use std::path::Path;

use plotters::prelude::*;

use super::{Row, Run};

/// A line for each peer, through points.
type Lines = BTreeMap<String, Vec<(f64, f64)>>;

/// Draws what there is enough of; returns the Markdown that shows it.
pub(super) fn draw(runs: &[(Run, Vec<Row>)], folder: &Path) -> io::Result<String> {
    let rows: Vec<&Row> = runs.iter().flat_map(|(_, rows)| rows).collect();
    let mut text = String::new();
    for (popularity, file) in [("zipf 0.99", "reads-zipf.svg"), ("uniform", "reads-uniform.svg")] {
        for threads in ["1", "2"] {
            let lines = lines(&rows, "Mops/s", "sessions", |row| {
                row.bench == "reads"
                    && (row.case("keys"), row.case("threads")) == ("u128", threads)
                    && row.case("popularity") == popularity
            });
            let title = format!("Reads, {popularity}, {threads} threads: Mops/s by sessions");
            text.push_str(&plot(folder, &format!("{threads}-{file}"), &title, &lines)?);
        }
    }
    let lines = lines(&rows, "p99.9 ms", "behind", |row| row.bench == "lag");
    let title = "Lag, p99.9: ms behind how many live sessions";
    text.push_str(&plot(folder, "lag.svg", title, &lines)?);
    Ok(if text.is_empty() { text } else { format!("\n## Plots\n\n{text}") })
}

fn lines(rows: &[&Row], figure: &str, axis: &str, belongs: impl Fn(&Row) -> bool) -> Lines {
    let mut lines = Lines::new();
    for row in rows.iter().filter(|row| belongs(row)) {
        let (Some(figure), Ok(at)) = (row.get(figure), row.case(axis).parse::<f64>()) else {
            continue;
        };
        lines.entry(row.peer.clone()).or_default().push((at.max(1.0), figure.spread.median));
    }
    for points in lines.values_mut() {
        points.sort_by(|one, other| one.0.total_cmp(&other.0));
    }
    lines.retain(|_, points| points.len() > 1);
    lines
}

fn plot(folder: &Path, file: &str, title: &str, lines: &Lines) -> io::Result<String> {
    if lines.is_empty() {
        return Ok(String::new());
    }
    fs::create_dir_all(folder)?;
    let path = folder.join(file);
    chart(&path, title, lines).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(format!("![{title}](plots/{file})\n"))
}

fn chart(path: &Path, title: &str, lines: &Lines) -> Result<(), Box<dyn Error>> {
    let points = || lines.values().flatten();
    let least = points().map(|point| point.0).fold(f64::INFINITY, f64::min);
    let most = points().map(|point| point.0).fold(least * 2.0, f64::max);
    let lowest = points().map(|point| point.1).fold(f64::INFINITY, f64::min).max(1e-3);
    let highest = points().map(|point| point.1).fold(lowest * 2.0, f64::max);
    let area = SVGBackend::new(path, (900, 520)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 20))
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d((least..most).log_scale(), (lowest * 0.8..highest * 1.2).log_scale())?;
    chart.configure_mesh().light_line_style(TRANSPARENT).draw()?;
    for (index, (peer, points)) in lines.iter().enumerate() {
        let color = Palette99::pick(index).to_rgba();
        let style = color.stroke_width(if peer == "sundown" { 4 } else { 2 });
        chart
            .draw_series(LineSeries::new(points.iter().copied(), style).point_size(3))?
            .label(peer)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK).draw()?;
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Spread;

    #[test]
    fn a_line_needs_two_points_in_order() {
        let row = |peer: &str, behind: &str, ms: f64| {
            Row::new("lag", &[("behind", String::from(behind))], peer)
                .figure("p99.9 ms", Spread::from(ms))
        };
        let rows = [
            row("sundown", "10000", 8.0),
            row("sundown", "0", 7.0),
            row("fibre_cache", "0", 900.0),
        ];
        let rows: Vec<&Row> = rows.iter().collect();
        let lines = lines(&rows, "p99.9 ms", "behind", |_| true);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines["sundown"], [(1.0, 7.0), (10_000.0, 8.0)]);
    }
}
