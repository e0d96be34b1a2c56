//! What the administration's pages have in common: the frame, forms, notices, and pages for what went wrong.

use super::STYLE;
use super::desk::AtDesk;
use crate::domain::{Cents, IdempotencyKey};
use crate::frontend::admin::asked::draw_key;
use crate::pages::{Page, Section};
use crate::wire::{ErrorCode, Problem};
use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use maud::{Markup, html};

/// The pages that are always one click away.
const DESK: [(&str, &str); 4] = [
    ("/admin", "Books"),
    ("/admin/books/new", "New book"),
    ("/admin/orders", "Orders"),
    ("/admin/import", "Import"),
];

/// A page of somebody who is at the desk.
pub fn page(desk: &AtDesk, here: &str, title: &str, status: StatusCode, main: &Markup) -> HttpResponse {
    let main = html! {
        nav.desk aria-label="Administration" {
            ul {
                @for (path, name) in DESK {
                    li { a href=(path) aria-current=[(path == here).then_some("page")] { (name) } }
                }
                li.last {
                    form method="post" action="/admin/sign-out" {
                        (desk.secret())
                        button.quiet type="submit" { "Sign out" }
                    }
                }
            }
        }
        (main)
    };
    bare(title, status, main)
}

/// A page of anybody.
pub fn bare(title: &str, status: StatusCode, main: Markup) -> HttpResponse {
    Page { title, section: Section::Admin, words: "", styles: &[&STYLE], scripts: &[], main }.answer(status)
}

/// What went wrong, in words; at the desk with the way back to it.
pub fn wrong(problem: &Problem, desk: Option<&AtDesk>) -> HttpResponse {
    let status = StatusCode::from_u16(problem.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let (title, more) = match problem.code {
        ErrorCode::NotFound => ("There is nothing here", None),
        ErrorCode::BookNotFound => ("There is no such book", Some("It was deleted, or never was.")),
        ErrorCode::Unavailable => (
            "Nobody can say now",
            Some(
                "The write master gave no answer. If you changed something, it may have happened or not: go back and \
                 send the form again. It carries a key, so it cannot happen twice.",
            ),
        ),
        ErrorCode::Forbidden => (
            "This form is not from here",
            Some("It was made for another session. Open the page again, and send the form from there."),
        ),
        _ => ("That did not work", None),
    };
    let main = html! {
        div.notice.bad role="alert" {
            h1 { (title) }
            @match more {
                Some(more) => p { (more) },
                None => p { (sentence(&problem.error)) },
            }
        }
        p { a href="/admin" { "To the list of books" } }
    };
    match desk {
        Some(desk) => page(desk, "", title, status, &main),
        None => bare(title, status, main),
    }
}

/// A sentence as people read it.
pub fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let capital = letters.next().map(|first| first.to_uppercase().collect::<String>()).unwrap_or_default();
    let end = if text.ends_with(['.', '"']) { "" } else { "." };
    format!("{capital}{}{end}", letters.as_str())
}

/// `303`: whoever reloads what comes then sends no form again.
pub fn see(path: &str) -> HttpResponse {
    let mut answer = HttpResponse::SeeOther();
    answer.insert_header((header::LOCATION, path)).insert_header((header::CACHE_CONTROL, "no-store"));
    let mut answer = answer.finish();
    crate::pages::protect(answer.headers_mut());
    answer
}

/// The key of a form: the one that it came with, so that it goes on under it, or a new one.
pub fn key(given: Option<&IdempotencyKey>) -> Result<Markup, Problem> {
    let key = match given {
        Some(key) => key.clone(),
        None => draw_key()?,
    };
    Ok(html! { input type="hidden" name="key" value=(key.as_str()); })
}

pub fn price(cents: Cents) -> String {
    format!("${}.{:02}", cents.get() / 100, cents.get() % 100)
}

/// As a field of a form holds it.
pub fn plain_price(cents: Cents) -> String {
    price(cents)[1..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_whole_sentences() {
        assert_eq!(sentence("a title must not be empty"), "A title must not be empty.");
        assert_eq!(sentence(""), ".");
        assert_eq!(price(Cents::new(2805).unwrap()), "$28.05");
    }
}
