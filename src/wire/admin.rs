//! Bodies of the administration's API. Members have the names of an import's and an export's: one name for one thing.

use crate::domain::{Book, BookId, BookTag, Cents, Invalid, NewBook, Stock, Title, Topic};
use crate::wire::public::{OrderView, dollars, whole_number};
use crate::wire::schema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// The most copies that come or go at once: no shelf holds more.
const MAX_COPIES: i64 = 1_000_000_000;

/// A book as its keeper sees it. `etag`: what `If-Match` takes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeptBook)]
pub struct KeptBook<'a> {
    #[schema(schema_with = schema::book_id)]
    id: i64,
    #[schema(schema_with = schema::title)]
    title: &'a str,
    #[schema(schema_with = schema::topic)]
    topic: &'a str,
    #[schema(schema_with = schema::stock)]
    stock: u32,
    #[serde(serialize_with = "dollars")]
    #[schema(schema_with = schema::price)]
    price: i64,
    #[schema(schema_with = schema::etag)]
    etag: String,
}

impl<'a> From<&'a Book> for KeptBook<'a> {
    fn from(book: &'a Book) -> Self {
        Self {
            id: book.id.get(),
            title: book.title.as_str(),
            topic: book.topic.as_str(),
            stock: book.stock.get(),
            price: book.price.get(),
            etag: etag(book),
        }
    }
}

/// A book's tag as it stands in `ETag` and `If-Match`.
pub fn etag(book: &Book) -> String {
    format!("\"{}\"", BookTag::of(book))
}

/// A page of books.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeptBooks)]
pub struct KeptBooks<'a> {
    pub items: Vec<KeptBook<'a>>,
    #[schema(schema_with = schema::next, required)]
    pub next: Option<String>,
}

/// The newest first. A page of a book's orders may have few of them, or none, and still have a `next`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Orders)]
pub struct OrdersView {
    pub items: Vec<OrderView>,
    #[schema(schema_with = schema::next, required)]
    pub next: Option<String>,
}

/// What an import came to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Import)]
pub struct ImportView {
    pub lines: u64,
    pub created: u64,
    pub changed: u64,
    pub unchanged: u64,
    /// Lines that had been imported before, and were not again.
    pub before: u64,
    pub rejected: u64,
    /// The first of the rejected lines.
    pub rejects: Vec<RejectedLine>,
    pub dry_run: bool,
}

/// A line that is no book.
#[derive(Debug, Serialize, ToSchema)]
pub struct RejectedLine {
    #[schema(minimum = 1, example = 4)]
    pub line: u64,
    #[schema(example = "a stock must be a whole number between 0 and 1000000000")]
    pub reason: String,
}

/// A book that is to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewBook)]
pub struct NewBookSent {
    #[serde(deserialize_with = "title")]
    #[schema(schema_with = schema::title)]
    title: String,
    #[serde(deserialize_with = "topic")]
    #[schema(schema_with = schema::topic)]
    topic: String,
    #[serde(deserialize_with = "stock")]
    #[schema(schema_with = schema::stock)]
    stock: i64,
    #[serde(deserialize_with = "price")]
    #[schema(schema_with = schema::new_price)]
    price: f64,
}

/// From `{"title":"…","topic":"…","stock":3,"price":28.5}`.
pub fn parse_new_book(body: &[u8]) -> Result<NewBook, Invalid> {
    let NewBookSent { title, topic, stock, price } = parse(body)?;
    Ok(NewBook {
        title: Title::parse(title)?,
        topic: Topic::parse(topic)?,
        stock: Stock::new(stock)?,
        price: Cents::from_dollars(price)?,
    })
}

/// What is to be different of a book; at least one of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    pub title: Option<Title>,
    pub topic: Option<Topic>,
    pub price: Option<Cents>,
}

/// What is to be different of a book; at least one of these.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Changes, min_properties = 1)]
pub struct ChangesSent {
    #[serde(default, deserialize_with = "changed_title")]
    #[schema(schema_with = schema::title)]
    title: Option<String>,
    #[serde(default, deserialize_with = "changed_topic")]
    #[schema(schema_with = schema::topic)]
    topic: Option<String>,
    #[serde(default, deserialize_with = "changed_price")]
    #[schema(schema_with = schema::new_price)]
    price: Option<f64>,
}

impl Changes {
    /// From an object with any of `title`, `topic` and `price`. The stock changes by what comes and goes, never to a
    /// number that was right when somebody looked.
    pub fn parse(body: &[u8]) -> Result<Self, Invalid> {
        let ChangesSent { title, topic, price } = parse(body)?;
        let changes = Self {
            title: title.map(Title::parse).transpose()?,
            topic: topic.map(Topic::parse).transpose()?,
            price: price.map(Cents::from_dollars).transpose()?,
        };
        match changes == Self::default() {
            true => Err(Invalid("at least one of title, topic and price must be given".into())),
            false => Ok(changes),
        }
    }
}

/// Copies that come, or go.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Copies)]
pub struct CopiesSent {
    #[serde(deserialize_with = "copies")]
    #[schema(schema_with = schema::copies)]
    copies: i64,
}

/// The same, parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copies {
    Come(u32),
    Go(u32),
}

impl Copies {
    pub fn new(copies: i64) -> Result<Self, Invalid> {
        let count = u32::try_from(copies.unsigned_abs()).ok().filter(|count| i64::from(*count) <= MAX_COPIES);
        match (count, copies) {
            (Some(count), 1..) => Ok(Self::Come(count)),
            (Some(count), ..=-1) => Ok(Self::Go(count)),
            _ => Err(Invalid(format!(
                "copies must be a whole number from -{MAX_COPIES} to {MAX_COPIES}, and not 0"
            ))),
        }
    }

    /// From `{"copies":5}`.
    pub fn parse(body: &[u8]) -> Result<Self, Invalid> {
        Self::new(parse::<CopiesSent>(body)?.copies)
    }

    pub fn edit(self, book_id: BookId) -> crate::domain::Edit {
        match self {
            Self::Come(copies) => crate::domain::Edit::Restock { book_id, copies },
            Self::Go(copies) => crate::domain::Edit::Withdraw { book_id, copies },
        }
    }
}

/// The sentence says what is wrong, and not where: bodies are short.
fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Invalid> {
    if serde_json::from_slice::<Map<String, Value>>(body).is_err() {
        return Err(Invalid("the body must be a JSON object".into()));
    }
    serde_json::from_slice(body).map_err(|error| {
        let text = error.to_string();
        Invalid(format!(
            "the body is not what is wanted: {}",
            text.split(" at line ").next().unwrap_or_default()
        ))
    })
}

fn title<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    member(deserializer, text, "title must be a string")
}

fn topic<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    member(deserializer, text, "topic must be a string")
}

fn stock<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    member(deserializer, whole_number, "stock must be a whole number")
}

fn price<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    member(deserializer, Value::as_f64, "price must be a number of dollars")
}

fn copies<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    member(deserializer, whole_number, "copies must be a whole number")
}

// What is not to change is left out: to others, null would mean that it goes.

fn changed_title<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    title(deserializer).map(Some)
}

fn changed_topic<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    topic(deserializer).map(Some)
}

fn changed_price<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    price(deserializer).map(Some)
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// A member of a body. `else_` says what it must be: the parser's own words name types of this program.
fn member<'de, T, D: Deserializer<'de>>(
    deserializer: D,
    read: impl FnOnce(&Value) -> Option<T>,
    else_: &str,
) -> Result<T, D::Error> {
    let value = Value::deserialize(deserializer)?;
    read(&value).ok_or_else(|| D::Error::custom(else_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_means_something_else_is_refused_and_the_sentence_says_why() {
        for body in [
            "",
            "[]",
            r#"{"title":"a","topic":"b","stock":1}"#,
            r#"{"title":"a","topic":"b","stock":1,"price":"1"}"#,
            r#"{"title":"a","topic":"b","stock":-1,"price":1}"#,
            r#"{"title":"a","topic":"b","stock":1,"price":0.001}"#,
            r#"{"title":"a","topic":"b","stock":1,"price":1,"id":9}"#,
            r#"{"title":"a\u0000","topic":"b","stock":1,"price":1}"#,
        ] {
            assert!(parse_new_book(body.as_bytes()).is_err(), "{body}");
        }
        for body in
            ["{}", r#"{"stock":3}"#, r#"{"prize":3}"#, r#"{"title":null,"price":3}"#, r#"{"title":""}"#]
        {
            assert!(Changes::parse(body.as_bytes()).is_err(), "{body}");
        }
        for (body, said) in [
            ("", "the body must be a JSON object"),
            ("[]", "the body must be a JSON object"),
            (r#"{"price":"1"}"#, "the body is not what is wanted: price must be a number of dollars"),
            (r#"{"title":null,"price":3}"#, "the body is not what is wanted: title must be a string"),
            (r#"{"title":"a","title":"b"}"#, "the body is not what is wanted: duplicate field `title`"),
        ] {
            assert_eq!(Changes::parse(body.as_bytes()).unwrap_err().0, said, "{body}");
        }
        let fraction = parse_new_book(br#"{"title":"a","topic":"b","stock":1.5,"price":1}"#).unwrap_err().0;
        assert_eq!(fraction, "the body is not what is wanted: stock must be a whole number");
        let missing = parse_new_book(br#"{"title":"a","topic":"b","stock":1}"#).unwrap_err().0;
        assert_eq!(missing, "the body is not what is wanted: missing field `price`");
        let typo = Changes::parse(br#"{"prize":3}"#).unwrap_err().0;
        assert!(typo.contains("prize") && typo.contains("price"), "{typo}");
        for body in
            [r#"{"copies":0}"#, r#"{"copies":1.5}"#, r#"{"copies":1000000001}"#, r#"{"copies":"1"}"#, "{}"]
        {
            assert!(Copies::parse(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn what_is_wanted_is_understood() {
        let book = parse_new_book(r#"{"title":"é","topic":"b","stock":1,"price":28.5}"#.as_bytes()).unwrap();
        assert_eq!((book.title.as_str(), book.price.get()), ("é", 2850));
        let changes = Changes::parse(br#"{"price":0}"#).unwrap();
        assert_eq!(changes, Changes { price: Some(Cents::new(0).unwrap()), ..Changes::default() });
        assert_eq!(Copies::parse(br#"{"copies":5}"#), Ok(Copies::Come(5)));
        assert_eq!(Copies::parse(br#"{"copies":5.0}"#), Ok(Copies::Come(5)), "whole to JSON Schema");
        assert_eq!(Copies::parse(br#"{"copies":-5}"#), Ok(Copies::Go(5)));
        assert!(Copies::new(i64::MIN).is_err());
    }
}
