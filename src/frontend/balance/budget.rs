//! How many calls may be made a second time: so that a failure of some does not become a flood on the rest.
//!
//! A token bucket, as Finagle (`RetryBudget`) and linkerd have it: every request puts a fifth of a token in, ten
//! more come each second, and a retry takes one out. So retries add at most a fifth to the load, but for a
//! small constant that lets a quiet store retry at all.

use parking_lot::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// Tokens for each request.
const PER_REQUEST: f64 = 0.2;

/// Tokens for each second.
const PER_SECOND: f64 = 10.0;

/// Tokens that are saved up: as many as readers wait for one node at most, more or less, when it begins to hang.
const MOST: f64 = 500.0;

pub struct Budget(Mutex<Tokens>);

struct Tokens {
    left: f64,
    at: Instant,
}

impl Budget {
    pub fn new() -> Self {
        // As if it had been there for ten seconds.
        Self(Mutex::new(Tokens { left: 10.0 * PER_SECOND, at: Instant::now() }))
    }

    /// A request is made for the first time.
    pub fn deposit(&self) {
        let mut tokens = self.0.lock();
        tokens.left = (tokens.left + PER_REQUEST).min(MOST);
    }

    /// How many may be made once more right now.
    pub fn left(&self) -> f64 {
        self.0.lock().saved_up(Instant::now())
    }

    /// Whether a request may be made once more; then it is taken for made.
    pub fn withdraw(&self) -> bool {
        self.0.lock().withdraw(Instant::now())
    }
}

impl Tokens {
    /// What there is by `now`.
    fn saved_up(&self, now: Instant) -> f64 {
        let passed: Duration = now.saturating_duration_since(self.at);
        (self.left + passed.as_secs_f64() * PER_SECOND).min(MOST)
    }

    fn withdraw(&mut self, now: Instant) -> bool {
        self.left = self.saved_up(now);
        self.at = now;
        let enough = self.left >= 1.0;
        if enough {
            self.left -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many retries there are at once.
    fn drain(tokens: &mut Tokens, now: Instant) -> usize {
        (0..10_000).filter(|_| tokens.withdraw(now)).count()
    }

    #[test]
    fn a_fifth_of_the_requests_and_ten_a_second_may_be_repeated() {
        let budget = Budget::new();
        let start = budget.0.lock().at;
        assert_eq!(drain(&mut budget.0.lock(), start), 100);
        for _ in 0..1_003 {
            budget.deposit();
        }
        assert_eq!(drain(&mut budget.0.lock(), start), 200);
        assert_eq!(drain(&mut budget.0.lock(), start + Duration::from_secs(3)), 30);
    }

    #[test]
    fn a_long_quiet_or_a_long_rush_saves_up_no_flood() {
        let budget = Budget::new();
        let start = budget.0.lock().at;
        assert_eq!(drain(&mut budget.0.lock(), start + Duration::from_secs(3600)), 500);
        for _ in 0..100_000 {
            budget.deposit();
        }
        assert_eq!(drain(&mut budget.0.lock(), start), 500);
    }
}
