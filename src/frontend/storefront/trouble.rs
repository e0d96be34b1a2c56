//! What goes wrong, as a page: what it is, and what to do about it.

use super::visit::View;
use super::{SCRIPT, STYLE};
use crate::pages::{Page, Section, is_for_a_person};
use crate::server::ApiError;
use crate::wire::{ErrorCode, Problem};
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use maud::{Markup, html};

/// Seconds after which it may go better.
pub const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

pub fn view(problem: &Problem) -> View {
    let status = ApiError(problem.clone()).status_code();
    let (title, advice) = words(problem);
    let main = html! {
        section.trouble {
            p.code aria-hidden="true" { (status.as_u16()) }
            h1 { (title) }
            (advice)
            p.actions {
                a.button href="/" { "Look around the shop" }
                a.button.quiet href="/my-orders" { "My orders" }
            }
        }
    };
    View::new(title, main).with_status(status)
}

fn words(problem: &Problem) -> (&'static str, Markup) {
    let say = |title, sentence: &str| (title, html! { p { (sentence) } });
    match problem.code {
        ErrorCode::NotFound => say(
            "There is no such page",
            "The address may have a slip in it. The search box above finds books by the words of their titles.",
        ),
        ErrorCode::BookNotFound => {
            say("We do not have that book", "It may have left the shop since the link was made.")
        }
        ErrorCode::OrderNotFound => say(
            "There is no order under this address",
            "An order's address has 32 digits and letters: one may be missing. Orders that were made in this browser are under “My orders”.",
        ),
        ErrorCode::MethodNotAllowed => say(
            "This address is for forms only",
            "It is where a “Buy” button leads. Nothing was bought by coming here.",
        ),
        ErrorCode::InvalidRequest => (
            "That does not read right",
            html! { p { "The shop does not understand what was asked: " (problem.error) "." } },
        ),
        ErrorCode::PayloadTooLarge => {
            say("That is too much at once", "The form that came was larger than any of ours.")
        }
        ErrorCode::RequestTimeout => say(
            "The form did not arrive",
            "It broke off on the way, and nothing was bought by it. Please go back and try again.",
        ),
        ErrorCode::RateLimited => say(
            "That was a little fast",
            "Many purchases came from your address, which others may share. Nothing was bought: please go back and try again in a moment.",
        ),
        ErrorCode::Unavailable => say(
            "The shop is out of reach",
            "A part of it does not answer right now. It usually does again within seconds: please load this page again.",
        ),
        _ => say(
            "Something went wrong here",
            "It is not your doing, and it has been written down. Please try again.",
        ),
    }
}

/// For addresses that nobody knows: a page for people, the usual envelope for programs.
pub async fn nothing_here(request: HttpRequest) -> HttpResponse {
    let problem = Problem::from(ErrorCode::NotFound);
    match is_for_a_person(&request) {
        true => page(&problem),
        false => ApiError(problem).error_response(),
    }
}

/// Of an address that takes `allowed` only.
pub async fn other_method(allowed: &'static str) -> HttpResponse {
    let mut answer = page(&ErrorCode::MethodNotAllowed.into());
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    answer
}

fn page(problem: &Problem) -> HttpResponse {
    let view = view(problem);
    let (title, main, styles, scripts) = (&view.title, view.main, &[&STYLE][..], &[&SCRIPT][..]);
    Page { title, section: Section::Shop, words: "", styles, scripts, main }.answer(view.status)
}
