//! What a request may bring along, described once for all operations that take it.

use super::header_name;
use crate::frontend::demand::Demand;
use crate::frontend::live::MAX_BOOKS;
use crate::wire::public::{DEFAULT_LIMIT, MAX_LIMIT};
use crate::wire::{headers, schema};
use serde_json::Value;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn, ParameterStyle};
use utoipa::openapi::schema::{ArrayBuilder, Object, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{RefOr, Required};

/// A type that stands for some parameters in `#[utoipa::path(params(…))]`.
macro_rules! parameters {
    ($($(#[$doc:meta])* $name:ident => $parameters:expr;)*) => {$(
        $(#[$doc])*
        pub struct $name;
        parameters!(of $name => $parameters);
    )*};
    (of $name:ty => $parameters:expr) => {
        impl IntoParams for $name {
            fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
                $parameters.into()
            }
        }
    };
}

parameters! {
    BookNumber => [path("id", schema::book_id())];
    TopicName => [path("topic", schema::topic())];
    OrderNumber => [path("id", schema::order_id())];
    /// Pages of a topic.
    PageOfTopic => [
        query("limit", "How many books at most", limit(), Required::False),
        query("after", "Go on behind this book", schema::book_id(), Required::False),
    ];
    /// Pages of what a search found.
    PageFound => [
        query("q", "What to search the titles for", schema::words(), Required::True),
        query("limit", "How many books at most", limit(), Required::False),
        query("after", "Go on behind this place", schema::rank(), Required::False),
    ];
    /// Whose answer the client has already.
    Revalidation => [header(
        "If-None-Match",
        "Tags of answers that the client has: 304 if one of them is still right",
        text("W/\"077244a9bcab0790f38e753f1db7bf9d\""),
    )];
    /// Pages of all books, or of what a search found, to their keeper.
    KeptPage => [
        query("q", "What to search the titles for; without it, all are listed", schema::words(), Required::False),
        query("limit", "How many books at most", limit(), Required::False),
        query(
            "after",
            "Go on behind this place: with `q` one among what was found, else the number of a book",
            schema::place(),
            Required::False,
        ),
    ];
    /// Pages of orders.
    PageOfOrders => [
        query("book", "Only orders of this book", schema::book_id(), Required::False),
        query("from", "Only orders that were taken in at this time or later", schema::time(), Required::False),
        query("to", "Only orders that were taken in before this time", schema::time(), Required::False),
        query("limit", "How many orders at most", limit(), Required::False),
        query("after", "Go on behind this order", schema::order_id(), Required::False),
    ];
    /// How an import is to be read.
    HowToImport => [
        query(
            "format",
            "What the lines are; unless given, the media type says it, or the first line",
            one_of(["csv", "jsonl"]),
            Required::False,
        ),
        query("strict", "Stop with a 400 at the first line that is no book", truth(), Required::False),
        query("dryRun", "Only read and check", truth(), Required::False),
        query("again", "Take in what was imported before once more", truth(), Required::False),
    ];
    /// What the editor saw.
    Seen => [parameter("If-Match", ParameterIn::Header, Required::True, schema::seen())
        .description(Some("The book's tag as the editor saw it, or `*`: 412 if it was changed since"))
        .build()];
    /// Books of a page that is kept current.
    Watched => [parameter("books", ParameterIn::Query, Required::True, watched())
        .description(Some("Numbers of books, between commas"))
        .style(Some(ParameterStyle::Form))
        .explode(Some(false))
        .build()];
    /// The name of a purchase or another change.
    Key => [header(
        &header_name(headers::IDEMPOTENCY_KEY),
        "What is asked for again under the same key is not done twice: the first answer is given again. The \
         store makes a key if there is none.",
        schema::idempotency_key(),
    )];
}

parameters!(of Demand => [
    header(&header_name(headers::BAZAR_CONSISTENCY), CONSISTENCY, consistency()),
    header(&header_name(headers::BAZAR_MIN_VERSION), MIN_VERSION, schema::version()),
]);

const CONSISTENCY: &str = "`linearizable`: the latest, or a 503. `stale`: whatever is nearest, with `Warning: 110` \
    if it may be old. Without it: the latest, and only when the master cannot be reached a stale answer with \
    that warning.";

const MIN_VERSION: &str =
    "The answer is not older than this, as `Bazar-Version` or a purchase's `version` said";

fn path(name: &str, mut schema: Object) -> Parameter {
    let about = schema.description.take();
    parameter(name, ParameterIn::Path, Required::True, schema).description(about).build()
}

fn query(name: &str, about: &str, schema: Object, required: Required) -> Parameter {
    parameter(name, ParameterIn::Query, required, schema).description(Some(about)).build()
}

fn header(name: &str, about: &str, schema: Object) -> Parameter {
    parameter(name, ParameterIn::Header, Required::False, schema).description(Some(about)).build()
}

fn parameter(
    name: &str,
    place: ParameterIn,
    required: Required,
    schema: impl Into<RefOr<Schema>>,
) -> ParameterBuilder {
    ParameterBuilder::new().name(name).parameter_in(place).required(required).schema(Some(schema))
}

fn limit() -> Object {
    let mut limit = schema::whole(1..=MAX_LIMIT.into(), "Items on a page", 10);
    limit.default = Some(DEFAULT_LIMIT.into());
    limit
}

fn watched() -> ArrayBuilder {
    ArrayBuilder::new().items(schema::book_id()).min_items(Some(1)).max_items(Some(MAX_BOOKS))
}

fn consistency() -> Object {
    one_of(["linearizable", "stale"])
}

fn one_of<const N: usize>(words: [&str; N]) -> Object {
    ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).enum_values(Some(words)).build()
}

fn truth() -> Object {
    ObjectBuilder::new().schema_type(SchemaType::new(Type::Boolean)).default(Some(false.into())).build()
}

fn text(example: &str) -> Object {
    ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).examples([Value::from(example)]).build()
}
