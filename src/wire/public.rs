//! Bodies of the public listener, with the field names that clients know.

use crate::domain::{Book, BookId, Cents, Invalid, Order, Quantity, Receipt};
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// Books on a page unless `?limit=` says otherwise.
pub const DEFAULT_LIMIT: u32 = 100;
/// The largest page: some 100 KB of JSON, and 1,001 floors to look at for each hit.
pub const MAX_LIMIT: u32 = 1000;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BookView<'a> {
    id: i64,
    book_title: &'a str,
    book_topic: &'a str,
    number_of_items: u32,
    #[serde(serialize_with = "dollars")]
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
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum StockEvent<'a> {
    #[serde(rename_all = "camelCase")]
    Sold { id: i64, number_of_items: u32, book_cost: &'a RawValue },
    /// It is not sold any more, or never was.
    Gone { id: i64, gone: bool },
}

#[derive(Debug, Serialize)]
pub struct SearchView<'a> {
    pub items: Vec<BookView<'a>>,
    /// The path of the following page.
    pub next: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct TopicView<'a> {
    pub topic: &'a str,
    pub books: u64,
}

#[derive(Debug, Serialize)]
pub struct TopicsView<'a> {
    pub items: Vec<TopicView<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PurchaseView {
    message: &'static str,
    order_id: String,
    book_id: i64,
    quantity: u32,
    #[serde(serialize_with = "dollars")]
    total: i64,
    remaining: u32,
    version: String,
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

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderView {
    order_id: String,
    book_id: i64,
    quantity: u32,
    #[serde(serialize_with = "dollars")]
    total: i64,
    version: String,
    created_at: String,
}

impl From<&Order> for OrderView {
    fn from(order: &Order) -> Self {
        let since_1970 = std::time::Duration::from_millis(u64::try_from(order.created_at_ms).unwrap_or(0));
        let created_at = humantime::format_rfc3339_millis(std::time::UNIX_EPOCH + since_1970);
        Self {
            order_id: order.order_id.to_string(),
            book_id: order.book_id.get(),
            quantity: order.quantity.get(),
            total: order.total,
            version: order.version.public().to_string(),
            created_at: created_at.to_string(),
        }
    }
}

/// What a client asks to buy, in either of the two spellings that clients use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurchaseBody {
    pub book_id: BookId,
    pub quantity: Quantity,
    pub offer: Option<Cents>,
}

impl PurchaseBody {
    /// From `{"book_id":9}` or `{"id":9,"orderCost":28}`, each with an optional `"quantity"`. Members
    /// that it does not know are ignored. The error is a sentence for the client.
    pub fn parse(body: &[u8]) -> Result<Self, Invalid> {
        let invalid = |sentence: &str| Invalid(sentence.into());
        let value: Value =
            serde_json::from_slice(body).map_err(|_| invalid("the body must be a JSON object"))?;
        let Value::Object(members) = value else { return Err(invalid("the body must be a JSON object")) };
        let whole = |name: &str, sentence: &str| match members.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value.as_i64().map(Some).ok_or_else(|| invalid(sentence)),
        };
        const BOOK_ID: &str = "a book id must be a positive whole number";
        let book_id = match (whole("book_id", BOOK_ID)?, whole("id", BOOK_ID)?) {
            (Some(a), Some(b)) if a != b => {
                return Err(invalid("\"book_id\" and \"id\" name different books"));
            }
            (Some(id), _) | (None, Some(id)) => BookId::new(id)?,
            (None, None) => return Err(invalid("\"book_id\" or \"id\" must name the book")),
        };
        let quantity = whole("quantity", "quantity must be a whole number between 1 and 100")?
            .map_or(Ok(Quantity::ONE), Quantity::new)?;
        let offer = match members.get("orderCost") {
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

/// Cents as a JSON number of dollars: `28`, `28.5`.
fn dollars<S: Serializer>(cents: &i64, serializer: S) -> Result<S::Ok, S::Error> {
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
