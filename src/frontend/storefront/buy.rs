//! Buying with a form.
//!
//! A form has one key, so a double click, a reload and a repeat after a 503 are one purchase, whose receipt
//! is shown by an address of its own (POST, redirect, GET).
//!
//! The price: the purchase offers what the form showed, and the store refuses an offer below the price. A
//! price that fell would pass, so the book is read first, and whatever differs is shown instead of bought. One that
//! falls between that read and the purchase, or while the price cannot be asked, is charged as it is: nobody
//! ever pays more than was shown.
//!
//! Whether the form has bought already is looked up first: the store remembers a key for a day, say, and an
//! order for ever.
//!
//! Which key goes with the form that is shown again: a refusal of the store uses up the key, so a fresh one;
//! whatever was shown without asking the store, the same one, for an attempt before may still be under way.

use super::book::{self, Remark};
use super::form::{Form, Sent, fresh};
use super::parts;
use super::visit::{View, Visit};
use super::{Storefront, stock};
use crate::domain::{Cents, IdempotencyKey, Order, OrderId, Purchase, Quantity, Refusal};
use crate::frontend::cache::Want;
use crate::frontend::demand::{Demand, Level};
use crate::frontend::gate::Gate;
use crate::server::read_body;
use crate::wire::{ErrorCode, Problem};
use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use maud::html;

/// A form has seven short fields.
const MAX_FORM: usize = 4 << 10;

/// What follows.
enum Next {
    Receipt(OrderId),
    Show(View),
}

pub async fn post(storefront: Data<Storefront>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let mut visit = Visit::new(&storefront, &request);
    match buy(&mut visit, &request, payload).await {
        Ok(Next::Receipt(order)) => visit.go_to_receipt(order),
        Ok(Next::Show(view)) => visit.show(Ok(view)),
        Err(problem) => visit.show(Err(problem)),
    }
}

async fn buy(visit: &mut Visit<'_>, request: &HttpRequest, payload: Payload) -> Result<Next, Problem> {
    if let Some(gate) = request.app_data::<Data<Gate>>() {
        gate.may_buy(request)?;
    }
    let sent = Sent::parse(&read_body(payload, MAX_FORM).await?)?;
    let ours = sent.is_ours(visit, request.headers());
    // Without an answer the key still sees to it that nothing is bought twice.
    if let Ok(Some(order)) = placed(visit, sent.order).await {
        if ours {
            visit.has_bought(order.order_id, order.version);
        }
        return already(visit, &sent, &order).await;
    }
    if !ours {
        return show(visit, &sent, fresh(), Remark::Unknown).await;
    }
    if let Some(version) = sent.seen {
        visit.has_seen(version);
    }
    let (copies, offer) = match asked(&sent) {
        Ok(asked) => asked,
        Err(wrong) => return show(visit, &sent, sent.order, Remark::Quantity(wrong)).await,
    };
    if costs_something_else(visit, &sent).await {
        return show(visit, &sent, sent.order, Remark::PriceWas(sent.price)).await;
    }
    let (order_id, book_id) = (sent.order, sent.book);
    let key = IdempotencyKey::parse(order_id.to_string())?;
    let purchase = Purchase { order_id, key, book_id, quantity: copies, offer: Some(offer) };
    let request_id = visit.request_id.clone();
    let answer = match visit.shop().submit(purchase, request_id).await {
        Ok(decided) => decided.answer,
        Err(problem) if problem.code == ErrorCode::Unavailable => {
            return Ok(Next::Show(unknown(visit, &sent).await));
        }
        Err(problem) => return Err(problem),
    };
    match answer {
        Ok(receipt) => {
            visit.has_bought(receipt.order_id, receipt.version);
            Ok(Next::Receipt(receipt.order_id))
        }
        Err(Refusal::OutOfStock) => show(visit, &sent, fresh(), Remark::SoldOut(copies)).await,
        Err(Refusal::Underpaid { .. }) => show(visit, &sent, fresh(), Remark::PriceWas(sent.price)).await,
        Err(Refusal::BookNotFound) => Err(ErrorCode::BookNotFound.into()),
        // The same form with another quantity, or at another price.
        Err(Refusal::IdempotencyMismatch) => match placed(visit, sent.order).await? {
            Some(order) => {
                visit.has_bought(order.order_id, order.version);
                already(visit, &sent, &order).await
            }
            None => show(visit, &sent, fresh(), Remark::Used(None)).await,
        },
    }
}

/// How many copies, and what is offered for all of them. The error is for who typed it.
fn asked(sent: &Sent) -> Result<(Quantity, Cents), &'static str> {
    let copies = sent.copies()?;
    let offer = Cents::new(sent.price.times(copies.get()));
    offer
        .map(|offer| (copies, offer))
        .map_err(|_| "That would cost more than an order may. Please take fewer.")
}

/// Whether the book is known to cost something else than the form says.
async fn costs_something_else(visit: &mut Visit<'_>, sent: &Sent) -> bool {
    match visit.read(&Want::Book(sent.book)).await {
        Ok(served) if !served.stale => stock::book(&served).is_ok_and(|book| book.price != sent.price),
        // The store will say: whoever may not ask the price may still offer it.
        Ok(_) | Err(_) => false,
    }
}

/// The order that the form has made. An order never changes: whoever has it is right.
async fn placed(visit: &Visit<'_>, id: OrderId) -> Result<Option<Order>, Problem> {
    let nearest = Demand { level: Level::Stale, minimum: None };
    Ok(visit.shop().order(id, nearest, &visit.request_id).await?.0)
}

/// What the form asks for was bought; or something else was, and the visitor may want this besides.
async fn already(visit: &mut Visit<'_>, sent: &Sent, order: &Order) -> Result<Next, Problem> {
    match sent.copies() == Ok(order.quantity) && sent.book == order.book_id {
        true => Ok(Next::Receipt(order.order_id)),
        false => show(visit, sent, fresh(), Remark::Used(Some(order.order_id))).await,
    }
}

/// The page of the book under the remark, with what was typed.
async fn show(visit: &mut Visit<'_>, sent: &Sent, order: OrderId, remark: Remark) -> Result<Next, Problem> {
    let form = Form { order, quantity: sent.quantity.clone(), ..Form::blank() };
    Ok(Next::Show(book::view(visit, sent.book, form, remark).await?))
}

/// No answer came in time. The purchase may still happen, or have happened: only the same form may be sent.
async fn unknown(visit: &mut Visit<'_>, sent: &Sent) -> View {
    visit.has_ordered(sent.order);
    let title = match visit.read(&Want::Book(sent.book)).await.and_then(|served| stock::book(&served)) {
        Ok(book) => book.title.to_string(),
        Err(_) => format!("Book {}", sent.book),
    };
    let copies = sent.copies().map_or_else(|_| "copies".into(), |copies| parts::copies(copies.get()));
    let main = html! {
        section.trouble {
            h1 { "We do not know yet whether you bought it" }
            p {
                "The order for " strong { (copies) } " of " strong { (title) } " at $" (sent.price) " each is on its way, "
                "but no answer came back in time. It may have gone through, or not."
            }
            p { "Ask again: that is safe. The same order is never carried out twice, however often you ask." }
            div.actions {
                (sent.again("Ask again, safely"))
                a.button.quiet href={ "/receipts/" (sent.order) } { "Look for the receipt" }
            }
        }
    };
    View::new("Outcome unknown", main).with_status(StatusCode::SERVICE_UNAVAILABLE)
}
