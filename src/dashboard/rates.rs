//! Figures per second and percentiles, from what every node had counted at two moments.

use super::nodes::Known;
use crate::metrics::families::{
    BATCH_DURATION, BATCH_SIZE, COMMIT, FENCE, FENCE_WAIT, HTTP_DURATION, LOOKUPS, PURCHASES, READS,
    REPLICATION, STALE,
};
use crate::metrics::{AnsweredBy, Bought, Family, Listener, Miss};
use crate::wire::status::{Distribution, Figures};
use serde::Serialize;
use std::collections::BTreeMap;

/// Routes whose requests are reads of the catalog, and those that buy.
const READING: [&str; 8] =
    ["/info/{id}", "/search/{topic}", "/search", "/topics", "/", "/books/{id}", "/topics/{topic}", "/find"];
const BUYING: [&str; 2] = ["/purchase", "/buy"];

/// Routes of whoever watches, which are no work of the shop.
const WATCHING: [&str; 4] = ["/healthz", "/readyz", "/dashboard", "/dashboard/events"];

/// Outcomes of purchases that changed nothing.
const REFUSALS: [Bought; 4] = [Bought::OutOfStock, Bought::Underpaid, Bought::BookNotFound, Bought::Mismatch];

/// Of all nodes together, over about a second. `None`: nothing happened that could be measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rates {
    pub requests_per_s: f64,
    /// Answers with a 5xx.
    pub failures_per_s: f64,
    pub reads_per_s: f64,
    /// Shares of the reads, by the level that answered.
    pub by_memory: Option<f64>,
    pub by_redis: Option<f64>,
    pub by_node: Option<f64>,
    pub read_p50_ms: Option<f64>,
    pub read_p99_ms: Option<f64>,
    pub stale_per_s: f64,
    pub purchases_per_s: f64,
    pub refused_per_s: f64,
    /// Purchases whose customers were told that the outcome is unknown.
    pub unknown_per_s: f64,
    pub purchase_p50_ms: Option<f64>,
    pub purchase_p99_ms: Option<f64>,
    pub fences_per_s: f64,
    /// Until all have acknowledged.
    pub fence_ms: Option<f64>,
    /// What a batch waited for its fence and nothing else, and its share of the batch's time.
    pub fence_wait_ms: Option<f64>,
    pub fence_share: Option<f64>,
    pub batches_per_s: f64,
    pub batch_size: Option<f64>,
    pub batch_ms: Option<f64>,
    pub commit_ms: Option<f64>,
    pub replication_ms: Option<f64>,
}

/// Since the nodes were started.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    pub requests: u64,
    pub reads: BTreeMap<&'static str, u64>,
    /// Reads that memory could not answer, by reason.
    pub misses: BTreeMap<&'static str, u64>,
    pub purchases: BTreeMap<String, u64>,
    pub stale: u64,
}

/// What was counted by whom, within an interval of his.
struct Interval {
    figures: Figures,
    seconds: f64,
}

impl Rates {
    pub fn of<'a>(nodes: impl Iterator<Item = &'a Known>) -> Self {
        let intervals: Vec<Interval> = nodes
            .filter_map(Known::interval)
            .map(|(before, now)| Interval {
                figures: now.status.figures.since(&before.status.figures),
                seconds: now.at.duration_since(before.at).as_secs_f64(),
            })
            .collect();
        let all = All(&intervals);
        let reads = all.routes(&READING);
        let purchases = all.routes(&BUYING);
        let reads_by = |by: AnsweredBy| all.count(&READS, &[("level", by.label())]);
        let answered: f64 = sum(AnsweredBy::ALL.iter().copied().map(reads_by));
        let share = |count: f64| (answered > 0.0).then(|| count / answered);
        let (batches, waits) = (all.spread(&BATCH_DURATION, &[]), all.spread(&FENCE_WAIT, &[]));
        let told = |outcome: Bought| all.per_s(&PURCHASES, &[("outcome", outcome.label())]);
        Self {
            requests_per_s: all.requests_per_s(&[]),
            failures_per_s: all.requests_per_s(&[("status", "5xx")]),
            reads_per_s: all.per_s(&READS, &[]),
            by_memory: share(reads_by(AnsweredBy::Memory)),
            by_redis: share(reads_by(AnsweredBy::Redis)),
            by_node: share(reads_by(AnsweredBy::Replica) + reads_by(AnsweredBy::Master)),
            read_p50_ms: reads.quantile(0.5).map(ms),
            read_p99_ms: reads.quantile(0.99).map(ms),
            stale_per_s: all.per_s(&STALE, &[]),
            purchases_per_s: told(Bought::Bought),
            refused_per_s: sum(REFUSALS.into_iter().map(told)),
            unknown_per_s: told(Bought::Unavailable),
            purchase_p50_ms: purchases.quantile(0.5).map(ms),
            purchase_p99_ms: purchases.quantile(0.99).map(ms),
            fences_per_s: all.spread_per_s(&FENCE),
            fence_ms: all.spread(&FENCE, &[]).mean().map(ms),
            fence_wait_ms: waits.mean().map(ms),
            fence_share: (batches.sum > 0.0).then(|| (waits.sum / batches.sum).min(1.0)),
            batches_per_s: all.spread_per_s(&BATCH_DURATION),
            batch_size: all.spread(&BATCH_SIZE, &[]).mean(),
            batch_ms: batches.mean().map(ms),
            commit_ms: all.spread(&COMMIT, &[]).mean().map(ms),
            replication_ms: all.spread(&REPLICATION, &[]).mean().map(ms),
        }
    }
}

impl Totals {
    pub fn of<'a>(nodes: impl Iterator<Item = &'a Known> + Clone) -> Self {
        let figures = || nodes.clone().filter_map(Known::last).map(|status| &status.figures);
        let total = |family: &Family, labels: &[(&str, &str)]| {
            figures().map(|figures| figures.total(family.name, labels)).sum::<f64>() as u64
        };
        let missed = |why: &Miss| {
            let labels = [("level", AnsweredBy::Memory.label()), ("outcome", why.label())];
            (why.label(), total(&LOOKUPS, &labels))
        };
        let mut purchases = BTreeMap::new();
        for series in figures().filter_map(|figures| figures.0.get(PURCHASES.name)).flatten() {
            // Those that never were are counted all the same, as none.
            let count = series.total.filter(|&count| count > 0.0);
            if let (Some(outcome), Some(count)) = (series.labels.get("outcome"), count) {
                *purchases.entry(outcome.clone()).or_default() += count as u64;
            }
        }
        Self {
            requests: figures().map(|figures| requests(figures, &[]).count).sum(),
            reads: AnsweredBy::ALL
                .iter()
                .map(|by| (by.label(), total(&READS, &[("level", by.label())])))
                .collect(),
            misses: Miss::ALL.iter().filter(|&&why| why != Miss::Hit).map(missed).collect(),
            purchases,
            stale: total(&STALE, &[]),
        }
    }
}

/// Requests of one frontend's customers.
pub fn requests_per_s(node: &Known) -> Option<f64> {
    let (before, now) = node.interval()?;
    let counted = requests(&now.status.figures.since(&before.status.figures), &[]).count;
    Some(counted as f64 / now.at.duration_since(before.at).as_secs_f64())
}

struct All<'a>(&'a [Interval]);

impl All<'_> {
    fn count(&self, family: &Family, labels: &[(&str, &str)]) -> f64 {
        sum(self.0.iter().map(|interval| interval.figures.total(family.name, labels)))
    }

    fn per_s(&self, family: &Family, labels: &[(&str, &str)]) -> f64 {
        sum(self.0.iter().map(|interval| interval.figures.total(family.name, labels) / interval.seconds))
    }

    fn spread(&self, family: &Family, labels: &[(&str, &str)]) -> Distribution {
        let mut all = Distribution::default();
        for interval in self.0 {
            all.add(&interval.figures.distribution(family.name, labels));
        }
        all
    }

    fn spread_per_s(&self, family: &Family) -> f64 {
        let of = |interval: &Interval| {
            interval.figures.distribution(family.name, &[]).count as f64 / interval.seconds
        };
        sum(self.0.iter().map(of))
    }

    fn routes(&self, routes: &[&str]) -> Distribution {
        let mut all = Distribution::default();
        for route in routes {
            all.add(
                &self.spread(&HTTP_DURATION, &[("listener", Listener::Public.label()), ("route", route)]),
            );
        }
        all
    }

    fn requests_per_s(&self, labels: &[(&str, &str)]) -> f64 {
        let of = |interval: &Interval| requests(&interval.figures, labels).count as f64 / interval.seconds;
        sum(self.0.iter().map(of))
    }
}

/// What customers asked for.
fn requests(figures: &Figures, labels: &[(&str, &str)]) -> Distribution {
    let family = figures.0.get(HTTP_DURATION.name).into_iter().flatten();
    let theirs = family.filter(|series| {
        let label = |name: &str| series.labels.get(name).map_or("", String::as_str);
        let route = label("route");
        let watching = WATCHING.contains(&route) || route.starts_with("/assets/");
        label("listener") == Listener::Public.label()
            && !watching
            && labels.iter().all(|&(name, value)| label(name) == value)
    });
    let mut all = Distribution::default();
    theirs.filter_map(|series| series.distribution.as_ref()).for_each(|distribution| all.add(distribution));
    all
}

/// What `Iterator::sum` makes of nothing is -0.0.
fn sum(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |sum, value| sum + value)
}

fn ms(seconds: f64) -> f64 {
    seconds * 1e3
}
