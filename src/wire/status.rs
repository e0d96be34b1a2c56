//! What a role says of itself: body of [`STATUS`].

use super::catalog::ReplicaState;
use crate::coherence::HolderId;
use crate::domain::{BookId, NodeId, Quantity, Stock, Version};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// On the internal listener of every role, for members only; the answer is a [`Status`].
pub const STATUS: &str = "/status";

/// There as well, for who scrapes: Prometheus's text format.
pub const METRICS: &str = "/metrics";

/// Identity and figures of one role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Drawn at its start: where it changes, totals begin at zero again.
    pub instance: u64,
    /// Of the program.
    pub release: String,
    pub uptime_ms: u64,
    /// The recipe that runs instead of the coherence protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsafe_coherence: Option<String>,
    pub role: Role,
    /// Totals since its start.
    pub figures: Figures,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Role {
    Frontend(FrontendStatus),
    Order(OrderStatus),
    Master(MasterStatus),
    Replica(ReplicaStatus),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrontendStatus {
    /// The address of its public listener, as it is bound.
    pub listen: String,
    pub holder: HolderId,
    /// Absent where none is held, or it has run out.
    pub lease: Option<LeaseHeld>,
    pub redis: Option<RedisStatus>,
    /// Whom it asks, and who of them is in the balance.
    pub catalog: Vec<PoolNode>,
    pub orders: Vec<PoolNode>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseHeld {
    pub epoch: u64,
    pub remaining_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedisStatus {
    /// Host and port, without what else may stand in a URL.
    pub address: String,
    pub connected: bool,
}

/// One node of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolNode {
    pub url: String,
    /// Whether it is in the balance.
    pub well: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderStatus {
    /// The candidate for the master that answered last.
    pub master: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MasterStatus {
    pub node: NodeId,
    pub position: Version,
    pub standing: StandingIs,
    /// Whether acknowledgements wait for the in-sync set.
    pub acknowledges_in_sync: bool,
    pub lease_ms: u64,
    pub holders: Vec<HolderStatus>,
    /// Those that records are pushed to.
    pub replicas: Vec<ReplicaState>,
    /// Requests of order nodes that wait for the writer.
    pub queued: usize,
    /// The last ones, the latest first.
    pub fences: Vec<FenceSeen>,
    pub sales: Vec<Sale>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StandingIs {
    Leads,
    Sealed,
    Deposed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HolderStatus {
    pub holder: HolderId,
    /// Its internal listener.
    pub url: String,
    pub remaining_ms: u64,
}

/// A fence: what was announced before a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceSeen {
    pub version: Version,
    /// The first of the keys.
    pub keys: Vec<String>,
    /// How many there are besides.
    pub more: usize,
    /// To how many holders of leases.
    pub holders: usize,
    pub took_us: u64,
}

/// A purchase that was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sale {
    pub version: Version,
    pub book: BookId,
    pub quantity: Quantity,
    pub left: Stock,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaStatus {
    pub node: NodeId,
    pub position: Version,
    /// The candidate for the master that it follows.
    pub follows: String,
    /// Its rows are known not to be the master's: it answers nothing until it has a snapshot.
    pub wrong: bool,
}

/// Families of series by name, as totals.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Figures(pub BTreeMap<String, Vec<Series>>);

/// One series of a family: a total, or a distribution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    pub labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution: Option<Distribution>,
}

/// How observations are spread.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    pub count: u64,
    pub sum: f64,
    /// Those that are not empty: between which bounds, and how many. What lies above the last bound is counted
    /// as there.
    pub buckets: Vec<(f64, f64, u64)>,
}

impl Figures {
    /// The sum of all series of `name` that have these labels.
    pub fn total(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        // From 0.0: a sum of nothing is -0.0.
        self.matching(name, labels).filter_map(|series| series.total).fold(0.0, |sum, total| sum + total)
    }

    /// All series of `name` that have these labels, together.
    pub fn distribution(&self, name: &str, labels: &[(&str, &str)]) -> Distribution {
        let mut all = Distribution::default();
        for distribution in self.matching(name, labels).filter_map(|series| series.distribution.as_ref()) {
            all.add(distribution);
        }
        all
    }

    /// What was counted since `earlier`, which is of the same instance.
    pub fn since(&self, earlier: &Figures) -> Figures {
        let families = self.0.iter().map(|(name, family)| {
            let before = earlier.0.get(name).map_or(&[][..], Vec::as_slice);
            let family = family.iter().map(|series| {
                let before = before.iter().find(|before| before.labels == series.labels);
                before.map_or_else(|| series.clone(), |before| series.since(before))
            });
            (name.clone(), family.collect())
        });
        Figures(families.collect())
    }

    fn matching(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = &Series> {
        let family = self.0.get(name).map_or(&[][..], Vec::as_slice);
        family.iter().filter(|series| {
            labels.iter().all(|&(label, value)| series.labels.get(label).is_some_and(|is| is == value))
        })
    }
}

impl Series {
    fn since(&self, before: &Series) -> Series {
        let total = self.total.map(|total| total - before.total.unwrap_or(0.0));
        let distribution = self.distribution.as_ref().map(|now| match &before.distribution {
            Some(before) => now.since(before),
            None => now.clone(),
        });
        Series { labels: self.labels.clone(), total, distribution }
    }
}

impl Distribution {
    /// `counted`: how many are at or below each bound, from the lowest to the highest.
    pub fn new(counted: impl Iterator<Item = (f64, u64)>, count: u64, sum: f64) -> Self {
        let (mut from, mut below) = (0.0, 0);
        let mut buckets = Vec::new();
        for (to, cumulative) in counted {
            if cumulative > below {
                buckets.push((from, to, cumulative - below));
            }
            (from, below) = (to, cumulative);
        }
        if count > below {
            buckets.push((from, from, count - below));
        }
        Self { count, sum, buckets }
    }

    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    /// The value that a `share` of the observations lies below, as precise as the buckets are.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let rank = share * self.count as f64;
        let mut below = 0.0;
        for &(from, to, count) in &self.buckets {
            let within = count as f64;
            if below + within >= rank {
                return Some(from + (to - from) * ((rank - below) / within));
            }
            below += within;
        }
        None
    }

    pub fn add(&mut self, other: &Distribution) {
        self.count += other.count;
        self.sum += other.sum;
        for &(from, to, count) in &other.buckets {
            match self.buckets.binary_search_by(|bucket| {
                (bucket.0, bucket.1).partial_cmp(&(from, to)).unwrap_or(std::cmp::Ordering::Equal)
            }) {
                Ok(index) => self.buckets[index].2 += count,
                Err(index) => self.buckets.insert(index, (from, to, count)),
            }
        }
    }

    fn since(&self, before: &Distribution) -> Distribution {
        let buckets = self.buckets.iter().filter_map(|&(from, to, count)| {
            let known = before.buckets.iter().find(|known| (known.0, known.1) == (from, to));
            let new = count.saturating_sub(known.map_or(0, |known| known.2));
            (new > 0).then_some((from, to, new))
        });
        let count = self.count.saturating_sub(before.count);
        Distribution { count, sum: (self.sum - before.sum).max(0.0), buckets: buckets.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distribution(counted: &[(f64, u64)], count: u64) -> Distribution {
        Distribution::new(counted.iter().copied(), count, 0.0)
    }

    fn figures(family: &str, series: Vec<Series>) -> Figures {
        Figures(BTreeMap::from([(family.to_owned(), series)]))
    }

    fn counter(outcome: &str, total: f64) -> Series {
        let labels = BTreeMap::from([("outcome".to_owned(), outcome.to_owned())]);
        Series { labels, total: Some(total), distribution: None }
    }

    #[test]
    fn a_quantile_lies_within_its_bucket_and_above_all_bounds_at_the_last() {
        let spread = distribution(&[(1.0, 50), (2.0, 50), (4.0, 98)], 100);
        assert_eq!(spread.quantile(0.25), Some(0.5));
        assert_eq!(spread.quantile(0.74), Some(3.0));
        assert_eq!(spread.quantile(0.99), Some(4.0));
        assert_eq!(Distribution::default().quantile(0.5), None);
    }

    #[test]
    fn what_was_counted_in_between_is_the_difference() {
        let before = figures("purchases", vec![counter("bought", 3.0)]);
        let after = figures("purchases", vec![counter("bought", 5.0), counter("refused", 1.0)]);
        let between = after.since(&before);
        assert_eq!(between.total("purchases", &[("outcome", "bought")]), 2.0);
        assert_eq!(between.total("purchases", &[]), 3.0);
        let (early, late) = (distribution(&[(1.0, 4)], 4), distribution(&[(1.0, 4), (2.0, 9)], 9));
        assert_eq!(late.since(&early).buckets, [(1.0, 2.0, 5)]);
    }

    #[test]
    fn distributions_of_several_nodes_add_up() {
        let mut all = distribution(&[(1.0, 1), (2.0, 1), (4.0, 3)], 3);
        all.add(&distribution(&[(1.0, 0), (2.0, 5), (4.0, 6)], 8));
        assert_eq!(all.buckets, [(0.0, 1.0, 1), (1.0, 2.0, 5), (2.0, 4.0, 3), (4.0, 4.0, 2)]);
        assert_eq!(all.count, 11);
    }
}
