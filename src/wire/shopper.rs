//! The public bodies of [`public`](super::public) as a customer's program reads them. Text stays as it was
//! sent: whoever shows it to people takes out what a terminal must not get.

use crate::domain::{BookId, Invalid, OrderId, PublicVersion, Quantity, Stock};
use serde::{Deserialize, Deserializer, de::Error};

/// A book in an answer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BookRead {
    pub id: BookId,
    pub book_title: String,
    pub book_topic: String,
    pub number_of_items: Stock,
    #[serde(deserialize_with = "cents")]
    pub book_cost: i64,
}

/// A page of books: of a topic, or of what a search found.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SearchRead {
    pub items: Vec<BookRead>,
    /// The path of the following page.
    #[serde(default)]
    pub next: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TopicRead {
    pub topic: String,
    pub books: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TopicsRead {
    pub items: Vec<TopicRead>,
}

/// Number and stock of a book, and nothing else of it: for who reads ten thousands of answers a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StockRead {
    pub id: BookId,
    pub number_of_items: Stock,
}

/// The same of a page.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StockPage {
    pub items: Vec<StockRead>,
}

/// The answer to a purchase that took place. `total` in cents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PurchaseRead {
    pub order_id: OrderId,
    pub book_id: BookId,
    pub quantity: Quantity,
    #[serde(deserialize_with = "cents")]
    pub total: i64,
    pub remaining: Stock,
    #[serde(deserialize_with = "version")]
    pub version: PublicVersion,
}

/// An order that was looked up. `total` in cents, `created_at` as RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderRead {
    pub order_id: OrderId,
    pub book_id: BookId,
    pub quantity: Quantity,
    #[serde(deserialize_with = "cents")]
    pub total: i64,
    #[serde(deserialize_with = "version")]
    pub version: PublicVersion,
    pub created_at: String,
}

/// The value of `name` in the query of a path such as the one that `next` names, decoded.
pub fn query_value(path: &str, name: &str) -> Option<String> {
    let (_, query) = path.split_once('?')?;
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// A JSON number of dollars, at most 100 copies at the highest price, as whole cents.
fn cents<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    /// 100 × [`Cents::MAX`](crate::domain::Cents::MAX); every cent up to here is exact in an `f64`.
    const MOST: f64 = 1e13;
    let cents = f64::deserialize(deserializer)? * 100.0;
    let whole = cents.round();
    match (cents - whole).abs() <= 0.01 && (0.0..=MOST).contains(&whole) {
        true => Ok(whole as i64),
        false => Err(D::Error::custom("an amount must be a number of dollars with at most two decimals")),
    }
}

fn version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PublicVersion, D::Error> {
    let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
    text.parse().map_err(|error: Invalid| D::Error::custom(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Book, Cents, Epoch, Order, Receipt, Title, Topic, Version};
    use crate::wire::public::{BookView, OrderView, PurchaseView, SearchView, TopicView, TopicsView};

    const VERSION: Version = Version { epoch: Epoch { number: 3, identity: 7 }, seq: 17 };

    fn book() -> Book {
        Book {
            id: BookId::new(9).unwrap(),
            title: Title::parse("How to finish").unwrap(),
            topic: Topic::parse("education").unwrap(),
            stock: Stock::new(15).unwrap(),
            price: Cents::new(1999).unwrap(),
        }
    }

    fn sent(view: &impl serde::Serialize) -> String {
        serde_json::to_string(view).unwrap()
    }

    #[test]
    fn a_page_is_read_as_it_is_written() {
        let book = book();
        let next = Some("/catalog-service/search/education?limit=1&after=9".to_owned());
        let text = sent(&SearchView { items: vec![BookView::from(&book)], next: next.clone() });
        let read: SearchRead = serde_json::from_str(&text).unwrap();
        assert_eq!((read.next, read.items[0].book_cost), (next, 1999));
        assert_eq!((read.items[0].id, read.items[0].number_of_items), (book.id, book.stock));
        assert_eq!(read.items[0].book_title, book.title.as_str());
        let stocks: StockPage = serde_json::from_str(&text).unwrap();
        assert_eq!(stocks.items, [StockRead { id: book.id, number_of_items: book.stock }]);
        let topics = sent(&TopicsView { items: vec![TopicView { topic: "education", books: 2 }] });
        assert_eq!(serde_json::from_str::<TopicsRead>(&topics).unwrap().items[0].books, 2);
    }

    #[test]
    fn a_purchase_and_its_order_are_read_as_they_are_written() {
        let (order_id, quantity) = (OrderId::draw(1, 2), Quantity::new(2).unwrap());
        let (book_id, total, remaining) = (book().id, 3998, book().stock);
        let receipt = Receipt { order_id, book_id, quantity, total, remaining, version: VERSION };
        let read: PurchaseRead = serde_json::from_str(&sent(&PurchaseView::new(&receipt, 0.1))).unwrap();
        let version = VERSION.public();
        assert_eq!(read, PurchaseRead { order_id, book_id, quantity, total, remaining, version });
        let order = Order { order_id, book_id, quantity, total, version: VERSION, created_at_ms: 0 };
        let read: OrderRead = serde_json::from_str(&sent(&OrderView::from(&order))).unwrap();
        let created_at = "1970-01-01T00:00:00.000Z".into();
        assert_eq!(read, OrderRead { order_id, book_id, quantity, total, version, created_at });
    }

    #[test]
    fn an_amount_that_is_no_number_of_cents_is_refused() {
        for cost in ["0.001", "-1", "1e300", "\"1\"", "null"] {
            let text =
                format!(r#"{{"id":9,"bookTitle":"a","bookTopic":"b","numberOfItems":1,"bookCost":{cost}}}"#);
            assert!(serde_json::from_str::<BookRead>(&text).is_err(), "{cost}");
        }
    }

    #[test]
    fn a_value_of_a_query_is_found_and_decoded() {
        let path = "/catalog-service/search?q=a%20b&after=1.5%2F7";
        assert_eq!(query_value(path, "after").as_deref(), Some("1.5/7"));
        assert_eq!(query_value(path, "limit"), None);
        assert_eq!(query_value("/catalog-service/search", "q"), None);
    }
}
