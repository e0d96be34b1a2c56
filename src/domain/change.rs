//! Log records: what a batch did, as values, so that applying it again gives the same rows anywhere.

use super::{
    Book, BookId, Cents, EditAnswer, IdempotencyKey, ImportMark, NodeId, Order, Purchase, Quantity,
    RangeDigest, Receipt, Refusal, Stock, Version,
};
use serde::{Deserialize, Serialize, Serializer};

/// One entry of the replication log. It may be applied only right behind its predecessor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub version: Version,
    pub predecessor: Version,
    pub body: Body,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// A master's start: the first record of its epoch. No lease that it grants runs longer than
    /// `lease_term_ms`, so the next start knows how long to wait.
    Start {
        lease_term_ms: u64,
        /// Who the master is; `None` only in records from before nodes had identities.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<NodeId>,
    },
    Batch(Batch),
    /// A master's last record: it hands over to the node `heir`, and nothing but that node's start follows.
    Seal {
        heir: NodeId,
    },
    /// What a range of rows added up to at the master. Changes nothing: whoever applies it computes its own
    /// and compares.
    Digest(RangeDigest),
}

/// The rows that a batch leaves behind: final values, grouped by table so that each group is one
/// statement. No row stands in two of `books`, `deleted` and `stocks`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Created books, and books of which more than the stock changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty", serialize_with = "as_rows")]
    pub books: Vec<Book>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deleted: Vec<BookId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stocks: Vec<StockLevel>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orders: Vec<Order>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<Answer>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edit_answers: Vec<EditAnswer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forget: Option<Forget>,
    /// The books are a part of an import.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<ImportMark>,
}

/// Books as arrays `[id, title, topic, stock, cents]`, since an import puts thousands into a record. (What serde
/// derives for reading takes them as well as the objects of records from before imports.)
fn as_rows<S: Serializer>(books: &[Book], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(
        books.iter().map(|book| (book.id, book.title.as_str(), book.topic.as_str(), book.stock, book.price)),
    )
}

impl Batch {
    /// Whether applying it would change nothing.
    pub fn is_empty(&self) -> bool {
        *self == Batch::default()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockLevel {
    pub book_id: BookId,
    pub stock: Stock,
}

/// Deletes stored answers that are old enough, the oldest first and those of one moment in order of their
/// keys, so that equal tables stay equal. It runs before the batch stores answers of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forget {
    /// Receipts, and answers to edits, stored before this moment, in milliseconds since 1970 on the master's wall
    /// clock.
    pub answers_before_ms: i64,
    /// Refusals stored before this moment.
    pub refusals_before_ms: i64,
    /// At most so many of each kind.
    pub limit: u32,
}

/// What a purchase was told, kept under its key: the same request again gets the same answer, another
/// request under the same key is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub key: IdempotencyKey,
    pub book_id: BookId,
    pub quantity: Quantity,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<Cents>,
    pub outcome: Result<Receipt, Refusal>,
    /// Milliseconds since 1970 on the master's wall clock; only says when the answer may be forgotten.
    pub stored_at_ms: i64,
}

impl Answer {
    /// Whether `purchase` asks for the same thing. The order id is no part of it: each attempt of a
    /// client may come through another frontend, which drew another id.
    pub fn answers(&self, purchase: &Purchase) -> bool {
        self.book_id == purchase.book_id && self.quantity == purchase.quantity && self.offer == purchase.offer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_books_of_a_record_are_arrays_and_those_of_older_ones_are_understood() {
        let new = r#"{"books":[[9,"t","x",3,2850]]}"#;
        let old = r#"{"books":[{"id":9,"title":"t","topic":"x","stock":3,"price":2850}]}"#;
        let batch: Batch = serde_json::from_str(new).unwrap();
        assert_eq!(serde_json::from_str::<Batch>(old).unwrap(), batch);
        assert_eq!(serde_json::to_string(&batch).unwrap(), new);
        assert!(serde_json::from_str::<Batch>(r#"{"books":[[9,"t","x",-3,2850]]}"#).is_err());
    }
}
