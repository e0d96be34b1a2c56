//! The way to the order nodes: purchases that arrive while a request is under way travel in the next one, to
//! the order node whose turn it is, and to another if that one fails.
//!
//! Invariant: a purchase is sent again only with the key that it came with; it has an answer, or is given up,
//! before its deadline.

use super::balance::Pool;
use crate::client::{Bounds, CallError, Gatherer};
use crate::domain::{Outcome, Purchase};
use crate::wire::ErrorCode;
use crate::wire::catalog::{MAX_BATCH, PurchaseCall};
use crate::wire::order::{Answers, PURCHASES};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// From a purchase's arrival to its answer: longer than an order node tries, shorter than nginx waits.
const DEADLINE: Duration = Duration::from_secs(10);

/// One order node's time with a purchase. A write that stalls for a lease is answered within it.
const ATTEMPT: Duration = Duration::from_secs(6);

/// Before purchases go to another order node.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Purchases that wait for a request of their thread, which are not more than the frontend lets in.
const QUEUE: usize = super::shop::MAX_PURCHASES;

/// Requests under way from one thread. One makes the largest batches; it may hang with its node for an
/// attempt, and then the others go on.
const REQUESTS: usize = 2;

/// What became of a purchase. [`ErrorCode::Unavailable`]: unknown, and safe to repeat with its key.
type Answer = Result<Outcome, ErrorCode>;

struct Waiting {
    call: PurchaseCall,
    until: Instant,
}

/// The order nodes, as a customer's purchase sees them.
pub struct Orders {
    pub pool: Arc<Pool>,
    gatherer: Gatherer<Waiting, Answer>,
}

#[derive(Serialize)]
struct Body<'a> {
    purchases: Vec<&'a PurchaseCall>,
}

impl Orders {
    pub fn new(pool: Arc<Pool>) -> Self {
        let bounds = Bounds { batch: MAX_BATCH, calls: REQUESTS, waiting: QUEUE };
        let gatherer = Gatherer::new(bounds, {
            let pool = Arc::clone(&pool);
            move |batch| {
                let pool = Arc::clone(&pool);
                async move { send(&pool, &batch).await }
            }
        });
        Self { pool, gatherer }
    }

    pub async fn buy(&self, purchase: Purchase, request_id: String) -> Answer {
        let until = Instant::now() + DEADLINE;
        let waiting = Waiting { call: PurchaseCall { request_id, purchase }, until };
        match tokio::time::timeout_at(until, self.gatherer.submit(waiting)).await {
            Ok(Ok(answer)) => answer,
            _ => Err(ErrorCode::Unavailable),
        }
    }
}

/// To one order node, and to the next while there is time, if one fails: the keys make that safe. One answer
/// for each, in order.
async fn send(pool: &Pool, batch: &[Waiting]) -> Vec<Answer> {
    // The youngest's deadline: each of the others watches its own.
    let until = batch.iter().map(|waiting| waiting.until).max().unwrap_or_else(Instant::now);
    let body = Body { purchases: batch.iter().map(|waiting| &waiting.call).collect() };
    let request_id = batch.first().map_or("", |waiting| &waiting.call.request_id);
    let all = |code: ErrorCode| vec![Err(code); batch.len()];
    let mut tried = Vec::new();
    loop {
        let node = pool.pick(&tried).or_else(|| {
            tried.clear();
            pool.pick(&tried)
        });
        let error = match &node {
            Some(node) => {
                let left = until.saturating_duration_since(Instant::now());
                let answers: Result<Answers, _> =
                    node.peer.post(PURCHASES, &body, request_id, left.min(ATTEMPT)).await;
                match answers {
                    Ok(Answers { answers }) => return answers,
                    // A node that has no room left: perhaps another has. Full is no reason to wait.
                    Err(CallError::Refused { problem, .. })
                        if problem.code == ErrorCode::Unavailable && pool.count().0 > tried.len() + 1 =>
                    {
                        tried.extend(Some(Arc::clone(node)));
                        continue;
                    }
                    Err(CallError::Refused { problem, .. }) => return all(problem.code),
                    Err(error) => {
                        node.failed(&error);
                        error.to_string()
                    }
                }
            }
            None => "there is no order node".into(),
        };
        tried.extend(node);
        if Instant::now() + RETRY_PAUSE >= until {
            log::warn!(request_id; "{} purchases have no answer: {error}", batch.len());
            return all(ErrorCode::Unavailable);
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}
