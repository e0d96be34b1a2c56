//! Customers and keepers of the catalog: what they ask for, and how it gets into the history.
//!
//! Invariants: a purchase whose outcome is unknown is repeated with its key until it has one, and is one
//! operation from its first attempt to that answer. An edit has no key: where its outcome is unknown its
//! book is left alone until nothing of it can still be under way, and the log says what became of it.

use crate::follower::Follower;
use crate::history::{Change, Clock, Edit, Nanos, Outcome, Recorder, Refusal, Value};
use crate::http::{Answer, Client};
use crate::judge::Kind;
use crate::shown::{Book, DEFAULT_LIMIT, Shown, Want, cents};
use crate::store::{FRONTENDS, TOKEN};
use crate::truth::Public;
use rand::RngExt;
use rand::rngs::SmallRng;
use serde::Deserialize;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Books that are bought one by one and never restocked.
pub const FALLING: std::ops::RangeInclusive<i64> = 1001..=1008;
/// The shop's first books: the same, and soon sold out.
pub const FEW: std::ops::RangeInclusive<i64> = 1..=11;
/// Books that are edited.
pub const EDITED: std::ops::RangeInclusive<i64> = 2001..=2024;

/// Copies of each falling book: more than a run can sell.
pub const MANY: i64 = 10_000_000;

const TOPICS: [&str; 4] = ["gamma", "delta", "epsilon", "zeta"];

/// For one attempt of a customer. A purchase may take longer, and is then repeated.
const PATIENCE: Duration = Duration::from_millis(1500);

/// For an edit.
const EDIT_PATIENCE: Duration = Duration::from_secs(3);

/// Longer than the master keeps a request that nobody waits for any more.
const EDIT_REST: Duration = Duration::from_secs(20);

/// Between two attempts of a purchase whose outcome is unknown.
const REPEAT: Duration = Duration::from_millis(200);

/// Purchases of one client whose outcome is unknown; with more it buys nothing new.
const MAX_UNSETTLED: usize = 24;

/// A frontend that failed is not asked again for so long, so that a dead one costs no CPU.
const AVOID: Duration = Duration::from_millis(20);

/// How often somebody looks at the same thing in a row, through any frontend: the second look is where a cache
/// answers, and where going back in time would show.
const GLANCES: std::ops::RangeInclusive<u32> = 1..=8;

/// Orders that are looked up at random.
const KNOWN_ORDERS: usize = 4096;

/// At the end every so many-th key is asked for once more.
const ASKED_AGAIN: usize = 20;

/// All pages that are read.
pub fn pages() -> Vec<Want> {
    let page = |topic: &str, after, limit| Want::Page { topic: topic.into(), after, limit };
    let mut pages = Vec::new();
    for topic in ["alpha", "beta"].into_iter().chain(TOPICS) {
        pages.push(page(topic, 0, DEFAULT_LIMIT));
        pages.push(page(topic, 0, 2));
    }
    let found = |word: &str, limit| Want::Found { word: word.into(), limit };
    // All of a kind, a page of them, those that were edited, and one.
    pages.extend([found("falling", 3), found("edited", DEFAULT_LIMIT), found("edit", 5), found("by", 4)]);
    pages.extend([found("2007", 2), found("nowhere", 1)]);
    pages.extend([page("alpha", 1002, 2), page("beta", 1006, DEFAULT_LIMIT), page("gamma", 2008, 3)]);
    pages.extend([
        page("delta", 2012, DEFAULT_LIMIT),
        page("fiction", 0, DEFAULT_LIMIT),
        page("nothing", 0, 5),
    ]);
    pages
}

/// The books that are there before the first customer comes, besides the shop's own.
pub fn first_books() -> Vec<Book> {
    let falling = FALLING.map(|id| Book {
        id,
        title: format!("falling {id}"),
        topic: if id % 2 == 0 { "alpha" } else { "beta" }.into(),
        stock: MANY,
        price: 1000 + id,
    });
    let edited = EDITED.filter(|id| id % 4 != 0).map(|id| Book {
        id,
        title: format!("edited {id}"),
        topic: TOPICS[id as usize % TOPICS.len()].into(),
        stock: 50,
        price: 2000,
    });
    falling.chain(edited).collect()
}

/// What all clients share.
pub struct Shop {
    pub clock: Clock,
    /// Of each frontend: itself, and over a link.
    pub frontends: Vec<[SocketAddr; 2]>,
    pub follower: Arc<Follower>,
    pub edits: Mutex<Vec<Edit>>,
    /// No new purchases or reads.
    pub over: AtomicBool,
    /// Give up at once.
    pub abandon: AtomicBool,
    pub orders: Mutex<VecDeque<(u128, u32)>>,
    pub failures: Mutex<BTreeMap<String, u64>>,
    pub done: AtomicU64,
}

impl Shop {
    fn failed(&self, what: &str, why: &str) {
        if let Ok(mut failures) = self.failures.lock() {
            *failures.entry(format!("{what}: {why}")).or_default() += 1;
        }
    }

    fn found(&self, kind: Kind, words: String) {
        if let Ok(mut findings) = self.follower.findings.lock() {
            findings.push((kind, words));
        }
    }
}

/// A purchase that wants to be settled.
struct Purchase {
    number: u64,
    book: i64,
    quantity: i64,
    /// What is offered, in dollars.
    offer: Option<f64>,
    begin: Nanos,
    /// When it may be tried again.
    not_before: Instant,
    attempts: u32,
}

/// What a reader asks for besides the book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Demand {
    Usual,
    Linearizable,
    Stale,
    AtLeast(Public),
}

impl Demand {
    fn header(self) -> String {
        match self {
            Demand::Usual => String::new(),
            Demand::Linearizable => "bazar-consistency: linearizable\r\n".into(),
            Demand::Stale => "bazar-consistency: stale\r\n".into(),
            Demand::AtLeast(version) => format!("bazar-min-version: {version}\r\n"),
        }
    }

    /// What is wrong with an answer that shows `version`, flagged or not.
    fn broken_by(self, version: Option<Public>, flagged: bool) -> bool {
        match self {
            Demand::Usual | Demand::Stale => false,
            Demand::Linearizable => flagged,
            Demand::AtLeast(least) => version.is_none_or(|version| version.seq < least.seq),
        }
    }
}

/// One client: one process of the history, with a connection to each frontend.
pub struct Customer {
    shop: Arc<Shop>,
    number: u32,
    rng: SmallRng,
    clients: Vec<Client>,
    avoid: Vec<Instant>,
    recorder: Arc<Mutex<Recorder>>,
    unsettled: VecDeque<Purchase>,
    purchases: u64,
    /// Orders that were acknowledged to it, with the number of the purchase.
    mine: Vec<(u128, u64, i64, i64)>,
    pages: Vec<Want>,
    /// Of the last purchase that was acknowledged to it.
    last: Option<Public>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReceiptBody {
    order_id: String,
    total: f64,
    #[serde(default)]
    remaining: i64,
    book_id: i64,
    quantity: i64,
    version: String,
}

#[derive(Deserialize)]
struct ProblemBody {
    code: String,
}

impl Customer {
    pub fn new(shop: Arc<Shop>, number: u32, rng: SmallRng, recorder: Arc<Mutex<Recorder>>) -> Self {
        // Every third customer comes over links that can be cut.
        let way = usize::from(number.is_multiple_of(3));
        let clients = shop.frontends.iter().map(|addrs| Client::new(addrs[way])).collect();
        let avoid = vec![Instant::now(); FRONTENDS];
        Self {
            shop,
            number,
            rng,
            clients,
            avoid,
            recorder,
            unsettled: VecDeque::new(),
            purchases: 0,
            mine: Vec::new(),
            pages: pages(),
            last: None,
        }
    }

    /// Until the shop closes.
    pub fn shop(&mut self) {
        while !self.shop.over.load(Ordering::Relaxed) && !self.shop.abandon.load(Ordering::Relaxed) {
            let due = self.unsettled.front().is_some_and(|first| first.not_before <= Instant::now());
            if due && let Some(purchase) = self.unsettled.pop_front() {
                self.attempt(purchase);
                continue;
            }
            match self.rng.random_range(0..100) {
                0..20 if self.unsettled.len() < MAX_UNSETTLED => self.buy(),
                20..25 => self.look_up(),
                _ => self.read(),
            }
        }
    }

    /// Until every purchase has an outcome. Returns how many have none when `patience` is over.
    pub fn settle(&mut self, patience: Duration) -> usize {
        let until = Instant::now() + patience;
        while Instant::now() < until && !self.shop.abandon.load(Ordering::Relaxed) {
            let Some(purchase) = self.unsettled.pop_front() else { break };
            if purchase.not_before > Instant::now() {
                self.unsettled.push_back(purchase);
                std::thread::sleep(Duration::from_millis(5));
                continue;
            }
            self.attempt(purchase);
        }
        self.unsettled.len()
    }

    /// Looks up every order of its own, asks for some keys again, and reads everything through every
    /// frontend.
    pub fn look_back(&mut self) {
        let mine = std::mem::take(&mut self.mine);
        for (index, (order, number, book, quantity)) in mine.into_iter().enumerate() {
            if self.shop.abandon.load(Ordering::Relaxed) {
                return;
            }
            self.look_up_order(order);
            if index.is_multiple_of(ASKED_AGAIN) {
                self.ask_again(number, book, quantity);
            }
        }
        for want in self
            .pages
            .clone()
            .into_iter()
            .chain([Want::Topics])
            .chain(FALLING.chain(FEW).chain(EDITED).map(Want::Book))
        {
            for frontend in 0..FRONTENDS {
                self.read_want(&want, frontend, Demand::Usual);
            }
        }
    }

    fn frontend(&mut self) -> usize {
        let now = Instant::now();
        let first = self.rng.random_range(0..FRONTENDS);
        let well = (0..FRONTENDS).map(|offset| (first + offset) % FRONTENDS).find(|&f| self.avoid[f] <= now);
        match well {
            Some(frontend) => frontend,
            None => {
                std::thread::sleep(Duration::from_millis(2));
                first
            }
        }
    }

    fn name(&self) -> u32 {
        self.number
    }

    fn record(&mut self, process: u32, begin: Nanos, end: Nanos, value: &Value) {
        self.shop.done.fetch_add(1, Ordering::Relaxed);
        let recorded = match self.recorder.lock() {
            Ok(mut recorder) => recorder.ended(process, begin, end, value),
            Err(_) => return,
        };
        if let Err(error) = recorded {
            self.shop.found(Kind::End, format!("the history cannot be written: {error}"));
        }
    }

    fn failed(&mut self, what: &str, frontend: usize, answer: &Result<Answer, crate::http::Failure>) {
        let why = match answer {
            Ok(answer) => answer.status.to_string(),
            Err(failure) => format!("{failure:?}").to_lowercase(),
        };
        if answer.is_err() {
            self.avoid[frontend] = Instant::now() + AVOID;
        }
        self.shop.failed(what, &why);
    }

    fn read(&mut self) {
        let want = match self.rng.random_range(0..100) {
            0..25 => Want::Book(self.rng.random_range(FALLING)),
            25..30 => Want::Book(self.rng.random_range(FEW)),
            30..55 => Want::Book(self.rng.random_range(EDITED)),
            55..95 => self.pages[self.rng.random_range(0..self.pages.len())].clone(),
            _ => Want::Topics,
        };
        let demand = match (self.rng.random_range(0..100), self.last) {
            (0..6, _) => Demand::Linearizable,
            (6..10, _) => Demand::Stale,
            (10..18, Some(last)) => Demand::AtLeast(last),
            _ => Demand::Usual,
        };
        for _ in 0..self.rng.random_range(GLANCES) {
            let frontend = self.frontend();
            self.read_want(&want, frontend, demand);
        }
    }

    fn read_want(&mut self, want: &Want, frontend: usize, demand: Demand) {
        let begin = self.shop.clock.now();
        let answer = self.clients[frontend].get_with(&want.path(), &demand.header(), PATIENCE);
        let end = self.shop.clock.now();
        let shown = match &answer {
            Ok(answer) if answer.status == 200 => Shown::parse(want, &answer.body),
            Ok(answer) if answer.status == 404 && matches!(want, Want::Book(_)) => Some(Shown::Book(None)),
            _ => return self.failed("read", frontend, &answer),
        };
        let Ok(answer) = answer else { return };
        let (Some(shown), Some(version)) = (shown, answer.version.clone()) else {
            let body = String::from_utf8_lossy(&answer.body).into_owned();
            return self
                .shop
                .found(Kind::NeverSo, format!("{want} was answered with {}: {body}", answer.status));
        };
        if demand.broken_by(Public::parse(&version), answer.warning) {
            let flag = if answer.warning { ", Warning: 110" } else { "" };
            let words = format!("{want} with {demand:?} was answered with version {version}{flag}");
            self.shop.found(Kind::Stale, words);
        }
        let value = Value::Read {
            want: want.clone(),
            version,
            cache: crate::history::Cache::parse(answer.cache.as_deref()),
            stale: answer.warning,
            frontend: frontend as u8 + 1,
            shown,
        };
        self.record(self.name(), begin, end, &value);
    }

    fn buy(&mut self) {
        let (book, quantity) = match self.rng.random_range(0..100) {
            0..60 => (self.rng.random_range(FALLING), 1),
            60..68 => (self.rng.random_range(FEW), 1),
            _ => (self.rng.random_range(EDITED), self.rng.random_range(1..=3)),
        };
        let offer = match self.rng.random_range(0..50) {
            0 => Some(0.5),
            1 => Some(1e6),
            _ => None,
        };
        self.purchases += 1;
        let purchase = Purchase {
            number: self.purchases,
            book,
            quantity,
            offer,
            begin: self.shop.clock.now(),
            not_before: Instant::now(),
            attempts: 0,
        };
        self.attempt(purchase);
    }

    fn key(&self, number: u64) -> String {
        format!("customer-{}-{number}", self.number)
    }

    fn post(
        &mut self,
        frontend: usize,
        key: &str,
        purchase: &Purchase,
    ) -> Result<Answer, crate::http::Failure> {
        let (book, quantity) = (purchase.book, purchase.quantity);
        let body = match purchase.offer {
            Some(offer) => format!("{{\"id\":{book},\"quantity\":{quantity},\"orderCost\":{offer}}}"),
            None => format!("{{\"book_id\":{book},\"quantity\":{quantity}}}"),
        };
        let header = format!("idempotency-key: {key}\r\n");
        self.clients[frontend].post("/purchase", &header, body.as_bytes(), PATIENCE)
    }

    fn attempt(&mut self, mut purchase: Purchase) {
        let frontend = self.frontend();
        let key = self.key(purchase.number);
        let answer = self.post(frontend, &key, &purchase);
        let end = self.shop.clock.now();
        purchase.attempts += 1;
        let outcome = match &answer {
            Ok(answer) if answer.status == 200 => self.sold(answer, &purchase),
            Ok(answer) if matches!(answer.status, 404 | 409 | 422) => refusal(answer).map(Outcome::Refused),
            _ => None,
        };
        let Some(outcome) = outcome else {
            self.failed("buy", frontend, &answer);
            purchase.not_before = Instant::now() + REPEAT;
            self.unsettled.push_back(purchase);
            return;
        };
        // Who was not answered at once is somebody of its own from then on: others have gone on.
        let process = match purchase.attempts {
            1 => self.name(),
            _ => self.number + 1000 * (1 + (purchase.number % 1_000_000) as u32),
        };
        if let Outcome::Sold { order, version, .. } = &outcome
            && let Ok(order) = u128::from_str_radix(order, 16)
        {
            self.last = Public::parse(version);
            if purchase.offer.is_none() {
                self.mine.push((order, purchase.number, purchase.book, purchase.quantity));
            }
            if let Ok(mut orders) = self.shop.orders.lock() {
                if orders.len() >= KNOWN_ORDERS {
                    orders.pop_front();
                }
                orders.push_back((order, self.number));
            }
        }
        let value = Value::Buy {
            book: purchase.book,
            key,
            quantity: purchase.quantity,
            frontend: frontend as u8 + 1,
            again: false,
            outcome,
        };
        self.record(process, purchase.begin, end, &value);
    }

    fn sold(&self, answer: &Answer, purchase: &Purchase) -> Option<Outcome> {
        let receipt: Option<ReceiptBody> = serde_json::from_slice(&answer.body).ok();
        let right = receipt.filter(|receipt| {
            (receipt.book_id, receipt.quantity) == (purchase.book, purchase.quantity)
                && receipt.order_id.len() == 32
        });
        let Some(receipt) = right else {
            let body = String::from_utf8_lossy(&answer.body).into_owned();
            self.shop.found(
                Kind::NeverSo,
                format!("a purchase of book {} was answered with {body}", purchase.book),
            );
            return None;
        };
        Some(Outcome::Sold {
            order: receipt.order_id,
            version: receipt.version,
            remaining: receipt.remaining,
            total: cents(receipt.total).unwrap_or(-1),
        })
    }

    /// An acknowledged purchase once more: it must be answered as it was.
    fn ask_again(&mut self, number: u64, book: i64, quantity: i64) {
        let frontend = self.frontend();
        let key = self.key(number);
        let begin = self.shop.clock.now();
        let now = Instant::now();
        let purchase = Purchase { number, book, quantity, offer: None, begin, not_before: now, attempts: 0 };
        let answer = self.post(frontend, &key, &purchase);
        let end = self.shop.clock.now();
        let outcome = match &answer {
            Ok(answer) if answer.status == 200 => self.sold(answer, &purchase),
            Ok(answer) if matches!(answer.status, 404 | 409 | 422) => refusal(answer).map(Outcome::Refused),
            _ => None,
        };
        let Some(outcome) = outcome else { return self.failed("buy", frontend, &answer) };
        if !answer.is_ok_and(|answer| answer.replayed) {
            self.shop.found(Kind::Doubled, format!("key {key} was answered again and not as a replay"));
        }
        let frontend = frontend as u8 + 1;
        self.record(
            self.name(),
            begin,
            end,
            &Value::Buy { book, key, quantity, frontend, again: true, outcome },
        );
    }

    fn look_up(&mut self) {
        let order = match self.shop.orders.lock() {
            Ok(orders) if !orders.is_empty() => Some(orders[self.rng.random_range(0..orders.len())].0),
            _ => None,
        };
        match order {
            Some(order) => self.look_up_order(order),
            None => self.read(),
        }
    }

    fn look_up_order(&mut self, order: u128) {
        let frontend = self.frontend();
        let order = format!("{order:032x}");
        let begin = self.shop.clock.now();
        let answer = self.clients[frontend].get(&format!("/orders/{order}"), PATIENCE);
        let end = self.shop.clock.now();
        let found = match &answer {
            Ok(answer) if answer.status == 200 => match serde_json::from_slice::<ReceiptBody>(&answer.body) {
                Ok(body) if body.order_id == order => Some((body.version, body.book_id, body.quantity)),
                _ => {
                    let body = String::from_utf8_lossy(&answer.body).into_owned();
                    return self.shop.found(Kind::NeverSo, format!("order {order} was answered with {body}"));
                }
            },
            Ok(answer) if answer.status == 404 => None,
            _ => return self.failed("order", frontend, &answer),
        };
        self.record(self.name(), begin, end, &Value::Order { order, frontend: frontend as u8 + 1, found });
    }
}

fn refusal(answer: &Answer) -> Option<Refusal> {
    let body: ProblemBody = serde_json::from_slice(&answer.body).ok()?;
    match body.code.as_str() {
        "book_not_found" => Some(Refusal::BookNotFound),
        "out_of_stock" => Some(Refusal::OutOfStock),
        "underpaid" => Some(Refusal::Underpaid),
        "idempotency_mismatch" => Some(Refusal::IdempotencyMismatch),
        _ => None,
    }
}

/// Somebody who edits the catalog, at the master itself. Each book has one keeper.
pub struct Keeper {
    shop: Arc<Shop>,
    number: u32,
    rng: SmallRng,
    recorder: Arc<Mutex<Recorder>>,
    books: Vec<Kept>,
    client: Option<(usize, Client)>,
}

struct Kept {
    id: i64,
    there: bool,
    /// Since when its state is not known.
    doubtful: Option<Instant>,
}

#[derive(Deserialize)]
struct EditsBody {
    outcomes: Vec<EditOutcome>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum EditOutcome {
    Edit(Result<EditedBody, serde_json::Value>),
}

#[derive(Deserialize)]
struct EditedBody {
    version: crate::truth::Version,
}

/// Between two edits of one keeper.
const EDIT_PAUSE: Duration = Duration::from_millis(15);

impl Keeper {
    /// `index` of `count` keepers.
    pub fn new(
        shop: Arc<Shop>,
        (index, count): (usize, usize),
        number: u32,
        rng: SmallRng,
        recorder: Arc<Mutex<Recorder>>,
    ) -> Self {
        let first: Vec<i64> = first_books().iter().map(|book| book.id).collect();
        let books = EDITED
            .filter(|id| *id as usize % count == index)
            .map(|id| Kept { id, there: first.contains(&id), doubtful: None })
            .collect();
        Self { shop, number, rng, recorder, books, client: None }
    }

    pub fn keep(&mut self) {
        while !self.shop.over.load(Ordering::Relaxed) && !self.shop.abandon.load(Ordering::Relaxed) {
            self.edit();
            std::thread::sleep(EDIT_PAUSE);
        }
    }

    fn edit(&mut self) {
        let index = self.rng.random_range(0..self.books.len());
        let kept = &mut self.books[index];
        if let Some(since) = kept.doubtful {
            if since.elapsed() < EDIT_REST {
                return;
            }
            let Ok(truth) = self.shop.follower.truth.lock() else { return };
            kept.there = truth.book(kept.id).is_some();
            kept.doubtful = None;
        }
        let (id, there) = (kept.id, kept.there);
        let number = match self.shop.edits.lock() {
            Ok(edits) => edits.last().map_or(1, |edit: &Edit| edit.number + 1),
            Err(_) => return,
        };
        // Two keepers may draw one number only if they are not counted below.
        let change = self.change(id, there, number);
        let edit = match self.shop.edits.lock() {
            Ok(mut edits) => {
                let number = edits.last().map_or(1, |edit| edit.number + 1);
                let edit = Edit { number, change };
                edits.push(edit.clone());
                edit
            }
            Err(_) => return,
        };
        self.send(index, edit);
    }

    /// `stamp` makes title and price tell which edit they are of.
    fn change(&mut self, id: i64, there: bool, stamp: u32) -> Change {
        let (title, price) = (format!("edited {id} by {stamp}-{}", self.number), 2000 + i64::from(stamp));
        let topic = TOPICS[self.rng.random_range(0..TOPICS.len())].to_owned();
        if !there {
            let stock = self.rng.random_range(0..60);
            return Change::Put(Book { id, title, topic, stock, price });
        }
        match self.rng.random_range(0..10) {
            0..4 => Change::Update { book_id: id, title, price, topic: None },
            4 => Change::Update { book_id: id, title, price, topic: Some(topic) },
            5 => Change::Delete { book_id: id },
            _ => Change::Restock { book_id: id, copies: self.rng.random_range(1..40) },
        }
    }

    fn send(&mut self, index: usize, edit: Edit) {
        let master = self.shop.follower.master.load(Ordering::Relaxed);
        if self.client.as_ref().is_none_or(|(of, _)| *of != master) {
            self.client = Some((master, Client::internal(self.shop.follower.addrs[master], TOKEN)));
        }
        let Some((_, client)) = &mut self.client else { return };
        let body = serde_json::json!({"edits": [edit.change.body()]}).to_string();
        let begin = self.shop.clock.now();
        let answer = client.post("/edits", "", body.as_bytes(), EDIT_PATIENCE);
        let end = self.shop.clock.now();
        let outcome = match &answer {
            Ok(answer) if answer.status == 200 => serde_json::from_slice::<EditsBody>(&answer.body)
                .ok()
                .and_then(|body| body.outcomes.into_iter().next()),
            _ => None,
        };
        let kept = &mut self.books[index];
        match outcome {
            Some(EditOutcome::Edit(Ok(edited))) => {
                match &edit.change {
                    Change::Put(_) => kept.there = true,
                    Change::Delete { .. } => kept.there = false,
                    Change::Update { .. } | Change::Restock { .. } => {}
                }
                let version = format!("{}.{}", edited.version.epoch, edited.version.seq);
                self.shop.done.fetch_add(1, Ordering::Relaxed);
                let value = Value::Edit { edit, version };
                if let Ok(mut recorder) = self.recorder.lock()
                    && let Err(error) = recorder.ended(self.number, begin, end, &value)
                {
                    self.shop.found(Kind::End, format!("the history cannot be written: {error}"));
                }
            }
            refused_or_unknown => {
                let refused = refused_or_unknown.is_some();
                let why = match &answer {
                    Ok(answer) if refused => format!("refused ({})", answer.status),
                    Ok(answer) => answer.status.to_string(),
                    Err(failure) => format!("{failure:?}").to_lowercase(),
                };
                // Nothing has happened where nobody was reached, or where the master has said no.
                let certain = refused || answer == Err(crate::http::Failure::Unreachable);
                if certain {
                    if let Ok(mut edits) = self.shop.edits.lock() {
                        edits.retain(|known| known.number != edit.number);
                    }
                } else {
                    kept.doubtful = Some(Instant::now());
                    let value = Value::Edit { edit, version: String::new() };
                    if let Ok(mut recorder) = self.recorder.lock() {
                        let _ = recorder.unknown(self.number, begin, end, &value);
                    }
                }
                if refused {
                    kept.doubtful = Some(Instant::now());
                }
                self.shop.failed("edit", &why);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_below_what_was_asked_for_is_noticed() {
        let version = |seq| Some(Public { epoch: 1, seq });
        let least = Demand::AtLeast(Public { epoch: 1, seq: 7 });
        assert!(least.broken_by(version(6), true) && least.broken_by(None, false));
        assert!(!least.broken_by(version(7), true));
        assert!(Demand::Linearizable.broken_by(version(9), true));
        assert!(!Demand::Linearizable.broken_by(version(9), false));
        assert!(!Demand::Stale.broken_by(version(1), true) && !Demand::Usual.broken_by(version(1), true));
    }
}
