//! Gather, send, retry: what arrives while a request to the master is under way goes into the next one.
//!
//! Invariants: a purchase is repeated only with the key it came with; one that was refused for lack of
//! room was never sent; every purchase is answered within [`DEADLINE`].

use crate::abort;
use crate::client::{
    Bounds, CallError, Masters, PurchaseAnswer, PurchaseGatherer, PurchasesBody, Waiting, last_deadline,
    shared_by,
};
use crate::metrics::{Sends, Sheet};
use crate::telemetry::{Carried, trace};
use crate::wire::ErrorCode;
use crate::wire::catalog::{MAX_BATCH, Outcomes, PURCHASES, PurchaseCall};
use futures_util::future::join_all;
use std::time::Duration;
use tokio::time::Instant;

/// Purchases that wait for the request under way; with more the answer is a quick 503.
const QUEUE: usize = 2048;

/// Requests to the master under way. Those beside the first leave when they have their share of the buyers there are:
/// then batches do not get smaller by it.
const REQUESTS: usize = 4;

/// From a purchase's arrival to its answer: longer than a lease and a master's restart take.
pub const DEADLINE: Duration = Duration::from_secs(8);

/// One request to the master. A write may stall for a lease; then it is answered all the same.
const ATTEMPT: Duration = Duration::from_secs(5);

/// Between attempts; doubles from the first to the second.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_millis(400);

/// The way to the master.
#[derive(Clone)]
pub struct Purchases(PurchaseGatherer);

impl Purchases {
    pub fn new(masters: Masters, counts: Sends) -> Self {
        let bounds = Bounds { batch: MAX_BATCH, calls: REQUESTS, waiting: QUEUE };
        Self(PurchaseGatherer::new(bounds, move |batch| {
            let (masters, counts) = (masters.clone(), counts.clone());
            let context = shared_by(&batch);
            trace::part_of(context, async move { process(&masters, &counts, &batch).await })
        }))
    }

    /// What waits here, as a scraper is told.
    pub fn read(&self, sheet: &mut Sheet) {
        self.0.read(sheet);
    }

    /// An answer for each, in their order.
    pub async fn submit(&self, calls: Vec<PurchaseCall>) -> Vec<PurchaseAnswer> {
        let until = Instant::now() + DEADLINE;
        let submitted = calls.into_iter().map(|call| {
            let carried = Carried::received(call.trace.as_ref());
            self.0.submit(call, until, carried)
        });
        join_all(submitted).await
    }
}

/// An answer for each, in order.
async fn process(masters: &Masters, counts: &Sends, batch: &[Waiting]) -> Vec<PurchaseAnswer> {
    abort::point(abort::GATHERED);
    counts.gathered(batch.len());
    let sent = Instant::now();
    let answers = send(masters, counts, batch).await;
    abort::point(abort::ANSWERED);
    let took = sent.elapsed().as_secs_f64() * 1e3;
    for Waiting { call, .. } in batch {
        log::debug!(
            request_id = call.request_id.as_str();
            "purchase book:{} went with {} in {took:.2} ms", call.purchase.book_id, batch.len()
        );
    }
    answers
}

/// One answer for each, in order.
async fn send(masters: &Masters, counts: &Sends, batch: &[Waiting]) -> Vec<PurchaseAnswer> {
    let until = last_deadline(batch);
    let body: PurchasesBody = batch.iter().collect();
    // That of the first stands for all.
    let request_id = batch.first().map_or("", |waiting| &waiting.call.request_id);
    let mut pause = FIRST_PAUSE;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let answer: Result<Outcomes, _> = masters.post(PURCHASES, &body, request_id, left.min(ATTEMPT)).await;
        let error = match answer {
            Ok(answer) if answer.outcomes.len() == batch.len() => {
                return answer.outcomes.into_iter().map(Ok).collect();
            }
            Ok(_) => return all(batch, ErrorCode::Internal),
            Err(error) => error,
        };
        if !worth_repeating(&error) {
            log::error!(request_id; "{} purchases were not taken: {error}", batch.len());
            return all(batch, ErrorCode::Internal);
        }
        if Instant::now() + pause >= until {
            log::warn!(request_id; "{} purchases have no answer: {error}", batch.len());
            return all(batch, ErrorCode::Unavailable);
        }
        tokio::time::sleep(pause).await;
        counts.repeated();
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Whether another attempt may end better. Each purchase has its key, so repeating is always safe.
fn worth_repeating(error: &CallError) -> bool {
    matches!(error.code(), None | Some(ErrorCode::Unavailable | ErrorCode::NotMaster))
}

fn all(batch: &[Waiting], code: ErrorCode) -> Vec<PurchaseAnswer> {
    vec![Err(code); batch.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::fake::{FakeAnswer, FakePeer, answers, purchase_of, refuses};
    use crate::domain::{Outcome, Refusal};
    use crate::member::Member;
    use crate::metrics::{Registry, RoleName};
    use crate::wire::catalog;
    use parking_lot::Mutex;
    use std::sync::Arc;

    /// A master that gives these answers, one after the other.
    fn master(script: Vec<FakeAnswer>) -> (FakePeer, Purchases) {
        let script = Arc::new(Mutex::new(script.into_iter()));
        let master = FakePeer::start(move |_| script.lock().next().unwrap());
        let masters = Masters::new(std::slice::from_ref(&master.url), &Member::of_nothing());
        (master, Purchases::new(masters, Sends::new(&Registry::new(RoleName::Order))))
    }

    fn calls(books: &[i64]) -> Vec<PurchaseCall> {
        books.iter().copied().map(purchase_of).collect()
    }

    fn sold_out() -> Outcome {
        Outcome::Purchase { answer: Err(Refusal::OutOfStock), replayed: false }
    }

    fn unknown_book() -> Outcome {
        Outcome::Purchase { answer: Err(Refusal::BookNotFound), replayed: false }
    }

    #[actix_web::test]
    async fn what_the_master_cannot_take_now_is_repeated_as_it_was_and_each_has_its_own_answer() {
        let outcomes = answers(Outcomes { outcomes: vec![sold_out(), unknown_book()] });
        let (master, purchases) =
            master(vec![refuses(ErrorCode::Unavailable), refuses(ErrorCode::NotMaster), outcomes]);
        let calls = calls(&[1, 2]);
        assert_eq!(purchases.submit(calls.clone()).await, [Ok(sold_out()), Ok(unknown_book())]);
        assert_eq!(master.asked::<catalog::Purchases>(), vec![catalog::Purchases { purchases: calls }; 3]);
    }

    #[actix_web::test]
    async fn what_the_master_refuses_to_take_is_not_repeated() {
        let (master, purchases) = master(vec![refuses(ErrorCode::InvalidRequest)]);
        assert_eq!(purchases.submit(calls(&[1, 2])).await, vec![Err(ErrorCode::Internal); 2]);
        assert_eq!(master.asked::<catalog::Purchases>().len(), 1);
    }

    #[actix_web::test]
    async fn what_is_no_answer_for_each_is_none_for_any() {
        let (_master, purchases) = master(vec![answers(Outcomes { outcomes: vec![sold_out()] })]);
        assert_eq!(purchases.submit(calls(&[1, 2])).await, vec![Err(ErrorCode::Internal); 2]);
    }
}
