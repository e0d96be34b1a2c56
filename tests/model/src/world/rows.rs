//! What a data directory holds: a chain of records, each with the rows that it leaves behind.
//!
//! Invariant: an [`Entry`] never changes, and its digest covers everything before it, so two histories are
//! the same if and only if their last digests are.

use crate::coherence::{Key, Stamp};
use crate::domain::{
    Answer, Batch, Book, BookId, Epoch, IdempotencyKey, NodeId, Order, OrderId, Topic, Version,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// One thing to read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Want {
    Book(BookId),
    Page(Topic),
    Topics,
}

impl Want {
    pub fn key(&self) -> Key {
        match self {
            Want::Book(id) => Key::Book(*id),
            Want::Page(topic) => Key::Topic(topic.clone()),
            Want::Topics => Key::Topics,
        }
    }
}

impl fmt::Display for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key().fmt(f)
    }
}

/// What is read: rows as they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    Book(Option<Book>),
    Page(Vec<Book>),
    Topics(Vec<(Topic, u32)>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let book = |book: &Book| format!("{} x{}", book.id, book.stock.get());
        match self {
            Value::Book(None) => f.write_str("no such book"),
            Value::Book(Some(it)) => write!(f, "book {}", book(it)),
            Value::Page(books) => {
                let books: Vec<String> = books.iter().map(book).collect();
                write!(f, "[{}]", books.join(", "))
            }
            Value::Topics(topics) => {
                let topics: Vec<String> =
                    topics.iter().map(|(topic, count)| format!("{topic}: {count}")).collect();
                write!(f, "[{}]", topics.join(", "))
            }
        }
    }
}

/// An answer of a catalog node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Content {
    pub asof: Version,
    pub value: Value,
}

impl Content {
    pub fn stamp(&self, want: &Want) -> Stamp {
        let books: Vec<BookId> = match &self.value {
            Value::Book(book) => book.iter().map(|book| book.id).collect(),
            Value::Page(books) => books.iter().map(|book| book.id).collect(),
            Value::Topics(_) => Vec::new(),
        };
        Stamp::new(self.asof, &want.key(), books)
    }
}

#[derive(Debug, Clone, Default)]
pub struct Rows {
    pub books: BTreeMap<BookId, Book>,
    pub answers: BTreeMap<IdempotencyKey, Answer>,
    pub orders: BTreeMap<OrderId, Order>,
}

impl Rows {
    pub fn read(&self, want: &Want) -> Value {
        match want {
            Want::Book(id) => Value::Book(self.books.get(id).cloned()),
            Want::Page(topic) => {
                Value::Page(self.books.values().filter(|book| book.topic == *topic).cloned().collect())
            }
            Want::Topics => {
                let mut topics: BTreeMap<&Topic, u32> = BTreeMap::new();
                for book in self.books.values() {
                    *topics.entry(&book.topic).or_default() += 1;
                }
                Value::Topics(topics.into_iter().map(|(topic, count)| (topic.clone(), count)).collect())
            }
        }
    }

    /// What the store's `apply` does. `false` where a row does not change exactly one: then the file is not
    /// what the record was made from.
    fn apply(&mut self, batch: &Batch) -> bool {
        let mut fits = true;
        for id in &batch.deleted {
            fits &= self.books.remove(id).is_some();
        }
        for book in &batch.books {
            self.books.insert(book.id, book.clone());
        }
        for level in &batch.stocks {
            match self.books.get_mut(&level.book_id) {
                Some(book) => book.stock = level.stock,
                None => fits = false,
            }
        }
        for order in &batch.orders {
            fits &= self.orders.insert(order.order_id, *order).is_none();
        }
        for answer in &batch.answers {
            fits &= self.answers.insert(answer.key.clone(), answer.clone()).is_none();
        }
        fits
    }
}

#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "nearly all of them are batches")]
pub enum Body {
    Genesis,
    Start { term_ms: u64, node: NodeId },
    Batch(Batch),
    Seal { heir: NodeId },
}

/// A record, and the rows behind it.
pub struct Entry {
    pub version: Version,
    pub body: Body,
    pub rows: Arc<Rows>,
    pub previous: Option<Arc<Entry>>,
    digest: u64,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:016x}", self.version, self.digest)
    }
}

impl Hash for Entry {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Entry {}

pub fn digest_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl Entry {
    pub fn genesis(books: &[Book]) -> Arc<Self> {
        let rows =
            Rows { books: books.iter().map(|book| (book.id, book.clone())).collect(), ..Rows::default() };
        let digest = digest_of(&rows.books);
        Arc::new(Self {
            version: Version::GENESIS,
            body: Body::Genesis,
            rows: Arc::new(rows),
            previous: None,
            digest,
        })
    }

    /// The record that follows `self`; `None` if it cannot.
    pub fn then(self: &Arc<Self>, version: Version, body: Body) -> Option<Arc<Self>> {
        let rows = match &body {
            Body::Batch(batch) => {
                let mut rows = Rows::clone(&self.rows);
                rows.apply(batch).then(|| Arc::new(rows))?
            }
            _ => Arc::clone(&self.rows),
        };
        let digest = digest_of(&(self.digest, version, format!("{body:?}")));
        Some(Arc::new(Self { version, body, rows, previous: Some(Arc::clone(self)), digest }))
    }

    pub fn predecessor(&self) -> Version {
        self.previous.as_ref().map_or(Version::GENESIS, |previous| previous.version)
    }

    /// From here back to the beginning.
    pub fn chain(self: &Arc<Self>) -> impl Iterator<Item = &Arc<Self>> {
        std::iter::successors(Some(self), |entry| entry.previous.as_ref())
    }

    pub fn digest(&self) -> u64 {
        self.digest
    }

    pub fn content(&self, want: &Want) -> Arc<Content> {
        Arc::new(Content { asof: self.version, value: self.rows.read(want) })
    }

    /// The records behind `after`, at most `most`; `None` where `after` is not in this log.
    pub fn log_after(self: &Arc<Self>, after: Version, most: usize) -> Option<Vec<Arc<Self>>> {
        let mut found: Vec<Arc<Self>> = Vec::new();
        for entry in self.chain() {
            if entry.version == after {
                found.reverse();
                found.truncate(most);
                return Some(found);
            }
            found.push(Arc::clone(entry));
        }
        None
    }

    /// What the store's `longest_open_lease_ms` says: the longest term of all starts from that of the last
    /// batch's epoch on; with `last_only` that of the last start.
    pub fn longest_open_lease_ms(self: &Arc<Self>, last_only: bool) -> u64 {
        let mut longest = 0;
        let mut batch_seen = false;
        for entry in self.chain() {
            match &entry.body {
                Body::Start { term_ms, .. } => {
                    longest = longest.max(*term_ms);
                    if batch_seen || last_only {
                        break;
                    }
                }
                Body::Batch(_) => batch_seen = true,
                Body::Genesis | Body::Seal { .. } => {}
            }
        }
        longest
    }

    pub fn last_master(self: &Arc<Self>) -> Option<NodeId> {
        self.chain().find_map(|entry| match entry.body {
            Body::Start { node, .. } => Some(node),
            _ => None,
        })
    }

    pub fn sealed_for(&self) -> Option<NodeId> {
        match self.body {
            Body::Seal { heir } => Some(heir),
            _ => None,
        }
    }
}

/// What survives a process: the file, and what stands beside it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Disk {
    pub node: NodeId,
    /// What is synced.
    pub synced: Arc<Entry>,
    /// What a process sees; runs ahead of `synced` only where a rule was taken out.
    pub seen: Arc<Entry>,
    pub in_sync: BTreeSet<NodeId>,
    pub deposed_by: Option<Epoch>,
    pub backup: Option<Arc<Entry>>,
    /// It was wiped or restored, and nobody has led or followed with it since.
    pub rewound: bool,
}

impl Disk {
    pub fn new(node: NodeId, genesis: Arc<Entry>) -> Self {
        Self {
            node,
            synced: Arc::clone(&genesis),
            seen: genesis,
            in_sync: BTreeSet::new(),
            deposed_by: None,
            backup: None,
            rewound: false,
        }
    }

    pub fn write(&mut self, head: Arc<Entry>, sync: bool) {
        if sync {
            self.synced = Arc::clone(&head);
        }
        self.seen = head;
        self.rewound = false;
    }
}
