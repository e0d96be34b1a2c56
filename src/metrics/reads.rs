//! What a frontend's customers got: reads by the level that answered, purchases by their outcome.

use super::Registry;
use prometheus::local::LocalIntCounter;
use prometheus::{IntCounter, IntCounterVec};

/// Reads, by the level whose answer was given. Label: `by`.
pub const READS: &str = "bazar_reads_total";
/// Reads that memory could not answer, by the reason. Label: `reason`.
pub const MISSES: &str = "bazar_memory_misses_total";
/// Answers that said that they may be stale.
pub const STALE: &str = "bazar_stale_answers_total";
/// Purchases, by what the customer was told. Label: `outcome`.
pub const PURCHASES: &str = "bazar_purchases_total";
const FENCES: &str = "bazar_fences_received_total";

/// Who answered a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnsweredBy {
    Memory,
    Redis,
    Replica,
    Master,
}

impl AnsweredBy {
    pub const ALL: [Self; 4] = [Self::Memory, Self::Redis, Self::Replica, Self::Master];

    pub const fn label(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Redis => "redis",
            Self::Replica => "replica",
            Self::Master => "master",
        }
    }
}

/// Why memory had no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Miss {
    /// Nothing is kept there, or not any more.
    Absent,
    /// It was announced to change.
    BelowFloor,
    /// It is of another life of the master.
    OtherEpoch,
    /// No lease is held.
    NoLease,
    /// The reader demands a later version.
    TooOld,
}

impl Miss {
    pub const ALL: [Self; 5] =
        [Self::Absent, Self::BelowFloor, Self::OtherEpoch, Self::NoLease, Self::TooOld];

    pub const fn label(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::BelowFloor => "floor",
            Self::OtherEpoch => "epoch",
            Self::NoLease => "lease",
            Self::TooOld => "version",
        }
    }
}

/// What a customer was told about a purchase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bought {
    Bought,
    /// The answer that the same purchase had before.
    Replayed,
    OutOfStock,
    Underpaid,
    BookNotFound,
    Mismatch,
    /// The outcome is unknown; it is safe to repeat.
    Unavailable,
    /// It was not understood, or not taken.
    Invalid,
}

impl Bought {
    pub const fn label(self) -> &'static str {
        match self {
            Self::Bought => "bought",
            Self::Replayed => "replayed",
            Self::OutOfStock => "out_of_stock",
            Self::Underpaid => "underpaid",
            Self::BookNotFound => "book_not_found",
            Self::Mismatch => "idempotency_mismatch",
            Self::Unavailable => "unavailable",
            Self::Invalid => "invalid",
        }
    }
}

/// Counts for one frontend.
#[derive(Debug, Clone)]
pub struct Reads {
    answered: IntCounterVec,
    misses: IntCounterVec,
    stale: IntCounter,
    purchases: IntCounterVec,
    fences: IntCounter,
}

impl Reads {
    pub fn new(registry: &Registry) -> Self {
        Self {
            answered: registry.counters(READS, "Reads, by the level whose answer was given.", &["by"]),
            misses: registry.counters(MISSES, "Reads that memory could not answer.", &["reason"]),
            stale: registry.counter(STALE, "Answers that said that they may be stale."),
            purchases: registry.counters(PURCHASES, "Purchases, by what was told.", &["outcome"]),
            fences: registry.counter(FENCES, "Announcements of the write master."),
        }
    }

    pub fn answered(&self, by: AnsweredBy, stale: bool) {
        self.answered.with_label_values(&[by.label()]).inc();
        if stale {
            self.stale.inc();
        }
    }

    pub fn missed(&self, why: Miss) {
        self.misses.with_label_values(&[why.label()]).inc();
    }

    pub fn bought(&self, outcome: Bought) {
        self.purchases.with_label_values(&[outcome.label()]).inc();
    }

    pub fn fenced(&self) {
        self.fences.inc();
    }

    /// One thread's count of what it answers from memory without a route.
    pub fn of_this_thread(&self) -> ThreadsReads {
        ThreadsReads(self.answered.with_label_values(&[AnsweredBy::Memory.label()]).local())
    }
}

/// What one thread answers from memory, counted where no other thread looks.
pub struct ThreadsReads(LocalIntCounter);

impl ThreadsReads {
    pub fn answered(&self) {
        self.0.inc();
    }

    /// Lets all see what was counted.
    pub fn flush(&self) {
        self.0.flush();
    }
}
