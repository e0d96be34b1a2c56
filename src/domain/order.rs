//! Purchases: what a customer asks for, and the two answers there are.

use super::{BookId, Cents, Invalid, Stock, Version, money::Dollars};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// An order's number: 48 bits of time, so that new ones lie side by side in the index, and 80 random bits,
/// so that nobody guesses another customer's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId(u128);

impl OrderId {
    /// How many of the 128 bits are random.
    const RANDOM_BITS: u32 = 80;

    /// `now_ms` is the wall clock in milliseconds, and only for locality: nothing is ordered by it.
    /// `random` must come from a cryptographically secure source.
    pub const fn draw(now_ms: i64, random: u128) -> Self {
        let time = (now_ms as u128) << Self::RANDOM_BITS;
        Self(time | random & ((1 << Self::RANDOM_BITS) - 1))
    }

    /// The lowest number that an order of the millisecond `ms` can have: where a walk through the orders of a time
    /// begins or ends.
    pub fn first_of(ms: u64) -> Self {
        const BEYOND: u64 = 1 << (u128::BITS - OrderId::RANDOM_BITS);
        Self(u128::from(ms.min(BEYOND - 1)) << Self::RANDOM_BITS)
    }
}

/// 32 lower-case hexadecimal digits.
impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for OrderId {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let digits = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        match u128::from_str_radix(text, 16) {
            Ok(id) if digits => Ok(Self(id)),
            _ => Err(Invalid::new("an order id has 32 hexadecimal digits")),
        }
    }
}

impl Serialize for OrderId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for OrderId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The client's name for one attempt to buy: the same key never has a second effect.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IdempotencyKey(Box<str>);

impl IdempotencyKey {
    /// Long enough for any UUID or hash with a prefix, short enough to index.
    pub const MAX_BYTES: usize = 255;

    /// 1 to 255 visible ASCII characters.
    pub fn parse(text: impl Into<String>) -> Result<Self, Invalid> {
        let text = text.into();
        if text.is_empty() || text.len() > Self::MAX_BYTES || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Invalid::new("an Idempotency-Key must have 1 to 255 visible ASCII characters"));
        }
        Ok(Self(text.into_boxed_str()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for IdempotencyKey {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(text)
    }
}

impl From<IdempotencyKey> for String {
    fn from(key: IdempotencyKey) -> String {
        key.0.into()
    }
}

/// Copies in one purchase, 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Quantity(u8);

impl Quantity {
    pub const ONE: Quantity = Quantity(1);
    pub const MAX: Quantity = Quantity(100);

    pub fn new(quantity: i64) -> Result<Self, Invalid> {
        match u8::try_from(quantity) {
            Ok(quantity) if (1..=Self::MAX.0).contains(&quantity) => Ok(Self(quantity)),
            _ => Err(Invalid::new("quantity must be a whole number between 1 and 100")),
        }
    }

    pub const fn get(self) -> u32 {
        self.0 as u32
    }
}

impl TryFrom<i64> for Quantity {
    type Error = Invalid;
    fn try_from(quantity: i64) -> Result<Self, Invalid> {
        Self::new(quantity)
    }
}

impl From<Quantity> for i64 {
    fn from(quantity: Quantity) -> i64 {
        quantity.0.into()
    }
}

/// A purchase that wants to happen. It has its order id and its key before it leaves the frontend, so
/// that every retry on the way is a retry of the same thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purchase {
    pub order_id: OrderId,
    pub key: IdempotencyKey,
    pub book_id: BookId,
    pub quantity: Quantity,
    /// What the client offers for the whole purchase; absent means "at the listed price".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<Cents>,
}

/// What the customer of a successful purchase is told. `total` is price × quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    pub order_id: OrderId,
    pub book_id: BookId,
    pub quantity: Quantity,
    /// Cents; may exceed [`Cents::MAX`], which bounds a single price.
    pub total: i64,
    pub remaining: Stock,
    pub version: Version,
}

/// Why a purchase did not happen. All but the last are stored under the key like a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    #[error("Book not found")]
    BookNotFound,
    #[error("Book is out of stock")]
    OutOfStock,
    /// Both amounts in cents.
    #[error("you should pay {}$ but you paid {}$", Dollars(*due), Dollars(*offered))]
    Underpaid { due: i64, offered: i64 },
    #[error("the Idempotency-Key was used for another purchase")]
    IdempotencyMismatch,
}

/// A placed order, as it can be looked up for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub order_id: OrderId,
    pub book_id: BookId,
    pub quantity: Quantity,
    /// Cents.
    pub total: i64,
    pub version: Version,
    /// Milliseconds since 1970 on the master's wall clock: for people, nothing is ordered by it.
    pub created_at_ms: i64,
}

/// Which orders a keeper looks for. Their numbers begin with the time at which a frontend took them in, so a time
/// is a range of numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OrdersWanted {
    pub book: Option<BookId>,
    /// The lowest number, if there is one.
    pub from: Option<OrderId>,
    /// All have lower ones than this.
    pub below: Option<OrderId>,
}

/// Some orders, the highest numbers first. `next`: where to continue, below this number; `None` at the end. A page
/// of a book's orders may have few of them, or none, and still go on: it is what was found in a bounded look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderPage {
    pub orders: Vec<Order>,
    pub next: Option<OrderId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_ids_of_one_moment_lie_side_by_side_and_differ() {
        let (first, second) =
            (OrderId::draw(1_800_000_000_000, u128::MAX), OrderId::draw(1_800_000_000_000, 7));
        assert_ne!(first, second);
        assert_eq!(first.to_string()[..12], second.to_string()[..12]);
        assert!(OrderId::draw(1_800_000_000_001, 0) > first);
        let begin = OrderId::first_of(1_800_000_000_000);
        assert!(begin <= second && first < OrderId::first_of(1_800_000_000_001));
        assert!(OrderId::first_of(u64::MAX) > first);
    }

    #[test]
    fn an_order_id_survives_the_wire_in_one_spelling_only() {
        let id = OrderId::draw(0, 7);
        assert_eq!(id.to_string().parse::<OrderId>().unwrap(), id);
        for text in ["", "7", &"A".repeat(32), &"+".repeat(32), &"0".repeat(33)] {
            assert!(text.parse::<OrderId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_quantity_is_1_to_100() {
        assert!(Quantity::new(1).is_ok() && Quantity::new(100).is_ok());
        for quantity in [0, 101, -1, i64::MAX] {
            assert!(Quantity::new(quantity).is_err());
        }
    }

    #[test]
    fn a_key_is_visible_ascii_of_bounded_length() {
        assert!(IdempotencyKey::parse("a-1").is_ok());
        for key in [String::new(), "a b".into(), "é".into(), "x".repeat(256)] {
            assert!(IdempotencyKey::parse(key).is_err());
        }
    }

    #[test]
    fn underpayment_is_said_in_dollars() {
        let refusal = Refusal::Underpaid { due: 2800, offered: 1050 };
        assert_eq!(refusal.to_string(), "you should pay 28$ but you paid 10.50$");
    }

    proptest::proptest! {
        #[test]
        fn a_key_is_kept_as_it_came_or_refused(text: String) {
            let allowed = (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
            let parsed = IdempotencyKey::parse(text.clone());
            proptest::prop_assert_eq!(parsed.ok().map(|key| key.to_string()), allowed.then_some(text));
        }

        #[test]
        fn every_key_within_the_rules_is_a_key(text in "[!-~]{1,255}") {
            proptest::prop_assert_eq!(IdempotencyKey::parse(text.clone()).unwrap().to_string(), text);
        }
    }
}
