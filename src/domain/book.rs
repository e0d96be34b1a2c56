//! A book and the newtypes of its fields.

use super::{Cents, Invalid};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// A book's number, from 1 to [`BookId::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct BookId(i64);

impl BookId {
    /// 2^53 − 1: the largest whole number that every JSON reader keeps exact.
    pub const MAX: BookId = BookId((1 << 53) - 1);

    pub fn new(id: i64) -> Result<Self, Invalid> {
        match (1..=Self::MAX.0).contains(&id) {
            true => Ok(Self(id)),
            false => Err(Invalid::new("a book id must be a whole number between 1 and 9007199254740991")),
        }
    }

    /// From the decimal digits of a path or a form. More digits than an `i64` holds are no book id.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        text.parse::<i64>()
            .map_err(|_| Invalid::new("a book id must be a whole number between 1 and 9007199254740991"))
            .and_then(Self::new)
    }

    pub const fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for BookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<i64> for BookId {
    type Error = Invalid;
    fn try_from(id: i64) -> Result<Self, Invalid> {
        Self::new(id)
    }
}

impl From<BookId> for i64 {
    fn from(id: BookId) -> i64 {
        id.0
    }
}

/// Copies in stock, 0 to [`Stock::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Stock(u32);

impl Stock {
    /// Sold out.
    pub const ZERO: Stock = Stock(0);
    /// A billion copies: more than any shelf holds, and small enough that sums stay exact everywhere.
    pub const MAX: Stock = Stock(1_000_000_000);

    pub fn new(count: i64) -> Result<Self, Invalid> {
        match u32::try_from(count) {
            Ok(count) if count <= Self::MAX.0 => Ok(Self(count)),
            _ => Err(Invalid::new("a stock must be a whole number between 0 and 1000000000")),
        }
    }

    pub const fn get(self) -> u32 {
        self.0
    }

    /// What is left after selling `quantity`, or `None` when there are not so many.
    pub fn sell(self, quantity: u32) -> Option<Self> {
        self.0.checked_sub(quantity).map(Self)
    }

    /// The stock after a delivery, or `None` past [`Stock::MAX`].
    pub fn restock(self, copies: u32) -> Option<Self> {
        self.0.checked_add(copies).filter(|&sum| sum <= Self::MAX.0).map(Self)
    }
}

impl TryFrom<i64> for Stock {
    type Error = Invalid;
    fn try_from(count: i64) -> Result<Self, Invalid> {
        Self::new(count)
    }
}

impl From<Stock> for i64 {
    fn from(stock: Stock) -> i64 {
        stock.0.into()
    }
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// The most characters it may have.
            pub const MAX_CHARS: usize = $max;

            /// Refuses the empty text, control characters, and more than [`Self::MAX_CHARS`] characters.
            pub fn parse(text: impl Into<String>) -> Result<Self, Invalid> {
                let text = text.into();
                if text.trim().is_empty() {
                    return Err(Invalid::new(concat!($what, " must not be empty")));
                }
                if text.len() > 4 * Self::MAX_CHARS || text.chars().count() > Self::MAX_CHARS {
                    return Err(Invalid::new(concat!($what, " must have at most ", $max, " characters")));
                }
                if text.chars().any(char::is_control) {
                    return Err(Invalid::new(concat!($what, " must not have control characters")));
                }
                Ok(Self(text.into_boxed_str()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;
            fn try_from(text: String) -> Result<Self, Invalid> {
                Self::parse(text)
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> String {
                text.0.into()
            }
        }
    };
}

text!(
    /// The title of a book.
    Title, "a title", 300
);
text!(
    /// What customers search by. Compared as it is written, letter case included.
    Topic, "a topic", 100
);

/// A row of the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Book {
    pub id: BookId,
    pub title: Title,
    pub topic: Topic,
    pub stock: Stock,
    pub price: Cents,
}

/// A book that has no number yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewBook {
    pub title: Title,
    pub topic: Topic,
    pub stock: Stock,
    pub price: Cents,
}

impl NewBook {
    pub fn with_id(self, id: BookId) -> Book {
        Book { id, title: self.title, topic: self.topic, stock: self.stock, price: self.price }
    }
}

/// Some books of a topic in the order of their ids, and the id to continue after where there are more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BookPage {
    pub books: Vec<Book>,
    pub next: Option<BookId>,
}

/// A topic and how many books it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicCount {
    pub topic: Topic,
    pub books: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_book_id_is_a_positive_number_that_fits() {
        assert_eq!(BookId::parse("9").unwrap().get(), 9);
        for text in ["0", "-1", "1.5", "x", "", "9007199254740992", "1180591620717411303424"] {
            assert!(BookId::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn stock_never_goes_below_zero_or_above_its_bound() {
        let stock = Stock::new(5).unwrap();
        assert_eq!(stock.sell(5).unwrap().get(), 0);
        assert_eq!(stock.sell(6), None);
        assert_eq!(Stock::MAX.restock(1), None);
        assert!(Stock::new(-1).is_err());
    }

    #[test]
    fn a_text_is_bounded_and_printable() {
        assert!(Topic::parse("a".repeat(100)).is_ok());
        assert!(Topic::parse("é".repeat(100)).is_ok());
        for text in ["".into(), "  ".into(), "a".repeat(101), "a\nb".into(), "a\0".into()] {
            assert!(Topic::parse(text).is_err());
        }
    }
}
