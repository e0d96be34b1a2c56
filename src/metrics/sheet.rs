//! What a scraper is told beside what is counted: gauges, read when it asks, and totals that are kept elsewhere.
//!
//! Nothing here outlives its scrape, so that a node which is gone leaves no series behind.

use super::families::{QUEUE_CAPACITY, QUEUE_LENGTH, QUEUE_REJECTED};
use super::label::Label;
use super::{Family, Kind, QueueName, RoleName};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The gauges of one scrape.
pub struct Sheet {
    role: RoleName,
    families: BTreeMap<&'static str, MetricFamily>,
}

impl Sheet {
    pub(super) fn new(role: RoleName) -> Self {
        Self { role, families: BTreeMap::new() }
    }

    pub fn gauge(&mut self, family: &'static Family, value: f64) {
        self.gauge_of(family, &[], value);
    }

    /// 1 or 0.
    pub fn flag(&mut self, family: &'static Family, is: bool) {
        self.gauge(family, f64::from(u8::from(is)));
    }

    /// The series with these values of its labels.
    pub fn gauge_of(&mut self, family: &'static Family, labels: &[&str], value: f64) {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        let mut metric = labelled(family, labels);
        metric.set_gauge(gauge);
        self.add(family, metric);
    }

    /// 1 for the value that holds, 0 for all others.
    pub fn one_of<L: Label>(&mut self, family: &'static Family, holds: L) {
        for index in 0..L::COUNT {
            self.gauge_of(family, &L::values(index), f64::from(u8::from(index == holds.index())));
        }
    }

    pub fn seconds(&mut self, family: &'static Family, time: Duration) {
        self.gauge(family, time.as_secs_f64());
    }

    /// A moment, in Unix time; 0 for none.
    pub fn moment(&mut self, family: &'static Family, at: Option<SystemTime>) {
        let since_1970 = at.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        self.gauge(family, since_1970.as_secs_f64());
    }

    /// A total that somebody else keeps.
    pub fn counter_of(&mut self, family: &'static Family, labels: &[&str], total: f64) {
        let mut counter = Counter::default();
        counter.set_value(total);
        let mut metric = labelled(family, labels);
        metric.set_counter(counter);
        self.add(family, metric);
    }

    /// So much waits in a queue, of so much that may; so much was turned away.
    pub fn queue(&mut self, name: QueueName, waits: usize, capacity: usize, rejected: u64) {
        self.room(name, waits, capacity);
        self.counter_of(&QUEUE_REJECTED, &[name.label()], rejected as f64);
    }

    /// The same for one where who finds no room goes another way.
    pub fn room(&mut self, name: QueueName, waits: usize, capacity: usize) {
        let labels = [name.label()];
        self.gauge_of(&QUEUE_LENGTH, &labels, waits as f64);
        self.gauge_of(&QUEUE_CAPACITY, &labels, capacity as f64);
    }

    pub(super) fn into_families(self) -> impl Iterator<Item = MetricFamily> {
        self.families.into_values()
    }

    fn add(&mut self, family: &'static Family, metric: Metric) {
        debug_assert!(family.roles.contains(&self.role), "{} is not of a {}", family.name, self.role.label());
        let told = self.families.entry(family.name).or_insert_with(|| {
            let mut told = MetricFamily::default();
            told.set_name(family.name.into());
            told.set_help(family.help.into());
            told.set_field_type(match family.kind {
                Kind::Gauge => MetricType::GAUGE,
                Kind::Counter | Kind::Histogram(_) => MetricType::COUNTER,
            });
            told
        });
        told.mut_metric().push(metric);
    }
}

fn labelled(family: &'static Family, values: &[&str]) -> Metric {
    debug_assert_eq!(family.labels.len(), values.len(), "{}", family.name);
    let pair = |(&(name, _), &value): (&(&str, _), &&str)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.into());
        pair.set_value(value.into());
        pair
    };
    Metric::from_label(family.labels.iter().zip(values).map(pair).collect())
}
