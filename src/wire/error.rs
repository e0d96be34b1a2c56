//! Errors on the wire: one code enum, one status table, one envelope (RFC 9457), encoded by every server
//! of ours and decoded by our own client.
//!
//! Which type to use when: inside a role, an error enum of its own (`StoreError`, `CallError`, …); at the
//! edge of a role, [`Problem`], made from an [`ErrorCode`] and a sentence for the reader. A 5xx carries
//! the code's own sentence and never a cause; the cause goes to the log, where it is handled.

use crate::domain::{EditRefusal, Invalid, Refusal};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;
use utoipa::ToSchema;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:literal, $sentence:literal;)*) => {
        /// A stable name for what went wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode { $($(#[$doc])* $name),* }

        impl ErrorCode {
            pub const ALL: &[ErrorCode] = &[$(ErrorCode::$name),*];

            /// The code as it travels.
            pub const fn as_str(self) -> &'static str {
                match self { $(ErrorCode::$name => $code),* }
            }

            /// The HTTP status that always goes with it.
            pub const fn status(self) -> u16 {
                match self { $(ErrorCode::$name => $status),* }
            }

            /// What to say when there is nothing more precise.
            pub const fn sentence(self) -> &'static str {
                match self { $(ErrorCode::$name => $sentence),* }
            }
        }
    };
}

codes! {
    InvalidRequest = "invalid_request", 400, "the request is not valid";
    Unauthorized = "unauthorized", 401, "a valid token is required";
    Forbidden = "forbidden", 403, "this token does not allow that";
    NotFound = "not_found", 404, "there is nothing here";
    BookNotFound = "book_not_found", 404, "Book not found";
    OrderNotFound = "order_not_found", 404, "Order not found";
    MethodNotAllowed = "method_not_allowed", 405, "this method is not allowed here";
    RequestTimeout = "request_timeout", 408, "the body of the request did not arrive in time";
    OutOfStock = "out_of_stock", 409, "Book is out of stock";
    /// Internal: this node is a replica, ask another.
    NotMaster = "not_master", 409, "this node is not the write master";
    /// Internal: the process behind this address is not the one that was meant.
    NotThisHolder = "not_this_holder", 409, "this frontend is another process";
    /// Internal: a master hands over only to a replica that has everything.
    NotAnHeir = "not_an_heir", 409, "this node cannot take over";
    /// Internal: the part of an import before this one is not done.
    OutOfOrder = "out_of_order", 409, "the part before this one is not done";
    /// Internal: no lease is granted now.
    NoLease = "no_lease", 409, "no lease";
    /// Internal: that predecessor is of this master's history, and no longer in its log.
    LogTrimmed = "log_trimmed", 409, "the log does not go back to that version";
    /// Internal: that predecessor is not of this master's history.
    UnknownHistory = "unknown_history", 409, "that version is not of this history";
    /// Internal: a replica has not got that version yet.
    Behind = "behind", 412, "this replica is behind";
    PreconditionFailed = "precondition_failed", 412, "somebody else has changed the book meanwhile";
    VersionUnavailable = "version_unavailable", 412, "this store has no such version";
    PayloadTooLarge = "payload_too_large", 413, "the body is too large";
    UriTooLong = "uri_too_long", 414, "the address is too long";
    UnsupportedMediaType = "unsupported_media_type", 415, "the body must be application/json";
    UnknownHost = "unknown_host", 421, "this store does not answer to that host name";
    Underpaid = "underpaid", 422, "the offer is below the price";
    IdempotencyMismatch = "idempotency_mismatch", 422, "the Idempotency-Key was used for another purchase";
    PreconditionRequired = "precondition_required", 428, "an If-Match header must say what was seen";
    RateLimited = "rate_limited", 429, "too many requests";
    HeadersTooLarge = "headers_too_large", 431, "the headers are too large";
    Internal = "internal", 500, "something went wrong here";
    Unavailable = "unavailable", 503, "not available right now, please try again";
}

impl ErrorCode {
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| known.as_str() == code)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ErrorCode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&code).ok_or_else(|| serde::de::Error::custom(format_args!("unknown code {code}")))
    }
}

/// The envelope: `application/problem+json` (RFC 9457) with a stable `code`, and an `error` member with
/// the sentence that older clients read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: the status and the code say all.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "about:blank")]
    kind: AboutBlank,
    /// The name of the status.
    title: String,
    /// The status of the answer.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// A stable name for what went wrong.
    #[schema(value_type = String)]
    pub code: ErrorCode,
    /// A sentence for the reader.
    pub error: String,
    /// More about this very occurrence, where there is more to say than the code's sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "2 copies are left, and 5 were asked for")]
    pub detail: Option<Box<str>>,
    /// When it may go better, where that is known: it leaves as the header `Retry-After`, in whole seconds.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
}

/// The type of every problem here; what another server puts there is not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct AboutBlank;

impl Serialize for AboutBlank {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("about:blank")
    }
}

impl<'de> Deserialize<'de> for AboutBlank {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

impl Problem {
    pub const CONTENT_TYPE: &str = "application/problem+json";

    /// With a sentence for the reader. A 5xx never shows a cause, so its sentence is the code's own.
    pub fn new(code: ErrorCode, sentence: impl Into<String>) -> Self {
        let sentence = if code.status() >= 500 { code.sentence().into() } else { sentence.into() };
        Self {
            kind: AboutBlank,
            title: title(code.status()).into(),
            status: code.status(),
            code,
            error: sentence,
            detail: None,
            retry_after: None,
        }
    }

    /// With more about this very occurrence; of a 5xx nothing more is told.
    pub fn detailed(mut self, detail: impl Into<Box<str>>) -> Self {
        self.detail = (self.status < 500).then(|| detail.into());
        self
    }

    /// Too much was asked; that it may be asked again is known to the moment.
    pub fn too_many(sentence: impl Into<String>, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..Self::new(ErrorCode::RateLimited, sentence) }
    }

    /// The name of the status.
    pub fn title(&self) -> &str {
        &self.title
    }
}

impl From<ErrorCode> for Problem {
    fn from(code: ErrorCode) -> Self {
        Self::new(code, code.sentence())
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        Self::new(ErrorCode::InvalidRequest, invalid.0)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal {
            Refusal::BookNotFound => ErrorCode::BookNotFound,
            Refusal::OutOfStock => ErrorCode::OutOfStock,
            Refusal::Underpaid { .. } => ErrorCode::Underpaid,
            Refusal::IdempotencyMismatch => ErrorCode::IdempotencyMismatch,
        };
        Self::new(code, refusal.to_string())
    }
}

impl From<EditRefusal> for Problem {
    fn from(refusal: EditRefusal) -> Self {
        let code = match refusal {
            EditRefusal::BookNotFound => ErrorCode::BookNotFound,
            EditRefusal::StockLimit => ErrorCode::InvalidRequest,
            EditRefusal::TooFew { .. } => ErrorCode::OutOfStock,
            EditRefusal::Changed => ErrorCode::PreconditionFailed,
            EditRefusal::IdempotencyMismatch => ErrorCode::IdempotencyMismatch,
        };
        Self::new(code, refusal.to_string())
    }
}

/// The reason phrases of RFC 9110.
fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_and_statuses_that_clients_depend_on_are_pinned() {
        for (code, status) in [
            ("book_not_found", 404),
            ("out_of_stock", 409),
            ("underpaid", 422),
            ("idempotency_mismatch", 422),
            ("invalid_request", 400),
            ("unauthorized", 401),
            ("forbidden", 403),
            ("method_not_allowed", 405),
            ("precondition_failed", 412),
            ("precondition_required", 428),
            ("version_unavailable", 412),
            ("payload_too_large", 413),
            ("uri_too_long", 414),
            ("unknown_host", 421),
            ("headers_too_large", 431),
            ("unsupported_media_type", 415),
            ("rate_limited", 429),
            ("unavailable", 503),
        ] {
            assert_eq!(ErrorCode::parse(code).map(ErrorCode::status), Some(status), "{code}");
        }
    }

    #[test]
    fn every_code_survives_the_wire_in_its_envelope() {
        for &code in ErrorCode::ALL {
            for problem in [Problem::from(code), Problem::from(code).detailed("2 copies are left")] {
                let text = serde_json::to_string(&problem).unwrap();
                assert_eq!(serde_json::from_str::<Problem>(&text).unwrap(), problem);
            }
        }
    }

    #[test]
    fn a_5xx_never_shows_a_cause() {
        let problem = Problem::new(ErrorCode::Unavailable, "disk /dev/sda is full");
        assert_eq!(problem.error, ErrorCode::Unavailable.sentence());
        assert_eq!(problem.detailed("disk /dev/sda is full").detail, None);
    }

    #[test]
    fn the_sentences_that_older_clients_read_are_unchanged() {
        assert_eq!(Problem::from(Refusal::BookNotFound).error, "Book not found");
        assert_eq!(Problem::from(Refusal::OutOfStock).error, "Book is out of stock");
        let underpaid = Refusal::Underpaid { due: 2800, offered: 1000 };
        assert_eq!(Problem::from(underpaid).error, "you should pay 28$ but you paid 10$");
    }
}
