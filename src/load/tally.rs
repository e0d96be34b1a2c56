//! Counts and latency histograms.
//!
//! Latencies are HDR histograms in nanoseconds with three significant digits: percentiles of millions of
//! requests in a fixed 100 KiB each, the tail as exact as the middle.

use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::time::Duration;

/// Faster is counted as this, slower as that: nothing is under way for an hour.
const FASTEST: u64 = 1_000;
const SLOWEST: u64 = 3_600_000_000_000;
const DIGITS: u8 = 3;

/// Latencies of one kind of request.
#[derive(Debug, Clone)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    pub fn new() -> Self {
        let histogram = Histogram::new_with_bounds(FASTEST, SLOWEST, DIGITS);
        Self(histogram.unwrap_or_else(|error| unreachable!("constant bounds: {error}")))
    }

    pub fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(SLOWEST));
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency that so many percent of the requests did not exceed.
    pub fn percentile(&self, percent: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_percentile(percent))
    }

    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.0.max())
    }

    pub fn mean(&self) -> Duration {
        Duration::from_nanos(self.0.mean() as u64)
    }

    fn clear(&mut self) {
        self.0.reset();
    }
}

/// Of what was measured, so without the warm-up.
#[derive(Debug)]
pub struct Tally {
    /// All reads that were answered, and those of them that a cache answered, or not.
    pub reads: Latencies,
    pub hits: Latencies,
    pub misses: Latencies,
    /// Reads that nothing cached, before or after.
    pub bypasses: u64,
    /// Purchases with an outcome: bought or sold out.
    pub purchases: Latencies,
    pub bought: u64,
    pub sold_out: u64,
    /// Purchases that had no outcome after all attempts.
    pub unknown: u64,
    /// Attempts beyond the first.
    pub repeated: u64,
    /// Answers that are no success, by code, and requests that had none.
    pub errors: BTreeMap<String, u64>,
    /// Open loop: due, and not sent any more.
    pub unsent: u64,
    pub lately: Lately,
}

/// Since the last look, warm-up included.
#[derive(Debug)]
pub struct Lately {
    pub reads: u64,
    pub hits: u64,
    pub bought: u64,
    pub latencies: Latencies,
    /// The longest that one took.
    pub slowest_read: Duration,
    pub slowest_purchase: Duration,
    /// Since the start.
    pub errors: u64,
}

impl Tally {
    pub fn new() -> Self {
        Self {
            reads: Latencies::new(),
            hits: Latencies::new(),
            misses: Latencies::new(),
            bypasses: 0,
            purchases: Latencies::new(),
            bought: 0,
            sold_out: 0,
            unknown: 0,
            repeated: 0,
            errors: BTreeMap::new(),
            unsent: 0,
            lately: Lately {
                reads: 0,
                hits: 0,
                bought: 0,
                latencies: Latencies::new(),
                slowest_read: Duration::ZERO,
                slowest_purchase: Duration::ZERO,
                errors: 0,
            },
        }
    }

    pub fn error(&mut self, code: String, measured: bool) {
        self.lately.errors += 1;
        if measured {
            *self.errors.entry(code).or_default() += 1;
        }
    }
}

impl Lately {
    pub fn read(&mut self, latency: Duration) {
        self.latencies.record(latency);
        self.slowest_read = self.slowest_read.max(latency);
    }

    pub fn purchase(&mut self, latency: Duration) {
        self.latencies.record(latency);
        self.slowest_purchase = self.slowest_purchase.max(latency);
    }

    pub fn clear(&mut self) {
        (self.reads, self.hits, self.bought) = (0, 0, 0);
        (self.slowest_read, self.slowest_purchase) = (Duration::ZERO, Duration::ZERO);
        self.latencies.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_exact_to_three_digits_from_microseconds_to_minutes() {
        let mut latencies = Latencies::new();
        for micros in 1..=1_000 {
            latencies.record(Duration::from_micros(micros));
        }
        latencies.record(Duration::from_secs(60));
        for (percent, micros) in [(50.0, 501.0), (99.0, 991.0)] {
            let got = latencies.percentile(percent).as_secs_f64() * 1e6;
            assert!((got / micros - 1.0).abs() < 0.002, "p{percent}: {got}");
        }
        assert!((latencies.max().as_secs_f64() / 60.0 - 1.0).abs() < 0.001);
        assert_eq!(latencies.count(), 1_001);
    }

    #[test]
    fn what_is_out_of_bounds_counts_as_the_bound() {
        let mut latencies = Latencies::new();
        latencies.record(Duration::ZERO);
        latencies.record(Duration::from_secs(1_000_000));
        assert_eq!(latencies.count(), 2);
        assert!(latencies.max() >= Duration::from_secs(3_600));
    }
}
