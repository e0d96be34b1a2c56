//! What pages have in common: a book on a shelf, its price, what is left of it, the way to the next page.

use super::cover::Cover;
use crate::domain::{Book, BookId, Dollars, Topic};
use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Books on a page of a list: fewer than may be followed live on one page.
pub const PAGE: u32 = 24;

/// With fewer copies the page says that they are the last.
const FEW: u32 = 4;

/// What is said of a stock; `#` is the count.
const SOLD_OUT: &str = "Sold out";
const FEW_LEFT: &str = "Only # left";
const IN_STOCK: &str = "# in stock";

pub fn is_sold_out(book: &Book) -> bool {
    book.stock.get() == 0
}

/// What is left. `live.js` keeps it current.
pub fn stock(book: &Book) -> Markup {
    let left = book.stock.get();
    html! { data.stock data-book=(book.id) value=(left) { (stock_in_words(left)) } }
}

fn stock_in_words(left: u32) -> String {
    let words = match left {
        0 => SOLD_OUT,
        1..FEW => FEW_LEFT,
        _ => IN_STOCK,
    };
    words.replace('#', &left.to_string())
}

/// The same words for `live.js`, so that they are written once.
pub fn stock_words() -> Markup {
    html! {
        template #stock-words data-none=(SOLD_OUT) data-few=(FEW_LEFT) data-few-below=(FEW) data-many=(IN_STOCK)
            data-gone="No longer sold" {}
    }
}

pub fn price(book: &Book) -> Markup {
    let cents = book.price.get();
    html! { data.price data-price-of=(book.id) value=(Dollars(cents)) { "$" (Dollars(cents)) } }
}

/// For people who see it: the title stands beside it. `eager`: it is what the page is about.
pub fn cover(book: &Book, eager: bool) -> Markup {
    let loading = if eager { "eager" } else { "lazy" };
    html! { img.cover src=(Cover::of(book).address()) alt="" width="200" height="300" loading=(loading) decoding="async"; }
}

pub fn book_address(id: BookId) -> String {
    format!("/books/{id}")
}

pub fn topic_address(topic: &str) -> String {
    format!("/topics/{}", utf8_percent_encode(topic, NON_ALPHANUMERIC))
}

/// A topic's name as a heading has it.
pub fn capital(topic: &str) -> String {
    let mut rest = topic.chars();
    rest.next().map_or_else(String::new, |first| first.to_uppercase().chain(rest).collect())
}

/// Books side by side. `title`: how one's title is shown.
pub fn shelf(books: &[Book], title: impl Fn(&Book) -> Markup) -> Markup {
    html! {
        ul.shelf {
            @for book in books {
                li.book {
                    (cover(book, false))
                    h3 { a href=(book_address(book.id)) { (title(book)) } }
                    p.topic { (book.topic) }
                    p.sale { (price(book)) " " (stock(book)) }
                }
            }
        }
    }
}

pub fn plain_title(book: &Book) -> Markup {
    html! { (book.title) }
}

/// `next`: where the following page is. Who is past the first may go back to it.
pub fn pager(first: Option<&str>, next: Option<&str>) -> Markup {
    html! {
        @if first.is_some() || next.is_some() {
            nav.pager aria-label="Pages" {
                @if let Some(first) = first { a.button.quiet href=(first) { "First page" } }
                @if let Some(next) = next { a.button href=(next) rel="next" { "Next page" } }
            }
        }
    }
}

/// The way back: to the shop, and to the topic if the page belongs to one.
pub fn crumbs(topic: Option<&Topic>) -> Markup {
    html! {
        nav.crumbs aria-label="Where you are" {
            a href="/" { "Shop" }
            @if let Some(topic) = topic {
                " › " a href=(topic_address(topic.as_str())) { (capital(topic.as_str())) }
            }
        }
    }
}

pub fn copies(count: u32) -> String {
    match count {
        1 => "1 copy".into(),
        count => format!("{count} copies"),
    }
}

pub fn books(count: u64) -> String {
    match count {
        1 => "1 book".into(),
        count => format!("{count} books"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_copies_are_said_to_be_the_last() {
        for (left, words) in [(0, "Sold out"), (1, "Only 1 left"), (3, "Only 3 left"), (4, "4 in stock")] {
            assert_eq!(stock_in_words(left), words);
        }
    }

    #[test]
    fn a_topic_is_one_segment_of_its_address() {
        assert_eq!(topic_address("a/b?c #é"), "/topics/a%2Fb%3Fc%20%23%C3%A9");
        assert_eq!(capital("éa"), "Éa");
    }
}
