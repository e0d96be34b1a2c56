//! The typed books of a cached answer: its JSON, read back. A hit of the API pays nothing for it; a page pays
//! some microseconds for a page of books.

use crate::domain::{Book, BookId, Cents, Invalid, Rank, Title, Topic};
use crate::frontend::cache::Served;
use crate::wire::shopper::{BookRead, SearchRead, TopicRead, TopicsRead, query_value};
use crate::wire::{ErrorCode, Problem};
use serde::de::DeserializeOwned;
use std::str::FromStr;

/// Some books, and where those that follow begin.
#[derive(Debug, PartialEq, Eq)]
pub struct Books<After> {
    pub books: Vec<Book>,
    pub next: Option<After>,
}

/// Of a page of a topic.
pub fn of_topic(served: &Served) -> Result<Books<BookId>, Problem> {
    books(served, BookId::parse)
}

/// Of what a search found.
pub fn found(served: &Served) -> Result<Books<Rank>, Problem> {
    books(served, Rank::from_str)
}

/// The book, or that there is none.
pub fn book(served: &Served) -> Result<Book, Problem> {
    match served.entry.found() {
        true => typed(read(served.entry.body())?).map_err(unreadable),
        false => Err(ErrorCode::BookNotFound.into()),
    }
}

pub fn topics(served: &Served) -> Result<Vec<TopicRead>, Problem> {
    read::<TopicsRead>(served.entry.body()).map(|topics| topics.items)
}

fn books<After>(
    served: &Served,
    after: impl Fn(&str) -> Result<After, Invalid>,
) -> Result<Books<After>, Problem> {
    let page: SearchRead = read(served.entry.body())?;
    let next = page.next.and_then(|path| query_value(&path, "after"));
    let next = next.map(|text| after(&text)).transpose().map_err(unreadable)?;
    let books = page.items.into_iter().map(typed).collect::<Result<_, _>>().map_err(unreadable)?;
    Ok(Books { books, next })
}

fn typed(read: BookRead) -> Result<Book, Invalid> {
    Ok(Book {
        id: read.id,
        title: Title::parse(read.book_title)?,
        topic: Topic::parse(read.book_topic)?,
        stock: read.number_of_items,
        price: Cents::new(read.book_cost)?,
    })
}

/// `open`: a JSON object without its closing brace, as entries keep it.
fn read<T: DeserializeOwned>(open: &[u8]) -> Result<T, Problem> {
    let whole = [open, b"}"].concat();
    serde_json::from_slice(&whole).map_err(unreadable)
}

/// We wrote it.
fn unreadable(error: impl std::fmt::Display) -> Problem {
    log::error!("an answer of ours cannot be read: {error}");
    ErrorCode::Internal.into()
}
