//! What the catalog's keeper can do.
//!
//! Invariants: reads are the master's word. An edit has a key, so it is sent again while there is no answer; at the
//! end of its time its outcome is unknown, and it is safe to repeat under that key.

use crate::client::{CallError, Masters};
use crate::domain::{
    Book, BookId, BookPage, EditRefusal, Edited, GuardedEdit, OrderPage, OrdersWanted, Outcome, QueryPage,
    Rank, Words,
};
use crate::intake::{self, IntakeError, Reader, Sum, Told};
use crate::shutdown::Shutdown;
use crate::wire::catalog::{
    BOOKS, GUARDED_EDITS, ORDERS, OrdersQuery, QUERY, SHELF, ShelfQuery, Stated, WordsQuery,
};
use crate::wire::{ErrorCode, Problem};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// For one read at one candidate.
const READ_DEADLINE: Duration = Duration::from_secs(2);

/// For one attempt of an edit: as long as an order node gives a purchase.
const EDIT_ATTEMPT: Duration = Duration::from_secs(6);

/// How long an edit is tried for: as long as a purchase.
const EDIT_DEADLINE: Duration = Duration::from_secs(10);

/// Before another attempt.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Imports at a time in one frontend: each has a thread, and some parts in memory.
const IMPORTS: usize = 2;

/// Rejected lines that the answer tells one by one.
pub const TOLD: u64 = 100;

pub struct Keeper {
    masters: Masters,
    importing: Semaphore,
    /// An import that is still going on when the listener closes ends there; the same input goes on behind it.
    closing: Shutdown,
}

/// What became of an edit, now or under the same key before.
pub struct Decided {
    pub answer: Result<Edited, EditRefusal>,
    /// As the edit found it; not of one that is replayed.
    pub before: Option<Book>,
    pub replayed: bool,
}

impl Keeper {
    pub fn new(masters: Masters, closing: Shutdown) -> Self {
        Self { masters, importing: Semaphore::new(IMPORTS), closing }
    }

    pub async fn book(&self, id: BookId, request_id: &str) -> Result<Stated<Option<Book>>, Problem> {
        self.read(&format!("{BOOKS}/{id}"), request_id).await
    }

    /// All books in order of their numbers, those behind `after`.
    pub async fn shelf(
        &self,
        after: Option<BookId>,
        limit: u32,
        request_id: &str,
    ) -> Result<Stated<BookPage>, Problem> {
        let query = ShelfQuery { limit, after: after.map(BookId::get) };
        self.read(&with_query(SHELF, &query), request_id).await
    }

    pub async fn find(
        &self,
        words: Words,
        after: Option<Rank>,
        limit: u32,
        request_id: &str,
    ) -> Result<Stated<QueryPage>, Problem> {
        let query = WordsQuery { q: words, limit, after, min: None };
        self.read(&with_query(QUERY, &query), request_id).await
    }

    pub async fn orders(
        &self,
        wanted: OrdersWanted,
        limit: u32,
        request_id: &str,
    ) -> Result<Stated<OrderPage>, Problem> {
        self.read(&with_query(ORDERS, &OrdersQuery::new(wanted, limit)), request_id).await
    }

    async fn read<T: DeserializeOwned>(&self, path: &str, request_id: &str) -> Result<Stated<T>, Problem> {
        let read = self.masters.stated(path, request_id, READ_DEADLINE).await;
        read.map_err(|error| no_answer(&error, request_id))
    }

    pub async fn edit(&self, asked: &GuardedEdit, request_id: &str) -> Result<Decided, Problem> {
        let until = Instant::now() + EDIT_DEADLINE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let asking = self.masters.post(GUARDED_EDITS, asked, request_id, left.min(EDIT_ATTEMPT));
            let error = match asking.await {
                Ok(Outcome::Guarded { answer, before, replayed }) => {
                    return Ok(Decided { answer, before, replayed });
                }
                Ok(Outcome::Purchase { .. } | Outcome::Edit(_) | Outcome::Rejected) => {
                    log::error!(request_id; "an edit had the answer of something else");
                    return Err(ErrorCode::Internal.into());
                }
                Err(error) => error,
            };
            let open = matches!(
                error.code(),
                None | Some(ErrorCode::NotMaster | ErrorCode::Unavailable | ErrorCode::RequestTimeout)
            );
            if !open || Instant::now() + RETRY_PAUSE >= until {
                return Err(no_answer(&error, request_id));
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// Takes in all that `reader` finds, or only reads and checks it; `reject` hears of the first [`TOLD`] lines that
    /// are no books.
    pub async fn import(
        &self,
        reader: Reader,
        dry_run: bool,
        mut reject: impl FnMut(u64, String),
    ) -> Result<Sum, IntakeError> {
        let masters = (!dry_run).then_some(&self.masters);
        let told = |told| {
            if let Told::Bad { number, reason } = told {
                reject(number, reason);
            }
        };
        intake::take_in(masters, reader, self.closing.clone(), told).await
    }

    /// Whether another import may begin. It may go on until what is returned is dropped.
    pub fn may_import(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Problem> {
        self.importing.try_acquire().map_err(|_| ErrorCode::Unavailable.into())
    }
}

fn with_query(path: &str, query: &impl Serialize) -> String {
    // Structs of numbers and texts: they always serialize.
    format!("{path}?{}", serde_urlencoded::to_string(query).unwrap_or_default())
}

/// What a keeper is told of a master that gave no answer, or refused what we should not have asked: nothing about
/// what is between it and us.
fn no_answer(error: &CallError, request_id: &str) -> Problem {
    log::warn!(request_id; "the administration has no answer: {error}");
    match error.code() {
        None | Some(ErrorCode::NotMaster | ErrorCode::Unavailable | ErrorCode::RequestTimeout) => {
            ErrorCode::Unavailable.into()
        }
        Some(_) => ErrorCode::Internal.into(),
    }
}
