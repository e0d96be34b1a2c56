//! Medians and the like.

use hdrhistogram::Histogram;
use std::time::Duration;

/// Latencies are kept in nanoseconds to three digits, up to this: longer than any request may take here.
const LONGEST: Duration = Duration::from_secs(60);

/// The middle value, or the mean of the two in the middle. NaN of nothing.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

/// Latencies.
#[derive(Clone)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    pub fn new() -> Self {
        let longest = u64::try_from(LONGEST.as_nanos()).unwrap_or(u64::MAX);
        // Cannot fail: the bounds and the number of digits are constants that the type allows.
        Self(Histogram::new_with_bounds(1, longest, 3).unwrap_or_else(|error| unreachable!("{error}")))
    }

    pub fn record(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    pub fn add(&mut self, others: &Latencies) {
        // Both have the same bounds.
        let _ = self.0.add(&others.0);
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// In milliseconds.
    pub fn quantile_ms(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1e6
    }

    pub fn mean_ms(&self) -> f64 {
        self.0.mean() / 1e6
    }

    pub fn deviation_ms(&self) -> f64 {
        self.0.stdev() / 1e6
    }

    pub fn min_ms(&self) -> f64 {
        self.0.min() as f64 / 1e6
    }

    pub fn max_ms(&self) -> f64 {
        self.0.max() as f64 / 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_whatever_the_order() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn latencies_are_told_in_milliseconds_to_three_digits() {
        let mut latencies = Latencies::new();
        for micros in 1..=1000 {
            latencies.record(Duration::from_micros(micros));
        }
        assert!((latencies.quantile_ms(0.5) - 0.5).abs() < 0.001);
        assert!((latencies.quantile_ms(0.99) - 0.99).abs() < 0.001);
        assert!((latencies.mean_ms() - 0.5005).abs() < 0.001);
    }
}
