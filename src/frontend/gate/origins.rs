//! The origins whose pages may use the API (CORS).
//!
//! None, unless they are named; then exactly those, for the API and not for pages or the administration, and never with
//! cookies: so a page from elsewhere can do what anybody can who has no browser, and nothing in a visitor's name.

use actix_web::HttpResponse;
use actix_web::dev::RequestHead;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use std::collections::HashSet;
use std::fmt;

/// What a page may send beside what needs no leave.
const SENT: &str =
    "content-type, idempotency-key, if-none-match, bazar-consistency, bazar-min-version, x-request-id";

/// What a page may read beside what needs no leave.
const READ: &str =
    "bazar-version, etag, idempotency-key, idempotency-replayed, retry-after, warning, x-cache";

/// For a browser to remember a leave, in seconds.
const REMEMBERED: &str = "600";

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins(Vec<String>);

impl Origins {
    /// Origins with commas between.
    pub fn parse(text: &str) -> Result<Self, String> {
        let origin = |word: &str| {
            let word = word.trim();
            let url = url::Url::parse(word).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            match url.is_some_and(|url| url.origin().ascii_serialization() == word) {
                true => Ok(word.to_owned()),
                false => {
                    Err(format!("\"{word}\" is not an origin such as https://shop.example, without a path"))
                }
            }
        };
        text.split(',').map(origin).collect::<Result<_, _>>().map(Self)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The origin that `request` comes from, if it is one of these and the path belongs to the API, of which `api` has
    /// the first segments.
    pub fn of(&self, request: &RequestHead, api: &HashSet<String>) -> Option<HeaderValue> {
        if self.is_empty() {
            return None;
        }
        let origin = request.headers.get(header::ORIGIN)?;
        let known = self.0.iter().any(|known| known.as_bytes() == origin.as_bytes());
        let segment = request.uri.path().split('/').nth(1).unwrap_or_default();
        (known && api.contains(segment)).then(|| origin.clone())
    }
}

impl fmt::Display for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

/// The answer to a browser that asks whether a page may send `request`.
pub fn leave(request: &RequestHead) -> Option<HttpResponse> {
    if request.method != Method::OPTIONS
        || !request.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
    {
        return None;
    }
    let mut answer = HttpResponse::NoContent();
    answer
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, SENT))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, REMEMBERED));
    Some(answer.finish())
}

/// Lets the pages of `origin` read an answer.
pub fn allow(answer: &mut HeaderMap, origin: HeaderValue) {
    answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(READ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_named_exactly_or_not_at_all() {
        assert_eq!(Origins::parse("https://a.example,http://b.example:8080").unwrap().0.len(), 2);
        for wrong in [
            "",
            "*",
            "null",
            "a.example",
            "https://a.example/",
            "https://a.example/x",
            "https://a.example:443",
            "ftp://a.example",
            "https://A.example",
        ] {
            assert!(Origins::parse(wrong).is_err(), "{wrong}");
        }
    }
}
