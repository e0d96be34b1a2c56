//! A cover for each book: a drawing that depends on its number, title and topic alone. Colours are those of
//! the topic, the composition is the book's own.
//!
//! The address names a hash of the drawing, so a browser may keep it for good. Under another hash, that of a title
//! that the book no longer has, say, the drawing of now is sent, and not kept: what once was is nowhere.

mod art;
mod typeset;

use super::Storefront;
use crate::clock;
use crate::domain::{Book, BookId};
use crate::frontend::cache::Want;
use crate::frontend::demand::Demand;
use crate::frontend::path::last_segment;
use crate::frontend::storefront::stock;
use crate::pages::protect;
use crate::server::{ApiError, request_id};
use crate::wire::ErrorCode;
use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use art::{Draw, Palette};
use maud::html;
use typeset::Block;
use xxhash_rust::xxh3::xxh3_64;

/// Of every cover.
const WIDTH: u32 = 200;
const HEIGHT: u32 = 300;

/// The drawing for a book.
pub struct Cover {
    id: BookId,
    svg: String,
}

impl Cover {
    pub fn of(book: &Book) -> Self {
        let (title, topic) = (book.title.as_str(), book.topic.as_str());
        // The same title is another composition under another number.
        let draw = Draw::new(xxh3_64(format!("{} {title}", book.id).as_bytes()));
        let palette = Palette::of(topic, &draw);
        let composition = art::composition(&draw);
        let title = Block::set(&drawable(title), composition.title);
        let topic = typeset::label(&drawable(topic));
        let (ground, ink) = (palette.ground, palette.ink);
        let svg = html! {
            svg xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } {
                path fill=(ground) d={ "M0 0h" (WIDTH) "v" (HEIGHT) "H0z" } {}
                (art::picture(&draw, &palette, composition.picture))
                g font-family="Georgia,'Iowan Old Style','Liberation Serif',serif" fill=(ink) text-anchor="middle" {
                    g font-weight="700" font-size=(title.size) {
                        @for (baseline, line) in title.lines() { text x=(WIDTH / 2) y=(baseline) { (line) } }
                    }
                    text x=(WIDTH / 2) y=(composition.label) font-size="10" letter-spacing="1.5" { (topic) }
                }
                // The fold of the spine.
                path fill="#000" opacity=".13" d={ "M0 0h9v" (HEIGHT) "H0z" } {}
                path fill="#fff" opacity=".16" d={ "M9 0h1.5v" (HEIGHT) "H9z" } {}
            }
        };
        Self { id: book.id, svg: svg.into_string() }
    }

    /// Where it is, and for ever will be, unless it is drawn anew.
    pub fn address(&self) -> String {
        format!("/cover/{}.svg?v={}", self.id, self.hash())
    }

    fn hash(&self) -> String {
        format!("{:016x}", xxh3_64(self.svg.as_bytes()))
    }
}

/// What XML has a place for.
fn drawable(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '\u{fffe}' | '\u{ffff}')).collect()
}

pub async fn get(storefront: Data<Storefront>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let name = last_segment(request.uri())?;
    let id = name.strip_suffix(".svg").ok_or(ErrorCode::NotFound)?;
    let want = Want::Book(BookId::parse(id)?);
    let served = storefront.shop.read(&want, Demand::default(), clock::now(), &request_id(&request)).await?;
    let cover = Cover::of(&stock::book(&served)?);
    let is_asked_for = request.query_string().strip_prefix("v=") == Some(cover.hash().as_str());
    let keep = if is_asked_for { "public, max-age=31536000, immutable" } else { "no-store" };
    let mut answer = HttpResponse::Ok()
        .content_type("image/svg+xml")
        .insert_header((header::CACHE_CONTROL, keep))
        .body(cover.svg);
    protect(answer.headers_mut());
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Cents, Stock, Title, Topic};
    use proptest::prelude::*;

    fn book(id: i64, title: &str, topic: &str) -> Book {
        Book {
            id: BookId::new(id).unwrap(),
            title: Title::parse(title).unwrap(),
            topic: Topic::parse(topic).unwrap(),
            stock: Stock::new(1).unwrap(),
            price: Cents::new(1).unwrap(),
        }
    }

    fn svg(id: i64, title: &str, topic: &str) -> String {
        Cover::of(&book(id, title, topic)).svg
    }

    #[test]
    fn the_same_book_has_the_same_cover_whatever_its_price_and_stock() {
        let one = book(9, "A title", "science");
        let sold = Book { stock: Stock::ZERO, price: Cents::new(7).unwrap(), ..one.clone() };
        assert_eq!(Cover::of(&one).address(), Cover::of(&sold).address());
        assert!(Cover::of(&one).address().starts_with("/cover/9.svg?v="));
    }

    #[test]
    fn another_title_topic_or_number_is_another_cover() {
        let mut covers = [
            svg(9, "A title", "science"),
            svg(8, "A title", "science"),
            svg(9, "B title", "science"),
            svg(9, "A title", "art"),
        ];
        covers.sort();
        assert!(covers.windows(2).all(|two| two[0] != two[1]));
    }

    #[test]
    fn a_title_cannot_bring_markup_of_its_own() {
        let hostile = svg(1, "</text><script>x()</script>&\u{ffff}", "\"><image/>");
        assert!(!hostile.contains("<script") && !hostile.contains("<image") && !hostile.contains('\u{ffff}'));
        // maud writes the names of elements; whatever else opens one came from the title.
        assert!(hostile.contains("&lt;"), "{hostile}");
    }

    #[test]
    fn covers_are_small() {
        let sizes = (1..200).map(|id| svg(id, "How to finish Project 3 on time", "education").len());
        let largest = sizes.max().unwrap();
        assert!(largest < 1800, "{largest}");
    }

    proptest! {
        #[test]
        fn every_book_has_a_cover_within_its_limits(id in 1..10_000i64, title in "\\PC{1,300}", topic in "\\PC{1,100}") {
            let (Ok(title), Ok(topic)) = (Title::parse(title), Topic::parse(topic)) else { return Ok(()) };
            let book = Book { title, topic, ..book(id, "x", "x") };
            let svg = Cover::of(&book).svg;
            prop_assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>"));
            prop_assert!(svg.len() < 6000, "{}", svg.len());
        }
    }
}
