//! What a search finds, with its words marked.

use super::visit::{View, Visit};
use super::{Storefront, parts, stock};
use crate::domain::{Book, Rank, Words};
use crate::frontend::cache::Want;
use crate::frontend::storefront::marks::marked;
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
    let (mut typed, mut after) = (String::new(), None);
    for (name, value) in url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        match name.as_ref() {
            "q" => typed = value.into_owned(),
            "after" => after = Some(value.parse::<Rank>()?),
            _ => {}
        }
    }
    let view = match Words::parse(typed.as_str()) {
        Ok(words) => {
            let want = Want::Query { words: words.clone(), after, limit: parts::PAGE };
            let page = stock::found(&visit.read(&want).await?)?;
            View::new(
                format!("Books with “{}”", words.as_str().trim()),
                markup(&words, after, &page.books, page.next),
            )
        }
        Err(_) if !typed.contains(char::is_alphanumeric) => View::new("Search", nothing_asked()),
        Err(sentence) => View::new("Search", too_much(&sentence.0)).with_status(StatusCode::BAD_REQUEST),
    };
    Ok(View { words: typed, ..view })
}

fn markup(words: &Words, after: Option<Rank>, books: &[Book], next: Option<Rank>) -> Markup {
    let query =
        url::form_urlencoded::Serializer::new(String::new()).append_pair("q", words.as_str()).finish();
    let address = format!("/find?{query}");
    let next = next.map(|next| format!("{address}&after={next}"));
    html! {
        (parts::crumbs(None))
        @match (books.is_empty(), after.is_some()) {
            (true, false) => {
                h1 { "Nothing found for “" (words.as_str().trim()) "”" }
                p { "All the words must be in a title. Fewer words, or only the beginning of the last one, find more." }
                p.actions { a.button href="/" { "See what there is" } }
            }
            (true, true) => { h1 { "There are no more books with “" (words.as_str().trim()) "”" } }
            (false, _) => { h1 { "Books with “" (words.as_str().trim()) "”" } }
        }
        @if !books.is_empty() { h2.visually-hidden { "Books" } }
        (parts::shelf(books, |book| marked(book.title.as_str(), words)))
        (parts::pager(after.map(|_| address.as_str()), next.as_deref()))
    }
}

fn nothing_asked() -> Markup {
    html! {
        (parts::crumbs(None))
        h1 { "What are you looking for?" }
        p { "Type some words of a title into the search box above: “lost city”, or the beginning of a word." }
    }
}

fn too_much(sentence: &str) -> Markup {
    html! {
        (parts::crumbs(None))
        h1 { "That is more than a search can hold" }
        p { "Sorry: " (sentence) "." }
    }
}
