//! What a role counts and times: one registry for each, since several roles may live in one process.
//!
//! Invariants: names, units and labels are as Prometheus's conventions say, and every label has few values (a
//! route's pattern, a class of statuses, the name of an outcome), so that no client can make a new series. What
//! is counted below the router costs some nanoseconds and no shared cache line: each thread counts for itself,
//! and hands in every [`FLUSH`].
//!
//! | file | who counts |
//! |---|---|
//! | `http` | every listener: requests by route and class of status, and how long they took |
//! | `reads` | a frontend: which level answered, and why memory did not; purchases as customers saw them |
//! | `writes` | a write master: batches, fences, commits, replication |
//! | `hops` | an order node and a replica |

mod hops;
mod http;
mod reads;
mod writes;

pub use hops::{Applies, Sends};
pub use http::{HTTP_DURATION, PUBLIC, Requests, ThreadsRequests};
pub use reads::{AnsweredBy, Bought, MISSES, Miss, PURCHASES, READS, Reads, STALE, ThreadsReads};
pub use writes::{BATCH_DURATION, BATCH_SIZE, COMMIT, FENCE, FENCE_WAIT, REPLICATION, Timed, Writes};

use crate::wire::status::{Distribution, Figures, Role, Series, Status};
use prometheus::core::Collector;
use prometheus::proto::{Metric, MetricType};
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts};
use std::time::{Duration, Instant};

/// How old what a thread has counted for itself may get before all can see it.
pub const FLUSH: Duration = Duration::from_millis(100);

/// Upper bounds of durations, in seconds: from what a cached read takes to what no request may take. Five for
/// each power of ten, so a percentile that is read from them is off by a quarter at most.
const DURATIONS: [f64; 36] = [
    1e-6, 2e-6, 3e-6, 5e-6, 7.5e-6, 1e-5, 2e-5, 3e-5, 5e-5, 7.5e-5, 1e-4, 2e-4, 3e-4, 5e-4, 7.5e-4, 1e-3,
    2e-3, 3e-3, 5e-3, 7.5e-3, 1e-2, 2e-2, 3e-2, 5e-2, 7.5e-2, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 3.0, 5.0,
    7.5, 10.0,
];

/// Upper bounds of batches, up to the largest there is.
const SIZES: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// Everything that one role counts.
#[derive(Debug, Clone)]
pub struct Registry {
    families: prometheus::Registry,
    /// Drawn when it was made: where it changes, totals begin at zero again.
    instance: u64,
    started: Instant,
}

impl Default for Registry {
    fn default() -> Self {
        Self { families: prometheus::Registry::new(), instance: rand::random(), started: Instant::now() }
    }
}

impl Registry {
    /// What a role says of itself, with what is counted so far.
    pub fn status(&self, role: Role, unsafe_coherence: Option<String>) -> Status {
        Status {
            instance: self.instance,
            release: env!("CARGO_PKG_VERSION").into(),
            uptime_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            unsafe_coherence,
            role,
            figures: self.figures(),
        }
    }

    fn figures(&self) -> Figures {
        let families = self.families.gather().into_iter();
        Figures(
            families
                .map(|family| {
                    let kind = family.get_field_type();
                    let series = family.get_metric().iter().map(|metric| series(kind, metric));
                    (family.name().to_owned(), series.collect())
                })
                .collect(),
        )
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.add(IntCounter::new(name, help))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.add(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn durations(&self, name: &str, help: &str) -> Histogram {
        self.add(Histogram::with_opts(HistogramOpts::new(name, help).buckets(DURATIONS.to_vec())))
    }

    fn durations_by(&self, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
        self.add(HistogramVec::new(HistogramOpts::new(name, help).buckets(DURATIONS.to_vec()), labels))
    }

    fn sizes(&self, name: &str, help: &str) -> Histogram {
        self.add(Histogram::with_opts(HistogramOpts::new(name, help).buckets(SIZES.to_vec())))
    }

    /// Names and bounds are constants, and each is added once: it cannot fail.
    fn add<C: Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> C {
        let added = made.and_then(|made| self.families.register(Box::new(made.clone())).map(|()| made));
        added.unwrap_or_else(|error| unreachable!("constant names and bounds: {error}"))
    }
}

fn series(kind: MetricType, metric: &Metric) -> Series {
    let labels = metric.get_label().iter();
    let labels = labels.map(|label| (label.name().to_owned(), label.value().to_owned())).collect();
    match kind {
        MetricType::HISTOGRAM => {
            let histogram = metric.get_histogram();
            let counted = histogram.get_bucket().iter();
            let counted = counted.map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
            let counted =
                Distribution::new(counted, histogram.get_sample_count(), histogram.get_sample_sum());
            Series { labels, total: None, distribution: Some(counted) }
        }
        _ => Series { labels, total: Some(metric.get_counter().get_value()), distribution: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_comes_out_under_its_name_and_labels() {
        let registry = Registry::default();
        registry.counters("bazar_test_total", "a test", &["outcome"]).with_label_values(&["well"]).inc_by(3);
        registry.durations("bazar_test_duration_seconds", "a test").observe(0.0015);
        let figures = registry.figures();
        assert_eq!(figures.total("bazar_test_total", &[("outcome", "well")]), 3.0);
        assert_eq!(figures.total("bazar_test_total", &[("outcome", "ill")]), 0.0);
        let durations = figures.distribution("bazar_test_duration_seconds", &[]);
        assert_eq!((durations.count, durations.buckets.as_slice()), (1, &[(0.001, 0.002, 1)][..]));
    }

    #[test]
    fn every_family_of_every_role_can_be_added() {
        let frontend = Registry::default();
        let _ = (Requests::new(&frontend), Reads::new(&frontend));
        let master = Registry::default();
        let _ = (Requests::new(&master), Writes::new(&master));
        let order = Registry::default();
        let _ = (Requests::new(&order), Sends::new(&order));
        let replica = Registry::default();
        let _ = (Requests::new(&replica), Applies::new(&replica));
    }
}
