//! The description of the API, OpenAPI 3.1, made from the code that serves it.
//!
//! | file | what it does |
//! |---|---|
//! | `endpoint` | a route together with its description; both come from one place |
//! | `parameters` | what requests bring along |
//! | `answers` | what comes back: statuses, headers, codes, examples |
//! | `administration` | the part that is there only with an admin token |
//! | `page` | the description as a page to read and to try |
//!
//! A new route of the API is a handler with `#[utoipa::path]` above it, a line in the list of its endpoints
//! (`routes::endpoints`, `admin::endpoints`), and, where it has bodies of its own, their names in [`Described`] or
//! [`Administration`].

pub mod administration;
pub mod answers;
mod endpoint;
mod page;
pub mod parameters;

use administration::Administration;
pub use endpoint::{Endpoint, register, register_below};
pub use page::Docs;

use crate::wire::{Problem, public, splice};
use actix_web::http::header::{self, EntityTag, Header, IfNoneMatch};
use actix_web::web::ServiceConfig;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use utoipa::OpenApi;
use utoipa::openapi::path::PathsBuilder;

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
        public::StockEvent,
    ))
)]
struct Described;

/// The document about what a store without an admin token serves.
pub fn of_shop(endpoints: Vec<Endpoint>) -> utoipa::openapi::OpenApi {
    with_paths(Described::openapi(), endpoints)
}

/// The document about all that there is.
pub fn of_all(endpoints: Vec<Endpoint>, administration: Vec<Endpoint>) -> utoipa::openapi::OpenApi {
    of_shop(endpoints).merge_from(with_paths(Administration::openapi(), administration))
}

fn with_paths(mut document: utoipa::openapi::OpenApi, endpoints: Vec<Endpoint>) -> utoipa::openapi::OpenApi {
    let paths = endpoints.into_iter().fold(PathsBuilder::new(), |paths, endpoint| {
        let (path, item) = endpoint.described();
        paths.path(path, item)
    });
    document.paths = paths.build();
    document
}

/// Serves what the page needs.
pub fn configure(config: &mut ServiceConfig) {
    for asset in [&page::STYLE, &page::SCRIPT] {
        asset.configure(config);
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frontend::{admin, routes};
    use serde_json::Value;
    use std::collections::BTreeSet;

    fn described() -> Value {
        serde_json::to_value(of_all(routes::endpoints(), admin::endpoints())).unwrap()
    }

    fn endpoints() -> Vec<Endpoint> {
        routes::endpoints().into_iter().chain(admin::endpoints()).collect()
    }

    /// Every value in `document`, and the name that it has.
    fn walk<'a>(document: &'a Value, look: &mut impl FnMut(&'a str, &'a Value)) {
        match document {
            Value::Object(members) => members.iter().for_each(|(name, value)| {
                look(name, value);
                walk(value, look);
            }),
            Value::Array(items) => items.iter().for_each(|item| walk(item, look)),
            _ => {}
        }
    }

    #[test]
    fn every_endpoint_is_in_the_document_and_tells_what_it_is_for() {
        let document = described();
        let tags: Vec<_> = document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
        let mut names = BTreeSet::new();
        for endpoint in endpoints() {
            let operation =
                &document["paths"][&endpoint.path][endpoint.method().as_str().to_ascii_lowercase()];
            assert!(names.insert(operation["operationId"].to_string()), "{}", endpoint.path);
            assert!(operation["summary"].is_string(), "{}", endpoint.path);
            assert!(tags.contains(&&operation["tags"][0]), "{}", endpoint.path);
        }
    }

    #[test]
    fn whatever_the_document_refers_to_is_in_it() {
        let document = described();
        let (mut references, mut links) = (0, 0);
        walk(&document, &mut |name, value| match (name, value.as_str()) {
            ("$ref", Some(reference)) => {
                references += 1;
                assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
            }
            ("links", _) => {
                for link in value.as_object().unwrap().values() {
                    links += 1;
                    let known = endpoints()
                        .iter()
                        .any(|e| e.operation.operation_id.as_deref() == link["operationId"].as_str());
                    assert!(known, "{link}");
                }
            }
            _ => {}
        });
        assert!(references > 60 && links > 4);
    }

    #[test]
    fn every_code_stands_under_its_status_with_an_example() {
        let document = described();
        let mut seen = BTreeSet::new();
        for item in document["paths"].as_object().unwrap().values() {
            walk(item, &mut |name, responses| {
                let Some(responses) = responses.as_object().filter(|_| name == "responses") else { return };
                for (status, response) in responses {
                    let problem = &response["content"][Problem::CONTENT_TYPE];
                    for (code, example) in problem["examples"].as_object().into_iter().flatten() {
                        let code = crate::wire::ErrorCode::parse(code).unwrap();
                        assert_eq!(*status, code.status().to_string());
                        assert_eq!(example["value"], serde_json::to_value(Problem::from(code)).unwrap());
                        seen.insert(code.as_str());
                    }
                }
            });
        }
        for code in [
            "book_not_found",
            "out_of_stock",
            "underpaid",
            "version_unavailable",
            "unavailable",
            "unauthorized",
            "precondition_failed",
            "precondition_required",
        ] {
            assert!(seen.contains(code), "{code}");
        }
    }
    #[test]
    fn the_administration_is_behind_its_token_and_nothing_else_is() {
        let document = described();
        let mut guarded = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let is_guarded = operation["security"] == serde_json::json!([{ "admin": [] }]);
                assert_eq!(is_guarded, path.starts_with("/admin/api/"), "{method} {path}");
                assert_eq!(is_guarded, operation["responses"]["401"].is_object(), "{method} {path}");
                assert!(!is_guarded || guarded.insert((path, method)));
            }
        }
        assert_eq!(guarded.len(), admin::endpoints().len());
        let scheme = &document["components"]["securitySchemes"]["admin"];
        assert_eq!((scheme["type"].as_str(), scheme["scheme"].as_str()), (Some("http"), Some("bearer")));
    }

    #[test]
    fn without_a_token_nothing_is_said_of_what_is_not_there() {
        let shop = serde_json::to_value(of_shop(routes::endpoints())).unwrap();
        assert!(shop["paths"].as_object().unwrap().keys().all(|path| !path.starts_with("/admin")));
        assert!(shop["components"]["securitySchemes"].is_null());
        assert!(shop["components"]["schemas"]["KeptBook"].is_null());
        assert!(shop["paths"]["/events"]["get"].is_object());
    }
}
