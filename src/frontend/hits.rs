//! The short way of a cached read: from the bytes of its path to the bytes of its answer, with no route,
//! no parsing and no lock.
//!
//! Each thread that serves remembers what the paths that it answered last stand for. A request with such a
//! path and no header that changes what an answer must be is answered here if the door of the cache lets
//! the remembered entry pass ([`Cache::still_serves`]: the serving rule, by the lease that is held now).
//! Everything else takes the ordinary way, which is where entries come from.
//!
//! Invariant: what is answered here is what the ordinary way would answer.

use super::answer;
use super::cache::{Cache, Entry};
use super::demand::Demand;
use crate::clock;
use crate::metrics::{FLUSH, Reads, Requests, ThreadsObserved, ThreadsReads, ThreadsRequests};
use crate::server::Shortcut;
use crate::telemetry::trace::{self, Context};
use crate::wire::headers;
use crate::wire::splice::finish;
use actix_web::HttpRequest;
use actix_web::dev::{RequestHead, Response};
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::http::{Method, StatusCode, Uri};
use actix_web::rt;
use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::unsync;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// For what one thread remembers: the entries themselves are the cache's, unless it has dropped them.
const MAX_BYTES: u64 = 4 << 20;

/// Larger answers take the ordinary way, which is a small part of what they cost.
const MAX_ENTRY: u64 = 16 << 10;

/// To size the table with: a book's path and answer take some 500 bytes.
const EXPECTED: usize = 8192;

/// What one thread remembers. Clones share it.
#[derive(Clone)]
pub struct Hits(Rc<Inner>);

struct Inner {
    cache: Arc<Cache>,
    known: RefCell<unsync::Cache<Box<str>, Known, Size>>,
    requests: ThreadsRequests,
    reads: ThreadsReads,
}

/// What a path stands for.
struct Known {
    entry: Arc<Entry>,
    /// This thread's own copies: counting those who use one that all threads share would cost more than
    /// the bytes.
    version: HeaderValue,
    etag: HeaderValue,
    /// For its span, should it have one.
    route: Rc<str>,
    /// Where it is counted.
    durations: Rc<ThreadsObserved>,
}

#[derive(Clone)]
struct Size;

impl Weighter<Box<str>, Known> for Size {
    fn weight(&self, path: &Box<str>, known: &Known) -> u64 {
        known.entry.size() + (path.len() + known.route.len() + size_of::<Known>()) as u64
    }
}

impl Hits {
    /// Of the thread that calls it, which counts what it answers here for itself.
    pub fn new(cache: Arc<Cache>, requests: Requests, reads: &Reads) -> Self {
        let known = RefCell::new(unsync::Cache::with_weighter(EXPECTED, MAX_BYTES, Size));
        let (requests, reads) = (ThreadsRequests::new(requests), reads.of_this_thread());
        let inner = Rc::new(Inner { cache, known, requests, reads });
        let counted = Rc::downgrade(&inner);
        rt::spawn(async move {
            loop {
                tokio::time::sleep(FLUSH).await;
                let Some(inner) = counted.upgrade() else { return };
                inner.requests.flush();
                inner.reads.flush();
            }
        });
        Self(inner)
    }

    /// `entry`, which is kept in memory, answered `request`, which demanded no more than usual.
    pub fn remember(&self, request: &HttpRequest, entry: &Arc<Entry>) {
        let (Some(path), Some(etag)) = (path_of(request.uri()), entry.etag()) else { return };
        if entry.size() <= MAX_ENTRY {
            let own = |value: &HeaderValue| HeaderValue::from_bytes(value.as_bytes());
            if let (Ok(version), Ok(etag)) = (own(entry.version()), own(etag)) {
                let pattern = request.match_pattern();
                let durations = self.0.requests.successes(pattern.as_deref());
                let route = pattern.unwrap_or_default().into();
                let known = Known { entry: Arc::clone(entry), version, etag, route, durations };
                self.0.known.borrow_mut().insert(path.into(), known);
            }
        }
    }
}

impl Shortcut for Hits {
    fn answer(&self, request: &RequestHead) -> Option<Response<Bytes>> {
        let came_in = clock::now();
        if request.method != Method::GET || log::log_enabled!(target: answer::LOG, log::Level::Debug) {
            return None;
        }
        let known = self.0.known.borrow();
        let known = known.get(path_of(&request.uri)?)?;
        if !is_plain(&request.headers) || !self.0.cache.still_serves(&known.entry, came_in) {
            return None;
        }
        let took = came_in.until(clock::now());
        let body = finish(known.entry.body(), true, took);
        known.durations.took(took);
        self.0.reads.answered();
        if trace::is_traced() {
            Context::map_current(|current| trace::routed(current, "GET", &known.route));
            answer::note(headers::HIT, "memory");
        }
        let mut response = Response::with_body(StatusCode::OK, body);
        let own = response.headers_mut();
        own.insert(header::CONTENT_TYPE, answer::JSON);
        answer::describe(own, headers::HIT, known.version.clone());
        answer::may_be_kept(own, known.etag.clone());
        Some(response)
    }
}

/// The path and the query, as they were sent.
fn path_of(uri: &Uri) -> Option<&str> {
    uri.path_and_query().map(|path| path.as_str())
}

/// Whether a request has no header that the ordinary way would look at, and no body to be read past.
fn is_plain(headers: &HeaderMap) -> bool {
    !Demand::is_made(headers)
        && !headers.contains_key(&header::IF_NONE_MATCH)
        && !headers.contains_key(&header::CONTENT_LENGTH)
        && !headers.contains_key(&header::TRANSFER_ENCODING)
}
