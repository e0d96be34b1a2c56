//! A stale read, told: by versions for who has the log of the store beside it, by the clock for who was not there.

use super::known::{Fact, Proof};
use crate::domain::{BookId, PublicVersion, Stock};
use std::fmt;
use std::time::Duration;

/// A read that showed less than was known before it was sent.
#[derive(Debug, Clone)]
pub struct Stale {
    pub(super) book: BookId,
    /// The kind of read and the frontend that answered.
    pub(super) what: String,
    pub(super) by: String,
    pub(super) sent: Duration,
    pub(super) answered: Duration,
    pub(super) stock: Stock,
    pub(super) version: Option<PublicVersion>,
    pub(super) known: Fact,
    /// It is the stock that is too high; otherwise the version is too low.
    pub(super) rose: bool,
}

impl Stale {
    /// The address of the frontend that answered.
    pub fn by(&self) -> &str {
        &self.by
    }

    /// By versions, for who has the log of the store beside it.
    pub fn in_versions(&self) -> String {
        let Self { book, what, by, known, .. } = self;
        let version = Named(self.version);
        match known.version {
            Some(least) if !self.rose => format!(
                "book {book}: {what}, sent after a purchase at version {least} had been acknowledged, showed version \
                 {version} (from {by})"
            ),
            _ => format!(
                "book {book}: {what}, sent {}, showed {} (version {version}, from {by})",
                known.in_words(),
                self.stock.get(),
            ),
        }
    }

    /// By the clock, for who was not there; `frontend` is what the one that answered is called.
    pub fn in_time(&self, frontend: &str) -> String {
        let Self { book, stock, known, .. } = self;
        let before = self.sent.saturating_sub(known.at).as_secs_f64() * 1e3;
        let left = known.stock.get();
        let but = match (known.by, known.version) {
            (_, Some(least)) if !self.rose => format!(
                "as of version {}, but a purchase at version {least} had been acknowledged",
                Named(self.version)
            ),
            (Proof::Start, _) => {
                return format!(
                    "at {:.3} s {frontend} said {} copies of book {book}, but there never were more than {left}",
                    self.answered.as_secs_f64(),
                    stock.get()
                );
            }
            (Proof::Read, _) => format!("but {left} had been shown"),
            (Proof::SoldOut, _) => "but it had been refused as sold out".into(),
            (Proof::Purchase, _) => format!("but a purchase that left {left} had been acknowledged"),
        };
        format!(
            "at {:.3} s {frontend} said {} copies of book {book}, {but} {before:.1} ms before it was asked",
            self.answered.as_secs_f64(),
            stock.get()
        )
    }
}

/// A version, or that there is none.
pub struct Named(pub Option<PublicVersion>);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(version) => version.fmt(f),
            None => f.write_str("not named"),
        }
    }
}
