//! What can be read in the shop, and what a reader is shown: the same types for what the store answered
//! and for what its log says it should have answered.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Books on a page unless a `limit` says otherwise, as the description of the API promises (`bazar openapi`).
pub const DEFAULT_LIMIT: u32 = 100;

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Book {
    pub id: i64,
    pub title: String,
    pub topic: String,
    pub stock: i64,
    /// Cents.
    pub price: i64,
}

/// One thing to read. `after` 0 is the beginning of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Want {
    Book(i64),
    Page {
        topic: String,
        after: i64,
        limit: u32,
    },
    /// Books with this word in their title, or one that begins so, the shortest titles first.
    Found {
        word: String,
        limit: u32,
    },
    Topics,
}

/// A word that is shorter stands for itself alone.
const MIN_PREFIX_CHARS: usize = 3;

impl Want {
    /// The path that asks a frontend for it. Topics of this harness need no escaping.
    pub fn path(&self) -> String {
        match self {
            Want::Book(id) => format!("/info/{id}"),
            Want::Page { topic, after: 0, limit: DEFAULT_LIMIT } => format!("/search/{topic}"),
            Want::Page { topic, after, limit } => {
                let after = if *after > 0 { format!("&after={after}") } else { String::new() };
                format!("/search/{topic}?limit={limit}{after}")
            }
            Want::Found { word, limit } => format!("/search?q={word}&limit={limit}"),
            Want::Topics => "/topics".into(),
        }
    }
}

/// Whether a search for `word` finds `title`; both are plain ASCII here.
pub fn finds(word: &str, title: &str) -> bool {
    title.split(|c: char| !c.is_alphanumeric()).any(|part| match word.len() >= MIN_PREFIX_CHARS {
        true => part.starts_with(word),
        false => part == word,
    })
}

impl fmt::Display for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())
    }
}

/// What a reader was shown, without what differs from answer to answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shown {
    /// `None`: there is no such book.
    Book(Option<Book>),
    /// `next`: the number of the book to go on after.
    Page {
        books: Vec<Book>,
        next: Option<i64>,
    },
    Topics(Vec<(String, u64)>),
}

impl Shown {
    /// A fingerprint: equal for equal content, and in 64 bits as good as never for different content.
    pub fn print(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }

    /// From the body of a frontend's answer to `want`; `None` if it is no such answer.
    pub fn parse(want: &Want, body: &[u8]) -> Option<Self> {
        match want {
            Want::Book(_) => Some(Shown::Book(Some(serde_json::from_slice::<BookBody>(body).ok()?.book()?))),
            Want::Page { .. } | Want::Found { .. } => {
                let page: PageBody = serde_json::from_slice(body).ok()?;
                let next = match page.next {
                    // Of what was found it is a rank, which ends with the number.
                    Some(path) => Some(path.rsplit_once("after=")?.1.rsplit('.').next()?.parse().ok()?),
                    None => None,
                };
                let books = page.items.into_iter().map(BookBody::book).collect::<Option<_>>()?;
                Some(Shown::Page { books, next })
            }
            Want::Topics => {
                let topics: TopicsBody = serde_json::from_slice(body).ok()?;
                Some(Shown::Topics(topics.items.into_iter().map(|item| (item.topic, item.books)).collect()))
            }
        }
    }
}

/// For a violation's words: short, with what tells states apart.
impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let book = |f: &mut fmt::Formatter<'_>, book: &Book| {
            write!(f, "{} left of book {} \"{}\" in {}", book.stock, book.id, book.title, book.topic)
        };
        match self {
            Shown::Book(None) => f.write_str("no such book"),
            Shown::Book(Some(shown)) => book(f, shown),
            Shown::Page { books, next } => {
                write!(f, "{} books", books.len())?;
                for shown in books {
                    f.write_str("; ")?;
                    book(f, shown)?;
                }
                match next {
                    Some(after) => write!(f, "; more after {after}"),
                    None => Ok(()),
                }
            }
            Shown::Topics(topics) => {
                let topics: Vec<String> =
                    topics.iter().map(|(topic, books)| format!("{topic}: {books}")).collect();
                f.write_str(&topics.join(", "))
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BookBody {
    id: i64,
    book_title: String,
    book_topic: String,
    number_of_items: i64,
    book_cost: f64,
}

impl BookBody {
    fn book(self) -> Option<Book> {
        Some(Book {
            id: self.id,
            title: self.book_title,
            topic: self.book_topic,
            stock: self.number_of_items,
            price: cents(self.book_cost)?,
        })
    }
}

#[derive(Deserialize)]
struct PageBody {
    items: Vec<BookBody>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct TopicsBody {
    items: Vec<TopicBody>,
}

#[derive(Deserialize)]
struct TopicBody {
    topic: String,
    books: u64,
}

/// Dollars as they travel, in cents; `None` for what is no whole number of cents.
pub fn cents(dollars: f64) -> Option<i64> {
    let cents = (dollars * 100.0).round();
    ((cents - dollars * 100.0).abs() < 1e-3).then_some(cents as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_reads_as_what_it_shows() {
        let body =
            br#"{"items":[{"id":9,"bookTitle":"t","bookTopic":"x","numberOfItems":15,"bookCost":19.99}],
            "next":"/catalog-service/search/x?limit=1&after=9","cached":true,"responseTime":0.04}"#;
        let want = Want::Page { topic: "x".into(), after: 0, limit: 1 };
        let book = Book { id: 9, title: "t".into(), topic: "x".into(), stock: 15, price: 1999 };
        assert_eq!(Shown::parse(&want, body), Some(Shown::Page { books: vec![book], next: Some(9) }));
        assert_eq!(Shown::parse(&Want::Topics, body), None);
        let rank = br#"{"items":[],"next":"/catalog-service/search?q=t&limit=1&after=31.9"}"#;
        let want = Want::Found { word: "t".into(), limit: 1 };
        assert_eq!(Shown::parse(&want, rank), Some(Shown::Page { books: vec![], next: Some(9) }));
    }

    #[test]
    fn a_search_finds_words_and_the_beginnings_of_long_ones() {
        let title = "edited 2003 by 17-1";
        for (word, found) in
            [("edited", true), ("edi", true), ("ed", false), ("17", true), ("1", true), ("dited", false)]
        {
            assert_eq!(finds(word, title), found, "{word}");
        }
    }
}
