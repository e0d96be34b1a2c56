//! The store from outside, as a customer's program speaks to it: one HTTP connection at a time, and what
//! an answer of the public listener means, and how it is shown to people.
//!
//! Invariants: nothing is waited for without a deadline; the head and body of an answer are bounded; what
//! may have been carried out ([`Failure::NoAnswer`]) is told apart from what surely was not
//! ([`Failure::Unreachable`]). Nothing is repeated here but in [`buy()`], which repeats with the same key.

mod buy;
mod connection;
mod shown;

pub use buy::{Attempts, Bought, NewPurchase, buy};
pub use connection::{Answer, Cache, Connection, Failure, Line};
pub use shown::{Columns, dollars, numbers, pairs, plain, quoted};

use crate::domain::{BookId, OrderId};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What a path segment or a value of a query may hold as it is (RFC 3986, unreserved).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where `bazar up` listens unless told otherwise.
pub const NEXT_DOOR: &str = "http://127.0.0.1:8083";

pub const TOPICS: &str = "/catalog-service/topics";
pub const PURCHASE: &str = "/order-service/purchase";

pub fn info_path(book: BookId) -> String {
    format!("/catalog-service/info/{book}")
}

pub fn order_path(order: OrderId) -> String {
    format!("/order-service/orders/{order}")
}

pub fn topic_path(topic: &str) -> String {
    format!("/catalog-service/search/{}", escaped(topic))
}

pub fn query_path(words: &str) -> String {
    format!("/catalog-service/search?q={}", escaped(words))
}

/// `text` as it may stand in a path segment or a query.
pub fn escaped(text: &str) -> impl std::fmt::Display {
    utf8_percent_encode(text, ESCAPED)
}
