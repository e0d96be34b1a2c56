//! One connection: takes the next request from the schedule, sends it, times it, and has its answer judged.

use super::checker::Shown;
use super::draw::Next;
use super::pace::{Alarm, Due};
use super::{Bench, DEADLINE};
use crate::domain::{BookId, IdempotencyKey, Quantity, Stock};
use crate::shopper::{Answer, Attempts, Bought, Cache, Connection, Failure, NewPurchase, buy};
use crate::wire::ErrorCode;
use crate::wire::shopper::{StockPage, StockRead};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How often a purchase is sent while its outcome is unknown.
const ATTEMPTS: Attempts =
    Attempts { most: 5, pause: Duration::from_millis(50), longest_pause: Duration::from_secs(1) };

/// After a request that was not answered: a store that is down is not hammered with connections.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// The kinds of reads.
#[derive(Clone, Copy)]
enum Read {
    /// A page of books.
    Search,
    /// One book.
    Info,
}

pub struct Worker {
    bench: Rc<Bench>,
    connection: Connection,
    alarm: Alarm,
    /// Names this run and connection in the keys of its purchases.
    name: String,
    purchases: u64,
}

impl Worker {
    pub fn new(bench: Rc<Bench>, number: usize) -> io::Result<Self> {
        let stores = &bench.config.stores;
        let connection = Connection::new(stores[number % stores.len()].clone(), DEADLINE);
        let name = format!("bazar-load-{:016x}-{number}", rand::random::<u64>());
        Ok(Self { alarm: Alarm::new()?, bench, connection, name, purchases: 0 })
    }

    /// Until the time is over.
    pub async fn run(mut self) {
        loop {
            let due = match self.bench.pace.next(&self.alarm).await {
                Ok(Some(due)) => due,
                Ok(None) => return,
                Err(error) => {
                    self.bench.tally.borrow_mut().error(format!("timer: {error}"), true);
                    return;
                }
            };
            let bench = self.bench.clone();
            let next = draw(&bench);
            let answered = match next {
                Next::Search(topic) => self.read(due, Read::Search, &bench.shelf.topics[topic]).await,
                Next::Info(book) => self.read(due, Read::Info, &bench.shelf.books[book].path).await,
                Next::Buy(book) => self.buy(due, bench.shelf.books[book].id).await,
            };
            if !answered {
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }

    /// Whether there was any answer.
    async fn read(&mut self, due: Due, read: Read, path: &str) -> bool {
        let sent = self.bench.checker.borrow_mut().sent();
        let answer = self.connection.get(path).await;
        let latency = due.at.elapsed();
        let (mut checker, mut tally) = (self.bench.checker.borrow_mut(), self.bench.tally.borrow_mut());
        let failed = match &answer {
            Ok(answer) if answer.status.is_success() => match read.stocks(answer) {
                Some(books) => {
                    let (version, says_stale) = (answer.version(), answer.says_stale());
                    let shown =
                        Shown { what: read.in_words(), by: self.connection.store(), version, says_stale };
                    checker.read(sent, shown, books);
                    count_read(&mut tally, answer.cache(), latency, due.measured);
                    return true;
                }
                None => "not understood".into(),
            },
            Ok(answer) => code(answer),
            Err(failure) => failure_code(failure).into(),
        };
        checker.unanswered(sent);
        tally.error(failed, due.measured);
        answer.is_ok()
    }

    /// Whether there was any answer.
    async fn buy(&mut self, due: Due, book_id: BookId) -> bool {
        let Some(purchase) = self.purchase(book_id) else { return false };
        let sent = self.bench.checker.borrow_mut().sent();
        let bench = self.bench.clone();
        let repeated = || bench.tally.borrow_mut().repeated += u64::from(due.measured);
        let bought = buy(&mut self.connection, &purchase, ATTEMPTS, repeated).await;
        let latency = due.at.elapsed();
        let (mut checker, mut tally) = (self.bench.checker.borrow_mut(), self.bench.tally.borrow_mut());
        let measured = due.measured;
        match bought {
            Bought::Yes(receipt, _) => {
                checker.bought(sent, book_id, purchase.quantity.get(), &receipt);
                self.bench.orders.borrow_mut().add(receipt);
                tally.lately.bought += 1;
                tally.bought += u64::from(measured);
            }
            Bought::No(answer) if answer.code() == Some(ErrorCode::OutOfStock) => {
                checker.sold_out(sent, book_id);
                tally.sold_out += u64::from(measured);
            }
            Bought::No(answer) => {
                checker.unanswered(sent);
                tally.error(code(&answer), measured);
                return true;
            }
            Bought::Unknown(_) => {
                checker.unanswered(sent);
                tally.unknown += u64::from(measured);
                tally.error("purchase without outcome".into(), measured);
                return false;
            }
            Bought::NotSent(failure) => {
                checker.unanswered(sent);
                tally.error(failure_code(&failure).into(), measured);
                return false;
            }
        }
        tally.lately.purchase(latency);
        if measured {
            tally.purchases.record(latency);
        }
        true
    }

    fn purchase(&mut self, book_id: BookId) -> Option<NewPurchase> {
        self.purchases += 1;
        let key = IdempotencyKey::parse(format!("{}-{}", self.name, self.purchases)).ok()?;
        Some(NewPurchase { book_id, quantity: Quantity::ONE, offer: None, key })
    }
}

/// Open loop: what was due and was never sent has waited until now, at least, and counts as that.
pub fn count_unsent(bench: &Bench) {
    let now = Instant::now();
    for due in bench.pace.unsent() {
        let next = draw(bench);
        let mut tally = bench.tally.borrow_mut();
        if due.measured {
            let waited = now - due.at;
            tally.unsent += 1;
            match next {
                Next::Buy(_) => tally.purchases.record(waited),
                Next::Search(_) | Next::Info(_) => tally.reads.record(waited),
            }
        }
    }
}

fn draw(bench: &Bench) -> Next {
    let checker = bench.checker.borrow();
    let sold_out = |book: usize| checker.is_sold_out(bench.shelf.books[book].id);
    bench.draw.borrow_mut().next(sold_out)
}

fn count_read(tally: &mut super::tally::Tally, cache: Cache, latency: Duration, measured: bool) {
    tally.lately.reads += 1;
    tally.lately.hits += u64::from(cache == Cache::Hit);
    tally.lately.read(latency);
    if !measured {
        return;
    }
    tally.reads.record(latency);
    match cache {
        Cache::Hit => tally.hits.record(latency),
        Cache::Miss => tally.misses.record(latency),
        Cache::Bypass => tally.bypasses += 1,
    }
}

impl Read {
    fn in_words(self) -> &'static str {
        match self {
            Read::Search => "a search",
            Read::Info => "a look at it",
        }
    }

    /// The books in an answer; `None` if it is not one of a bookstore.
    fn stocks(self, answer: &Answer) -> Option<impl Iterator<Item = (BookId, Stock)>> {
        let books = match self {
            Read::Search => serde_json::from_slice::<StockPage>(&answer.body).ok()?.items,
            Read::Info => vec![serde_json::from_slice::<StockRead>(&answer.body).ok()?],
        };
        Some(books.into_iter().map(|book| (book.id, book.number_of_items)))
    }
}

fn code(answer: &Answer) -> String {
    match answer.code() {
        Some(code) => code.to_string(),
        None => format!("status {}", answer.status.as_u16()),
    }
}

fn failure_code(failure: &Failure) -> &'static str {
    match failure {
        Failure::Unreachable(..) => "not reachable",
        Failure::NoAnswer(..) => "no answer",
    }
}
