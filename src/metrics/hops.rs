//! What lies between a frontend and the write master's file: an order node, a replica.

use super::families::{APPLIED, APPLY_DURATION, BEHIND, DIVERGENCES, GATHERED, REPEATED, SNAPSHOTS};
use super::{Counter, Observed, Registry, SnapshotReason, Tally};
use std::time::Duration;

/// Counts for one order node.
#[derive(Debug, Clone)]
pub struct Sends {
    gathered: Observed,
    repeated: Counter,
}

impl Sends {
    pub fn new(registry: &Registry) -> Self {
        Self { gathered: registry.observed(&GATHERED), repeated: registry.counter(&REPEATED) }
    }

    /// So many purchases travel together.
    pub fn gathered(&self, purchases: usize) {
        self.gathered.size(purchases);
    }

    pub fn repeated(&self) {
        self.repeated.inc();
    }
}

/// Counts for one replica.
#[derive(Debug, Clone)]
pub struct Applies {
    records: Counter,
    duration: Observed,
    divergences: Counter,
    snapshots: Tally<SnapshotReason>,
    behind: Counter,
}

impl Applies {
    pub fn new(registry: &Registry) -> Self {
        Self {
            records: registry.counter(&APPLIED),
            duration: registry.observed(&APPLY_DURATION),
            divergences: registry.counter(&DIVERGENCES),
            snapshots: registry.tally(&SNAPSHOTS),
            behind: registry.counter(&BEHIND),
        }
    }

    pub fn applied(&self, records: usize, took: Duration) {
        self.records.add(records as u64);
        self.duration.took(took);
    }

    /// The rows here are not those of a digest.
    pub fn diverged(&self) {
        self.divergences.inc();
    }

    pub fn snapshot_taken(&self, reason: SnapshotReason) {
        self.snapshots.inc(reason);
    }

    /// Where reads are counted that are refused for lack of a version.
    pub fn behind(&self) -> Counter {
        self.behind.clone()
    }
}
