//! What a write master's batches are made of, and what a purchase waits for.

use super::Registry;
use crate::domain::{Outcome, Refusal};
use prometheus::{Histogram, IntCounterVec};
use std::time::{Duration, Instant};

/// Requests in a batch.
pub const BATCH_SIZE: &str = "bazar_batch_requests";
/// From the decision on a batch to its commit.
pub const BATCH_DURATION: &str = "bazar_batch_duration_seconds";
/// From a fence's announcement until everybody has acknowledged it, or has lost its lease.
pub const FENCE: &str = "bazar_fence_duration_seconds";
/// The part of it for which a batch had nothing else to do: what the fence costs.
pub const FENCE_WAIT: &str = "bazar_fence_wait_seconds";
pub const COMMIT: &str = "bazar_commit_duration_seconds";
/// From a commit until it may be acknowledged.
pub const REPLICATION: &str = "bazar_replication_wait_seconds";
const DECIDED: &str = "bazar_decided_total";

/// Counts for one write master.
#[derive(Debug, Clone)]
pub struct Writes {
    batch_size: Histogram,
    batch: Histogram,
    fence: Histogram,
    fence_wait: Histogram,
    commit: Histogram,
    replication: Histogram,
    decided: IntCounterVec,
}

impl Writes {
    pub fn new(registry: &Registry) -> Self {
        Self {
            batch_size: registry.sizes(BATCH_SIZE, "Requests in a batch."),
            batch: registry.durations(BATCH_DURATION, "From the decision on a batch to its commit."),
            fence: registry.durations(FENCE, "Until every holder of a lease has acknowledged."),
            fence_wait: registry.durations(FENCE_WAIT, "What a batch waited for its fence alone."),
            commit: registry.durations(COMMIT, "COMMIT, with its fsync."),
            replication: registry.durations(REPLICATION, "From a commit until it may be acknowledged."),
            decided: registry.counters(DECIDED, "Acknowledged requests, by outcome.", &["outcome"]),
        }
    }

    /// A batch of so many requests, which was decided at `begun`, is committed.
    pub fn committed(&self, requests: usize, begun: Instant) {
        self.batch_size.observe(requests as f64);
        self.batch.observe(begun.elapsed().as_secs_f64());
    }

    pub fn fence_took(&self, took: Duration) {
        self.fence.observe(took.as_secs_f64());
    }

    /// For so long a batch waited for nothing but its fence.
    pub fn waited_for_fence(&self, waited: Duration) {
        self.fence_wait.observe(waited.as_secs_f64());
    }

    pub fn commit_took(&self, took: Duration) {
        self.commit.observe(took.as_secs_f64());
    }

    pub fn replication_took(&self, took: Duration) {
        self.replication.observe(took.as_secs_f64());
    }

    pub fn acknowledged(&self, outcome: &Outcome) {
        self.decided.with_label_values(&[label(outcome)]).inc();
    }
}

fn label(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Purchase { replayed: true, .. } => "replayed",
        Outcome::Purchase { answer: Ok(_), .. } => "bought",
        Outcome::Purchase { answer: Err(refusal), .. } => match refusal {
            Refusal::BookNotFound => "book_not_found",
            Refusal::OutOfStock => "out_of_stock",
            Refusal::Underpaid { .. } => "underpaid",
            Refusal::IdempotencyMismatch => "idempotency_mismatch",
        },
        Outcome::Guarded { replayed: true, .. } => "replayed",
        Outcome::Edit(Ok(_)) | Outcome::Guarded { answer: Ok(_), .. } => "edited",
        Outcome::Edit(Err(_)) | Outcome::Guarded { answer: Err(_), .. } => "edit_refused",
        Outcome::Rejected => "rejected",
    }
}

/// What a piece of work gave, and how long it took.
pub struct Timed<T> {
    pub value: T,
    pub took: Duration,
}

impl<T> Timed<T> {
    pub async fn of(work: impl Future<Output = T>) -> Self {
        let begun = Instant::now();
        let value = work.await;
        Self { value, took: begun.elapsed() }
    }
}
