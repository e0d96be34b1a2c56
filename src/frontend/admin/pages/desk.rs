//! Who is at the desk: signing in and out, and what stands before every page and form.

use super::frame::{bare, see, wrong};
use crate::clock;
use crate::frontend::admin::Admin;
use crate::frontend::admin::audit::{self, Actor, Via};
use crate::frontend::admin::session::{self, Session};
use crate::server::{read_body, retry_after};
use crate::wire::{ErrorCode, Problem};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::{self, Data};
use actix_web::{HttpRequest, HttpResponse};
use maud::{Markup, html};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A form with the longest title and topic, every character escaped.
const MAX_FORM: usize = 16 << 10;

/// Somebody who is signed in, at one request.
pub struct AtDesk {
    pub admin: Data<Admin>,
    pub actor: Actor,
    session: Session,
}

impl AtDesk {
    /// The hidden field that shows that a form is ours.
    pub fn secret(&self) -> Markup {
        html! { input type="hidden" name="secret" value=(self.admin.sessions.form_secret(self.session)); }
    }

    pub fn is_ours(&self, secret: &str) -> Result<(), Problem> {
        match self.admin.sessions.is_form_secret(self.session, secret) {
            true => Ok(()),
            false => Err(ErrorCode::Forbidden.into()),
        }
    }

    pub fn wrong(&self, problem: &Problem) -> HttpResponse {
        wrong(problem, Some(self))
    }

    /// The same, where a page was to be made.
    pub fn instead(&self, problem: &Problem) -> Instead {
        self.wrong(problem).into()
    }

    /// The fields of a form of ours.
    pub async fn form<T: DeserializeOwned>(&self, payload: web::Payload) -> Result<T, Instead> {
        let form = async {
            let body = read_body(payload, MAX_FORM).await?;
            let Secret { secret } = parse(&body)?;
            self.is_ours(&secret)?;
            parse(&body)
        };
        form.await.map_err(|problem: Problem| self.instead(&problem))
    }
}

#[derive(Deserialize)]
struct Secret {
    secret: String,
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let wrong =
        |error: serde_urlencoded::de::Error| Problem::new(ErrorCode::InvalidRequest, error.to_string());
    serde_urlencoded::from_bytes(body).map_err(wrong)
}

/// A page instead of the one that was asked for.
pub struct Instead(Box<HttpResponse>);

impl From<HttpResponse> for Instead {
    fn from(page: HttpResponse) -> Self {
        Self(Box::new(page))
    }
}

impl From<Instead> for HttpResponse {
    fn from(page: Instead) -> Self {
        *page.0
    }
}

/// Who asks for a page, unless nobody is signed in.
pub fn at_desk(admin: &Data<Admin>, request: &HttpRequest) -> Result<AtDesk, Instead> {
    let cookies = request.headers().get_all(header::COOKIE).filter_map(|value| value.to_str().ok());
    let mut sessions = cookies.filter_map(|cookies| admin.sessions.read(cookies, clock::wall_ms()));
    match sessions.next() {
        Some(session) => Ok(AtDesk { admin: admin.clone(), actor: Actor::of(request, Via::Pages), session }),
        None => Err(door(StatusCode::UNAUTHORIZED, None).into()),
    }
}

/// The form to sign in by.
pub fn door(status: StatusCode, refused: Option<&str>) -> HttpResponse {
    let main = html! {
        div.door.card {
            h1 { "Administration" }
            @if let Some(refused) = refused {
                div.notice.bad role="alert" { p { (refused) } }
            }
            form method="post" action="/admin/sign-in" {
                div.field {
                    label for="token" { "Admin token" }
                    input #token name="token" type="password" autocomplete="current-password" required
                        aria-describedby="token-hint";
                    span.hint #token-hint { "The secret that the store was started with." }
                }
                button type="submit" { "Sign in" }
            }
        }
    };
    bare("Sign in", status, main)
}

#[derive(Deserialize)]
struct SignIn {
    token: String,
}

/// No secret protects this form, because whoever could misuse it would have to know the token; but a page from
/// elsewhere is not to sign anybody in, not even as somebody else.
pub async fn sign_in(admin: Data<Admin>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let actor = Actor::of(&request, Via::Pages);
    let from = request.headers().get("sec-fetch-site").map(HeaderValue::as_bytes);
    if !matches!(from, None | Some(b"same-origin" | b"none")) {
        return wrong(&ErrorCode::Forbidden.into(), None);
    }
    let form: Result<SignIn, Problem> = read_body(payload, MAX_FORM).await.and_then(|body| parse(&body));
    let form = match form {
        Ok(form) => form,
        Err(problem) => return wrong(&problem, None),
    };
    match admin.let_in(&actor, admin.token.is(form.token.trim())) {
        Ok(()) => {
            audit::session(&actor, "sign-in");
            let cookie = admin.sessions.begin(rand::random(), clock::wall_ms(), is_secure(&request));
            with_cookie(see("/admin"), &cookie)
        }
        Err(problem) if problem.code == ErrorCode::RateLimited => {
            let wait = retry_after(&problem);
            let sentence = format!(
                "There were too many wrong tokens from your address. It is {} seconds until you can try again.",
                wait.to_str().unwrap_or_default()
            );
            let mut answer = door(StatusCode::TOO_MANY_REQUESTS, Some(&sentence));
            answer.headers_mut().insert(header::RETRY_AFTER, wait);
            answer
        }
        Err(_) => door(StatusCode::UNAUTHORIZED, Some("That is not the token.")),
    }
}

pub async fn sign_out(admin: Data<Admin>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let desk = match at_desk(&admin, &request) {
        Ok(desk) => desk,
        Err(page) => return page.into(),
    };
    match desk.form::<Secret>(payload).await {
        Err(page) => page.into(),
        Ok(_) => {
            audit::session(&desk.actor, "sign-out");
            with_cookie(see("/admin"), &session::end(is_secure(&request)))
        }
    }
}

/// Whether the browser came by HTTPS, which only a proxy before us can have spoken, and says. Who says so without one
/// gets a cookie that his own browser does not send.
fn is_secure(request: &HttpRequest) -> bool {
    request.connection_info().scheme() == "https"
}

fn with_cookie(mut answer: HttpResponse, cookie: &str) -> HttpResponse {
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        answer.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    answer
}
