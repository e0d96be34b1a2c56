//! The promises, as rules over what a customer sees. No I/O, no clock: events come in the order in which
//! they were seen, and each request brings the place at which it was sent. The caller says what time it is
//! ([`Checker::at`]), for the words alone: what is judged is the order.
//!
//! What an answer proved holds for every request that is sent after that answer came (linearizability):
//!
//! 1. A read shows at most the stock that a purchase acknowledged, or a read showed, before it was sent.
//! 2. A read names a version no lower than that of a purchase of the book that was acknowledged before.
//! 3. A purchase sells from at most the stock that was known before it was sent.
//! 4. At the end at least as many copies are gone as purchases were acknowledged for.
//!
//! 1, 3 and 4 hold while nobody restocks, and are left out with `--allow-restock`. If only we restock ourselves
//! they go on holding: what was known before a delivery was sent may be exceeded by it from then on, and what is
//! seen before it is known to be done may be from before it. An answer that says of itself that it may be stale
//! promises nothing. Who else buys meanwhile changes nothing of all that.
//!
//! Memory: for each book what held at the place of the oldest request under way, and since.

mod known;
mod stale;

use super::shelf;
use crate::domain::{BookId, PublicVersion, Stock};
use crate::wire::shopper::PurchaseRead;
use known::{Delivery, Fact, Known, Proof};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::time::Duration;

pub use stale::Stale;

/// Deliveries of one book that are remembered, which are those whose outcome is not known; with more of them it
/// gets no other.
const MAX_DELIVERIES: usize = 64;

/// The place of a request among all events, and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sent(u64, Duration);

/// Who answered with what: for the words of a violation.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    /// The kind of read and the frontend that answered.
    pub what: &'a str,
    pub by: &'a dyn fmt::Display,
    pub version: Option<PublicVersion>,
    pub says_stale: bool,
}

/// Counts of what was judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Judged {
    /// Books in answers.
    pub books: u64,
    pub violations: u64,
    /// Those of them that are orders which were not what they had been.
    pub orders: u64,
    /// Answers that said that they may be stale.
    pub flagged: u64,
    /// Books in answers to requests that were under way for too long to be judged.
    pub unjudged: u64,
}

pub struct Checker {
    allow_restock: bool,
    now: u64,
    clock: Duration,
    under_way: BTreeSet<Sent>,
    books: HashMap<BookId, Known>,
    judged: Judged,
    first: Option<String>,
    first_stale: Option<Stale>,
}

impl Checker {
    pub fn new(books: &[shelf::Book], allow_restock: bool) -> Self {
        let known = |book: &shelf::Book| {
            let (at, stock) = (Duration::ZERO, book.stock);
            let start = Fact { since: 0, at, stock, delivered: 0, by: Proof::Start, version: None };
            let (facts, deliveries) = (VecDeque::from([start]), Vec::new());
            (book.id, Known { at_start: book.stock, facts, copies: 0, deliveries, delivered: 0 })
        };
        Self {
            allow_restock,
            now: 0,
            clock: Duration::ZERO,
            under_way: BTreeSet::new(),
            books: books.iter().map(known).collect(),
            judged: Judged::default(),
            first: None,
            first_stale: None,
        }
    }

    pub fn judged(&self) -> Judged {
        self.judged
    }

    /// The first violation, in words.
    pub fn first(&self) -> Option<&str> {
        self.first.as_deref()
    }

    /// The first read that was stale.
    pub fn first_stale(&self) -> Option<&Stale> {
        self.first_stale.as_ref()
    }

    /// It is so long after the start.
    pub fn at(&mut self, clock: Duration) {
        self.clock = clock;
    }

    /// Whether no copy can be left, as far as is known.
    pub fn is_sold_out(&self, book: BookId) -> bool {
        !self.allow_restock && self.books.get(&book).is_some_and(|known| known.newest().stock.get() == 0)
    }

    /// A request is about to be sent. Each is ended by [`read`](Self::read), [`bought`](Self::bought),
    /// [`sold_out`](Self::sold_out) or [`unanswered`](Self::unanswered).
    pub fn sent(&mut self) -> Sent {
        self.now += 1;
        let sent = Sent(self.now, self.clock);
        self.under_way.insert(sent);
        sent
    }

    /// It has no answer that says anything about a book.
    pub fn unanswered(&mut self, sent: Sent) {
        self.under_way.remove(&sent);
    }

    /// A read was answered with these books. Returns whether the answer was stale without saying so.
    pub fn read(
        &mut self,
        sent: Sent,
        shown: Shown<'_>,
        books: impl IntoIterator<Item = (BookId, Stock)>,
    ) -> bool {
        let mut stale = false;
        if shown.says_stale {
            self.judged.flagged += 1;
        } else {
            for (book, stock) in books {
                stale |= self.read_book(sent, shown, book, stock);
            }
        }
        self.under_way.remove(&sent);
        stale
    }

    fn read_book(&mut self, sent: Sent, shown: Shown<'_>, book: BookId, stock: Stock) -> bool {
        // A book that is not on the shelf was beyond its bound, or is new.
        let Some(known) = self.books.get(&book) else { return false };
        let Some(fact) = known.at(sent).copied() else {
            self.judged.unjudged += 1;
            return false;
        };
        self.judged.books += 1;
        let rose = !self.allow_restock && stock > fact.stock;
        let stale = rose || fact.version.zip(shown.version).is_some_and(|(a, b)| reached(b) < reached(a));
        if stale {
            let stale = Stale {
                book,
                what: shown.what.into(),
                by: shown.by.to_string(),
                sent: sent.1,
                answered: self.clock,
                stock,
                version: shown.version,
                known: fact,
                rose,
            };
            self.violated(stale.in_versions());
            self.first_stale.get_or_insert(stale);
        }
        self.learn(sent, book, stock, Proof::Read, None);
        stale
    }

    /// A purchase of `copies` of `book` was acknowledged with `receipt`.
    pub fn bought(&mut self, sent: Sent, book: BookId, copies: u32, receipt: &PurchaseRead) {
        self.under_way.remove(&sent);
        let order = receipt.order_id;
        if receipt.book_id != book || receipt.quantity.get() != copies {
            self.violated(format!(
                "book {book}: its purchase was answered with order {order} of something else"
            ));
            return;
        }
        let Some(known) = self.books.get_mut(&book) else { return };
        known.copies += u64::from(copies);
        let remaining = receipt.remaining.get();
        match known.at(sent).copied() {
            Some(fact) if !self.allow_restock && remaining + copies > fact.stock.get() => {
                self.violated(format!(
                    "book {book}: order {order}, sent {}, left {remaining} of it at version {}",
                    fact.in_words(),
                    receipt.version
                ));
            }
            Some(Fact { version: Some(least), .. }) if reached(receipt.version) <= reached(least) => {
                self.violated(format!(
                    "book {book}: order {order} has version {}, although one that was acknowledged before it was sent \
                     has {least}",
                    receipt.version
                ));
            }
            Some(_) => {}
            None => self.judged.unjudged += 1,
        }
        self.learn(sent, book, receipt.remaining, Proof::Purchase, Some(receipt.version));
    }

    /// A purchase of one copy was refused because there is none.
    pub fn sold_out(&mut self, sent: Sent, book: BookId) {
        self.under_way.remove(&sent);
        self.learn(sent, book, Stock::ZERO, Proof::SoldOut, None);
    }

    /// The books of which hardly any copy can be left, as far as is known.
    pub fn scarce(&self, few: u32) -> Vec<BookId> {
        let scarce =
            |known: &Known| known.newest().stock.get() <= few && known.deliveries.len() < MAX_DELIVERIES;
        self.books.iter().filter(|(_, known)| scarce(known)).map(|(&book, _)| book).collect()
    }

    /// `copies` of `book` are about to be put on the shelf, by us and at most once.
    pub fn delivering(&mut self, book: BookId, copies: u32) -> Sent {
        self.now += 1;
        let sent = Sent(self.now, self.clock);
        let oldest = self.under_way.first().copied().unwrap_or(sent);
        if let Some(known) = self.books.get_mut(&book) {
            known.deliveries.retain(|delivery| delivery.done.is_none_or(|done| done > oldest.0));
            known.deliveries.push(Delivery { sent, copies, done: None });
            known.delivered += u64::from(copies);
            for fact in &mut known.facts {
                fact.exceeded_by(copies);
            }
        }
        sent
    }

    /// They are there.
    pub fn delivered(&mut self, sent: Sent, book: BookId) {
        self.now += 1;
        let deliveries = self.books.get_mut(&book).map(|known| &mut known.deliveries);
        if let Some(delivery) = deliveries.into_iter().flatten().find(|delivery| delivery.sent == sent) {
            delivery.done = Some(self.now);
        }
    }

    /// An acknowledged order, looked up, is not what it was; `found` says what it is.
    pub fn order_differs(&mut self, receipt: &PurchaseRead, found: &str) {
        self.judged.orders += 1;
        self.violated(format!(
            "order {} (book {}, version {}) was acknowledged, and {found}",
            receipt.order_id, receipt.book_id, receipt.version
        ));
    }

    /// The books of which purchases were acknowledged.
    pub fn bought_books(&self) -> Vec<BookId> {
        self.books.iter().filter(|(_, known)| known.copies > 0).map(|(&book, _)| book).collect()
    }

    /// The stock of `book` after everything.
    pub fn left(&mut self, book: BookId, stock: Stock) {
        let Some(known) = self.books.get(&book).filter(|_| !self.allow_restock) else { return };
        let (start, copies, delivered) = (known.at_start.get(), known.copies, known.delivered);
        let gone = (u64::from(start) + delivered).saturating_sub(u64::from(stock.get()));
        if gone < copies {
            let delivered =
                if delivered > 0 { format!(" with {delivered} delivered") } else { String::new() };
            self.violated(format!(
                "book {book}: purchases of {copies} copies were acknowledged, but its stock went from {start} to \
                 {}{delivered} only",
                stock.get()
            ));
        }
    }

    fn learn(&mut self, sent: Sent, book: BookId, stock: Stock, by: Proof, version: Option<PublicVersion>) {
        self.now += 1;
        let oldest = self.under_way.first().copied();
        let Some(known) = self.books.get_mut(&book) else { return };
        let before = *known.newest();
        let later = version
            .filter(|&version| before.version.is_none_or(|before| reached(version) > reached(before)))
            .or(before.version);
        let (since, at) = (self.now, self.clock);
        let mut seen = Fact { since, at, stock, delivered: 0, by, version: later };
        seen.exceeded_by(known.expected(sent));
        let lower =
            seen.stock < before.stock || (seen.stock == before.stock && matches!(by, Proof::Purchase));
        if !lower && later == before.version {
            return;
        }
        let fact =
            if lower { seen } else { Fact { since: self.now, at: self.clock, version: later, ..before } };
        known.facts.push_back(fact);
        known.forget(oldest);
    }

    fn violated(&mut self, words: String) {
        self.judged.violations += 1;
        self.first.get_or_insert(words);
    }
}

/// Versions in the order of one history, which is what a customer may rely on: a later epoch goes on
/// where the one before it ended.
fn reached(version: PublicVersion) -> (u64, u64) {
    (version.epoch, version.seq)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{OrderId, Quantity};

    fn book(id: i64) -> BookId {
        BookId::new(id).unwrap()
    }

    fn stock(count: i64) -> Stock {
        Stock::new(count).unwrap()
    }

    fn checker(allow_restock: bool) -> Checker {
        let shelf = [(9, 15), (10, 12)];
        let on_shelf = |(id, count)| shelf::Book { id: book(id), stock: stock(count), path: "".into() };
        Checker::new(&shelf.map(on_shelf), allow_restock)
    }

    fn receipt(remaining: i64, seq: u64) -> PurchaseRead {
        PurchaseRead {
            order_id: OrderId::draw(0, 1),
            book_id: book(9),
            quantity: Quantity::ONE,
            total: 2800,
            remaining: stock(remaining),
            version: PublicVersion { epoch: 1, seq },
        }
    }

    fn shown(seq: u64) -> Shown<'static> {
        let version = Some(PublicVersion { epoch: 1, seq });
        Shown { what: "a look at it", by: &"http://shop:1", version, says_stale: false }
    }

    /// One event of a made-up history of book 9. Requests are named by letters, and open until answered.
    enum Event {
        Send(char),
        Read(char, i64, u64),
        Bought(char, i64, u64),
        SoldOut(char),
        Left(i64),
    }
    use Event::{Bought, Left, Read, Send, SoldOut};

    fn judge(history: &[Event], allow_restock: bool) -> (u64, String) {
        let (mut checker, mut sent) = (checker(allow_restock), HashMap::new());
        for event in history {
            match *event {
                Send(name) => drop(sent.insert(name, checker.sent())),
                Read(name, count, seq) => {
                    checker.read(sent[&name], shown(seq), [(book(9), stock(count))]);
                }
                Bought(name, left, seq) => checker.bought(sent[&name], book(9), 1, &receipt(left, seq)),
                SoldOut(name) => checker.sold_out(sent[&name], book(9)),
                Left(count) => checker.left(book(9), stock(count)),
            }
        }
        assert_eq!(checker.judged().unjudged, 0);
        (checker.judged().violations, checker.first().unwrap_or_default().to_owned())
    }

    #[test]
    fn a_history_that_keeps_the_promises_is_clean() {
        let history = [
            Send('a'),
            Send('b'),
            Send('c'),
            Bought('a', 14, 2),
            // Sent before the purchase was acknowledged: old and new are both right.
            Read('b', 15, 1),
            Read('c', 14, 2),
            Send('d'),
            Send('e'),
            // Somebody else buys, too.
            Read('d', 12, 4),
            Bought('e', 11, 5),
            Send('f'),
            Read('f', 11, 5),
            Left(9),
        ];
        assert_eq!(judge(&history, false), (0, String::new()));
    }

    #[test]
    fn a_read_above_what_an_acknowledged_purchase_left_is_caught() {
        let history = [Send('a'), Bought('a', 14, 2), Send('b'), Read('b', 15, 1)];
        let (violations, first) = judge(&history, false);
        assert_eq!(violations, 1);
        assert_eq!(
            first,
            "book 9: a look at it, sent after a purchase had been acknowledged with 14 left at version 1.2, showed 15 \
             (version 1.1, from http://shop:1)"
        );
    }

    #[test]
    fn the_first_stale_read_is_told_by_the_clock() {
        let ms = Duration::from_millis;
        let mut checker = checker(false);
        let mut told = Vec::new();
        checker.at(ms(1_000));
        let sent = checker.sent();
        checker.at(ms(1_100));
        checker.bought(sent, book(9), 1, &receipt(13, 2));
        for (copies, seq) in [(13, 2), (14, 1), (13, 1)] {
            checker.at(ms(1_180));
            let sent = checker.sent();
            checker.at(ms(1_234));
            let stale = checker.read(sent, shown(seq), [(book(9), stock(copies))]);
            told.push(stale.then(|| checker.first_stale.take().unwrap().in_time("frontend 2")));
        }
        assert_eq!(told, [
            None,
            Some(
                "at 1.234 s frontend 2 said 14 copies of book 9, but a purchase that left 13 had been acknowledged \
                 80.0 ms before it was asked"
                    .into()
            ),
            Some(
                "at 1.234 s frontend 2 said 13 copies of book 9, as of version 1.1, but a purchase at version 1.2 had \
                 been acknowledged 80.0 ms before it was asked"
                    .into()
            ),
        ]);
    }

    #[test]
    fn a_stock_that_rises_between_two_reads_is_caught() {
        let history = [Send('a'), Read('a', 13, 3), Send('b'), Read('b', 14, 2)];
        let (violations, first) = judge(&history, false);
        assert!(violations == 1 && first.contains("after a read had shown 13, showed 14"), "{first}");
        assert_eq!(judge(&[Send('a'), Read('a', 16, 1)], false).0, 1);
    }

    #[test]
    fn a_stock_after_sold_out_is_caught() {
        let history = [Send('a'), SoldOut('a'), Send('b'), Read('b', 1, 2)];
        let (violations, first) = judge(&history, false);
        assert!(violations == 1 && first.contains("refused as sold out, showed 1"), "{first}");
    }

    #[test]
    fn a_copy_that_is_sold_twice_is_caught() {
        let history = [Send('a'), Bought('a', 14, 2), Send('b'), Bought('b', 14, 3)];
        let (violations, first) = judge(&history, false);
        assert!(violations == 1 && first.contains("left 14 of it at version 1.3"), "{first}");
        // At the same time both answers may be right each by itself, but not together with what is left.
        let history = [Send('a'), Send('b'), Bought('a', 14, 2), Bought('b', 14, 2), Left(14)];
        let (violations, first) = judge(&history, false);
        assert!(violations == 1 && first.contains("went from 15 to 14 only"), "{first}");
    }

    #[test]
    fn what_we_deliver_ourselves_may_be_shown_from_when_it_was_sent_and_no_more_than_that() {
        let mut checker = checker(false);
        let look = |checker: &mut Checker, sent: Sent, count: i64| {
            checker.read(sent, shown(2), [(book(9), stock(count))]);
            checker.judged().violations
        };
        let early = checker.sent();
        let delivery = checker.delivering(book(9), 5);
        // Sent before it, answered behind it.
        assert_eq!(look(&mut checker, early, 20), 0);
        // One that was under way before it was known to be done may be from before it.
        let between = checker.sent();
        checker.delivered(delivery, book(9));
        let late = checker.sent();
        assert_eq!(look(&mut checker, between, 15), 0);
        assert_eq!(look(&mut checker, late, 20), 0);
        let sent = checker.sent();
        assert_eq!(look(&mut checker, sent, 19), 0);
        let sent = checker.sent();
        assert_eq!(look(&mut checker, sent, 20), 1);
        assert!(
            checker.first().unwrap().contains("after a read had shown 19, showed 20"),
            "{:?}",
            checker.first()
        );
        // One whose outcome is not known is allowed for, once.
        checker.delivering(book(9), 1);
        let sent = checker.sent();
        assert_eq!(look(&mut checker, sent, 20), 1);
        let sent = checker.sent();
        assert_eq!(look(&mut checker, sent, 22), 2);
    }

    #[test]
    fn at_the_end_deliveries_count_as_stock_that_was_there() {
        let mut checker = checker(false);
        let delivery = checker.delivering(book(9), 5);
        checker.delivered(delivery, book(9));
        let sent = checker.sent();
        checker.bought(sent, book(9), 1, &receipt(19, 2));
        checker.left(book(9), stock(19));
        assert_eq!(checker.judged().violations, 0);
        checker.left(book(9), stock(20));
        assert!(
            checker.first().unwrap().contains("from 15 to 20 with 5 delivered only"),
            "{:?}",
            checker.first()
        );
    }

    #[test]
    fn a_book_is_scarce_until_more_copies_are_on_their_way() {
        let mut checker = checker(false);
        assert_eq!(checker.scarce(12), [book(10)]);
        checker.delivering(book(10), 5);
        assert_eq!(checker.scarce(12), []);
    }

    #[test]
    fn versions_must_not_fall_even_where_somebody_restocks() {
        let restocked =
            [Send('a'), Bought('a', 14, 2), Send('b'), Read('b', 99, 3), Send('c'), Bought('c', 98, 4)];
        assert_eq!(judge(&restocked, true), (0, String::new()));
        let stale = [Send('a'), Bought('a', 14, 2), Send('b'), Read('b', 14, 1)];
        let (violations, first) = judge(&stale, true);
        assert!(violations == 1 && first.contains("showed version 1.1"), "{first}");
        let backwards = [Send('a'), Bought('a', 14, 5), Send('b'), Bought('b', 13, 4)];
        assert_eq!(judge(&backwards, true).0, 1);
    }

    #[test]
    fn what_is_known_of_one_book_says_nothing_of_another() {
        let mut checker = checker(false);
        let sent = checker.sent();
        checker.bought(sent, book(9), 1, &receipt(3, 2));
        let sent = checker.sent();
        checker.read(sent, shown(1), [(book(10), stock(12)), (book(99), stock(1_000))]);
        assert_eq!(checker.judged(), Judged { books: 1, ..Judged::default() });
        let sent = checker.sent();
        checker.read(sent, shown(1), [(book(10), stock(12)), (book(9), stock(4))]);
        assert_eq!(checker.judged().violations, 1);
    }

    #[test]
    fn what_says_that_it_may_be_stale_is_counted_and_proves_nothing() {
        let mut checker = checker(false);
        for count in [3, 15] {
            let sent = checker.sent();
            checker.read(sent, Shown { says_stale: true, ..shown(1) }, [(book(9), stock(count))]);
        }
        let sent = checker.sent();
        checker.read(sent, shown(1), [(book(9), stock(15))]);
        assert_eq!(checker.judged(), Judged { books: 1, flagged: 2, ..Judged::default() });
    }

    #[test]
    fn a_receipt_of_something_else_and_an_order_that_differs_are_violations() {
        let mut checker = checker(false);
        let sent = checker.sent();
        checker.bought(sent, book(10), 1, &receipt(14, 2));
        checker.order_differs(&receipt(14, 2), "is not found");
        assert_eq!(checker.judged().violations, 2);
    }

    #[test]
    fn the_past_is_forgotten_when_no_request_needs_it_and_bounded_when_one_does() {
        let mut checker =
            Checker::new(&[shelf::Book { id: book(9), stock: Stock::MAX, path: "".into() }], false);
        let held = checker.sent();
        for sold in 1..=5_000 {
            let sent = checker.sent();
            checker.bought(sent, book(9), 1, &receipt(1_000_000_000 - sold, 1 + sold as u64));
            assert!(checker.books[&book(9)].facts.len() <= known::MAX_FACTS);
        }
        checker.read(held, shown(1), [(book(9), Stock::MAX)]);
        assert_eq!(checker.judged(), Judged { unjudged: 1, ..Judged::default() });
        let sent = checker.sent();
        checker.bought(sent, book(9), 1, &receipt(1, 6_000));
        assert_eq!(checker.books[&book(9)].facts.len(), 1);
        assert!(checker.under_way.is_empty());
    }
}
