//! The public address: passes every request on to a frontend, and its answer back, as a load balancer in
//! front of the store does.
//!
//! Invariants: a request reaches a second frontend only if the first surely did not get it, or if it is safe
//! to repeat (a read; a purchase, which has its key, if need be one that we make, so that every answer names
//! it); bodies pass piece by piece in both directions, and are held back only as far as [`MAX_REPEATABLE`].

use super::frontends::{Frontend, Frontends};
use crate::client::BaseUrl;
use crate::pages::{self, Page, Section};
use crate::server::{ApiError, read_body};
use crate::wire::{ErrorCode, headers};
use actix_web::body::{BodyStream, SizedStream};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::web::{self, Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use awc::error::{ConnectError, SendRequestError};
use futures_util::Stream;
use maud::html;
use std::time::Duration;

/// Bodies up to this size are read before they are sent, so that they can be sent again. Every body of a
/// customer is smaller.
const MAX_REPEATABLE: usize = 64 << 10;

/// From the whole request to the head of an answer; a frontend takes 10 s at most for a purchase.
const PATIENCE: Duration = Duration::from_secs(15);

/// The same for what has a large body: an import takes its time.
const PATIENCE_WITH_A_LARGE_BODY: Duration = Duration::from_secs(600);

/// On the loopback a connection is there at once, or there is nobody.
const CONNECT_DEADLINE: Duration = Duration::from_millis(500);

/// Connections to all frontends from one thread: event streams keep theirs.
const CONNECTIONS: usize = 1024;

/// Between two hops only (RFC 9110, 7.6.1), or made anew for the next one.
const OF_ONE_HOP: [HeaderName; 10] = [
    header::CONNECTION,
    header::EXPECT,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::CONTENT_LENGTH,
];

/// What a thread sends with.
pub fn client() -> awc::Client {
    let connector = awc::Connector::new().timeout(CONNECT_DEADLINE).limit(CONNECTIONS);
    awc::Client::builder()
        .connector(connector)
        .disable_redirects()
        .no_default_headers()
        .disable_timeout()
        .finish()
}

/// A request on its way.
struct Passed {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Body,
    /// Nothing goes wrong if it is carried out twice.
    repeatable: bool,
}

enum Body {
    Whole(Bytes),
    Stream(Option<web::Payload>),
}

/// Why there is no answer.
enum Failure {
    /// The request never left.
    NotSent,
    /// It may or may not have been carried out.
    NoAnswer,
}

/// What is not for ourselves.
pub async fn pass_on(
    frontends: Data<Frontends>,
    client: Data<awc::Client>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let mut passed = Passed::read(&request, payload).await?;
    let patience = match passed.body {
        Body::Whole(_) => PATIENCE,
        Body::Stream(_) => PATIENCE_WITH_A_LARGE_BODY,
    };
    let answer = tokio::time::timeout(patience, try_in_turn(&frontends, &client, &mut passed)).await;
    Ok(answer.ok().flatten().unwrap_or_else(|| unanswered(&request, &passed)))
}

async fn try_in_turn(
    frontends: &Frontends,
    client: &awc::Client,
    passed: &mut Passed,
) -> Option<HttpResponse> {
    for frontend in frontends.in_turn() {
        match passed.try_at(frontend, client).await {
            Ok(answer) => return Some(answer),
            Err(Failure::NotSent) if passed.body_is_there() => {}
            Err(Failure::NoAnswer) if passed.body_is_there() && passed.repeatable => {}
            Err(_) => return None,
        }
    }
    None
}

impl Passed {
    async fn read(request: &HttpRequest, payload: web::Payload) -> Result<Self, ApiError> {
        let mut headers = between_ends(request.headers());
        let method = request.method().clone();
        let path = request.uri().path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
        let is_purchase = method == Method::POST && request.path().ends_with(PURCHASE_PATH);
        if is_purchase && !headers.contains_key(headers::IDEMPOTENCY_KEY) {
            let key = format!("bazar-demo-{:032x}", rand::random::<u128>());
            let key = HeaderValue::from_str(&key).map_err(|_| ApiError::from(ErrorCode::Internal))?;
            headers.insert(HeaderName::from_static(headers::IDEMPOTENCY_KEY), key);
        }
        let length = request.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        let has_body = length.is_some_and(|length| length > 0)
            || request.headers().contains_key(header::TRANSFER_ENCODING);
        let body = match length {
            _ if !has_body => Body::Whole(Bytes::new()),
            Some(length) if length <= MAX_REPEATABLE => {
                Body::Whole(read_body(payload, MAX_REPEATABLE).await?)
            }
            _ => Body::Stream(Some(payload)),
        };
        let keyed = headers.contains_key(headers::IDEMPOTENCY_KEY);
        Ok(Self { repeatable: method.is_safe() || keyed, method, path, headers, body })
    }

    fn body_is_there(&self) -> bool {
        matches!(self.body, Body::Whole(_) | Body::Stream(Some(_)))
    }

    async fn try_at(&mut self, frontend: &Frontend, client: &awc::Client) -> Result<HttpResponse, Failure> {
        let addr = frontend.addr().ok_or(Failure::NotSent)?;
        let mut request =
            client.request(self.method.clone(), format!("{}{}", BaseUrl::from_addr(addr), self.path));
        *request.headers_mut() = self.headers.clone();
        let request = request.no_decompress();
        let sent = match &mut self.body {
            Body::Whole(body) => request.send_body(body.clone()),
            Body::Stream(payload) => match payload.take() {
                Some(payload) => request.send_stream(payload.into_inner()),
                None => return Err(Failure::NotSent),
            },
        };
        let answer = tokio::select! {
            answer = sent => answer,
            () = frontend.ill(), if self.repeatable => return Err(Failure::NoAnswer),
        };
        match answer {
            Ok(answer) => Ok(handed_back(&self.method, answer)),
            Err(error) => {
                frontend.failed();
                Err(match error {
                    SendRequestError::Connect(ConnectError::Disconnected) => Failure::NoAnswer,
                    SendRequestError::Connect(_) => Failure::NotSent,
                    _ => Failure::NoAnswer,
                })
            }
        }
    }
}

/// The end of every path to which a purchase is posted.
const PURCHASE_PATH: &str = "/purchase";

fn handed_back<S>(method: &Method, answer: awc::ClientResponse<S>) -> HttpResponse
where
    S: Stream<Item = Result<Bytes, awc::error::PayloadError>> + Unpin + 'static,
{
    let mut response = HttpResponse::build(answer.status());
    for (name, value) in &between_ends(answer.headers()) {
        response.append_header((name.clone(), value.clone()));
    }
    let length = answer.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let nothing = matches!(answer.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    match length {
        _ if nothing => response.finish(),
        Some(length) => response.body(SizedStream::new(length, answer)),
        None if *method == Method::HEAD => response.finish(),
        None => response.body(BodyStream::new(answer)),
    }
}

/// The headers that are for the other end.
fn between_ends(all: &HeaderMap) -> HeaderMap {
    let named = all.get_all(header::CONNECTION).filter_map(|names| names.to_str().ok());
    let named: Vec<String> =
        named.flat_map(|names| names.split(',')).map(|name| name.trim().to_ascii_lowercase()).collect();
    let mut passed = HeaderMap::with_capacity(all.capacity());
    for (name, value) in all {
        if !OF_ONE_HOP.contains(name) && !named.iter().any(|of_hop| of_hop == name.as_str()) {
            passed.append(name.clone(), value.clone());
        }
    }
    passed
}

/// No frontend answered.
fn unanswered(request: &HttpRequest, passed: &Passed) -> HttpResponse {
    if pages::is_for_a_person(request) {
        return sorry(passed);
    }
    let mut answer = actix_web::ResponseError::error_response(&ApiError::from(ErrorCode::Unavailable));
    if let Some(key) = passed.headers.get(headers::IDEMPOTENCY_KEY) {
        answer.headers_mut().insert(HeaderName::from_static(headers::IDEMPOTENCY_KEY), key.clone());
    }
    answer
}

fn sorry(passed: &Passed) -> HttpResponse {
    let main = html! {
        h1 { "No frontend answers" }
        p {
            "All of them are down, paused or starting. "
            a href="/dashboard" { "The dashboard" } " shows it, and when they are back."
        }
        @if passed.method.is_safe() {
            p { "Reload this page." }
        } @else {
            p {
                "Whether what you sent was done is not known. Go back and send it again: an order has a key, and is \
                 placed once however often it is sent."
            }
        }
    };
    let page = Page {
        title: "No frontend answers",
        section: Section::Shop,
        words: "",
        styles: &[],
        scripts: &[],
        main,
    };
    let mut answer = page.answer(StatusCode::SERVICE_UNAVAILABLE);
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}
