//! `bazar search`, `info`, `buy`, `orders`: the store from a terminal.
//!
//! What was asked for goes to standard output, as a table for people or as the answer came (`--json`);
//! what went wrong goes to standard error, in one sentence. Invariants: nothing that the store sent
//! reaches a table or a sentence with a control character in it; a search holds one page at a time.

mod purchase;
mod search;

use crate::client::BaseUrl;
use crate::domain::{BookId, OrderId, Topic, Words};
use crate::shopper::{
    Answer, Connection, Failure, NewPurchase, dollars, info_path, order_path, pairs, plain,
};
use crate::wire::shopper::{BookRead, OrderRead};
use serde::de::DeserializeOwned;
use std::io::Write;
use std::time::Duration;

/// Longer than the store lets anybody wait: a purchase has an outcome or its 503 within 10 s.
const DEADLINE: Duration = Duration::from_secs(15);

/// A command, checked.
#[derive(Debug)]
pub struct Config {
    pub store: BaseUrl,
    /// Print answers as they came.
    pub json: bool,
    pub errand: Errand,
}

/// What somebody wants of the store.
#[derive(Debug)]
pub enum Errand {
    Search {
        what: Found,
        /// Follow all pages.
        all: bool,
        limit: Option<u32>,
        after: Option<String>,
    },
    Info(BookId),
    Buy(NewPurchase),
    Order(OrderId),
}

/// What a search looks for.
#[derive(Debug, Clone)]
pub enum Found {
    Topic(Topic),
    /// In titles.
    Words(Words),
}

/// Why an errand did not end as its customer wanted: one sentence for people, one exit code for scripts.
#[derive(Debug, thiserror::Error)]
pub enum Unfulfilled {
    #[error("{0}")]
    NotFound(String),
    /// The store decided against it: sold out, underpaid, a key that was used for another purchase.
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The store answered something else, or the outcome is unknown.
    #[error("{0}")]
    Other(String),
    #[error("the answer could not be written: {0}")]
    Output(#[from] std::io::Error),
}

impl Unfulfilled {
    /// As `--help` documents it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Unfulfilled::NotFound(_) => 3,
            Unfulfilled::Refused(_) => 4,
            Unfulfilled::Failed(_) | Unfulfilled::Other(_) | Unfulfilled::Output(_) => 1,
        }
    }

    /// Whether whoever read our output has had enough, as `head` does: nothing to complain about.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Unfulfilled::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe)
    }
}

impl Config {
    /// Writes to `out` what the store answered.
    pub async fn run(self, out: &mut impl Write) -> Result<(), Unfulfilled> {
        let mut connection = Connection::new(self.store, DEADLINE);
        match self.errand {
            Errand::Search { what, all, limit, after } => {
                let pages = search::Pages { what, all, limit, after };
                pages.print(&mut connection, self.json, out).await
            }
            Errand::Info(id) => {
                let answer = connection.get(&info_path(id)).await?;
                let table = |book: BookRead| {
                    pairs(&[
                        ("Book", book.id.to_string()),
                        ("Title", plain(&book.book_title)),
                        ("Topic", plain(&book.book_topic)),
                        ("In stock", book.number_of_items.get().to_string()),
                        ("Price", dollars(book.book_cost)),
                    ])
                };
                print(out, answer, self.json, table, &format!("there is no book {id}"))
            }
            Errand::Order(id) => {
                let answer = connection.get(&order_path(id)).await?;
                let table = |order: OrderRead| {
                    pairs(&[
                        ("Order", order.order_id.to_string()),
                        ("Book", order.book_id.to_string()),
                        ("Copies", order.quantity.get().to_string()),
                        ("Total", dollars(order.total)),
                        ("Placed at", plain(&order.created_at)),
                        ("Version", order.version.to_string()),
                    ])
                };
                print(out, answer, self.json, table, &format!("there is no order {id}"))
            }
            Errand::Buy(purchase) => purchase::print(&mut connection, &purchase, self.json, out).await,
        }
    }
}

fn print<T: DeserializeOwned>(
    out: &mut impl Write,
    answer: Answer,
    json: bool,
    table: impl FnOnce(T) -> String,
    not_found: &str,
) -> Result<(), Unfulfilled> {
    let answer = found(answer, not_found)?;
    match json {
        true => as_it_came(out, &answer)?,
        false => writeln!(out, "{}", table(parse(&answer)?))?,
    }
    warn_if_stale(&answer);
    Ok(())
}

fn as_it_came(out: &mut impl Write, answer: &Answer) -> std::io::Result<()> {
    out.write_all(&answer.body)?;
    out.write_all(b"\n")
}

/// Such an answer comes only where the master cannot be asked.
fn warn_if_stale(answer: &Answer) {
    if answer.says_stale() {
        eprintln!("warning: the store says that this may be out of date");
    }
}

fn parse<T: DeserializeOwned>(answer: &Answer) -> Result<T, Unfulfilled> {
    let parsed = serde_json::from_slice(&answer.body);
    parsed.map_err(|error| Unfulfilled::Other(format!("the answer is not one of a bookstore: {error}")))
}

/// The answer if it is a success; else the sentence that says what it was.
fn found(answer: Answer, not_found: &str) -> Result<Answer, Unfulfilled> {
    match answer.status.as_u16() {
        200..=299 => Ok(answer),
        404 if answer.problem().is_some() => Err(Unfulfilled::NotFound(not_found.into())),
        _ => Err(Unfulfilled::Other(said(&answer))),
    }
}

/// What an error answer says, for people.
fn said(answer: &Answer) -> String {
    match answer.problem() {
        Some(problem) => {
            format!("the store answered {}: {}", answer.status.as_u16(), plain(&problem.error))
        }
        None => format!("it answered {}, which is no answer of a bookstore", answer.status.as_u16()),
    }
}
