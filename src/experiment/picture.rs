//! The pictures, as SVG text that stands in a page or alone.
//!
//! Their colours are those of the light style sheet of every page (`pages/assets/bazar.css`); the report's own
//! style names them again, so that each follows the reader's light or dark.

use super::Trouble;
use crate::load::Latencies;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::error::Error;

pub const SHEET: RGBColor = RGBColor(0xff, 0xff, 0xff);
pub const INK: RGBColor = RGBColor(0x1f, 0x1d, 0x1a);
pub const SOFT: RGBColor = RGBColor(0x5c, 0x56, 0x4c);
pub const GRID: RGBColor = RGBColor(0xdd, 0xd5, 0xc5);
pub const GOOD: RGBColor = RGBColor(0x1a, 0x6b, 0x3c);
pub const BAD: RGBColor = RGBColor(0xa3, 0x23, 0x1f);
/// Of what is neither good nor bad, one after the other.
pub const OTHERS: [RGBColor; 5] = [
    RGBColor(0x1f, 0x5f, 0xa8),
    RGBColor(0xb3, 0x5c, 0x00),
    RGBColor(0x7a, 0x3f, 0xa0),
    RGBColor(0x0b, 0x76, 0x8a),
    RGBColor(0x8a, 0x81, 0x72),
];

const FONT: &str = "sans-serif";
const TITLE_SIZE: u32 = 20;
const TEXT_SIZE: u32 = 15;
const MARGIN: i32 = 16;
/// A character of a name or a label, generously.
const LETTER: i32 = 8;

/// Of a chart; its title and the names of its lines stand above it.
const CHART: (u32, u32) = (860, 440);
const CHART_TOP: u32 = 78;

/// Above the highest value.
const HEADROOM: f64 = 1.08;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Good,
    Bad,
}

/// One row of a panel.
pub struct Bar {
    pub value: f64,
    pub label: String,
    pub tone: Tone,
}

/// Bars beside each other's names; `share` of the width.
pub struct Panel<'a> {
    pub title: &'a str,
    pub share: u32,
    pub bars: Vec<Bar>,
}

pub struct Line {
    pub name: String,
    pub points: Vec<(f64, f64)>,
    pub tone: Tone,
}

type Drawn = Result<(), Box<dyn Error>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Panels of bars side by side; the rows of all have these names.
pub fn panels(title: &str, names: &[&str], panels: &[Panel<'_>]) -> Result<String, Trouble> {
    let height = PANELS_TOP + ROW * i32::try_from(names.len()).unwrap_or(i32::MAX / ROW) + MARGIN;
    drawn((PANELS_WIDTH as u32, height as u32), |area| draw_panels(area, title, names, panels))
}

const PANELS_WIDTH: i32 = 860;
const PANELS_TOP: i32 = 92;
const ROW: i32 = 46;
const BAR: i32 = 24;
const NAMES_WIDTH: i32 = 158;
const GAP: i32 = 12;

fn draw_panels(area: &Area<'_>, title: &str, names: &[&str], panels: &[Panel<'_>]) -> Drawn {
    area.draw(&Text::new(title.to_owned(), (MARGIN, MARGIN + 8), bold(TITLE_SIZE, &INK)))?;
    let middle = |row: usize| PANELS_TOP + ROW * i32::try_from(row).unwrap_or(0) + ROW / 2;
    for (row, name) in names.iter().enumerate() {
        let y = middle(row);
        if row > 0 {
            let line = [(MARGIN, y - ROW / 2), (PANELS_WIDTH - MARGIN, y - ROW / 2)];
            area.draw(&PathElement::new(line, GRID.stroke_width(1)))?;
        }
        let good = panels.iter().any(|panel| panel.bars.get(row).is_some_and(|bar| bar.tone == Tone::Good));
        let style = if good { bold(TEXT_SIZE, &INK) } else { plain(&INK) };
        area.draw(&Text::new((*name).to_owned(), (MARGIN, y), style))?;
    }
    let shares: u32 = panels.iter().map(|panel| panel.share).sum::<u32>().max(1);
    let width = PANELS_WIDTH - 2 * MARGIN - NAMES_WIDTH;
    let mut left = MARGIN + NAMES_WIDTH;
    for panel in panels {
        let wide = width * i32::try_from(panel.share).unwrap_or(1) / i32::try_from(shares).unwrap_or(1);
        area.draw(&Text::new(panel.title.to_owned(), (left, PANELS_TOP - 18), plain(&SOFT)))?;
        let letters = panel.bars.iter().map(|bar| bar.label.chars().count()).max().unwrap_or(0);
        let longest = wide - GAP - 8 - LETTER * i32::try_from(letters).unwrap_or(0);
        let most = panel.bars.iter().map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
        for (row, bar) in panel.bars.iter().enumerate() {
            let y = middle(row);
            let colour = colour(bar.tone, 0);
            // What is not nothing is seen.
            let long = (f64::from(longest.max(0)) * bar.value / most).ceil() as i32;
            if long > 0 {
                let corners = [(left, y - BAR / 2), (left + long, y + BAR / 2)];
                area.draw(&Rectangle::new(corners, colour.filled()))?;
            }
            let ink = if bar.tone == Tone::Plain { INK } else { colour };
            let style = if bar.tone == Tone::Good { bold(TEXT_SIZE, &ink) } else { plain(&ink) };
            let indent = if long > 0 { 8 } else { 0 };
            area.draw(&Text::new(bar.label.clone(), (left + long + indent, y), style))?;
        }
        left += wide;
    }
    Ok(())
}

/// Lines over the time; `marks` are moments with a name.
pub fn lines(
    title: &str,
    axes: (&str, &str),
    lines: &[Line],
    marks: &[(f64, String)],
) -> Result<String, Trouble> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let last = points().map(|(x, _)| *x).fold(0.1, f64::max);
    let highest = points().map(|(_, y)| *y).fold(0.0, f64::max);
    let highest = if highest > 0.0 { highest } else { 1.0 };
    let y = 0.0..highest * HEADROOM;
    drawn(CHART, |area| {
        chart(area, title, axes, Across { x: 0.0..last, y, label: &|x: &f64| number(*x) }, lines, marks)
    })
}

/// How many of the requests were answered within how long. The higher percentiles take as much room as the
/// lower ones: the axis is the part that is slower, falling.
pub fn quantiles(title: &str, series: &[(&str, &Latencies, Tone)]) -> Result<String, Trouble> {
    const STEPS: u32 = 120;
    let lines: Vec<Line> = series
        .iter()
        .map(|&(name, latencies, tone)| {
            let points = (0..=STEPS).map(|step| {
                let slower = 10_f64.powf(f64::from(step) / 40.0);
                (slower, latencies.percentile(100.0 * (1.0 - 1.0 / slower)).as_secs_f64() * 1e3)
            });
            Line { name: name.into(), points: points.collect(), tone }
        })
        .collect();
    let points = || lines.iter().flat_map(|line| &line.points).map(|(_, y)| *y).filter(|y| *y > 0.0);
    let (least, most) = (points().fold(f64::INFINITY, f64::min).min(1.0), points().fold(0.01, f64::max));
    let label = |x: &f64| match x.log10().round() as i32 {
        0 => "0 %".into(),
        1 => "90 %".into(),
        2 => "99 %".into(),
        _ => "99.9 %".to_owned(),
    };
    let y = (least * 0.7..most * 1.4).log_scale();
    let across = Across { x: (1.0..1_000.0).log_scale(), y, label: &label };
    drawn(CHART, |area| {
        chart(area, title, ("of the requests", "are answered within ms"), across, &lines, &[])
    })
}

/// The names of the lines, below the title: each behind a bit of its line.
const NAMES_Y: i32 = 58;
const NAMES_LINE: i32 = 22;

struct Across<'a, X, Y> {
    x: X,
    y: Y,
    label: &'a dyn Fn(&f64) -> String,
}

fn chart<X, Y>(
    area: &Area<'_>,
    title: &str,
    axes: (&str, &str),
    across: Across<'_, X, Y>,
    lines: &[Line],
    marks: &[(f64, String)],
) -> Drawn
where
    X: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    area.draw(&Text::new(title.to_owned(), (MARGIN, MARGIN + 8), bold(TITLE_SIZE, &INK)))?;
    let (head, body) = area.split_vertically(CHART_TOP);
    let mut chart = ChartBuilder::on(&body)
        .margin(12)
        .margin_right(28)
        .x_label_area_size(46)
        .y_label_area_size(70)
        .build_cartesian_2d(across.x, across.y)?;
    chart
        .configure_mesh()
        .x_desc(axes.0)
        .y_desc(axes.1)
        .x_label_formatter(across.label)
        .y_label_formatter(&|y| number(*y))
        .label_style(plain(&SOFT))
        .axis_desc_style(plain(&SOFT))
        .axis_style(SOFT)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .draw()?;
    let (mut others, mut left) = (0, MARGIN);
    for line in lines {
        let colour = colour(line.tone, others);
        others += usize::from(line.tone == Tone::Plain);
        let style = colour.stroke_width(if line.tone == Tone::Good { 4 } else { 2 });
        chart.draw_series(LineSeries::new(line.points.iter().copied(), style))?;
        head.draw(&PathElement::new([(left, NAMES_Y), (left + NAMES_LINE, NAMES_Y)], style))?;
        left += NAMES_LINE + 6;
        head.draw(&Text::new(line.name.clone(), (left, NAMES_Y), plain(&INK)))?;
        left += LETTER * i32::try_from(line.name.chars().count()).unwrap_or(0) + GAP;
    }
    let (_, ys) = chart.plotting_area().get_pixel_range();
    let some_y = lines.iter().flat_map(|line| &line.points).next().map_or(1.0, |(_, y)| *y);
    for (x, name) in marks {
        // In pixels: a mark is as high as the chart, whatever its scale.
        let (x, _) = chart.backend_coord(&(*x, some_y));
        area.draw(&PathElement::new([(x, ys.start), (x, ys.end)], BAD.stroke_width(1)))?;
        let beside = (x + 5, ys.start + 10);
        area.draw(&Text::new(name.clone(), beside, plain(&BAD)))?;
    }
    Ok(())
}

fn drawn(size: (u32, u32), draw: impl FnOnce(&Area<'_>) -> Drawn) -> Result<String, Trouble> {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    let done = area
        .fill(&SHEET)
        .map_err(Into::into)
        .and_then(|()| draw(&area))
        .and_then(|()| area.present().map_err(Into::into));
    done.map_err(|error: Box<dyn Error>| Trouble::Picture(error.to_string()))?;
    drop(area);
    Ok(svg)
}

fn colour(tone: Tone, number: usize) -> RGBColor {
    match tone {
        Tone::Plain => OTHERS[number % OTHERS.len()],
        Tone::Good => GOOD,
        Tone::Bad => BAD,
    }
}

fn plain(colour: &RGBColor) -> TextStyle<'static> {
    (FONT, TEXT_SIZE).into_font().color(colour).pos(Pos::new(HPos::Left, VPos::Center))
}

fn bold(size: u32, colour: &RGBColor) -> TextStyle<'static> {
    (FONT, size, FontStyle::Bold).into_font().color(colour).pos(Pos::new(HPos::Left, VPos::Center))
}

/// As short as it can be said.
fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 || large == 0.0 => format!("{value:.0}"),
        medium if medium >= 1.0 => format!("{value:.1}").trim_end_matches(".0").to_owned(),
        _ => format!("{value:.2}").trim_end_matches('0').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_bar_of_nothing_is_not_drawn_and_a_bar_of_little_is() {
        let bars = |values: [f64; 3]| {
            let bars = values.map(|value| Bar { value, label: format!("{value}"), tone: Tone::Bad });
            let panel = Panel { title: "Stale <answers>", share: 1, bars: bars.into() };
            panels("t", &["a", "b", "c"], &[panel]).unwrap()
        };
        let rectangles = |svg: &str| svg.matches("<rect").count();
        let svg = bars([0.0, 1e-9, 1.0]);
        // The ground, and two bars.
        assert_eq!(rectangles(&svg), 3, "{svg}");
        assert_eq!(rectangles(&bars([0.0; 3])), 1);
        assert!(svg.contains("Stale &lt;answers&gt;"), "{svg}");
    }

    #[test]
    fn charts_are_drawn_of_anything_even_of_nothing() {
        let line = |points: Vec<(f64, f64)>| Line { name: "n".into(), points, tone: Tone::Good };
        for points in [vec![], vec![(0.0, 0.0)], vec![(0.0, 1.0), (2.0, 0.0)]] {
            let svg = lines("t", ("x", "y"), &[line(points)], &[(0.05, "kill -9".into())]).unwrap();
            assert!(svg.contains("kill -9") && svg.ends_with("</svg>\n"), "{svg}");
        }
        let mut latencies = Latencies::new();
        for micros in 1..1000 {
            latencies.record(Duration::from_micros(micros));
        }
        for latencies in [latencies, Latencies::new()] {
            assert!(quantiles("t", &[("n", &latencies, Tone::Plain)]).unwrap().contains("99.9 %"));
        }
    }
}
