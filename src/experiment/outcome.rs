//! What an experiment found: claims with their verdicts, and what people and programs are shown of it. The
//! same values go to the terminal, the page, the CSV and the JSON.

use super::picture::{Line, Tone};
use crate::load::{Latencies, Latency, Slice, Timeline};
use serde::Serialize;
use std::time::Duration;

/// Something that the experiment asserts, and what it saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claim {
    pub holds: bool,
    pub claim: String,
    pub seen: String,
}

/// For people.
#[derive(Debug)]
pub struct Table {
    pub title: String,
    /// The first column names the row; the others are numbers.
    pub columns: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

/// For people.
#[derive(Debug)]
pub struct Picture {
    pub title: String,
    /// What it shows, for who cannot see it.
    pub in_words: String,
    pub svg: String,
}

/// One number, for programs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    pub series: String,
    pub measure: String,
    pub unit: &'static str,
    pub value: f64,
}

/// Numbers over the time, for programs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Curve {
    pub series: String,
    pub measure: String,
    pub unit: &'static str,
    /// Seconds after the start, and the value from then on.
    pub points: Vec<(f64, f64)>,
}

/// What becomes a line of a picture, and a curve.
pub struct Series {
    pub name: &'static str,
    /// Of a slice that has any.
    pub value: fn(&Slice) -> Option<f64>,
    pub tone: Tone,
}

#[derive(Debug, Default)]
pub struct Outcome {
    pub claims: Vec<Claim>,
    pub tables: Vec<Table>,
    pub pictures: Vec<Picture>,
    /// Sentences: how it was done, what limits it.
    pub notes: Vec<String>,
    pub figures: Vec<Figure>,
    pub curves: Vec<Curve>,
}

impl Outcome {
    pub fn claim(&mut self, holds: bool, claim: impl Into<String>, seen: impl Into<String>) {
        self.claims.push(Claim { holds, claim: claim.into(), seen: seen.into() });
    }

    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    pub fn figure(&mut self, series: &str, measure: &str, unit: &'static str, value: f64) {
        self.figures.push(Figure { series: series.into(), measure: measure.into(), unit, value });
    }

    pub fn holds(&self) -> bool {
        self.claims.iter().all(|claim| claim.holds)
    }

    /// The lines of these series, which are kept as curves, too.
    pub fn lines(
        &mut self,
        timeline: &Timeline,
        (measure, unit): (&str, &'static str),
        series: &[Series],
    ) -> Vec<Line> {
        let mut line = |series: &Series| {
            let (name, points) = (series.name.to_owned(), timeline.points(series.value));
            let curve = Curve { series: name.clone(), measure: measure.into(), unit, points: points.clone() };
            self.curves.push(curve);
            Line { name, points, tone: series.tone }
        };
        series.iter().map(&mut line).collect()
    }

    /// A table of latencies, and the same as figures.
    pub fn latencies(&mut self, title: &str, series: &[(&str, &Latencies)]) {
        let mut rows = Vec::new();
        for &(name, latencies) in series {
            let latency = Latency::new(latencies, Duration::ZERO);
            self.figure(name, "count", "", latency.count as f64);
            let values = [
                ("mean", latency.mean_ms),
                ("standard deviation", latency.standard_deviation_ms),
                ("min", latency.min_ms),
                ("p50", latency.p50_ms),
                ("p90", latency.p90_ms),
                ("p99", latency.p99_ms),
                ("max", latency.max_ms),
            ];
            let mut row = vec![name.to_owned(), count(latency.count)];
            for (measure, value) in values {
                self.figure(name, measure, "ms", value);
                row.push(if latency.count == 0 { "-".into() } else { ms(value) });
            }
            rows.push(row);
        }
        let columns = ["ms", "count", "mean", "std dev", "min", "p50", "p90", "p99", "max"];
        self.tables.push(Table { title: title.into(), columns: columns.map(Into::into).to_vec(), rows });
    }
}

/// Milliseconds with as many digits as mean anything.
pub fn ms(value: f64) -> String {
    match value {
        small if small < 10.0 => format!("{small:.3}"),
        medium if medium < 100.0 => format!("{medium:.2}"),
        large => format!("{large:.1}"),
    }
}

/// A count with its thousands apart.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A part of a whole in percent; 0 of nothing. What is not nothing is never shown as 0.
pub fn percent(part: u64, whole: u64) -> String {
    let share = 100.0 * share(part, whole);
    match part {
        0 => "0 %".into(),
        _ if part == whole => "100 %".into(),
        _ if share < 0.05 => "<0.1 %".into(),
        _ if share > 99.95 => ">99.9 %".into(),
        _ => format!("{share:.1} %"),
    }
}

pub fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// By how much less `better` is than `worse`, in percent.
pub fn improvement(better: f64, worse: f64) -> f64 {
    if worse > 0.0 { 100.0 * (1.0 - better / worse) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people_say_no_more_and_no_less_than_is_known() {
        assert_eq!([0, 7, 1_000, 1_234_567].map(count), ["0", "7", "1,000", "1,234,567"]);
        assert_eq!([0.04127, 12.345, 123.45].map(ms), ["0.041", "12.35", "123.5"]);
        let shares = [(0, 9), (1, 1_000_000), (1, 3), (999_999, 1_000_000), (9, 9), (0, 0)];
        let told = shares.map(|(part, whole)| percent(part, whole));
        assert_eq!(told, ["0 %", "<0.1 %", "33.3 %", ">99.9 %", "100 %", "0 %"]);
        assert_eq!(improvement(0.25, 1.0), 75.0);
    }

    #[test]
    fn latencies_become_a_row_and_figures_and_nothing_is_made_of_none() {
        let mut latencies = Latencies::new();
        for millis in [1, 2, 3] {
            latencies.record(Duration::from_millis(millis));
        }
        let mut outcome = Outcome::default();
        outcome.latencies("t", &[("hit", &latencies), ("miss", &Latencies::new())]);
        let rows = &outcome.tables[0].rows;
        assert_eq!(rows[0][..3], ["hit", "3", "2.000"]);
        assert_eq!((rows[0][3].as_str(), rows[0][4].as_str()), ("0.816", "1.000"));
        assert_eq!(rows[1][1..3], ["0", "-"]);
        let mean = outcome.figures.iter().find(|figure| figure.series == "hit" && figure.measure == "mean");
        assert!((mean.unwrap().value - 2.0).abs() < 0.01);
    }

    #[test]
    fn one_claim_that_does_not_hold_is_enough() {
        let mut outcome = Outcome::default();
        outcome.claim(true, "a", "");
        assert!(outcome.holds());
        outcome.claim(false, "b", "");
        assert!(!outcome.holds());
    }
}
