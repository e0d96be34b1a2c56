//! What an open page shows of a book, and the event that tells it.

use crate::domain::{BookId, Version};
use crate::frontend::cache::Entry;
use crate::wire::public::StockEvent;
use crate::wire::{ErrorCode, Problem};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The state of one book, as it was read.
#[derive(Debug)]
pub struct Shown {
    version: Version,
    /// The data of its event: two states with the same data look the same.
    data: String,
    event: Bytes,
}

/// The members of a book's object that change while it is looked at.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Members<'a> {
    number_of_items: u32,
    #[serde(borrow)]
    book_cost: &'a RawValue,
}

impl Shown {
    /// Of the answer to "what of the book `id`?".
    pub fn of(id: BookId, entry: &Entry) -> Result<Self, Problem> {
        if !entry.found() {
            return Self::new(entry.asof(), &StockEvent::Gone { id: id.get(), gone: true });
        }
        // An entry's object lacks its end.
        let object = [entry.body(), &b"}"[..]].concat();
        let Members { number_of_items, book_cost } =
            serde_json::from_slice(&object).map_err(|error| unlike_a_book(id, &error))?;
        Self::new(entry.asof(), &StockEvent::Sold { id: id.get(), number_of_items, book_cost })
    }

    fn new(version: Version, event: &StockEvent<'_>) -> Result<Self, Problem> {
        let data = serde_json::to_string(event).map_err(|_| Problem::from(ErrorCode::Internal))?;
        let event = format!("event: stock\nid: {}\ndata: {data}\n\n", version.public());
        Ok(Self { version, data, event: event.into() })
    }

    pub fn event(&self) -> Bytes {
        self.event.clone()
    }

    /// Whether it may show what `other` does not yet.
    pub fn is_newer_than(&self, other: &Shown) -> bool {
        match self.version.epoch == other.version.epoch {
            true => self.version.seq > other.version.seq,
            false => self.version.epoch.deposes(other.version.epoch),
        }
    }

    pub fn looks_like(&self, other: &Shown) -> bool {
        self.data == other.data
    }
}

fn unlike_a_book(id: BookId, error: &serde_json::Error) -> Problem {
    log::error!("the object of book {id} cannot be read: {error}");
    ErrorCode::Internal.into()
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::coherence::Moment;
    use crate::domain::Epoch;
    use crate::frontend::cache::{Content, Want};
    use std::sync::Arc;
    use std::time::Duration;

    const EPOCH: Epoch = Epoch { number: 1, identity: 7 };

    fn read(id: i64, version: Version, body: Option<&str>) -> Result<Arc<Shown>, Problem> {
        let id = BookId::new(id).unwrap();
        let found = body.is_some();
        let books = body.iter().map(|_| id).collect();
        let body = body.unwrap_or("{}").to_owned().into();
        let content = Content { asof: version, books, found, body };
        let entry = Entry::new(&Want::Book(id), content, Moment(0), Duration::from_secs(1));
        Shown::of(id, &entry).map(Arc::new)
    }

    /// A book of which there are `stock`, at 28 dollars.
    pub fn shown(id: i64, seq: u64, stock: u32) -> Arc<Shown> {
        let body = format!(r#"{{"id":{id},"bookTitle":"}}","numberOfItems":{stock},"bookCost":28"#);
        read(id, Version::new(EPOCH, seq), Some(&body)).unwrap()
    }

    pub fn gone(id: i64, seq: u64) -> Arc<Shown> {
        read(id, Version::new(EPOCH, seq), None).unwrap()
    }

    #[test]
    fn a_price_is_told_as_it_is_written() {
        let body = r#"{"id":9,"bookTitle":"t","bookTopic":"x","numberOfItems":0,"bookCost":19.99"#;
        let shown = read(9, Version::new(EPOCH, 17), Some(body)).unwrap();
        let expected = "event: stock\nid: 1.17\ndata: {\"id\":9,\"numberOfItems\":0,\"bookCost\":19.99}\n\n";
        assert_eq!(shown.event(), expected.as_bytes());
        assert!(read(9, Version::new(EPOCH, 17), Some(r#"{"id":9"#)).is_err());
    }

    #[test]
    fn a_later_epoch_is_newer_whatever_its_versions_count_to() {
        let later = Version::new(Epoch { number: 2, identity: 8 }, 3);
        let (old, new) = (shown(9, 50, 3), read(9, later, None).unwrap());
        assert!(new.is_newer_than(&old) && !old.is_newer_than(&new));
        assert!(!old.is_newer_than(&old) && !new.looks_like(&old) && old.looks_like(&shown(9, 51, 3)));
    }
}
