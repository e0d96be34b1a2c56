//! Imports: many books that come together, in parts that are each done once.

use super::{BookId, Cents, Invalid, NewBook, Sha256Sum, Stock, Title, Topic};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The name of a part: a sum of the input from its beginning to the end of this part. The same input has
/// the same parts, whenever and from wherever it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImportKey(pub Sha256Sum);

/// One part of an import. It is done as a whole or not at all, and behind the part before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    pub key: ImportKey,
    /// The part before this one, which must be done; `None` for the first.
    pub after: Option<ImportKey>,
    pub lines: Vec<ImportLine>,
}

impl Import {
    /// The most lines of a part: its transaction takes some 30 ms, and no purchase should wait for longer.
    pub const MAX_LINES: usize = 4096;
}

/// A line of an import: the book under that number, new or replaced; without a number a new book.
///
/// On the wire an array `[id, title, topic, stock, cents]`: there are a million of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportLine {
    pub id: Option<BookId>,
    pub book: NewBook,
}

impl Serialize for ImportLine {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { id, book: NewBook { title, topic, stock, price } } = self;
        (id, title.as_str(), topic.as_str(), stock, price).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ImportLine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        type Row = (Option<BookId>, Title, Topic, Stock, Cents);
        let (id, title, topic, stock, price) = Row::deserialize(deserializer)?;
        Ok(Self { id, book: NewBook { title, topic, stock, price } })
    }
}

/// What a part did to the catalog, in books. Their sum is the number of its lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    pub created: u32,
    pub changed: u32,
    /// They were there just so.
    pub unchanged: u32,
}

/// What became of a part that was handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportOutcome {
    Done(Imported),
    /// It had been done before, and was not done again.
    Before(Imported),
    /// The part before it is not done. Nothing was changed.
    OutOfOrder,
}

/// The mark that a part leaves behind, in the transaction that does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportMark {
    pub key: ImportKey,
    pub imported: Imported,
    /// Milliseconds since 1970 on the master's wall clock; only says when the mark may be forgotten.
    pub stored_at_ms: i64,
    /// Marks stored before this moment are deleted; `None` where none may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forget_before_ms: Option<i64>,
}

/// Dollars in a file: digits, and one or two decimals behind a point. Exact, unlike a floating number.
pub fn parse_dollars(text: &str) -> Result<Cents, Invalid> {
    let invalid = || Invalid::new("a price must be a number of dollars with at most two decimals");
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(decimals) || decimals.len() > 2 {
        return Err(invalid());
    }
    let number = |text: &str| text.parse::<i64>().map_err(|_| invalid());
    let tenfold = if decimals.len() == 1 { 10 } else { 1 };
    let cents =
        number(whole)?.checked_mul(100).and_then(|cents| cents.checked_add(number(decimals).ok()? * tenfold));
    Cents::new(cents.ok_or_else(invalid)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_read_to_the_cent_and_nothing_else_is() {
        for (text, cents) in
            [("28", 2800), ("28.5", 2850), ("28.50", 2850), ("0.07", 7), ("1000000000", 100_000_000_000)]
        {
            assert_eq!(parse_dollars(text).unwrap().get(), cents, "{text}");
        }
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "1.234",
            "1e3",
            "1,5",
            " 1",
            "99999999999999999999",
            "1000000001",
        ] {
            assert!(parse_dollars(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_line_survives_the_wire_as_an_array() {
        let text = r#"[null,"A \"t\"","x",3,2850]"#;
        let line: ImportLine = serde_json::from_str(text).unwrap();
        assert_eq!((line.id, line.book.price.get()), (None, 2850));
        assert_eq!(serde_json::to_string(&line).unwrap(), text);
        assert!(serde_json::from_str::<ImportLine>(r#"[0,"t","x",3,2850]"#).is_err());
    }
}
