//! The order of versions, as the master's log tells it, and what each of them shows.
//!
//! Invariants: records are taken in their order only, each right behind its predecessor, and what a
//! record says must follow from the one before it (stock and orders add up, no key or order twice);
//! where it does not, that is a finding. For everything that can be read there is a timeline: at which
//! versions it changed, and what it showed from then on.

use crate::shown::{Book, Shown, Want, finds};
use serde::{Deserialize, Deserializer};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

/// A version as roles see it, `3:00000000deadbeef.17`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version {
    pub epoch: u64,
    pub identity: u64,
    pub seq: u64,
}

impl Version {
    pub fn parse(text: &str) -> Option<Self> {
        let (epoch, seq) = text.rsplit_once('.')?;
        let (number, identity) = epoch.split_once(':')?;
        let identity = u64::from_str_radix(identity, 16).ok()?;
        Some(Self { epoch: number.parse().ok()?, identity, seq: seq.parse().ok()? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:016x}.{}", self.epoch, self.identity, self.seq)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Version::parse(&text).ok_or_else(|| serde::de::Error::custom("no version"))
    }
}

/// A version as customers see it, `3.17`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Public {
    pub epoch: u64,
    pub seq: u64,
}

impl Public {
    pub fn parse(text: &str) -> Option<Self> {
        let (epoch, seq) = text.split_once('.')?;
        Some(Self { epoch: epoch.parse().ok()?, seq: seq.parse().ok()? })
    }
}

impl fmt::Display for Public {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.seq)
    }
}

/// An entry of the master's log.
#[derive(Debug, Clone, Deserialize)]
pub struct Record {
    pub version: Version,
    pub predecessor: Version,
    body: Body,
}

/// Bodies of other kinds change no row that can be read.
#[derive(Debug, Clone, Default, Deserialize)]
struct Body {
    batch: Option<Batch>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Batch {
    books: Vec<Book>,
    deleted: Vec<i64>,
    stocks: Vec<StockLevel>,
    orders: Vec<OrderRow>,
    answers: Vec<AnswerRow>,
}

#[derive(Debug, Clone, Deserialize)]
struct StockLevel {
    book_id: i64,
    stock: i64,
}

#[derive(Debug, Clone, Deserialize)]
struct OrderRow {
    order_id: String,
    book_id: i64,
    quantity: i64,
    total: i64,
    version: Version,
}

#[derive(Debug, Clone, Deserialize)]
struct AnswerRow {
    key: String,
    outcome: Result<ReceiptRow, serde_json::Value>,
}

#[derive(Debug, Clone, Deserialize)]
struct ReceiptRow {
    order_id: String,
    remaining: i64,
}

/// An order as the log has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    pub seq: u64,
    pub book: i64,
    pub quantity: i64,
    /// Cents.
    pub total: i64,
}

/// What a key was told, as the log has it: the first time it was decided. `sold`: order and what remained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    pub seq: u64,
    pub sold: Option<(u64, i64)>,
}

/// From `seq` on this is what is shown. `stock` only of a book, for words; -1: there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    pub seq: u64,
    pub print: u64,
    pub stock: i64,
}

/// Stock that a record added to a book beyond what purchases explain; some edit must account for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    pub seq: u64,
    pub book: i64,
    pub copies: i64,
}

/// Something that the log itself cannot be right about, in words.
pub type Finding = String;

#[derive(Debug, Default)]
pub struct Truth {
    first_books: Vec<Book>,
    books: BTreeMap<i64, Book>,
    topics: BTreeMap<String, BTreeSet<i64>>,
    at: Option<Version>,
    first: u64,
    /// Where each epoch begins: sequence number of its first record, and its number.
    epochs: Vec<(u64, u64)>,
    book_lines: HashMap<i64, Vec<Point>>,
    topics_line: Vec<Point>,
    pages: Vec<(Want, Vec<Point>)>,
    page_numbers: HashMap<Want, usize>,
    pages_of_topic: HashMap<String, Vec<usize>>,
    /// Those that a search finds: any book may come or go.
    found: Vec<usize>,
    pub orders: HashMap<u64, Order>,
    pub decisions: HashMap<u64, Decision>,
    pub deliveries: Vec<Delivery>,
    pub findings: Vec<Finding>,
    pub records: u64,
}

/// A short name for an order id or a key: 64 bits of it are as unique as all.
pub fn short(text: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

impl Truth {
    /// From the state at `at`. Of pages only those in `pages` have a timeline.
    pub fn new(at: Version, books: Vec<Book>, pages: Vec<Want>) -> Self {
        let mut truth = Self {
            at: Some(at),
            first: at.seq,
            epochs: vec![(at.seq, at.epoch)],
            first_books: books.clone(),
            ..Self::default()
        };
        for book in books {
            truth.topics.entry(book.topic.clone()).or_default().insert(book.id);
            truth.books.insert(book.id, book);
        }
        for (number, want) in pages.into_iter().enumerate() {
            match &want {
                Want::Page { topic, .. } => {
                    truth.pages_of_topic.entry(topic.clone()).or_default().push(number);
                }
                Want::Found { .. } => truth.found.push(number),
                Want::Book(_) | Want::Topics => {}
            }
            let point = truth.point(at.seq, &want);
            truth.page_numbers.insert(want.clone(), number);
            truth.pages.push((want, vec![point]));
        }
        for id in truth.books.keys().copied().collect::<Vec<_>>() {
            let point = truth.point(at.seq, &Want::Book(id));
            truth.book_lines.insert(id, vec![point]);
        }
        truth.topics_line = vec![truth.point(at.seq, &Want::Topics)];
        truth
    }

    /// The last version that is known.
    pub fn at(&self) -> Version {
        self.at.unwrap_or(Version { epoch: 0, identity: 0, seq: 0 })
    }

    /// The number of the epoch that `seq` is of; `None` for what is not known.
    pub fn epoch_of(&self, seq: u64) -> Option<u64> {
        if seq > self.at().seq {
            return None;
        }
        let begun = self.epochs.partition_point(|&(start, _)| start <= seq);
        begun.checked_sub(1).map(|index| self.epochs[index].1)
    }

    pub fn public(&self, seq: u64) -> Public {
        Public { epoch: self.epoch_of(seq).unwrap_or(0), seq }
    }

    /// What is to be read now, at the last version.
    pub fn shows(&self, want: &Want) -> Shown {
        match want {
            Want::Book(id) => Shown::Book(self.books.get(id).cloned()),
            Want::Page { topic, after, limit } => {
                let limit = *limit as usize;
                let ids = self.topics.get(topic);
                let behind = || ids.into_iter().flat_map(|ids| ids.range(after + 1..));
                let books: Vec<Book> =
                    behind().take(limit).filter_map(|id| self.books.get(id).cloned()).collect();
                let more = behind().nth(limit).is_some();
                Shown::Page { next: books.last().filter(|_| more).map(|book| book.id), books }
            }
            Want::Found { word, limit } => {
                let mut books: Vec<&Book> =
                    self.books.values().filter(|book| finds(word, &book.title)).collect();
                books.sort_by_key(|book| (book.title.len(), book.id));
                let more = books.len() > *limit as usize;
                books.truncate(*limit as usize);
                let next = books.last().filter(|_| more).map(|book| book.id);
                Shown::Page { next, books: books.into_iter().cloned().collect() }
            }
            Want::Topics => Shown::Topics(
                self.topics.iter().map(|(topic, ids)| (topic.clone(), ids.len() as u64)).collect(),
            ),
        }
    }

    /// What it was made from.
    pub fn first_books(&self) -> Vec<Book> {
        self.first_books.clone()
    }

    /// A book as it is now.
    pub fn book(&self, id: i64) -> Option<&Book> {
        self.books.get(&id)
    }

    fn point(&self, seq: u64, want: &Want) -> Point {
        let shown = self.shows(want);
        let stock = match &shown {
            Shown::Book(Some(book)) => book.stock,
            _ => -1,
        };
        Point { seq, print: shown.print(), stock }
    }

    /// How what `want` shows changed; empty for a page that was not announced.
    pub fn timeline(&self, want: &Want) -> &[Point] {
        match want {
            Want::Book(id) => self.book_lines.get(id).map_or(&[], Vec::as_slice),
            Want::Topics => &self.topics_line,
            Want::Page { .. } | Want::Found { .. } => {
                self.page_numbers.get(want).map_or(&[], |&number| &self.pages[number].1)
            }
        }
    }

    /// The state of `want` that `seq` shows: its point, and the last version that it is shown by.
    pub fn state(&self, want: &Want, seq: u64) -> Option<(Point, u64)> {
        let line = self.timeline(want);
        if line.is_empty() {
            // A book that never was.
            let never = Point { seq: self.first, print: Shown::Book(None).print(), stock: -1 };
            return matches!(want, Want::Book(_)).then_some((never, u64::MAX));
        }
        let index = line.partition_point(|point| point.seq <= seq).checked_sub(1)?;
        let last = line.get(index + 1).map_or(u64::MAX, |next| next.seq - 1);
        Some((line[index], last))
    }

    /// Takes the next record.
    pub fn apply(&mut self, record: &Record) {
        let at = self.at();
        if record.predecessor != at || record.version.seq != at.seq + 1 {
            self.findings.push(format!(
                "record {} names {} as its predecessor, but the log had come to {at}",
                record.version, record.predecessor
            ));
        }
        if record.version.epoch != at.epoch || record.version.identity != at.identity {
            if record.version.epoch <= at.epoch {
                self.findings.push(format!("epoch of {} does not grow from {at}", record.version));
            }
            self.epochs.push((record.version.seq, record.version.epoch));
        }
        self.at = Some(record.version);
        self.records += 1;
        if let Some(batch) = &record.body.batch {
            self.batch(record.version.seq, batch);
        }
    }

    fn batch(&mut self, seq: u64, batch: &Batch) {
        let mut sold: BTreeMap<i64, i64> = BTreeMap::new();
        for order in &batch.orders {
            *sold.entry(order.book_id).or_default() += order.quantity;
            self.order(seq, order);
        }
        for answer in &batch.answers {
            self.answer(seq, answer);
        }
        let mut touched: BTreeSet<i64> = sold.keys().copied().collect();
        let mut topics: BTreeSet<String> = BTreeSet::new();
        let mut membership = false;
        let before: BTreeMap<i64, i64> = batch
            .stocks
            .iter()
            .map(|level| level.book_id)
            .chain(batch.books.iter().map(|book| book.id))
            .chain(batch.deleted.iter().copied())
            .chain(sold.keys().copied())
            .map(|id| (id, self.books.get(&id).map_or(0, |book| book.stock)))
            .collect();
        for level in &batch.stocks {
            touched.insert(level.book_id);
            match self.books.get_mut(&level.book_id) {
                Some(book) => book.stock = level.stock,
                None => self
                    .findings
                    .push(format!("at {seq} book {} has a stock but is not there", level.book_id)),
            }
        }
        for book in &batch.books {
            touched.insert(book.id);
            let old = self.books.insert(book.id, book.clone());
            if old.as_ref().is_none_or(|old| old.topic != book.topic) {
                membership = true;
                topics.insert(book.topic.clone());
                if let Some(old) = old {
                    self.leave(&old);
                    topics.insert(old.topic);
                }
                self.topics.entry(book.topic.clone()).or_default().insert(book.id);
            }
        }
        for id in &batch.deleted {
            touched.insert(*id);
            match self.books.remove(id) {
                Some(old) => {
                    membership = true;
                    self.leave(&old);
                    topics.insert(old.topic);
                }
                None => self.findings.push(format!("at {seq} book {id} is deleted but was not there")),
            }
        }
        for (&id, &stock) in &before {
            let after = self.books.get(&id).map(|book| book.stock);
            if after.is_some_and(|stock| stock < 0) {
                self.findings.push(format!("at {seq} book {id} has a stock of {}", after.unwrap_or(0)));
            }
            let copies = match after {
                Some(after) => after - stock + sold.get(&id).copied().unwrap_or(0),
                // What a deleted book had left is nobody's concern, but it cannot have sold more.
                None => (sold.get(&id).copied().unwrap_or(0) - stock).max(0),
            };
            if copies != 0 {
                self.deliveries.push(Delivery { seq, book: id, copies });
            }
        }
        for id in touched {
            if let Some(book) = self.books.get(&id) {
                topics.insert(book.topic.clone());
            }
            let point = self.point(seq, &Want::Book(id));
            let line = self.book_lines.entry(id).or_insert_with(|| {
                vec![Point { seq: self.first, print: Shown::Book(None).print(), stock: -1 }]
            });
            extend(line, point);
        }
        if membership {
            let point = self.point(seq, &Want::Topics);
            extend(&mut self.topics_line, point);
        }
        let of_topics = topics.iter().filter_map(|topic| self.pages_of_topic.get(topic)).flatten();
        let found = self.found.iter().filter(|_| !topics.is_empty());
        let numbers: Vec<usize> = of_topics.chain(found).copied().collect();
        for number in numbers {
            let point = self.point(seq, &self.pages[number].0);
            extend(&mut self.pages[number].1, point);
        }
    }

    fn leave(&mut self, book: &Book) {
        if let Some(ids) = self.topics.get_mut(&book.topic) {
            ids.remove(&book.id);
            if ids.is_empty() {
                self.topics.remove(&book.topic);
            }
        }
    }

    fn order(&mut self, seq: u64, row: &OrderRow) {
        if row.version.seq != seq {
            self.findings.push(format!("order {} of {} stands in record {seq}", row.order_id, row.version));
        }
        let order = Order { seq, book: row.book_id, quantity: row.quantity, total: row.total };
        if let Some(other) = self.orders.insert(short(&row.order_id), order) {
            self.findings
                .push(format!("order {} stands in the log twice: {other:?} and {order:?}", row.order_id));
        }
    }

    fn answer(&mut self, seq: u64, row: &AnswerRow) {
        let sold = row.outcome.as_ref().ok().map(|receipt| (short(&receipt.order_id), receipt.remaining));
        if let Some((order, _)) = sold
            && self.orders.get(&order).is_none_or(|order| order.seq != seq)
        {
            self.findings
                .push(format!("key {} was told of an order that is not in its batch {seq}", row.key));
        }
        let decision = Decision { seq, sold };
        if let Some(other) = self.decisions.insert(short(&row.key), decision) {
            self.findings.push(format!("key {} was decided twice: {other:?} and {decision:?}", row.key));
        }
    }
}

fn extend(line: &mut Vec<Point>, point: Point) {
    if line.last().is_none_or(|last| last.print != point.print) {
        line.push(point);
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use serde_json::{Value, json};

    pub fn version(epoch: u64, seq: u64) -> String {
        Version { epoch, identity: epoch, seq }.to_string()
    }

    pub fn book(id: i64, topic: &str, stock: i64) -> Book {
        Book { id, title: format!("t{id}"), topic: topic.into(), stock, price: 100 }
    }

    pub fn record(epoch: u64, seq: u64, batch: Value) -> Record {
        serde_json::from_value(json!({
            "version": version(epoch, seq), "predecessor": version(epoch, seq - 1), "body": {"batch": batch}
        }))
        .unwrap()
    }

    /// A purchase of one copy under key `k<n>` with order `o<n>`.
    pub fn sale(seq: u64, n: u64, book: i64, remaining: i64) -> Record {
        let order = json!({"order_id": format!("o{n}"), "book_id": book, "quantity": 1, "total": 100,
            "version": version(1, seq), "created_at_ms": 0});
        let answer = json!({"key": format!("k{n}"), "book_id": book, "quantity": 1, "stored_at_ms": 0,
            "outcome": {"Ok": {"order_id": format!("o{n}"), "remaining": remaining}}});
        record(
            1,
            seq,
            json!({"stocks": [{"book_id": book, "stock": remaining}], "orders": [order],
            "answers": [answer]}),
        )
    }

    pub fn truth(stock: i64) -> Truth {
        let page = Want::Page { topic: "x".into(), after: 0, limit: 2 };
        let at = Version::parse(&version(1, 10)).unwrap();
        Truth::new(at, vec![book(1, "x", stock), book(2, "x", 5), book(3, "x", 5)], vec![page])
    }

    #[test]
    fn a_purchase_changes_what_its_book_and_its_page_show_and_nothing_else() {
        let mut truth = truth(3);
        truth.apply(&sale(11, 1, 1, 2));
        assert_eq!(truth.findings, Vec::<String>::new());
        assert_eq!(truth.timeline(&Want::Book(1)).len(), 2);
        assert_eq!(truth.timeline(&Want::Book(2)).len(), 1);
        assert_eq!(truth.timeline(&Want::Page { topic: "x".into(), after: 0, limit: 2 }).len(), 2);
        assert_eq!(truth.timeline(&Want::Topics).len(), 1);
        assert_eq!(truth.state(&Want::Book(1), 10).unwrap().1, 10);
        assert_eq!(truth.state(&Want::Book(1), 12).unwrap().0.stock, 2);
        assert!(truth.deliveries.is_empty());
    }

    #[test]
    fn what_a_search_finds_changes_with_titles_and_with_sales() {
        let want = Want::Found { word: "t1".into(), limit: 1 };
        let at = Version::parse(&version(1, 10)).unwrap();
        let long = Book { title: "about t1".into(), ..book(2, "x", 5) };
        let mut truth = Truth::new(at, vec![book(1, "x", 3), long.clone()], vec![want.clone()]);
        assert_eq!(truth.shows(&want), Shown::Page { books: vec![book(1, "x", 3)], next: Some(1) });
        truth.apply(&sale(11, 1, 1, 2));
        assert_eq!(truth.shows(&want), Shown::Page { books: vec![book(1, "x", 2)], next: Some(1) });
        truth.apply(&record(1, 12, json!({"deleted": [1]})));
        assert_eq!(truth.shows(&want), Shown::Page { books: vec![long], next: None });
        assert_eq!(truth.timeline(&want).iter().map(|point| point.seq).collect::<Vec<_>>(), [10, 11, 12]);
    }

    #[test]
    fn a_log_that_does_not_add_up_is_found_out() {
        let mut lost = truth(3);
        lost.apply(&sale(12, 1, 1, 2));
        assert!(lost.findings[0].contains("predecessor"), "{:?}", lost.findings);
        let mut doubled = truth(3);
        doubled.apply(&sale(11, 1, 1, 2));
        doubled.apply(&sale(12, 1, 1, 1));
        assert!(doubled.findings.iter().any(|finding| finding.contains("twice")), "{:?}", doubled.findings);
        let mut unpaid = truth(3);
        unpaid.apply(&sale(11, 1, 1, 3));
        assert_eq!(unpaid.deliveries, [Delivery { seq: 11, book: 1, copies: 1 }]);
    }

    #[test]
    fn a_book_that_moves_or_goes_changes_both_topics_and_the_list_of_topics() {
        let mut truth = truth(3);
        let moved = json!({"id": 1, "title": "t1", "topic": "y", "stock": 3, "price": 100});
        truth.apply(&record(1, 11, json!({"books": [moved]})));
        truth.apply(&record(1, 12, json!({"deleted": [1]})));
        assert_eq!(truth.timeline(&Want::Topics).len(), 3);
        let page = Want::Page { topic: "x".into(), after: 0, limit: 2 };
        assert_eq!(
            truth.shows(&page),
            Shown::Page { books: vec![book(2, "x", 5), book(3, "x", 5)], next: None }
        );
        assert_eq!(truth.shows(&Want::Book(1)), Shown::Book(None));
        assert_eq!(truth.findings, Vec::<String>::new());
    }
}
