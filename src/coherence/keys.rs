//! Keys: what a reader's answer depends on and what a writer's change touches.
//!
//! Invariant: two states of the store that give different answers under a key are separated by a change
//! that touches the key or a book in the answer. (Pages of a topic are ordered by id alone, so a page
//! changes only when a book in it changes or the topic's membership does.)

use super::Slot;
use super::rule::{Rule, kept};
use crate::domain::{Book, BookId, Invalid, Topic};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt, str::FromStr};
use xxhash_rust::xxh3::xxh3_64;

/// What an answer is filed under, and what a fence names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Key {
    /// One book, also "there is no such book".
    Book(BookId),
    /// Which books a topic has; the key of all its pages.
    Topic(Topic),
    /// Which topics there are, and how many books each has.
    Topics,
    /// Which books there are and what they are called; the key of all full-text answers.
    Query,
}

impl Key {
    /// The floor slot of this key: the low 16 bits of XXH3-64 (seed 0) of its text. Fixed, because
    /// floors travel between processes.
    pub fn slot(&self) -> Slot {
        match self {
            Key::Book(id) => {
                // The hot path: a list judges a hundred books, so no allocation here.
                let mut text = [0u8; 25];
                let length = write_book(&mut text, *id);
                slot_of(&text[..length])
            }
            _ => slot_of(self.to_string().as_bytes()),
        }
    }
}

fn slot_of(text: &[u8]) -> Slot {
    Slot((xxh3_64(text) & 0xffff) as u16)
}

/// Writes `book:<id>` and returns how many bytes it took.
fn write_book(text: &mut [u8; 25], id: BookId) -> usize {
    let mut rest = &mut text[..];
    // An i64 has at most 20 characters, so the buffer always suffices.
    let _ = std::io::Write::write_fmt(&mut rest, format_args!("book:{id}"));
    25 - rest.len()
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Book(id) => write!(f, "book:{id}"),
            Key::Topic(topic) => write!(f, "topic:{topic}"),
            Key::Topics => f.write_str("topics"),
            Key::Query => f.write_str("q"),
        }
    }
}

impl FromStr for Key {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.split_once(':') {
            Some(("book", id)) => Ok(Key::Book(BookId::parse(id)?)),
            Some(("topic", topic)) => Ok(Key::Topic(Topic::parse(topic)?)),
            None if text == "topics" => Ok(Key::Topics),
            None if text == "q" => Ok(Key::Query),
            _ => Err(Invalid::new("a key is book:<id>, topic:<topic>, topics or q")),
        }
    }
}

impl TryFrom<String> for Key {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Key> for String {
    fn from(key: Key) -> String {
        key.to_string()
    }
}

/// The keys that a change of one book from `before` to `after` touches, added to `keys`. `None` stands
/// for a book that does not exist.
pub fn touched_keys(before: Option<&Book>, after: Option<&Book>, keys: &mut BTreeSet<Key>) {
    if before == after {
        return;
    }
    let appears_or_disappears = before.is_some() != after.is_some();
    let topic_changes = before.map(|b| &b.topic) != after.map(|b| &b.topic);
    let title_changes = before.map(|b| &b.title) != after.map(|b| &b.title);
    for book in [before, after].into_iter().flatten() {
        if before.is_some() || kept(Rule::NegativeAnswersAreFenced) {
            keys.insert(Key::Book(book.id));
        }
        let leaves = before.is_some_and(|before| before.topic == book.topic);
        if topic_changes && kept(Rule::MembershipIsFenced) && (leaves || kept(Rule::BothTopicsOfAMove)) {
            keys.insert(Key::Topic(book.topic.clone()));
        }
    }
    if appears_or_disappears || topic_changes {
        keys.insert(Key::Topics);
    }
    if appears_or_disappears || title_changes {
        keys.insert(Key::Query);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Cents, Stock, Title};

    fn book(topic: &str, title: &str, stock: i64) -> Book {
        Book {
            id: BookId::new(9).unwrap(),
            title: Title::parse(title).unwrap(),
            topic: Topic::parse(topic).unwrap(),
            stock: Stock::new(stock).unwrap(),
            price: Cents::new(2800).unwrap(),
        }
    }

    fn keys(before: Option<&Book>, after: Option<&Book>) -> Vec<String> {
        let mut keys = BTreeSet::new();
        touched_keys(before, after, &mut keys);
        keys.iter().map(Key::to_string).collect()
    }

    #[test]
    fn a_sale_touches_its_book_only() {
        assert_eq!(keys(Some(&book("a", "t", 2)), Some(&book("a", "t", 1))), ["book:9"]);
    }

    #[test]
    fn a_book_that_appears_or_disappears_touches_its_topic_the_topics_and_the_queries() {
        let all = ["book:9", "topic:a", "topics", "q"];
        assert_eq!(keys(None, Some(&book("a", "t", 1))), all);
        assert_eq!(keys(Some(&book("a", "t", 1)), None), all);
    }

    #[test]
    fn a_move_touches_both_topics_and_a_new_title_the_queries() {
        assert_eq!(
            keys(Some(&book("a", "t", 1)), Some(&book("b", "t", 1))),
            ["book:9", "topic:a", "topic:b", "topics"]
        );
        assert_eq!(keys(Some(&book("a", "t", 1)), Some(&book("a", "u", 1))), ["book:9", "q"]);
    }

    #[test]
    fn nothing_changed_touches_nothing() {
        assert!(keys(Some(&book("a", "t", 1)), Some(&book("a", "t", 1))).is_empty());
    }

    #[test]
    fn a_key_survives_the_wire_and_has_the_slot_of_its_text() {
        for text in ["book:9", "book:9007199254740991", "topic:a:b", "topics", "q"] {
            let key: Key = text.parse().unwrap();
            assert_eq!(key.to_string(), text);
            assert_eq!(key.slot(), slot_of(text.as_bytes()));
        }
        assert!("book:x".parse::<Key>().is_err() && "other".parse::<Key>().is_err());
    }

    #[test]
    fn the_slot_of_a_key_never_changes_between_releases() {
        assert_eq!(slot_of(b""), Slot((0x2d06_8005_38d3_94c2_u64 & 0xffff) as u16));
    }
}
