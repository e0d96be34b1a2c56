//! Money as integer cents. Dollars exist only in what clients send and read.

use super::Invalid;
use serde::{Deserialize, Serialize};
use std::fmt;

/// An amount of money in US cents, never negative, at most [`Cents::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Cents(i64);

impl Cents {
    /// One billion dollars: 100 copies at this price still fit an `i64` many times over, and an
    /// `f64` holds every cent of it exactly.
    pub const MAX: Cents = Cents(100_000_000_000);

    pub fn new(cents: i64) -> Result<Self, Invalid> {
        if (0..=Self::MAX.0).contains(&cents) {
            Ok(Self(cents))
        } else {
            Err(Invalid::new("an amount must be between 0 and 1000000000 dollars"))
        }
    }

    /// Dollars as clients write them: a number with at most two decimals.
    pub fn from_dollars(dollars: f64) -> Result<Self, Invalid> {
        let cents = dollars * 100.0;
        let whole = cents.round();
        // A hundredth of a cent tells 0.29 * 100 = 28.999999999999996 from 0.295.
        if !cents.is_finite() || (cents - whole).abs() > 0.01 {
            return Err(Invalid::new("an amount must be a number of dollars with at most two decimals"));
        }
        if whole < 0.0 || whole > Self::MAX.0 as f64 {
            return Err(Invalid::new("an amount must be between 0 and 1000000000 dollars"));
        }
        Ok(Self(whole as i64))
    }

    pub const fn get(self) -> i64 {
        self.0
    }

    /// Price times quantity; cannot overflow because both factors are bounded.
    pub fn times(self, quantity: u32) -> i64 {
        self.0 * i64::from(quantity)
    }
}

impl TryFrom<i64> for Cents {
    type Error = Invalid;
    fn try_from(cents: i64) -> Result<Self, Invalid> {
        Self::new(cents)
    }
}

impl From<Cents> for i64 {
    fn from(cents: Cents) -> i64 {
        cents.0
    }
}

impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Dollars(self.0).fmt(f)
    }
}

/// Cents, written as dollars for people: `28`, or `28.50`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dollars(pub i64);

impl fmt::Display for Dollars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 % 100 {
            0 => write!(f, "{}", self.0 / 100),
            cents => write!(f, "{}.{cents:02}", self.0 / 100),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_become_cents_exactly() {
        for (dollars, cents) in [(28.0, 2800), (0.29, 29), (19.99, 1999), (0.0, 0), (1e9, 100_000_000_000)] {
            assert_eq!(Cents::from_dollars(dollars).unwrap().get(), cents);
        }
    }

    #[test]
    fn an_amount_that_is_no_number_of_cents_is_refused() {
        for dollars in [0.295, -1.0, 1e9 + 1.0, f64::NAN, f64::INFINITY, 1e300] {
            assert!(Cents::from_dollars(dollars).is_err(), "{dollars}");
        }
    }

    #[test]
    fn people_read_whole_dollars_without_decimals() {
        assert_eq!(Cents::new(2800).unwrap().to_string(), "28");
        assert_eq!(Cents::new(2850).unwrap().to_string(), "28.50");
    }
}
