//! The acknowledged orders: a bounded sample of them, looked up at the end.

use super::checker::Shown;
use super::{Bench, DEADLINE};
use crate::domain::BookId;
use crate::shopper::{Answer, Connection, info_path, order_path};
use crate::wire::ErrorCode;
use crate::wire::shopper::{OrderRead, PurchaseRead, StockRead};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// So many orders are kept to be looked up, 100 bytes each.
const MAX_ORDERS: usize = 10_000;

/// Connections that look up.
const CONNECTIONS: usize = 8;

/// For all look-ups together.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often one is asked for while the store answers with a 5xx or not at all, and the pause in between.
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(300);

/// A uniform sample of all orders (Vitter's algorithm R): each is kept with the same probability, and all
/// are while there are no more than [`MAX_ORDERS`].
pub struct Sample {
    kept: Vec<PurchaseRead>,
    acknowledged: u64,
    rng: SmallRng,
}

impl Sample {
    pub fn new(seed: u64) -> Self {
        Self { kept: Vec::new(), acknowledged: 0, rng: SmallRng::seed_from_u64(seed) }
    }

    /// Any of those that are kept.
    pub fn any(&mut self) -> Option<PurchaseRead> {
        let place = (!self.kept.is_empty()).then(|| self.rng.random_range(0..self.kept.len()))?;
        self.kept.get(place).copied()
    }

    pub fn add(&mut self, receipt: PurchaseRead) {
        self.acknowledged += 1;
        if self.kept.len() < MAX_ORDERS {
            self.kept.push(receipt);
            return;
        }
        let place = self.rng.random_range(0..self.acknowledged);
        if let Some(kept) = usize::try_from(place).ok().and_then(|place| self.kept.get_mut(place)) {
            *kept = receipt;
        }
    }
}

/// What the look-ups found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Proof {
    pub acknowledged: u64,
    /// Of them, those that were looked up and answered.
    pub looked_up: u64,
    /// Look-ups that the store did not answer.
    pub unanswered: u64,
}

/// Something to be looked up.
enum Wanted {
    Order(PurchaseRead),
    Left(BookId),
}

/// Looks up the sample, and the stock of every book that was bought.
pub async fn look_up(bench: &Rc<Bench>) -> Proof {
    let mut wanted = VecDeque::new();
    let acknowledged = {
        let mut orders = bench.orders.borrow_mut();
        wanted.extend(std::mem::take(&mut orders.kept).into_iter().map(Wanted::Order));
        orders.acknowledged
    };
    wanted.extend(bench.checker.borrow().bought_books().into_iter().map(Wanted::Left));
    let queue = Rc::new(RefCell::new(wanted));
    let proof = Rc::new(RefCell::new(Proof { acknowledged, ..Proof::default() }));
    let until = Instant::now() + PATIENCE;
    let tasks: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            let (bench, queue, proof) = (bench.clone(), queue.clone(), proof.clone());
            actix_web::rt::spawn(async move {
                let stores = &bench.config.stores;
                let mut store = Connection::new(stores[number % stores.len()].clone(), DEADLINE);
                loop {
                    let Some(next) = queue.borrow_mut().pop_front() else { return };
                    let answered = Instant::now() < until && judge(&bench, &mut store, &next).await;
                    let mut proof = proof.borrow_mut();
                    proof.looked_up += u64::from(answered && matches!(next, Wanted::Order(_)));
                    proof.unanswered += u64::from(!answered);
                }
            })
        })
        .collect();
    for task in tasks {
        let _ = task.await;
    }
    *proof.borrow()
}

/// Looks one order up. Whether it was answered.
pub async fn look_up_one(bench: &Bench, store: &mut Connection, receipt: PurchaseRead) -> bool {
    judge(bench, store, &Wanted::Order(receipt)).await
}

/// Whether it was answered.
async fn judge(bench: &Bench, store: &mut Connection, wanted: &Wanted) -> bool {
    let path = match wanted {
        Wanted::Order(receipt) => order_path(receipt.order_id),
        Wanted::Left(book) => info_path(*book),
    };
    let sent = bench.checker.borrow_mut().sent();
    let answer = answered(store, &path).await;
    let mut checker = bench.checker.borrow_mut();
    match (wanted, answer) {
        (Wanted::Order(receipt), Some(answer)) => {
            checker.unanswered(sent);
            if let Some(found) = differs(receipt, &answer) {
                checker.order_differs(receipt, &found);
            }
            true
        }
        (Wanted::Left(book), Some(answer)) => match serde_json::from_slice::<StockRead>(&answer.body) {
            Ok(left) => {
                let (version, says_stale) = (answer.version(), answer.says_stale());
                let shown = Shown { what: "a look at it at the end", by: store.store(), version, says_stale };
                checker.read(sent, shown, [(*book, left.number_of_items)]);
                if !says_stale {
                    checker.left(*book, left.number_of_items);
                }
                true
            }
            // Deleted meanwhile, or no answer of a bookstore.
            Err(_) => {
                checker.unanswered(sent);
                answer.code() == Some(ErrorCode::BookNotFound)
            }
        },
        (_, None) => {
            checker.unanswered(sent);
            false
        }
    }
}

/// The first answer that decides anything.
async fn answered(store: &mut Connection, path: &str) -> Option<Answer> {
    for attempt in 1..=ATTEMPTS {
        match store.get(path).await {
            Ok(answer) if answer.status.is_success() || answer.status == 404 => return Some(answer),
            _ if attempt < ATTEMPTS => tokio::time::sleep(PAUSE).await,
            _ => {}
        }
    }
    None
}

/// What `answer` says instead of `receipt`, in words.
fn differs(receipt: &PurchaseRead, answer: &Answer) -> Option<String> {
    if answer.status == 404 {
        return Some("cannot be found".into());
    }
    let same = |order: &OrderRead| {
        (order.order_id, order.book_id, order.quantity, order.total, order.version)
            == (receipt.order_id, receipt.book_id, receipt.quantity, receipt.total, receipt.version)
    };
    match serde_json::from_slice::<OrderRead>(&answer.body) {
        Ok(order) if same(&order) => None,
        Ok(order) => Some(format!(
            "is now {} of book {} at version {}",
            order.quantity.get(),
            order.book_id,
            order.version
        )),
        Err(error) => Some(format!("its answer cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{OrderId, PublicVersion, Quantity, Stock};
    use bytes::Bytes;
    use hyper::StatusCode;

    fn receipt(number: u64) -> PurchaseRead {
        PurchaseRead {
            order_id: OrderId::draw(0, number.into()),
            book_id: BookId::new(9).unwrap(),
            quantity: Quantity::ONE,
            total: 2800,
            remaining: Stock::MAX,
            version: PublicVersion { epoch: 1, seq: number },
        }
    }

    #[test]
    fn a_sample_is_bounded_and_has_no_favourites() {
        const ALL: u64 = 40_000;
        let mut sample = Sample::new(1);
        for number in 1..=ALL {
            sample.add(receipt(number));
        }
        assert_eq!((sample.kept.len(), sample.acknowledged), (MAX_ORDERS, ALL));
        let early = sample.kept.iter().filter(|receipt| receipt.version.seq <= ALL / 2).count();
        // Half of them, within eight standard deviations.
        assert!(early.abs_diff(MAX_ORDERS / 2) < 400, "{early}");
    }

    #[test]
    fn an_order_that_is_gone_or_another_is_told() {
        let found = |status: StatusCode, body: &str| {
            let body = Bytes::from(body.to_owned());
            differs(&receipt(7), &Answer { status, headers: Default::default(), body })
        };
        let order = |book: u32, total: f64, seq: u32| {
            let id = OrderId::draw(0, 7);
            format!(
                r#"{{"orderId":"{id}","bookId":{book},"quantity":1,"total":{total},"version":"1.{seq}","createdAt":""}}"#
            )
        };
        assert_eq!(found(StatusCode::OK, &order(9, 28.0, 7)), None);
        for other in [order(8, 28.0, 7), order(9, 27.99, 7), order(9, 28.0, 6), "{}".into()] {
            assert!(found(StatusCode::OK, &other).is_some(), "{other}");
        }
        assert_eq!(found(StatusCode::NOT_FOUND, "").as_deref(), Some("cannot be found"));
    }
}
