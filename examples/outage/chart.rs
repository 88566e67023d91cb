//! The picture: the memory of both stores over the day, resident and requested, as an SVG.
//!
//! plotters writes the text as text and leaves the fonts to whoever shows the file, so neither
//! fonts nor a font library are needed here. It can only guess how wide a text will be; therefore
//! nothing below depends on a width: labels are anchored at the side that matters.

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::figures::seconds;
use crate::message::Sample;
use crate::options::{Contestant, Plan};
use crate::promises::return_time;
use crate::supervise::Half;

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Writes the picture.
///
/// # Errors
///
/// If it cannot be drawn or written.
pub(crate) fn draw(plan: &Plan, halves: &[Half; 2]) -> Result<(), String> {
    let mut text = String::new();
    render(plan, halves, &mut text).map_err(|error| format!("cannot draw: {error}"))?;
    std::fs::write(&plan.picture, text)
        .map_err(|error| format!("cannot write {}: {error}", plan.picture.display()))
}

fn render(plan: &Plan, halves: &[Half; 2], text: &mut String) -> Drawn {
    let canvas = SVGBackend::with_string(text, SIZE).into_drawing_area();
    canvas.fill(&WHITE)?;
    let (head, body) = canvas.split_vertically(HEAD_HEIGHT);
    draw_head(plan, halves, &head)?;

    let limit = mebibytes(plan.memory_limit);
    let duration = plan.duration.as_secs_f64();
    let top = halves.iter().flat_map(resident).map(|(_, size)| size).fold(limit, f64::max) * 1.12;
    let mut chart = ChartBuilder::on(&body)
        .margin_left(16)
        .margin_right(28)
        .margin_bottom(12)
        .x_label_area_size(48)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..duration, 0.0..top)?;
    draw_silence(plan, top, &mut chart)?;
    chart
        .configure_mesh()
        .x_desc("seconds since the day began")
        .y_desc("memory (MiB)")
        .x_labels(12)
        .y_labels(8)
        .x_label_formatter(&|second| format!("{}", (second * 10.0).round() / 10.0))
        .y_label_formatter(&|size| format!("{}", (size * 10.0).round() / 10.0))
        .label_style(font(15).color(&INK))
        .axis_desc_style(font(16).color(&INK))
        .axis_style(PALE_INK)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .draw()?;
    for half in halves {
        draw_curve(half, &mut chart)?;
    }
    draw_limit(limit, duration, &mut chart)?;
    for half in halves {
        draw_crossing(plan, half, &mut chart)?;
    }
    draw_return(plan, halves, top, &mut chart)?;
    canvas.present()?;
    Ok(())
}

/// Title, a line of circumstances, and the legend, which is up here so that no curve can reach it.
fn draw_head(plan: &Plan, halves: &[Half; 2], head: &Canvas<'_>) -> Drawn {
    let title = font(26).color(&INK);
    head.draw_text("One day of sessions, and the memory they leave behind", &title, (LEFT, 18))?;
    let facts = format!(
        "{:.0} visitors/s on average, {:.0} % bots; a session dies after {} unused, {} in all",
        plan.forecast.arrivals_per_second,
        plan.forecast.bots * 100.0,
        seconds(plan.idle),
        seconds(plan.ttl),
    );
    head.draw_text(&facts, &font(16).color(&PALE_INK), (LEFT, 50))?;
    let lines = "solid: resident, as the system counts it; dashed: heap, as requested; both \
                 above what there was before";
    head.draw_text(lines, &font(16).color(&PALE_INK), (LEFT, 72))?;
    for (half, height) in halves.iter().zip([110, 136]) {
        let style = colour(half.contestant).stroke_width(4);
        head.draw(&PathElement::new([(LEFT, height), (LEFT + 28, height)], style))?;
        let centred = font(17).color(&INK).pos(Pos::new(HPos::Left, VPos::Center));
        head.draw_text(&legend(half), &centred, (LEFT + 38, height))?;
    }
    Ok(())
}

/// Shades the end of the day, when nobody calls.
fn draw_silence(plan: &Plan, top: f64, chart: &mut Chart<'_>) -> Drawn {
    let (from, to) = (plan.day().as_secs_f64(), plan.duration.as_secs_f64());
    chart.draw_series([Rectangle::new([(from, 0.0), (to, top)], SHADE.filled())])?;
    let style = font(14).color(&PALE_INK).pos(Pos::new(HPos::Center, VPos::Top));
    let text = Text::new("no calls", (f64::midpoint(from, to), top * 0.985), style);
    chart.draw_series([text])?;
    Ok(())
}

/// Marks the last deadline, and when sundown's memory was back after it.
fn draw_return(plan: &Plan, halves: &[Half; 2], top: f64, chart: &mut Chart<'_>) -> Drawn {
    let Some((half, end)) = halves
        .iter()
        .filter(|half| half.contestant == Contestant::Sundown)
        .find_map(|half| half.end.map(|end| (half, end)))
    else {
        return Ok(());
    };
    let deadline = end.last_deadline.as_secs_f64();
    let line = [(deadline, 0.0), (deadline, top * 0.62)];
    chart.draw_series(DashedLineSeries::new(line, 3, 4, PALE_INK.stroke_width(1)))?;
    let style = font(14).color(&PALE_INK).pos(Pos::new(HPos::Center, VPos::Bottom));
    let label = EmptyElement::at((deadline, top * 0.62))
        + Text::new("last session's deadline", (0, -4), style);
    chart.draw_series([label])?;
    let Some(sample) = half.returned() else { return Ok(()) };
    let time = return_time(half, &end).unwrap_or_default();
    let is_near_the_edge = sample.at.as_secs_f64() > plan.duration.as_secs_f64() * 0.85;
    let (side, offset) = if is_near_the_edge { (HPos::Right, -10) } else { (HPos::Left, 12) };
    let colour = colour(half.contestant);
    let style = font(16).color(&colour).pos(Pos::new(side, VPos::Center));
    let place = (sample.at.as_secs_f64(), mebibytes(sample.resident_bytes));
    let mark = EmptyElement::at(place)
        + Circle::new((0, 0), 7, WHITE.filled())
        + Circle::new((0, 0), 6, colour.stroke_width(3))
        + Text::new(format!("back {} later", seconds(time)), (offset, -18), style);
    chart.draw_series([mark])?;
    Ok(())
}

fn draw_curve(half: &Half, chart: &mut Chart<'_>) -> Drawn {
    let colour = colour(half.contestant);
    // The second is drawn over the tint of the first.
    let tint = if half.contestant == Contestant::Sundown { 0.25 } else { 0.10 };
    chart.draw_series(AreaSeries::new(resident(half), 0.0, colour.mix(tint)))?;
    chart.draw_series(LineSeries::new(resident(half), colour.stroke_width(3)))?;
    let heap = colour.mix(0.8).stroke_width(2);
    chart.draw_series(DashedLineSeries::new(heap_of(half), 5, 4, heap))?;
    Ok(())
}

fn draw_limit(limit: f64, duration: f64, chart: &mut Chart<'_>) -> Drawn {
    let line = [(0.0, limit), (duration, limit)];
    chart.draw_series(DashedLineSeries::new(line, 8, 6, INK.stroke_width(2)))?;
    let style = font(15).color(&INK).pos(Pos::new(HPos::Left, VPos::Top));
    let label = format!("memory limit, {} MiB", (limit * 10.0).round() / 10.0);
    let place = EmptyElement::at((0.0, limit)) + Text::new(label, (10, 7), style);
    chart.draw_series([place])?;
    Ok(())
}

/// Marks where a store crosses the limit.
fn draw_crossing(plan: &Plan, half: &Half, chart: &mut Chart<'_>) -> Drawn {
    let Some(sample) = half.crossing(plan.memory_limit) else { return Ok(()) };
    let (at, size) = point(sample);
    // Left of a rising curve and above the line is free. A second crossing comes later, so that its
    // label is out of the way of the first on the other side of both.
    let (side, offset) = match half.contestant {
        Contestant::CheckOnRead => (HPos::Right, (-13, -14)),
        Contestant::Sundown => (HPos::Left, (13, 14)),
    };
    let colour = colour(half.contestant);
    let style = font(16).color(&colour).pos(Pos::new(side, VPos::Center));
    let mark = EmptyElement::at((at, size))
        + Circle::new((0, 0), 7, WHITE.filled())
        + Circle::new((0, 0), 6, colour.stroke_width(3))
        + Text::new(seconds(sample.at), offset, style);
    chart.draw_series([mark])?;
    Ok(())
}

fn resident(half: &Half) -> impl Iterator<Item = (f64, f64)> {
    half.samples.iter().map(point)
}

fn heap_of(half: &Half) -> impl Iterator<Item = (f64, f64)> + Clone {
    half.samples.iter().map(|sample| (sample.at.as_secs_f64(), mebibytes(sample.heap_bytes)))
}

fn point(sample: &Sample) -> (f64, f64) {
    (sample.at.as_secs_f64(), mebibytes(sample.resident_bytes))
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn legend(half: &Half) -> String {
    let name = match half.contestant {
        Contestant::CheckOnRead => "checks expiry on read, like tower-sessions' MemoryStore",
        Contestant::Sundown => "sundown",
    };
    let left = half.samples.last().map_or(0.0, |sample| mebibytes(sample.resident_bytes));
    format!("{name}: {left:.0} MiB left at the end")
}

fn colour(contestant: Contestant) -> RGBColor {
    match contestant {
        Contestant::CheckOnRead => RGBColor(0xC8, 0x4B, 0x31),
        Contestant::Sundown => RGBColor(0x1B, 0x6C, 0xA8),
    }
}

/// plotters shrinks every size by 1.24 for SVG; this gives pixels.
fn font(pixels: u32) -> TextStyle<'static> {
    ("sans-serif", f64::from(pixels) * 1.24).into()
}

const SIZE: (u32, u32) = (1000, 640);
const HEAD_HEIGHT: u32 = 160;

/// Where the head's texts begin: above the vertical axis.
const LEFT: i32 = 80;

const INK: RGBColor = RGBColor(0x2B, 0x2F, 0x36);
const PALE_INK: RGBColor = RGBColor(0x6B, 0x72, 0x7C);
const GRID: RGBColor = RGBColor(0xE6, 0xE8, 0xEB);
const SHADE: RGBColor = RGBColor(0xF3, 0xF4, 0xF6);
