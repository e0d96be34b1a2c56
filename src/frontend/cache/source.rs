//! How an answer is read from a catalog node, and made into the bytes that clients get.

use super::entry::{Content, Want};
use super::together::Together;
use crate::client::{CallError, Masters};
use crate::clock;
use crate::coherence::Moment;
use crate::domain::{Book, BookId, BookPage, QueryPage, TopicCount, Version};
use crate::frontend::balance::Node;
use crate::wire::catalog::{BOOKS, QUERY, SEARCH, Stated, TOPICS};
use crate::wire::public::{BookView, DEFAULT_LIMIT, SearchView, TopicView, TopicsView};
use crate::wire::{ErrorCode, Problem};
use bytes::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// What a node answered, and whether it is the master.
pub struct Answer {
    pub content: Content,
    pub master: bool,
    /// No later than the request left.
    pub sent: Moment,
}

/// Asks one node. With `minimum`, a replica that is behind it refuses with [`ErrorCode::Behind`].
pub async fn fetch(
    node: &Node<Together>,
    want: &Want,
    minimum: Option<Version>,
    request_id: &str,
    deadline: Duration,
) -> Result<Answer, CallError> {
    if let Want::Book(id) = want
        && let Some(answer) = node.way.book(*id, minimum).await
    {
        return answer;
    }
    let (peer, path, sent) = (&node.peer, path(want, minimum), clock::now());
    let (content, master) = match want {
        Want::Book(_) => of_book(&peer.get(&path, request_id, deadline).await?),
        Want::Page { .. } => of_page(want, &peer.get(&path, request_id, deadline).await?),
        Want::Query { .. } => of_query(want, &peer.get(&path, request_id, deadline).await?),
        Want::Topics => of_topics(&peer.get(&path, request_id, deadline).await?),
    };
    Ok(Answer { content, master, sent })
}

/// Asks the master. A candidate that turns out to be a replica is no master.
pub async fn fetch_from_master(
    masters: &Masters,
    want: &Want,
    request_id: &str,
    deadline: Duration,
) -> Result<Content, CallError> {
    let path = path(want, None);
    match want {
        Want::Book(_) => from_master(masters, &path, request_id, deadline, of_book).await,
        Want::Page { .. } => {
            from_master(masters, &path, request_id, deadline, |answer| of_page(want, answer)).await
        }
        Want::Query { .. } => {
            from_master(masters, &path, request_id, deadline, |answer| of_query(want, answer)).await
        }
        Want::Topics => from_master(masters, &path, request_id, deadline, of_topics).await,
    }
}

async fn from_master<T: DeserializeOwned>(
    masters: &Masters,
    path: &str,
    request_id: &str,
    deadline: Duration,
    content: impl Fn(&Stated<T>) -> (Content, bool),
) -> Result<Content, CallError> {
    let answer = masters.stated(path, request_id, deadline).await?;
    Ok(content(&answer).0)
}

fn path(want: &Want, minimum: Option<Version>) -> String {
    let mut path = match want {
        Want::Book(id) => format!("{BOOKS}/{id}?"),
        Want::Page { topic, after, limit } => {
            let topic = utf8_percent_encode(topic.as_str(), NON_ALPHANUMERIC);
            match after {
                Some(after) => format!("{SEARCH}?topic={topic}&limit={limit}&after={after}&"),
                None => format!("{SEARCH}?topic={topic}&limit={limit}&"),
            }
        }
        Want::Query { words, after, limit } => {
            let words = utf8_percent_encode(words.as_str(), NON_ALPHANUMERIC);
            match after {
                Some(after) => format!("{QUERY}?q={words}&limit={limit}&after={after}&"),
                None => format!("{QUERY}?q={words}&limit={limit}&"),
            }
        }
        Want::Topics => format!("{TOPICS}?"),
    };
    if let Some(minimum) = minimum {
        path.push_str(&format!("min={minimum}"));
    }
    path
}

fn of_book(answer: &Stated<Option<Book>>) -> (Content, bool) {
    let content = match &answer.value {
        Some(book) => found(answer.asof, book.id, open_object(&BookView::from(book))),
        None => no_such_book(answer.asof),
    };
    (content, answer.master)
}

/// `body`: the object of the book, without its closing brace.
pub fn found(asof: Version, id: BookId, body: Bytes) -> Content {
    Content { asof, books: vec![id], found: true, body }
}

pub fn no_such_book(asof: Version) -> Content {
    let body = whole(&Problem::from(ErrorCode::BookNotFound));
    Content { asof, books: Vec::new(), found: false, body }
}

fn of_page(want: &Want, answer: &Stated<BookPage>) -> (Content, bool) {
    let next = answer.value.next.map(|after| next_path(want, &after.to_string()));
    of_books(answer, &answer.value.books, next)
}

fn of_query(want: &Want, answer: &Stated<QueryPage>) -> (Content, bool) {
    let next = answer.value.next.map(|after| next_path(want, &after.to_string()));
    of_books(answer, &answer.value.books, next)
}

fn of_books<T>(answer: &Stated<T>, books: &[Book], next: Option<String>) -> (Content, bool) {
    let view = SearchView { items: books.iter().map(BookView::from).collect(), next };
    let books = books.iter().map(|book| book.id).collect();
    let content = Content { asof: answer.asof, books, found: true, body: open_object(&view) };
    (content, answer.master)
}

fn of_topics(answer: &Stated<Vec<TopicCount>>) -> (Content, bool) {
    let items =
        answer.value.iter().map(|count| TopicView { topic: count.topic.as_str(), books: count.books });
    let body = open_object(&TopicsView { items: items.collect() });
    let content = Content { asof: answer.asof, books: Vec::new(), found: true, body };
    (content, answer.master)
}

fn next_path(want: &Want, after: &str) -> String {
    let (list, limit) = match want {
        Want::Page { topic, limit, .. } => {
            (format!("/{}?", utf8_percent_encode(topic.as_str(), NON_ALPHANUMERIC)), limit)
        }
        Want::Query { words, limit, .. } => {
            (format!("?q={}&", utf8_percent_encode(words.as_str(), NON_ALPHANUMERIC)), limit)
        }
        Want::Book(_) | Want::Topics => return String::new(),
    };
    match *limit {
        DEFAULT_LIMIT => format!("/catalog-service/search{list}after={after}"),
        limit => format!("/catalog-service/search{list}limit={limit}&after={after}"),
    }
}

/// The JSON object of `view` without its closing brace: the last members are each request's own.
fn open_object(view: &impl Serialize) -> Bytes {
    let mut body = whole(view).to_vec();
    body.pop();
    body.into()
}

fn whole(view: &impl Serialize) -> Bytes {
    // Views are strings and numbers: they always serialize.
    serde_json::to_vec(view).unwrap_or_default().into()
}
