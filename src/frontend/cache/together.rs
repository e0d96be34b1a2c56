//! Reads of single books that are to go to the same node travel together: those that came while a request
//! to it was under way go in the next one.
//!
//! Invariants: an answer counts as asked for at the moment before its request was made, which is behind the
//! moment at which each of its readers came in; a node that is behind what a reader needs has not answered
//! that reader.

use super::ATTEMPT;
use super::source::{Answer, found, no_such_book};
use crate::client::{Bounds, CallError, Gatherer, Peer};
use crate::clock;
use crate::coherence::Moment;
use crate::domain::{BookId, Version};
use crate::frontend::balance::Way;
use crate::telemetry::{self, Carried, trace};
use crate::wire::ErrorCode;
use crate::wire::catalog::{BOOKS, MAX_BOOKS, Stated};
use serde_json::value::RawValue;
use std::fmt::Write as _;

/// Two requests under way from one thread: the node reads for one while the answers to the other are
/// dealt with here.
const BOUNDS: Bounds = Bounds { batch: MAX_BOOKS, calls: 2, waiting: 4096 };

/// The id that these requests have in the logs: each is that of many readers.
const REQUEST_ID: &str = "gathered-reads";

/// The way to one catalog node for reads of single books.
pub struct Together(Gatherer<Asked, Result<Told, CallError>>);

/// A book, and the trace of who wants to know.
type Asked = (BookId, Carried);

/// What a node told about one book.
struct Told {
    asof: Version,
    master: bool,
    sent: Moment,
    /// The book's object as clients see it.
    book: Option<Box<RawValue>>,
}

impl Way for Together {
    fn to(peer: &Peer) -> Self {
        let peer = peer.clone();
        Self(Gatherer::new(BOUNDS, move |asked: Vec<Asked>| {
            let context = telemetry::shared("books", asked.iter().map(|(_, carried)| carried));
            let ids = asked.into_iter().map(|(id, _)| id).collect();
            trace::part_of(context, ask(peer.clone(), ids))
        }))
    }

    fn waiting(&self) -> Option<(usize, usize)> {
        Some((self.0.waiting(), self.0.room()))
    }

    /// A catalog node that cannot read, or has no room for another read, is ill as well: reads are quick, and the
    /// next node has the same books.
    fn is_failure(error: &CallError) -> bool {
        <() as Way>::is_failure(error) || error.code() == Some(ErrorCode::Unavailable)
    }
}

impl Together {
    /// What the node says of a book. `None`: it has to be asked for this one alone, because it is behind
    /// `minimum` and may be waited for, does not know this kind of request, or too many wait already.
    pub async fn book(&self, id: BookId, minimum: Option<Version>) -> Option<Result<Answer, CallError>> {
        let Told { asof, master, sent, book } = match self.0.submit((id, Carried::here())).await.ok()? {
            Ok(told) => told,
            Err(error) => {
                let tells = error.code().is_none_or(|code| code == ErrorCode::Behind);
                return tells.then_some(Err(error));
            }
        };
        if !master && minimum.is_some_and(|minimum| !asof.reaches(minimum)) {
            return None;
        }
        let content = match book {
            Some(book) => {
                // The last members are each request's own: the object stays open.
                let mut body = String::from(Box::<str>::from(book));
                body.pop();
                found(asof, id, body.into_bytes().into_boxed_slice().into())
            }
            None => no_such_book(asof),
        };
        Some(Ok(Answer { content, master, sent }))
    }
}

/// One request for all of `ids`.
async fn ask(peer: Peer, ids: Vec<BookId>) -> Vec<Result<Told, CallError>> {
    let mut path = format!("{BOOKS}?ids=");
    for (index, id) in ids.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = if index == 0 { write!(path, "{id}") } else { write!(path, ",{id}") };
    }
    let sent = clock::now();
    let answer: Result<Stated<Vec<Option<Box<RawValue>>>>, _> = peer.get(&path, REQUEST_ID, ATTEMPT).await;
    match answer {
        Ok(Stated { asof, master, value }) if are_objects(&value, ids.len()) => {
            value.into_iter().map(|book| Ok(Told { asof, master, sent, book })).collect()
        }
        Ok(_) => all(&ids, &peer.nonsense("it did not tell about the books that it was asked for")),
        Err(error) => all(&ids, &error),
    }
}

fn all(ids: &[BookId], error: &CallError) -> Vec<Result<Told, CallError>> {
    ids.iter().map(|_| Err(error.clone())).collect()
}

/// Whether there is an object, with members, or nothing, for each book that was asked for.
fn are_objects(books: &[Option<Box<RawValue>>], count: usize) -> bool {
    let is_object = |book: &RawValue| book.get().starts_with("{\"") && book.get().ends_with('}');
    books.len() == count && books.iter().flatten().all(|book| is_object(book))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::fake::{FakeAnswer, FakePeer, answers, refuses};
    use crate::domain::Epoch;
    use crate::member::Member;
    use parking_lot::Mutex;
    use serde_json::{Value, json};
    use std::sync::Arc;

    const EPOCH: Epoch = Epoch { number: 1, identity: 7 };

    /// A node that answers whatever it is told to.
    #[derive(Clone, Default)]
    struct Node(Arc<Mutex<FakeAnswer>>);

    impl Node {
        fn start() -> (Self, Together) {
            let node = Self::default();
            let told = Arc::clone(&node.0);
            let peer = FakePeer::start(move |_| told.lock().clone());
            (node, Together::to(&Peer::new(peer.url, &Member::of_nothing())))
        }

        fn answers(&self, answer: FakeAnswer) {
            *self.0.lock() = answer;
        }

        fn states(&self, master: bool, books: Value) {
            self.answers(answers(json!({ "asof": at(3), "master": master, "value": books })));
        }
    }

    fn at(seq: u64) -> Version {
        Version::new(EPOCH, seq)
    }

    async fn book(way: &Together, minimum: u64) -> Option<Result<Answer, CallError>> {
        way.book(BookId::new(9).unwrap(), Some(at(minimum))).await
    }

    #[actix_web::test]
    async fn a_node_that_is_behind_what_a_reader_needs_has_not_answered_it_unless_it_is_the_master() {
        let (node, way) = Node::start();
        let before = clock::now();
        node.states(false, json!([{ "bookTitle": "}", "id": 9 }]));
        assert!(book(&way, 4).await.is_none());
        let answer = book(&way, 3).await.unwrap().unwrap();
        assert_eq!((answer.content.asof, answer.master, answer.content.found), (at(3), false, true));
        assert_eq!(answer.content.body, &br#"{"bookTitle":"}","id":9"#[..]);
        assert!(before <= answer.sent && answer.sent <= clock::now());
        node.states(true, json!([null]));
        let answer = book(&way, 4).await.unwrap().unwrap();
        assert!(answer.master && !answer.content.found && answer.content.books.is_empty());
    }

    #[actix_web::test]
    async fn what_is_no_answer_for_each_book_is_none_for_any() {
        let (node, way) = Node::start();
        for books in [json!([]), json!([null, null]), json!([{}]), json!([9]), json!(["{\"}"]), json!([[]])] {
            node.states(true, books);
            assert!(matches!(book(&way, 3).await, Some(Err(CallError::NoAnswer { .. }))));
        }
    }

    #[actix_web::test]
    async fn who_knows_no_such_request_is_asked_for_one_book_at_a_time() {
        let (node, way) = Node::start();
        node.answers(refuses(ErrorCode::NotFound));
        assert!(book(&way, 3).await.is_none());
        node.answers(refuses(ErrorCode::Behind));
        let refused = book(&way, 3).await.unwrap().err().unwrap();
        assert_eq!(refused.code(), Some(ErrorCode::Behind));
    }
}
