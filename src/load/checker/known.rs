//! What is known of the stock of one book: facts in the order in which they were learnt, back to the oldest request
//! that is under way.

use super::Sent;
use super::stale::Named;
use crate::domain::{PublicVersion, Stock};
use std::collections::VecDeque;
use std::time::Duration;

/// What is remembered of one book while a request is under way. A request that is older than that is not
/// judged, and counted.
pub const MAX_FACTS: usize = 1024;

/// Why a stock is known to be at most what it is.
#[derive(Debug, Clone, Copy)]
pub enum Proof {
    Start,
    Read,
    Purchase,
    SoldOut,
}

/// What is known of a book since an event.
#[derive(Debug, Clone, Copy)]
pub struct Fact {
    pub since: u64,
    pub at: Duration,
    /// There are at most so many.
    pub stock: Stock,
    /// So many of them may have been delivered since.
    pub delivered: u32,
    pub by: Proof,
    /// That of the last purchase of it that was acknowledged.
    pub version: Option<PublicVersion>,
}

#[derive(Debug)]
pub struct Known {
    pub at_start: Stock,
    /// Oldest first; never empty.
    pub facts: VecDeque<Fact>,
    /// Of acknowledged purchases.
    pub copies: u64,
    pub deliveries: Vec<Delivery>,
    /// Copies of all of them.
    pub delivered: u64,
}

/// Copies that we have put on the shelf, or tried to.
#[derive(Debug)]
pub struct Delivery {
    pub sent: Sent,
    pub copies: u32,
    /// When it was known to be done.
    pub done: Option<u64>,
}

impl Known {
    pub fn newest(&self) -> &Fact {
        // Never empty: the first fact comes with the book, and the newest is never forgotten.
        &self.facts[self.facts.len() - 1]
    }

    /// What was known when a request was sent; `None` if that was forgotten.
    pub fn at(&self, sent: Sent) -> Option<&Fact> {
        self.facts.iter().rev().find(|fact| fact.since <= sent.0)
    }

    /// The copies that may have come behind the answer to a request.
    pub fn expected(&self, sent: Sent) -> u32 {
        let open = |delivery: &&Delivery| delivery.done.is_none_or(|done| done > sent.0);
        self.deliveries.iter().filter(open).map(|delivery| delivery.copies).sum()
    }

    /// Keeps what held when the oldest request under way was sent, and what came since.
    pub fn forget(&mut self, oldest: Option<Sent>) {
        let needless = |next: &Fact| oldest.is_none_or(|oldest| next.since <= oldest.0);
        while self.facts.len() > 1 && (needless(&self.facts[1]) || self.facts.len() > MAX_FACTS) {
            self.facts.pop_front();
        }
    }
}

impl Fact {
    /// There may be `copies` more.
    pub fn exceeded_by(&mut self, copies: u32) {
        self.stock = self.stock.restock(copies).unwrap_or(Stock::MAX);
        self.delivered += copies;
    }

    pub fn in_words(&self) -> String {
        match self.delivered {
            0 => self.seen_in_words(),
            more => format!("{} (and at most {more} copies delivered)", self.seen_in_words()),
        }
    }

    pub fn seen_in_words(&self) -> String {
        let stock = self.stock.get().saturating_sub(self.delivered);
        match (self.by, self.version) {
            (Proof::Start, _) => format!("when there were {stock} at the start"),
            (Proof::Read, _) => format!("after a read had shown {stock}"),
            (Proof::SoldOut, _) => "after a purchase had been refused as sold out".into(),
            (Proof::Purchase, version) => {
                format!(
                    "after a purchase had been acknowledged with {stock} left at version {}",
                    Named(version)
                )
            }
        }
    }
}
