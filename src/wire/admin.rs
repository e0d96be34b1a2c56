//! Bodies of the administration's API. Members have the names of an import's and an export's: one name for one thing.

use crate::domain::{Book, BookId, BookTag, Cents, Invalid, NewBook, Stock, Title, Topic};
use crate::wire::public::{OrderView, dollars, whole};
use crate::wire::schema;
use serde::{Deserialize, Deserializer, Serialize};
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
    #[schema(schema_with = schema::title)]
    title: String,
    #[schema(schema_with = schema::topic)]
    topic: String,
    #[serde(deserialize_with = "whole")]
    #[schema(schema_with = schema::stock)]
    stock: i64,
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
    #[serde(default, deserialize_with = "given")]
    #[schema(schema_with = schema::title)]
    title: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(schema_with = schema::topic)]
    topic: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(schema_with = schema::new_price)]
    price: Option<f64>,
}

/// What is not to change is left out: to others, null would mean that it goes.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
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
    #[serde(deserialize_with = "whole")]
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
    serde_json::from_slice(body).map_err(|error| {
        let text = error.to_string();
        Invalid(format!(
            "the body is not what is wanted: {}",
            text.split(" at line ").next().unwrap_or_default()
        ))
    })
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
