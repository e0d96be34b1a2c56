//! What came of all experiments, for people and for programs.
//!
//! | file | for whom |
//! |---|---|
//! | `page` | a browser: one file, nothing loaded, no script |
//! | `files` | programs: CSV, JSON; each picture alone as SVG |
//! | `terminal` | who waits: progress, tables, verdicts |
//!
//! Invariant: all of them are made of the same [`Outcome`]s.

mod files;
mod page;
mod terminal;

use super::outcome::Outcome;
use super::{Config, Experiment, Trouble};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

pub use terminal::progress;

/// The files of a report.
pub const PAGE: &str = "report.html";
pub const CSV: &str = "experiments.csv";
pub const JSON: &str = "experiments.json";

pub struct Report {
    command: String,
    machine: Vec<(&'static str, String)>,
    begun: SystemTime,
    took: Duration,
    config: Config,
    done: Vec<Done>,
    out: PathBuf,
}

/// One experiment that was done, or could not be.
struct Done {
    experiment: Experiment,
    outcome: Outcome,
    took: Duration,
}

impl Report {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            command: config.command.clone(),
            machine: machine(),
            begun: SystemTime::now(),
            took: Duration::ZERO,
            config: config.clone(),
            done: Vec::new(),
            out: config.out.clone(),
        }
    }

    pub(super) fn add(&mut self, experiment: Experiment, outcome: Outcome, took: Duration) {
        terminal::tell(experiment, &outcome, took);
        self.done.push(Done { experiment, outcome, took });
    }

    pub(super) fn done(&mut self, took: Duration) {
        self.took = took;
    }

    pub(super) fn write(&self, out: &Path) -> Result<(), Trouble> {
        fs::write(out.join(PAGE), page::render(self).into_string())?;
        fs::write(out.join(CSV), self.csv())?;
        fs::write(out.join(JSON), self.json().map_err(std::io::Error::from)?)?;
        for done in &self.done {
            for (number, picture) in done.outcome.pictures.iter().enumerate() {
                let name = format!("{}-{}.svg", done.experiment.as_str(), number + 1);
                fs::write(out.join(name), &picture.svg)?;
            }
        }
        Ok(())
    }

    /// Why this run proves nothing good.
    pub fn complaint(&self) -> Option<String> {
        let (claims, failed) = self.counts();
        (failed > 0).then(|| format!("{failed} of {claims} claims did not hold"))
    }

    /// Claims, and those of them that did not hold.
    fn counts(&self) -> (usize, usize) {
        let claims = || self.done.iter().flat_map(|done| &done.outcome.claims);
        (claims().count(), claims().filter(|claim| !claim.holds).count())
    }

    /// What was not done because the store is somebody else's, and why.
    fn left_out(&self) -> Vec<(Experiment, &'static str)> {
        match self.config.stores.is_empty() {
            true => Vec::new(),
            false => {
                Experiment::ALL.into_iter().filter_map(|one| Some((one, one.needs_its_own()?))).collect()
            }
        }
    }

    fn begun(&self) -> String {
        humantime::format_rfc3339_seconds(self.begun).to_string()
    }

    /// What was measured, in words.
    fn store(&self) -> String {
        match self.config.stores.as_slice() {
            [] => "stores of its own".into(),
            stores => stores.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        }
    }
}

/// Name and value of what a reader wants to know of the machine a year later.
fn machine() -> Vec<(&'static str, String)> {
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        value.map_or_else(
            || "unknown".into(),
            |value| value.trim_matches([' ', '\t', ':', '=', '"']).to_owned(),
        )
    };
    let cores = std::thread::available_parallelism();
    let build = if cfg!(debug_assertions) { "debug: slower than what is shipped" } else { "release" };
    vec![
        ("processor", field("/proc/cpuinfo", "model name")),
        ("cores", cores.map_or_else(|_| "unknown".into(), |cores| cores.to_string())),
        ("memory", field("/proc/meminfo", "MemTotal")),
        ("system", field("/etc/os-release", "PRETTY_NAME")),
        ("kernel", field("/proc/version", "Linux version").split(' ').next().unwrap_or_default().to_owned()),
        ("bazar", format!("{} ({build})", env!("CARGO_PKG_VERSION"))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::outcome::{Curve, Picture, Table};
    use std::time::Duration;

    /// A report of one experiment with a claim that holds and one that does not.
    pub fn report(stores: &[&str]) -> Report {
        let config = Config {
            experiments: vec![Experiment::Freshness],
            stores: stores.iter().map(|url| crate::client::BaseUrl::parse(url).unwrap()).collect(),
            out: "out".into(),
            duration: Duration::from_secs(1),
            seed: 7,
            json: false,
            bazar: "bazar".into(),
            command: "bazar experiment".into(),
        };
        let mut outcome = Outcome::default();
        outcome.claim(true, "what holds", "1 of 1");
        outcome.claim(false, "what <b>fails</b>", "a, \"b\"");
        outcome.note("a note");
        outcome.figure("reads", "p50", "ms", 1.5);
        let (series, measure) = ("stale, \"really\"".into(), "per slice".into());
        outcome.curves.push(Curve { series, measure, unit: "", points: vec![(0.1, 2.0)] });
        outcome.pictures.push(Picture {
            title: "a picture".into(),
            in_words: "in words".into(),
            svg: "<svg xmlns=\"http://www.w3.org/2000/svg\"></svg>".into(),
        });
        let rows = vec![vec!["reads".to_owned(), "12".to_owned()]];
        outcome.tables.push(Table { title: "a table".into(), columns: vec!["".into(), "n".into()], rows });
        let mut report = Report::new(&config);
        report.done.push(Done { experiment: Experiment::Freshness, outcome, took: Duration::from_secs(1) });
        report
    }

    #[test]
    fn one_claim_that_does_not_hold_is_a_complaint() {
        let mut report = report(&[]);
        assert_eq!(report.complaint().as_deref(), Some("1 of 2 claims did not hold"));
        report.done[0].outcome.claims.truncate(1);
        assert_eq!(report.complaint(), None);
    }

    #[test]
    fn what_needs_a_store_of_its_own_is_named_where_it_was_left_out() {
        assert!(report(&[]).left_out().is_empty());
        let left_out = report(&["http://shop:1"]).left_out();
        assert!(left_out.iter().any(|(experiment, _)| *experiment == Experiment::Recipes));
        assert!(left_out.iter().all(|(experiment, _)| *experiment != Experiment::Freshness));
    }
}
