//! What may come back, described once for all operations that answer so. Types that stand for answers in
//! `#[utoipa::path(responses(…))]`.
//!
//! Invariant: the status of a code is that of the one table, `wire/error.rs`.

use super::header_name;
use crate::wire::splice::Served;
use crate::wire::{ErrorCode, Problem, headers, schema};
use serde_json::Value;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use utoipa::openapi::content::{Content, ContentBuilder};
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::link::Link;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{AllOfBuilder, Object, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{IntoResponses, ToSchema};

pub(super) type Responses = BTreeMap<String, RefOr<Response>>;

/// A read of the catalog: `T` and how it came about, or 304.
pub struct Read<T>(PhantomData<T>);

impl<T: ToSchema> IntoResponses for Read<T> {
    fn responses() -> Responses {
        let body = AllOfBuilder::new().item(of::<T>()).item(of::<Served>());
        let json = Content::new(Some(Schema::from(body.build())));
        let ok = ResponseBuilder::new().description("What was asked for").content("application/json", json);
        let unchanged = "What the client has already (`If-None-Match`) is still right";
        let unchanged = read(ResponseBuilder::new().description(unchanged));
        let mut all =
            problems(&[ErrorCode::InvalidRequest, ErrorCode::VersionUnavailable, ErrorCode::Unavailable]);
        all.insert("200".into(), read(ok).build().into());
        all.insert("304".into(), unchanged.build().into());
        all
    }
}

/// There is no such book: an answer as good as one, that may be cached as well.
pub struct NoSuchBook;

impl IntoResponses for NoSuchBook {
    fn responses() -> Responses {
        let mut answer = problem(404, &[ErrorCode::BookNotFound]);
        answer.headers.extend(read(ResponseBuilder::new()).build().headers);
        [("404".into(), answer.into())].into()
    }
}

/// An order, as it was placed.
pub struct Order<T>(PhantomData<T>);

impl<T: ToSchema> IntoResponses for Order<T> {
    fn responses() -> Responses {
        let ok = stated::<T>("The order").link("book", link("info", "id", "$response.body#/bookId"));
        let mut all = problems(&[
            ErrorCode::InvalidRequest,
            ErrorCode::OrderNotFound,
            ErrorCode::VersionUnavailable,
            ErrorCode::Unavailable,
        ]);
        all.insert("200".into(), ok.build().into());
        all
    }
}

/// The description of the API.
pub struct Document;

impl IntoResponses for Document {
    fn responses() -> Responses {
        let described = |answer: ResponseBuilder| {
            answer
                .header("Cache-Control", required(text("Always `no-cache`", "no-cache")))
                .header("ETag", required(text("Of the document", "\"077244a9bcab0790f38e753f1db7bf9d\"")))
                .build()
        };
        let json = Content::new(Some(ObjectBuilder::new().build()));
        let ok = ResponseBuilder::new().description("The document").content("application/json", json);
        let unchanged = ResponseBuilder::new().description("The client has it already");
        [("200".into(), described(ok).into()), ("304".into(), described(unchanged).into())].into()
    }
}

/// A purchase, now or under the same key before.
pub struct Bought<T>(PhantomData<T>);

impl<T: ToSchema> IntoResponses for Bought<T> {
    fn responses() -> Responses {
        let ok = stated::<T>("It is bought, and every later read shows it")
            .link("order", link("order", "id", "$response.body#/orderId"))
            .link("book", link("info", "id", "$response.body#/bookId"));
        let mut all = problems(&[
            ErrorCode::InvalidRequest,
            ErrorCode::BookNotFound,
            ErrorCode::RequestTimeout,
            ErrorCode::OutOfStock,
            ErrorCode::PayloadTooLarge,
            ErrorCode::UnsupportedMediaType,
            ErrorCode::Underpaid,
            ErrorCode::IdempotencyMismatch,
            ErrorCode::Internal,
            ErrorCode::Unavailable,
        ]);
        all.insert("200".into(), ok.build().into());
        // What is no JSON is refused before its key is looked at.
        keyed(&mut all, Some(ErrorCode::UnsupportedMediaType));
        all
    }
}

/// What there is of some books, as long as somebody reads.
pub struct Events;

impl IntoResponses for Events {
    fn responses() -> Responses {
        let about = "Events named `stock`: the `data` of each is a `StockEvent`, its `id` the version that was \
                     read. A line that begins with a colon only says that the connection lives. It does not end \
                     before the client or the frontend does.";
        let text = ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).build();
        let content = ContentBuilder::new().schema(Some(text)).example(Some(
            "event: stock\nid: 1.7\ndata: {\"id\":9,\"numberOfItems\":14,\"bookCost\":28}\n\n".into(),
        ));
        let ok = unkept(about).content("text/event-stream", content.build());
        let mut all = problems(&[ErrorCode::InvalidRequest, ErrorCode::Unavailable]);
        all.insert("200".into(), ok.build().into());
        all
    }
}

/// Who may not: its status, and what comes.
pub(super) fn unauthorized() -> (String, Response) {
    let status = ErrorCode::Unauthorized.status();
    let mut answer = problem(status, &[ErrorCode::Unauthorized]);
    answer.headers.insert("WWW-Authenticate".into(), required(text("Always `Bearer`", "Bearer")).into());
    (status.to_string(), answer)
}

/// Who asks too much: its status, and what comes.
pub(super) fn too_many() -> (String, Response) {
    let status = ErrorCode::RateLimited.status();
    (status.to_string(), problem(status, &[ErrorCode::RateLimited]))
}

/// A body of the state that `Bazar-Version` names, not to be kept.
pub(super) fn stated<T: ToSchema>(about: &str) -> ResponseBuilder {
    json::<T>(about).header(header_name(headers::BAZAR_VERSION), required(schema::version()))
}

/// The same without a body.
pub(super) fn versioned(about: &str) -> ResponseBuilder {
    unkept(about).header(header_name(headers::BAZAR_VERSION), required(schema::version()))
}

/// A body that is not to be kept.
pub(super) fn json<T: ToSchema>(about: &str) -> ResponseBuilder {
    unkept(about).content("application/json", Content::new(Some(of::<T>())))
}

fn unkept(about: &str) -> ResponseBuilder {
    let no_store = required(text("Always `no-store`", "no-store"));
    ResponseBuilder::new().description(about).header("Cache-Control", no_store)
}

/// Answers to what has a key: all carry it, but for what is refused as `unseen` before anybody looks for one.
pub(super) fn keyed(all: &mut Responses, unseen: Option<ErrorCode>) {
    let replayed = header(text("There if an earlier request with this key got this answer first", "true"));
    let mut key = header(schema::idempotency_key());
    key.description = Some("The key of this request, unless it came with a wrong one".into());
    let unseen = unseen.map(|code| code.status().to_string());
    for (status, answer) in all {
        let RefOr::T(answer) = answer else { continue };
        if unseen.as_deref() != Some(status.as_str()) {
            answer.headers.insert(header_name(headers::IDEMPOTENCY_KEY), key.clone().into());
        }
        if matches!(status.as_str(), "200" | "201" | "204" | "404" | "409" | "412" | "422") {
            answer.headers.insert(header_name(headers::IDEMPOTENCY_REPLAYED), replayed.clone().into());
        }
    }
}

/// Refusals with these codes, each under its status.
pub(super) fn problems(codes: &[ErrorCode]) -> Responses {
    let mut by_status: BTreeMap<u16, Vec<ErrorCode>> = BTreeMap::new();
    for &code in codes {
        by_status.entry(code.status()).or_default().push(code);
    }
    let answer =
        |(status, codes): (u16, Vec<ErrorCode>)| (status.to_string(), problem(status, &codes).into());
    by_status.into_iter().map(answer).collect()
}

/// The envelope of all refusals, with one example for each code.
fn problem(status: u16, codes: &[ErrorCode]) -> Response {
    let named: Vec<String> = codes.iter().map(|code| format!("`{code}`")).collect();
    let known = codes.iter().map(|code| Value::from(code.as_str()));
    let only = ObjectBuilder::new()
        .property("status", one_of(Type::Integer, [status.into()]))
        .property("code", one_of(Type::String, known));
    let schema = AllOfBuilder::new().item(of::<Problem>()).item(only);
    let examples = codes.iter().map(|&code| {
        let problem = serde_json::to_value(Problem::from(code)).ok();
        (code.as_str(), ExampleBuilder::new().summary(code.sentence()).value(problem))
    });
    let content =
        ContentBuilder::new().schema(Some(Schema::from(schema.build()))).examples_from_iter(examples).build();
    let answer = ResponseBuilder::new()
        .description(named.join(", "))
        .content(Problem::CONTENT_TYPE, content)
        .header("Cache-Control", required(text("`no-store`, but for answers of the cache", "no-store")));
    match codes.contains(&ErrorCode::Unavailable) || codes.contains(&ErrorCode::RateLimited) {
        true => answer.header("Retry-After", required(seconds())).build(),
        false => answer.build(),
    }
}

/// What every answer of the cache says of itself.
fn read(answer: ResponseBuilder) -> ResponseBuilder {
    let x_cache = string("Whether a cache answered").enum_values(Some(["HIT", "MISS", "BYPASS"]));
    let kept = string("`no-store` on what may be stale").enum_values(Some(["no-cache", "no-store"]));
    let etag = text("Of the content; not on what may be stale", "W/\"077244a9bcab0790f38e753f1db7bf9d\"");
    let warning = text("There when, and only when, the answer may be stale", headers::WARNING_STALE);
    answer
        .header(header_name(headers::X_CACHE), required(x_cache.build()))
        .header(header_name(headers::BAZAR_VERSION), required(schema::version()))
        .header("Cache-Control", required(kept.build()))
        .header("ETag", header(etag))
        .header("Warning", header(warning))
}

/// `parameter` of another operation, taken from this answer.
pub(super) fn link(operation: &str, parameter: &str, from: &str) -> Link {
    Link::builder().operation_id(operation).parameter(parameter, from).build()
}

/// A header that is always there.
pub(super) fn required(schema: Object) -> Header {
    // utoipa's header lacks this member; what is among its extensions is written beside the others.
    let mut member = Extensions::default();
    member.insert("required".into(), Value::Bool(true));
    let mut header = header(schema);
    header.extensions = Some(member);
    header
}

fn header(mut schema: Object) -> Header {
    let about = schema.description.take();
    HeaderBuilder::new().description(about).schema(Some(schema)).build()
}

fn of<T: ToSchema>() -> Ref {
    Ref::from_schema_name(T::name())
}

fn one_of(kind: Type, values: impl IntoIterator<Item = Value>) -> Object {
    ObjectBuilder::new().schema_type(SchemaType::new(kind)).enum_values(Some(values)).build()
}

fn seconds() -> Object {
    schema::whole(1..=3600, "Seconds to wait before another attempt", 1)
}

fn string(about: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).description(Some(about))
}

pub(super) fn text(about: &str, example: &str) -> Object {
    string(about).examples([Value::from(example)]).build()
}
