//! The administration's API: JSON in and out, a bearer token on each request. A session's cookie is worth nothing
//! here, so no page from elsewhere can use it.

use super::asked::{BooksAsked, BooksWanted, OrdersAsked, draw_key};
use super::audit::{Actor, Via};
use super::keeper::Decided;
use super::{Admin, TakenIn};
use crate::domain::{Book, BookId, BookTag, Edit, GuardedEdit, IdempotencyKey, Version};
use crate::frontend::answer::tell_key;
use crate::frontend::openapi::administration::{
    Changed, Created, Deleted, Imported, Kept, Restocked, TAG, TOKEN, Told,
};
use crate::frontend::openapi::parameters::{BookNumber, HowToImport, KeptPage, Key, PageOfOrders, Seen};
use crate::frontend::openapi::{self, Endpoint};
use crate::frontend::routes::is_json;
use crate::intake::{Format, Rules};
use crate::server::{ApiError, read_body, read_query, request_id};
use crate::wire::admin::{
    Changes, ChangesSent, Copies, CopiesSent, ImportView, KeptBook, KeptBooks, NewBookSent, OrdersView,
    RejectedLine, etag, parse_new_book,
};
use crate::wire::public::{DEFAULT_LIMIT, MAX_LIMIT, OrderView};
use crate::wire::{ErrorCode, Problem, headers};
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, ResponseError};
use serde::Deserialize;
use serde::de::DeserializeOwned;

const ROOT: &str = "/admin/api";

/// A book with the longest title and topic, every character escaped.
const MAX_EDIT_BODY: usize = 16 << 10;

type Answer = Result<HttpResponse, ApiError>;

pub fn configure(config: &mut ServiceConfig) {
    config.service(
        web::scope(ROOT)
            .wrap(from_fn(require_admin))
            .configure(|config| openapi::register_below(config, ROOT, &endpoints()))
            .default_service(web::to(nothing)),
    );
}

/// What is served, and what is described.
pub fn endpoints() -> Vec<Endpoint> {
    let all = [
        Endpoint::new::<__path_books>(TAG, || web::to(books)),
        Endpoint::new::<__path_create>(TAG, || web::to(create)),
        Endpoint::new::<__path_restock>(TAG, || web::to(restock)),
        Endpoint::new::<__path_book>(TAG, || web::to(book)),
        Endpoint::new::<__path_change>(TAG, || web::to(change)),
        Endpoint::new::<__path_delete>(TAG, || web::to(delete)),
        Endpoint::new::<__path_orders>(TAG, || web::to(orders)),
        Endpoint::new::<__path_import>(TAG, || web::to(import)),
    ];
    all.map(|endpoint| endpoint.behind(TOKEN)).into()
}

/// Lets a request through that carries the admin token.
async fn require_admin(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let given = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    let admin = request.app_data::<Data<Admin>>();
    let let_in = match admin.zip(given) {
        Some((admin, given)) => {
            admin.let_in(&Actor::of(request.request(), Via::Api), admin.token.authorizes(given))
        }
        // Who comes without any token tries nothing.
        None => Err(ErrorCode::Unauthorized.into()),
    };
    match let_in {
        Ok(()) => Ok(next.call(request).await?.map_into_boxed_body()),
        Err(problem) => Ok(request.into_response(ApiError(problem).error_response())),
    }
}

async fn nothing() -> Answer {
    Err(ErrorCode::NotFound.into())
}

/// Books to their keeper
///
/// In order of their numbers, or as a search finds them. `next` is the path of the following page.
#[utoipa::path(
    get, operation_id = "kept_books", path = "/admin/api/books",
    params(KeptPage), responses(Told<KeptBooks<'_>>)
)]
async fn books(admin: Data<Admin>, request: HttpRequest) -> Answer {
    let (asked, request_id): (BooksAsked, String) = (asked(&request)?, request_id(&request));
    let limit = limit(asked.limit)?;
    let path = format!("{ROOT}/books");
    let (asof, books, next) = match asked.wanted()? {
        BooksWanted::All { after } => {
            let page = admin.keeper.shelf(after, limit, &request_id).await?;
            let next = page.value.next.map(|after| after.to_string());
            (page.asof, page.value.books, next)
        }
        BooksWanted::With { words, after } => {
            let page = admin.keeper.find(words, after, limit, &request_id).await?;
            let next = page.value.next.map(|after| after.to_string());
            (page.asof, page.value.books, next)
        }
    };
    let next = next.map(|after| asked.next(&path, after));
    Ok(ok(asof).json(KeptBooks { items: books.iter().map(KeptBook::from).collect(), next }))
}

/// A book to its keeper
#[utoipa::path(
    get, operation_id = "kept_book", path = "/admin/api/books/{id}",
    params(BookNumber), responses(Kept<KeptBook<'_>>)
)]
async fn book(admin: Data<Admin>, request: HttpRequest) -> Answer {
    let found = admin.keeper.book(id(&request)?, &request_id(&request)).await?;
    let book = found.value.ok_or(ErrorCode::BookNotFound)?;
    Ok(ok(found.asof).insert_header((header::ETAG, etag(&book))).json(KeptBook::from(&book)))
}

/// Add a book
///
/// The store gives it a number that no book had before.
#[utoipa::path(
    post, operation_id = "add_book", path = "/admin/api/books", params(Key),
    request_body(
        content = NewBookSent,
        example = json!({ "title": "Twelve", "topic": "education", "stock": 3, "price": 10.5 })
    ),
    responses(Created<KeptBook<'_>>)
)]
async fn create(admin: Data<Admin>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    edit(&admin, &request, async {
        Ok((None, Edit::Create(parse_new_book(&json(&request, payload).await?)?)))
    })
    .await
}

/// Change a book's title, topic or price
///
/// Of all editors who saw the same book one wins; the others get a 412, and look again.
#[utoipa::path(
    patch, operation_id = "change_book", path = "/admin/api/books/{id}", params(BookNumber, Seen, Key),
    request_body(content = ChangesSent, example = json!({ "price": 12 })), responses(Changed<KeptBook<'_>>)
)]
async fn change(admin: Data<Admin>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let asked = async {
        let (book_id, expect) = (id(&request)?, if_match(&request)?);
        let Changes { title, topic, price } = Changes::parse(&json(&request, payload).await?)?;
        Ok((expect, Edit::Update { book_id, title, topic, stock: None, price }))
    };
    edit(&admin, &request, asked).await
}

/// Add copies of a book, or take some away
#[utoipa::path(
    post, operation_id = "restock_book", path = "/admin/api/books/{id}/restock", params(BookNumber, Key),
    request_body(content = CopiesSent, example = json!({ "copies": 5 })), responses(Restocked<KeptBook<'_>>)
)]
async fn restock(admin: Data<Admin>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let asked = async {
        let book_id = id(&request)?;
        Ok((None, Copies::parse(&json(&request, payload).await?)?.edit(book_id)))
    };
    edit(&admin, &request, asked).await
}

/// Delete a book
///
/// Its orders stay, and its number is never given to another.
#[utoipa::path(
    delete,
    operation_id = "delete_book",
    path = "/admin/api/books/{id}",
    params(BookNumber, Seen, Key),
    responses(Deleted)
)]
async fn delete(admin: Data<Admin>, request: HttpRequest) -> HttpResponse {
    edit(&admin, &request, async { Ok((if_match(&request)?, Edit::Delete { book_id: id(&request)? })) }).await
}

/// Every answer from the moment on at which there is a key carries it: with it the same request is safe to repeat.
async fn edit(
    admin: &Admin,
    request: &HttpRequest,
    asked: impl Future<Output = Result<(Option<BookTag>, Edit), Problem>>,
) -> HttpResponse {
    let mut key = None;
    let decided = async {
        let key = key.insert(key_of(request)?).clone();
        let (expect, edit) = asked.await?;
        let creates = matches!(edit, Edit::Create(_));
        let decided = admin.change(Actor::of(request, Via::Api), GuardedEdit { key, expect, edit }).await?;
        Ok((decided, creates))
    };
    let (mut answer, replayed) = match decided.await {
        Ok((Decided { answer: Ok(edited), replayed, .. }, creates)) => {
            let answer = match &edited.book {
                Some(book) => edited_book(book, edited.version, creates),
                None => versioned(HttpResponse::NoContent(), edited.version).finish(),
            };
            (answer, replayed)
        }
        Ok((Decided { answer: Err(refusal), replayed, .. }, _)) => {
            (ApiError::from(refusal).error_response(), replayed)
        }
        Err(problem) => (ApiError(problem).error_response(), false),
    };
    tell_key(answer.headers_mut(), key.as_ref(), replayed);
    answer
}

fn edited_book(book: &Book, version: Version, created: bool) -> HttpResponse {
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let mut answer = versioned(HttpResponse::build(status), version);
    answer.insert_header((header::ETAG, etag(book)));
    if created {
        answer.insert_header((header::LOCATION, format!("{ROOT}/books/{}", book.id)));
    }
    answer.json(KeptBook::from(book))
}

/// Orders, the newest first
///
/// A page of a book's orders may have few of them, or none, and still have a `next`.
#[utoipa::path(
    get, operation_id = "kept_orders", path = "/admin/api/orders",
    params(PageOfOrders), responses(Told<OrdersView>)
)]
async fn orders(admin: Data<Admin>, request: HttpRequest) -> Answer {
    let asked: OrdersAsked = asked(&request)?;
    let limit = limit(asked.limit)?;
    let page = admin.keeper.orders(asked.wanted()?, limit, &request_id(&request)).await?;
    let next = page.value.next.map(|after| asked.next(&format!("{ROOT}/orders"), after));
    Ok(ok(page.asof)
        .json(OrdersView { items: page.value.orders.iter().map(OrderView::from).collect(), next }))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct ImportAsked {
    format: Option<String>,
    strict: bool,
    dry_run: bool,
    again: bool,
}

/// Import books
///
/// Lines of CSV, with a header, or of JSON, packed by gzip or not. The same input twice is taken in once.
#[utoipa::path(
    post, operation_id = "import_books", path = "/admin/api/imports", params(HowToImport),
    request_body(content(
        ("text/csv", example = "id,title,topic,stock,price\n,Twelve,education,3,10.50\n"),
        (
            "application/jsonl",
            example = "{\"title\":\"Twelve\",\"topic\":\"education\",\"stock\":3,\"price\":10.5}\n"
        ),
        ("application/gzip"),
    )),
    responses(Imported<ImportView>)
)]
async fn import(admin: Data<Admin>, request: HttpRequest, payload: web::Payload) -> Answer {
    let ImportAsked { format, strict, dry_run, again } = read_query(&request)?;
    let format = match format.as_deref() {
        None => format_of(&request)?,
        Some(word) => Some(format_named(word)?),
    };
    // A client whose file cannot be read may send nothing, and would be told that all went well.
    if !has_body(&request) {
        return Err(Problem::new(ErrorCode::InvalidRequest, "the body must be the lines to import").into());
    }
    let rules = Rules { format, strict, again, ..Rules::default() };
    let taken_in = admin.import(Actor::of(&request, Via::Api), payload, rules, dry_run).await?;
    let TakenIn { sum, rejects, dry_run } = taken_in;
    let mut answer = HttpResponse::Ok();
    answer.insert_header((header::CACHE_CONTROL, "no-store"));
    Ok(answer.json(ImportView {
        lines: sum.lines,
        created: sum.created,
        changed: sum.changed,
        unchanged: sum.unchanged,
        before: sum.before,
        rejected: sum.bad,
        rejects: rejects.into_iter().map(|(line, reason)| RejectedLine { line, reason }).collect(),
        dry_run,
    }))
}

fn has_body(request: &HttpRequest) -> bool {
    let length = request.headers().get(header::CONTENT_LENGTH);
    request.headers().contains_key(header::TRANSFER_ENCODING) || length.is_some_and(|length| length != "0")
}

fn format_named(word: &str) -> Result<Format, Problem> {
    match word {
        "csv" => Ok(Format::Csv),
        "jsonl" => Ok(Format::JsonLines),
        _ => Err(Problem::new(ErrorCode::InvalidRequest, "format must be csv or jsonl")),
    }
}

/// What the media type says of the lines; gzip may be around them in any case.
fn format_of(request: &HttpRequest) -> Result<Option<Format>, Problem> {
    let content_type =
        request.headers().get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    let essence =
        content_type.map(|value| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    let encoding =
        request.headers().get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or_default());
    let packed = encoding.is_none_or(|encoding| matches!(encoding.trim(), "gzip" | "identity" | ""));
    match essence.as_deref() {
        _ if !packed => {
            Err(Problem::new(ErrorCode::UnsupportedMediaType, "the body may be packed by gzip only"))
        }
        Some("text/csv") => Ok(Some(Format::Csv)),
        Some("application/jsonl" | "application/x-ndjson" | "application/json-lines") => {
            Ok(Some(Format::JsonLines))
        }
        None | Some("application/gzip" | "application/octet-stream" | "text/plain") => Ok(None),
        Some(_) => {
            let sentence = "the body must be text/csv or application/jsonl, packed by gzip or not";
            Err(Problem::new(ErrorCode::UnsupportedMediaType, sentence))
        }
    }
}

/// A form sends the fields that nobody filled in; a program leaves out what it does not ask for.
fn asked<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, Problem> {
    let query = request.query_string().as_bytes();
    match url::form_urlencoded::parse(query).find(|(_, value)| value.trim().is_empty()) {
        Some((name, _)) => {
            Err(Problem::new(ErrorCode::InvalidRequest, format!("{name} must not be empty: leave it out")))
        }
        None => read_query(request),
    }
}

fn id(request: &HttpRequest) -> Result<BookId, Problem> {
    Ok(BookId::parse(request.match_info().query("id"))?)
}

fn limit(asked: Option<u32>) -> Result<u32, Problem> {
    match asked.unwrap_or(DEFAULT_LIMIT) {
        limit @ 1..=MAX_LIMIT => Ok(limit),
        _ => Err(Problem::new(ErrorCode::InvalidRequest, format!("limit must be between 1 and {MAX_LIMIT}"))),
    }
}

fn key_of(request: &HttpRequest) -> Result<IdempotencyKey, Problem> {
    Ok(match request.headers().get(headers::IDEMPOTENCY_KEY) {
        // Not text at all is a key that breaks its rules, like the empty one.
        Some(given) => IdempotencyKey::parse(given.to_str().unwrap_or_default())?,
        None => draw_key()?,
    })
}

/// What the editor saw; `None` for `*`, whatever it is. A weak tag stays as it is, and is that of no book.
fn if_match(request: &HttpRequest) -> Result<Option<BookTag>, Problem> {
    let mut given = request.headers().get_all(header::IF_MATCH);
    let text = given.next().ok_or(ErrorCode::PreconditionRequired)?.to_str().unwrap_or_default().trim();
    let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    match (text, given.next()) {
        ("*", None) => Ok(None),
        (_, None) => Ok(Some(BookTag::parse(bare)?)),
        (_, Some(_)) => Err(Problem::new(ErrorCode::InvalidRequest, "If-Match must have one entity tag")),
    }
}

async fn json(request: &HttpRequest, payload: web::Payload) -> Result<web::Bytes, Problem> {
    match request.headers().get(header::CONTENT_TYPE).is_some_and(is_json) {
        true => read_body(payload, MAX_EDIT_BODY).await,
        false => Err(ErrorCode::UnsupportedMediaType.into()),
    }
}

fn ok(asof: Version) -> HttpResponseBuilder {
    versioned(HttpResponse::Ok(), asof)
}

fn versioned(mut answer: HttpResponseBuilder, version: Version) -> HttpResponseBuilder {
    answer
        .insert_header((headers::BAZAR_VERSION, version.public().to_string()))
        .insert_header((header::CACHE_CONTROL, "no-store"));
    answer
}
