//! The books of a topic, page by page.

use super::visit::{View, Visit};
use super::{Storefront, parts, stock};
use crate::domain::{Book, BookId, Topic};
use crate::frontend::cache::Want;
use crate::frontend::path::last_segment;
use crate::wire::Problem;
use actix_web::http::{StatusCode, Uri};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use maud::{Markup, html};

pub async fn get(storefront: Data<Storefront>, request: HttpRequest) -> HttpResponse {
    let mut visit = Visit::new(&storefront, &request);
    let view = page(&mut visit, request.uri()).await;
    visit.show(view)
}

async fn page(visit: &mut Visit<'_>, uri: &Uri) -> Result<View, Problem> {
    let topic = Topic::parse(last_segment(uri)?)?;
    let mut after = None;
    for (name, value) in url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        if name == "after" {
            after = Some(BookId::parse(&value)?);
        }
    }
    let want = Want::Page { topic: topic.clone(), after, limit: parts::PAGE };
    let page = stock::of_topic(&visit.read(&want).await?)?;
    let topics = stock::topics(&visit.read(&Want::Topics).await?)?;
    let name = parts::capital(topic.as_str());
    if page.books.is_empty() && after.is_none() {
        let view = View::new(format!("No books on {name}"), no_such_topic(&name));
        return Ok(view.with_status(StatusCode::NOT_FOUND));
    }
    let count = topics.iter().find(|known| known.topic == topic.as_str()).map(|known| known.books);
    let title = if after.is_some() { format!("{name}, further on") } else { name.clone() };
    Ok(View::new(title, markup(&topic, count, after, &page.books, page.next)))
}

fn markup(
    topic: &Topic,
    count: Option<u64>,
    after: Option<BookId>,
    books: &[Book],
    next: Option<BookId>,
) -> Markup {
    let address = parts::topic_address(topic.as_str());
    let next = next.map(|next| format!("{address}?after={next}"));
    html! {
        (parts::crumbs(None))
        h1 { (parts::capital(topic.as_str())) }
        p.soft {
            @if let Some(count) = count { (parts::books(count)) }
            @if after.is_some() { ", further on" }
        }
        @if books.is_empty() { p { "There are no more books here." } }
        @if !books.is_empty() { h2.visually-hidden { "Books" } }
        (parts::shelf(books, parts::plain_title))
        (parts::pager(after.map(|_| address.as_str()), next.as_deref()))
    }
}

fn no_such_topic(name: &str) -> Markup {
    html! {
        section.trouble {
            h1 { "We have no books on “" (name) "”" }
            p { "Topics come and go with their books. The search box above finds books by the words of their titles." }
            p.actions { a.button href="/?topics=all" { "See all topics" } }
        }
    }
}
