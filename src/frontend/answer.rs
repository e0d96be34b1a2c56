//! What the answer to a read looks like.
//!
//! `Cache-Control` and `ETag`: who keeps an answer must ask before each use (`no-cache`), and is told
//! `304 Not Modified` only where the whole answer could have been given. What may be stale is not to be
//! kept at all.

use super::cache::Served;
use crate::domain::IdempotencyKey;
use crate::telemetry::trace;
use crate::wire::splice::finish;
use crate::wire::{Problem, headers};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, EntityTag, HeaderMap, HeaderName, HeaderValue, IfNoneMatch};
use actix_web::{HttpResponse, HttpResponseBuilder};
use std::time::Duration;

/// The target of the log lines about reads.
pub const LOG: &str = "bazar::frontend::routes";

pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

const X_CACHE: HeaderName = HeaderName::from_static(headers::X_CACHE);
const BAZAR_VERSION: HeaderName = HeaderName::from_static(headers::BAZAR_VERSION);

/// The answer to a request that took so long and has answers to these entity tags.
pub fn to_read(served: &Served, took: Duration, has: Option<&IfNoneMatch>) -> HttpResponse {
    let entry = &served.entry;
    // What may be stale has no tag, so that nobody is told that something stale is still right.
    let etag = entry.etag().filter(|_| !served.stale);
    let unchanged = etag.is_some_and(|etag| has.is_some_and(|has| includes(has, etag)));
    let (mut answer, body) = match (unchanged, entry.found()) {
        (true, _) => (HttpResponse::NotModified(), None),
        (false, true) => (with_type(StatusCode::OK, JSON), Some(finish(entry.body(), served.cached(), took))),
        (false, false) => {
            let json = HeaderValue::from_static(Problem::CONTENT_TYPE);
            (with_type(StatusCode::NOT_FOUND, json), Some(entry.body().clone()))
        }
    };
    let mut answer = match body {
        Some(body) => answer.body(body),
        None => answer.finish(),
    };
    let headers = answer.headers_mut();
    describe(headers, served.x_cache(), served.version());
    match etag {
        Some(etag) => may_be_kept(headers, etag.clone()),
        None => must_not_be_kept(headers),
    }
    if served.stale {
        headers.insert(header::WARNING, HeaderValue::from_static(headers::WARNING_STALE));
    }
    answer
}

fn with_type(status: StatusCode, content_type: HeaderValue) -> HttpResponseBuilder {
    let mut answer = HttpResponse::build(status);
    answer.insert_header((header::CONTENT_TYPE, content_type));
    answer
}

/// What every read says of itself.
pub fn describe(headers: &mut HeaderMap, x_cache: &'static str, version: HeaderValue) {
    headers.insert(X_CACHE, HeaderValue::from_static(x_cache));
    headers.insert(BAZAR_VERSION, version);
}

/// By whoever asks before each use.
pub fn may_be_kept(headers: &mut HeaderMap, etag: HeaderValue) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::ETAG, etag);
}

/// Under which key a change was asked for, whoever made that: with it, it is safe to repeat.
pub fn tell_key(answer: &mut HeaderMap, key: Option<&IdempotencyKey>, replayed: bool) {
    if replayed {
        answer
            .insert(HeaderName::from_static(headers::IDEMPOTENCY_REPLAYED), HeaderValue::from_static("true"));
    }
    if let Some(key) = key.and_then(|key| HeaderValue::from_str(key.as_str()).ok()) {
        answer.insert(HeaderName::from_static(headers::IDEMPOTENCY_KEY), key);
    }
}

/// At the span of a read: how it was answered.
pub fn note(x_cache: &'static str, by: &'static str) {
    trace::note("bazar.cache.outcome", x_cache);
    trace::note("bazar.cache.answered_by", by);
}

fn must_not_be_kept(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// Weakly: two answers with one tag differ in `cached` and `responseTime`.
fn includes(has: &IfNoneMatch, etag: &HeaderValue) -> bool {
    match has {
        IfNoneMatch::Any => true,
        IfNoneMatch::Items(tags) => {
            let ours = etag.to_str().ok().and_then(|etag| etag.parse::<EntityTag>().ok());
            ours.is_some_and(|ours| tags.iter().any(|tag| tag.weak_eq(&ours)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_compare_without_regard_to_their_strength() {
        let ours = HeaderValue::from_static("W/\"abc\"");
        let items = |tags: &[&str]| IfNoneMatch::Items(tags.iter().map(|tag| tag.parse().unwrap()).collect());
        assert!(includes(&IfNoneMatch::Any, &ours));
        assert!(includes(&items(&["\"x\"", "\"abc\""]), &ours));
        assert!(includes(&items(&["W/\"abc\""]), &ours));
        assert!(!includes(&items(&["\"ab\"", "W/\"abcd\""]), &ours));
    }
}
