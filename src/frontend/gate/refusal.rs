//! What who is not let in is told: quickly, for it may be one of many. Nothing is looked up for it.

use crate::clock;
use crate::coherence::Moment;
use crate::server::ApiError;
use crate::wire::{ErrorCode, Problem};
use actix_web::dev::RequestHead;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use maud::{DOCTYPE, html};
use parking_lot::Mutex;
use std::net::IpAddr;
use std::time::Duration;

/// Between two lines in the log.
const QUIET: Duration = Duration::from_secs(10);

/// The envelope, or for people a page that loads nothing.
pub fn answer(request: &RequestHead, problem: &Problem) -> HttpResponse {
    let mut answer = ApiError(problem.clone()).error_response();
    let accepts = request.headers.get(header::ACCEPT).and_then(|accepts| accepts.to_str().ok());
    if !accepts.is_some_and(|accepts| accepts.contains("text/html")) {
        return answer;
    }
    let sentence = match problem.code {
        ErrorCode::RateLimited => "That was a little fast. Load this page again in a moment.",
        ErrorCode::UriTooLong => "That address is too long.",
        ErrorCode::UnknownHost => "The shop does not answer to this name.",
        _ => "That did not work.",
    };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { "Bazar" }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
            }
            body { main { h1 { "Bazar" } p { (sentence) } } }
        }
    };
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    answer.set_body(page.into_string()).map_into_boxed_body()
}

/// How many were refused that the log has not been told of.
#[derive(Default)]
pub struct Refusals(Mutex<Untold>);

#[derive(Default)]
struct Untold {
    told: Moment,
    refused: u64,
}

impl Refusals {
    /// Somebody was refused. Who hammers at the gate cannot fill the disk.
    pub fn tell(&self, client: IpAddr, what: &str) {
        if let Some(refused) = self.0.lock().refused(clock::now()) {
            log::warn!("too many {what} from {client}: refused, and {refused} of anybody before");
        }
    }
}

impl Untold {
    /// Whether this one is to be told, and then how many before it were not.
    fn refused(&mut self, now: Moment) -> Option<u64> {
        if self.told != Moment::default() && now < self.told.after(QUIET) {
            self.refused += 1;
            return None;
        }
        self.told = now;
        Some(std::mem::take(&mut self.refused))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_told_once_in_a_while_and_then_of_all() {
        let mut untold = Untold::default();
        let at = |seconds: u64| Moment(seconds * 1_000_000_000);
        assert_eq!(untold.refused(at(1)), Some(0));
        assert!((0..99).all(|_| untold.refused(at(2)).is_none()));
        assert_eq!(untold.refused(at(12)), Some(99));
    }
}
