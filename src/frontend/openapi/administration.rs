//! The administration's part of the document: its bodies, its one way in, and what comes back from it.

use super::answers::{Responses, json, keyed, link, problems, required, stated, text, versioned};
use crate::wire::{ErrorCode, admin};
use std::marker::PhantomData;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{OpenApi as Document, response::ResponseBuilder};
use utoipa::{IntoResponses, Modify, OpenApi, ToSchema};

/// The name of the part, and of the token that opens it.
pub const TAG: &str = "administration";
pub const TOKEN: &str = "admin";

#[derive(OpenApi)]
#[openapi(
    tags((
        name = TAG,
        description = "Books and orders to their keeper. **Only at a frontend that has an admin token**; without one, all of \
                       these paths are a 404 `not_found`. Every read is the master's word at that moment, never a \
                       cache's. A change may be repeated under its `Idempotency-Key`."
    )),
    modifiers(&Token),
    components(schemas(
        admin::KeptBook,
        admin::KeptBooks,
        admin::OrdersView,
        admin::ImportView,
        admin::RejectedLine,
        admin::NewBookSent,
        admin::ChangesSent,
        admin::CopiesSent,
    ))
)]
pub(super) struct Administration;

struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut Document) {
        let about = "The admin token of this store (`--admin-token-file`)";
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(about)).build();
        let components = document.components.get_or_insert_default();
        components.security_schemes.insert(TOKEN.into(), SecurityScheme::Http(bearer).into());
    }
}

/// Lists.
pub struct Told<T>(PhantomData<T>);

impl<T: ToSchema> IntoResponses for Told<T> {
    fn responses() -> Responses {
        told(stated::<T>("What was asked for"), &[])
    }
}

/// One book.
pub struct Kept<T>(PhantomData<T>);

impl<T: ToSchema> IntoResponses for Kept<T> {
    fn responses() -> Responses {
        told(tagged(stated::<T>("The book")), &[ErrorCode::BookNotFound])
    }
}

fn told(ok: ResponseBuilder, refusals: &[ErrorCode]) -> Responses {
    let usual = [ErrorCode::InvalidRequest, ErrorCode::Internal, ErrorCode::Unavailable];
    let mut all = problems(&[refusals, &usual].concat());
    all.insert("200".into(), ok.build().into());
    all
}

/// A new book.
pub struct Created<T>(PhantomData<T>);

impl<T: ToSchema> IntoResponses for Created<T> {
    fn responses() -> Responses {
        let place = text("The path of the book", "/admin/api/books/12");
        let ok = tagged(stated::<T>("It is there, and every later read shows it"))
            .header("Location", required(place))
            .link("book", link("kept_book", "id", "$response.body#/id"))
            .link("restock", link("restock_book", "id", "$response.body#/id"));
        edited("201", ok, &BODY)
    }
}

/// A book that is not as it was.
pub struct Changed<T>(PhantomData<T>);

impl<T: ToSchema> IntoResponses for Changed<T> {
    fn responses() -> Responses {
        let ok = tagged(stated::<T>("The book as it is now, and as every later read shows it"));
        edited("200", ok, &[&BODY[..], &SEEN, &[ErrorCode::BookNotFound]].concat())
    }
}

/// A book with more copies, or fewer.
pub struct Restocked<T>(PhantomData<T>);

impl<T: ToSchema> IntoResponses for Restocked<T> {
    fn responses() -> Responses {
        let ok = tagged(stated::<T>("The book as it is now, and as every later read shows it"));
        edited("200", ok, &[&BODY[..], &[ErrorCode::BookNotFound, ErrorCode::OutOfStock]].concat())
    }
}

/// A book less.
pub struct Deleted;

impl IntoResponses for Deleted {
    fn responses() -> Responses {
        let ok = versioned("It is gone, and no later read shows it");
        edited("204", ok, &[&SEEN[..], &[ErrorCode::BookNotFound]].concat())
    }
}

/// What a body may be refused for, before it is looked into.
const BODY: [ErrorCode; 3] =
    [ErrorCode::RequestTimeout, ErrorCode::PayloadTooLarge, ErrorCode::UnsupportedMediaType];

/// What an `If-Match` may be refused for.
const SEEN: [ErrorCode; 2] = [ErrorCode::PreconditionFailed, ErrorCode::PreconditionRequired];

fn edited(status: &str, ok: ResponseBuilder, refusals: &[ErrorCode]) -> Responses {
    let usual = [
        ErrorCode::InvalidRequest,
        ErrorCode::IdempotencyMismatch,
        ErrorCode::Internal,
        ErrorCode::Unavailable,
    ];
    let mut all = problems(&[refusals, &usual].concat());
    all.insert(status.into(), ok.build().into());
    keyed(&mut all, None);
    all
}

/// An import.
pub struct Imported<T>(PhantomData<T>);

impl<T: ToSchema> IntoResponses for Imported<T> {
    fn responses() -> Responses {
        let ok = json::<T>("What it came to, and the first of the lines that are no books");
        told(ok, &BODY)
    }
}

fn tagged(answer: ResponseBuilder) -> ResponseBuilder {
    let tag =
        text("Of title, topic and price: what `If-Match` takes", "\"077244a9bcab0790f38e753f1db7bf9d\"");
    answer.header("ETag", required(tag))
}
