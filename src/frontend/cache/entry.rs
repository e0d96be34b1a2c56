//! What readers want, and what is kept to answer them with.

use crate::coherence::{Key, Lease, Moment, Slot, Stamp, Verdict};
use crate::domain::{BookId, Rank, Topic, Version, Words};
use crate::wire::public::DEFAULT_LIMIT;
use actix_web::http::header::HeaderValue;
use bytes::Bytes;
use std::fmt;
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_128;

/// One thing to read, exactly: two wants that could differ in their answer differ here.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Want {
    Book(BookId),
    /// Books of a topic with ids after `after`, at most `limit`.
    Page {
        topic: Topic,
        after: Option<BookId>,
        limit: u32,
    },
    /// Books whose titles have all the words, behind the rank `after`, at most `limit`.
    Query {
        words: Words,
        after: Option<Rank>,
        limit: u32,
    },
    Topics,
}

impl Want {
    /// The key whose floor the answer is judged by, besides those of the books in it.
    pub fn key(&self) -> Key {
        match self {
            Want::Book(id) => Key::Book(*id),
            Want::Page { topic, .. } => Key::Topic(topic.clone()),
            Want::Query { .. } => Key::Query,
            Want::Topics => Key::Topics,
        }
    }

    /// The name under which it lies in Redis. Other pages than the default first one have a suffix behind
    /// a line break, which no topic and no search has.
    pub fn redis_name(&self) -> String {
        match self {
            Want::Book(id) => format!("info:{id}"),
            Want::Page { topic, after: None, limit: DEFAULT_LIMIT } => format!("search:{topic}"),
            Want::Page { topic, after, limit } => {
                format!("search:{topic}\nlimit={limit}&after={}", after.map_or(0, BookId::get))
            }
            Want::Query { words, after: None, limit: DEFAULT_LIMIT } => format!("q:{words}"),
            Want::Query { words, after, limit } => match after {
                Some(after) => format!("q:{words}\nlimit={limit}&after={after}"),
                None => format!("q:{words}\nlimit={limit}"),
            },
            Want::Topics => "topics".into(),
        }
    }

    /// Bytes on the heap, for the cache's budget.
    pub fn size(&self) -> usize {
        match self {
            Want::Page { topic, .. } => topic.as_str().len(),
            Want::Query { words, .. } => words.as_str().len(),
            Want::Book(_) | Want::Topics => 0,
        }
    }
}

/// For the log: `search:education`, `info:9`.
impl fmt::Display for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redis_name().replace('\n', "?"))
    }
}

/// An answer as a catalog node gave it: what it shows, which books are in it, and the JSON object for the
/// client, all but its last members and its closing brace. `found` is false for "no such book".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    pub asof: Version,
    pub books: Vec<BookId>,
    pub found: bool,
    pub body: Bytes,
}

/// Bytes that an entry takes besides what it holds: it lies in five blocks, to each of which the allocator
/// adds some, and has links in the cache's table.
const OVERHEAD: usize = 160;

/// A [`Content`] that can be judged.
#[derive(Debug)]
pub struct Entry {
    stamp: Stamp,
    found: bool,
    negative: bool,
    version: HeaderValue,
    /// Of what was found.
    etag: Option<HeaderValue>,
    body: Bytes,
    expires: Moment,
}

impl Entry {
    /// `ttl` bounds how long it is kept; it is no part of what makes it right.
    pub fn new(want: &Want, content: Content, now: Moment, ttl: Duration) -> Self {
        let negative = !content.found || (content.books.is_empty() && *want != Want::Topics);
        Self {
            version: in_header(&content.asof.public()),
            etag: content.found.then(|| etag(&content.body)),
            stamp: Stamp::new(content.asof, &want.key(), content.books),
            found: content.found,
            negative,
            body: content.body,
            expires: now.after(ttl),
        }
    }

    /// The serving rule, and nothing but it.
    pub fn judge(&self, lease: &Lease, came_in: Moment) -> Verdict {
        self.stamp.judge(lease, came_in)
    }

    pub fn asof(&self) -> Version {
        self.stamp.asof()
    }

    /// Whether it is filed under a key of this slot, or has a book of it.
    pub fn depends_on(&self, slot: Slot) -> bool {
        self.stamp.depends_on(slot)
    }

    pub fn found(&self) -> bool {
        self.found
    }

    /// Whether it says that there is nothing. Anybody can ask for what does not exist, so these are
    /// bounded in number.
    pub fn is_negative(&self) -> bool {
        self.negative
    }

    /// The version it shows, as clients see it.
    pub fn version(&self) -> &HeaderValue {
        &self.version
    }

    /// Weak, because answers made from it differ in `cached` and `responseTime`. `None` for "no such book".
    pub fn etag(&self) -> Option<&HeaderValue> {
        self.etag.as_ref()
    }

    pub fn body(&self) -> &Bytes {
        &self.body
    }

    pub fn expired(&self, now: Moment) -> bool {
        now >= self.expires
    }

    /// Bytes that it takes, with its place in the table.
    pub fn size(&self) -> u64 {
        let headers = self.version.len() + self.etag.as_ref().map_or(0, HeaderValue::len);
        (self.body.len() + self.stamp.size() + headers + size_of::<(Want, Self)>() + OVERHEAD) as u64
    }
}

/// What is printed here has no character that a header must not have.
pub fn in_header(printed: &impl fmt::Display) -> HeaderValue {
    HeaderValue::from_str(&printed.to_string()).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// A hash of the content alone: equal content has one tag at every frontend and in every epoch.
fn etag(body: &[u8]) -> HeaderValue {
    in_header(&format_args!("W/\"{:032x}\"", xxh3_128(body)))
}
