//! The picture: memory and live sessions over time, and below it what each quiet part left, as an SVG.
//!
//! The lower panel has a scale of its own, for there a leak of a few KiB a round must show that
//! would vanish beside the load above. plotters writes the text as text and leaves the fonts to
//! whoever shows the file; it can only guess how wide a text will be, so nothing depends on that.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::options::Plan;
use crate::soak::Course;

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Writes the picture.
///
/// # Errors
///
/// If it cannot be drawn or written.
pub(crate) fn draw(plan: &Plan, course: &Course) -> Result<(), String> {
    let mut text = String::new();
    render(plan, course, &mut text).map_err(|error| format!("cannot draw: {error}"))?;
    std::fs::write(&plan.picture, text)
        .map_err(|error| format!("cannot write {}: {error}", plan.picture.display()))
}

fn render(plan: &Plan, course: &Course, text: &mut String) -> Drawn {
    let canvas = SVGBackend::with_string(text, SIZE).into_drawing_area();
    canvas.fill(&WHITE)?;
    let (head, body) = canvas.split_vertically(HEAD_HEIGHT);
    let (load, quiet) = body.split_vertically(LOAD_HEIGHT);
    let ended = course.rounds.last().map_or(plan.duration(), |round| round.ended);
    // The unit that the axis is labelled in.
    let unit = if ended.as_secs() < 600 { Unit::Seconds } else { Unit::Minutes };
    let end = unit.of(ended);
    draw_head(plan, course, &head)?;
    draw_load(course, &load, unit, end)?;
    draw_quiet(course, &quiet, unit, end)?;
    canvas.present()?;
    Ok(())
}

#[derive(Clone, Copy)]
enum Unit {
    Seconds,
    Minutes,
}

impl Unit {
    fn of(self, at: std::time::Duration) -> f64 {
        match self {
            Self::Seconds => at.as_secs_f64(),
            Self::Minutes => at.as_secs_f64() / 60.0,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Seconds => "seconds since the soak began",
            Self::Minutes => "minutes since the soak began",
        }
    }
}

/// Title, a line of circumstances, and the legend, which is up here so that no curve can reach it.
fn draw_head(plan: &Plan, course: &Course, head: &Canvas<'_>) -> Drawn {
    let title = font(26).color(&INK);
    head.draw_text(
        "A cache at full load, and what it keeps when nobody calls",
        &title,
        (LEFT, 16),
    )?;
    let facts = format!(
        "{} threads, seed {}, {} rounds; sessions live up to {:.1} s, then silence (shaded)",
        plan.threads,
        plan.seed,
        course.rounds.len(),
        plan.longest_life.as_secs_f64(),
    );
    head.draw_text(&facts, &font(16).color(&PALE_INK), (LEFT, 48))?;
    for (text, colour, x) in [
        ("resident memory (MiB, left)", RESIDENT, LEFT),
        ("heap (MiB, left)", HEAP, LEFT + 280),
        ("sessions in memory (thousands, right)", SESSIONS, LEFT + 480),
    ] {
        head.draw(&PathElement::new([(x, 86), (x + 28, 86)], colour.stroke_width(4)))?;
        let centred = font(16).color(&INK).pos(Pos::new(HPos::Left, VPos::Center));
        head.draw_text(text, &centred, (x + 38, 86))?;
    }
    Ok(())
}

/// The upper panel.
fn draw_load(course: &Course, area: &Canvas<'_>, unit: Unit, end: f64) -> Drawn {
    let samples = &course.samples;
    let heap = samples.iter().map(|sample| (unit.of(sample.at), mebibytes(sample.memory.heap)));
    let resident =
        samples.iter().map(|sample| (unit.of(sample.at), mebibytes(sample.memory.resident)));
    let sessions = samples.iter().map(|sample| (unit.of(sample.at), thousands(sample.sessions)));
    let top = |points: &mut dyn Iterator<Item = (f64, f64)>| {
        points.map(|(_, height)| height).fold(1.0, f64::max) * 1.1
    };
    let memory_top = top(&mut heap.clone().chain(resident.clone()));
    let sessions_top = top(&mut sessions.clone());
    let mut chart = ChartBuilder::on(area)
        .margin_left(16)
        .margin_right(16)
        .margin_top(8)
        .x_label_area_size(28)
        .y_label_area_size(64)
        .right_y_label_area_size(64)
        .build_cartesian_2d(0.0..end, 0.0..memory_top)?
        .set_secondary_coord(0.0..end, 0.0..sessions_top);
    for round in &course.rounds {
        let (from, to) = (unit.of(round.quiet), unit.of(round.ended));
        chart.draw_series([Rectangle::new([(from, 0.0), (to, memory_top)], SHADE.filled())])?;
    }
    chart
        .configure_mesh()
        .y_desc("memory (MiB)")
        .x_labels(12)
        .y_labels(6)
        .x_label_formatter(&|at| tenths(*at))
        .y_label_formatter(&|size| tenths(*size))
        .label_style(font(15).color(&INK))
        .axis_desc_style(font(16).color(&INK))
        .axis_style(PALE_INK)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .draw()?;
    chart
        .configure_secondary_axes()
        .y_desc("sessions (thousands)")
        .y_labels(6)
        .y_label_formatter(&|number: &f64| tenths(*number))
        .label_style(font(15).color(&INK))
        .axis_desc_style(font(16).color(&INK))
        .axis_style(PALE_INK)
        .draw()?;
    chart.draw_series(LineSeries::new(resident, RESIDENT.stroke_width(2)))?;
    chart.draw_series(AreaSeries::new(heap.clone(), 0.0, HEAP.mix(0.12)))?;
    chart.draw_series(LineSeries::new(heap, HEAP.stroke_width(2)))?;
    chart.draw_secondary_series(LineSeries::new(sessions, SESSIONS.stroke_width(1)))?;
    Ok(())
}

/// The lower panels: a point for each quiet part, and the line that none may pass.
fn draw_quiet(course: &Course, area: &Canvas<'_>, unit: Unit, end: f64) -> Drawn {
    let Some(last) = course.rounds.last() else { return Ok(()) };
    let (left, right) = area.split_horizontally(SIZE.0 / 2);
    let heap = course.rounds.iter().map(|round| Point {
        at: unit.of(round.ended),
        size: kibibytes(round.quiet_heap),
        allowed: kibibytes(round.heap_allowed),
    });
    let panel = Panel { area: &left, name: "quiet heap (KiB)", colour: HEAP };
    panel.draw(heap, kibibytes(last.heap_allowed), unit, end)?;
    let resident = course.rounds.iter().map(|round| Point {
        at: unit.of(round.ended),
        size: mebibytes(round.quiet_resident),
        allowed: mebibytes(round.resident_allowed),
    });
    let panel = Panel { area: &right, name: "quiet resident (MiB)", colour: RESIDENT };
    panel.draw(resident, mebibytes(last.resident_allowed), unit, end)
}

/// What a quiet part left.
struct Point {
    at: f64,
    size: f64,
    allowed: f64,
}

struct Panel<'a, 'b> {
    area: &'a Canvas<'b>,
    name: &'static str,
    colour: RGBColor,
}

impl Panel<'_, '_> {
    fn draw(
        &self,
        points: impl Iterator<Item = Point> + Clone,
        limit: f64,
        unit: Unit,
        end: f64,
    ) -> Drawn {
        let top = points.clone().map(|point| point.size).fold(limit, f64::max).max(0.1) * 1.2;
        let mut chart = ChartBuilder::on(self.area)
            .margin_left(16)
            .margin_right(24)
            .margin_top(12)
            .margin_bottom(12)
            .x_label_area_size(48)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..end, 0.0..top)?;
        chart
            .configure_mesh()
            .x_desc(unit.name())
            .y_desc(self.name)
            .x_labels(6)
            .y_labels(4)
            .x_label_formatter(&|at| tenths(*at))
            .y_label_formatter(&|size| tenths(*size))
            .label_style(font(15).color(&INK))
            .axis_desc_style(font(14).color(&INK))
            .axis_style(PALE_INK)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .draw()?;
        let line = [(0.0, limit), (end, limit)];
        chart.draw_series(DashedLineSeries::new(line, 8, 6, INK.stroke_width(2)))?;
        let style = font(14).color(&INK).pos(Pos::new(HPos::Left, VPos::Bottom));
        let label = EmptyElement::at((0.0, limit)) + Text::new("allowed", (10, -5), style);
        chart.draw_series([label])?;
        chart.draw_series(points.map(|Point { at, size, allowed }| {
            Circle::new((at, size), 4, if size <= allowed { self.colour } else { ALARM }.filled())
        }))?;
        Ok(())
    }
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn kibibytes(bytes: u64) -> f64 {
    bytes as f64 / 1024.0
}

fn thousands(number: u64) -> f64 {
    number as f64 / 1e3
}

fn tenths(number: f64) -> String {
    format!("{}", (number * 10.0).round() / 10.0)
}

/// plotters shrinks every size by 1.24 for SVG; this gives pixels.
fn font(pixels: u32) -> TextStyle<'static> {
    ("sans-serif", f64::from(pixels) * 1.24).into()
}

const SIZE: (u32, u32) = (1000, 700);
const HEAD_HEIGHT: u32 = 108;
const LOAD_HEIGHT: u32 = 370;

/// Where the head's texts begin: above the vertical axis.
const LEFT: i32 = 80;

const HEAP: RGBColor = RGBColor(0x1B, 0x6C, 0xA8);
const RESIDENT: RGBColor = RGBColor(0x4A, 0x9B, 0x5B);
const SESSIONS: RGBColor = RGBColor(0xD9, 0x8E, 0x2B);
const ALARM: RGBColor = RGBColor(0xC8, 0x4B, 0x31);
const INK: RGBColor = RGBColor(0x2B, 0x2F, 0x36);
const PALE_INK: RGBColor = RGBColor(0x6B, 0x72, 0x7C);
const GRID: RGBColor = RGBColor(0xE6, 0xE8, 0xEB);
const SHADE: RGBColor = RGBColor(0xF0, 0xF1, 0xF4);
