//! The decisions of one batch, in memory and in order of arrival.
//!
//! The writer reads the books and the stored answers concerned, hands them to a [`Ledger`], asks it to
//! [decide](Ledger::decide) each request in turn, and writes what [`Ledger::finish`] gives back. Nothing
//! else in the project decides what a purchase or an edit does.
//!
//! Invariant: after every decision the books in the ledger are what the database will hold once the
//! batch is applied; a stock is never negative; one key has one answer.

use super::{
    Answer, Batch, Book, BookId, BookTag, Edit, EditAnswer, EditRefusal, Edited, GuardedEdit, IdempotencyKey,
    ImportLine, Imported, Invalid, Order, Purchase, Receipt, Refusal, StockLevel, Version,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// Something the master is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    Purchase(Purchase),
    Edit(Edit),
    /// From outside, where messages get lost and other editors are at work.
    Guarded(GuardedEdit),
}

/// The answer to a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Purchase {
        answer: Result<Receipt, Refusal>,
        replayed: bool,
    },
    Edit(Result<Edited, EditRefusal>),
    Guarded {
        answer: Result<Edited, EditRefusal>,
        /// The book as this edit found it; `None` where there was none, and in a replayed answer.
        before: Option<Book>,
        replayed: bool,
    },
    /// The database refused its rows, and only its: a defect of whoever sent it, such as an order id that
    /// another order has.
    Rejected,
}

/// A book that the batch changed: as it was and as it is now. `None` where it did not or does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    pub before: Option<Book>,
    pub after: Option<Book>,
}

/// The state that one batch decides on.
#[derive(Debug)]
pub struct Ledger {
    version: Version,
    now_ms: i64,
    next_id: i64,
    books: BTreeMap<BookId, Touched>,
    answers: HashMap<IdempotencyKey, Answer>,
    edit_answers: HashMap<IdempotencyKey, EditAnswer>,
    orders: Vec<Order>,
    new_answers: Vec<Answer>,
    new_edit_answers: Vec<EditAnswer>,
}

impl Ledger {
    /// `version` is the one that the batch will have, `now_ms` the wall clock for people's eyes,
    /// `next_id` the lowest number that no book has or had. `books` and `answers` are the rows named by
    /// [`Request::book_id`] and [`Request::key`] of all requests of the batch, as far as they exist.
    pub fn new(version: Version, now_ms: i64, next_id: i64, books: Vec<Book>, answers: Vec<Answer>) -> Self {
        Self {
            version,
            now_ms,
            next_id,
            books: books
                .into_iter()
                .map(|book| (book.id, Touched { before: Some(book.clone()), after: Some(book) }))
                .collect(),
            answers: answers.into_iter().map(|answer| (answer.key.clone(), answer)).collect(),
            edit_answers: HashMap::new(),
            orders: Vec::new(),
            new_answers: Vec::new(),
            new_edit_answers: Vec::new(),
        }
    }

    /// The stored answers named by [`Request::edit_key`] of all requests of the batch, as far as they exist.
    pub fn with_edit_answers(mut self, answers: Vec<EditAnswer>) -> Self {
        self.edit_answers = answers.into_iter().map(|answer| (answer.asked.key.clone(), answer)).collect();
        self
    }

    pub fn decide(&mut self, request: &Request) -> Outcome {
        match request {
            Request::Purchase(purchase) => self.purchase(purchase),
            Request::Edit(edit) => Outcome::Edit(self.edit(edit)),
            Request::Guarded(asked) => self.guarded(asked),
        }
    }

    /// Takes in books: those with a number take the place of what has that number, the others get the next
    /// free ones. Fails when there are no more numbers.
    pub fn import(&mut self, lines: Vec<ImportLine>) -> Result<Imported, Invalid> {
        let mut imported = Imported::default();
        for ImportLine { id, book } in lines {
            let id = id.map_or_else(|| BookId::new(self.next_id), Ok)?;
            self.next_id = self.next_id.max(id.get().saturating_add(1));
            let after = book.with_id(id);
            let touched = self.books.entry(id).or_insert(Touched { before: None, after: None });
            let count = match &touched.after {
                None => &mut imported.created,
                Some(there) if *there == after => &mut imported.unchanged,
                Some(_) => &mut imported.changed,
            };
            *count += 1;
            touched.after = Some(after);
        }
        Ok(imported)
    }

    /// What to write, and which books it touches (those that end as they began are not touched).
    pub fn finish(self) -> (Batch, Vec<Touched>) {
        let touched: Vec<Touched> = self.books.into_values().filter(|t| t.before != t.after).collect();
        let mut batch = Batch {
            orders: self.orders,
            answers: self.new_answers,
            edit_answers: self.new_edit_answers,
            ..Batch::default()
        };
        for change in &touched {
            match (&change.before, &change.after) {
                (Some(before), None) => batch.deleted.push(before.id),
                (Some(before), Some(after)) if *after == (Book { stock: after.stock, ..before.clone() }) => {
                    batch.stocks.push(StockLevel { book_id: after.id, stock: after.stock });
                }
                (_, Some(after)) => batch.books.push(after.clone()),
                (None, None) => {}
            }
        }
        (batch, touched)
    }

    fn purchase(&mut self, purchase: &Purchase) -> Outcome {
        if let Some(known) = self.answers.get(&purchase.key) {
            return match known.answers(purchase) {
                true => Outcome::Purchase { answer: known.outcome, replayed: true },
                false => Outcome::Purchase { answer: Err(Refusal::IdempotencyMismatch), replayed: false },
            };
        }
        let outcome = self.sell(purchase);
        let answer = Answer {
            key: purchase.key.clone(),
            book_id: purchase.book_id,
            quantity: purchase.quantity,
            offer: purchase.offer,
            outcome,
            stored_at_ms: self.now_ms,
        };
        self.answers.insert(purchase.key.clone(), answer.clone());
        self.new_answers.push(answer);
        Outcome::Purchase { answer: outcome, replayed: false }
    }

    fn sell(&mut self, purchase: &Purchase) -> Result<Receipt, Refusal> {
        let book = self
            .books
            .get_mut(&purchase.book_id)
            .and_then(|touched| touched.after.as_mut())
            .ok_or(Refusal::BookNotFound)?;
        let quantity = purchase.quantity.get();
        let total = book.price.times(quantity);
        let remaining = book.stock.sell(quantity).ok_or(Refusal::OutOfStock)?;
        if let Some(offer) = purchase.offer.filter(|offer| offer.get() < total) {
            return Err(Refusal::Underpaid { due: total, offered: offer.get() });
        }
        book.stock = remaining;
        self.orders.push(Order {
            order_id: purchase.order_id,
            book_id: book.id,
            quantity: purchase.quantity,
            total,
            version: self.version,
            created_at_ms: self.now_ms,
        });
        Ok(Receipt {
            order_id: purchase.order_id,
            book_id: book.id,
            quantity: purchase.quantity,
            total,
            remaining,
            version: self.version,
        })
    }

    fn guarded(&mut self, asked: &GuardedEdit) -> Outcome {
        if let Some(known) = self.edit_answers.get(&asked.key) {
            return match known.asked == *asked {
                true => Outcome::Guarded { answer: known.outcome.clone(), before: None, replayed: true },
                false => Outcome::Guarded {
                    answer: Err(EditRefusal::IdempotencyMismatch),
                    before: None,
                    replayed: false,
                },
            };
        }
        let before = asked.edit.book_id().and_then(|id| self.current(id).ok()).cloned();
        let outcome = match (&asked.expect, &before) {
            (Some(expected), Some(book)) if *expected != BookTag::of(book) => Err(EditRefusal::Changed),
            (Some(_), None) => Err(EditRefusal::BookNotFound),
            _ => self.edit(&asked.edit),
        };
        let answer = EditAnswer { asked: asked.clone(), outcome: outcome.clone(), stored_at_ms: self.now_ms };
        self.edit_answers.insert(asked.key.clone(), answer.clone());
        self.new_edit_answers.push(answer);
        Outcome::Guarded { answer: outcome, before, replayed: false }
    }

    fn edit(&mut self, edit: &Edit) -> Result<Edited, EditRefusal> {
        let (id, after) = match edit {
            Edit::Create(new) => {
                let id = BookId::new(self.next_id).map_err(|_| EditRefusal::BookNotFound)?;
                (id, Some(new.clone().with_id(id)))
            }
            Edit::Put(book) => (book.id, Some(book.clone())),
            Edit::Update { book_id, title, topic, stock, price } => {
                let mut book = self.current(*book_id)?.clone();
                if let Some(title) = title {
                    book.title = title.clone();
                }
                if let Some(topic) = topic {
                    book.topic = topic.clone();
                }
                book.stock = stock.unwrap_or(book.stock);
                book.price = price.unwrap_or(book.price);
                (*book_id, Some(book))
            }
            Edit::Restock { book_id, copies } => {
                let mut book = self.current(*book_id)?.clone();
                book.stock = book.stock.restock(*copies).ok_or(EditRefusal::StockLimit)?;
                (*book_id, Some(book))
            }
            Edit::Withdraw { book_id, copies } => {
                let mut book = self.current(*book_id)?.clone();
                let short = EditRefusal::TooFew { stock: book.stock };
                book.stock = book.stock.sell(*copies).ok_or(short)?;
                (*book_id, Some(book))
            }
            Edit::Delete { book_id } => {
                self.current(*book_id)?;
                (*book_id, None)
            }
        };
        self.next_id = self.next_id.max(id.get().saturating_add(1));
        self.books.entry(id).or_insert(Touched { before: None, after: None }).after.clone_from(&after);
        Ok(Edited { book: after, version: self.version })
    }

    fn current(&self, id: BookId) -> Result<&Book, EditRefusal> {
        self.books.get(&id).and_then(|touched| touched.after.as_ref()).ok_or(EditRefusal::BookNotFound)
    }
}

impl Request {
    /// The book that must be read before this request can be decided.
    pub fn book_id(&self) -> Option<BookId> {
        match self {
            Request::Purchase(purchase) => Some(purchase.book_id),
            Request::Edit(edit) | Request::Guarded(GuardedEdit { edit, .. }) => edit.book_id(),
        }
    }

    /// The key whose stored answer must be read before this request can be decided.
    pub fn key(&self) -> Option<&IdempotencyKey> {
        match self {
            Request::Purchase(purchase) => Some(&purchase.key),
            Request::Edit(_) | Request::Guarded(_) => None,
        }
    }

    /// The same among the answers to edits: no customer's key stands in the way of a keeper's.
    pub fn edit_key(&self) -> Option<&IdempotencyKey> {
        match self {
            Request::Guarded(asked) => Some(&asked.key),
            Request::Purchase(_) | Request::Edit(_) => None,
        }
    }

    /// Whether it takes the next free number.
    pub fn creates(&self) -> bool {
        matches!(
            self,
            Request::Edit(Edit::Create(_)) | Request::Guarded(GuardedEdit { edit: Edit::Create(_), .. })
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Cents, Epoch, NewBook, OrderId, Quantity, Stock, Title, Topic};

    const V: Version = Version { epoch: Epoch { number: 1, identity: 1 }, seq: 7 };

    fn book(stock: i64) -> Book {
        Book {
            id: BookId::new(4).unwrap(),
            title: Title::parse("Advanced Chemistry").unwrap(),
            topic: Topic::parse("science").unwrap(),
            stock: Stock::new(stock).unwrap(),
            price: Cents::new(3000).unwrap(),
        }
    }

    fn ledger(stock: i64) -> Ledger {
        Ledger::new(V, 0, 12, vec![book(stock)], vec![])
    }

    fn purchase(n: u128) -> Purchase {
        Purchase {
            order_id: OrderId::draw(0, n),
            key: IdempotencyKey::parse(format!("key-{n}")).unwrap(),
            book_id: BookId::new(4).unwrap(),
            quantity: Quantity::ONE,
            offer: None,
        }
    }

    fn buy(ledger: &mut Ledger, purchase: Purchase) -> (Result<Receipt, Refusal>, bool) {
        match ledger.decide(&Request::Purchase(purchase)) {
            Outcome::Purchase { answer, replayed } => (answer, replayed),
            other => unreachable!("a purchase was asked for, not {other:?}"),
        }
    }

    #[test]
    fn of_50_buyers_of_5_copies_the_first_5_win() {
        let mut ledger = ledger(5);
        let outcomes: Vec<_> = (0..50).map(|n| buy(&mut ledger, purchase(n)).0).collect();
        assert!(outcomes[..5].iter().all(Result::is_ok));
        assert!(outcomes[5..].iter().all(|o| *o == Err(Refusal::OutOfStock)));
        let (batch, touched) = ledger.finish();
        assert_eq!((batch.orders.len(), batch.answers.len(), batch.stocks.len()), (5, 50, 1));
        assert_eq!(batch.stocks[0].stock.get(), 0);
        assert_eq!(touched.len(), 1);
    }

    #[test]
    fn one_key_has_one_effect_within_a_batch_and_across_batches() {
        let mut first = ledger(5);
        let (answer, replayed) = buy(&mut first, purchase(1));
        assert!(!replayed);
        assert_eq!(buy(&mut first, purchase(1)), (answer, true));
        let (batch, _) = first.finish();
        assert_eq!(batch.orders.len(), 1);

        let mut second = Ledger::new(V.next(), 0, 12, vec![book(4)], batch.answers);
        let again = Purchase { order_id: OrderId::draw(0, 99), ..purchase(1) };
        assert_eq!(buy(&mut second, again), (answer, true));
        assert!(second.finish().0.is_empty());
    }

    #[test]
    fn a_key_used_for_another_purchase_is_refused_and_keeps_its_first_answer() {
        let mut ledger = ledger(5);
        let (answer, _) = buy(&mut ledger, purchase(1));
        let other = Purchase { quantity: Quantity::new(2).unwrap(), ..purchase(1) };
        assert_eq!(buy(&mut ledger, other), (Err(Refusal::IdempotencyMismatch), false));
        assert_eq!(buy(&mut ledger, purchase(1)), (answer, true));
    }

    #[test]
    fn a_refusal_is_stored_so_that_a_late_first_attempt_cannot_buy_after_it() {
        let mut sold_out = ledger(0);
        assert_eq!(buy(&mut sold_out, purchase(1)).0, Err(Refusal::OutOfStock));
        let (batch, touched) = sold_out.finish();
        assert!(touched.is_empty());
        let mut restocked = Ledger::new(V.next(), 0, 12, vec![book(9)], batch.answers);
        assert_eq!(buy(&mut restocked, purchase(1)), (Err(Refusal::OutOfStock), true));
    }

    #[test]
    fn an_offer_below_the_price_of_the_whole_purchase_is_refused() {
        let offer = |dollars| Purchase {
            quantity: Quantity::new(2).unwrap(),
            offer: Some(Cents::from_dollars(dollars).unwrap()),
            ..purchase(dollars as u128)
        };
        let mut ledger = ledger(5);
        assert_eq!(buy(&mut ledger, offer(59.99)).0, Err(Refusal::Underpaid { due: 6000, offered: 5999 }));
        assert_eq!(buy(&mut ledger, offer(75.0)).0.unwrap().total, 6000);
    }

    #[test]
    fn a_batch_sees_its_own_edits() {
        let mut ledger = ledger(0);
        let id = BookId::new(4).unwrap();
        assert_eq!(buy(&mut ledger, purchase(1)).0, Err(Refusal::OutOfStock));
        ledger.decide(&Request::Edit(Edit::Restock { book_id: id, copies: 1 }));
        assert!(buy(&mut ledger, purchase(2)).0.is_ok());
        ledger.decide(&Request::Edit(Edit::Delete { book_id: id }));
        assert_eq!(buy(&mut ledger, purchase(3)).0, Err(Refusal::BookNotFound));
        assert_eq!(
            ledger.decide(&Request::Edit(Edit::Restock { book_id: id, copies: 1 })),
            Outcome::Edit(Err(EditRefusal::BookNotFound))
        );
        let (batch, touched) = ledger.finish();
        assert_eq!(batch.deleted, [id]);
        assert_eq!(batch.orders.len(), 1);
        assert_eq!(touched[0].after, None);
    }

    #[test]
    fn new_books_get_numbers_that_no_book_has() {
        let mut ledger = ledger(5);
        let new = NewBook {
            title: Title::parse("t").unwrap(),
            topic: Topic::parse("x").unwrap(),
            stock: Stock::new(1).unwrap(),
            price: Cents::new(1).unwrap(),
        };
        ledger.decide(&Request::Edit(Edit::Put(new.clone().with_id(BookId::new(20).unwrap()))));
        let Outcome::Edit(Ok(edited)) = ledger.decide(&Request::Edit(Edit::Create(new))) else {
            panic!("refused");
        };
        assert_eq!(edited.book.unwrap().id.get(), 21);
        assert_eq!(ledger.finish().0.books.len(), 2);
    }

    fn guarded(key: &str, expect: Option<BookTag>, edit: Edit) -> Request {
        Request::Guarded(GuardedEdit { key: IdempotencyKey::parse(key).unwrap(), expect, edit })
    }

    fn retitle(title: &str) -> Edit {
        let title = Some(Title::parse(title).unwrap());
        Edit::Update { book_id: BookId::new(4).unwrap(), title, topic: None, stock: None, price: None }
    }

    fn change(ledger: &mut Ledger, request: &Request) -> (Result<Edited, EditRefusal>, bool) {
        match ledger.decide(request) {
            Outcome::Guarded { answer, replayed, .. } => (answer, replayed),
            other => unreachable!("an edit was asked for, not {other:?}"),
        }
    }

    #[test]
    fn of_editors_who_saw_the_same_book_the_first_wins_and_the_others_are_told() {
        let mut ledger = ledger(5);
        let seen = Some(BookTag::of(&book(5)));
        let (first, _) = change(&mut ledger, &guarded("a", seen.clone(), retitle("A")));
        assert_eq!(first.unwrap().book.unwrap().title.as_str(), "A");
        for key in ["b", "c"] {
            let (late, _) = change(&mut ledger, &guarded(key, seen.clone(), retitle("B")));
            assert_eq!(late, Err(EditRefusal::Changed));
        }
        let delete = Edit::Delete { book_id: BookId::new(4).unwrap() };
        assert_eq!(change(&mut ledger, &guarded("d", seen, delete)).0, Err(EditRefusal::Changed));
        assert_eq!(ledger.finish().0.books[0].title.as_str(), "A");
    }

    #[test]
    fn a_sale_in_between_is_no_conflict_for_an_editor() {
        let mut ledger = ledger(5);
        let seen = Some(BookTag::of(&book(5)));
        buy(&mut ledger, purchase(1)).0.unwrap();
        let (edited, _) = change(&mut ledger, &guarded("a", seen, retitle("A")));
        assert_eq!(edited.unwrap().book.unwrap().stock.get(), 4);
    }

    #[test]
    fn a_guarded_edit_has_one_effect_under_its_key_within_a_batch_and_across_batches() {
        let id = BookId::new(4).unwrap();
        let more = guarded("a", None, Edit::Restock { book_id: id, copies: 3 });
        let mut first = ledger(5);
        let (answer, replayed) = change(&mut first, &more);
        assert!(!replayed);
        assert_eq!(change(&mut first, &more), (answer.clone(), true));
        let other = guarded("a", None, Edit::Restock { book_id: id, copies: 4 });
        assert_eq!(change(&mut first, &other), (Err(EditRefusal::IdempotencyMismatch), false));
        let (batch, _) = first.finish();
        assert_eq!((batch.stocks[0].stock.get(), batch.edit_answers.len()), (8, 1));

        let mut second =
            Ledger::new(V.next(), 0, 12, vec![book(8)], vec![]).with_edit_answers(batch.edit_answers);
        assert_eq!(change(&mut second, &more), (answer, true));
        assert!(second.finish().0.is_empty());
    }

    #[test]
    fn what_a_keeper_takes_away_must_be_there() {
        let mut ledger = ledger(5);
        let take =
            |key, copies| guarded(key, None, Edit::Withdraw { book_id: BookId::new(4).unwrap(), copies });
        let (refused, _) = change(&mut ledger, &take("a", 6));
        assert_eq!(refused, Err(EditRefusal::TooFew { stock: Stock::new(5).unwrap() }));
        let (edited, _) = change(&mut ledger, &take("b", 5));
        assert_eq!(edited.unwrap().book.unwrap().stock, Stock::ZERO);
        // The refusal is kept under its key: a late first attempt takes nothing away.
        ledger.decide(&Request::Edit(Edit::Restock { book_id: BookId::new(4).unwrap(), copies: 9 }));
        assert_eq!(change(&mut ledger, &take("a", 6)), (refused, true));
    }
}
