//! Pages of orders, the newest first.

use super::desk::{AtDesk, at_desk};
use super::frame::page;
use crate::domain::{Order, OrderPage};
use crate::frontend::admin::Admin;
use crate::frontend::admin::asked::OrdersAsked;
use crate::server::read_query;
use crate::wire::Problem;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use maud::{Markup, html};
use std::time::{Duration, UNIX_EPOCH};

/// Orders on a page.
const PAGE: u32 = 50;

pub async fn list(admin: Data<Admin>, request: HttpRequest) -> HttpResponse {
    let desk = match at_desk(&admin, &request) {
        Ok(desk) => desk,
        Err(door) => return door.into(),
    };
    match listed(&desk, &request).await {
        Ok(main) => page(&desk, "/admin/orders", "Orders", StatusCode::OK, &main),
        Err(problem) => desk.wrong(&problem),
    }
}

async fn listed(desk: &AtDesk, request: &HttpRequest) -> Result<Markup, Problem> {
    let asked: OrdersAsked = read_query(request)?;
    let wanted = asked.wanted()?;
    let OrderPage { orders, next } =
        desk.admin.keeper.orders(wanted, PAGE, &desk.actor.request_id).await?.value;
    let value = |field: &Option<String>| field.clone().unwrap_or_default();
    Ok(html! {
        h1 { "Orders" }
        form.sieve method="get" action="/admin/orders" aria-label="Orders" {
            label for="book" { "Book" }
            input #book.short name="book" value=(value(&asked.book)) inputmode="numeric" placeholder="any";
            label for="from" { "From" }
            input #from type="datetime-local" name="from" value=(value(&asked.from));
            label for="to" { "Before" }
            input #to type="datetime-local" name="to" value=(value(&asked.to));
            span.hint { "UTC" }
            button.quiet type="submit" { "Find" }
        }
        @if orders.is_empty() {
            @if next.is_some() {
                p { "None among those that were looked at. There are older ones." }
            } @else {
                p { "There are none." }
            }
        } @else {
            div.scroll tabindex="0" role="region" aria-label="Orders" {
                table {
                    thead {
                        tr {
                            th scope="col" { "Placed (UTC)" }
                            th.number scope="col" { "Book" }
                            th.number scope="col" { "Copies" }
                            th.number scope="col" { "Total" }
                            th scope="col" { "Order" }
                        }
                    }
                    tbody { @for order in &orders { (row(order)) } }
                }
            }
        }
        @if let Some(next) = next {
            p { a.button.quiet rel="next" href=(asked.next("/admin/orders", next)) { "Older orders" } }
        }
    })
}

fn row(order: &Order) -> Markup {
    let since_1970 = Duration::from_millis(u64::try_from(order.created_at_ms).unwrap_or(0));
    let placed = humantime::format_rfc3339_seconds(UNIX_EPOCH + since_1970).to_string();
    let shown = placed.replace('T', " ").replace('Z', "");
    html! {
        tr {
            td { time datetime=(placed) { (shown) } }
            td.number { a href={ "/admin/books/" (order.book_id) } { (order.book_id) } }
            td.number { (order.quantity.get()) }
            td.number { "$" (order.total / 100) "." (format!("{:02}", order.total % 100)) }
            td.mono { (order.order_id) }
        }
    }
}
