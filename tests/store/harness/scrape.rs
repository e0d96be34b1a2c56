//! What a role serves to a scraper, read as one reads it.

use super::{Client, METRICS_TOKEN};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

/// One answer of `/metrics`.
pub struct Scrape {
    pub text: String,
    series: BTreeMap<String, f64>,
}

/// Asks the internal listener at `url`.
#[track_caller]
pub fn scrape(url: &str) -> Scrape {
    let bearer = format!("Bearer {METRICS_TOKEN}");
    let answer = Client::new(url).send("GET", "/metrics", &[("authorization", &bearer)], None).unwrap().ok();
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = String::from_utf8(answer.body).unwrap();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        (series.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line}")))
    };
    let series = samples.map(sample).collect();
    Scrape { text, series }
}

impl Scrape {
    /// Families by name, with their types.
    pub fn families(&self) -> BTreeMap<String, String> {
        let types = self.text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        types.map(|line| line.split_once(' ').unwrap()).map(|(name, of)| (name.into(), of.into())).collect()
    }

    /// The sum of the series of this name that have all of these labels, each as `name="value"`.
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let of = |series: &str| {
            let (family, rest) = series.split_once('{').unwrap_or((series, ""));
            family == name && labels.iter().all(|label| rest.contains(label))
        };
        self.series.iter().filter(|(series, _)| of(series)).map(|(_, value)| value).sum()
    }

    /// The value of the series that is written so.
    #[track_caller]
    pub fn value(&self, series: &str) -> f64 {
        *self.series.get(series).unwrap_or_else(|| panic!("there is no {series} in\n{}", self.text))
    }

    pub fn has(&self, series: &str) -> bool {
        self.series.contains_key(series)
    }

    /// The values of a label in all series.
    pub fn values_of(&self, label: &str) -> BTreeSet<&str> {
        let start = format!("{label}=\"");
        let value = |series: &'_ str| -> Option<(usize, usize)> {
            let from = series.find(&start)? + start.len();
            Some((from, from + series[from..].find('"')?))
        };
        self.series.keys().filter_map(|series| value(series).map(|(from, to)| &series[from..to])).collect()
    }

    pub fn count(&self) -> usize {
        self.series.len()
    }

    /// Fails the test unless Prometheus's own tool has nothing to say about it.
    #[track_caller]
    pub fn is_clean(&self) {
        let mut promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool must be installed");
        promtool.stdin.take().unwrap().write_all(self.text.as_bytes()).unwrap();
        let said = promtool.wait_with_output().unwrap();
        let words = [said.stdout, said.stderr].concat();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&words));
    }
}
