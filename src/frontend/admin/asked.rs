//! What keepers ask for in a query or a form, parsed: places in lists, times, dollars.

use crate::domain::import::parse_dollars;
use crate::domain::{BookId, Cents, IdempotencyKey, Invalid, OrderId, OrdersWanted, Rank, Words};
use serde::{Deserialize, Deserializer, Serialize};
use std::time::UNIX_EPOCH;

/// Which books are listed: all, or those with words in their titles. `after` is a book's number, or a place among
/// what was found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct BooksAsked {
    #[serde(default, deserialize_with = "some", skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
    #[serde(default, deserialize_with = "some", skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// The same, parsed.
pub enum BooksWanted {
    All { after: Option<BookId> },
    With { words: Words, after: Option<Rank> },
}

impl BooksAsked {
    pub fn wanted(&self) -> Result<BooksWanted, Invalid> {
        let after = self.after.as_deref();
        match &self.q {
            None => Ok(BooksWanted::All { after: after.map(BookId::parse).transpose()? }),
            Some(words) => Ok(BooksWanted::With {
                words: Words::parse(words.as_str())?,
                after: after.map(str::parse).transpose()?,
            }),
        }
    }

    /// The path of the page that goes on behind `after`.
    pub fn next(&self, path: &str, after: String) -> String {
        with_query(path, &Self { after: Some(after), ..self.clone() })
    }
}

/// Which orders are listed. `from` and `to` are times: an order is of the time at which a frontend took it in. `after`
/// is the last order that was seen.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct OrdersAsked {
    #[serde(default, deserialize_with = "some", skip_serializing_if = "Option::is_none")]
    pub book: Option<String>,
    #[serde(default, deserialize_with = "some", skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(default, deserialize_with = "some", skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    #[serde(default, deserialize_with = "some", skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

impl OrdersAsked {
    pub fn wanted(&self) -> Result<OrdersWanted, Invalid> {
        let first_of = |time: &String| parse_time(time).map(OrderId::first_of);
        let after: Option<OrderId> = self.after.as_deref().map(str::parse).transpose()?;
        let to = self.to.as_ref().map(first_of).transpose()?;
        Ok(OrdersWanted {
            book: self.book.as_deref().map(BookId::parse).transpose()?,
            from: self.from.as_ref().map(first_of).transpose()?,
            below: after.into_iter().chain(to).min(),
        })
    }

    pub fn next(&self, path: &str, after: OrderId) -> String {
        with_query(path, &Self { after: Some(after.to_string()), ..self.clone() })
    }
}

fn with_query(path: &str, query: &impl Serialize) -> String {
    // Structs of texts and numbers: they always serialize.
    format!("{path}?{}", serde_urlencoded::to_string(query).unwrap_or_default())
}

/// An empty field of a form is none.
fn some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
}

/// Milliseconds since 1970, from a time of RFC 3339 in UTC, whose seconds or time of day may be missing, as browsers
/// leave them out.
fn parse_time(text: &str) -> Result<u64, Invalid> {
    let whole = match text.len() {
        10 => format!("{text}T00:00:00Z"),
        16 => format!("{text}:00Z"),
        _ => text.to_owned(),
    };
    let time =
        humantime::parse_rfc3339_weak(&whole).ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let ms = time.and_then(|since| u64::try_from(since.as_millis()).ok());
    ms.ok_or_else(|| {
        Invalid("a time must be in UTC and of the form 2026-11-24 or 2026-11-24T18:30:00Z".into())
    })
}

/// A whole number of something, from a form.
pub fn parse_count(text: &str, what: &str) -> Result<i64, Invalid> {
    let plain = text.trim();
    plain.parse().map_err(|_| Invalid(format!("{what} must be a whole number, and not \"{plain}\"")))
}

/// Dollars from a form.
pub fn parse_price(text: &str) -> Result<Cents, Invalid> {
    parse_dollars(text.trim().trim_start_matches('$'))
}

/// A key for an edit of somebody who names none.
pub fn draw_key() -> Result<IdempotencyKey, Invalid> {
    IdempotencyKey::parse(format!("admin-{:032x}", rand::random::<u128>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_utc_in_the_forms_that_people_and_browsers_write() {
        for (text, seconds) in [
            ("1970-01-02", 86_400),
            ("1970-01-01T00:01", 60),
            ("1970-01-01T00:00:07Z", 7),
            ("1970-01-01 00:00:07", 7),
        ] {
            assert_eq!(parse_time(text).unwrap(), seconds * 1000, "{text}");
        }
        for text in ["", "yesterday", "1970-13-01", "1969-12-31", "1970-01-01T00:00:00+02:00", "24.11.2026"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_empty_field_is_none_and_the_next_page_asks_for_the_same() {
        let asked: OrdersAsked = serde_urlencoded::from_str("book=9&from=&to=1970-01-02&limit=5").unwrap();
        let wanted = asked.wanted().unwrap();
        assert_eq!((wanted.book.unwrap().get(), wanted.from), (9, None));
        assert_eq!(wanted.below, Some(OrderId::first_of(86_400_000)));
        let after = OrderId::draw(7, 7);
        let next = asked.next("/orders", after);
        let again: OrdersAsked = serde_urlencoded::from_str(next.split_once('?').unwrap().1).unwrap();
        assert_eq!(again.wanted().unwrap(), OrdersWanted { below: Some(after), ..wanted });
    }

    #[test]
    fn a_price_from_a_form_is_exact() {
        assert_eq!(parse_price(" $28.50 ").unwrap().get(), 2850);
        assert!(parse_price("28,50").is_err() && parse_price("-1").is_err());
    }
}
