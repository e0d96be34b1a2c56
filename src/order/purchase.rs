//! Gather, send, retry: what arrives while a request to the master is under way goes into the next one.
//! (One at a time: two made smaller batches, and at 32 and 256 clients 4 to 7 % fewer purchases.)
//!
//! Invariants: a purchase is repeated only with the key it came with; one that was refused for lack of
//! room was never sent; every purchase is answered within [`DEADLINE`].

use crate::abort;
use crate::client::{CallError, Masters};
use crate::domain::Outcome;
use crate::wire::catalog::{MAX_BATCH, Outcomes, PURCHASES, PurchaseCall};
use crate::wire::{ErrorCode, Problem};
use serde::Serialize;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Purchases that wait for the request under way; with more the answer is a quick 503.
const QUEUE: usize = 2048;

/// From a purchase's arrival to its answer: longer than a lease and a master's restart take.
pub const DEADLINE: Duration = Duration::from_secs(8);

/// One request to the master. A write may stall for a lease; then it is answered all the same.
const ATTEMPT: Duration = Duration::from_secs(5);

/// Between attempts; doubles from the first to the second.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_millis(400);

struct Waiting {
    call: PurchaseCall,
    until: Instant,
    reply: oneshot::Sender<Result<Outcome, Problem>>,
}

/// The way to the gatherer.
#[derive(Clone)]
pub struct Queue(mpsc::Sender<Waiting>);

impl Queue {
    /// The outcome, or [`ErrorCode::Unavailable`]: then it is unknown, and safe to repeat with its key.
    pub async fn submit(&self, call: PurchaseCall) -> Result<Outcome, Problem> {
        let (reply, answer) = oneshot::channel();
        let until = Instant::now() + DEADLINE;
        let unavailable = || Problem::from(ErrorCode::Unavailable);
        self.0.try_send(Waiting { call, until, reply }).map_err(|_| unavailable())?;
        match tokio::time::timeout_at(until, answer).await {
            Ok(Ok(outcome)) => outcome,
            _ => Err(unavailable()),
        }
    }
}

pub struct Gatherer {
    queue: mpsc::Receiver<Waiting>,
    masters: Masters,
}

#[derive(Serialize)]
struct Body<'a> {
    purchases: Vec<&'a PurchaseCall>,
}

impl Gatherer {
    pub fn new(masters: Masters) -> (Queue, Self) {
        let (sender, queue) = mpsc::channel(QUEUE);
        (Queue(sender), Self { queue, masters })
    }

    pub async fn run(mut self) {
        let mut batch = Vec::new();
        while self.queue.recv_many(&mut batch, MAX_BATCH).await > 0 {
            process(&self.masters, std::mem::take(&mut batch)).await;
        }
    }
}

/// Sends one batch and tells everybody in it.
async fn process(masters: &Masters, mut batch: Vec<Waiting>) {
    // Who has given up already is told nothing any more, and was never sent.
    let now = Instant::now();
    batch.retain(|waiting| waiting.until > now);
    if batch.is_empty() {
        return;
    }
    abort::point(abort::GATHERED);
    let sent = Instant::now();
    let size = batch.len();
    let answers = send(masters, &batch).await;
    abort::point(abort::ANSWERED);
    let took = sent.elapsed().as_secs_f64() * 1e3;
    for (waiting, answer) in batch.into_iter().zip(answers) {
        log::debug!(
            request_id = waiting.call.request_id.as_str();
            "purchase book:{} went with {size} in {took:.2} ms", waiting.call.purchase.book_id
        );
        // Who asked may have gone; the purchase stands.
        let _ = waiting.reply.send(answer);
    }
}

/// One answer for each, in order.
async fn send(masters: &Masters, batch: &[Waiting]) -> Vec<Result<Outcome, Problem>> {
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

fn all(batch: &[Waiting], code: ErrorCode) -> Vec<Result<Outcome, Problem>> {
    batch.iter().map(|_| Err(code.into())).collect()
}
