//! report.md: the table, the machine, the settings. Every figure beside its goal; what is missing says why.

use crate::bench::Bench;
use crate::goals::{Bound, GOALS, Goal};
use crate::plots;
use crate::record::{Distribution, Figure, Kind, Record};
use anyhow::Result;
use std::fmt::Write as _;
use std::fs;

pub fn write(bench: &Bench, machine: &[(&str, String)]) -> Result<()> {
    let record = bench.record();
    let pictures = plots::draw(&record, &bench.options.out)?;
    let mut text = String::new();
    opening(bench, &mut text)?;
    table(bench, &record, &mut text)?;
    distributions(&record, &mut text)?;
    if !pictures.is_empty() {
        writeln!(text, "\n## Pictures\n")?;
        for (file, title) in pictures {
            writeln!(text, "![{title}]({file})\n")?;
        }
    }
    writeln!(text, "\n## The machine\n\n| | |\n|---|---|")?;
    for (name, value) in machine {
        writeln!(text, "| {name} | {} |", value.replace('|', "\\|"))?;
    }
    writeln!(text, "\n## The peers' settings")?;
    for (name, settings) in &record.settings {
        writeln!(text, "\n### {name}\n\n```text\n{}\n```", settings.trim_end())?;
    }
    let path = bench.options.out.join("report.md");
    fs::write(&path, text)?;
    bench.say(&format!("written: {}", path.display()));
    Ok(())
}

fn opening(bench: &Bench, text: &mut String) -> Result<()> {
    let options = &bench.options;
    writeln!(text, "# Bazar beside its peers\n")?;
    writeln!(
        text,
        "`benches/compare/run{}`: {} rounds of {} s for each figure, both sides in turns in one run, medians; {:.1} \
         minutes in all. The clients share the machine with the servers. Fences, leases, fsync and authentication are \
         on, unless a line says otherwise. Beside each ratio stand the lowest and the highest of the single rounds. \
         Every single measurement is in [measurements.csv](measurements.csv).\n",
        if options.quick { " --quick" } else { "" },
        options.rounds,
        options.seconds,
        bench.elapsed().as_secs_f64() / 60.0,
    )?;
    if options.quick {
        writeln!(text, "**A quick run: directions, not figures.**\n")?;
    }
    Ok(())
}

fn table(bench: &Bench, record: &Record, text: &mut String) -> Result<()> {
    writeln!(text, "| row | work | ours | beside it | | ratio (rounds) | goal | met |")?;
    writeln!(text, "|---|---|---:|---|---:|---:|---|---|")?;
    for goal in GOALS.iter().filter(|goal| bench.wants(goal.row)) {
        match record.figures.iter().find(|figure| figure.id == goal.id) {
            Some(figure) => line(goal, figure, text)?,
            None => {
                let why = record.missing.iter().find(|(row, _)| *row == goal.row);
                let why = why.map_or("it was not reached", |(_, why)| why);
                writeln!(
                    text,
                    "| {} | {} | not measured: {why} | {} | | | {} | |",
                    goal.id,
                    goal.ours,
                    goal.peer.unwrap_or(""),
                    asked(goal)
                )?;
            }
        }
    }
    Ok(())
}

fn line(goal: &Goal, figure: &Figure, text: &mut String) -> Result<()> {
    let note = if figure.note.is_empty() { String::new() } else { format!(" ({})", figure.note) };
    let judged = figure.judged();
    let met = goal.bound.met(judged).map_or("", |met| if met { "yes" } else { "**no**" });
    let ratio = match figure.peer {
        Some(_) => format!("{judged:.2} ({:.2}–{:.2})", figure.lowest, figure.highest),
        None => format!("({}–{})", amount(figure.lowest, ""), amount(figure.highest, "")),
    };
    writeln!(
        text,
        "| {} | {}{note} | {} | {} | {} | {ratio} | {} | {met} |",
        goal.id,
        goal.ours,
        amount(figure.ours, goal.unit),
        goal.peer.unwrap_or(""),
        figure.peer.map(|peer| amount(peer, goal.unit)).unwrap_or_default(),
        asked(goal),
    )?;
    Ok(())
}

fn asked(goal: &Goal) -> String {
    let (sign, bound) = match goal.bound {
        Bound::AtLeast(bound) => ("≥", bound),
        Bound::AtMost(bound) => ("≤", bound),
        Bound::Beside => return String::new(),
    };
    match goal.peer {
        Some(_) => format!("{sign} {bound}"),
        None => format!("{sign} {bound} {}", goal.unit),
    }
}

/// To three digits or so: more would be noise.
fn amount(value: f64, unit: &str) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    };
    let mut number = String::new();
    let whole = digits.split('.').next().unwrap_or_default().len();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && place < whole && (whole - place) % 3 == 0 && digits.as_bytes()[place - 1] != b'-' {
            number.push(',');
        }
        number.push(digit);
    }
    format!("{number}{}{unit}", if unit.is_empty() || unit == "/s" { "" } else { " " })
}

fn distributions(record: &Record, text: &mut String) -> Result<()> {
    let some = |kind: Kind| record.distributions.iter().filter(move |one| one.kind == kind);
    if some(Kind::OneClient).count() > 0 {
        writeln!(text, "\n## The original's experiments: one client\n")?;
        writeln!(
            text,
            "The original claims 0.5 ms for a hit, 2.65 ms for a miss and 0.4 ms for an invalidation, on a machine of its own.\n"
        )?;
        latencies(some(Kind::OneClient), text)?;
    }
    if some(Kind::OpenLoop).count() > 0 {
        writeln!(text, "\n## Cached reads at half the peak rate\n")?;
        writeln!(text, "Open loop; the latency counts from the moment at which a request was due.\n")?;
        latencies(some(Kind::OpenLoop), text)?;
    }
    Ok(())
}

fn latencies<'a>(some: impl Iterator<Item = &'a Distribution>, text: &mut String) -> Result<()> {
    writeln!(text, "| ms | count | mean | deviation | min | p50 | p90 | p99 | p99.9 | max |")?;
    writeln!(text, "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")?;
    for Distribution { name, latencies, .. } in some {
        write!(text, "| {name} | {} ", latencies.count())?;
        let (mean, deviation) = (latencies.mean_ms(), latencies.deviation_ms());
        let quantiles = [0.5, 0.9, 0.99, 0.999].map(|quantile| latencies.quantile_ms(quantile));
        let ends = (latencies.min_ms(), latencies.max_ms());
        for value in [mean, deviation, ends.0].into_iter().chain(quantiles).chain([ends.1]) {
            write!(text, "| {value:.3} ")?;
        }
        writeln!(text, "|")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_has_three_digits_or_so_and_commas() {
        assert_eq!(amount(97_898.6, "/s"), "97,899/s");
        assert_eq!(amount(1_234_567.0, "/s"), "1,234,567/s");
        assert_eq!(amount(123.0, "MB"), "123 MB");
        assert_eq!(amount(1.234, "ms"), "1.23 ms");
        assert_eq!(amount(0.017, "s"), "0.017 s");
        assert_eq!(amount(-1234.0, ""), "-1,234");
    }
}
