//! What a request may bring along, described once for all operations that take it.

use super::header_name;
use crate::frontend::demand::Demand;
use crate::wire::public::{DEFAULT_LIMIT, MAX_LIMIT};
use crate::wire::{headers, schema};
use serde_json::Value;
use utoipa::IntoParams;
use utoipa::openapi::Required;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{Object, ObjectBuilder, SchemaType, Type};

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
    /// The name of a purchase.
    Key => [header(
        &header_name(headers::IDEMPOTENCY_KEY),
        "What is bought again under the same key is not bought twice: the first answer is given again. The \
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

fn parameter(name: &str, place: ParameterIn, required: Required, schema: Object) -> ParameterBuilder {
    ParameterBuilder::new().name(name).parameter_in(place).required(required).schema(Some(schema))
}

fn limit() -> Object {
    let mut limit = schema::whole(1..=MAX_LIMIT.into(), "Books on a page", 10);
    limit.default = Some(DEFAULT_LIMIT.into());
    limit
}

fn consistency() -> Object {
    ObjectBuilder::new()
        .schema_type(SchemaType::new(Type::String))
        .enum_values(Some(["linearizable", "stale"]))
        .build()
}

fn text(example: &str) -> Object {
    ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).examples([Value::from(example)]).build()
}
