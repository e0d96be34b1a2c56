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
