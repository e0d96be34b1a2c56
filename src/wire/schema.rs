//! What the values of the public bodies and headers are, as JSON Schema: the bounds of the domain types, said
//! once more for those who read the API's description.

use crate::domain::{BookId, BookTag, Cents, IdempotencyKey, Quantity, Stock, Title, Topic, Words};
use serde_json::Value;
use std::ops::RangeInclusive;
use utoipa::openapi::schema::{Object, ObjectBuilder, OneOfBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{KnownFormat, SchemaFormat};

/// Neither empty nor blank, and without control characters. The class names what Rust calls white space,
/// which is not quite what `\s` is to others.
const PRINTABLE: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*\
                         [^\\u0000-\\u0020\\u007f-\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]\
                         [^\\u0000-\\u001f\\u007f-\\u009f]*$";

/// At most sixteen words.
const WORDS: &str = "^[^\\p{L}\\p{N}]*([\\p{L}\\p{N}]+([^\\p{L}\\p{N}]+|$)){1,16}$";

/// `<epoch>.<seq>` with numbers that fit 64 bits.
const VERSION: &str = "^(0|[1-9][0-9]{0,18})\\.(0|[1-9][0-9]{0,18})$";

/// Since 1970.
const TIME: &str = "^(19[7-9][0-9]|[2-9][0-9]{3})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])\
                    ([T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\\.[0-9]{1,9})?Z?)?)?$";

pub fn book_id() -> Object {
    whole(1..=BookId::MAX.get(), "Number of a book", 9)
}

pub fn stock() -> Object {
    whole(0..=Stock::MAX.get().into(), "Copies in stock", 15)
}

pub fn quantity() -> Object {
    whole(1..=Quantity::MAX.get().into(), "Copies bought together", 1)
}

pub fn title() -> Object {
    printable(Title::MAX_CHARS, "Title of a book", "How to finish Project 3 on time")
}

pub fn topic() -> Object {
    printable(Topic::MAX_CHARS, "A topic, letter case included", "education")
}

/// What a single copy costs at most.
pub fn price() -> Object {
    dollars(Cents::MAX.get(), "Dollars for one copy", 28)
}

/// What the most copies cost at most.
pub fn total() -> Object {
    dollars(Cents::MAX.times(Quantity::MAX.get()), "Dollars for all copies together", 28)
}

/// What a customer offers for all copies together.
pub fn offer() -> Object {
    let about = "Dollars offered for all copies together; below their price it is refused";
    let mut offer = dollars(Cents::MAX.get(), about, 28);
    offer.multiple_of = Some(0.01.into());
    offer
}

/// A price that is asked for: to the cent.
pub fn new_price() -> Object {
    let mut price = price();
    price.multiple_of = Some(0.01.into());
    price
}

/// Copies that come, or go.
pub fn copies() -> Schema {
    let most = Stock::MAX.get().into();
    OneOfBuilder::new()
        .description(Some("Copies that come; below zero, copies that go"))
        .item(whole(1..=most, "Copies that come", 5))
        .item(whole(-most..=-1, "Copies that go", -5))
        .into()
}

/// What `If-Match` takes: one strong tag, or whatever it is.
pub fn seen() -> Object {
    let pattern = format!("^(\\*|\"[!#-~]{{1,{}}}\")$", BookTag::MAX_BYTES);
    let named = SchemaFormat::Custom("seen".into());
    text("A tag of a book, or `*`", "\"077244a9bcab0790f38e753f1db7bf9d\"")
        .pattern(Some(pattern))
        .format(Some(named))
        .build()
}

pub fn etag() -> Object {
    text("What `If-Match` takes", "\"077244a9bcab0790f38e753f1db7bf9d\"")
        .pattern(Some("^\"[0-9a-f]{32}\"$"))
        .build()
}

/// Where a keeper's page of books goes on: behind a book's number, or a [`Rank`](crate::domain::Rank).
pub fn place() -> Object {
    text("As `next` of the page before names it", "10")
        .pattern(Some("^(([1-9][0-9]?|[12][0-9]{2}|300)\\.)?[1-9][0-9]{0,14}$"))
        .build()
}

/// A time of RFC 3339 in UTC; the time of day or its seconds may be missing.
pub fn time() -> Object {
    let named = SchemaFormat::Custom("utc".into());
    text("A time, in UTC", "2026-11-24T18:30:00Z").pattern(Some(TIME)).format(Some(named)).build()
}

pub fn next() -> Object {
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .description(Some("The path of the following page; null behind the last"))
        .build()
}

pub fn version() -> Object {
    let about = "A state of the store, `<epoch>.<seq>`. Later states of one epoch have a higher `seq`.";
    let named = SchemaFormat::Custom("version".into());
    text(about, "1.1").pattern(Some(VERSION)).format(Some(named)).build()
}

pub fn order_id() -> Object {
    let about = "Number of an order; nobody can guess it";
    text(about, "c1f04e97dfd63cda6219b2c20072c8d2").pattern(Some("^[0-9a-f]{32}$")).build()
}

pub fn idempotency_key() -> Object {
    let about = "A name of your own for one purchase or change, such as a UUID";
    let key = text(about, "order-of-monday").pattern(Some("^[!-~]+$"));
    key.min_length(Some(1)).max_length(Some(IdempotencyKey::MAX_BYTES)).build()
}

pub fn words() -> Object {
    let about = format!(
        "Words of a title: at least one, at most {}. Whatever is no letter and no digit separates them.",
        Words::MAX_WORDS
    );
    let named = SchemaFormat::Custom("words".into());
    let words = text(&about, "project time").pattern(Some(WORDS)).format(Some(named));
    words.min_length(Some(1)).max_length(Some(Words::MAX_CHARS)).build()
}

/// Where a page of a search goes on: a [`Rank`](crate::domain::Rank).
pub fn rank() -> Object {
    text("A place among what was found, as `next` of the page before names it", "31.9")
        .pattern(Some("^([1-9][0-9]?|[12][0-9]{2}|300)\\.[1-9][0-9]{0,14}$"))
        .build()
}

pub fn moment() -> Object {
    let moment = text("When the order was placed", "2026-11-22T20:23:51.508Z");
    moment.format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))).build()
}

/// Of a measured time.
pub fn milliseconds() -> Object {
    let about = "Milliseconds that the frontend took, to the microsecond";
    number(about).minimum(Some(0)).examples([Value::from(0.104)]).build()
}

/// Of a member that is not to be given.
pub fn nothing() -> Object {
    ObjectBuilder::new().schema_type(SchemaType::new(Type::Null)).description(Some("Left out")).build()
}

pub fn whole(range: RangeInclusive<i64>, about: &str, example: i64) -> Object {
    ObjectBuilder::new()
        .schema_type(SchemaType::new(Type::Integer))
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .description(Some(about))
        .minimum(Some(*range.start()))
        .maximum(Some(*range.end()))
        .examples([Value::from(example)])
        .build()
}

fn dollars(most_cents: i64, about: &str, example: i64) -> Object {
    number(about).minimum(Some(0)).maximum(Some(most_cents / 100)).examples([Value::from(example)]).build()
}

fn number(about: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::new(Type::Number)).description(Some(about))
}

fn printable(most_chars: usize, about: &str, example: &str) -> Object {
    text(about, example).pattern(Some(PRINTABLE)).min_length(Some(1)).max_length(Some(most_chars)).build()
}

fn text(about: &str, example: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(SchemaType::new(Type::String))
        .description(Some(about))
        .examples([Value::from(example)])
}
