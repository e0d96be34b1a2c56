//! The form that buys: what it carries, and whether it is one of ours.
//!
//! A form carries the number that its order will have, which is its idempotency key too: so it buys once, and
//! whether it has bought can be looked up. It carries the price that it showed, and never buys at a higher one.
//!
//! Why no other site can send one in a visitor's name (CSRF): the seal is a MAC over that number *and* the
//! visitor's cookie, by a key that only the store has. Another site can make a browser send a form, but it
//! knows no seal for that browser's cookie, and a seal that it was given itself is for its own cookie. A site
//! under the same registered domain could put its own cookie in the visitor's browser; but browsers say
//! where a form comes from (`Sec-Fetch-Site`, or `Origin` for plain HTTP), and what comes from elsewhere is
//! refused. (`SameSite=Lax` keeps the cookie from most foreign forms in the first place.) The seal also means
//! that no order has a number that its buyer made up.

use super::cookies::VisitorId;
use super::parts;
use super::visit::Visit;
use crate::clock;
use crate::domain::{Book, BookId, Cents, Invalid, OrderId, Quantity, Version};
use crate::token::{DerivedKeys, InternalToken};
use actix_web::http::header::HeaderMap;
use maud::{Markup, html};

/// Bytes of a seal: 128 bits are out of reach of guessing.
const SEAL_BYTES: usize = 16;

/// Characters of a quantity that are shown again to whoever typed them.
const MAX_TYPED: usize = 20;

const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// Makes and checks the seals. All frontends of a store have the same: a form that one made may be sent to
/// another.
pub struct Seal(DerivedKeys);

impl Seal {
    pub fn new(token: &InternalToken) -> Self {
        Self(token.derived("bazar storefront form 1"))
    }

    fn of(&self, visitor: VisitorId, order: OrderId) -> String {
        let mac = self.0.mac(&[&visitor.0.to_be_bytes(), order.to_string().as_bytes()]);
        hex::encode(&mac[..SEAL_BYTES])
    }

    fn is_on(&self, sent: &Sent, visitor: VisitorId) -> bool {
        let mut seal = [0; SEAL_BYTES];
        let order = sent.order.to_string();
        hex::decode_to_slice(&sent.seal, &mut seal).is_ok()
            && self.0.is_mac(&[&visitor.0.to_be_bytes(), order.as_bytes()], &seal)
    }
}

/// A number for an order to be, which nobody guesses.
pub fn fresh() -> OrderId {
    OrderId::draw(clock::wall_ms(), rand::random())
}

/// What came with a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub order: OrderId,
    pub book: BookId,
    /// Of one copy, as the form showed it.
    pub price: Cents,
    /// As it was typed, or the beginning of that.
    pub quantity: String,
    /// The version that the page with the form showed.
    pub seen: Option<Version>,
    seal: String,
}

impl Sent {
    /// A field that only the page fills, and does not fit, means that the form is none of ours.
    pub fn parse(body: &[u8]) -> Result<Self, Invalid> {
        let (mut order, mut book, mut price, mut seen) = (None, None, None, None);
        let (mut quantity, mut seal) = (String::new(), String::new());
        for (name, value) in url::form_urlencoded::parse(body) {
            match name.as_ref() {
                "order" => order = value.parse().ok(),
                "book" => book = BookId::parse(&value).ok(),
                "price" => price = value.parse().ok().and_then(|cents| Cents::new(cents).ok()),
                "seen" => seen = value.parse().ok(),
                "quantity" => quantity = value.trim().chars().take(MAX_TYPED).collect(),
                "seal" => seal = value.into_owned(),
                _ => {}
            }
        }
        let none_of_ours = || Invalid("the form is not complete".into());
        let (order, book, price) = (
            order.ok_or_else(none_of_ours)?,
            book.ok_or_else(none_of_ours)?,
            price.ok_or_else(none_of_ours)?,
        );
        Ok(Self { order, book, price, quantity, seen, seal })
    }

    /// How many copies, or what is wrong with that.
    pub fn copies(&self) -> Result<Quantity, &'static str> {
        const SENTENCE: &str = "Please give a whole number from 1 to 100.";
        self.quantity.parse().ok().and_then(|copies| Quantity::new(copies).ok()).ok_or(SENTENCE)
    }

    /// Whether it is a form that was given to the browser that sends it.
    pub fn is_ours(&self, visit: &Visit<'_>, headers: &HeaderMap) -> bool {
        let sealed = visit.known_visitor().is_some_and(|visitor| visit.storefront.seal.is_on(self, visitor));
        sealed && !comes_from_elsewhere(headers)
    }

    /// The form again as it was, behind a button that says `label`.
    pub fn again(&self, label: &str) -> Markup {
        html! {
            form action="/buy" method="post" data-once {
                (hidden(self.order, self.book, self.price, self.seen, &self.seal))
                input type="hidden" name="quantity" value=(self.quantity);
                button type="submit" { (label) }
            }
        }
    }
}

/// Whether a browser says that a page of another origin sends this. `none`: somebody reloads.
fn comes_from_elsewhere(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(site) = text(SEC_FETCH_SITE) {
        return !matches!(site, "same-origin" | "none");
    }
    let authority =
        |origin: &str| origin.split_once("://").map(|(_, authority)| authority.to_ascii_lowercase());
    text("origin").is_some_and(|origin| authority(origin) != text("host").map(str::to_ascii_lowercase))
}

/// What a form for a book says before it is filled in.
pub struct Form {
    pub order: OrderId,
    pub quantity: String,
    /// What is wrong with the quantity.
    pub wrong: Option<&'static str>,
    pub label: String,
}

impl Form {
    pub fn blank() -> Self {
        Self { order: fresh(), quantity: "1".into(), wrong: None, label: "Buy".into() }
    }

    pub fn markup(&self, visit: &mut Visit<'_>, book: &Book, shows: Version) -> Markup {
        let visitor = visit.visitor();
        let seal = visit.storefront.seal.of(visitor, self.order);
        html! {
            form.buy action="/buy" method="post" data-once {
                (hidden(self.order, book.id, book.price, Some(shows), &seal))
                div.field {
                    label for="quantity" { "Quantity" }
                    input #quantity type="number" name="quantity" min="1" max="100" step="1" inputmode="numeric" required
                        value=(self.quantity) autofocus[self.wrong.is_some()]
                        aria-invalid=[self.wrong.map(|_| "true")] aria-describedby=[self.wrong.map(|_| "wrong")];
                    @if let Some(wrong) = self.wrong { p #wrong.wrong { (wrong) } }
                }
                button.wide type="submit" data-buys=(book.id) disabled[parts::is_sold_out(book)] { (self.label) }
            }
        }
    }
}

fn hidden(order: OrderId, book: BookId, price: Cents, seen: Option<Version>, seal: &str) -> Markup {
    html! {
        input type="hidden" name="order" value=(order);
        input type="hidden" name="book" value=(book);
        input type="hidden" name="price" value=(price.get());
        @if let Some(seen) = seen { input type="hidden" name="seen" value=(seen); }
        input type="hidden" name="seal" value=(seal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{HeaderName, HeaderValue};

    const BODY: &str = "order=00000000000000000000000000000007&book=9&price=2800&seen=3:0000000000000007.17&quantity=%202%20&seal=x";

    fn seal() -> Seal {
        Seal::new(&InternalToken::parse("0123456789abcdef").unwrap())
    }

    fn sent() -> Sent {
        Sent::parse(BODY.as_bytes()).unwrap()
    }

    #[test]
    fn a_form_is_read_as_it_was_filled_in() {
        let sent = sent();
        assert_eq!((sent.book.get(), sent.price.get(), sent.quantity.as_str()), (9, 2800, "2"));
        assert_eq!(sent.copies().unwrap().get(), 2);
        assert_eq!(sent.seen.unwrap().to_string(), "3:0000000000000007.17");
    }

    #[test]
    fn a_form_that_lacks_what_the_page_fills_in_is_none() {
        for (part, instead) in
            [("order=0000", "order="), ("book=9", "book=0"), ("price=2800", "price=-1"), ("price=2800", "")]
        {
            assert!(Sent::parse(BODY.replace(part, instead).as_bytes()).is_err(), "{part}");
        }
        let without_version = Sent::parse(BODY.replace("seen=3", "seen=x").as_bytes()).unwrap();
        assert_eq!(without_version.seen, None);
    }

    #[test]
    fn a_quantity_is_a_whole_number_from_1_to_100() {
        for typed in ["", "0", "101", "-1", "1.5", "two", "1e1"] {
            let sent = Sent { quantity: typed.into(), ..sent() };
            assert!(sent.copies().is_err(), "{typed}");
        }
    }

    #[test]
    fn a_seal_is_for_one_order_of_one_visitor_of_one_store() {
        let (order, visitor) = (sent().order, VisitorId(1));
        let sealed = Sent { seal: seal().of(visitor, order), ..sent() };
        assert!(seal().is_on(&sealed, visitor));
        assert!(!seal().is_on(&sealed, VisitorId(2)));
        assert!(!seal().is_on(&Sent { order: fresh(), ..sealed.clone() }, visitor));
        assert!(!seal().is_on(&Sent { seal: String::new(), ..sealed.clone() }, visitor));
        let other = Seal::new(&InternalToken::parse("fedcba9876543210").unwrap());
        assert!(!other.is_on(&sealed, visitor));
    }

    #[test]
    fn what_another_site_sends_comes_from_elsewhere() {
        let elsewhere = |given: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static("host"), HeaderValue::from_static("shop.example:8083"));
            for (name, value) in given {
                headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            comes_from_elsewhere(&headers)
        };
        for (name, value) in [
            (SEC_FETCH_SITE, "cross-site"),
            (SEC_FETCH_SITE, "same-site"),
            ("origin", "https://other.example"),
            ("origin", "http://shop.example"),
            ("origin", "null"),
        ] {
            assert!(elsewhere(&[(name, value)]), "{value}");
        }
        for (name, value) in [
            (SEC_FETCH_SITE, "same-origin"),
            (SEC_FETCH_SITE, "none"),
            ("origin", "http://Shop.example:8083"),
            ("referer", "https://other.example/"),
        ] {
            assert!(!elsewhere(&[(name, value)]), "{value}");
        }
        // Behind a proxy that has another name for us, the browser's own word counts.
        assert!(!elsewhere(&[(SEC_FETCH_SITE, "same-origin"), ("origin", "https://front.example")]));
    }
}
