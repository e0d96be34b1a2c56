//! The description of the public API, OpenAPI 3.1, made from the code that serves it.
//!
//! | file | what it does |
//! |---|---|
//! | `endpoint` | a route together with its description; both come from one place |
//! | `parameters` | what requests bring along |
//! | `answers` | what comes back: statuses, headers, codes, examples |
//!
//! A new route of the API is a handler with `#[utoipa::path]` above it, a line in the list of its endpoints
//! (`routes::endpoints`), and, where it has bodies of its own, their names in [`Described`].

pub mod answers;
mod endpoint;
pub mod parameters;

pub use endpoint::{Endpoint, register};

use crate::wire::{Problem, public, splice};
use actix_web::http::header::{self, EntityTag, Header, IfNoneMatch};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use utoipa::OpenApi;
use utoipa::openapi::path::{PathItem, PathsBuilder};

/// The bodies, and what is said of the API as a whole.
#[derive(OpenApi)]
#[openapi(
    info(title = "Bazar", description = include_str!("about.md")),
    tags(
        (name = "catalog", description = "Books: reads from a cache that are never stale"),
        (name = "orders", description = "Purchases and what became of them"),
        (name = "operation", description = "For probes and tools"),
    ),
    components(schemas(
        Problem,
        splice::Served,
        public::BookView,
        public::SearchView,
        public::TopicsView,
        public::TopicView,
        public::PurchaseBody,
        public::PurchaseView,
        public::OrderView,
    ))
)]
struct Described;

/// The document about `endpoints`.
pub fn document(endpoints: Vec<Endpoint>) -> utoipa::openapi::OpenApi {
    let paths = endpoints.into_iter().fold(PathsBuilder::new(), |paths, endpoint| {
        let Endpoint { path, method, operation, .. } = endpoint;
        paths.path(path, PathItem::new(method, operation))
    });
    let mut document = Described::openapi();
    document.paths = paths.build();
    document
}

/// A document as it is served: always the same, so whoever keeps it need only ask whether it still is.
pub struct Served {
    json: Bytes,
    etag: EntityTag,
}

impl Served {
    pub fn new(document: &utoipa::openapi::OpenApi) -> Self {
        // A document is strings, numbers and maps with names: it always serializes.
        let json = Bytes::from(document.to_json().unwrap_or_default());
        let etag = EntityTag::new_strong(hex::encode(&Sha256::digest(&json)[..16]));
        Self { json, etag }
    }

    pub fn answer(&self, request: &HttpRequest) -> HttpResponse {
        let unchanged = match IfNoneMatch::parse(request) {
            Ok(IfNoneMatch::Any) => true,
            Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|tag| tag.weak_eq(&self.etag)),
            Err(_) => false,
        };
        let mut answer = if unchanged { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        answer.insert_header((header::CACHE_CONTROL, "no-cache"));
        answer.insert_header((header::ETAG, self.etag.to_string()));
        match unchanged {
            true => answer.finish(),
            false => answer.content_type("application/json").body(self.json.clone()),
        }
    }
}

/// `x-cache` as people write it: `X-Cache`.
fn header_name(name: &str) -> String {
    let capital = |part: &str| part[..1].to_ascii_uppercase() + &part[1..];
    name.split('-').map(capital).collect::<Vec<_>>().join("-")
}
