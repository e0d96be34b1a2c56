//! `GET /metrics`: what a role counts, for whoever scrapes it.
//!
//! On internal listeners only, and with a token of its own: a scraper cannot sign its requests, and with what it has
//! it can do nothing else. Where no token is configured there is nothing here.

use super::{ApiError, resource};
use crate::metrics::Exposition;
use crate::token::MetricsTokens;
use crate::wire::ErrorCode;
use crate::wire::status::METRICS;
use actix_web::http::header;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

/// What is exposed, and to whom. Cheap to clone.
#[derive(Clone)]
pub struct Exposed {
    exposition: Exposition,
    tokens: Option<MetricsTokens>,
}

impl Exposed {
    pub fn new(exposition: Exposition, tokens: Option<MetricsTokens>) -> Self {
        Self { exposition, tokens }
    }

    /// To be registered before whatever wants the internal token.
    pub fn configure(self, config: &mut ServiceConfig) {
        config.app_data(Data::new(self)).service(resource(METRICS, "GET", web::get().to(metrics)));
    }
}

async fn metrics(exposed: Data<Exposed>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let Some(tokens) = &exposed.tokens else { return Err(ErrorCode::NotFound.into()) };
    let given = request.headers().get(header::AUTHORIZATION);
    if !given.is_some_and(|given| tokens.authorize(given.as_bytes())) {
        return Err(ErrorCode::Unauthorized.into());
    }
    Ok(HttpResponse::Ok()
        .content_type(Exposition::CONTENT_TYPE)
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(exposed.exposition.text()))
}
