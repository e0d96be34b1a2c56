//! What lies between a frontend and the write master's file: an order node, a replica.

use super::Registry;
use prometheus::{Histogram, IntCounter};
use std::time::Duration;

/// Counts for one order node.
#[derive(Debug, Clone)]
pub struct Sends {
    gathered: Histogram,
    repeated: IntCounter,
}

impl Sends {
    pub fn new(registry: &Registry) -> Self {
        Self {
            gathered: registry.sizes("bazar_gathered_purchases", "Purchases in one request to the master."),
            repeated: registry.counter("bazar_repeated_requests_total", "Requests sent to the master again."),
        }
    }

    /// So many purchases travel together.
    pub fn gathered(&self, purchases: usize) {
        self.gathered.observe(purchases as f64);
    }

    pub fn repeated(&self) {
        self.repeated.inc();
    }
}

/// Counts for one replica.
#[derive(Debug, Clone)]
pub struct Applies {
    records: IntCounter,
    duration: Histogram,
}

impl Applies {
    pub fn new(registry: &Registry) -> Self {
        Self {
            records: registry.counter("bazar_applied_records_total", "Records of the log, applied."),
            duration: registry.durations("bazar_apply_duration_seconds", "Applying what came together."),
        }
    }

    pub fn applied(&self, records: usize, took: Duration) {
        self.records.inc_by(records as u64);
        self.duration.observe(took.as_secs_f64());
    }
}
