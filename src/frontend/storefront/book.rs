//! The page of a book: what it costs, what is left of it, and the form that buys it. The page comes back
//! with a remark when buying did not go as planned.

use super::form::Form;
use super::visit::{View, Visit};
use super::{Storefront, parts, stock};
use crate::domain::{Book, BookId, Cents, OrderId, Quantity, Version};
use crate::frontend::cache::Want;
use crate::frontend::path::last_segment;
use crate::wire::Problem;
use actix_web::http::{StatusCode, Uri};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use maud::{Markup, html};

/// Other books of the topic that are shown below.
const BESIDE: u32 = 7;

/// Why the page is shown again.
pub enum Remark {
    /// It is not: somebody looks at the book.
    None,
    /// What was typed is no quantity.
    Quantity(&'static str),
    /// There were not so many when the order came.
    SoldOut(Quantity),
    /// It cost this much when the page was loaded.
    PriceWas(Cents),
    /// The form has bought already, or been refused.
    Used(Option<OrderId>),
    /// The form is not one that this browser was given.
    Unknown,
}

pub async fn get(storefront: Data<Storefront>, request: HttpRequest) -> HttpResponse {
    let mut visit = Visit::new(&storefront, &request);
    let view = page(&mut visit, request.uri()).await;
    visit.show(view)
}

async fn page(visit: &mut Visit<'_>, uri: &Uri) -> Result<View, Problem> {
    let id = BookId::parse(&last_segment(uri)?)?;
    view(visit, id, Form::blank(), Remark::None).await
}

/// The book as it is now, under the remark.
pub async fn view(
    visit: &mut Visit<'_>,
    id: BookId,
    mut form: Form,
    remark: Remark,
) -> Result<View, Problem> {
    let served = visit.read(&Want::Book(id)).await?;
    let (book, shows) = (stock::book(&served)?, served.entry.asof());
    let want = Want::Page { topic: book.topic.clone(), after: None, limit: BESIDE };
    let beside = stock::of_topic(&visit.read(&want).await?)?.books;
    let beside: Vec<Book> =
        beside.into_iter().filter(|other| other.id != id).take(BESIDE as usize - 1).collect();
    match &remark {
        Remark::PriceWas(_) => form.label = format!("Buy at ${}", book.price),
        Remark::Quantity(wrong) => form.wrong = Some(wrong),
        Remark::SoldOut(_) if !parts::is_sold_out(&book) => {
            let most = Quantity::MAX.get().min(book.stock.get());
            form.quantity = form.quantity.parse().map_or(most, |asked: u32| asked.min(most)).to_string();
        }
        _ => {}
    }
    let (status, heading) = said(&remark, &book);
    let title = match heading {
        Some(heading) => format!("{heading}: {}", book.title),
        None => book.title.to_string(),
    };
    let main = markup(visit, &book, shows, &beside, &form, &remark);
    Ok(View::new(title, main).with_status(status))
}

fn said(remark: &Remark, book: &Book) -> (StatusCode, Option<&'static str>) {
    match remark {
        Remark::None => (StatusCode::OK, None),
        Remark::Quantity(_) => (StatusCode::UNPROCESSABLE_ENTITY, Some("Please check the quantity")),
        Remark::SoldOut(_) if parts::is_sold_out(book) => (StatusCode::CONFLICT, Some("Sold out")),
        Remark::SoldOut(_) => (StatusCode::CONFLICT, Some("Not so many left")),
        Remark::PriceWas(_) => (StatusCode::CONFLICT, Some("The price has changed")),
        Remark::Used(_) => (StatusCode::CONFLICT, Some("Already bought")),
        Remark::Unknown => (StatusCode::FORBIDDEN, Some("Please look once more")),
    }
}

fn markup(
    visit: &mut Visit<'_>,
    book: &Book,
    shows: Version,
    beside: &[Book],
    form: &Form,
    remark: &Remark,
) -> Markup {
    html! {
        (parts::crumbs(Some(&book.topic)))
        (words(remark, book))
        article.detail {
            (parts::cover(book, true))
            div {
                h1 { (book.title) }
                p.offer { (parts::price(book)) " " (parts::stock(book)) }
                (form.markup(visit, book, shows))
                dl {
                    div { dt { "Topic" } dd { a href=(parts::topic_address(book.topic.as_str())) { (parts::capital(book.topic.as_str())) } } }
                    div { dt { "Book number" } dd { (book.id) } }
                }
                p.soft.small { "You are asked again before you pay another price than this." }
            }
        }
        @if !beside.is_empty() {
            section aria-labelledby="beside" {
                h2 #beside { "Beside it on the shelf" }
                (parts::shelf(beside, parts::plain_title))
            }
        }
    }
}

/// What the visitor is told, and that nothing was bought.
fn words(remark: &Remark, book: &Book) -> Markup {
    let notice = |kind: &str, heading: &str, rest: Markup| {
        html! { div.notice.(kind) role="alert" { p { strong { (heading) } " " (rest) } } }
    };
    match remark {
        Remark::None | Remark::Quantity(_) => html! {},
        Remark::SoldOut(_) if parts::is_sold_out(book) => notice(
            "warn",
            "Somebody was faster.",
            html! { "The last copy went while you were looking, so nothing was bought. Perhaps one of its neighbours below?" },
        ),
        Remark::SoldOut(asked) => notice(
            "warn",
            &format!("There were not {} any more.", parts::copies(asked.get())),
            html! { "Nothing was bought. There " @if book.stock.get() == 1 { "is " } @else { "are " } strong { (parts::copies(book.stock.get())) } " now: would you like that instead?" },
        ),
        Remark::PriceWas(before) if *before == book.price => notice(
            "warn",
            "The price was another one for a moment.",
            html! { "Nothing was bought. It is " strong { "$" (book.price) } " again, as you saw it." },
        ),
        Remark::PriceWas(before) => notice(
            "warn",
            "The price has changed.",
            html! { "When you opened this page it was " del { "$" (before) } ", now it is " strong { "$" (book.price) } ". Nothing was bought yet." },
        ),
        Remark::Used(Some(order)) => notice(
            "good",
            "You have this order already.",
            html! { a href={ "/receipts/" (order) } { "Here is its receipt." } " If you want more copies, this is a new form for them." },
        ),
        Remark::Used(None) => notice(
            "warn",
            "That form was used before.",
            html! { "Nothing was bought with it. This is a new one, with the price and the count of now." },
        ),
        Remark::Unknown => notice(
            "warn",
            "Please look once more before you buy.",
            html! {
                "The form that came is not one that this browser was given, so nothing was bought with it. "
                "It may be from before the shop was started anew, or cookies are switched off. Here is a new one."
            },
        ),
    }
}
