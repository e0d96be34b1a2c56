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
use crate::server::{ApiError, resource};
use crate::wire::ErrorCode;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, ResponseError};

static STYLE: Asset = Asset::css("admin", include_str!("../assets/admin.css"));

pub fn configure(config: &mut ServiceConfig) {
    STYLE.configure(config);
    config.service(
        web::scope("/admin")
            .service(resource("", "GET", web::get().to(books::list)))
            .service(resource("/", "GET", web::get().to(books::list)))
            .service(resource("/sign-in", "POST", web::post().to(desk::sign_in)))
            .service(resource("/sign-out", "POST", web::post().to(desk::sign_out)))
            .service(resource("/books", "POST", web::post().to(books::create)))
            .service(resource("/books/new", "GET", web::get().to(books::new)))
            .service(
                resource("/books/{id}", "GET, POST", web::get().to(books::book))
                    .route(web::post().to(books::save)),
            )
            .service(resource("/books/{id}/restock", "POST", web::post().to(books::restock)))
            .service(
                resource("/books/{id}/delete", "GET, POST", web::get().to(books::ask_to_delete))
                    .route(web::post().to(books::delete)),
            )
            .service(resource("/orders", "GET", web::get().to(orders::list)))
            .service(
                resource("/import", "GET, POST", web::get().to(import::form))
                    .route(web::post().to(import::import)),
            )
            .default_service(web::to(nothing)),
    );
}

async fn nothing(request: HttpRequest) -> HttpResponse {
    match is_for_a_person(&request) {
        true => frame::wrong(&ErrorCode::NotFound.into(), None),
        false => ApiError::from(ErrorCode::NotFound).error_response(),
    }
}
