//! A route of the API: served where, and only where, its description says.
//!
//! Invariant: path and method have one place, the `#[utoipa::path]` above the handler. From there the route
//! is registered, with its service prefix and without, and from there the document is made.

use super::answers;
use crate::server::resource_of;
use actix_web::Route;
use actix_web::http::Method;
use actix_web::web::ServiceConfig;
use utoipa::openapi::path::{HttpMethod, Operation, PathItem};
use utoipa::openapi::security::SecurityRequirement;

/// Every route of theirs answers without them as well.
const PREFIXES: [&str; 2] = ["/catalog-service", "/order-service"];

pub struct Endpoint {
    pub path: String,
    method: HttpMethod,
    pub operation: Operation,
    route: fn() -> Route,
}

impl Endpoint {
    /// `D` describes the handler that `route` leads to: `#[utoipa::path]` above a function `info` makes a
    /// type `__path_info`. `tag` is the part of the document in which it stands.
    pub fn new<D: utoipa::Path>(tag: &str, route: fn() -> Route) -> Self {
        // The attribute allows for several methods; no route of ours has them.
        let method = D::methods().into_iter().next().unwrap_or(HttpMethod::Get);
        let mut operation = D::operation();
        operation.tags = Some(vec![tag.to_owned()]);
        // The gate stands before all of them.
        let (status, refusal) = answers::too_many();
        operation.responses.responses.insert(status, refusal.into());
        Self { path: D::path(), method, operation, route }
    }

    /// It is served only to who shows what `scheme`, a security scheme of the document, asks for.
    pub fn behind(mut self, scheme: &str) -> Self {
        self.operation.security = Some(vec![SecurityRequirement::new(scheme, [""; 0])]);
        let (status, refusal) = answers::unauthorized();
        self.operation.responses.responses.insert(status, refusal.into());
        self
    }

    /// What it answers to: its path, and the same without its service prefix.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let short = PREFIXES.iter().find_map(|prefix| self.path.strip_prefix(prefix));
        short.into_iter().chain([self.path.as_str()])
    }

    /// How it stands in the document.
    pub fn described(self) -> (String, PathItem) {
        (self.path, PathItem::new(self.method, self.operation))
    }

    pub fn method(&self) -> Method {
        match self.method {
            HttpMethod::Get => Method::GET,
            HttpMethod::Post => Method::POST,
            HttpMethod::Put => Method::PUT,
            HttpMethod::Delete => Method::DELETE,
            HttpMethod::Options => Method::OPTIONS,
            HttpMethod::Head => Method::HEAD,
            HttpMethod::Patch => Method::PATCH,
            HttpMethod::Trace => Method::TRACE,
        }
    }
}

/// Serves them, in their order: those that stand side by side with the same path are one resource.
pub fn register(config: &mut ServiceConfig, endpoints: &[Endpoint]) {
    register_below(config, "", endpoints);
}

/// The same in the scope of `root`, with which all their paths begin.
pub fn register_below(config: &mut ServiceConfig, root: &str, endpoints: &[Endpoint]) {
    for alike in endpoints.chunk_by(|one, next| one.path == next.path) {
        for path in alike.first().into_iter().flat_map(Endpoint::paths) {
            let routes = alike.iter().map(|endpoint| (endpoint.method(), (endpoint.route)()));
            config.service(resource_of(path.strip_prefix(root).unwrap_or(path), routes));
        }
    }
}
