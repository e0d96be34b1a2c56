//! What a frontend's customers got: reads by the level that answered, purchases by their outcome; and what it has
//! that from: its cache, its lease, Redis.

use super::families::{
    FENCES_RECEIVED, LEASE_GAPS, LEASE_REQUESTS, LOOKUPS, PURCHASES, READS, REDIS_DURATION, STALE,
};
use super::label::label;
use super::{COUNTED, Counter, Registry, Tally};
use prometheus::HistogramVec;
use prometheus::local::LocalIntCounter;
use std::cell::Cell;
use std::time::Duration;

label! {
    /// Who answered a read.
    pub enum AnsweredBy {
        Memory = "memory",
        Redis = "redis",
        Replica = "replica",
        Master = "master",
    }
}

label! {
    /// What memory had.
    pub enum Miss {
        /// What may be served.
        Hit = "hit",
        /// Nothing, or nothing any more.
        Absent = "absent",
        /// It was there for as long as it may be (`--info-ttl`, `--search-ttl`).
        Expired = "expired",
        /// It was announced to change.
        BelowFloor = "floor",
        /// It is of another life of the master.
        OtherEpoch = "epoch",
        /// No lease is held.
        NoLease = "lease",
        /// The reader demands a later version.
        TooOld = "version",
    }
}

impl Miss {
    pub(super) const TOLD: &'static str = "`hit`; `absent`: nothing there; `expired`: older than its time (memory); `floor`: announced to change; `epoch`: \
         of another life of the master; `lease`: none is held; `version`: the reader demands a later one (memory); \
         `foreign`: no frontend of this store wrote it (Redis); `unavailable`: no answer in time, or not connected (Redis)";
}

label! {
    /// What Redis had.
    pub enum RedisLookup {
        Hit = "hit",
        Absent = "absent",
        BelowFloor = "floor",
        OtherEpoch = "epoch",
        NoLease = "lease",
        /// No frontend of this store wrote it.
        Foreign = "foreign",
        /// It gave no answer in time, or is not connected.
        Unavailable = "unavailable",
    }
}

label! {
    /// What is kept in memory.
    pub enum EntryKind {
        Found = "found",
        /// That there is no such book, or no such topic.
        NotFound = "not_found",
    }
}

label! {
    /// Whether the client asked for an answer that may be stale.
    pub enum Asked {
        Yes = "yes",
        /// There was none better to be had.
        No = "no",
    }
}

label! {
    /// What a customer was told about a purchase.
    pub enum Bought {
        Bought = "bought",
        /// The answer that the same purchase had before.
        Replayed = "replayed",
        OutOfStock = "out_of_stock",
        Underpaid = "underpaid",
        BookNotFound = "book_not_found",
        Mismatch = "idempotency_mismatch",
        /// The outcome is unknown; it is safe to repeat.
        Unavailable = "unavailable",
        /// It was not understood, or not taken.
        Invalid = "invalid",
    }
}

label! {
    /// What a master is asked for by who wants to cache.
    pub enum Ask {
        Join = "join",
        Renew = "renew",
    }
}

label! {
    /// What became of that.
    pub enum Granted {
        Granted = "granted",
        Refused = "refused",
        NoAnswer = "no_answer",
        /// The answer came too late, or from a master that was replaced.
        Useless = "useless",
    }
}

label! {
    pub enum RedisOperation {
        Get = "get",
        Set = "set",
        Ping = "ping",
    }
}

label! {
    pub enum RedisDone {
        Ok = "ok",
        /// Not within the time that a request waits for it.
        Late = "late",
        Error = "error",
    }
}

/// Counts for one frontend.
#[derive(Debug, Clone)]
pub struct Reads {
    answered: Tally<AnsweredBy>,
    memory: Tally<Miss>,
    redis: Tally<RedisLookup>,
    stale: Tally<Asked>,
    purchases: Tally<Bought>,
    fences: Counter,
    lease_requests: Tally<(Ask, Granted)>,
    lease_gaps: Counter,
}

impl Reads {
    pub fn new(registry: &Registry) -> Self {
        let lookups = registry.counters(&LOOKUPS);
        Self {
            answered: registry.tally(&READS),
            memory: Tally::of(&lookups, &[AnsweredBy::Memory.label()]),
            redis: Tally::of(&lookups, &[AnsweredBy::Redis.label()]),
            stale: registry.tally(&STALE),
            purchases: registry.tally(&PURCHASES),
            fences: registry.counter(&FENCES_RECEIVED),
            lease_requests: registry.tally(&LEASE_REQUESTS),
            lease_gaps: registry.counter(&LEASE_GAPS),
        }
    }

    pub fn answered(&self, by: AnsweredBy) {
        self.answered.inc(by);
    }

    /// An answer says that it may be stale.
    pub fn stale(&self, asked: Asked) {
        self.stale.inc(asked);
    }

    /// What memory had for a read.
    pub fn looked_up(&self, found: Miss) {
        self.memory.inc(found);
    }

    pub fn looked_up_in_redis(&self, found: RedisLookup) {
        self.redis.inc(found);
    }

    pub fn bought(&self, outcome: Bought) {
        self.purchases.inc(outcome);
    }

    pub fn fenced(&self) {
        self.fences.inc();
    }

    pub fn asked_for_a_lease(&self, ask: Ask, outcome: Granted) {
        self.lease_requests.inc((ask, outcome));
    }

    /// A lease that was held is held no longer.
    pub fn lost_the_lease(&self) {
        self.lease_gaps.inc();
    }

    /// One thread's count of what it answers from memory without a route.
    pub fn of_this_thread(&self) -> ThreadsReads {
        ThreadsReads {
            new: Cell::new(0),
            answered: self.answered.local(AnsweredBy::Memory),
            hits: self.memory.local(Miss::Hit),
        }
    }
}

/// What one thread answers from memory, counted where no other thread looks.
pub struct ThreadsReads {
    /// Since it was handed in.
    new: Cell<u64>,
    answered: LocalIntCounter,
    hits: LocalIntCounter,
}

impl ThreadsReads {
    pub fn answered(&self) {
        if COUNTED {
            self.new.set(self.new.get() + 1);
        }
    }

    /// Lets all see what was counted.
    pub fn flush(&self) {
        let new = self.new.take();
        for all in [&self.answered, &self.hits] {
            all.inc_by(new);
            all.flush();
        }
    }
}

/// Requests to Redis.
#[derive(Debug, Clone)]
pub struct RedisCounts(HistogramVec);

impl RedisCounts {
    pub fn new(registry: &Registry) -> Self {
        Self(registry.histograms(&REDIS_DURATION))
    }

    pub fn asked(&self, operation: RedisOperation, outcome: RedisDone, took: Duration) {
        if COUNTED {
            self.0.with_label_values(&[operation.label(), outcome.label()]).observe(took.as_secs_f64());
        }
    }
}
