//! Changes of the catalog by its keeper, and how they are kept from undoing each other.
//!
//! Two guards, both decided by the [`Ledger`](super::Ledger) in the writer's transaction: an edit that names the
//! [`BookTag`] which its editor saw happens only while the book still has it, and an edit under a key happens once.

use super::{Book, BookId, Cents, IdempotencyKey, Invalid, NewBook, Stock, Title, Topic, Version};
use serde::{Deserialize, Serialize};
use std::fmt;
use xxhash_rust::xxh3::Xxh3Default;

/// A change of the catalog by its keeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edit {
    /// A new book under the next free number.
    Create(NewBook),
    /// The book under this number, new or replaced.
    Put(Book),
    /// The fields that are given replace those of the book.
    Update {
        book_id: BookId,
        #[serde(default)]
        title: Option<Title>,
        #[serde(default)]
        topic: Option<Topic>,
        #[serde(default)]
        stock: Option<Stock>,
        #[serde(default)]
        price: Option<Cents>,
    },
    /// A delivery: relative to what is there, so that no purchase in between is undone.
    Restock {
        book_id: BookId,
        copies: u32,
    },
    /// The other way: copies that are lost, or were counted wrongly.
    Withdraw {
        book_id: BookId,
        copies: u32,
    },
    Delete {
        book_id: BookId,
    },
}

impl Edit {
    /// The book that must be read before this can be decided; a new one has no number yet.
    pub fn book_id(&self) -> Option<BookId> {
        match self {
            Edit::Create(_) => None,
            Edit::Put(book) => Some(book.id),
            Edit::Update { book_id, .. }
            | Edit::Restock { book_id, .. }
            | Edit::Withdraw { book_id, .. }
            | Edit::Delete { book_id } => Some(*book_id),
        }
    }
}

/// An edit that is safe to send again, and safe beside other editors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardedEdit {
    /// Under one key there is one effect. These keys are no purchase's.
    pub key: IdempotencyKey,
    /// What the book must look like for the edit to happen; `None`: however it looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<BookTag>,
    pub edit: Edit,
}

/// A name for what an editor edits of a book: its number, title, topic and price. The stock is no part of it:
/// each sale changes that, and would turn every second edit in a busy shop into a conflict.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BookTag(Box<str>);

impl BookTag {
    /// Ours have 32.
    pub const MAX_BYTES: usize = 128;

    /// XXH3 (128 bits), which is the same on every machine and in every version. No secret and no proof: it tells
    /// books apart that differ by an edit.
    pub fn of(book: &Book) -> Self {
        let mut hash = Xxh3Default::new();
        hash.update(&book.id.get().to_le_bytes());
        hash.update(&book.price.get().to_le_bytes());
        for text in [book.title.as_str(), book.topic.as_str()] {
            hash.update(&(text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
        Self(format!("{:032x}", hash.digest128()).into())
    }

    /// Any name that a client sends. One that is not ours is that of no book.
    pub fn parse(text: impl Into<String>) -> Result<Self, Invalid> {
        let text = text.into();
        if text.is_empty()
            || text.len() > Self::MAX_BYTES
            || !text.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(Invalid::new("an entity tag must have 1 to 128 visible ASCII characters"));
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BookTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for BookTag {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(text)
    }
}

impl From<BookTag> for String {
    fn from(tag: BookTag) -> String {
        tag.0.into()
    }
}

/// A successful edit: the book afterwards (`None` when deleted) and the version that shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edited {
    pub book: Option<Book>,
    pub version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum EditRefusal {
    #[error("Book not found")]
    BookNotFound,
    #[error("the stock would exceed 1000000000 copies")]
    StockLimit,
    #[error("more copies would be taken away than the {} that are in stock", stock.get())]
    TooFew { stock: Stock },
    #[error("somebody else has changed the book meanwhile")]
    Changed,
    #[error("the Idempotency-Key was used for another change")]
    IdempotencyMismatch,
}

/// What an edit was told, kept under its key: the same edit again gets the same answer, another one under the same
/// key is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EditAnswer {
    pub asked: GuardedEdit,
    pub outcome: Result<Edited, EditRefusal>,
    /// Milliseconds since 1970 on the master's wall clock; only says when the answer may be forgotten.
    pub stored_at_ms: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book() -> Book {
        Book {
            id: BookId::new(9).unwrap(),
            title: Title::parse("ab").unwrap(),
            topic: Topic::parse("c").unwrap(),
            stock: Stock::new(3).unwrap(),
            price: Cents::new(2850).unwrap(),
        }
    }

    #[test]
    fn a_tag_names_what_an_editor_edits_and_nothing_else() {
        let tag = BookTag::of(&book());
        assert_eq!(tag.as_str(), "9e9dafa1eb1842247e0900cd6cdfa340", "it is the same for ever");
        assert_eq!(BookTag::of(&Book { stock: Stock::ZERO, ..book() }), tag);
        for other in [
            Book { id: BookId::new(8).unwrap(), ..book() },
            Book { title: Title::parse("a").unwrap(), topic: Topic::parse("bc").unwrap(), ..book() },
            Book { topic: Topic::parse("d").unwrap(), ..book() },
            Book { price: Cents::new(2851).unwrap(), ..book() },
        ] {
            assert_ne!(BookTag::of(&other), tag, "{other:?}");
        }
    }

    #[test]
    fn a_guarded_edit_survives_the_wire() {
        let text = r#"{"key":"k","expect":"t","edit":{"withdraw":{"book_id":9,"copies":2}}}"#;
        let guarded: GuardedEdit = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&guarded).unwrap(), text);
        assert!(serde_json::from_str::<GuardedEdit>(r#"{"edit":{"delete":{"book_id":9}}}"#).is_err());
    }
}
