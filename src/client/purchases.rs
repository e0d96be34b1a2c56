//! Purchases that travel together to the next role, each with a deadline and an answer of its own.
//!
//! Invariants: who submitted has an answer by the deadline that it gave; a purchase that has waited past it
//! is not sent any more. (One that was sent goes on: its outcome is unknown to who has given up.)

use super::gather::{Bounds, Gatherer};
use crate::domain::Outcome;
use crate::metrics::{QueueName, Sheet};
use crate::telemetry::trace::Context;
use crate::telemetry::{self, Carried};
use crate::wire::ErrorCode;
use crate::wire::catalog::PurchaseCall;
use serde::Serialize;
use std::sync::Arc;
use tokio::time::Instant;

/// What became of a purchase. [`ErrorCode::Unavailable`]: unknown, and safe to repeat with its key.
pub type PurchaseAnswer = Result<Outcome, ErrorCode>;

/// A purchase, and until when somebody waits for it.
pub struct Waiting {
    pub call: PurchaseCall,
    pub until: Instant,
    /// The trace of whoever waits.
    pub carried: Carried,
}

/// Takes purchases one by one and sends them in batches. Cheap to clone.
#[derive(Clone)]
pub struct PurchaseGatherer(Gatherer<Waiting, PurchaseAnswer>);

impl PurchaseGatherer {
    /// `send` is given at least one purchase, all of them still waited for, and returns an answer for each, in
    /// their order.
    pub fn new<F>(bounds: Bounds, send: impl Fn(Vec<Waiting>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Vec<PurchaseAnswer>> + 'static,
    {
        let send = Arc::new(send);
        Self(Gatherer::new(bounds, move |batch| {
            let send = Arc::clone(&send);
            async move { send_in_time(batch, &*send).await }
        }))
    }

    /// What waits here, as a scraper is told.
    pub fn read(&self, sheet: &mut Sheet) {
        let Self(gatherer) = self;
        sheet.queue(QueueName::Purchases, gatherer.waiting(), gatherer.room(), gatherer.rejected());
    }

    /// The answer, by `until`. `carried`: the trace that the purchase belongs to, with which it travels on. To be
    /// called on a thread of actix's runtime.
    pub async fn submit(&self, call: PurchaseCall, until: Instant, carried: Carried) -> PurchaseAnswer {
        let call = PurchaseCall { trace: carried.written(), ..call };
        match tokio::time::timeout_at(until, self.0.submit(Waiting { call, until, carried })).await {
            Ok(Ok(answer)) => answer,
            _ => Err(ErrorCode::Unavailable),
        }
    }
}

/// An answer for each, in order; who came too late has been given one already.
async fn send_in_time<F: Future<Output = Vec<PurchaseAnswer>>>(
    batch: Vec<Waiting>,
    send: &impl Fn(Vec<Waiting>) -> F,
) -> Vec<PurchaseAnswer> {
    let now = Instant::now();
    let is_in_time = |waiting: &Waiting| waiting.until > now;
    let sent: Vec<bool> = batch.iter().map(is_in_time).collect();
    let in_time: Vec<Waiting> = batch.into_iter().filter(is_in_time).collect();
    let answers = if in_time.is_empty() { Vec::new() } else { send(in_time).await };
    let mut answers = answers.into_iter();
    sent.iter()
        .map(|sent| sent.then(|| answers.next()).flatten().unwrap_or(Err(ErrorCode::Unavailable)))
        .collect()
}

/// The body of a request with these purchases, as [`Purchases`](crate::wire::catalog::Purchases) reads it.
#[derive(Serialize)]
pub struct PurchasesBody<'a> {
    purchases: Vec<&'a PurchaseCall>,
}

impl<'a> FromIterator<&'a Waiting> for PurchasesBody<'a> {
    fn from_iter<I: IntoIterator<Item = &'a Waiting>>(batch: I) -> Self {
        Self { purchases: batch.into_iter().map(|waiting| &waiting.call).collect() }
    }
}

/// The context that a request with these purchases has.
pub fn shared_by(batch: &[Waiting]) -> Context {
    telemetry::shared("purchases", batch.iter().map(|waiting| &waiting.carried))
}

/// Until when a batch is worth sending: as long as anybody waits. Each of the others watches its own deadline.
pub fn last_deadline(batch: &[Waiting]) -> Instant {
    batch.iter().map(|waiting| waiting.until).max().unwrap_or_else(Instant::now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::fake::purchase_of;
    use crate::domain::Refusal;
    use parking_lot::Mutex;
    use std::time::Duration;

    const BOUNDS: Bounds = Bounds { batch: 9, calls: 1, waiting: 9 };

    #[actix_web::test]
    async fn who_waited_past_its_deadline_is_not_sent_and_the_others_have_their_own_answers() {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let gatherer = PurchaseGatherer::new(BOUNDS, {
            let sent = Arc::clone(&sent);
            move |batch| {
                let books: Vec<i64> = batch.iter().map(|one| one.call.purchase.book_id.get()).collect();
                sent.lock().push(books.clone());
                let answer = |book| match book {
                    1 => Refusal::OutOfStock,
                    _ => Refusal::BookNotFound,
                };
                let answers = books
                    .into_iter()
                    .map(move |book| Ok(Outcome::Purchase { answer: Err(answer(book)), replayed: false }));
                async move { answers.collect() }
            }
        });
        let now = Instant::now();
        let later = now + Duration::from_secs(60);
        let answers = tokio::join!(
            gatherer.submit(purchase_of(1), later, Carried::default()),
            gatherer.submit(purchase_of(2), now, Carried::default()),
            gatherer.submit(purchase_of(3), later, Carried::default()),
        );
        let refused = |refusal| Ok(Outcome::Purchase { answer: Err(refusal), replayed: false });
        let (sold_out, unknown) = (refused(Refusal::OutOfStock), refused(Refusal::BookNotFound));
        assert_eq!(answers, (sold_out, Err(ErrorCode::Unavailable), unknown));
        assert_eq!(*sent.lock(), [[1, 3]]);
    }

    #[actix_web::test]
    async fn who_waits_for_a_node_that_hangs_is_answered_at_its_deadline() {
        let gatherer = PurchaseGatherer::new(BOUNDS, |_| std::future::pending());
        let until = Instant::now() + Duration::from_millis(1);
        assert_eq!(
            gatherer.submit(purchase_of(1), until, Carried::default()).await,
            Err(ErrorCode::Unavailable)
        );
        assert!(Instant::now() >= until);
    }
}
