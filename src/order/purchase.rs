//! Gather, send, retry: what arrives while a request to the master is under way goes into the next one.
//! (One at a time: two made smaller batches, and at 32 and 256 clients 4 to 7 % fewer purchases.)
//!
//! Invariants: a purchase is repeated only with the key it came with; one that was refused for lack of
//! room was never sent; every purchase is answered within [`DEADLINE`].

use crate::abort;
use crate::client::{Bounds, CallError, Gatherer, Masters};
use crate::domain::Outcome;
use crate::wire::ErrorCode;
use crate::wire::catalog::{MAX_BATCH, Outcomes, PURCHASES, PurchaseCall};
use futures_util::future::join_all;
use serde::Serialize;
use std::time::Duration;
use tokio::time::Instant;

/// Purchases that wait for the request under way; with more the answer is a quick 503.
const QUEUE: usize = 2048;

/// Requests to the master under way.
const REQUESTS: usize = 2;

/// From a purchase's arrival to its answer: longer than a lease and a master's restart take.
pub const DEADLINE: Duration = Duration::from_secs(8);

/// One request to the master. A write may stall for a lease; then it is answered all the same.
const ATTEMPT: Duration = Duration::from_secs(5);

/// Between attempts; doubles from the first to the second.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_millis(400);

/// What became of a purchase. [`ErrorCode::Unavailable`]: unknown, and safe to repeat with its key.
type Answer = Result<Outcome, ErrorCode>;

struct Waiting {
    call: PurchaseCall,
    until: Instant,
}

/// The way to the master.
#[derive(Clone)]
pub struct Purchases(Gatherer<Waiting, Answer>);

#[derive(Serialize)]
struct Body<'a> {
    purchases: Vec<&'a PurchaseCall>,
}

impl Purchases {
    pub fn new(masters: Masters) -> Self {
        let bounds = Bounds { batch: MAX_BATCH, calls: REQUESTS, waiting: QUEUE };
        Self(Gatherer::new(bounds, move |batch| {
            let masters = masters.clone();
            async move { process(&masters, batch).await }
        }))
    }

    /// An answer for each, in their order.
    pub async fn submit(&self, calls: Vec<PurchaseCall>) -> Vec<Answer> {
        let until = Instant::now() + DEADLINE;
        join_all(calls.into_iter().map(async |call| {
            match tokio::time::timeout_at(until, self.0.submit(Waiting { call, until })).await {
                Ok(Ok(answer)) => answer,
                _ => Err(ErrorCode::Unavailable),
            }
        }))
        .await
    }
}

/// An answer for each, in order.
async fn process(masters: &Masters, batch: Vec<Waiting>) -> Vec<Answer> {
    // Who has given up already is told nothing any more, and was never sent.
    let now = Instant::now();
    let batch: Vec<Option<Waiting>> =
        batch.into_iter().map(|waiting| Some(waiting).filter(|waiting| waiting.until > now)).collect();
    let in_time: Vec<&Waiting> = batch.iter().flatten().collect();
    if in_time.is_empty() {
        return batch.iter().map(|_| Err(ErrorCode::Unavailable)).collect();
    }
    abort::point(abort::GATHERED);
    let sent = Instant::now();
    let mut answers = send(masters, &in_time).await.into_iter();
    abort::point(abort::ANSWERED);
    let took = sent.elapsed().as_secs_f64() * 1e3;
    for waiting in &in_time {
        log::debug!(
            request_id = waiting.call.request_id.as_str();
            "purchase book:{} went with {} in {took:.2} ms", waiting.call.purchase.book_id, in_time.len()
        );
    }
    let answer = |waiting: &Option<Waiting>| waiting.as_ref().and_then(|_| answers.next());
    batch.iter().map(answer).map(|answer| answer.unwrap_or(Err(ErrorCode::Unavailable))).collect()
}

/// One answer for each, in order.
async fn send(masters: &Masters, batch: &[&Waiting]) -> Vec<Answer> {
    // The youngest's deadline: each of the others watches its own.
    let until = batch.iter().map(|waiting| waiting.until).max().unwrap_or_else(Instant::now);
    let body = Body { purchases: batch.iter().map(|waiting| &waiting.call).collect() };
    let request_id = &batch[0].call.request_id;
    let mut pause = FIRST_PAUSE;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let answer: Result<Outcomes, _> = masters.post(PURCHASES, &body, request_id, ATTEMPT.min(left)).await;
        let error = match answer {
            Ok(answer) if answer.outcomes.len() == batch.len() => {
                return answer.outcomes.into_iter().map(Ok).collect();
            }
            Ok(_) => return all(batch, ErrorCode::Internal),
            Err(error) => error,
        };
        if !worth_repeating(&error) {
            log::error!(request_id = request_id.as_str(); "{} purchases were not taken: {error}", batch.len());
            return all(batch, ErrorCode::Internal);
        }
        if Instant::now() + pause >= until {
            log::warn!(request_id = request_id.as_str(); "{} purchases have no answer: {error}", batch.len());
            return all(batch, ErrorCode::Unavailable);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Whether another attempt may end better. Each purchase has its key, so repeating is always safe.
fn worth_repeating(error: &CallError) -> bool {
    matches!(error.code(), None | Some(ErrorCode::Unavailable | ErrorCode::NotMaster))
}

fn all(batch: &[&Waiting], code: ErrorCode) -> Vec<Answer> {
    batch.iter().map(|_| Err(code)).collect()
}
