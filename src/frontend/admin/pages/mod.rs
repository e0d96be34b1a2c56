//! The administration's pages: server-rendered, without a script.
//!
//! | file | what it does |
//! |---|---|
//! | `desk` | who is at the desk: signing in and out, the session behind each page, the secret in each form |
//! | `books` | the list, a book, a new one |
//! | `orders` | orders by time and by book |
//! | `import` | a file, and what it came to |
//! | `frame` | what the pages have in common |
//!
//! Invariants: every form carries the session's secret, and every change a key that was drawn with the form, so that a
//! double click or a reload changes nothing twice. A success ends in a redirect; whatever goes wrong is a page.

mod books;
mod desk;
mod frame;
mod import;
mod orders;

use crate::pages::{Asset, is_for_a_person};
use crate::server::{ApiError, resource, resource_of};
use crate::wire::ErrorCode;
use actix_web::http::Method;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Resource, ResponseError, Route};

static STYLE: Asset = Asset::css("admin", include_str!("../assets/admin.css"));

pub fn configure(config: &mut ServiceConfig) {
    STYLE.configure(config);
    config.service(
        web::scope("/admin")
            .service(resource("", "GET", web::to(books::list)))
            .service(resource("/", "GET", web::to(books::list)))
            .service(resource("/sign-in", "POST", web::to(desk::sign_in)))
            .service(resource("/sign-out", "POST", web::to(desk::sign_out)))
            .service(resource("/books", "POST", web::to(books::create)))
            .service(resource("/books/new", "GET", web::to(books::new)))
            .service(shown_and_sent("/books/{id}", web::to(books::book), web::to(books::save)))
            .service(resource("/books/{id}/restock", "POST", web::to(books::restock)))
            .service(shown_and_sent(
                "/books/{id}/delete",
                web::to(books::ask_to_delete),
                web::to(books::delete),
            ))
            .service(resource("/orders", "GET", web::to(orders::list)))
            .service(shown_and_sent("/import", web::to(import::form), web::to(import::import)))
            .default_service(web::to(nothing)),
    );
}

/// A form, and where it goes.
fn shown_and_sent(path: &str, show: Route, send: Route) -> Resource {
    resource_of(path, [(Method::GET, show), (Method::POST, send)])
}

async fn nothing(request: HttpRequest) -> HttpResponse {
    match is_for_a_person(&request) {
        true => frame::wrong(&ErrorCode::NotFound.into(), None),
        false => ApiError::from(ErrorCode::NotFound).error_response(),
    }
}
