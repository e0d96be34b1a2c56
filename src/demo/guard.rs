//! Who may press the buttons: somebody at this machine, on a page of ours.
//!
//! The listener is on the loopback, so nobody else reaches it; but a page from anywhere, open in a browser
//! here, can make that browser send requests to the loopback. Three things keep it from doing harm:
//! a `Host` that is not a name of the loopback is refused (DNS rebinding); a `POST` that says that it comes
//! from another origin is refused; and a form, which any page could have posted, carries a token that only our
//! pages show. JSON needs none: a browser asks first before it sends that elsewhere, and gets no leave.

use crate::server::ApiError;
use crate::wire::{ErrorCode, Problem};
use actix_web::ResponseError;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::guard::GuardContext;
use actix_web::http::header::{self, HeaderMap};
use actix_web::middleware::Next;
use std::net::IpAddr;
use subtle::ConstantTimeEq;

/// What the forms of our pages carry.
#[derive(Debug, Clone)]
pub struct FormToken(String);

impl FormToken {
    /// Of 128 random bits, for one life of the supervisor.
    pub fn random() -> Self {
        Self(format!("{:032x}", rand::random::<u128>()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is(&self, given: &str) -> bool {
        bool::from(self.0.as_bytes().ct_eq(given.as_bytes()))
    }
}

/// Lets a request through that comes from this machine and, if it changes anything, from no other page.
pub async fn from_here(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    match refusal(request.headers(), request.method().is_safe()) {
        None => Ok(next.call(request).await?.map_into_boxed_body()),
        Some(sentence) => {
            let problem = Problem::new(ErrorCode::Forbidden, sentence);
            Ok(request.into_response(ApiError(problem).error_response()))
        }
    }
}

/// Whether a request is made in a name that is not of this machine.
pub fn is_foreign(request: &GuardContext<'_>) -> bool {
    refusal(request.head().headers(), true).is_some()
}

/// Why a request with these headers is refused.
fn refusal(headers: &HeaderMap, safe: bool) -> Option<&'static str> {
    let text = |name| headers.get(&name).map(|value| value.to_str().unwrap_or_default());
    let host = text(header::HOST).unwrap_or_default();
    if !is_loopback(host) {
        return Some("this address is for names of this machine only, such as 127.0.0.1 or localhost");
    }
    if safe {
        return None;
    }
    let same_origin = text(header::ORIGIN).is_none_or(|origin| origin.strip_prefix("http://") == Some(host));
    let same_site =
        text(header::HeaderName::from_static("sec-fetch-site")).is_none_or(|from| from == "same-origin");
    (!same_origin || !same_site).then_some("this request comes from a page of somebody else")
}

/// Whether `host[:port]` names the loopback.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn refused(lines: &[(&str, &str)], safe: bool) -> bool {
        let request = lines.iter().fold(TestRequest::default(), |request, line| request.insert_header(*line));
        refusal(request.to_http_request().headers(), safe).is_some()
    }

    #[test]
    fn only_names_of_this_machine_are_answered() {
        for host in ["127.0.0.1:8083", "localhost:8083", "LOCALHOST", "[::1]:8083", "[::1]", "127.9.9.9"] {
            assert!(!refused(&[("host", host)], true), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:8083",
            "127.0.0.1.evil.example",
            "localhost.evil.example:1",
            "192.168.0.1:8083",
            "::1:",
            "[::1",
        ] {
            assert!(refused(&[("host", host)], true), "{host}");
        }
    }

    #[test]
    fn a_page_of_somebody_else_changes_nothing() {
        let host = ("host", "localhost:8083");
        assert!(!refused(&[host], false), "a program that is no browser");
        assert!(!refused(
            &[host, ("origin", "http://localhost:8083"), ("sec-fetch-site", "same-origin")],
            false
        ));
        for origin in ["http://evil.example", "null", "http://localhost:9000", "https://localhost:8083"] {
            assert!(refused(&[host, ("origin", origin)], false), "{origin}");
        }
        for site in ["cross-site", "same-site", "none"] {
            assert!(refused(&[host, ("sec-fetch-site", site)], false), "{site}");
        }
    }

    #[test]
    fn only_the_token_of_this_life_is_taken() {
        let token = FormToken::random();
        assert!(token.is(token.as_str()) && !token.is("") && !token.is(FormToken::random().as_str()));
    }
}
