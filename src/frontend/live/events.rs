//! `GET /events?books=9,10`: server-sent events with the stock and the price of books, as long as a page is open.
//!
//! First what there is of each book now, so that whatever happened between the page and this is not lost; then
//! what changes.

use super::watchers::Watcher;
use super::{Live, read};
use crate::domain::BookId;
use crate::server::{ApiError, request_id};
use crate::shutdown::Shutdown;
use crate::wire::{ErrorCode, Problem};
use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

/// Books of one page: as many as a page of a topic has.
const MAX_BOOKS: usize = 100;

/// Reads at once for one page; nearly all are in memory.
const READS: usize = 16;

/// When nothing changes, this says that the connection lives, and finds out whether somebody is still there.
const HEARTBEAT: Duration = Duration::from_secs(15);
const STILL_HERE: Bytes = Bytes::from_static(b":\n\n");

/// In milliseconds: when a browser comes back after a connection that broke or was ended.
const RETRY: Bytes = Bytes::from_static(b"retry: 2000\n\n");

pub async fn events(live: Data<Live>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let books = books(request.query_string())?;
    // Before the reads: what changes behind them is told.
    let watcher = live.watchers.watch(&books).ok_or(ErrorCode::Unavailable)?;
    let request_id = request_id(&request);
    let opened = open(&live, &watcher, books, &request_id);
    live.stop.run_until_cancelled(opened).await.ok_or(ErrorCode::Unavailable)??;
    let mut answer = HttpResponse::Ok();
    answer
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // Nginx would keep events until it has a buffer full of them.
        .insert_header(("x-accel-buffering", "no"));
    Ok(answer.streaming(told(watcher, live.stop.clone())))
}

/// Tells the watcher what there is of each book now.
async fn open(
    live: &Live,
    watcher: &Watcher,
    books: BTreeSet<BookId>,
    request_id: &str,
) -> Result<(), Problem> {
    stream::iter(books)
        .map(async |id| read(&live.cache, id, request_id).await.map(|shown| watcher.tell(id, &shown)))
        .buffer_unordered(READS)
        .try_collect()
        .await
}

/// What the watcher is told, until the stop.
fn told(watcher: Watcher, stop: Shutdown) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let news = stream::unfold((watcher, stop), async |(watcher, stop)| {
        let chunk = tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            news = watcher.news() => news,
            () = tokio::time::sleep(HEARTBEAT) => STILL_HERE,
        };
        Some((chunk, (watcher, stop)))
    });
    stream::once(async { RETRY }).chain(news).map(Ok)
}

/// The books of `books=9,10`.
fn books(query: &str) -> Result<BTreeSet<BookId>, Problem> {
    let invalid = |sentence: String| Problem::new(ErrorCode::InvalidRequest, sentence);
    let list = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "books");
    let (_, list) = list.ok_or_else(|| invalid("books must name books, as in ?books=9,10".into()))?;
    let mut books = BTreeSet::new();
    for id in list.split(',').take(MAX_BOOKS + 1) {
        books.insert(BookId::parse(id)?);
    }
    match list.split(',').count() > MAX_BOOKS {
        true => Err(invalid(format!("at most {MAX_BOOKS} books at a time"))),
        false => Ok(books),
    }
}
