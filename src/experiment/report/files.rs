//! For programs: one CSV with every number, one JSON with everything but tables and pictures.

use super::{Done, Report};
use crate::experiment::outcome::{Claim, Curve, Figure};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Times in seconds unless their unit says otherwise.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    command: &'a str,
    begun: String,
    took_seconds: f64,
    machine: BTreeMap<&'static str, &'a str>,
    store: String,
    seconds: f64,
    seed: u64,
    pass: bool,
    experiments: Vec<Experiment<'a>>,
    not_done: BTreeMap<&'static str, &'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Experiment<'a> {
    name: &'static str,
    title: &'static str,
    about: &'static str,
    took_seconds: f64,
    pass: bool,
    claims: &'a [Claim],
    notes: &'a [String],
    figures: &'a [Figure],
    curves: &'a [Curve],
}

impl<'a> From<&'a Done> for Experiment<'a> {
    fn from(Done { experiment, outcome, took }: &'a Done) -> Self {
        Self {
            name: experiment.as_str(),
            title: experiment.title(),
            about: experiment.about(),
            took_seconds: took.as_secs_f64(),
            pass: outcome.holds(),
            claims: &outcome.claims,
            notes: &outcome.notes,
            figures: &outcome.figures,
            curves: &outcome.curves,
        }
    }
}

impl Report {
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(&Document {
            command: &self.command,
            begun: self.begun(),
            took_seconds: self.took.as_secs_f64(),
            machine: self.machine.iter().map(|(name, value)| (*name, value.as_str())).collect(),
            store: self.store(),
            seconds: self.config.duration.as_secs_f64(),
            seed: self.config.seed,
            pass: self.complaint().is_none(),
            experiments: self.done.iter().map(Experiment::from).collect(),
            not_done: self.left_out().into_iter().map(|(one, why)| (one.as_str(), why)).collect(),
        })
    }

    /// A line for each number: `at` is the time of a point of a curve, in seconds, and empty otherwise; a claim
    /// has 1 or 0.
    pub fn csv(&self) -> String {
        let mut text = String::from("experiment,series,measure,unit,at,value\n");
        for done in &self.done {
            let mut line = |series: &str, measure: &str, unit: &str, at: Option<f64>, value: f64| {
                let (name, series, measure) = (done.experiment.as_str(), field(series), field(measure));
                let at = at.map_or_else(String::new, |at| format!("{at:.3}"));
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{name},{series},{measure},{unit},{at},{value}");
            };
            for claim in &done.outcome.claims {
                line(&claim.claim, "holds", "", None, f64::from(u8::from(claim.holds)));
            }
            for figure in &done.outcome.figures {
                line(&figure.series, &figure.measure, figure.unit, None, figure.value);
            }
            for curve in &done.outcome.curves {
                for &(at, value) in &curve.points {
                    line(&curve.series, &curve.measure, curve.unit, Some(at), value);
                }
            }
        }
        text
    }
}

/// As a field of RFC 4180.
fn field(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;

    #[test]
    fn every_number_is_a_line_of_six_fields() {
        let csv = report(&[]).csv();
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(
            lines[1..],
            [
                "freshness,what holds,holds,,,1",
                "freshness,what <b>fails</b>,holds,,,0",
                "freshness,reads,p50,ms,,1.5",
                "freshness,\"stale, \"\"really\"\"\",per slice,,0.100,2",
            ]
        );
    }

    #[test]
    fn the_json_says_what_failed_and_what_was_not_done() {
        let json: serde_json::Value =
            serde_json::from_str(&report(&["http://shop:1"]).json().unwrap()).unwrap();
        assert_eq!((&json["pass"], &json["seed"]), (&false.into(), &7.into()));
        assert_eq!(json["experiments"][0]["claims"][1]["seen"], "a, \"b\"");
        assert_eq!(json["experiments"][0]["curves"][0]["points"][0][1], 2.0);
        assert!(json["notDone"]["recipes"].is_string(), "{json}");
    }
}
