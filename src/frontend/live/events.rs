//! `GET /events?books=9,10`: server-sent events with the stock and the price of books, as long as a page is open.
//!
//! First what there is of each book now, so that whatever happened between the page and this is not lost; then
//! what changes.

use super::watchers::Watcher;
use super::{Live, read};
use crate::domain::BookId;
use crate::frontend::openapi::answers::Events;
use crate::frontend::openapi::parameters::Watched;
use crate::server::{ApiError, request_id, stream_events};
use crate::wire::{ErrorCode, Problem};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use std::collections::BTreeSet;

/// Books of one page: as many as a page of a topic has.
pub const MAX_BOOKS: usize = 100;

/// Reads at once for one page; nearly all are in memory.
const READS: usize = 16;

/// Stock and price of books, as they change
///
/// First what there is of each book now, then again whenever it has changed: at least that change, never what may be
/// stale.
#[utoipa::path(get, path = "/events", params(Watched), responses(Events))]
pub async fn events(live: Data<Live>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let books = books(request.query_string())?;
    // Before the reads: what changes behind them is told.
    let watcher = live.watchers.watch(&books).ok_or(ErrorCode::Unavailable)?;
    let request_id = request_id(&request);
    let opened = open(&live, &watcher, books, &request_id);
    live.stop.run_until_cancelled(opened).await.ok_or(ErrorCode::Unavailable)??;
    let news = stream::unfold(watcher, async |watcher| Some((watcher.news().await, watcher)));
    Ok(stream_events(news, live.stop.clone()))
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
