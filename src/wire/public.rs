//! Bodies of the public listener, with the field names that clients know.

use super::schema;
use crate::domain::{Book, BookId, Cents, Invalid, Order, Quantity, Receipt};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::borrow::Cow;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{Object, ObjectBuilder, OneOfBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

/// Books on a page unless `?limit=` says otherwise.
pub const DEFAULT_LIMIT: u32 = 100;
/// The largest page: some 100 KB of JSON, and 1,001 floors to look at for each hit.
pub const MAX_LIMIT: u32 = 1000;

/// A book.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Book)]
pub struct BookView<'a> {
    #[schema(schema_with = schema::book_id)]
    id: i64,
    #[schema(schema_with = schema::title)]
    book_title: &'a str,
    #[schema(schema_with = schema::topic)]
    book_topic: &'a str,
    #[schema(schema_with = schema::stock)]
    number_of_items: u32,
    #[serde(serialize_with = "dollars")]
    #[schema(schema_with = schema::price)]
    book_cost: i64,
}

impl<'a> From<&'a Book> for BookView<'a> {
    fn from(book: &'a Book) -> Self {
        Self {
            id: book.id.get(),
            book_title: book.title.as_str(),
            book_topic: book.topic.as_str(),
            number_of_items: book.stock.get(),
            book_cost: book.price.get(),
        }
    }
}

/// The data of an event of `/events`: what there is of a book.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = StockEvent)]
pub enum StockEvent<'a> {
    /// What is left, and for how much.
    #[serde(rename_all = "camelCase")]
    #[schema(title = "sold")]
    Sold {
        #[schema(schema_with = schema::book_id)]
        id: i64,
        #[schema(schema_with = schema::stock)]
        number_of_items: u32,
        #[schema(schema_with = schema::price)]
        book_cost: &'a RawValue,
    },
    /// It is not sold any more, or never was.
    #[schema(title = "gone")]
    Gone {
        #[schema(schema_with = schema::book_id)]
        id: i64,
        gone: bool,
    },
}

/// A page of books.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Books)]
pub struct SearchView<'a> {
    pub items: Vec<BookView<'a>>,
    /// The path of the following page; null behind the last book.
    #[schema(required)]
    pub next: Option<String>,
}

/// A topic, and how many books it has.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Topic)]
pub struct TopicView<'a> {
    #[schema(schema_with = schema::topic)]
    pub topic: &'a str,
    #[schema(minimum = 1, example = 2)]
    pub books: u64,
}

/// All topics that have books.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Topics)]
pub struct TopicsView<'a> {
    pub items: Vec<TopicView<'a>>,
}

/// The receipt of a purchase.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Receipt)]
pub struct PurchaseView {
    #[schema(example = "Book has been purchased")]
    message: &'static str,
    #[schema(schema_with = schema::order_id)]
    order_id: String,
    #[schema(schema_with = schema::book_id)]
    book_id: i64,
    #[schema(schema_with = schema::quantity)]
    quantity: u32,
    #[serde(serialize_with = "dollars")]
    #[schema(schema_with = schema::total)]
    total: i64,
    #[schema(schema_with = schema::stock)]
    remaining: u32,
    #[schema(schema_with = schema::version)]
    version: String,
    #[schema(schema_with = schema::milliseconds)]
    response_time: f64,
}

impl PurchaseView {
    /// `response_time`: milliseconds.
    pub fn new(receipt: &Receipt, response_time: f64) -> Self {
        Self {
            message: "Book has been purchased",
            order_id: receipt.order_id.to_string(),
            book_id: receipt.book_id.get(),
            quantity: receipt.quantity.get(),
            total: receipt.total,
            remaining: receipt.remaining.get(),
            version: receipt.version.public().to_string(),
            response_time,
        }
    }
}

/// An order.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Order)]
pub struct OrderView {
    #[schema(schema_with = schema::order_id)]
    order_id: String,
    #[schema(schema_with = schema::book_id)]
    book_id: i64,
    #[schema(schema_with = schema::quantity)]
    quantity: u32,
    #[serde(serialize_with = "dollars")]
    #[schema(schema_with = schema::total)]
    total: i64,
    #[schema(schema_with = schema::version)]
    version: String,
    #[schema(schema_with = schema::moment)]
    created_at: String,
}

impl From<&Order> for OrderView {
    fn from(order: &Order) -> Self {
        Self {
            order_id: order.order_id.to_string(),
            book_id: order.book_id.get(),
            quantity: order.quantity.get(),
            total: order.total,
            version: order.version.public().to_string(),
            created_at: rfc3339(order.created_at_ms),
        }
    }
}

/// A moment in milliseconds since 1970: `2026-11-24T18:27:11.042Z`.
pub fn rfc3339(wall_ms: i64) -> String {
    let since_1970 = std::time::Duration::from_millis(u64::try_from(wall_ms).unwrap_or(0));
    humantime::format_rfc3339_millis(std::time::UNIX_EPOCH + since_1970).to_string()
}

/// What a client asks to buy, in either of the two spellings that clients use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurchaseBody {
    pub book_id: BookId,
    pub quantity: Quantity,
    pub offer: Option<Cents>,
}

/// What counts of a purchase's body. A member that stands there twice is refused: readers of JSON differ in which of
/// the two they take.
#[derive(Deserialize)]
struct Members {
    book_id: Option<Value>,
    id: Option<Value>,
    quantity: Option<Value>,
    #[serde(rename = "orderCost")]
    order_cost: Option<Value>,
}

impl PurchaseBody {
    /// From `{"book_id":9}` or `{"id":9,"orderCost":28}`, each with an optional `"quantity"`. Members
    /// that it does not know are ignored. The error is a sentence for the client.
    pub fn parse(body: &[u8]) -> Result<Self, Invalid> {
        let invalid = |sentence: &str| Invalid(sentence.into());
        // An array would be taken for the members in order.
        let text = std::str::from_utf8(body).ok().filter(|text| text.trim_ascii_start().starts_with('{'));
        let text = text.ok_or_else(|| invalid("the body must be a JSON object"))?;
        let members: Members = serde_json::from_str(text).map_err(|error| match error.is_data() {
            true => invalid("the body has a member twice"),
            false => invalid("the body must be a JSON object"),
        })?;
        let whole = |value: &Option<Value>, sentence: &str| match value {
            None | Some(Value::Null) => Ok(None),
            Some(value) => whole_number(value).map(Some).ok_or_else(|| invalid(sentence)),
        };
        const BOOK_ID: &str = "a book id must be a positive whole number";
        let book_id = match (whole(&members.book_id, BOOK_ID)?, whole(&members.id, BOOK_ID)?) {
            (Some(a), Some(b)) if a != b => {
                return Err(invalid("\"book_id\" and \"id\" name different books"));
            }
            (Some(id), _) | (None, Some(id)) => BookId::new(id)?,
            (None, None) => return Err(invalid("\"book_id\" or \"id\" must name the book")),
        };
        let quantity = whole(&members.quantity, "quantity must be a whole number between 1 and 100")?
            .map_or(Ok(Quantity::ONE), Quantity::new)?;
        let offer = match &members.order_cost {
            None | Some(Value::Null) => None,
            Some(value) => {
                let dollars =
                    value.as_f64().ok_or_else(|| invalid("orderCost must be a number of dollars"))?;
                Some(Cents::from_dollars(dollars)?)
            }
        };
        Ok(Self { book_id, quantity, offer })
    }
}

/// `9`, and also `9.0`, which is a whole number to JSON Schema and to many writers of JSON.
pub(super) fn whole_number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        let number = value.as_f64().filter(|number| number.fract() == 0.0)?;
        (number.abs() <= BookId::MAX.get() as f64).then_some(number as i64)
    })
}

/// The two spellings. A book is named once; null stands for what is left out.
impl PartialSchema for PurchaseBody {
    fn schema() -> RefOr<Schema> {
        let spelling = |name: &str, other: &str, about: &str, example: Value| {
            ObjectBuilder::new()
                .title(Some(format!("by {name}")))
                .description(Some(about))
                .property(name, schema::book_id())
                .property(other, schema::nothing())
                .property("quantity", or_null(schema::quantity()))
                .property("orderCost", or_null(schema::offer()))
                .required(name)
                .examples([example])
        };
        OneOfBuilder::new()
            .description(Some("What to buy, in either of two spellings"))
            .item(spelling("book_id", "id", "At the listed price", json!({ "book_id": 9 })))
            .item(spelling(
                "id",
                "book_id",
                "With an offer for all copies together",
                json!({ "id": 9, "orderCost": 28 }),
            ))
            .into()
    }
}

impl ToSchema for PurchaseBody {
    fn name() -> Cow<'static, str> {
        "Purchase".into()
    }
}

fn or_null(mut schema: Object) -> Object {
    schema.schema_type = match schema.schema_type {
        SchemaType::Type(known) => SchemaType::from_iter([known, Type::Null]),
        other => other,
    };
    schema
}

/// Cents as a JSON number of dollars: `28`, `28.5`.
pub(super) fn dollars<S: Serializer>(cents: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    match cents % 100 {
        0 => serializer.serialize_i64(cents / 100),
        // Within 2^53 cents the nearest double prints as the two decimals that were meant.
        _ => serializer.serialize_f64(*cents as f64 / 100.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Stock, Title, Topic};

    fn parse(body: &str) -> Result<PurchaseBody, Invalid> {
        PurchaseBody::parse(body.as_bytes())
    }

    #[test]
    fn both_spellings_of_a_purchase_are_understood() {
        let body = parse(r#"{"book_id":9}"#).unwrap();
        assert_eq!((body.book_id.get(), body.quantity.get(), body.offer), (9, 1, None));
        let body = parse(r#"{"id":9,"orderCost":28.5,"quantity":2}"#).unwrap();
        assert_eq!((body.book_id.get(), body.quantity.get()), (9, 2));
        assert_eq!(body.offer.unwrap().get(), 2850);
    }

    #[test]
    fn a_member_that_nobody_knows_is_ignored_however_deep_it_is() {
        let deep = |name: &str| {
            format!("{{\"book_id\":9,\"{name}\":{}1{}}}", "[".repeat(30_000), "]".repeat(30_000))
        };
        assert_eq!(parse(&deep("x")).unwrap().book_id.get(), 9);
        assert!(parse(&deep("quantity")).is_err());
    }

    #[test]
    fn a_body_that_is_no_purchase_is_refused() {
        for body in [
            "",
            "[]",
            "9",
            "{",
            "{}",
            r#"{"book_id":"9"}"#,
            r#"{"book_id":0}"#,
            r#"{"book_id":1180591620717411303424}"#,
            r#"{"book_id":9,"id":10}"#,
            r#"{"book_id":9,"quantity":0}"#,
            r#"{"book_id":9,"quantity":1,"quantity":2}"#,
            r#"[9,9]"#,
            r#"{"book_id":9,"quantity":101}"#,
            r#"{"book_id":9,"quantity":-1}"#,
            r#"{"book_id":9,"quantity":1.5}"#,
            r#"{"book_id":9,"quantity":"x"}"#,
            r#"{"book_id":9,"orderCost":"28"}"#,
            r#"{"book_id":9,"orderCost":-1}"#,
            r#"{"book_id":9,"orderCost":0.001}"#,
            r#"{"book_id":9,"orderCost":1e300}"#,
        ] {
            assert!(parse(body).is_err(), "{body}");
        }
        assert!(PurchaseBody::parse(b"{\"book_id\":9,\"x\":\"\xff\"}").is_err());
    }

    #[test]
    fn a_book_has_the_field_names_that_clients_know() {
        let book = |cents| Book {
            id: BookId::new(9).unwrap(),
            title: Title::parse("How to finish Project 3 on time").unwrap(),
            topic: Topic::parse("education").unwrap(),
            stock: Stock::new(15).unwrap(),
            price: Cents::new(cents).unwrap(),
        };
        assert_eq!(
            serde_json::to_string(&BookView::from(&book(2800))).unwrap(),
            r#"{"id":9,"bookTitle":"How to finish Project 3 on time","bookTopic":"education","numberOfItems":15,"bookCost":28}"#
        );
        let odd = serde_json::to_string(&BookView::from(&book(1999))).unwrap();
        assert!(odd.ends_with(r#""bookCost":19.99}"#), "{odd}");
    }

    use proptest::prelude::*;

    /// JSON of any shape, with the names that a purchase has in likely places.
    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            (-3..200i64).prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        let name = prop_oneof!["book_id", "id", "quantity", "orderCost", ".{0,6}"];
        leaf.prop_recursive(3, 24, 6, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::hash_map(name.clone(), inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_comes_as_a_purchase_is_one_or_refused(body: Vec<u8>) {
            let _ = PurchaseBody::parse(&body);
        }

        #[test]
        fn json_of_any_shape_is_a_purchase_within_its_limits_or_refused(value in json()) {
            if let Ok(body) = PurchaseBody::parse(value.to_string().as_bytes()) {
                prop_assert!(value.is_object());
                prop_assert!(body.book_id.get() >= 1 && (1..=100).contains(&body.quantity.get()));
                prop_assert!(body.offer.is_none_or(|offer| offer.get() >= 0));
            }
        }
    }
}
