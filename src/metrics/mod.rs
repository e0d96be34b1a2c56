//! What a role counts and times: one registry for each, since several roles may live in one process.
//!
//! Invariants: names, units and labels are as Prometheus's conventions say, and every label has few values (a
//! route's pattern, a class of statuses, the name of an outcome), so that no client can make a new series. What
//! is counted below the router costs some nanoseconds and no shared cache line: each thread counts for itself,
//! and hands in every [`FLUSH`]. Gauges cost nothing until somebody scrapes: they are read then ([`Sheet`]).
//!
//! | file | what it has |
//! |---|---|
//! | `families` | every family that there is: the list of docs/metrics.md |
//! | `family`, `label` | what a family is, and its labels |
//! | `counting` | counters and histograms as the code uses them |
//! | `sheet` | gauges, as they are at a scrape |
//! | `http` | of every listener: requests by route and class of status, and how long they took |
//! | `calls` | of every role: its calls to others |
//! | `queues` | of every role: what waits, and what was turned away |
//! | `process` | of the process |
//! | `reads` | of a frontend: which level answered, and why another did not; purchases as customers saw them |
//! | `nodes` | of a frontend: its pools of nodes |
//! | `doors` | of a frontend: who was turned away, who wanted to keep the catalog |
//! | `writes` | of a write master: batches, commits, replication, leases |
//! | `holders` | of a write master: each holder of a lease, by name |
//! | `hops` | of an order node and a replica |

mod calls;
mod counting;
mod doors;
pub mod families;
mod family;
mod holders;
mod hops;
mod http;
mod label;
mod nodes;
mod process;
mod queues;
mod reads;
mod sheet;
mod writes;

pub use calls::{Call, Calls, Outcome, PeerRole, Stranger};
pub use counting::{COUNTED, Counter, Observed, Tally, ThreadsObserved};
pub use doors::{Attempt, Doors, Limit, Way};
pub use family::{Family, Kind, RoleName, Values};
pub use holders::HolderFences;
pub use hops::{Applies, Sends};
pub use http::{Connected, Listener, Requests, ThreadsRequests};
pub use nodes::{Fault, NodeState, PoolCounts, PoolName, Retry};
pub use queues::QueueName;
pub use reads::{
    AnsweredBy, Ask, Asked, Bought, EntryKind, Granted, Miss, Reads, RedisCounts, RedisDone, RedisLookup,
    RedisOperation, ThreadsReads,
};
pub use sheet::Sheet;
pub use writes::{
    Decided, FenceEnd, Left, MasterState, Part, Reader, Refused, SnapshotReason, StoreFault, StoreFaults,
    Timed, Verdict, Writes,
};

use crate::wire::status::{Distribution, Figures, Role, Series, Status};
use families::{BUILD_INFO, RUNTIME_TASKS};
use prometheus::core::Collector;
use prometheus::proto::{Metric, MetricFamily, MetricType};
use prometheus::{CounterVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, TextEncoder};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How old what a thread has counted for itself may get before all can see it.
pub const FLUSH: Duration = Duration::from_millis(100);

/// Upper bounds of durations, in seconds: from what a cached read takes to what no request may take. Five for
/// each power of ten, so a percentile that is read from them is off by a quarter at most.
static DURATIONS: [f64; 36] = [
    1e-6, 2e-6, 3e-6, 5e-6, 7.5e-6, 1e-5, 2e-5, 3e-5, 5e-5, 7.5e-5, 1e-4, 2e-4, 3e-4, 5e-4, 7.5e-4, 1e-3,
    2e-3, 3e-3, 5e-3, 7.5e-3, 1e-2, 2e-2, 3e-2, 5e-2, 7.5e-2, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 3.0, 5.0,
    7.5, 10.0,
];

/// Of calls between roles, which have more labels: three for each power of ten.
static CALLS: [f64; 16] =
    [1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Of acknowledgements of single holders, of whom there may be many.
static HOLDERS: [f64; 9] = [5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 0.1, 0.25, 1.0];

/// Of late timers: they have a resolution of a millisecond.
static LAGS: [f64; 10] = [1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.25, 1.0, 5.0];

/// Upper bounds of batches, up to the largest there is.
static SIZES: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// The commit that this was built from, if whoever built it said so.
const REVISION: &str = match option_env!("BAZAR_REVISION") {
    Some(revision) if !revision.is_empty() => revision,
    _ => "unknown",
};

/// Everything that one role counts. Clones share it.
#[derive(Debug, Clone)]
pub struct Registry {
    families: prometheus::Registry,
    role: RoleName,
    /// Drawn when it was made: where it changes, totals begin at zero again.
    instance: u64,
    started: Instant,
}

impl Registry {
    pub fn new(role: RoleName) -> Self {
        let families = prometheus::Registry::new();
        Self { families, role, instance: rand::random(), started: Instant::now() }
    }

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

    fn counters(&self, family: &'static Family) -> IntCounterVec {
        self.add(family, IntCounterVec::new(Opts::new(family.name, family.help), &family.label_names()))
    }

    fn amounts(&self, family: &'static Family) -> CounterVec {
        self.add(family, CounterVec::new(Opts::new(family.name, family.help), &family.label_names()))
    }

    fn histograms(&self, family: &'static Family) -> HistogramVec {
        let Kind::Histogram(bounds) = family.kind else { unreachable!("{} is no histogram", family.name) };
        let opts = HistogramOpts::new(family.name, family.help).buckets(bounds.to_vec());
        self.add(family, HistogramVec::new(opts, &family.label_names()))
    }

    /// Names and bounds are constants, and each is added once: it cannot fail.
    fn add<C: Collector + Clone + 'static>(&self, family: &'static Family, made: prometheus::Result<C>) -> C {
        debug_assert!(family.roles.contains(&self.role), "{} is not of a {}", family.name, self.role.label());
        let added = made.and_then(|made| self.families.register(Box::new(made.clone())).map(|()| made));
        added.unwrap_or_else(|error| unreachable!("constant names and bounds: {error}"))
    }
}

/// What every role counts. Clones share it.
#[derive(Debug, Clone)]
pub struct Counts {
    pub registry: Registry,
    pub requests: Requests,
    pub calls: Calls,
}

impl Counts {
    pub fn new(role: RoleName) -> Self {
        let registry = Registry::new(role);
        let (requests, calls) = (Requests::new(&registry), Calls::new(&registry));
        Self { registry, requests, calls }
    }
}

/// All that a scraper is told of one role. Cheap to clone; for the thread of the role's internal listener.
#[derive(Clone)]
pub struct Exposition {
    counts: Counts,
    gauges: Rc<dyn Fn(&mut Sheet)>,
}

impl Exposition {
    /// Of the text, as HTTP names it.
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// `gauges` are read at each scrape; that must be cheap, and not wait.
    pub fn new(counts: &Counts, gauges: impl Fn(&mut Sheet) + 'static) -> Self {
        Self { counts: counts.clone(), gauges: Rc::new(gauges) }
    }

    /// Prometheus's text format, version 0.0.4.
    pub fn text(&self) -> String {
        let Counts { registry, requests, calls } = &self.counts;
        let mut sheet = Sheet::new(registry.role);
        let labels = [env!("CARGO_PKG_VERSION"), REVISION, registry.role.label()];
        sheet.gauge_of(&BUILD_INFO, &labels, 1.0);
        process::read(&mut sheet);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            sheet.gauge(&RUNTIME_TASKS, runtime.metrics().num_alive_tasks() as f64);
        }
        requests.read(&mut sheet);
        calls.read(&mut sheet);
        (self.gauges)(&mut sheet);
        let mut families: Vec<MetricFamily> = registry.families.gather();
        families.extend(sheet.into_families());
        families.sort_by(|one, other| one.name().cmp(other.name()));
        let mut text = String::new();
        // Names are those of constants, and no family is empty: it cannot fail.
        if let Err(error) = TextEncoder::new().encode_utf8(&families, &mut text) {
            log::error!("the metrics cannot be written: {error}");
        }
        text
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
