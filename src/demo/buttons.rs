//! The routes below `/demo`: what is pressed, and what is shown.
//!
//! | request | body | what it does |
//! |---|---|---|
//! | `GET /demo` | | how things stand |
//! | `POST /demo/faults` | `role`, `kind` (kill, pause, cut), `seconds` | does it |
//! | `POST /demo/heal` | | ends pauses and cuts |
//! | `POST /demo/redis` | `errand` (flush, poison) | does it |
//! | `POST /demo/load` | `action` (start, stop), `rate`, `purchases` (percent) | does it |
//!
//! Each takes JSON, or a form with its `token`; who sent a form gets the dashboard back.

use super::faults::{Kind, LONGEST};
use super::guard::from_here;
use super::loading::{PURCHASE_PERCENT, PURCHASES, RATE, RATES};
use super::place::Place;
use super::{Demo, Errand};

use crate::pages::{self, Page, Section};
use crate::server::{ApiError, read_body, resource};
use crate::wire::{ErrorCode, Problem};
use actix_web::http::{StatusCode, header};
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use maud::html;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_json::{Map, Value};
use std::ops::RangeInclusive;
use std::time::Duration;

/// What a button sends is a few words.
const MAX_BODY: usize = 4 << 10;

/// Where who pressed a button without script is sent back to.
const PANEL: &str = "/dashboard#faults";

/// Unless another time is asked for.
const SECONDS: u64 = 5;

/// Numbers are text in a form, and JSON may have either.
#[derive(Debug, Deserialize)]
struct FaultPress {
    role: String,
    kind: Kind,
    #[serde(default)]
    seconds: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct RedisPress {
    errand: Errand,
}

#[derive(Debug, Deserialize)]
struct LoadPress {
    action: Action,
    #[serde(default)]
    rate: Option<Value>,
    #[serde(default)]
    purchases: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Start,
    Stop,
}

#[derive(Debug, Deserialize)]
struct Nothing {}

#[derive(Debug, Deserialize)]
struct Token {
    token: String,
}

pub fn configure(config: &mut ServiceConfig) {
    config.service(
        web::scope("/demo")
            .wrap(from_fn(from_here))
            .service(resource("", "GET", web::get().to(show)))
            .service(resource("/faults", "POST", web::post().to(inflict)))
            .service(resource("/heal", "POST", web::post().to(heal)))
            .service(resource("/redis", "POST", web::post().to(redis)))
            .service(resource("/load", "POST", web::post().to(load))),
    );
}

async fn show(demo: Data<Demo>) -> HttpResponse {
    json(&demo)
}

async fn inflict(demo: Data<Demo>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let pressed = async {
        let FaultPress { role, kind, seconds } = read(&demo, &request, payload).await?;
        let place: Place = role.parse().map_err(invalid)?;
        let seconds = within("seconds", seconds, SECONDS, 1..=LONGEST.as_secs())?;
        demo.faults.inflict(place, kind, Duration::from_secs(seconds)).map_err(invalid)
    };
    answer(&demo, &request, pressed.await)
}

async fn heal(demo: Data<Demo>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let pressed = read(&demo, &request, payload).await;
    answer(&demo, &request, pressed.map(|Nothing {}| demo.faults.heal()))
}

async fn redis(demo: Data<Demo>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let pressed = async {
        let RedisPress { errand } = read(&demo, &request, payload).await?;
        demo.meddle(errand).await.map_err(|trouble| invalid(trouble.to_string()))
    };
    answer(&demo, &request, pressed.await)
}

async fn load(demo: Data<Demo>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let pressed = async {
        let LoadPress { action, rate, purchases } = read(&demo, &request, payload).await?;
        let rate = within("rate", rate, RATE, RATES)?;
        let purchases = within("purchases", purchases, PURCHASE_PERCENT, PURCHASES)?;
        match action {
            Action::Start => demo.loading.start(rate, purchases).map_err(invalid),
            Action::Stop => {
                demo.loading.stop();
                Ok(())
            }
        }
    };
    answer(&demo, &request, pressed.await)
}

/// What was pressed, if it may be.
async fn read<T: DeserializeOwned>(
    demo: &Demo,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<T, Problem> {
    let body = read_body(payload, MAX_BODY).await?;
    if !is_form(request) {
        let is_json = request
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().to_ascii_lowercase().starts_with(b"application/json"));
        if !is_json {
            return Err(ErrorCode::UnsupportedMediaType.into());
        }
        return serde_json::from_slice(&body).map_err(|error| match error.classify() {
            Category::Data => invalid(error.to_string()),
            _ => invalid("the body must be a JSON object"),
        });
    }
    // What curl's -d makes of JSON when it is told nothing else.
    if serde_json::from_slice::<Map<String, Value>>(&body).is_ok() {
        return Err(Problem::new(
            ErrorCode::UnsupportedMediaType,
            "this is JSON and says that it is a form: send it with content-type: application/json",
        ));
    }
    let text = String::from_utf8_lossy(&body);
    match form::<Token>(&text) {
        Ok(Token { token }) if demo.token.is(&token) => form(&text),
        Ok(_) => {
            Err(Problem::new(ErrorCode::Forbidden, "this form is not of a page that is open now: reload it"))
        }
        Err(_) => Err(Problem::new(
            ErrorCode::Forbidden,
            "a form needs the token of a page that is open; without one, send JSON with content-type: \
             application/json",
        )),
    }
}

fn form<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    web::Query::<T>::from_query(text).map(web::Query::into_inner).map_err(|error| invalid(error.to_string()))
}

fn is_form(request: &HttpRequest) -> bool {
    request.headers().get(header::CONTENT_TYPE).is_some_and(|kind| {
        kind.as_bytes().to_ascii_lowercase().starts_with(b"application/x-www-form-urlencoded")
    })
}

fn within<T>(name: &str, given: Option<Value>, usual: T, range: RangeInclusive<T>) -> Result<T, Problem>
where
    T: TryFrom<u64> + std::str::FromStr + PartialOrd + Copy + std::fmt::Display,
{
    let value = match given {
        None | Some(Value::Null) => Some(usual),
        Some(Value::String(text)) => text.parse().ok(),
        Some(value) => value.as_u64().and_then(|number| T::try_from(number).ok()),
    };
    value.filter(|value| range.contains(value)).ok_or_else(|| {
        invalid(format!("{name} must be a whole number between {} and {}", range.start(), range.end()))
    })
}

fn invalid(sentence: impl Into<String>) -> Problem {
    Problem::new(ErrorCode::InvalidRequest, sentence)
}

fn answer(demo: &Demo, request: &HttpRequest, done: Result<(), Problem>) -> HttpResponse {
    match done {
        Ok(()) if is_form(request) => {
            HttpResponse::SeeOther().insert_header((header::LOCATION, PANEL)).finish()
        }
        Ok(()) => json(demo),
        Err(problem) if pages::is_for_a_person(request) => refused(&problem),
        Err(problem) => ApiError(problem).error_response(),
    }
}

fn json(demo: &Demo) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(demo.view())
}

fn refused(problem: &Problem) -> HttpResponse {
    let main = html! {
        h1 { "That was not done" }
        p { (problem.error) }
        p { a href=(PANEL) { "Back to the dashboard" } }
    };
    let page = Page {
        title: "That was not done",
        section: Section::Dashboard,
        words: "",
        styles: &[],
        scripts: &[],
        main,
    };
    let status = StatusCode::from_u16(problem.code.status()).unwrap_or(StatusCode::BAD_REQUEST);
    page.answer(status)
}
