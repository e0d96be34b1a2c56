//! What the shop is about, without a framework: books, money, orders, versions, and the one place
//! that decides what a purchase or an edit does to them.
//!
//! Everything here is plain data and pure functions. A value of one of these types is valid by
//! construction: text and numbers from outside become domain values once, at the edge, through `parse`.

pub mod book;
pub mod change;
pub mod digest;
pub mod edit;
pub mod import;
pub mod ledger;
pub mod money;
pub mod node;
pub mod order;
pub mod query;
mod random_id;
pub mod version;

pub use book::{Book, BookId, BookPage, NewBook, Stock, Title, Topic, TopicCount};
pub use change::{Answer, Batch, Body, Forget, Record, StockLevel};
pub use digest::{RangeDigest, Sha256Sum, Table};
pub use edit::{BookTag, Edit, EditAnswer, EditRefusal, Edited, GuardedEdit};
pub use import::{Import, ImportKey, ImportLine, ImportMark, ImportOutcome, Imported};
pub use ledger::{Ledger, Outcome, Request, Touched};
pub use money::{Cents, Dollars};
pub use node::NodeId;
pub use order::{
    IdempotencyKey, Order, OrderId, OrderPage, OrdersWanted, Purchase, Quantity, Receipt, Refusal,
};
pub use query::{QueryPage, Rank, Term, Words};
pub(crate) use random_id::random_id;
pub use version::{Epoch, Known, PublicVersion, Version};

/// Why a value from outside is not a domain value. The sentence is fit for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

impl Invalid {
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}
