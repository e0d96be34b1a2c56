//! The judge: sees every commit, every acknowledgement and every answer, and knows what was promised.
//!
//! It keeps the *truth*: the states of the master in the order in which they were committed. An answer
//! without a warning is right if what it shows was still true at some moment since its request came in:
//! nothing that was acknowledged, or shown to somebody, before the request came in may be missing from it.
//!
//! Where the history was rewound (a wiped or restored data directory, a promotion by force), nothing that
//! the rewinding undid is asked for any more; from its first batch on, the new life is.
//!
//! Who promotes by force says that the old master is gone for good. If it comes back all the same, what it
//! does until it meets the new one is *void*: no promise covers it. But nobody who has met the new one may
//! show it, and once it has met the new one itself it must be silent.

use super::rows::{Content, Entry, Want};
use crate::domain::{BookId, Epoch, OrderId, Receipt, Refusal, Version};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The promises, as they are named in reports.
pub const STALE: &str = "no stale read";
pub const OVERSOLD: &str = "no oversell";
pub const LOST: &str = "no lost or doubled order";
pub const REUSED: &str = "a version has one state";
pub const STUCK: &str = "nobody waits for ever";
pub const DEPOSED: &str = "a deposed master is silent";
pub const STALLED: &str = "a fence is bounded";

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Violation {
    pub promise: &'static str,
    pub words: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Truth {
    state: Arc<Entry>,
    /// It does not continue the state before it.
    rewound: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Oracle {
    truth: Vec<Truth>,
    /// The index in `truth` that every request from now on must show.
    need: usize,
    acknowledged: BTreeMap<usize, (Receipt, bool)>,
    refused: BTreeMap<usize, ()>,
    /// Copies that were ever there, where only sales and deliveries change the count.
    supply: BTreeMap<BookId, u32>,
    versions: BTreeMap<(u64, u64, u64), u64>,
    /// The highest epoch that began by force.
    forced: u64,
}

impl std::hash::Hash for Receipt {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.order_id, self.remaining, self.version).hash(state);
    }
}

/// Order ids of one purchase: its number times this, and the attempt.
pub const ATTEMPTS: u128 = 100_000;

/// The purchase that an order is of.
pub fn op_of(order: OrderId) -> usize {
    let number = u128::from_str_radix(&order.to_string(), 16).unwrap_or_default();
    usize::try_from(number / ATTEMPTS).unwrap_or_default()
}

impl Oracle {
    pub fn new(genesis: Arc<Entry>, supply: BTreeMap<BookId, u32>) -> Self {
        Self {
            truth: vec![Truth { state: genesis, rewound: false }],
            need: 0,
            acknowledged: BTreeMap::new(),
            refused: BTreeMap::new(),
            supply,
            versions: BTreeMap::new(),
            forced: 0,
        }
    }

    /// What a request that comes in now must show.
    pub fn need(&self) -> usize {
        self.need
    }

    /// A node has `state` from now on, as its own or from another.
    pub fn holds(&mut self, state: &Arc<Entry>) -> Result<(), Violation> {
        let Version { epoch, seq } = state.version;
        let known = self.versions.entry((epoch.number, epoch.identity, seq)).or_insert(state.digest());
        if *known == state.digest() {
            return Ok(());
        }
        Err(Violation {
            promise: REUSED,
            words: format!("two states of the store have the version {}", state.version.public()),
        })
    }

    /// A promotion by force begins `epoch`.
    pub fn forced(&mut self, epoch: Epoch) {
        self.forced = self.forced.max(epoch.number);
    }

    /// Whether what happens in `epoch` is outside the promise: a master that was said to be gone for good.
    fn is_void(&self, epoch: Epoch) -> bool {
        epoch.number < self.forced && !self.truth.iter().any(|truth| truth.state.version.epoch == epoch)
    }

    /// A master has committed `state`.
    pub fn committed(&mut self, state: &Arc<Entry>) -> Result<(), Violation> {
        if self.is_void(state.version.epoch) {
            return self.holds(state);
        }
        let last = self.truth.last().map(|truth| truth.state.digest());
        let rewound = state.previous.as_ref().map(|previous| previous.digest()) != last;
        self.truth.push(Truth { state: Arc::clone(state), rewound });
        self.holds(state)?;
        for (book, supply) in &self.supply {
            let sold: u32 = state
                .rows
                .orders
                .values()
                .filter(|order| order.book_id == *book)
                .map(|order| order.quantity.get())
                .sum();
            let left = state.rows.books.get(book).map_or(0, |book| book.stock.get());
            if sold + left > *supply {
                let words = format!("of {supply} copies of book {book}, {sold} are sold and {left} left");
                return Err(Violation { promise: OVERSOLD, words });
            }
        }
        let mut bought = BTreeMap::new();
        for order in state.rows.orders.keys() {
            if let Some(first) = bought.insert(op_of(*order), order) {
                let words = format!("one purchase became the orders {first} and {order}");
                return Err(Violation { promise: LOST, words });
            }
            if self.refused.contains_key(&op_of(*order)) {
                let words = format!("purchase {} was refused, and is an order now", op_of(*order));
                return Err(Violation { promise: LOST, words });
            }
        }
        Ok(())
    }

    /// A master starts from `state`: everything acknowledged must be there.
    pub fn begins(&mut self, state: &Arc<Entry>) -> Result<(), Violation> {
        if self.is_void(state.version.epoch) {
            return Ok(());
        }
        for (op, (receipt, binding)) in &self.acknowledged {
            if *binding && !state.rows.orders.contains_key(&receipt.order_id) {
                let words = format!(
                    "purchase {op} was acknowledged at {} and the master starts without it at {}",
                    receipt.version.public(),
                    state.version.public()
                );
                return Err(Violation { promise: LOST, words });
            }
        }
        Ok(())
    }

    /// What was acknowledged may be lost from now on, and what was refused be bought: the history is about
    /// to be rewound by somebody who was told so.
    pub fn excuse(&mut self) {
        for (_, binding) in self.acknowledged.values_mut() {
            *binding = false;
        }
        self.refused.clear();
    }

    /// The master of epoch `by` lets the answer to purchase `op` out.
    pub fn acknowledged(
        &mut self,
        op: usize,
        answer: Result<Receipt, Refusal>,
        by: Epoch,
    ) -> Result<(), Violation> {
        if self.is_void(by) || by.number < self.forced {
            return Ok(());
        }
        let receipt = match answer {
            Ok(receipt) => receipt,
            Err(_) => {
                self.refused.insert(op, ());
                return Ok(());
            }
        };
        let known = self.acknowledged.insert(op, (receipt, true));
        match known {
            Some((known, true)) if known.order_id != receipt.order_id => {
                Err(Violation { promise: LOST, words: format!("purchase {op} was told two orders") })
            }
            _ => Ok(()),
        }
    }

    /// Somebody has been told of `version`, by the master of epoch `by`.
    pub fn told(&mut self, version: Version, by: Epoch) {
        if self.is_void(by) {
            return;
        }
        if let Some(index) = self.truth.iter().rposition(|truth| truth.state.version == version) {
            self.need = self.need.max(index);
        }
    }

    /// An answer without a warning, to a request that had to show `need`, from a process that has met
    /// `met`.
    pub fn answered(
        &mut self,
        want: &Want,
        content: &Content,
        need: usize,
        met: Epoch,
    ) -> Result<(), Violation> {
        if self.is_void(content.asof.epoch) && met.number < self.forced {
            return Ok(());
        }
        let wrong = |words: String| Violation { promise: STALE, words };
        let Some(at) = self.truth.iter().rposition(|truth| truth.state.version == content.asof) else {
            return Err(wrong(format!("{} is no state that a master committed", content.asof.public())));
        };
        let is_so = |truth: &Truth| truth.state.rows.read(want) == content.value;
        if !is_so(&self.truth[at]) {
            return Err(wrong(format!(
                "the answer says {} as of {}, where it was {}",
                content.value,
                content.asof.public(),
                self.truth[at].state.rows.read(want)
            )));
        }
        if let Some(ended) = self.truth[at..].iter().position(|truth| !is_so(truth)).map(|n| at + n)
            && ended <= need
        {
            return Err(wrong(format!(
                "the answer says {} as of {}, but before the request came in somebody had been told of {}, and since {} it is {}",
                content.value,
                content.asof.public(),
                self.truth[need].state.version.public(),
                self.truth[ended].state.version.public(),
                self.truth[ended].state.rows.read(want),
            )));
        }
        let began = self.truth[..=at].iter().rposition(|truth| !is_so(truth)).map_or(0, |n| n + 1);
        // What a rewinding brought is nobody's write: until the new life's first batch both are the truth.
        if !self.truth[began].rewound {
            self.need = self.need.max(began);
        }
        Ok(())
    }
}
