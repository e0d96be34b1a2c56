//! The way to the order nodes: purchases that arrive while a request is under way travel in the next one, to
//! the order node that the balance names. Those that have no outcome there go on to another.
//!
//! Invariant: a purchase is sent again only with the key that it came with; it has an answer, or is given up,
//! before its deadline.
//!
//! What has no outcome is repeated until that deadline, within no budget: a 503 would leave the buyer with the
//! question that the repetition answers. It cannot become a flood either, because a repetition takes the place
//! of the request that it repeats: there are never more than [`BOUNDS`] allows, a pause apart. What was not
//! taken for lack of room is repeated within the budget.

use super::balance::{Node, Pool};
use crate::client::{
    Bounds, CallError, PurchaseAnswer, PurchaseGatherer, PurchasesBody, Waiting, last_deadline, shared_by,
};
use crate::domain::Purchase;
use crate::metrics::Sheet;
use crate::telemetry::{Carried, trace};
use crate::wire::catalog::{MAX_BATCH, PurchaseCall};
use crate::wire::order::{Answers, PURCHASES};
use crate::wire::{ErrorCode, Problem};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// From a purchase's arrival to its answer: longer than an order node tries, shorter than nginx waits.
const DEADLINE: Duration = Duration::from_secs(10);

/// One order node's time with a purchase. A write that stalls for a lease is answered within it.
const ATTEMPT: Duration = Duration::from_secs(6);

/// Before purchases go to another order node.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Purchases under way in a frontend; with more the answer is a quick 503. Each holds a few kilobytes.
pub const MAX_PURCHASES: usize = 1024;

/// Of one thread. With two requests under way 32 buyers made an eighth fewer purchases, because they waited here
/// and not at the master, where batches are made; more than four made no difference.
const BOUNDS: Bounds = Bounds { batch: MAX_BATCH, calls: 4, waiting: MAX_PURCHASES };

/// The order nodes, as a customer's purchase sees them.
pub struct Orders {
    pub pool: Arc<Pool>,
    gatherer: PurchaseGatherer,
}

impl Orders {
    pub fn new(pool: Arc<Pool>) -> Self {
        let nodes = Arc::clone(&pool);
        let gatherer = PurchaseGatherer::new(BOUNDS, move |batch| {
            let nodes = Arc::clone(&nodes);
            let context = shared_by(&batch);
            trace::part_of(context, async move { deliver(&nodes, &batch).await })
        });
        Self { pool, gatherer }
    }

    /// What a scraper is told: the nodes, and what waits for them.
    pub fn read(&self, sheet: &mut Sheet) {
        self.pool.read(sheet);
        self.gatherer.read(sheet);
    }

    pub async fn buy(&self, purchase: Purchase, request_id: String) -> PurchaseAnswer {
        let call = PurchaseCall { request_id, purchase, trace: None };
        self.gatherer.submit(call, Instant::now() + DEADLINE, Carried::here()).await
    }
}

/// To one order node, and, while there is time, to others with whatever has no outcome yet: the keys make that
/// safe. One answer for each, in order.
async fn deliver(pool: &Pool, batch: &[Waiting]) -> Vec<PurchaseAnswer> {
    let mut delivery = Delivery::new(batch);
    let mut tried = Vec::new();
    pool.first_attempt();
    loop {
        let error = match in_turn(pool, &mut tried) {
            Some(node) => {
                let asked = delivery.ask(&node).await;
                tried.push(node);
                match asked {
                    // A node that had no room for all is no reason to wait: perhaps another has. It was not
                    // sent, so a full shop may as well say so: that is what the budget is for.
                    Ok(()) if delivery.goes_on() && pool.count().0 > tried.len() && pool.may_retry() => {
                        continue;
                    }
                    Ok(()) => return delivery.answers,
                    // It may have been carried out: only the answer to another attempt tells, however many
                    // others are tried again meanwhile.
                    Err(error) => error.to_string(),
                }
            }
            None => "there is no order node".into(),
        };
        if !delivery.goes_on() {
            log::warn!(request_id = delivery.request_id(); "purchases have no answer: {error}");
            return delivery.answers;
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// The next node in turn, an untried one if there is any.
fn in_turn(pool: &Pool, tried: &mut Vec<Arc<Node>>) -> Option<Arc<Node>> {
    pool.pick(tried).or_else(|| {
        tried.clear();
        pool.pick(tried)
    })
}

/// A batch on its way, and what is known of it.
struct Delivery<'a> {
    batch: &'a [Waiting],
    /// [`ErrorCode::Unavailable`] where there is no outcome yet.
    answers: Vec<PurchaseAnswer>,
    until: Instant,
}

impl<'a> Delivery<'a> {
    fn new(batch: &'a [Waiting]) -> Self {
        let answers = vec![Err(ErrorCode::Unavailable); batch.len()];
        Self { batch, answers, until: last_deadline(batch) }
    }

    /// In the logs, that of the first stands for all.
    fn request_id(&self) -> &'a str {
        self.batch.first().map_or("", |waiting| &waiting.call.request_id)
    }

    /// Those without an outcome.
    fn open(&self) -> Vec<usize> {
        (0..self.batch.len()).filter(|&index| self.answers[index] == Err(ErrorCode::Unavailable)).collect()
    }

    /// Whether another attempt is worth its while.
    fn goes_on(&self) -> bool {
        Instant::now() + RETRY_PAUSE < self.until && !self.open().is_empty()
    }

    /// Asks `node` for the outcomes that are not known. The error: it did not tell.
    async fn ask(&mut self, node: &Node) -> Result<(), CallError> {
        let open = self.open();
        let body: PurchasesBody = open.iter().map(|&index| &self.batch[index]).collect();
        let left = self.until.saturating_duration_since(Instant::now());
        let asked = async {
            match node.peer.post(PURCHASES, &body, self.request_id(), left.min(ATTEMPT)).await? {
                Answers { answers } if answers.len() == open.len() => Ok(answers),
                _ => Err(node.peer.nonsense("it did not tell about each of the purchases")),
            }
        };
        let told = match node.call(asked).await {
            Ok(answers) => answers,
            Err(CallError::Refused { problem, .. }) => vec![Err(self.refused(&problem)); open.len()],
            Err(error) => return Err(error),
        };
        for (index, answer) in open.into_iter().zip(told) {
            self.answers[index] = answer;
        }
        Ok(())
    }

    /// What customers are told of a node that takes no purchase of the batch: nothing about what is between
    /// it and us.
    fn refused(&self, problem: &Problem) -> ErrorCode {
        match problem.code {
            code @ ErrorCode::Unavailable => code,
            // It has not got the body in time.
            ErrorCode::RequestTimeout => ErrorCode::Unavailable,
            code => {
                log::error!(request_id = self.request_id(); "purchases were not taken: {code}: {}", problem.error);
                ErrorCode::Internal
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::BaseUrl;
    use crate::client::fake::{FakePeer, answers, purchase_of, refuses};
    use crate::domain::{Outcome, Refusal};
    use crate::frontend::balance::Policy;
    use crate::member::Member;
    use crate::metrics::PoolName;
    use crate::wire::catalog::Purchases;
    use futures_util::future::join_all;
    use std::net::TcpListener;

    /// An order node that knows what to say of books that are bought together.
    fn order_node(says: impl Fn(Vec<i64>) -> Vec<PurchaseAnswer> + Clone + Send + 'static) -> FakePeer {
        FakePeer::start(move |body| {
            let body: Purchases = serde_json::from_value(body.clone()).unwrap();
            answers(Answers { answers: says(books(&body)) })
        })
    }

    fn books(body: &Purchases) -> Vec<i64> {
        body.purchases.iter().map(|call| call.purchase.book_id.get()).collect()
    }

    /// The books that it was asked to buy together, request by request.
    fn asked(node: &FakePeer) -> Vec<Vec<i64>> {
        node.asked().iter().map(books).collect()
    }

    fn refused(refusal: Refusal) -> PurchaseAnswer {
        Ok(Outcome::Purchase { answer: Err(refusal), replayed: false })
    }

    async fn orders(nodes: &[&BaseUrl]) -> Orders {
        let nodes = nodes.iter().map(|&url| url.clone()).collect();
        Orders::new(Arc::new(
            Pool::new(PoolName::Order, Policy::RoundRobin, nodes, 0, &Member::of_nothing()).await,
        ))
    }

    /// What becomes of purchases that are made together.
    async fn buy(orders: &Orders, books: &[i64]) -> Vec<PurchaseAnswer> {
        join_all(books.iter().map(|&book| orders.buy(purchase_of(book).purchase, "test".into()))).await
    }

    #[actix_web::test]
    async fn purchases_at_a_node_that_hangs_go_to_another_as_soon_as_that_is_noticed() {
        // It takes connections and says nothing.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let hangs = BaseUrl::from_addr(silent.local_addr().unwrap());
        let well = order_node(|books| books.iter().map(|_| refused(Refusal::OutOfStock)).collect());
        let orders = Arc::new(orders(&[&hangs, &well.url]).await);
        let rounds: Vec<_> = (0..20)
            .map(|_| {
                let orders = Arc::clone(&orders);
                actix_web::rt::spawn(async move { buy(&orders, &[1]).await })
            })
            .collect();
        let stop = crate::shutdown::Shutdown::new();
        let probing = actix_web::rt::spawn(Arc::clone(&orders.pool).keep(stop.clone()));
        let bought = tokio::time::timeout(ATTEMPT / 2, join_all(rounds))
            .await
            .expect("long before an attempt is over");
        assert!(bought.into_iter().all(|answers| answers.unwrap() == [refused(Refusal::OutOfStock)]));
        stop.cancel();
        probing.await.unwrap();
    }

    #[actix_web::test]
    async fn purchases_that_travel_together_have_an_answer_each() {
        let node = order_node(|books| {
            let of = |book| if book == 2 { Refusal::OutOfStock } else { Refusal::BookNotFound };
            books.into_iter().map(|book| refused(of(book))).collect()
        });
        let answers = buy(&orders(&[&node.url]).await, &[1, 2, 3]).await;
        assert_eq!(asked(&node), [[1, 2, 3]]);
        let (sold_out, unknown) = (refused(Refusal::OutOfStock), refused(Refusal::BookNotFound));
        assert_eq!(answers, [unknown.clone(), sold_out, unknown]);
    }

    #[actix_web::test]
    async fn a_batch_goes_on_to_another_node_when_the_first_gives_no_answer() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let gone = BaseUrl::from_addr(silent.local_addr().unwrap());
        drop(silent);
        let node = order_node(|books| vec![refused(Refusal::OutOfStock); books.len()]);
        let orders = orders(&[&gone, &node.url]).await;
        // Each of the two has a turn.
        for _ in 0..2 {
            assert_eq!(buy(&orders, &[1, 2]).await, vec![refused(Refusal::OutOfStock); 2]);
            assert_eq!(asked(&node), [[1, 2]]);
        }
        assert_eq!(orders.pool.count(), (2, 1), "the first was asked, and is out of the balance");
    }

    #[actix_web::test]
    async fn only_the_purchases_that_one_node_had_no_room_for_go_on_to_another() {
        let says = |books: Vec<i64>| match books.len() {
            2 => vec![refused(Refusal::OutOfStock), Err(ErrorCode::Unavailable)],
            _ => vec![refused(Refusal::BookNotFound); books.len()],
        };
        let nodes = [order_node(says), order_node(says)];
        let orders = orders(&[&nodes[0].url, &nodes[1].url]).await;
        let answers = buy(&orders, &[1, 2]).await;
        assert_eq!(answers, [refused(Refusal::OutOfStock), refused(Refusal::BookNotFound)]);
        let mut both = nodes.each_ref().map(asked);
        both.sort();
        assert_eq!(both, [[vec![1, 2]], [vec![2]]]);
        assert_eq!(orders.pool.count(), (2, 2), "full is not failed");
    }

    #[actix_web::test]
    async fn when_all_nodes_are_full_the_answer_is_a_quick_503() {
        let node = order_node(|books| vec![Err(ErrorCode::Unavailable); books.len()]);
        let answers = buy(&orders(&[&node.url]).await, &[1]).await;
        assert_eq!(answers, [Err(ErrorCode::Unavailable)]);
        assert_eq!(asked(&node), [[1]]);
    }

    #[actix_web::test]
    async fn what_is_no_answer_for_each_is_none_for_any() {
        let confused = order_node(|_| vec![refused(Refusal::OutOfStock)]);
        let node = order_node(|books| vec![refused(Refusal::BookNotFound); books.len()]);
        let orders = orders(&[&confused.url, &node.url]).await;
        for _ in 0..2 {
            assert_eq!(buy(&orders, &[1, 2]).await, vec![refused(Refusal::BookNotFound); 2]);
        }
        let asked = asked(&confused);
        assert!(!asked.is_empty() && asked.iter().all(|books| *books == [1, 2]), "{asked:?}");
    }

    #[actix_web::test]
    async fn a_node_that_fails_one_call_after_the_other_is_left_alone_though_it_answers_probes() {
        let confused = order_node(|_| Vec::new());
        let node = order_node(|books| vec![refused(Refusal::BookNotFound); books.len()]);
        let orders = orders(&[&confused.url, &node.url]).await;
        let stop = crate::shutdown::Shutdown::new();
        let keeping = actix_web::rt::spawn(Arc::clone(&orders.pool).keep(stop.clone()));
        let out = async {
            while orders.pool.count() == (2, 2) {
                assert_eq!(buy(&orders, &[1]).await, [refused(Refusal::BookNotFound)]);
            }
        };
        tokio::time::timeout(Duration::from_secs(5), out).await.expect("soon");
        let asked_before: Vec<Vec<i64>> =
            asked(&confused).into_iter().filter(|books| !books.is_empty()).collect();
        assert_eq!(asked_before, [[1], [1], [1]]);
        for _ in 0..4 {
            assert_eq!(buy(&orders, &[1]).await, [refused(Refusal::BookNotFound)]);
        }
        assert!(confused.asked::<serde_json::Value>().iter().all(serde_json::Value::is_null), "only probes");
        stop.cancel();
        keeping.await.unwrap();
    }

    #[actix_web::test]
    async fn when_all_nodes_are_full_few_purchases_are_shown_to_more_than_one() {
        let full = |books: Vec<i64>| vec![Err(ErrorCode::Unavailable); books.len()];
        let nodes = [order_node(full), order_node(full)];
        let orders = orders(&[&nodes[0].url, &nodes[1].url]).await;
        const BUYERS: usize = 400;
        let begun = Instant::now();
        for _ in 0..BUYERS {
            assert_eq!(buy(&orders, &[1]).await, [Err(ErrorCode::Unavailable)]);
        }
        let shown = nodes.iter().map(|node| asked(node).len()).sum::<usize>();
        // What there is at the start, a fifth, and ten a second.
        let most = BUYERS + 100 + BUYERS / 5 + 10 * (1 + begun.elapsed().as_secs() as usize);
        assert!((BUYERS + 100..=most).contains(&shown), "{shown}, at most {most}");
    }

    #[actix_web::test]
    async fn a_node_that_takes_nothing_from_us_is_no_matter_of_the_customer() {
        let node = FakePeer::start(|_| refuses(ErrorCode::Unauthorized));
        assert_eq!(buy(&orders(&[&node.url]).await, &[1]).await, [Err(ErrorCode::Internal)]);
    }
}
