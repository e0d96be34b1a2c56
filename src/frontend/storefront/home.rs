//! The first page: what topics there are, and some books of the largest of them.

use super::visit::{View, Visit};
use super::{Storefront, parts, stock};
use crate::domain::{Book, Topic};
use crate::frontend::cache::Want;
use crate::wire::Problem;
use crate::wire::shopper::TopicRead;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use maud::{Markup, html};
use std::cmp::Reverse;

/// Topics that are named before somebody asks for all.
const NAMED: usize = 12;

/// Topics whose books are shown, and how many of each: the page with its covers stays under 50 KB.
const SHOWN_TOPICS: usize = 8;
const SHOWN_BOOKS: u32 = 2;

pub async fn get(storefront: Data<Storefront>, request: HttpRequest) -> HttpResponse {
    let mut visit = Visit::new(&storefront, &request);
    let all = request.query_string() == "topics=all";
    let view = page(&mut visit, all).await;
    visit.show(view)
}

async fn page(visit: &mut Visit<'_>, all: bool) -> Result<View, Problem> {
    let mut topics = stock::topics(&visit.read(&Want::Topics).await?)?;
    // The largest first; those of equal size stay in order of their names.
    topics.sort_by_key(|topic| Reverse(topic.books));
    let mut shelf: Vec<Vec<Book>> = Vec::new();
    for topic in topics.iter().take(SHOWN_TOPICS) {
        let topic = Topic::parse(topic.topic.as_str())?;
        let want = Want::Page { topic, after: None, limit: SHOWN_BOOKS };
        shelf.push(stock::of_topic(&visit.read(&want).await?)?.books);
    }
    Ok(View::new("Books", markup(&topics, all, &in_turn(shelf))))
}

/// One of each, then another of each.
fn in_turn(shelf: Vec<Vec<Book>>) -> Vec<Book> {
    let mut books: Vec<(usize, Book)> =
        shelf.into_iter().flat_map(|row| row.into_iter().enumerate()).collect();
    books.sort_by_key(|&(place, _)| place);
    books.into_iter().map(|(_, book)| book).collect()
}

fn markup(topics: &[TopicRead], all: bool, shelf: &[Book]) -> Markup {
    let books = topics.iter().map(|topic| topic.books).sum();
    let named = if all { topics } else { &topics[..topics.len().min(NAMED)] };
    html! {
        section.hero {
            h1 { "Books that are there when you buy them" }
            p { "The count you see is the count there is, and however often you press the button, it is one order." }
            @if topics.is_empty() {
                p { "The shelves are empty: nothing is for sale yet." }
            } @else {
                p.soft { (parts::books(books)) " in " (topics.len()) @if topics.len() == 1 { " topic" } @else { " topics" } }
                nav aria-label="Topics" {
                    ul.topics {
                        @for topic in named {
                            li {
                                a href=(parts::topic_address(&topic.topic)) {
                                    (parts::capital(&topic.topic)) " " span.count { (topic.books) }
                                }
                            }
                        }
                        @if named.len() < topics.len() {
                            li { a.all href="/?topics=all" { "All " (topics.len()) " topics" } }
                        }
                    }
                }
            }
        }
        @if !shelf.is_empty() {
            section aria-labelledby="shelf" {
                h2 #shelf { "On the shelf" }
                (parts::shelf(shelf, parts::plain_title))
            }
        }
    }
}
