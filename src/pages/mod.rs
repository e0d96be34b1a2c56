//! The look of every HTML page: one layout, one style sheet, one set of security headers.
//!
//! | file | what it does |
//! |---|---|
//! | `layout` | the frame around a page's own content |
//! | `assets` | files that are embedded, under names that change with their content |
//! | `headers` | what every page says to the browser |
//!
//! Invariants: nothing is loaded from elsewhere; no page needs script or style inside its markup, so the
//! policy forbids both; whatever is shown is escaped by [`maud`].

mod assets;
mod headers;
mod layout;

pub use assets::Asset;
pub use headers::protect;
pub use layout::{Page, Section};

use actix_web::HttpRequest;
use actix_web::http::header;
use actix_web::web::ServiceConfig;

/// Serves what every page uses.
pub fn configure(config: &mut ServiceConfig) {
    for asset in [&layout::STYLE, &layout::ICON] {
        asset.configure(config);
    }
}

/// Whether somebody with a browser asks, who is to get a page where a program would get JSON.
pub fn is_for_a_person(request: &HttpRequest) -> bool {
    let accepts = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accepts.is_some_and(|accepts| accepts.contains("text/html"))
}
