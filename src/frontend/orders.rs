//! The way to the order nodes: purchases that arrive while a request to a node is under way travel in the next
//! one, and go to another node if one fails.
//!
//! Invariant: a purchase is sent again only with the key that it came with; it has an answer, or is given up,
//! before its deadline.

use super::balance::{Line, Pool};
use crate::client::{Bounds, CallError, Gatherer, Peer, Ungathered};
use crate::domain::{Outcome, Purchase};
use crate::wire::catalog::{MAX_BATCH, PurchaseCall};
use crate::wire::order::{Answers, PURCHASES};
use crate::wire::{ErrorCode, Problem};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// From a purchase's arrival to its answer: longer than an order node tries, shorter than nginx waits.
const PURCHASE_DEADLINE: Duration = Duration::from_secs(10);

/// One order node's time with a purchase. A write that stalls for a lease is answered within it.
const ATTEMPT: Duration = Duration::from_secs(6);

/// Before a purchase goes to another order node.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// What one node may be sent from one thread. One request at a time makes the largest batches; the frontend has
/// no more purchases under way than may wait.
const BOUNDS: Bounds = Bounds { batch: MAX_BATCH, calls: 1, waiting: super::shop::MAX_PURCHASES };

/// The purchases on their way to one order node.
pub struct Purchases {
    peer: Peer,
    gatherer: Gatherer<PurchaseCall, Result<Outcome, CallError>>,
}

#[derive(Serialize)]
struct Body {
    purchases: Vec<PurchaseCall>,
}

impl Line for Purchases {
    fn to(peer: &Peer) -> Self {
        let to = peer.clone();
        let gatherer = Gatherer::new(BOUNDS, move |purchases| send_batch(to.clone(), purchases));
        Self { peer: peer.clone(), gatherer }
    }
}

impl Purchases {
    /// The answer of this node, unless `deadline` is over first.
    async fn send(&self, call: PurchaseCall, deadline: Duration) -> Result<Outcome, CallError> {
        let peer = || self.peer.url().to_string();
        match tokio::time::timeout(deadline, self.gatherer.submit(call)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(Ungathered::Full)) => {
                Err(CallError::Refused { peer: peer(), problem: ErrorCode::Unavailable.into() })
            }
            Ok(Err(Ungathered::Lost)) => {
                Err(CallError::NoAnswer { peer: peer(), cause: "the request was lost".into() })
            }
            Err(_) => Err(CallError::NoAnswer { peer: peer(), cause: format!("not within {deadline:?}") }),
        }
    }
}

/// An answer for each, in order.
async fn send_batch(peer: Peer, purchases: Vec<PurchaseCall>) -> Vec<Result<Outcome, CallError>> {
    let count = purchases.len();
    let request_id = purchases.first().map_or_else(String::new, |call| call.request_id.clone());
    let body = Body { purchases };
    let refused = |code: ErrorCode| CallError::Refused { peer: peer.url().to_string(), problem: code.into() };
    let answers: Result<Answers, CallError> = peer.post(PURCHASES, &body, &request_id, ATTEMPT).await;
    match answers {
        Ok(Answers { answers }) => {
            answers.into_iter().map(|answer| answer.map_err(refused)).collect()
        }
        Err(error) => vec![Err(error); count],
    }
}

/// To one order node, and to the next while there is time, if one fails: the key makes that safe.
pub async fn send(
    orders: &Pool<Purchases>,
    purchase: &Purchase,
    request_id: &str,
) -> Result<Outcome, Problem> {
    let until = Instant::now() + PURCHASE_DEADLINE;
    let mut tried = Vec::new();
    loop {
        let node = orders.pick(&tried).or_else(|| {
            tried.clear();
            orders.pick(&tried)
        });
        let error = match &node {
            Some(node) => {
                let left = until.saturating_duration_since(Instant::now());
                let call = PurchaseCall { request_id: request_id.into(), purchase: purchase.clone() };
                match node.line.send(call, left.min(ATTEMPT)).await {
                    Ok(outcome) => return Ok(outcome),
                    // A node that has no room left: perhaps another has. Full is no reason to wait.
                    Err(CallError::Refused { problem, .. })
                        if problem.code == ErrorCode::Unavailable && orders.count().0 > tried.len() + 1 =>
                    {
                        tried.extend(Some(Arc::clone(node)));
                        continue;
                    }
                    Err(CallError::Refused { problem, .. }) => return Err(problem),
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
            log::warn!(request_id; "a purchase has no answer: {error}");
            return Err(ErrorCode::Unavailable.into());
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}
