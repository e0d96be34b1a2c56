//! What was bought: the page of an order, which can be bookmarked, and the orders of this browser.

use super::visit::{View, Visit};
use super::{Storefront, parts, stock};
use crate::domain::{Book, BookId, Dollars, Order, OrderId};
use crate::frontend::cache::Want;
use crate::frontend::demand::{Demand, Level};
use crate::frontend::path::last_segment;
use crate::pages::Section;
use crate::wire::public::rfc3339;
use crate::wire::{ErrorCode, Problem};
use actix_web::http::Uri;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::future::join_all;
use maud::{Markup, html};

/// An order never changes: whoever has it is right. That there is none is the master's word.
const NEAREST: Demand = Demand { level: Level::Stale, minimum: None };

pub async fn get(storefront: Data<Storefront>, request: HttpRequest) -> HttpResponse {
    let mut visit = Visit::new(&storefront, &request);
    let view = page(&mut visit, request.uri()).await;
    visit.show(view.map(in_orders))
}

pub async fn mine(storefront: Data<Storefront>, request: HttpRequest) -> HttpResponse {
    let mut visit = Visit::new(&storefront, &request);
    let view = list(&mut visit).await;
    visit.show(view.map(in_orders))
}

fn in_orders(view: View) -> View {
    View { section: Section::Orders, ..view }
}

async fn page(visit: &mut Visit<'_>, uri: &Uri) -> Result<View, Problem> {
    // What cannot be an order's number is that of no order.
    let id: OrderId = last_segment(uri)?.parse().map_err(|_| ErrorCode::OrderNotFound)?;
    let (order, _) = visit.shop().order(id, NEAREST, &visit.request_id).await?;
    let order = order.ok_or(ErrorCode::OrderNotFound)?;
    // An order outlives its book, and can be shown when that cannot be read.
    let book = book_of(visit, order.book_id).await.ok();
    Ok(View::new("Thank you", receipt(&order, book.as_ref())))
}

async fn book_of(visit: &mut Visit<'_>, id: BookId) -> Result<Book, Problem> {
    stock::book(&visit.read(&Want::Book(id)).await?)
}

fn receipt(order: &Order, book: Option<&Book>) -> Markup {
    html! {
        article.receipt.card {
            @if let Some(book) = book { (parts::cover(book, true)) }
            div {
                p.done { "Bought" }
                h1 { "Thank you" }
                p { (parts::copies(order.quantity.get())) " of " (title(order, book)) " " @if order.quantity.get() == 1 { "is" } @else { "are" } " yours." }
                dl {
                    div { dt { "Order" } dd.mono { (order.order_id) } }
                    div { dt { "When" } dd { (when(order)) } }
                    div { dt { "Copies" } dd { (order.quantity.get()) } }
                    div { dt { "Total" } dd.total { "$" (Dollars(order.total)) } }
                    @if let Some(book) = book { div { dt { "Left in the shop" } dd { (parts::stock(book)) } } }
                }
                p.soft.small { "This page has an address of its own: bookmark or print it, and it will be found again. Whoever knows the address can see it." }
                p.actions {
                    a.button href="/" { "Back to the shop" }
                    a.button.quiet href="/my-orders" { "My orders" }
                }
            }
        }
    }
}

/// The title, which leads to the book while there is one.
fn title(order: &Order, book: Option<&Book>) -> Markup {
    html! {
        @match book {
            Some(book) => { a href=(parts::book_address(book.id)) { (book.title) } }
            None => { "book " (order.book_id) }
        }
    }
}

fn when(order: &Order) -> Markup {
    let exact = rfc3339(order.created_at_ms);
    // `2026-11-24T18:27:11.042Z`, to the minute.
    let minute = exact.get(..16).unwrap_or(&exact).replace('T', " ");
    html! { time datetime=(exact) { (minute) " UTC" } }
}

async fn list(visit: &mut Visit<'_>) -> Result<View, Problem> {
    let (shop, request_id) = (visit.shop(), visit.request_id.clone());
    let asked = visit.orders().iter().map(|&id| shop.order(id, NEAREST, &request_id));
    let mut orders = Vec::new();
    for answer in join_all(asked).await {
        // One that was on its way when its answer got lost may not have happened.
        if let (Some(order), _) = answer? {
            let book = book_of(visit, order.book_id).await.ok();
            orders.push((order, book));
        }
    }
    Ok(View::new("My orders", orders_markup(&orders)))
}

fn orders_markup(orders: &[(Order, Option<Book>)]) -> Markup {
    html! {
        h1 { "My orders" }
        @if orders.is_empty() {
            p { "Nothing was bought in this browser yet." }
            p.actions { a.button href="/" { "Look around the shop" } }
        } @else {
            p.soft { "The last orders of this browser. It remembers them in a cookie; nobody else does." }
            ul.orders {
                @for (order, book) in orders {
                    li.card {
                        @if let Some(book) = book { (parts::cover(book, false)) }
                        div {
                            h2 { (title(order, book.as_ref())) }
                            p { (parts::copies(order.quantity.get())) ", $" (Dollars(order.total)) ", " (when(order)) }
                            p { a href={ "/receipts/" (order.order_id) } { "Receipt" span.visually-hidden { " of order " (order.order_id) } } }
                        }
                    }
                }
            }
        }
    }
}
