//! The pictures, as SVG.

use crate::record::{Curve, Distribution, Kind, Plot, Record};
use anyhow::{Result, anyhow};
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;
use std::path::Path;

const SIZE: (u32, u32) = (860, 480);

/// The names of the lines stand above them.
const ROOM_FOR_NAMES: f64 = 1.3;

const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 90, 181),
    RGBColor(220, 50, 32),
    RGBColor(0, 128, 96),
    RGBColor(150, 100, 0),
    RGBColor(120, 60, 160),
    RGBColor(90, 90, 90),
];

struct Picture {
    plot: Plot,
    file: &'static str,
    title: &'static str,
    x: &'static str,
    y: &'static str,
}

const PICTURES: [Picture; 5] = [
    Picture {
        plot: Plot::ReadsByConnections,
        file: "reads-by-connections.svg",
        title: "Cached searches",
        x: "connections",
        y: "per second",
    },
    Picture {
        plot: Plot::PurchasesByClients,
        file: "purchases-by-clients.svg",
        title: "Durable purchases: what comes together shares a batch",
        x: "clients",
        y: "per second",
    },
    Picture {
        plot: Plot::CostByBooks,
        file: "cost-by-books.svg",
        title: "One client, equally long answers",
        x: "books",
        y: "p50, ms",
    },
    Picture {
        plot: Plot::CostByFrontends,
        file: "cost-by-frontends.svg",
        title: "A purchase is fenced at every frontend",
        x: "frontends",
        y: "p50, ms",
    },
    Picture {
        plot: Plot::CostByReplicas,
        file: "cost-by-replicas.svg",
        title: "A purchase is on the disk of every replica in sync",
        x: "replicas",
        y: "p50, ms",
    },
];

/// Draws what there is to draw, and returns file and title of each.
pub fn draw(record: &Record, out: &Path) -> Result<Vec<(&'static str, &'static str)>> {
    let mut drawn = Vec::new();
    for picture in &PICTURES {
        let curves: Vec<&Curve> = record.curves.iter().filter(|curve| curve.plot == picture.plot).collect();
        if !curves.is_empty() {
            let lines: Vec<_> =
                curves.iter().map(|curve| (curve.side.as_str(), curve.points.clone())).collect();
            lines_over_log(picture, &lines, &out.join(picture.file)).map_err(|error| anyhow!("{error}"))?;
            drawn.push((picture.file, picture.title));
        }
    }
    let reads: Vec<&Distribution> =
        record.distributions.iter().filter(|distribution| distribution.kind == Kind::OpenLoop).collect();
    if !reads.is_empty() {
        let picture = ("latency-of-reads.svg", "Cached reads at half the peak rate, open loop");
        by_quantile(picture.1, &reads, &out.join(picture.0)).map_err(|error| anyhow!("{error}"))?;
        drawn.push(picture);
    }
    Ok(drawn)
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

fn lines_over_log(picture: &Picture, lines: &[(&str, Vec<(f64, f64)>)], file: &Path) -> Drawn {
    let points = || lines.iter().flat_map(|(_, points)| points);
    let least = points().map(|(x, _)| *x).fold(f64::INFINITY, f64::min);
    let most = points().map(|(x, _)| *x).fold(0.0, f64::max).max(least * 2.0);
    let highest = points().map(|(_, y)| *y).fold(0.0, f64::max);
    chart(
        (picture.title, picture.x, picture.y),
        (least..most).log_scale(),
        highest,
        lines,
        |x| format!("{x:.0}"),
        file,
    )
}

/// The higher percentiles take as much room as the lower ones: the axis is the part that is slower, falling.
fn by_quantile(title: &str, distributions: &[&Distribution], file: &Path) -> Drawn {
    let lines: Vec<_> = distributions
        .iter()
        .map(|one| {
            let points = (0..=160).map(|step| {
                let slower = 10_f64.powf(f64::from(step) / 40.0);
                (slower, one.latencies.quantile_ms(1.0 - 1.0 / slower))
            });
            (one.name.as_str(), points.collect::<Vec<_>>())
        })
        .collect();
    let highest = lines.iter().flat_map(|(_, points)| points).map(|(_, y)| *y).fold(0.0, f64::max);
    let label = |x: &f64| match x.log10().round() as i32 {
        0 => "0 %".into(),
        1 => "90 %".into(),
        2 => "99 %".into(),
        nines => format!("99.{} %", "9".repeat(usize::try_from(nines - 2).unwrap_or(1))),
    };
    chart(
        (title, "of the reads", "are answered within ms"),
        (1.0..10_000.0).log_scale(),
        highest,
        &lines,
        label,
        file,
    )
}

fn chart<X>(
    (title, x, y): (&str, &str, &str),
    across: X,
    highest: f64,
    lines: &[(&str, Vec<(f64, f64)>)],
    label: impl Fn(&f64) -> String,
    file: &Path,
) -> Drawn
where
    X: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
{
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 20))
        .margin(12)
        .margin_right(36)
        .x_label_area_size(44)
        .y_label_area_size(76)
        .build_cartesian_2d(across, 0.0..highest * ROOM_FOR_NAMES)?;
    chart
        .configure_mesh()
        .x_desc(x)
        .y_desc(y)
        .x_label_formatter(&label)
        .y_label_formatter(&|y| if highest < 100.0 { format!("{y:.1}") } else { format!("{y:.0}") })
        .light_line_style(WHITE)
        .draw()?;
    for ((name, points), colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let style = colour.stroke_width(2);
        chart
            .draw_series(LineSeries::new(points.iter().copied(), style))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        if points.len() < 20 {
            chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, colour.filled())))?;
        }
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    area.present()?;
    Ok(())
}
