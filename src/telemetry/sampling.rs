//! Which requests of customers are traced.
//!
//! Each is drawn by itself, with the configured probability, and never from its trace id: that one may be the
//! customer's own, who could choose ids that are always drawn. What is drawn is not each request's fate but
//! how many go by until the next one that is traced, which is the same (a geometric distribution) and costs
//! the others a subtraction.

use std::cell::Cell;

/// One of a million can be configured; what is rarer is never.
pub const RAREST: f64 = 1e-6;

thread_local! {
    /// How many requests of this thread go by before one is traced.
    static TO_GO: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Whether the request that this thread has just got is to be traced, at this ratio.
pub fn draws(ratio: f64) -> bool {
    if ratio < RAREST {
        return false;
    }
    TO_GO.with(|to_go| {
        let left = to_go.get().unwrap_or_else(|| gap(ratio, rand::random()));
        to_go.set(Some(match left {
            0 => gap(ratio, rand::random()),
            left => left - 1,
        }));
        left == 0
    })
}

/// How many go by, for a `drawn` number that is evenly spread over 0 to 1.
fn gap(ratio: f64, drawn: f64) -> u64 {
    if ratio >= 1.0 {
        return 0;
    }
    // At most 36 times as many as on average: a random number of 53 bits is no smaller than that says.
    ((1.0 - drawn).ln() / (1.0 - ratio).ln()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_drawn_as_was_asked_for() {
        for (ratio, expected) in
            [(0.0, 0..=0), (1.0, 100_000..=100_000), (0.01, 700..=1300), (0.5, 48_000..=52_000)]
        {
            TO_GO.set(None);
            let drawn = (0..100_000).filter(|_| draws(ratio)).count();
            assert!(expected.contains(&drawn), "{ratio}: {drawn}");
        }
    }

    #[test]
    fn the_gaps_are_spread_as_those_of_single_draws_are() {
        // Half of the gaps of a fair coin are 0, a quarter 1.
        assert_eq!([0.0, 0.49, 0.51, 0.74, 0.76].map(|drawn| gap(0.5, drawn)), [0, 0, 1, 1, 2]);
        assert_eq!(gap(1.0, 0.999), 0);
        assert!(gap(RAREST, 1.0 - f64::EPSILON) < 40_000_000);
    }
}
