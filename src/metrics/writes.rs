//! What a write master's batches are made of, and what a purchase waits for; its leases, its replicas, its file.

use super::families::{
    BATCH_DURATION, BATCH_SIZE, BOOKS_SOLD, COMMIT, DECIDED, FENCE, FENCE_WAIT, FENCES, IMPORT_PARTS,
    IN_SYNC_ENTERED, IN_SYNC_LEFT, LEASE_GRANTS, LEASE_LAPSES, LEASE_REFUSALS, LEASE_RELEASES, ORDERS,
    REPLICATION, REVENUE, STOCK_OUTS, STORE_ERRORS, VERIFY_RUNS,
};
use super::label::label;
use super::{Ask, COUNTED, Counter, Observed, Registry, Tally};
use crate::domain::{Outcome, Refusal};
use prometheus::Counter as Amount;
use std::time::{Duration, Instant};

pub(super) const REPLICA_TOLD: &str = "host and port, of those that records are pushed to (64 at most)";

label! {
    /// What became of a request that was acknowledged.
    pub enum Decided {
        Bought = "bought",
        Replayed = "replayed",
        OutOfStock = "out_of_stock",
        Underpaid = "underpaid",
        BookNotFound = "book_not_found",
        Mismatch = "idempotency_mismatch",
        Edited = "edited",
        EditRefused = "edit_refused",
        /// It breaks a constraint of the schema.
        Rejected = "rejected",
    }
}

label! {
    /// How a fence ended.
    pub enum FenceEnd {
        Acknowledged = "acknowledged",
        /// The lease of a holder that did not acknowledge had to run out.
        Lapsed = "lapsed",
    }
}

label! {
    /// Why a lease was not granted.
    pub enum Refused {
        /// The frontend speaks another version of the protocol.
        Protocol = "protocol",
        /// Nobody answers at its address, or somebody else.
        NotReachable = "not_reachable",
        NotMaster = "not_master",
        /// There is no such lease to renew.
        Unknown = "unknown",
        /// It missed a fence.
        BackingOff = "backing_off",
        Full = "full",
    }
}

label! {
    /// Why a replica left the in-sync set.
    pub enum Left {
        /// It did not have a record in time.
        Deadline = "deadline",
        /// A push failed.
        Unreachable = "unreachable",
        /// Too many records wait for it.
        QueueFull = "queue_full",
        /// Its process is another one now.
        Restarted = "restarted",
        /// It has less than was acknowledged.
        Behind = "behind",
    }
}

label! {
    /// What became of a part of an import.
    pub enum Part {
        Done = "done",
        /// It was done before.
        Replayed = "replayed",
        Refused = "refused",
    }
}

label! {
    /// What a comparison of all rows came to.
    pub enum Verdict {
        Equal = "equal",
        /// A replica differs, or gave no verdict in time.
        Different = "different",
        /// It could not be made.
        Failed = "failed",
    }
}

label! {
    pub enum MasterState {
        Leads = "leads",
        /// It hands over, or has.
        Sealed = "sealed",
        /// Another epoch has begun somewhere else.
        Deposed = "deposed",
    }
}

label! {
    /// What a connection for reading does.
    pub enum Reader {
        Busy = "busy",
        Idle = "idle",
    }
}

label! {
    /// Why a statement failed.
    pub enum StoreFault {
        /// The disk is full.
        Full = "full",
        /// It is read-only, or broken.
        Io = "io",
        Busy = "busy",
        Constraint = "constraint",
        Corrupt = "corrupt",
        /// A commit of which only the next start can tell whether it happened.
        InDoubt = "in_doubt",
        Other = "other",
    }
}

label! {
    /// Why a replica took a snapshot.
    pub enum SnapshotReason {
        /// The master's log does not go back to it.
        Trimmed = "trimmed",
        /// The master's history is another one.
        History = "history",
        /// Its rows were not the master's.
        Rows = "rows",
    }
}

/// Failures of one catalog node's file.
#[derive(Debug, Clone)]
pub struct StoreFaults(Tally<StoreFault>);

impl StoreFaults {
    pub fn new(registry: &Registry) -> Self {
        Self(registry.tally(&STORE_ERRORS))
    }

    pub fn failed(&self, fault: StoreFault) {
        self.0.inc(fault);
    }
}

/// Counts for one write master.
#[derive(Debug, Clone)]
pub struct Writes {
    batch_size: Observed,
    batch: Observed,
    fence: Observed,
    fences: Tally<FenceEnd>,
    fence_wait: Observed,
    commit: Observed,
    replication: Observed,
    decided: Tally<Decided>,
    orders: Counter,
    books_sold: Counter,
    revenue: Amount,
    stock_outs: Counter,
    import_parts: Tally<Part>,
    lease_grants: Tally<Ask>,
    lease_refusals: Tally<Refused>,
    lease_lapses: Counter,
    lease_releases: Counter,
    entered: Counter,
    left: Tally<Left>,
    verified: Tally<Verdict>,
    pub faults: StoreFaults,
}

impl Writes {
    pub fn new(registry: &Registry) -> Self {
        Self {
            batch_size: registry.observed(&BATCH_SIZE),
            batch: registry.observed(&BATCH_DURATION),
            fence: registry.observed(&FENCE),
            fences: registry.tally(&FENCES),
            fence_wait: registry.observed(&FENCE_WAIT),
            commit: registry.observed(&COMMIT),
            replication: registry.observed(&REPLICATION),
            decided: registry.tally(&DECIDED),
            orders: registry.counter(&ORDERS),
            books_sold: registry.counter(&BOOKS_SOLD),
            revenue: registry.amounts(&REVENUE).with_label_values::<&str>(&[]),
            stock_outs: registry.counter(&STOCK_OUTS),
            import_parts: registry.tally(&IMPORT_PARTS),
            lease_grants: registry.tally(&LEASE_GRANTS),
            lease_refusals: registry.tally(&LEASE_REFUSALS),
            lease_lapses: registry.counter(&LEASE_LAPSES),
            lease_releases: registry.counter(&LEASE_RELEASES),
            entered: registry.counter(&IN_SYNC_ENTERED),
            left: registry.tally(&IN_SYNC_LEFT),
            verified: registry.tally(&VERIFY_RUNS),
            faults: StoreFaults::new(registry),
        }
    }

    /// A batch of so many requests, which was decided at `begun`, is committed.
    pub fn committed(&self, requests: usize, begun: Instant) {
        self.batch_size.size(requests);
        self.batch.took(begun.elapsed());
    }

    pub fn fence_took(&self, took: Duration, end: FenceEnd) {
        self.fence.took(took);
        self.fences.inc(end);
    }

    /// For so long a batch waited for nothing but its fence.
    pub fn waited_for_fence(&self, waited: Duration) {
        self.fence_wait.took(waited);
    }

    pub fn commit_took(&self, took: Duration) {
        self.commit.took(took);
    }

    pub fn replication_took(&self, took: Duration) {
        self.replication.took(took);
    }

    pub fn acknowledged(&self, outcome: &Outcome) {
        self.decided.inc(decided(outcome));
        if let Outcome::Purchase { answer: Ok(receipt), replayed: false } = outcome {
            self.orders.inc();
            self.books_sold.add(u64::from(receipt.quantity.get()));
            if COUNTED {
                self.revenue.inc_by(receipt.total as f64 / 100.0);
            }
        }
    }

    /// There are no copies of so many books any more.
    pub fn sold_out(&self, books: u64) {
        self.stock_outs.add(books);
    }

    pub fn import_part(&self, outcome: Part) {
        self.import_parts.inc(outcome);
    }

    pub fn lease_granted(&self, ask: Ask) {
        self.lease_grants.inc(ask);
    }

    pub fn lease_refused(&self, reason: Refused) {
        self.lease_refusals.inc(reason);
    }

    pub fn leases_lapsed(&self, leases: usize) {
        self.lease_lapses.add(leases as u64);
    }

    pub fn lease_released(&self) {
        self.lease_releases.inc();
    }

    pub fn entered_in_sync(&self) {
        self.entered.inc();
    }

    pub fn left_in_sync(&self, reason: Left) {
        self.left.inc(reason);
    }

    pub fn verified(&self, verdict: Verdict) {
        self.verified.inc(verdict);
    }
}

fn decided(outcome: &Outcome) -> Decided {
    match outcome {
        Outcome::Purchase { replayed: true, .. } | Outcome::Guarded { replayed: true, .. } => {
            Decided::Replayed
        }
        Outcome::Purchase { answer: Ok(_), .. } => Decided::Bought,
        Outcome::Purchase { answer: Err(refusal), .. } => match refusal {
            Refusal::BookNotFound => Decided::BookNotFound,
            Refusal::OutOfStock => Decided::OutOfStock,
            Refusal::Underpaid { .. } => Decided::Underpaid,
            Refusal::IdempotencyMismatch => Decided::Mismatch,
        },
        Outcome::Edit(Ok(_)) | Outcome::Guarded { answer: Ok(_), .. } => Decided::Edited,
        Outcome::Edit(Err(_)) | Outcome::Guarded { answer: Err(_), .. } => Decided::EditRefused,
        Outcome::Rejected => Decided::Rejected,
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
