//! What a write master counts, and what it remembers of what it did last, for those who watch it.
//!
//! Invariant: what is remembered is a few dozen entries, whatever is sold, and names no order: its id is all
//! that it takes to read it.

use super::holders::Fenced;
use crate::coherence::Key;
use crate::domain::{Book, Outcome, Touched, Version};
use crate::metrics::{HolderFences, Registry, Sheet, Verdict, Writes, families};
use crate::wire::status::{FenceSeen, Sale};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

/// Fences and sales that are remembered: what somebody who looks once a second can read.
const REMEMBERED: usize = 32;

/// Keys of a fence that are remembered by name.
const NAMED_KEYS: usize = 4;

pub struct Account {
    pub writes: Writes,
    pub holders: HolderFences,
    /// Books of which there is no copy.
    out_of_stock: AtomicI64,
    /// When a comparison of all rows found them equal last.
    verified: Mutex<Option<SystemTime>>,
    fences: Mutex<VecDeque<FenceSeen>>,
    sales: Mutex<VecDeque<Sale>>,
}

/// The keys of a fence as they are remembered.
pub struct Announced {
    keys: Vec<String>,
    more: usize,
}

impl Announced {
    pub fn of(keys: &[Key]) -> Self {
        let named = keys.iter().take(NAMED_KEYS).map(Key::to_string).collect();
        Self { keys: named, more: keys.len().saturating_sub(NAMED_KEYS) }
    }
}

impl Account {
    pub fn new(registry: &Registry) -> Self {
        Self {
            writes: Writes::new(registry),
            holders: HolderFences::new(registry),
            out_of_stock: AtomicI64::new(0),
            verified: Mutex::default(),
            fences: Mutex::default(),
            sales: Mutex::default(),
        }
    }

    /// There are so many books without a copy, before anything is written.
    pub fn begin(&self, out_of_stock: u64) {
        self.out_of_stock.store(out_of_stock.cast_signed(), Ordering::Relaxed);
    }

    /// A batch that touched these books is committed.
    pub fn committed(&self, touched: &[Touched]) {
        let is_out = |book: &Option<Book>| book.as_ref().is_some_and(|book| book.stock.get() == 0);
        let (mut sold_out, mut back) = (0, 0);
        for Touched { before, after } in touched {
            match (is_out(before), is_out(after)) {
                (false, true) => sold_out += 1,
                (true, false) => back += 1,
                _ => {}
            }
        }
        self.writes.sold_out(sold_out);
        self.out_of_stock.fetch_add(sold_out.cast_signed() - back, Ordering::Relaxed);
    }

    /// A comparison of all rows came to this.
    pub fn verified(&self, verdict: Verdict) {
        self.writes.verified(verdict);
        if verdict == Verdict::Equal {
            *self.verified.lock() = Some(SystemTime::now());
        }
    }

    pub fn read(&self, sheet: &mut Sheet) {
        sheet.gauge(&families::OUT_OF_STOCK, self.out_of_stock.load(Ordering::Relaxed) as f64);
        sheet.moment(&families::VERIFY_SUCCESS, *self.verified.lock());
    }

    /// All holders have acknowledged a fence, or their leases have run out.
    pub fn fenced(
        &self,
        version: Version,
        Announced { keys, more }: Announced,
        Fenced { holders, end }: Fenced,
        took: Duration,
    ) {
        self.writes.fence_took(took, end);
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        remember(&self.fences, [FenceSeen { version, keys, more, holders, took_us }]);
    }

    /// These outcomes are acknowledged.
    pub fn acknowledged(&self, outcomes: &[Outcome]) {
        outcomes.iter().for_each(|outcome| self.writes.acknowledged(outcome));
        let sold = outcomes.iter().rev().filter_map(|outcome| match outcome {
            Outcome::Purchase { answer: Ok(receipt), replayed: false } => Some(Sale {
                version: receipt.version,
                book: receipt.book_id,
                quantity: receipt.quantity,
                left: receipt.remaining,
            }),
            _ => None,
        });
        let mut last: Vec<Sale> = sold.take(REMEMBERED).collect();
        last.reverse();
        remember(&self.sales, last);
    }

    /// The last ones, the latest first.
    pub fn fences(&self) -> Vec<FenceSeen> {
        self.fences.lock().iter().rev().cloned().collect()
    }

    pub fn sales(&self) -> Vec<Sale> {
        self.sales.lock().iter().rev().cloned().collect()
    }
}

fn remember<T>(last: &Mutex<VecDeque<T>>, new: impl IntoIterator<Item = T>) {
    let mut last = last.lock();
    last.extend(new);
    let too_many = last.len().saturating_sub(REMEMBERED);
    last.drain(..too_many);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{BookId, Epoch, OrderId, Quantity, Receipt, Refusal, Stock};
    use crate::metrics::{FenceEnd, RoleName};

    fn version(seq: u64) -> Version {
        Version::new(Epoch { number: 1, identity: 7 }, seq)
    }

    fn sold(seq: u64) -> Outcome {
        let receipt = Receipt {
            order_id: OrderId::draw(0, u128::from(seq)),
            book_id: BookId::new(9).unwrap(),
            quantity: Quantity::ONE,
            total: 2800,
            remaining: Stock::new(3).unwrap(),
            version: version(seq),
        };
        Outcome::Purchase { answer: Ok(receipt), replayed: false }
    }

    #[test]
    fn the_last_sales_are_remembered_the_latest_first_and_only_what_was_sold() {
        let account = Account::new(&Registry::new(RoleName::Master));
        let refused = Outcome::Purchase { answer: Err(Refusal::OutOfStock), replayed: false };
        let Outcome::Purchase { answer, .. } = sold(7) else { unreachable!() };
        let again = Outcome::Purchase { answer, replayed: true };
        account.acknowledged(&[sold(1), refused, again, sold(2)]);
        let seqs = |sales: Vec<Sale>| -> Vec<u64> { sales.iter().map(|sale| sale.version.seq).collect() };
        assert_eq!(seqs(account.sales()), [2, 1]);
        let many: Vec<Outcome> = (3..=300).map(sold).collect();
        account.acknowledged(&many);
        let remembered = seqs(account.sales());
        assert_eq!((remembered.len(), remembered[0]), (REMEMBERED, 300));
    }

    #[test]
    fn a_fence_of_many_keys_names_the_first() {
        let account = Account::new(&Registry::new(RoleName::Master));
        let keys: Vec<Key> = (1..=9).map(|id| Key::Book(BookId::new(id).unwrap())).collect();
        account.fenced(
            version(5),
            Announced::of(&keys),
            Fenced { holders: 2, end: FenceEnd::Acknowledged },
            Duration::from_micros(70),
        );
        let fences = account.fences();
        assert_eq!((fences[0].keys.len(), fences[0].more, fences[0].took_us), (4, 5, 70));
    }
}
