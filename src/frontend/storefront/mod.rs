//! The shop for people: pages that are made here, work without scripts, and are better with them.
//!
//! | file | what it does |
//! |---|---|
//! | `visit` | one visitor's request: what it has seen before, what it reads, what is sent back |
//! | `cookies` | what a browser keeps for us |
//! | `stock` | the typed books of a cached answer |
//! | `home`, `topic`, `find`, `book` | pages to look at |
//! | `form`, `buy`, `receipt` | the form that buys, buying, and what was bought |
//! | `parts`, `marks` | what pages have in common; the words of a search, marked |
//! | `cover/` | a drawing for each book |
//! | `trouble` | what goes wrong, as a page |
//!
//! Invariants: whatever a page shows comes through the one door of the cache
//! ([`Shop::read`](super::shop::Shop::read)), with the version that its visitor has seen as the least one;
//! a form buys once, however often it is sent, and never at a higher price than it showed.

mod book;
mod buy;
mod cookies;
mod cover;
mod find;
mod form;
mod home;
mod marks;
mod parts;
mod receipt;
pub(super) mod stock;
mod topic;
mod trouble;
mod visit;

use super::shop::Shop;
use crate::pages::Asset;
use crate::token::InternalToken;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{Handler, Resource, Responder};
use form::Seal;
use std::sync::Arc;

pub use stock::topics;

static STYLE: Asset = Asset::css("shop", include_str!("shop.css"));
static SCRIPT: Asset = Asset::js("shop", include_str!("shop.js"));

/// What all pages of the shop work with.
pub struct Storefront {
    shop: Arc<Shop>,
    seal: Seal,
}

impl Storefront {
    pub fn new(shop: Arc<Shop>, token: &InternalToken) -> Self {
        Self { shop, seal: Seal::new(token) }
    }
}

pub fn configure(config: &mut ServiceConfig, storefront: Arc<Storefront>) {
    config.app_data(Data::from(storefront));
    STYLE.configure(config);
    SCRIPT.configure(config);
    config
        .service(page("/", home::get))
        .service(page("/find", find::get))
        .service(page("/my-orders", receipt::mine))
        .service(
            web::resource("/buy")
                .route(web::post().to(buy::post))
                .default_service(web::to(|| trouble::other_method("POST"))),
        )
        .service(page("/topics/{topic}", topic::get))
        .service(page("/books/{id}", book::get))
        .service(page("/receipts/{id}", receipt::get))
        .service(page("/cover/{id}.svg", cover::get))
        .default_service(web::to(trouble::nothing_here));
}

/// A page that is looked at. (`HEAD` is the door's matter, below the router.)
fn page<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: actix_web::FromRequest + 'static,
    F::Output: Responder + 'static,
{
    web::resource(path)
        .route(web::get().to(handler))
        .default_service(web::to(|| trouble::other_method("GET, HEAD")))
}
